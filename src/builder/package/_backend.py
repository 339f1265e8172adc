"""The backend's side of envo's PEP 517 front end; it runs in the packaging environment, on Python 2.7 and every 3.

Arguments: "True" (the process serves many requests), the backend's module and, when the backend is an object inside that
module, the object. Each line of standard input is a request in JSON: "cmd" (the hook), "kwargs", "result" (the file that
the answer goes to), "fork" (whether the hook runs in a process of its own) and "done" (what to write, on standard output
and on standard error, when everything the hook wrote is out). The process ends with its input.
"""

from __future__ import print_function, unicode_literals

import importlib
import io
import json
import os
import sys
import traceback

OPTIONAL_HOOKS = (
    "get_requires_for_build_sdist",
    "prepare_metadata_for_build_wheel",
    "get_requires_for_build_wheel",
    "build_editable",
    "get_requires_for_build_editable",
    "prepare_metadata_for_build_editable",
)


class MissingCommand(TypeError):
    """The backend does not have a hook."""


class BackendProxy(object):
    def __init__(self, module, path):
        backend = importlib.import_module(module)
        for name in path.split(".") if path else ():
            backend = getattr(backend, name)
        self.backend = backend

    def __str__(self):
        return "BackendProxy(backend={})".format(self.backend)

    def call(self, hook, arguments):
        if hook == "_exit":
            return 0
        if hook == "_optional_hooks":
            return {name: hasattr(self.backend, name) for name in OPTIONAL_HOOKS}
        if not hasattr(self.backend, hook):
            raise MissingCommand("{!r} has no attribute {!r}".format(self.backend, str(hook)))
        return getattr(self.backend, hook)(**arguments)


class Streams(object):
    """Own copies of the standard streams, so that a backend may do to the originals what it likes."""

    def __init__(self):
        self.requests = os.dup(0)
        self.outputs = (os.dup(1), os.dup(2))
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self.buffer = b""

    def read_line(self):
        """The next request, or None at the end of the input."""
        while b"\n" not in self.buffer:
            chunk = os.read(self.requests, 65536)
            if not chunk:
                return None
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode("utf-8")

    def done(self, mark):
        flush()
        for output in self.outputs:
            rest = mark.encode("utf-8")
            while rest:
                rest = rest[os.write(output, rest) :]


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # the backend may have closed or replaced it
            pass


def say(text, stream=None):
    try:
        print(text, file=stream or sys.stdout)
    except UnicodeError:
        print(text.encode("ascii", "backslashreplace").decode("ascii"), file=stream or sys.stdout)
    except Exception:  # the backend may have closed or replaced it
        pass


def failure(exception):
    code = exception.code if isinstance(exception, SystemExit) else 1
    try:
        result = {"code": code, "exc_type": exception.__class__.__name__, "exc_msg": str(exception)}
        return result, json.dumps(result)
    except BaseException:
        result = {"code": 1, "exc_type": "RuntimeError", "exc_msg": "Failed to serialize backend exception"}
        return result, json.dumps(result)


def serve(backend, request):
    say("Backend: run command {} with args {}".format(request["cmd"], request["kwargs"]))
    try:
        result = {"return": backend.call(request["cmd"], request["kwargs"])}
        response = json.dumps(result)
    except BaseException as exception:
        result, response = failure(exception)
        if not isinstance(exception, MissingCommand):
            traceback.print_exc()
    try:
        with io.open(request["result"], "wb") as file_handler:
            file_handler.write(response.encode("utf-8"))
    except Exception:
        traceback.print_exc()
    say("Backend: Wrote response {} to {}".format(result, request["result"]))


def serve_forked(backend, request):
    flush()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        serve(backend, request)
        flush()
    finally:
        os._exit(0)


def main(arguments):
    streams = Streams()
    if sys.path and os.path.abspath(sys.path[0]) == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]  # nothing beside this file is for the backend
    try:
        backend = BackendProxy(arguments[1], arguments[2] if len(arguments) > 2 else None)
    except BaseException:
        say("failed to start backend", sys.stderr)
        raise
    say("started backend {}".format(backend))
    streams.done("\x1estarted\n")
    folder = os.getcwd()
    while True:
        line = streams.read_line()
        if line is None:
            return 0
        request = json.loads(line)
        os.chdir(folder)
        if hasattr(importlib, "invalidate_caches"):
            importlib.invalidate_caches()
        (serve_forked if request["fork"] and hasattr(os, "fork") else serve)(backend, request)
        streams.done(request["done"])
        if request["cmd"] == "_exit":
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
