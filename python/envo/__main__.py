"""``python -m envo``: the program, in place of this process."""

import os
import sys

from ._errors import ProgramNotFound
from ._program import find_program


def main() -> None:
    try:
        program = find_program()
    except ProgramNotFound as error:
        sys.exit(str(error))
    os.execv(program, [program, *sys.argv[1:]])


if __name__ == "__main__":
    main()
