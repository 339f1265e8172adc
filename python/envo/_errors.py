"""What can go wrong."""

from __future__ import annotations

from typing import Sequence


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
