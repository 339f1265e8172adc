"""The command ``tox``, which is envo."""

import os
import sys

import envo_run


def main() -> None:
    """Becomes envo, under tox's name."""
    try:
        program = envo_run.find_program()
    except envo_run.ProgramNotFound as error:
        sys.exit(str(error))
    os.execv(program, ["tox", *sys.argv[1:]])
