"""``python -m envo_run``: the program, in place of this process."""

import os
import sys

import envo_run


def main() -> None:
    try:
        program = envo_run.find_program()
    except envo_run.ProgramNotFound as error:
        sys.exit(str(error))
    os.execv(program, [program, *sys.argv[1:]])


if __name__ == "__main__":
    main()
