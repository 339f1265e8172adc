"""Compare envo with tox on real projects, taken unchanged from their source distributions.

For every project the source distribution is downloaded with pip and unpacked twice: one copy is for tox, one for envo.
Both programs list the environments and run the same few of them. What `list` prints, the exit codes, the lines of the
final report and the packages that ended up in the environments must be equal. Everything is below `target`:
`target/real-tox` holds the pinned tox, `target/real-projects` the projects and a log of every run.

    cargo build
    python3 compat-tests/bench/real_projects.py
    python3 compat-tests/bench/real_projects.py --projects pluggy 'iniconfig==1.1.1' --environments py311

The exit code is 0 when everything was equal, 1 otherwise. Both programs find their interpreters on PATH.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "target"
TOX_VERSION = "4.67.15"

@dataclass(frozen=True)
class Chosen:
    """A release and its environments: one with tests, and one of another kind (a linter, documentation, types)."""

    version: str
    environments: tuple[str, ...]
    # The project's tox runs with the plugin tox-uv, and both programs find that plugin's uv on PATH.
    uv: bool = False
    # The archive has no configuration of tox's: this one, which is put beside the copy, is named with `-c`.
    configuration: str = ""


def foreign(backend: str, module: str, *lines: str) -> str:
    """A configuration for a project without one of its own: it builds the project in three ways with its backend."""
    return "\n".join(
        [
            "[tox]",
            "env_list = wheel, sdist, editable",
            "[testenv]",
            f"description = {backend}",
            "package =",
            "    wheel: wheel",
            "    sdist: sdist",
            "    editable: editable",
            *lines,
            "commands =",
            f"    python -c 'import {module}, os; print(os.environ[\"TOX_PACKAGE\"] != \"\")'",
            "    python -m pip check",
            "",
        ]
    )


# Pinned, so that the table in docs/compatibility.md can be made again. A project that is asked for without a version
# takes the one here.
PROJECTS: dict[str, Chosen] = {
    "pluggy": Chosen("1.7.0", ("py311", "docs")),
    "iniconfig": Chosen("1.1.1", ("py311",)),
    "more-itertools": Chosen("11.2.1", ("py311", "py312")),
    "itsdangerous": Chosen("2.2.0", ("py311", "style")),
    "jinja2": Chosen("3.1.6", ("py311", "typing")),
    "tomli": Chosen("2.5.0", ("3.11", "pre-commit")),
    "python-dateutil": Chosen("4.0.0", ("py311", "dev")),
    "platformdirs": Chosen("4.14.5", ("3.12", "pkg_meta")),
    "jsonschema": Chosen("3.2.0", ("py311-build", "style")),
    "attrs": Chosen("26.1.0", ("py311-tests", "changelog"), uv=True),
    "werkzeug": Chosen("3.1.9", ("py3.11", "style"), uv=True),
    "click": Chosen("8.5.1", ("py3.11", "typing"), uv=True),
    "markupsafe": Chosen("3.0.4", ("py3.11", "style"), uv=True),
    "structlog": Chosen("26.1.0", ("3.11-tests", "3.11-mypy"), uv=True),
    "exceptiongroup": Chosen("1.3.1", ("3.11", "typing")),
    "typeguard": Chosen("4.6.0", ("py311", "docs")),
    "wheel": Chosen("0.48.0", ("py311", "lint")),
    "tldextract": Chosen("5.4.0", ("py311",)),
    "pyjwt": Chosen("2.15.1", ("py311-crypto", "py311-crypto-mypy")),
    "stevedore": Chosen("5.10.0", ("py3", "mypy")),
    "flake8-docstrings": Chosen("1.7.0", ("py", "pre-commit")),
    "asttokens": Chosen("3.0.2", ("py311",)),
    "py-serializable": Chosen(
        "2.1.0", ("wheel", "sdist", "editable"), configuration=foreign("poetry-core", "py_serializable")
    ),
    "tox-pdm": Chosen("0.7.2", ("wheel", "sdist", "editable"), configuration=foreign("pdm-backend", "tox_pdm")),
    "blake3": Chosen("1.0.11", ("wheel", "editable"), configuration=foreign("maturin", "blake3")),
    "meson-python": Chosen("0.22.1", ("wheel", "sdist"), configuration=foreign("meson-python", "mesonpy")),
}

REPORT_LINE = re.compile(r"^  (\S+): (OK|FAIL|SKIP|IGNORED|NOT)\b(.*)$|^  (congratulations|evaluation failed)\b")
TIMES = re.compile(r"\s*\([^()]*seconds\)")


@dataclass
class Outcome:
    """What one program did when it was asked for one environment."""

    exit_code: int
    report: list[str]
    packages: list[str]
    seconds: float


def main() -> int:
    options = parse_options()
    environment = clean_environment()
    tox = options.tox or install_tox(environment)
    rows, all_equal = [], True
    for requirement in options.projects:
        name, _, version = requirement.partition("==")
        chosen = PROJECTS.get(name, Chosen("", ("py",)))
        chosen = replace(chosen, version=version or chosen.version)
        if options.environments:
            chosen = replace(chosen, environments=tuple(options.environments))
        if chosen.uv:
            with_uv = options.tox_uv or install_tox(environment, "real-tox-uv", ["tox-uv"])
            variables = {**environment, "PATH": os.path.dirname(with_uv) + os.pathsep + environment["PATH"]}
            project = Project(name, chosen, {"tox": with_uv, "envo": options.envo}, variables)
        else:
            # Last on PATH, tox tells envo which pip a new environment gets: the one of its virtualenv.
            variables = {**environment, "PATH": environment["PATH"] + os.pathsep + os.path.dirname(tox)}
            project = Project(name, chosen, {"tox": tox, "envo": options.envo}, variables)
        project.unpack()
        for row in project.compare(options.timeout):
            all_equal &= row[-1] == "yes"
            rows.append(row)
            print("  ".join(row), file=sys.stderr, flush=True)
    print_table(rows)
    return 0 if all_equal else 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tox", type=absolute, help=f"the tox to compare with (else {TOX_VERSION} is installed)")
    parser.add_argument("--tox-uv", type=absolute, help="the same with the plugin tox-uv and uv beside it")
    parser.add_argument("--envo", type=absolute, default=str(TARGET / "debug" / "envo"), help="the envo to check")
    parser.add_argument("--projects", nargs="+", default=list(PROJECTS), metavar="NAME[==VERSION]")
    parser.add_argument("--environments", nargs="+", metavar="NAME", help="instead of those chosen for each project")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that one run may take (default: 600)")
    return parser.parse_args()


def absolute(path: str) -> str:
    """The programs run inside the projects, so a relative path would no longer name them; a link stays a link."""
    return os.path.abspath(path)


def clean_environment() -> dict[str, str]:
    """Settings for tox or envo in the caller's environment would change what both programs do."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TOX", "ENVO")) and name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }


def install_tox(environment: dict[str, str], name: str = "real-tox", plugins: list[str] | None = None) -> str:
    """A virtual environment with the pinned tox, made once."""
    folder = TARGET / name
    program = folder / "bin" / "tox"
    marker = folder / f"complete-{TOX_VERSION}"
    if not marker.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, env=environment)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", f"tox=={TOX_VERSION}", *(plugins or [])]
        subprocess.run(pip, check=True, env=environment)
        marker.touch()
    return str(program)


class Project:
    """One source distribution, with a copy for each program."""

    def __init__(self, name: str, chosen: Chosen, programs: dict[str, str], environment: dict[str, str]) -> None:
        self.name = name
        self.chosen = chosen
        self.version = chosen.version
        self.programs = programs
        self.environment = environment
        self.folder = TARGET / "real-projects" / name
        self.copies: dict[str, Path] = {}

    def unpack(self) -> None:
        archive = self.archive()
        for program in self.programs:
            parent = self.folder / program
            shutil.rmtree(parent, ignore_errors=True)
            parent.mkdir(parents=True)
            with tarfile.open(archive) as content:
                # The interpreters that know the safe filter take it; older ones have no such parameter.
                safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                content.extractall(parent, **safely)
            (self.copies[program],) = parent.iterdir()
            if self.chosen.configuration:
                (parent / "tox.ini").write_text(self.chosen.configuration)

    def archive(self) -> Path:
        downloads = self.folder / "sdist"
        pattern = f"*-{self.version}.tar.gz" if self.version else "*.tar.gz"
        found = sorted(downloads.glob(pattern))
        if not found:
            requirement = f"{self.name}=={self.version}" if self.version else self.name
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", self.name]
            subprocess.run([*pip, "--dest", str(downloads), requirement], check=True, env=self.environment)
            found = sorted(downloads.glob(pattern))
        self.version = self.version or found[-1].name.rpartition("-")[2].removesuffix(".tar.gz")
        return found[-1]

    def compare(self, timeout: float):
        """A row of the table for the list and for each environment."""
        for arguments, title in ((["list"], "list"), (["list", "--no-desc"], "list --no-desc")):
            answers = {program: self.listing(program, arguments, timeout) for program in self.programs}
            codes = " / ".join(str(answer[0]) for answer in answers.values())
            yield self.row(title, codes, differences(answers["tox"], answers["envo"], ["exit code", "output"]))
        for environment in self.chosen.environments:
            outcomes = {program: self.outcome(program, environment, timeout) for program in self.programs}
            tox, envo = outcomes["tox"], outcomes["envo"]
            what = differences(
                (tox.exit_code, tox.report, tox.packages),
                (envo.exit_code, envo.report, envo.packages),
                ["exit code", "report", "packages"],
            )
            for program, outcome in outcomes.items():
                answer = "\n".join([str(outcome.exit_code), *outcome.report, *outcome.packages])
                self.log(program, environment, "outcome").write_text(answer + "\n")
            yield self.row(environment, f"{tox.exit_code} / {envo.exit_code}", what, (tox.seconds, envo.seconds))

    def row(self, title: str, codes: str, different: str, seconds: tuple[float, ...] = ()) -> list[str]:
        taken = " / ".join(f"{value:.1f}" for value in seconds)
        return [self.name, self.version, title, codes, taken, f"no: {different}" if different else "yes"]

    def listing(self, program: str, arguments: list[str], timeout: float) -> tuple[int, str]:
        log = self.log(program, "-".join(arguments), "log")
        return self.run(program, arguments, timeout, log), self.without_paths(program, log.read_text())

    def outcome(self, program: str, environment: str, timeout: float) -> Outcome:
        log = self.log(program, environment, "log")
        started = time.monotonic()
        exit_code = self.run(program, ["run", "-e", environment], timeout, log)
        seconds = time.monotonic() - started
        lines = (TIMES.sub("", line) for line in log.read_text(errors="replace").splitlines())
        report = [line for line in lines if REPORT_LINE.match(line)]
        return Outcome(exit_code, report, self.packages(program, environment), seconds)

    def packages(self, program: str, environment: str) -> list[str]:
        """What is installed, pip, setuptools and wheel apart: those come with the environment."""
        python = self.copies[program] / ".tox" / environment / "bin" / "python"
        if not python.exists():
            return []
        # The pip of the pinned tox asks, since there is none in the environments of tox-uv.
        pip = os.path.join(os.path.dirname(self.programs["tox"]), "python")
        freeze = [pip, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "freeze"]
        answer = subprocess.run(freeze, capture_output=True, text=True, env=self.environment)
        return sorted(self.without_paths(program, answer.stdout).splitlines())

    def run(self, program: str, arguments: list[str], timeout: float, log: Path) -> int:
        """The exit code; a run that takes too long is ended with all it started and counts as -1."""
        configuration = ["-c", "../tox.ini", "--root", "."] if self.chosen.configuration else []
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self.programs[program], *arguments, *configuration],
                cwd=self.copies[program],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                return process.wait(timeout)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    return -1
                raise

    def log(self, program: str, title: str, kind: str) -> Path:
        return self.folder / f"{title.replace(os.sep, '-')}.{program}.{kind}"

    def without_paths(self, program: str, text: str) -> str:
        """The copies lie in different folders, and a wheel's digest tells when it was built."""
        return re.sub(r"#sha256=\w+", "", text.replace(str(self.copies[program]), "PROJECT"))


def differences(tox: tuple, envo: tuple, titles: list[str]) -> str:
    return ", ".join(title for title, one, other in zip(titles, tox, envo) if one != other)


def print_table(rows: list[list[str]]) -> None:
    """One line for each project and environment, as Markdown."""
    print("| project | version | environment | exit codes, tox / envo | seconds, tox / envo | equal |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    sys.exit(main())
