"""Projects with services, for tests of what the package does with them."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Optional

import pytest

#: A service that reports its start and its end to the gate, answers HTTP, and writes a line for each request.
SERVICE = '''
import http.server, os, signal, socket, sys

name, port, address = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def tell(what):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gate:
        gate.connect(address)
        gate.sendall((name + " " + what).encode())

def stop(*_):
    tell("down")
    os._exit(0)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.command, self.path, flush=True)
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
signal.signal(signal.SIGTERM, stop)
print(name, "begins", flush=True)
tell("up")
server.serve_forever()
'''

HEAD = """
[tox]
no_package = true
env_list = py

[testenv]
package = skip
"""

#: How long a test waits for something that should have happened long before.
PATIENCE = 60


class Gate:
    """Where services report what happens to them. A report waits until somebody asks for it."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "gate")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(100)

    def next(self, patience: float = PATIENCE) -> Optional[str]:
        """What is reported next; ``None``: nothing in that time."""
        if not select.select([self._listener], [], [], patience)[0]:
            return None
        stream, _ = self._listener.accept()
        with stream:
            parts = []
            while True:
                part = stream.recv(1024)
                if not part:
                    break
                parts.append(part)
        return b"".join(parts).decode()

    def all(self) -> List[str]:
        """What was reported until now and nobody has heard."""
        reports: List[str] = []
        while True:
            report = self.next(0)
            if report is None:
                return reports
            reports.append(report)

    def close(self) -> None:
        self._listener.close()


class Project:
    """A folder with a configuration, and envo and pytest to run in it."""

    def __init__(self, root: Path, gate: Gate, variables: Dict[str, str]) -> None:
        self.root = root
        self.gate = gate
        self.variables = variables
        (root / "service.py").write_text(SERVICE)

    def serve(self, name: str, extra: str = "") -> str:
        """The section of a service that reports to the gate."""
        return (
            f"\n[testenv:{name}]\nserve = {sys.executable} service.py {name} {{port}} {self.gate.path}\n"
            f"allowlist_externals = *\nports = http\nready = http://{{host}}:{{port}}/\n{extra}\n"
        )

    def ini(self, *sections: str) -> "Project":
        (self.root / "tox.ini").write_text(HEAD + "".join(sections))
        return self

    def file(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def envo(self, *words: str) -> str:
        """What envo says; it must succeed."""
        program = [os.environ["ENVO_EXECUTABLE"], *words]
        done = subprocess.run(program, cwd=self.root, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = done.stdout.decode()
        assert done.returncode == 0, text
        return text

    def start_pytest(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "envo_run.pytest_plugin", *words],
            cwd=self.root,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )

    def pytest(self, *words: str, code: int = 0) -> str:
        """What a run of pytest says; it must end with ``code``."""
        process = self.start_pytest(*words)
        text, _ = process.communicate(timeout=300)
        assert process.returncode == code, text
        return text

    def wait_for_processes(self) -> None:
        """Waits until no process is left that has to do with the project: its folder, arguments or variables show it."""
        for number in [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]:
            try:
                process = os.pidfd_open(number)  # type: ignore[attr-defined,unused-ignore]
            except OSError:
                continue
            try:
                if number != os.getpid() and self._is_meant(Path("/proc") / str(number)):
                    what = (Path("/proc") / str(number) / "cmdline").read_bytes()
                    assert select.select([process], [], [], PATIENCE)[0], what
            except OSError:
                # It ended meanwhile.
                pass
            finally:
                os.close(process)

    def _is_meant(self, process: Path) -> bool:
        told = b" ".join((process / name).read_bytes() for name in ("cmdline", "environ"))
        return str(self.root).encode() in told or Path(os.readlink(process / "cwd")) == self.root

    def is_quiet(self) -> bool:
        """Whether no service runs, nor the supervisor."""
        return "nothing is running" in self.envo("ps")


@pytest.fixture
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    # The path of a socket must be short.
    folder = Path(subprocess.check_output(["mktemp", "-d"]).decode().strip())
    gate = Gate(folder)
    yield gate
    gate.close()
    os.unlink(gate.path)
    folder.rmdir()


@pytest.fixture
def project(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    if not os.environ.get("ENVO_EXECUTABLE"):
        pytest.fail("ENVO_EXECUTABLE must name the envo to test", pytrace=False)
    # What this run was told of its own services is not for the projects that are tested.
    for name in list(os.environ):
        if re.match("PYTEST_|TOX_|ENVO_(?!EXECUTABLE|CACHE_DIR|INSTALLER|OFFLINE)", name):
            monkeypatch.delenv(name)
    runtime = Path(subprocess.check_output(["mktemp", "-d"]).decode().strip())
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("ENVO_STATE_DIR", str(tmp_path / "state"))
    root = tmp_path / "project"
    root.mkdir()
    project = Project(root, gate, dict(os.environ))
    monkeypatch.chdir(root)
    yield project
    project.envo("down")
    subprocess.check_call(["rm", "-rf", str(runtime)])


def get(url: str) -> str:
    """What an HTTP server answers."""
    from urllib.request import urlopen

    with urlopen(url) as answer:
        return str(answer.read().decode())
