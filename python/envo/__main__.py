"""``python -m envo``: the program, in place of this process."""

import os
import sys

from ._program import find_program


def main() -> None:
    program = find_program()
    os.execv(program, [program, *sys.argv[1:]])


if __name__ == "__main__":
    main()
