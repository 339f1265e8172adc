"""Compile modules for a release: one process for each module, because what was compiled before leaves traces in a file.

Each line of the input is the source, the path in the release and the compiled file, separated by tabs.
"""

import os
import py_compile
import sys

MODE = py_compile.PycInvalidationMode.UNCHECKED_HASH


def compile_one(source, shown, compiled):
    try:
        py_compile.compile(source, cfile=compiled, dfile=shown, doraise=True, invalidation_mode=MODE)
    except (py_compile.PyCompileError, SyntaxError, UnicodeError, ValueError, RecursionError):
        # Some packages have templates and modules for other versions, which Python does not compile either.
        open(compiled, "wb").close()


for line in sys.stdin.buffer.read().decode("utf-8", "surrogateescape").split("\n"):
    if not line:
        continue
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sys.stdout = sys.stderr = open(os.devnull, "w")
            compile_one(*line.split("\t"))
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("could not compile " + line.split("\t")[0])
