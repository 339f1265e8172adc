"""Import the targets of console scripts, and print the first that cannot be imported, with the reason."""

import importlib
import os
import sys

answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for argument in sys.argv[1:]:
    name, module, attribute = argument.split("\t")
    try:
        target = importlib.import_module(module)
        for part in attribute.split("."):
            target = getattr(target, part)
    except BaseException as error:
        reason = " ".join(str(error).split())
        answer.write("%s\t%s: %s\n" % (name, type(error).__name__, reason))
        answer.flush()
        os._exit(1)
answer.flush()
os._exit(0)
