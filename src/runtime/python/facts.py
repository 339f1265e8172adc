# Asked once of every interpreter: prints the fields of envo's `Interpreter` as JSON behind a mark, since start-up files
# of an installation may print too. Runs on 2.7 and 3.5 and later, on CPython and PyPy.
import sys

# The folder envo runs in comes first on the path, and what it holds may be called like a module of the library.
if sys.path and sys.path[0] == "":
    del sys.path[0]

import json
import os
import platform
import struct
import sysconfig


def version_text(info):
    text = "%d.%d.%d" % tuple(info[:3])
    return text if info[3] == "final" else text + info[3][0] + str(info[4])


def own_prefixes():
    """The prefixes of the installation, whatever virtual environment this interpreter belongs to."""
    prefix = getattr(sys, "real_prefix", None) or getattr(sys, "base_prefix", None) or sys.prefix
    exec_prefix = getattr(sys, "real_prefix", None) or getattr(sys, "base_exec_prefix", None) or sys.exec_prefix
    return os.path.abspath(prefix), os.path.abspath(exec_prefix)


def system_executable(prefix):
    """The interpreter a virtual environment was made from; this one when it is in none."""
    if prefix == os.path.abspath(sys.prefix):
        return os.path.realpath(sys.executable)
    names = ["python%d.%d" % sys.version_info[:2], "python%d" % sys.version_info[0], "python"]
    if platform.python_implementation() == "PyPy":
        names = [name.replace("python", "pypy") for name in names] + names
    folders = [os.path.join(prefix, "bin")]
    base = getattr(sys, "_base_executable", None)
    if base and os.path.abspath(base) != os.path.abspath(sys.executable):
        folders.insert(0, os.path.dirname(base))
        # A versioned name beside it is surer than `python`, which an upgrade may point elsewhere.
        names.insert(1, os.path.basename(base))
    for folder in folders:
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return os.path.realpath(path)
    return os.path.realpath(sys.executable)


def scheme():
    """The scheme of a virtual environment. Named outright, as the default of some distributions leads elsewhere."""
    names = sysconfig.get_scheme_names()
    if "venv" in names:
        return "venv"
    if platform.python_implementation() == "PyPy" and "pypy" in names:
        return "pypy"
    return "posix_prefix"


def relative_path(key):
    roots = dict.fromkeys(("base", "platbase", "installed_base", "installed_platbase", "prefix", "exec_prefix"), "")
    return sysconfig.get_path(key, scheme(), roots).lstrip("/")


def wheel_folders(stdlib, prefix):
    """They need not exist yet: a distribution may ship them apart from the interpreter."""
    folders = [os.path.join(stdlib, "ensurepip", "_bundled"), sysconfig.get_config_var("WHEEL_PKG_DIR")]
    if prefix == "/usr":
        folders.append("/usr/share/python-wheels")
    return [folder for folder in folders if folder]


def instruction_set():
    text = sysconfig.get_platform().rsplit("-", 1)[-1]
    return platform.machine() if text == "universal2" else text


def implementation():
    details = getattr(sys, "implementation", None)
    return (details.name, version_text(details.version)) if details else ("", "0")


def main():
    prefix, exec_prefix = own_prefixes()
    info = sys.version_info
    stdlib = os.path.dirname(os.path.abspath(os.__file__))
    implementation_name, implementation_version = implementation()
    facts = {
        "executable": os.path.abspath(sys.executable),
        "system_executable": system_executable(prefix),
        "implementation": platform.python_implementation(),
        "version": {
            "major": info[0],
            "minor": info[1],
            "micro": info[2],
            "release_level": info[3],
            "serial": info[4],
        },
        "version_text": sys.version,
        "is_64_bit": struct.calcsize("P") == 8,
        "platform": sys.platform,
        "machine": instruction_set(),
        "free_threaded": sysconfig.get_config_var("Py_GIL_DISABLED") == 1,
        "debug": bool(sysconfig.get_config_var("Py_DEBUG")),
        "base_prefix": prefix,
        "base_exec_prefix": exec_prefix,
        "standard_library": stdlib,
        "bundled_wheels": wheel_folders(stdlib, prefix),
        "purelib": relative_path("purelib"),
        "platlib": relative_path("platlib"),
        "markers": {
            "implementation_name": implementation_name,
            "implementation_version": implementation_version,
            "os_name": os.name,
            "platform_machine": platform.machine(),
            "platform_release": platform.release(),
            "platform_system": platform.system(),
            "platform_version": platform.version(),
            "python_full_version": platform.python_version(),
            "platform_python_implementation": platform.python_implementation(),
            "python_version": "%d.%d" % info[:2],
            "sys_platform": sys.platform,
        },
    }
    sys.stdout.write("\nenvo-facts:" + json.dumps(facts) + "\n")
    sys.stdout.flush()


main()
