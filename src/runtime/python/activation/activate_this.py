"""Activates the virtual environment for the interpreter that runs this file.

    import runpy
    runpy.run_path("bin/activate_this.py")

For programs that embed an interpreter and so cannot use the environment's own.
"""

import os
import site
import sys

try:
    own_path = os.path.abspath(__file__)
except NameError:
    raise AssertionError("run this file with runpy.run_path(path)")

bin_dir = os.path.dirname(own_path)
base = os.path.dirname(bin_dir)

# An empty entry would mean the current folder.
os.environ["PATH"] = os.pathsep.join([bin_dir] + [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry])
os.environ["VIRTUAL_ENV"] = base
os.environ["VIRTUAL_ENV_PROMPT"] = @PROMPT@
os.environ.pop("PYTHONHOME", None)
package_config = [os.path.join(base, "lib", "pkgconfig"), os.environ.get("PKG_CONFIG_PATH", "")]
os.environ["PKG_CONFIG_PATH"] = os.pathsep.join(entry for entry in package_config if entry)

# What the environment holds goes before what the interpreter has.
length = len(sys.path)
for folder in @LIBRARIES@:
    site.addsitedir(os.path.join(base, folder))
sys.path[:] = sys.path[length:] + sys.path[:length]

# Where installers and build tools look.
sys.real_prefix = sys.prefix
sys.prefix = sys.exec_prefix = base
