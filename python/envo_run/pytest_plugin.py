"""The pytest plugin: every service of the project is a fixture.

Pytest rewrites the assertions of all modules of a package with a plugin. This package has none for it to rewrite, and what it
keeps of them takes longer to read than what Python keeps, or is worked out anew each time where it cannot be kept. So this
module, which is imported that way, does nothing but see to it that no other is.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Optional, Sequence


class _AsWritten:
    """Finds the modules of this package, before pytest does."""

    @staticmethod
    def find_spec(name: str, path: Optional[Sequence[str]] = None, target: object = None) -> Optional[ModuleSpec]:
        return PathFinder.find_spec(name, path) if name.startswith("envo_run.") else None


sys.meta_path.insert(0, _AsWritten)

from ._plugin import (  # noqa: E402
    envo_services as envo_services,
    pytest_addoption as pytest_addoption,
    pytest_configure as pytest_configure,
    pytest_configure_node as pytest_configure_node,
    pytest_plugin_registered as pytest_plugin_registered,
    pytest_runtest_makereport as pytest_runtest_makereport,
    pytest_runtest_protocol as pytest_runtest_protocol,
    pytest_runtest_setup as pytest_runtest_setup,
    pytest_sessionstart as pytest_sessionstart,
    pytest_unconfigure as pytest_unconfigure,
)
