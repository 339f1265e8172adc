"""What the pytest plugin costs, beside pytest alone: the figures of docs/benchmarks.md.

    ENVO_EXECUTABLE=target/release/envo PYTHONPATH=python python python/measures.py [RUNS]

It needs pytest and pytest-xdist. Runs with and without the plugin take turns; figures are medians. The package is used as
pip leaves it: with its bytecode.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List

SERVICE = """
import http.server, os, signal, sys, time
with open("events", "a") as file: file.write("start\\n")
def stop(*_):
    with open("events", "a") as file: file.write("stop\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
with open("ready", "w") as file: file.write(repr(time.time()))
server.serve_forever()
"""

INI = """
[tox]
no_package = true

[testenv:db]
package = skip
serve = {python} -S service.py {{port}}
allowlist_externals = *
ports = http
"""

WITH = ["-p", "envo_run.pytest_plugin"]
QUIET = ["-q", "-p", "no:cacheprovider"]


os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest(folder: Path, *words: str) -> float:
    """How many milliseconds a run takes."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "pytest", *QUIET, *words], cwd=folder, stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stdout.decode()
    return (time.perf_counter() - begin) * 1000


def envo(folder: Path, *words: str) -> None:
    subprocess.run([os.environ["ENVO_EXECUTABLE"], *words], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def compare(one: Callable[[], float], other: Callable[[], float], runs: int) -> float:
    """How much longer the second takes."""
    one(), other()
    times: Dict[Callable[[], float], List[float]] = {one: [], other: []}
    for number in range(runs):
        # Who is second may find the machine as the first has left it.
        for measured in (one, other) if number % 2 else (other, one):
            times[measured].append(measured())
    return statistics.median(times[other]) - statistics.median(times[one])


def project(folder: Path, tests: str, services: bool = True) -> Path:
    folder.mkdir()
    (folder / "service.py").write_text(SERVICE)
    if services:
        (folder / "tox.ini").write_text(INI.format(python=sys.executable))
    else:
        (folder / "tox.ini").write_text("[tox]\nenv_list = py312\n[testenv]\ncommands = pytest\n")
    (folder / "test_it.py").write_text(tests)
    return folder


def first_start(folder: Path) -> float:
    """From the readiness of the service to the test that uses it, and from pytest's asking for it to its beginning."""
    pytest(folder, *WITH)
    asked, used = (float(text) for text in (folder / "times").read_text().split())
    alone = float((folder / "alone").read_text())
    return (used - asked - alone) * 1000


def events(folder: Path) -> List[str]:
    path = folder / "events"
    text = path.read_text().split() if path.exists() else []
    if path.exists():
        path.unlink()
    return text


def processes_in(folder: Path) -> List[str]:
    """The processes that work in a folder: services, workers, whatever a run has started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd") == str(folder):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            pass
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUNS", type=int, nargs="?", default=20, help="how often each is run [default: 20]")
    runs = parser.parse_args().runs
    if not os.environ.get("ENVO_EXECUTABLE"):
        parser.error("ENVO_EXECUTABLE must name the program")
    root = Path(tempfile.mkdtemp(prefix="envo-measures-"))
    figures: Dict[str, str] = {}

    plain = project(root / "plain", "def test_a(): pass\n", services=False)
    collect = compare(lambda: pytest(plain, "--collect-only"), lambda: pytest(plain, "--collect-only", *WITH), runs)
    figures["`pytest --collect-only` in a project without services"] = f"{collect:.1f} ms"

    running = project(root / "running", "def test_a(request):\n    if request.config.pluginmanager.hasplugin('envo_run.pytest_plugin'):\n        assert request.getfixturevalue('db').port\n")
    envo(running, "up", "--wait")
    used = compare(lambda: pytest(running), lambda: pytest(running, *WITH), runs)
    envo(running, "down")
    figures["a session that uses one running service"] = f"{used:.1f} ms"

    # How long the service takes by itself, from the start of its process to its readiness.
    first = project(root / "first", "import time\nfrom pathlib import Path\nASKED = None\ndef test_a(request):\n    asked = time.time()\n    request.getfixturevalue('db')\n    Path('times').write_text(f'{asked} {time.time()}')\n")
    pytest(first, *WITH)
    extra = []
    for _ in range(runs):
        begin = time.time()
        with subprocess.Popen([sys.executable, "-S", "service.py", "0"], cwd=first) as alone:
            while not (first / "ready").exists() or not (first / "ready").read_text():
                os.sched_yield()
            took = float((first / "ready").read_text()) - begin
            alone.kill()
        (first / "ready").unlink()
        (first / "alone").write_text(repr(took))
        extra.append(first_start(first))
        (first / "ready").unlink()
    figures["the first start, beyond the service's own time to readiness"] = f"{statistics.median(extra):.1f} ms"

    many = "import pytest, urllib.request\n@pytest.mark.parametrize('n', range(200))\ndef test_a(db, n): urllib.request.urlopen(f'http://127.0.0.1:{db.port}/service.py').read()\n"
    xdist = project(root / "xdist", many)
    pytest(xdist, *WITH, "-n", "4")
    figures["`pytest -n 4`, 200 tests on one service"] = ", ".join(events(xdist))

    killed = project(root / "killed", many.replace("def test_a(db, n):", "def test_a(db, n):\n    import os, signal, time\n    if n == 100: os.kill(os.getpid(), signal.SIGKILL)\n   "))
    subprocess.run([sys.executable, "-m", "pytest", *QUIET, *WITH, "-n", "4"], cwd=killed, stdout=subprocess.DEVNULL)
    figures["the same, a worker killed half-way"] = ", ".join(events(killed))

    left = 0
    slow = project(root / "slow", many.replace("def test_a(db, n):", "def test_a(db, n):\n    import time; time.sleep(0.02); open('half', 'a').write('x')\n   "))
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-m", "pytest", *QUIET, *WITH, "-n", "4"], cwd=slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        half = slow / "half"
        while not half.exists() or half.stat().st_size < 100:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(2)
        rest = processes_in(slow)
        left += len(rest)
        sys.stderr.write("".join(f"left: {line}\n" for line in rest))
        half.unlink()
    figures["pytest killed half-way, ten times: what is left after 2 s"] = f"{left} processes; " + ", ".join(events(slow))

    for name, figure in figures.items():
        print(f"| {name} | {figure} |")


if __name__ == "__main__":
    main()
