"""Makes a cluster and becomes its server: ``python _server.py HOST PORT``. It needs nothing but the standard library."""

import fcntl
import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import List, Tuple

#: Where systems keep the programs that they do not put on PATH.
_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)

_ADVICE = "(`apt-get install postgresql`, `dnf install postgresql-server` or `brew install postgresql` does it)"

_PREFIX = "envo-run-postgres-"

#: In the folder of a cluster: locked by whoever makes, uses or removes it.
_LOCK = "lock"


class NotInstalled(Exception):
    """PostgreSQL is not there. The text is for people."""


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs, of the newest version that is installed.

    :raises NotInstalled: there is none.
    """
    named = os.environ.get("ENVO_POSTGRES_BIN")
    if named:
        found = shutil.which(os.path.join(named, name))
        if found:
            return found
        raise NotInstalled(f"PostgreSQL's `{name}` is not in {named}, which ENVO_POSTGRES_BIN names")
    installed = [path for pattern in _FOLDERS for path in glob.glob(os.path.join(pattern, name))]
    on_path = shutil.which(name)
    if installed or on_path:
        return max(installed, key=_version) if installed else str(on_path)
    raise NotInstalled(f"PostgreSQL's `{name}` was not found: is PostgreSQL installed? {_ADVICE}")


def _version(path: str) -> Tuple[int, ...]:
    folder = os.path.dirname(os.path.dirname(path)) if os.path.basename(os.path.dirname(path)) == "bin" else path
    digits = "".join(c if c.isdigit() else " " for c in os.path.basename(folder))
    return tuple(int(number) for number in digits.split())


def _remove_stale() -> None:
    """Removes clusters of servers that were killed with everything around them."""
    for folder in glob.glob(os.path.join(tempfile.gettempdir(), _PREFIX + "*")):
        try:
            lock = os.open(os.path.join(folder, _LOCK), os.O_RDWR)
        except OSError:
            # It has only just been made, is gone by now, or is somebody else's.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            # Somebody makes, uses or removes it.
            pass
        finally:
            os.close(lock)


def _make_folder() -> Tuple[str, int]:
    """A folder, and the lock on it, which lasts as long as any process has it open."""
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    lock = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def main(host: str, port: str) -> None:
    """Becomes the server; a process that this leaves behind removes the cluster when the server is gone."""
    try:
        initdb, postgres = program("initdb"), program("postgres")
        user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    except NotInstalled as error:
        sys.exit(str(error))
    except KeyError:
        sys.exit("PostgreSQL refuses to run as root, and there is no user `postgres` to run it as")
    _remove_stale()
    folder, lock = _make_folder()
    reader, writer = os.pipe()
    if os.fork() == 0:
        # What stops the server is for the server. This one ends when that is gone, or is killed with it: then the next
        # one tidies up.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.close(writer)
        os.read(reader, 1)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)
    os.close(reader)
    # The server keeps these open as long as it lives.
    os.set_inheritable(writer, True)
    os.set_inheritable(lock, True)
    if user:
        # PostgreSQL refuses to run as root.
        os.chown(folder, user.pw_uid, user.pw_gid)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        os.environ["HOME"] = folder
    os.chdir(folder)
    data = os.path.join(folder, "data")
    quick = ["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"]
    made = subprocess.run(
        [initdb, "-D", data, *quick], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if made.returncode:
        sys.stdout.buffer.write(made.stdout)
        sys.exit(made.returncode)
    # Nothing in it is worth waiting for a disk.
    settings = {
        "listen_addresses": host,
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    words: List[str] = [postgres, "-D", data]
    for name, value in settings.items():
        words += ["-c", name + "=" + value]
    os.execv(words[0], words)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
