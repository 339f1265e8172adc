"""Where the program is."""

from __future__ import annotations

import os
import sys

import envo_run as envo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

#: Names the program. envo sets it for the commands it runs in a project with services, so that a test in an
#: environment asks the same envo, with the same host Python, that runs the test.
VARIABLE = "ENVO_EXECUTABLE"


def find_program() -> str:
    """The path of ``envo``: the one that runs this environment, else the one next to this Python, else the first on PATH."""
    named = os.environ.get(VARIABLE)
    if named and _is_executable(named):
        return named
    scripts = []
    for path in filter(_is_executable, _candidates()):
        if not _is_python_script(path):
            return path
        scripts.append(path)
    if scripts:
        raise envo.ProgramNotFound(
            f"`{scripts[0]}` is the command of another package, which is called envo as well\n"
            f"hint: `pip install --force-reinstall --no-deps envo-run` installs the program there, or set {VARIABLE} to its path"
        )
    raise envo.ProgramNotFound(
        f"the program `envo` was not found next to {sys.executable} or on PATH\n"
        f"hint: `pip install envo-run` installs it, or set {VARIABLE} to its path"
    )


def _is_executable(path: str) -> bool:
    return os.access(path, os.X_OK) and os.path.isfile(path)


def _is_python_script(path: str) -> bool:
    """Whether this is the command of PyPI's `envo`. A wrapper that a shell runs may well start the program."""
    try:
        with open(path, "rb") as file:
            first, _, rest = file.read(1024).partition(b"\n")
    except OSError:
        return False
    # For a path that is too long or has a space, installers have a shell start the interpreter.
    return first.startswith(b"#!") and (
        any(b"py" in word.rpartition(b"/")[2] for word in first.split()) or rest.startswith(b"'''exec'")
    )


def _candidates() -> Iterator[str]:
    yield os.path.join(os.path.dirname(sys.executable), "envo")
    # Each of these costs an import, and they matter only to installations for a user or with other schemes.
    import sysconfig

    yield os.path.join(sysconfig.get_path("scripts"), "envo")
    yield os.path.join(sysconfig.get_path("scripts", os.name + "_user"), "envo")
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        yield os.path.join(folder, "envo")
