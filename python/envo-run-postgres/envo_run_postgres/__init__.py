"""PostgreSQL as a service of envo, and databases in it."""

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional

from ._server import NotInstalled, program

if TYPE_CHECKING:
    import envo_run as envo

__all__ = ["NotInstalled", "database", "program", "service"]


def service() -> Dict[str, Any]:
    """What ``[testenv:postgres]`` would say."""
    # The Python that loads this has the package; the environment of the service need not.
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_server.py")
    try:
        pg_isready = program("pg_isready")
    except NotInstalled as error:
        sys.exit(str(error))
    return {
        "description": "a PostgreSQL with a cluster that is thrown away",
        "runtime": "system",
        "serve": [sys.executable, script, "{host}", "{port}"],
        "ports": ["sql"],
        "ready": "cmd:" + pg_isready + " -q -h {host} -p {port}",
        "url": "postgresql://postgres@{host}:{port}/postgres",
        "pass_env": ["ENVO_POSTGRES_BIN"],
        # Making a cluster takes a second, but on a slow disk that others use as well it takes minutes, and so does
        # removing it.
        "ready_timeout": "300",
        # The fast shutdown.
        "stop_signal": "SIGINT",
        "stop_timeout": "60",
    }


@contextlib.contextmanager
def database(handle: "envo.Handle", name: Optional[str] = None) -> Iterator[str]:
    """The URL of a database of its own on the server ``handle``, which is dropped at the end.

    Without a name it is called after the worker of pytest-xdist that asks.
    """
    name = name or "test_" + (handle.namespace or "master")
    quoted = '"' + name.replace('"', '""') + '"'
    drop = f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)"
    _sql(handle, drop)
    _sql(handle, f"CREATE DATABASE {quoted}")
    try:
        yield handle.url.rpartition("/")[0] + "/" + name
    finally:
        _sql(handle, drop)


def _sql(handle: "envo.Handle", statement: str) -> None:
    done = subprocess.run(
        [program("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-d", handle.url, "-c", statement],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    if done.returncode:
        raise RuntimeError(done.stdout.strip())
