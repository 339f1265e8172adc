"""Where the program is."""

from __future__ import annotations

import os
import sys
from typing import Iterator

import envo

#: Names the program. envo sets it for the commands it runs in a project with services, so that a test in an
#: environment asks the same envo, with the same host Python, that runs the test.
VARIABLE = "ENVO_EXECUTABLE"


def find_program() -> str:
    """The path of ``envo``: the one that runs this environment, else the one beside this Python, else the first on PATH."""
    for path in _candidates():
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise envo.ProgramNotFound(
        "there is no program `envo` beside " + sys.executable + " or on PATH\n"
        "hint: `pip install envo` brings it along; " + VARIABLE + " can name one"
    )


def _candidates() -> Iterator[str]:
    named = os.environ.get(VARIABLE)
    if named:
        yield named
    yield os.path.join(os.path.dirname(sys.executable), "envo")
    # Each of these costs an import, and they matter only to installations for a user or with other schemes.
    import sysconfig

    yield os.path.join(sysconfig.get_path("scripts"), "envo")
    yield os.path.join(sysconfig.get_path("scripts", os.name + "_user"), "envo")
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        yield os.path.join(folder, "envo")
