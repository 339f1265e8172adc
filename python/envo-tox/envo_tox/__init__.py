"""The command ``tox``, which is envo."""

import os
import sys

from envo import ProgramNotFound, find_program


def main() -> None:
    """Becomes envo, under tox's name."""
    try:
        program = find_program()
    except ProgramNotFound as error:
        sys.exit(str(error))
    os.execv(program, ["tox", *sys.argv[1:]])
