"""What can go wrong."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Type


class EnvoError(Exception):
    """Anything that envo could not do. Its text is for people."""


class ProgramNotFound(EnvoError):
    """There is no ``envo`` to ask."""


class ConfigurationError(EnvoError):
    """The configuration is wrong."""


class BuildError(EnvoError):
    """An environment of a service could not be built; the text is what envo said."""


class ProtocolError(EnvoError):
    """The supervisor does not speak as this package understands it."""


class SupervisorGone(EnvoError):
    """The process that runs the services has ended."""


class ServiceError(EnvoError):
    """A service is not there for those who want it."""

    def __init__(self, message: str, names: Sequence[str] = (), last_lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        #: The services that were asked for.
        self.names = tuple(names)
        #: What the service wrote last, as far as that is known.
        self.last_lines = tuple(last_lines)


class UnknownService(ServiceError):
    """There is no service of that name."""


class PortTaken(ServiceError):
    """A port of a service cannot be had."""


class ServiceFailed(ServiceError):
    """A service has ended, or did not get ready in time. The text and ``last_lines`` have what it wrote last."""


class ServiceStopped(ServiceError):
    """Somebody has stopped the service."""


class ServiceTimeout(ServiceError):
    """The service was not ready in the time that was given."""


_KINDS: Dict[str, Type[ServiceError]] = {
    "unknown": UnknownService,
    "port": PortTaken,
    "failed": ServiceFailed,
    "stopped": ServiceStopped,
    "ended": ServiceStopped,
    "timeout": ServiceTimeout,
}

#: What stands before the last lines of a service in the text of a failure.
_EXCERPT = "its last lines:"


def refusal(error: Dict[str, Any], names: Sequence[str] = ()) -> EnvoError:
    """The exception for an ``error`` of the supervisor."""
    message = str(error.get("message", "the supervisor refuses"))
    text = "\n".join([message, *(f"hint: {hint}" for hint in error.get("hints", ()))])
    kind = error.get("kind")
    if kind in _KINDS:
        return _KINDS[kind](text, names, last_lines(message))
    if kind == "configuration":
        return ConfigurationError(text)
    if kind in ("ending", "other-project"):
        return SupervisorGone(text)
    return ProtocolError(text)


def last_lines(message: str) -> List[str]:
    """The service's own lines at the end of a failure's text."""
    _, found, lines = message.partition(_EXCERPT)
    return [line[2:] if line.startswith("  ") else line for line in lines.strip("\n").splitlines()] if found else []
