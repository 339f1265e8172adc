#!/usr/bin/env python3
"""Time envo's locks beside those of uv, pip, pip-tools and pipenv, in one run: locks_beside_peers.py [CASE …].

    one      one environment with some twenty packages, with empty caches and with full ones
    six      fixtures/locked: six environments of two languages, likewise
    check    `lock --check` of those six
    noop     `run` and `run --locked` with nothing to do

The programs take turns, so a drifting machine hurts all alike. They ask an index on this machine, which lets them keep
its pages for ten minutes as pypi.org does, so that the network's mood counts for nothing; with --network they ask the one that
pip asks. Node.js asks the network either way. The peers and the index's files are fetched into a folder of the user's caches on first use.
"""

import argparse
import contextlib
import hashlib
import http.server
import os
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from measured import told, timed

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "envo-lock-peers"
# These and what they require are twenty-two packages on CPython 3.11 and later, as of November 2026.
REQUIREMENTS = ["requests", "flask", "pytest", "rich", "pyyaml", "attrs"]
NOTHING_TO_DO = "[tox]\nno_package = true\n[testenv]\ndeps =\n  six\n  packaging\ncommands =\n"


def peers():
    """The folder with the programs of the peers."""
    programs = PEERS / "bin"
    if not (programs / "pipenv").exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        packages = ["pip", "uv", "pip-tools", "pipenv"]
        subprocess.run([programs / "python", "-m", "pip", "install", "-q", "-U", *packages], check=True)
    return programs


def pages():
    """What the index answers: pages with the hashes of files and where their metadata are, and both of these."""
    files = PEERS / "files"
    if not files.is_dir():
        packages = [*REQUIREMENTS, "six", "packaging", "idna", "iniconfig", "colorama"]
        command = [peers() / "python", "-m", "pip", "download", "-q", "--only-binary", ":all:", "-d"]
        subprocess.run([*command, files.with_suffix(".new"), *packages], check=True)
        files.with_suffix(".new").rename(files)
    found, links = {}, {}
    for wheel in sorted(files.glob("*.whl")):
        content = wheel.read_bytes()
        with zipfile.ZipFile(wheel) as archive:
            metadata = archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))
        found[f"/files/{wheel.name}"] = ("application/octet-stream", content)
        found[f"/files/{wheel.name}.metadata"] = ("application/octet-stream", metadata)
        digest, of_metadata = (hashlib.sha256(text).hexdigest() for text in (content, metadata))
        project = wheel.name.split("-")[0].lower().replace("_", "-")
        link = f'<a href="/files/{wheel.name}#sha256={digest}" data-core-metadata="sha256={of_metadata}">{wheel.name}</a>\n'
        links[project] = links.get(project, "") + link
    head = '<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.1"></head><body>\n'
    found.update((f"/simple/{name}/", ("text/html", (head + text).encode())) for name, text in links.items())
    return found


def serve():
    """Be the index, in a process of its own, and print its address."""
    found = pages()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            kind, content = found.get(self.path, ("text/plain", b"not found"))
            self.send_response(200 if self.path in found else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "max-age=600, public")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/simple", flush=True)
        server.serve_forever()


@contextlib.contextmanager
def index():
    """An index on this machine, as variables for those who ask it."""
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        yield {"PIP_INDEX_URL": url, "UV_DEFAULT_INDEX": url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    finally:
        server.terminate()
        server.wait()


class Place:
    """A home with caches of its own, and a project in it."""

    index: dict[str, str] = {}

    def __init__(self, folder):
        self.folder = folder
        self.home = folder / "home"
        self.project = folder / "project"
        self.project.mkdir(parents=True)
        self.empty()

    def empty(self):
        """Forget everything that was fetched."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()

    def variables(self):
        keep = ("PIP_", "SSL_", "REQUESTS_", "NODE_EXTRA_", "npm_config_")
        kept = {name: value for name, value in os.environ.items() if name.startswith(keep)}
        kept.pop("PIP_FIND_LINKS", None)
        npmrc = os.environ.get("NPM_CONFIG_USERCONFIG", str(Path.home() / ".npmrc"))
        path = os.pathsep.join([str(peers()), str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
        own = {"HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8", "TERM": "dumb", "NPM_CONFIG_USERCONFIG": npmrc}
        return {**kept, **own, **self.index, "PIPENV_IGNORE_VIRTUALENVS": "1", "PIPENV_PYTHON": sys.executable}

    def run(self, command):
        """The milliseconds that a command takes."""
        return timed(command, self.project, self.variables())

    def forget(self, results):
        """Remove what was locked."""
        for name in results:
            place = self.project / name
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)


def one(envo, runs, folder):
    programs = peers()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    uv = [programs / "uv", "pip", "compile", "-q", "--universal", "--generate-hashes", "--python-version", version]
    commands = {
        "envo": ([envo, "lock"], ["locks", "envo.lock"]),
        "uv": ([*uv, "--format", "pylock.toml", "-o", "pylock.toml", "requirements.in"], ["pylock.toml"]),
        "pip-tools": (
            [programs / "pip-compile", "-q", "--generate-hashes", "-o", "requirements.txt", "requirements.in"],
            ["requirements.txt"],
        ),
        "pip lock": ([programs / "pip", "lock", "-q", "-o", "pylock.toml", "-r", "requirements.in"], ["pylock.toml"]),
        "pipenv": ([programs / "pipenv", "lock"], ["Pipfile.lock"]),
    }
    places = {name: Place(folder / name.replace(" ", "-")) for name in commands}
    for place in places.values():
        requirements = "".join(f"{name}\n" for name in REQUIREMENTS)
        (place.project / "requirements.in").write_text(requirements)
        packages = "".join(f'{name} = "*"\n' for name in REQUIREMENTS)
        url = Place.index.get("PIP_INDEX_URL", "https://pypi.org/simple")
        source = f'[[source]]\nurl = "{url}"\nverify_ssl = true\nname = "pypi"\n'
        (place.project / "Pipfile").write_text(f"{source}[packages]\n{packages}")
        text = f"[tox]\nno_package = true\nenv_list = py{version}\n[testenv]\ndeps = -r requirements.in\n"
        (place.project / "tox.ini").write_text(text)
    for title, cold, count in [("with empty caches", True, min(runs, 3)), ("with full caches", False, runs)]:
        times = {name: [] for name in commands}
        for turn in range(count):
            # Each follows another than before, since what ran last decides what the next one finds in memory.
            order = list(commands)
            random.Random(turn).shuffle(order)
            for name in order:
                command, results = commands[name]
                places[name].forget(results)
                if cold:
                    places[name].empty()
                times[name].append(places[name].run(command))
        told(f"one environment, {title}", times, "envo")
    lock = places["envo"].project / "locks" / f"pylock.py{version.replace('.', '_')}.toml"
    print(f"  {lock.read_text().count('[[packages]]')} packages")


def six(envo, runs, folder):
    place = Place(folder / "six")
    shutil.copytree(ROOT / "fixtures" / "locked", place.project, dirs_exist_ok=True)
    results = ["locks", "envo.lock"]
    for title, cold, count in [("with empty caches", True, min(runs, 5)), ("with full caches", False, runs)]:
        times = []
        for _ in range(count):
            place.forget(results)
            if cold:
                place.empty()
            times.append(place.run([envo, "lock"]))
        told(f"six environments, {title}", {"envo": times}, "envo")
    times = {"envo": [], "with newer": []}
    for _ in range(runs):
        times["with newer"].append(place.run([envo, "lock", "--upgrade"]))
        times["envo"].append(place.run([envo, "lock"]))
    told("six environments that are locked", times, "envo")


def check(envo, runs, folder):
    place = Place(folder / "check")
    shutil.copytree(ROOT / "fixtures" / "locked", place.project, dirs_exist_ok=True)
    place.run([envo, "lock"])
    times = [place.run([envo, "lock", "--check"]) for _ in range(runs * 4)]
    told("lock --check of six environments", {"envo": times}, "envo")


def noop(envo, runs, folder):
    times = {"run": [], "--locked": []}
    words = {"run": ["run"], "--locked": ["run", "--locked"]}
    places = {name: Place(folder / f"noop{name}") for name in words}
    for name, place in places.items():
        (place.project / "tox.ini").write_text(NOTHING_TO_DO)
        place.run([envo, "lock", "-e", "py"])
        place.run([envo, *words[name], "-e", "py"])
    for _ in range(runs * 10):
        for name, place in places.items():
            times[name].append(place.run([envo, *words[name], "-e", "py"]))
    told("nothing to do", times, "run")


def main():
    cases = {"one": one, "six": six, "check": check, "noop": noop}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", choices=[*cases, []], help="which; all by default")
    parser.add_argument("--bin", type=Path, default=ROOT / "target" / "release" / "envo", help="the program")
    parser.add_argument("-n", "--runs", type=int, default=5, help="how often each is run")
    parser.add_argument("--network", action="store_true", help="ask the index that pip asks")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve()
    peers()
    with contextlib.nullcontext({}) if arguments.network else index() as variables:
        Place.index = variables
        measure(arguments, cases)
    return None


def measure(arguments, cases):
    for name in arguments.cases or cases:
        with tempfile.TemporaryDirectory(prefix="envo-locks-") as folder:
            cases[name](arguments.bin.resolve(), arguments.runs, Path(folder).resolve())


if __name__ == "__main__":
    main()
