"""The pytest plugin: every service of the project is a fixture.

This module is imported by every pytest run that has envo installed, so it imports nothing but pytest. What does the work is
in ``_broker``, which is loaded when a project has services.
"""

from __future__ import annotations

import glob
import os
import sys
from typing import TYPE_CHECKING, Any, Generator, Iterator, List, Optional

import pytest

import envo_run as envo

if TYPE_CHECKING:
    from ._broker import Broker, EnvoServices
    from ._project import Project

_MARKER = "envo(*names): start these services of the project before the test, and set their ENVO_... variables"

#: Files in which a configuration can be.
_FILES = ("tox.ini", "setup.cfg", "pyproject.toml", "tox.toml")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("envo", "services that envo runs")
    group.addoption(
        "--envo-config",
        metavar="FILE",
        help="the configuration with the services, or its folder [default: ini option envo_config, or from rootdir upwards]",
    )
    group.addoption("--envo-reuse", action="store_true", help="leave services running at the end, for the next time")
    group.addoption("--envo-force", action="store_true", help="run jobs again that were done before, once in this run")
    group.addoption(
        "--envo-ttl", metavar="SECONDS", type=float, help="leave services running for so long at the end, for the next time"
    )
    group.addoption(
        "--envo-noproc",
        metavar="NAME=URL",
        action="append",
        default=[],
        help="start nothing for this service: it is at URL; may be repeated",
    )
    parser.addini("envo_config", "the configuration with the services, or its folder")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    # A worker is told by the process that leads it.
    if hasattr(config, "workerinput") or not _may_have_services(config):
        return
    from ._project import Project

    named = _configuration(config)
    project = Project(named, folder=None if named else config.rootpath)
    config._envo_project = project  # type: ignore[attr-defined]
    try:
        # Envo reads the configuration while pytest goes on.
        project.ask_ahead()
    except envo.ProgramNotFound:
        # Whoever wants the answer is told.
        pass


def _project(config: pytest.Config) -> Optional["Project"]:
    return getattr(config, "_envo_project", None)


def _broker(config: pytest.Config) -> Optional["Broker"]:
    return getattr(config, "_envo_broker", None)


def _configuration(config: pytest.Config) -> Optional[str]:
    """Where a configuration was named, if it was."""
    named = config.getoption("--envo-config", None)
    if named:
        return os.path.join(str(config.invocation_params.dir), str(named))
    named = config.getini("envo_config")
    return os.path.join(str(config.rootpath), str(named)) if named else None


def _may_have_services(config: pytest.Config) -> bool:
    """A glance that spares projects without services the question to envo."""
    if _configuration(config) or config.getoption("--envo-noproc", None):
        return True
    folder = str(config.rootpath)
    while True:
        for name in _FILES:
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    text = file.read()
            except OSError:
                continue
            if b"serve" in text or b"depends" in text:
                return True
        parent = os.path.dirname(folder)
        if parent == folder:
            return _do_packages_offer_services()
        folder = parent


def _do_packages_offer_services() -> bool:
    """Whether a package that is installed beside this pytest, or beside the envo that runs it, brings services along."""
    from importlib.metadata import distributions

    program = os.environ.get("ENVO_EXECUTABLE", "")
    beside = glob.glob(os.path.join(os.path.dirname(program), "..", "lib", "python*", "site-packages")) if program else []
    return any("[envo.services]" in (one.read_text("entry_points.txt") or "") for one in distributions(path=[*sys.path, *beside]))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    # First: pytest-xdist starts its workers here, and pytest reads what plugins and conftests define.
    config = session.config
    told = getattr(config, "workerinput", {}).get("envo")
    if _project(config) is None and not told:
        return
    from ._broker import Broker

    broker = Broker.begin(config, _project(config) or _told_project(config, told), told or {})
    if broker is None:
        return
    config._envo_broker = broker  # type: ignore[attr-defined]
    if broker.keeps_for_others:
        config.pluginmanager.register(_Drain(broker), "envo-drain")


def pytest_plugin_registered(plugin: Any, manager: pytest.PytestPluginManager) -> None:
    if manager.get_name(plugin) != "funcmanage":
        return
    # Pytest has read the fixtures of all plugins by now. Of two with the same name the later would count, so envo defines
    # none that another plugin has; those of conftests and tests count more by their place.
    broker = _broker(plugin.config)
    if broker is None:
        return
    names = broker.fixture_names()
    others = {}
    for name in list(names):
        owner = _owner(plugin, name)
        if owner:
            others[name] = owner
            del names[name]
    if others:
        function = _of_plugins(plugin, "envo_services")[-1].func
        listed = ", ".join(f"`{name}` is of {owner}" for name, owner in sorted(others.items()))
        function.__doc__ = f"{function.__doc__.splitlines()[0]}\nFixtures that are no services: {listed}."
    manager.register(broker.fixtures(names), "envo-fixtures")


def _owner(manager: Any, name: str) -> Optional[str]:
    """The module of the plugin that has a fixture of that name."""
    found = _of_plugins(manager, name)
    return str(found[-1].func.__module__) if found else None


def _of_plugins(manager: Any, name: str) -> List[Any]:
    session = manager.session
    node = session if getattr(pytest, "version_tuple", (6,)) >= (8,) else session.nodeid
    # Before pytest 9.1, those of the first conftests are there, too, which have a place.
    return [one for one in manager.getfixturedefs(name, node) or () if not vars(one).get("has_location")]


def _told_project(config: pytest.Config, told: Any) -> "Project":
    """A worker's: the leader has asked what there is."""
    from ._project import Project

    named = _configuration(config)
    return Project(named, folder=None if named else config.rootpath, listing=told["listing"])


class _Drain:
    """Takes in what workers and forked tests hold, each time one of them reports."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker

    def pytest_runtest_logreport(self) -> None:
        self._broker.drain()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker of pytest-xdist is about to start."""
    broker = _broker(node.config)
    if broker is not None:
        node.workerinput["envo"] = broker.for_worker()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, None]:
    broker = _broker(item.config)
    if broker is not None:
        broker.begin_test(item)
    yield
    if broker is not None:
        broker.end_test()


def pytest_runtest_setup(item: pytest.Item) -> None:
    broker = _broker(item.config)
    names = broker.wanted_by(item) if broker is not None else _marked(item)
    if names and broker is None:
        pytest.fail(f"`{names[0]}`: no service is known here\n{_no_services(item.config)}", pytrace=False)
    if names and broker is not None:
        broker.provide(names)


def _marked(item: pytest.Item) -> List[str]:
    return [str(name) for mark in item.iter_markers("envo") for name in mark.args]


def _no_services(config: pytest.Config) -> str:
    """Why no service is known."""
    error = getattr(config, "_envo_error", None)
    if error is not None:
        return str(error)
    return f"there is no configuration with services in {config.rootpath} or above; --envo-config can name one"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    outcome = yield
    broker = _broker(item.config)
    if broker is not None:
        report = outcome.get_result()
        if report.failed:
            report.sections.extend(broker.sections(item))


def pytest_unconfigure(config: pytest.Config) -> None:
    project = _project(config)
    if project is not None:
        project.forget_question()
    broker = _broker(config)
    if broker is not None:
        broker.end()
        config._envo_broker = None  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def envo_services(pytestconfig: pytest.Config) -> Iterator["EnvoServices"]:
    """Services by name: ``envo_services.get("db")`` starts it if need be and returns its handle."""
    broker = _broker(pytestconfig)
    if broker is None:
        raise envo.UnknownService(_no_services(pytestconfig))
    from ._broker import EnvoServices

    yield EnvoServices(broker)
