#!/usr/bin/env python3
"""Measure what envo itself adds to services: measure_services.py [--bin PATH] [CASE …]

    start      ten services whose environments are built, in a folder that never served and in one that did: milliseconds
               from the start of `serve` until all have printed, beside the same ten started by nobody but this script
    memory     PSS of the foreground `serve`, of the supervisor, and of shim forker and shims, while those ten run
    idle       processor time of all these in 30 s: with nothing but services, and with `alive`, `watch` and ports
    readiness  for each kind of probe: milliseconds from the fact until `serve` says so, for services that take their time
    flood      the longest that a service was held up when it writes 1,000,000 lines, one at a time and by the hundred
    gigabyte   a gigabyte of lines: lines a second, memory of the supervisor, what is kept
    hundred    a hundred services in ten layers: `up --wait`, `down`
    chain      fifty services in a row: milliseconds a link, beside fifty side by side

The limits beside the figures are those that envo is held to. Everything is below one temporary folder. Linux only: it
reads /proc. Nothing else should run meanwhile.
"""

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEAD = "[tox]\nno_package = true\n[testenv]\nskip_install = true\nallowlist_externals = *\nstop_timeout = 2\n"
PATIENCE = 120

PROBED = '''import http.server, os, signal, socket, sys, threading, time
name, delay, number = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
kind = name.partition("-")[0]
fact = "fact-" + name
ready = threading.Event()
def happened():
    with open(fact + ".part", "w") as file:
        file.write(repr(time.monotonic()))
    os.rename(fact + ".part", fact)
def wait():
    time.sleep(delay)
if kind == "tcp":
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    wait(); one.bind(("127.0.0.1", number)); one.listen(); happened()
elif kind == "unix":
    one = socket.socket(socket.AF_UNIX)
    wait(); one.bind(name); one.listen(); happened()
elif kind == "http":
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if ready.is_set() else 503); self.end_headers()
        def log_message(self, *_): pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", number), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wait(); ready.set(); happened()
elif kind == "cmd":
    wait(); open(name, "w").close(); happened()
elif kind == "log":
    wait(); print("it is up", flush=True); happened()
elif kind == "notify":
    one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    wait(); one.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"]); happened()
elif kind == "exit":
    wait(); happened(); os._exit(0)
while True: signal.pause()
'''

FLOOD = '''import os, sys, time
lines, at_once = int(sys.argv[1]), int(sys.argv[2])
block = (b"x" * 99 + b"\\n") * at_once
longest, clock = 0, time.perf_counter
time.sleep(1)
begin = clock()
for _ in range(lines // at_once):
    before = clock()
    os.write(1, block)
    longest = max(longest, clock() - before)
took = clock() - begin
os.write(1, b"the end\\n")
with open("flood.part", "w") as file:
    file.write(f"{longest} {took}")
os.rename("flood.part", "flood.done")
time.sleep(3600)
'''

ACCEPT = '''import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("UP", flush=True)
while True: server.accept()[0].close()
'''


class Project:
    """A folder with a configuration, and envo in it."""

    def __init__(self, envo, base, name, services, default=""):
        self.envo, self.folder = envo, base / name
        self.folder.mkdir()
        text = HEAD + default + "".join(f"[testenv:{name}]\n{keys}\n" for name, keys in services.items())
        (self.folder / "tox.ini").write_text(text)
        self.names = ",".join(services)
        self.run("run", "-e", self.names, "--notest")

    def script(self, name, text):
        (self.folder / name).write_text(text)

    def run(self, *arguments):
        begin = time.perf_counter()
        done = subprocess.run([self.envo, *arguments], cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"envo {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return time.perf_counter() - begin

    def serve(self):
        return Serving(self)

    @property
    def log(self):
        return self.folder / ".tox/.envo/log"


class Serving:
    """A foreground `serve`, whose output is read here."""

    def __init__(self, project):
        self.begin = time.perf_counter()
        command = [project.envo, "-e", project.names, "serve"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=project.folder, stdout=pipe, stderr=subprocess.STDOUT)
        self.printed = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.stdout.read()
        self.process.wait()

    def lines(self):
        """Each line with the time at which it came."""
        while True:
            block = os.read(self.process.stdout.fileno(), 65536)
            if not block:
                sys.exit(f"serve has ended: {self.printed.decode()}")
            now = time.monotonic()
            *whole, rest = (self.printed + block).split(b"\n")
            self.printed = rest
            for line in whole:
                yield re.sub(r"\x1b\[[0-9;]*m", "", line.decode(errors="replace")), now

    def wait_for(self, text, count):
        for line, _ in self.lines():
            count -= text in line
            if not count:
                return time.perf_counter() - self.begin

    def processes(self):
        """All that runs envo's program, by what they are."""
        program = os.path.realpath(f"/proc/{self.process.pid}/exe")
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "exe") == program:
                    found[int(entry.name)] = (entry / "stat").read_text().rpartition(") ")[2].split()[1]
            except OSError:
                continue
        others = {pid: int(parent) for pid, parent in found.items() if pid != self.process.pid}
        supervisors = [pid for pid, parent in others.items() if parent not in others]
        rest = [pid for pid in others if pid not in supervisors]
        return {"serve": [self.process.pid], "supervisor": supervisors, "shim forker and shims": rest}


def print_figure(case, figure, limit=""):
    print(f"{case:<12} {figure}" + (f"   (at most {limit})" if limit else ""), flush=True)


def milliseconds(times):
    return f"{statistics.median(times) * 1000:.0f} ms ({min(times) * 1000:.0f} to {max(times) * 1000:.0f})"


def ten(envo, base, name):
    services = {f"s{n}": f"serve = sh -c 'echo UP-{n}.; exec sleep 98765'" for n in range(10)}
    return Project(envo, base, name, services)


def start(envo, base):
    import shutil

    project = ten(envo, base, "start")
    first, again = [], []
    for times in (first, again):
        for _ in range(9):
            if times is first:
                shutil.rmtree(project.folder / ".tox/.envo", ignore_errors=True)
            with project.serve() as serving:
                times.append(serving.wait_for("UP-", 10))
    bare = []
    for _ in range(9):
        begin = time.perf_counter()
        shells = [
            subprocess.Popen(["sh", "-c", "echo UP; exec sleep 98765"], stdout=subprocess.PIPE) for _ in range(10)
        ]
        for shell in shells:
            shell.stdout.readline()
        bare.append(time.perf_counter() - begin)
        for shell in shells:
            shell.kill()
            shell.communicate()
    print_figure("start", f"first {milliseconds(first)}, again {milliseconds(again)}; bare {milliseconds(bare)}", "100 ms")


def pss(pid):
    return int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) / 1000


def memory(envo, base):
    with ten(envo, base, "memory").serve() as serving:
        serving.wait_for("UP-", 10)
        time.sleep(1)
        groups = serving.processes()
        sizes = {kind: sum(map(pss, pids)) for kind, pids in groups.items()}
    parts = ", ".join(f"{kind} {size:.1f}" for kind, size in sizes.items())
    print_figure("memory", f"{sum(sizes.values()):.1f} MB: {parts}; {sum(map(len, groups.values()))} processes", "10 MB")



def idle(envo, base):
    free = [port for _, port in zip(range(10), ports())]
    busy = {
        f"s{n}": f"serve = python -I {base}/accept.py {{port}}\nports = web={free[n]}\n"
        "alive = tcp://127.0.0.1:{port}\nwatch = source"
        for n in range(10)
    }
    (base / "accept.py").write_text(ACCEPT)
    for name, project in {
        "nothing": ten(envo, base, "idle"),
        "alive, watch": Project(envo, base, "busy", busy),
    }.items():
        (project.folder / "source").mkdir()
        (project.folder / "source/a.txt").write_text("a")
        with project.serve() as serving:
            serving.wait_for("UP", 10)
            time.sleep(2)
            groups = serving.processes()
            before = {kind: processor_time(pids) for kind, pids in groups.items()}
            time.sleep(30)
            used = {kind: (processor_time(pids) - before[kind]) / 30 * 100 for kind, pids in groups.items()}
        parts = ", ".join(f"{kind} {share:.3f}" for kind, share in used.items())
        print_figure("idle", f"{sum(used.values()):.3f} % with {name}: {parts}", "0.05 %")


def processor_time(pids):
    # The system keeps the times of each thread by the nanosecond, and those of whole processes by the tick.
    tasks = (task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def ports():
    """Ports that are free now."""
    import socket

    held = []
    while True:
        held.append(socket.create_server(("127.0.0.1", 0)))
        yield held[-1].getsockname()[1]


def readiness(envo, base):
    free = ports()
    ready = {
        "tcp": "tcp://127.0.0.1:{0}",
        "http": "http://127.0.0.1:{0}/",
        "unix": "unix://{1}",
        "cmd": "cmd:test -e {1}",
        "log": "log:it is up",
        "notify": "notify",
        "exit": "exit",
    }
    folder = base / "readiness"
    services = {}
    for kind, probe in ready.items():
        for pace, delay in {"quick": 0.2, "normal": 1.1, "slow": 3.3, "slowest": 9.5}.items():
            name, port = f"{kind}-{pace}", next(free)
            serve = f"{sys.executable} -I probed.py {name} {delay} {port}"
            services[name] = f"serve = {serve}\nready = {probe.format(port, folder / name)}"
    free.close()
    project = Project(envo, base, "readiness", services)
    project.script("probed.py", PROBED)
    late = {kind: [] for kind in ready}
    with project.serve() as serving:
        left = set(services)
        for line, now in serving.lines():
            name, _, state = line.partition(": ")
            if name in left and state.startswith(("ready", "done", "exited", "ended")):
                left.discard(name)
                fact = folder / f"fact-{name}"
                deadline = time.monotonic() + 5
                while not fact.exists() and time.monotonic() < deadline:
                    time.sleep(0.001)
                late[name.partition("-")[0]].append(now - float(fact.read_text()))
            if not left:
                break
    for kind, times in late.items():
        print_figure("readiness", f"{kind:<7} {milliseconds(times)}", "50 ms")


def flooded(envo, base, name, lines, at_once):
    """Runs a flood to its end; what the service says of it, and the project and the memory of the supervisor."""
    serve = f"serve = {sys.executable} -I flood.py {lines} {at_once}"
    project = Project(envo, base, name, {"flood": serve})
    project.script("flood.py", FLOOD)
    done = project.folder / "flood.done"
    command = [envo, "-e", "flood", "serve"]
    process = subprocess.Popen(command, cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    serving = Serving.__new__(Serving)
    serving.process = process
    deadline = time.monotonic() + PATIENCE
    while not done.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    peaks = {}
    for kind, pids in serving.processes().items():
        status = "".join(Path(f"/proc/{pid}/status").read_text() for pid in pids)
        # Of its own: what it shares with others are pages of the program and of files.
        peaks[kind] = sum(int(size) for size in re.findall(r"^RssAnon:\s+(\d+)", status, re.M)) / 1000
    process.send_signal(signal.SIGINT)
    process.wait()
    longest, took = map(float, done.read_text().split())
    return project, longest, took, peaks


def flood(envo, base):
    for at_once in (1, 100):
        project, longest, took, _ = flooded(envo, base, f"flood-{at_once}", 1_000_000, at_once)
        arrived = (project.log / "flood.log").read_bytes().count(b"x" * 99 + b"\n")
        print_figure(
            "flood",
            f"{1000 / took:.0f} k lines/s by {at_once}; arrived {arrived:,}; held up {longest * 1000:.1f} ms",
            "10 ms",
        )


def gigabyte(envo, base):
    project, longest, took, peaks = flooded(envo, base, "gigabyte", 10_750_000, 100)
    kept = sorted(project.log.glob("flood.log*"))
    size = sum(path.stat().st_size for path in kept)
    torn = [path.name for path in kept if not path.read_bytes().endswith(b"\n")]
    end = (project.log / "flood.log").read_bytes()[-8:]
    print_figure(
        "gigabyte",
        f"{10_750 / took:.0f} k lines/s; held up {longest * 1000:.1f} ms; kept {size / 1e6:.0f} MB in {len(kept)} files"
        f"{', torn: ' + ' '.join(torn) if torn else ''}{'' if end == b'the end' + bytes([10]) else ', END IS MISSING'}; "
        f"memory of its own: supervisor {peaks['supervisor']:.1f} MB, serve {peaks['serve']:.1f} MB",
    )


TRIVIAL = "serve = sh -c 'echo UP; exec sleep 98765'\nready = log:UP\n"


def up_and_down(project, times=5):
    up, down = [], []
    for _ in range(times):
        up.append(project.run("up", "-e", project.names, "--wait"))
        down.append(project.run("down"))
    return up, down


def hundred(envo, base):
    services = {}
    for layer in range(10):
        depends = ", ".join(f"s{layer - 1}{n}" for n in range(10)) if layer else ""
        for number in range(10):
            services[f"s{layer}{number}"] = TRIVIAL + f"depends = {depends}"
    up, down = up_and_down(Project(envo, base, "hundred", services))
    print_figure("hundred", f"up {milliseconds(up)}", "1000 ms")
    print_figure("hundred", f"down {milliseconds(down)}", "1000 ms")


def chain(envo, base):
    row = {f"s{n}": TRIVIAL + (f"depends = s{n - 1}" if n else "") for n in range(50)}
    chained, ended = up_and_down(Project(envo, base, "chain", row))
    flat, _ = up_and_down(Project(envo, base, "flat", {f"s{n}": TRIVIAL for n in range(50)}))
    link = (statistics.median(chained) - statistics.median(flat)) / 49
    figure = f"{link * 1000:.1f} ms a link: up {milliseconds(chained)}, side by side {milliseconds(flat)}"
    print_figure("chain", f"{figure}; down {milliseconds(ended)}", "10 ms")


def main():
    cases = [start, memory, idle, readiness, flood, gigabyte, hundred, chain]
    known = {case.__name__: case for case in cases}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="target/release/envo")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=" ".join(known))
    options = parser.parse_args()
    if set(options.cases) - set(known):
        parser.error(f"cases are {' '.join(known)}")
    envo = str(Path(options.bin).resolve(strict=True))
    with tempfile.TemporaryDirectory(prefix="services-") as folder:
        for case in options.cases or known:
            known[case](envo, Path(folder))


if __name__ == "__main__":
    main()
