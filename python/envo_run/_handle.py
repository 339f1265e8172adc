"""A running service, as those see it who use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable, Mapping, Optional

import envo_run as envo

from . import _logs

if TYPE_CHECKING:
    from ._project import Lease


def variable_part(name: str) -> str:
    """A name as part of a variable's: upper case, what is neither letter nor digit as ``_``."""
    return "".join(c.upper() if c.isascii() and c.isalnum() else "_" for c in name)


class Handle:
    """One service: where it is, what it wrote, and a few things that can be done with it."""

    def __init__(self, name: str, instance: Mapping[str, Any], lease: Optional["Lease"], namespace: str = "") -> None:
        #: As in the configuration.
        self.name = name
        #: Tells apart those who share one service: ``gw0`` and the like for workers of pytest-xdist, else empty. Good for
        #: names of databases, queues and folders that each wants for itself.
        self.namespace = namespace
        #: Whether :meth:`stop` was the last that was done with it.
        self.was_stopped = False
        self._lease = lease
        self._instance: Mapping[str, Any] = instance

    @classmethod
    def elsewhere(cls, name: str, url: str, namespace: str = "") -> "Handle":
        """A service that is not envo's: all that is known of it is its address."""
        from urllib.parse import urlsplit

        parts = urlsplit(url if "://" in url else "tcp://" + url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        ports = [[parts.scheme, port]] if port is not None else []
        instance = {"name": name, "host": parts.hostname or "", "ports": ports, "url": url, "fields": {}}
        return cls(name, instance, None, namespace)

    @property
    def host(self) -> str:
        """Where it listens, ``127.0.0.1`` if nothing else was said."""
        return str(self._instance.get("host") or "")

    @property
    def port(self) -> int:
        """Its first port, or the one it has told in its log."""
        told = self.fields.get("port")
        if told is not None:
            return int(told)
        for number in self.ports.values():
            return number
        raise envo.ServiceError(f"`{self.name}` has no port", [self.name])

    @property
    def ports(self) -> Dict[str, int]:
        """Its ports by their names, in the order of the configuration."""
        return {str(name): int(number) for name, number in self._instance.get("ports", ())}

    @property
    def url(self) -> str:
        """What dependents are told, as the key ``url`` says it."""
        return str(self._instance.get("url") or "")

    @property
    def fields(self) -> Dict[str, str]:
        """The named groups of its ``log:`` probe."""
        return dict(self._instance.get("fields") or {})

    @property
    def env(self) -> Dict[str, str]:
        """The variables that environments get which depend on it: ``ENVO_<NAME>_URL`` and its relatives."""
        prefix = "ENVO_" + variable_part(self.name)
        variables = {prefix + "_HOST": self.host}
        if self._instance.get("url") is not None:
            variables[prefix + "_URL"] = self.url
        if self.ports or "port" in self.fields:
            variables[prefix + "_PORT"] = str(self.port)
        for name, number in self.ports.items():
            variables[f"{prefix}_PORT_{variable_part(name)}"] = str(number)
        return variables

    @property
    def pid(self) -> Optional[int]:
        """Its first process; ``None`` for one that does not run or is not envo's."""
        number = self.status().get("pid")
        return int(number) if number is not None else None

    @property
    def last_pid(self) -> Optional[int]:
        """Its first process as far as this handle was told; nobody is asked."""
        number = self._instance.get("pid")
        return int(number) if number is not None else None

    @property
    def log_path(self) -> str:
        """The file with everything it writes, as it was written; empty for one that is not envo's."""
        return self._lease.log_path(self.instance_name) if self._lease else ""

    @property
    def instance_name(self) -> str:
        """How ``envo ps`` calls it: the name, and what tells it from others of the same name."""
        return str(self._instance.get("name") or self.name)

    def status(self) -> Dict[str, Any]:
        """Its row of ``envo ps``; empty for one that is not envo's."""
        return self._lease.status(self.instance_name) if self._lease else {}

    def logs(self, since: Optional["_logs.Since"] = None) -> str:
        """What it wrote since then: seconds since 1970, a ``datetime``, or a ``timedelta`` for how long ago. Without a
        time: all that is kept."""
        if self._lease is None:
            return ""
        if since is None:
            return _logs.since_mark(self.log_path, _logs.BEGINNING)
        return self._lease.logs(self.instance_name, _logs.seconds(since))

    def wait(self, timeout: Optional[float] = None) -> None:
        """Waits until it is ready.

        :raises ServiceError: when it never will be, or is not in ``timeout`` seconds.
        """
        if self._lease:
            self._instance = self._lease.wait(self.instance_name, timeout)

    def restart(self) -> None:
        """Stops it and starts it again; returns when it is ready."""
        self._instance = self._ours("restarted").restart(self.instance_name)
        self.was_stopped = False

    def stop(self) -> None:
        """Stops it, after what depends on it, whoever else uses it; returns when it is gone."""
        self._ours("stopped").order("stop", self.instance_name)
        self.was_stopped = True

    def start(self) -> None:
        """Starts it again after :meth:`stop`, or after it has failed; returns when it is ready."""
        self._instance = self._ours("started").start(self.instance_name)
        self.was_stopped = False

    def _ours(self, what: str) -> "Lease":
        if self._lease is None:
            raise envo.ServiceError(f"`{self.name}` is not envo's, and cannot be {what}", [self.name])
        return self._lease

    def __repr__(self) -> str:
        return f"<envo.Handle {self.instance_name}{' at ' + self.url if self.url else ''}>"

    def __str__(self) -> str:
        return self.url


def variables_of(handles: Iterable[Handle]) -> Dict[str, str]:
    """The variables of several services."""
    return {name: value for handle in handles for name, value in handle.env.items()}
