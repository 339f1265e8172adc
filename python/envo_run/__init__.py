"""Services that envo runs, for tests, scripts and notebooks.

Importing this costs next to nothing: the parts are loaded when they are asked for.
"""

from __future__ import annotations

# Type checkers know the name; `typing` would take longer to import than all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from ._errors import (
        BuildError as BuildError,
        ConfigurationError as ConfigurationError,
        EnvoError as EnvoError,
        PortTaken as PortTaken,
        ProgramNotFound as ProgramNotFound,
        ProtocolError as ProtocolError,
        ServiceError as ServiceError,
        ServiceFailed as ServiceFailed,
        ServiceStopped as ServiceStopped,
        ServiceTimeout as ServiceTimeout,
        SupervisorGone as SupervisorGone,
        UnknownService as UnknownService,
    )
    from ._handle import Handle as Handle
    from ._program import find_program as find_program
    from ._project import Project as Project, ServiceInfo as ServiceInfo
    from ._services import Services as Services, services as services

_ERRORS = (
    "BuildError",
    "ConfigurationError",
    "EnvoError",
    "PortTaken",
    "ProgramNotFound",
    "ProtocolError",
    "ServiceError",
    "ServiceFailed",
    "ServiceStopped",
    "ServiceTimeout",
    "SupervisorGone",
    "UnknownService",
)

_PLACES = {
    **{name: "_errors" for name in _ERRORS},
    "Handle": "_handle",
    "find_program": "_program",
    "Project": "_project",
    "ServiceInfo": "_project",
    "Services": "_services",
    "services": "_services",
}

__all__ = [
    "BuildError",
    "ConfigurationError",
    "EnvoError",
    "Handle",
    "PortTaken",
    "ProgramNotFound",
    "Project",
    "ProtocolError",
    "ServiceError",
    "ServiceFailed",
    "ServiceInfo",
    "ServiceStopped",
    "ServiceTimeout",
    "Services",
    "SupervisorGone",
    "UnknownService",
    "find_program",
    "services",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module("." + place, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
