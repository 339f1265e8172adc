#!/usr/bin/env python3
"""Time environments of other languages beside their own tools, in one run: languages_beside_tools.py [CASE …].

    node     a new environment of fixtures/polyglot/shop, beside `npm ci`; and one with nothing to do
    bundler  a new environment with twenty gems, beside `bundle install`; and one with nothing to do
    stack    the four services of fixtures/polyglot from built environments, beside the slowest of them by itself

The programs take turns, so a drifting machine hurts all alike; what one leaves behind is removed before its time begins.
All caches are warm.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import measured
from measured import told

ROOT = Path(__file__).resolve().parent.parent
POLYGLOT = ROOT / "fixtures" / "polyglot"
GEMS = 20


def timed(command, folder, variables=None):
    """The milliseconds that a command takes with these variables besides."""
    return measured.timed(command, folder, {**os.environ, **(variables or {})})


def remove(*places):
    for place in places:
        shutil.rmtree(place, ignore_errors=True)


def beside(title, envo, runs, project, bare):
    """A new environment beside the bare tool, then one with nothing to do. `bare`: what it makes, command, variables."""
    made, command, variables = bare
    work_dir = project / ".tox"
    timed([envo, "run"], project)
    timed(command, project, variables)
    times = {"bare": [], "envo": []}
    for _ in range(runs):
        remove(made)
        times["bare"].append(timed(command, project, variables))
        remove(made, work_dir)
        times["envo"].append(timed([envo, "run"], project))
    told(title, times, "bare")
    nothing = {"the smallest process": [], "envo": []}
    for _ in range(runs * 10):
        nothing["the smallest process"].append(timed(["true"], project))
        nothing["envo"].append(timed([envo, "run"], project))
    told(f"{title}: nothing to do", nothing, "envo")


def node(envo, runs, folder):
    shutil.copytree(POLYGLOT / "shop", folder, dirs_exist_ok=True)
    (folder / "tox.ini").write_text("[tox]\nenv_list = js\n[testenv:js]\nruntime = node\ncommands =\n")
    beside("npm", envo, runs, folder, (folder / "node_modules", ["npm", "ci"], {}))


def bundler(envo, runs, folder):
    cache = folder / "vendor" / "cache"
    cache.mkdir(parents=True)
    names = [f"leaf{number}" for number in range(GEMS)]
    for name in names:
        source = folder / "source" / name
        (source / "lib").mkdir(parents=True)
        (source / "lib" / f"{name}.rb").write_text(f"# {name}\n" * 100)
        text = f"gem.name = '{name}'; gem.version = '1.0'; gem.summary = 'x'; gem.authors = ['x']"
        files = f"gem.files = ['lib/{name}.rb']"
        (source / "it.gemspec").write_text(f"Gem::Specification.new do |gem|\n{text}\n{files}\nend\n")
        timed(["gem", "build", "--silent", "--output", cache / f"{name}-1.0.gem", "it.gemspec"], source)
    gems = "".join(f"gem '{name}'\n" for name in names)
    (folder / "Gemfile").write_text(f"source 'https://rubygems.org'\n{gems}")
    (folder / "tox.ini").write_text("[tox]\nenv_list = rb\n[testenv:rb]\nruntime = ruby\ncommands =\n")
    home = folder / "bare"
    variables = {"GEM_HOME": str(home), "GEM_PATH": str(home), "BUNDLE_SILENCE_ROOT_WARNING": "true"}
    beside("Bundler", envo, runs, folder, (home, ["bundle", "install", "--local"], {**variables, "BUNDLE_FROZEN": "true"}))


def until_it_answers(port):
    opener = build_opener(ProxyHandler({}))
    while True:
        try:
            return opener.open(f"http://127.0.0.1:{port}/", timeout=5).read()
        except (URLError, OSError):
            time.sleep(0.002)


def alone(command, folder, variables, port):
    """The milliseconds from the start of a service to its first answer."""
    start = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], cwd=folder, env={**os.environ, **variables})
    until_it_answers(port)
    milliseconds = (time.perf_counter() - start) * 1000
    process.kill()
    process.wait()
    return milliseconds


def stack(envo, runs, folder):
    shutil.copytree(POLYGLOT, folder, dirs_exist_ok=True)
    timed([envo, "run"], folder)
    made, port = folder / ".tox", 18950
    gems = made / "stock" / "ruby"
    bundle = {
        "GEM_HOME": str(gems),
        "GEM_PATH": str(gems),
        "BUNDLE_APP_CONFIG": str(gems / ".bundle"),
        "BUNDLE_GEMFILE": str(folder / "stock" / "Gemfile"),
    }
    services = {
        "shop": (["node", "server.js"], {"NODE_PATH": str(made / "shop" / "node" / "node_modules")}),
        "stock": (["bundle", "exec", "ruby", "server.rb"], bundle),
        "rates": ([made / "rates" / "go" / "bin" / "rates"], {}),
        "ledger": ([made / "ledger" / "rust" / "bin" / "ledger"], {}),
    }
    times = {name: [] for name in [*services, "the slowest of these", "all, by hand at once", "envo up"]}
    for _ in range(runs):
        for number, (name, (command, variables)) in enumerate(services.items()):
            times[name].append(alone([*command, port + number], folder / name, variables, port + number))
        times["the slowest of these"].append(max(times[name][-1] for name in services))
        times["all, by hand at once"].append(at_once(services, folder, port))
        times["envo up"].append(timed([envo, "up", "--wait", "-e", ",".join(services)], folder))
        timed([envo, "down"], folder)
    told("the stack", times, "the slowest of these")
    beyond = [up - slowest for up, slowest in zip(times["envo up"], times["the slowest of these"])]
    print(f"  envo up beyond the slowest: {statistics.median(beyond):.1f} ms ({min(beyond):.1f} to {max(beyond):.1f})")


def at_once(services, folder, port):
    """All services started together, until the last of them answers."""
    start = time.perf_counter()
    processes = []
    for number, (name, (command, variables)) in enumerate(services.items()):
        words = [str(word) for word in [*command, port + number]]
        processes.append(subprocess.Popen(words, cwd=folder / name, env={**os.environ, **variables}))
    for number in range(len(services)):
        until_it_answers(port + number)
    milliseconds = (time.perf_counter() - start) * 1000
    for process in processes:
        process.kill()
        process.wait()
    return milliseconds


def main():
    cases = {"node": node, "bundler": bundler, "stack": stack}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", choices=[*cases, []], help="which; all by default")
    parser.add_argument("--bin", type=Path, default=ROOT / "target" / "release" / "envo", help="the program")
    parser.add_argument("-n", "--runs", type=int, default=5, help="how often each is run")
    arguments = parser.parse_args()
    for name in arguments.cases or cases:
        with tempfile.TemporaryDirectory(prefix="envo-languages-") as folder:
            cases[name](arguments.bin.resolve(), arguments.runs, Path(folder).resolve())


if __name__ == "__main__":
    main()
