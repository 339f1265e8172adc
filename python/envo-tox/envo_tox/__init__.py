"""The command ``tox``, which is envo."""

import os
import sys

from envo import find_program


def main() -> None:
    """Becomes envo, under tox's name."""
    os.execv(find_program(), ["tox", *sys.argv[1:]])
