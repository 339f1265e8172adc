"""What the pytest plugin does in a project with services: provides them to tests, and lets go of them at the end."""

from __future__ import annotations

import keyword
import os
import re
import time
import types
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import pytest

import envo_run as envo

from . import _logs
from ._handle import Handle, variables_of
from ._project import Lease, Project, ServiceInfo

if TYPE_CHECKING:
    # Most sessions need none of these, nor the time that reading them takes.
    from ._runs import Keeper, RunNumber, Sender

#: No fixture can have this name.
_RESERVED = "request"

#: How much of a service's log a report takes at most, bytes.
_MOST = 32 * 1024

#: Who is narrower: a service cannot be shared by more than what it depends on.
_WIDTHS = ("test", "worker", "run")


def normalised(name: str) -> str:
    """The fixture for a service: lower case, ``_`` for what Python does not allow in a name."""
    text = re.sub(r"\W", "_", name.lower(), flags=re.ASCII)
    if text[:1].isdigit() or not text:
        text = "_" + text
    return text + "_" if keyword.iskeyword(text) else text


class EnvoServices:
    """What the fixture ``envo_services`` is."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker

    def get(self, name: str) -> Handle:
        """A service by its name in the configuration, or that of its fixture; it is started if it does not run.

        :raises EnvoError: when there is no such service, or it cannot be had.
        """
        __tracebackhide__ = True
        try:
            return self._broker.get(name)
        except envo.EnvoError as error:
            # Of the way to it, nothing belongs in a report.
            raise error.with_traceback(None) from None

    @property
    def names(self) -> List[str]:
        """The services there are."""
        return list(self._broker.services)


class Broker:
    """One for each process of a test run."""

    @classmethod
    def begin(cls, config: pytest.Config, project: Project, told: Mapping[str, Any]) -> Optional["Broker"]:
        """``None``: the project has no services.

        :param told: what a worker is told by the process that leads it; empty in any other.
        """
        noproc = _addresses(config.getoption("--envo-noproc", None) or [])
        try:
            services = project.services
        except envo.EnvoError as error:
            if not noproc:
                config._envo_error = error  # type: ignore[attr-defined]
                config.issue_config_time_warning(
                    pytest.PytestConfigWarning(f"envo: there are no fixtures for services: {error}"), 2
                )
                return None
            services = {}
        for name in noproc:
            services.setdefault(name, ServiceInfo(name, "run", (), "--envo-noproc", ""))
        return cls(config, project, services, noproc, told) if services else None

    def __init__(
        self,
        config: pytest.Config,
        project: Project,
        services: Dict[str, ServiceInfo],
        noproc: Dict[str, str],
        told: Mapping[str, Any],
    ) -> None:
        self.services = services
        self._project = project
        self._noproc = noproc
        self._reuse = bool(config.getoption("--envo-reuse", False))
        self._ttl: Optional[float] = config.getoption("--envo-ttl", None)
        #: What tells this run from others, if jobs are to run again in it.
        self._force_for = str(told.get("force_for", ""))
        if config.getoption("--envo-force", False) and not told:
            self._force_for = f"{os.getpid()}-{time.time_ns()}"
        self._owner = os.getpid()
        has = config.pluginmanager.hasplugin
        #: Whether this process leads workers of pytest-xdist, and runs no tests itself.
        self.leads_workers = has("dsession")
        self._is_worker = bool(told)
        self._worker = str(getattr(config, "workerinput", {}).get("workerid", "master"))
        self._forks = has("pytest_forked")
        self._run: Optional[RunNumber] = None
        self._run_number: Optional[int] = told.get("run")
        self._keeper: Optional[Keeper] = None
        if self.leads_workers or (self._forks and not told):
            from ._runs import Keeper

            self._keeper = Keeper()
        #: Whether other processes hand over to this one what they hold.
        self.keeps_for_others = self._keeper is not None
        path = self._keeper.path if self._keeper else told.get("keeper")
        self._sender: Optional[Sender] = None
        if path:
            from ._runs import Sender

            self._sender = Sender(str(path))
        # What is held for the session, and for the test that runs.
        self._session_lease: Optional[Lease] = None
        self._test_lease: Optional[Lease] = None
        self._handles: Dict[str, Handle] = {}
        self._test_handles: Dict[str, Handle] = {}
        self._failures: Dict[str, envo.EnvoError] = {}
        self._variables: Dict[str, Optional[str]] = {}
        self._test_variables: Dict[str, Optional[str]] = {}
        # Of the test that runs.
        self._number = 0
        self._in_test = False
        self._used: Set[str] = set()
        self._marks: Dict[str, _logs.Mark] = {}
        self._reported: List[envo.EnvoError] = []
        #: Those that fixtures have asked for by name, which no test names.
        self._got: Set[str] = set()

    # --- names -------------------------------------------------------------------------------------------------------

    def resolve(self, name: str) -> str:
        """The service that is meant."""
        if name in self.services:
            return name
        fitting = [one for one in self.services if normalised(one) == name]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            choice = ", ".join(fitting)
            raise envo.UnknownService(f"`{name}` can be any of {choice}: name one as the configuration does", [name])
        raise envo.UnknownService(
            f"`{name}` is no service of {self._project.place}\nhint: services are: {', '.join(self.services)}", [name]
        )

    def width(self, name: str) -> str:
        """Between whom a service is shared: as it says, or as what it depends on says, whichever is less."""
        shares = {self.services[one].share for one in self._with_dependencies([name])}
        return next(width for width in _WIDTHS if width in shares)

    def _with_dependencies(self, names: Sequence[str]) -> List[str]:
        found: List[str] = []
        open_ = list(names)
        while open_:
            name = open_.pop()
            if name in self.services and name not in found:
                found.append(name)
                if name not in self._noproc:
                    open_.extend(self.services[name].depends)
        return found

    # --- fixtures ----------------------------------------------------------------------------------------------------

    def fixture_names(self) -> Dict[str, str]:
        """The names that fixtures of services can have, and which service each means."""
        meant: Dict[str, List[str]] = {}
        for name in self.services:
            for fixture_name in {normalised(name), name}:
                meant.setdefault(fixture_name, []).append(name)
        found = {}
        for fixture_name, names in meant.items():
            is_name = fixture_name.isidentifier() and not keyword.iskeyword(fixture_name) and fixture_name != _RESERVED
            if is_name and (len(names) == 1 or fixture_name in names):
                found[fixture_name] = fixture_name if len(names) > 1 else names[0]
        return found

    def fixtures(self, names: Mapping[str, str]) -> types.ModuleType:
        """A plugin with a fixture for each of those."""
        module = types.ModuleType("envo_fixtures")
        for fixture_name, name in names.items():
            setattr(module, fixture_name, self._fixture(fixture_name, name))
        return module

    def _fixture(self, fixture_name: str, name: str) -> Any:
        info = self.services[name]

        def service(envo_services: EnvoServices) -> Iterator[Handle]:
            self.provide([name])
            yield self.get(name)

        service.__doc__ = f"{info.description or 'The service ' + name} ({info.origin})"
        # The heading under which `--fixtures` lists it.
        service.__module__ = "envo_run"
        service._envo_service = name  # type: ignore[attr-defined]
        scope = "function" if self.width(name) == "test" else "session"
        decorate: Callable[[Any], Any] = pytest.fixture(scope=scope, name=fixture_name)  # type: ignore[call-overload]
        return decorate(service)

    def wanted_by(self, item: pytest.Item) -> List[str]:
        """The services that a test names, by a mark or a fixture."""
        names: List[str] = []
        for mark in item.iter_markers("envo"):
            for name in mark.args:
                names.append(self._resolved_or_fail(str(name)))
        definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
        for fixture_name in getattr(item, "fixturenames", ()):
            name = _service_of(definitions.get(fixture_name, ()), fixture_name)
            if name is not None:
                names.append(name)
        return list(dict.fromkeys(names))

    def _resolved_or_fail(self, name: str) -> str:
        try:
            return self.resolve(name)
        except envo.EnvoError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    def provide(self, names: Sequence[str]) -> None:
        """Sees to it that services run; the test fails where one cannot."""
        try:
            self._ensure(names)
        except envo.EnvoError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    def get(self, name: str) -> Handle:
        """A service's handle."""
        __tracebackhide__ = True
        name = self.resolve(name)
        self._ensure([name])
        self._got.add(name)
        return self._test_handles.get(name) or self._handles[name]

    # --- holding -----------------------------------------------------------------------------------------------------

    def _ensure(self, names: Sequence[str]) -> None:
        self._used.update(names)
        try:
            for name in names:
                if name in self._failures:
                    raise self._failures[name]
            held = [name for name in names if name in self._handles or name in self._test_handles]
            self._check(held)
            self._provide_missing([name for name in names if name not in held])
        except envo.EnvoError as error:
            self._reported.append(error)
            raise

    def _check(self, names: Sequence[str]) -> None:
        """Waits for services that restart, and raises for one that has failed since the last test."""
        for name in self._with_dependencies(names):
            handle = self._handle(name)
            try:
                if handle:
                    handle.wait()
                    self._set([handle], self._test_variables if name in self._test_handles else self._variables)
                elif self._session_lease and self.width(name) == "run":
                    self._session_lease.wait(name, None)
            except envo.ServiceStopped:
                # A test that stops a service may have another start it again.
                if not any(one.was_stopped for one in [*self._handles.values(), *self._test_handles.values()]):
                    raise

    def _handle(self, name: str) -> Optional[Handle]:
        return self._test_handles.get(name) or self._handles.get(name)

    def _provide_missing(self, missing: List[str]) -> None:
        for name in [name for name in missing if name in self._noproc]:
            self._handles[name] = Handle.elsewhere(name, self._noproc[name], self._worker)
            self._set([self._handles[name]], self._variables)
            missing.remove(name)
        per_test = [name for name in missing if self._in_test and self.width(name) == "test"]
        per_session = [name for name in missing if name not in per_test]
        try:
            if per_session:
                self._acquire(per_session)
            if per_test:
                self._acquire_for_test(per_test)
        except envo.EnvoError as error:
            # A service that takes a minute to fail should not do so before every test.
            for name in error.names if isinstance(error, envo.ServiceError) and error.names else missing:
                self._failures[name] = error
            raise

    def _acquire(self, names: List[str]) -> None:
        worker = self._namespace_of(names)
        keep = self._reuse and self._ttl is None
        lease = self._project.acquire(
            names, keep=keep, ttl=self._ttl, worker=worker, force_for=self._force_for, lease=self._session_lease
        )
        self._session_lease = lease
        handles = [Handle(name, lease.of(name, worker), lease, self._worker) for name in names]
        if self._sender and (self._is_worker or os.getpid() != self._owner):
            self._sender.send(lease.connection, [handle.instance_name for handle in handles])
        self._handles.update((handle.name, handle) for handle in handles)
        self._set(handles, self._variables)

    def _acquire_for_test(self, names: List[str]) -> None:
        worker = self._namespace_of(names)
        test = f"{worker}-{self._number}"
        lease = self._project.acquire(
            names, worker=worker, test=test, force_for=self._force_for, lease=self._test_lease
        )
        self._test_lease = lease
        handles = [Handle(name, lease.of(name, test), lease, self._worker) for name in names]
        self._test_handles.update((handle.name, handle) for handle in handles)
        self._set(handles, self._test_variables)

    def _namespace_of(self, names: Sequence[str]) -> str:
        """What tells this worker's own instances from those of others, also of other runs at the same time."""
        if all(self.width(name) == "run" for name in names):
            return ""
        if self._run_number is None:
            self._number_run()
        return self._worker if self._run_number == 0 else f"{self._worker}-run{self._run_number}"

    @staticmethod
    def _set(handles: Sequence[Handle], before: Dict[str, Optional[str]]) -> None:
        for name, value in variables_of(handles).items():
            before.setdefault(name, os.environ.get(name))
            os.environ[name] = value

    @staticmethod
    def _reset(before: Dict[str, Optional[str]]) -> None:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        before.clear()

    def _number_run(self) -> None:
        from ._runs import RunNumber

        self._run = RunNumber(self._project.listing["state"])
        self._run_number = self._run.number

    # --- workers -----------------------------------------------------------------------------------------------------

    def for_worker(self) -> Dict[str, Any]:
        """What a worker is told when it starts."""
        if self._run_number is None and any(info.share != "run" for info in self.services.values()):
            self._number_run()
        keeper = self._keeper.path if self._keeper else None
        told = {"keeper": keeper, "run": self._run_number or 0, "force_for": self._force_for}
        return {"listing": dict(self._project.listing), **told}

    def drain(self) -> None:
        """Takes in what workers and forked tests hold."""
        if self._keeper and os.getpid() == self._owner:
            self._keeper.drain()

    # --- tests -------------------------------------------------------------------------------------------------------

    def begin_test(self, item: pytest.Item) -> None:
        self._number += 1
        self._in_test = True
        self._used = set()
        self._reported = []
        folder = os.path.join(self._project.listing["state"], "log") if self.services.keys() - self._noproc.keys() else ""
        self._marks = {name: _logs.mark(os.path.join(folder, name + ".log")) for name in self.services} if folder else {}
        for handle in self._handles.values():
            if handle.log_path:
                path, pid = handle.log_path, handle.last_pid
                self._marks[handle.instance_name] = _logs.mark_of_all_written(path, pid) if pid else _logs.mark(path)

    def end_test(self) -> None:
        self._in_test = False
        lease, self._test_lease = self._test_lease, None
        self._test_handles = {}
        self._reset(self._test_variables)
        if lease:
            lease.release()

    def sections(self, item: pytest.Item) -> List[Tuple[str, str]]:
        """What became of the services that a test uses, and what they wrote while it ran."""
        names = set(self._used)
        if "envo_services" in getattr(item, "fixturenames", ()):
            names |= self._got
        paths: Dict[str, str] = {}
        pids: List[int] = []
        for name in self._with_dependencies(sorted(names)):
            handle = self._handle(name)
            instance = handle.instance_name if handle else name
            path = handle.log_path if handle else os.path.join(self._project.listing["state"], "log", name + ".log")
            if path and name not in self._noproc:
                paths[instance] = path
                if handle and handle.last_pid:
                    pids.append(handle.last_pid)
        _settle(list(paths.values()), pids)
        sections = []
        for instance, path in sorted(paths.items()):
            text = self._unreported(_logs.since_mark(path, self._marks.get(instance, _logs.BEGINNING), _MOST))
            if text:
                sections.append((f"envo log of {instance}", text))
        failures = self._failures_meanwhile(paths)
        return [("envo", "\n".join(failures)), *sections] if failures else sections

    def _unreported(self, text: str) -> str:
        """A part of a log without the lines that the text of a failure ends with."""
        lines = text.splitlines()
        for error in self._reported:
            last = list(error.last_lines) if isinstance(error, envo.ServiceError) else []
            if last and lines[-len(last) :] == last:
                return "".join(line + "\n" for line in lines[: -len(last)])
        return text

    def _failures_meanwhile(self, instances: Mapping[str, str]) -> List[str]:
        """What has failed while a test ran, each in a line: what it wrote last is in its log."""
        lease = self._test_lease or self._session_lease
        if self._reported or lease is None:
            return []
        try:
            rows = lease.rows()
        except envo.EnvoError as error:
            return [str(error)]
        return [str(row["failure"]).split("\n")[0] for row in rows if row.get("failure") and row["name"] in instances]

    def end(self) -> None:
        """The run is over."""
        self._reset(self._variables)
        if os.getpid() != self._owner:
            return
        self.end_test()
        lease, self._session_lease = self._session_lease, None
        keeper, self._keeper = self._keeper, None
        stays = self._reuse or self._ttl is not None
        if keeper:
            keeper.drain()
            waiting = self._project.connect() if keeper.names and not stays else None
            if waiting:
                _hold_for_the_end(waiting, keeper.names)
            keeper.close()
            if waiting:
                Lease(self._project, waiting, []).release()
        if lease and self._sender and self._is_worker:
            # The leader holds it on.
            lease.close()
        elif lease:
            lease.release()
        if self._run:
            self._run.close()


def _service_of(definitions: Sequence[Any], fixture_name: str) -> Optional[str]:
    """The service that a fixture is or, as it asks for another one of its own name, is made from."""
    for definition in reversed(definitions):
        name = getattr(definition.func, "_envo_service", None)
        if name is not None:
            return str(name)
        if fixture_name not in definition.argnames:
            break
    return None


def _hold_for_the_end(connection: Any, names: Set[str]) -> None:
    """Takes over what others held, to hear when it is gone."""
    try:
        ready = {str(one["name"]) for one in connection.ask("fields")["instances"]}
        if names & ready:
            connection.ask("hold", names=sorted(names & ready))
    except envo.EnvoError:
        pass


def _settle(paths: List[str], pids: List[int]) -> None:
    """Waits until what services have written just now is in their logs, but not for one that never stops writing."""
    import select

    full = pids
    for _ in range(100):
        full = [pid for pid in full if _logs.on_its_way(pid)]
        if not full:
            break
        select.select([], [], [], 0.01)
    before = None
    for _ in range(5):
        now = [_logs.mark(path) for path in paths]
        if now == before or not paths:
            return
        before = now
        select.select([], [], [], 0.01)


def _addresses(texts: Sequence[str]) -> Dict[str, str]:
    addresses = {}
    for text in texts:
        name, found, url = text.partition("=")
        if not found or not name or not url:
            raise pytest.UsageError(f"--envo-noproc {text}: must be NAME=URL")
        addresses[name.strip()] = url.strip()
    return addresses
