# Fetches ENVO_URL into the file that is named first. Headers and settings come in variables: arguments can be seen by
# everybody on the machine.
import hashlib
import json
import os
import ssl
import sys
import time
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

url = os.environ["ENVO_URL"]
settings = json.loads(os.environ["ENVO_SETTINGS"])
target = sys.argv[1]

# An answer that trickles, or that has no end, is no answer.
most, ends = settings["most"], time.monotonic() + settings["seconds"]


def store(answer, file):
    while True:
        block = answer.read1(1 << 20) if hasattr(answer, "read1") else answer.read(1 << 16)
        if not block:
            return
        file.write(block)
        if file.tell() > most:
            sys.exit("{}: the answer is larger than {} MB".format(url, most >> 20))
        if time.monotonic() > ends:
            sys.exit("{}: no whole answer came in {} s".format(url, settings["seconds"]))


context = ssl.create_default_context(cafile=settings.get("cafile"))
if not settings["strict-ssl"]:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
handlers = [HTTPSHandler(context=context)]
if settings["proxies"]:
    host = (urlsplit(url).hostname or "").lower()
    without = [entry.strip().lower().lstrip(".") for entry in settings["noproxy"].split(",") if entry.strip()]
    if any(entry == "*" or host == entry or host.endswith("." + entry) for entry in without):
        handlers.append(ProxyHandler({}))
    else:
        handlers.append(ProxyHandler(settings["proxies"]))

request = Request(url)
for name, value in settings["headers"].items():
    # Not for whoever the registry sends on to.
    request.add_unredirected_header(name, value)
try:
    if urlsplit(url).scheme not in ("http", "https"):
        raise URLError("only http and https are understood")
    with build_opener(*handlers).open(request, timeout=60) as answer, open(target, "wb") as file:
        store(answer, file)
except HTTPError as error:
    sys.exit("{}: {} {}".format(url, error.code, error.reason))
except (OSError, ValueError) as error:
    sys.exit("{}: {}".format(url, getattr(error, "reason", error)))

digest = hashlib.sha1()
with open(target, "rb") as file:
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
with open(target + ".sha1", "w") as file:
    file.write(digest.hexdigest())
