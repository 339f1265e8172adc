"""A project with services: which there are, and getting hold of them."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

# What can go wrong is named through the package, which reads that when something does.
import envo_run as envo

from . import _program
from ._protocol import Connection

#: What envo tells the commands it runs: the configuration they belong to.
CONFIG_VARIABLE = "ENVO_CONFIG_FILE"

#: What tox and envo tell commands of the environment that runs them. Another project's environments are not there.
_OF_THE_RUN = ("TOX_WORK_DIR", "TOX_ENV_NAME", "TOX_ENV_DIR")

#: The exit code.
_CONFIGURATION_IS_WRONG = 254

_Path = Union[str, "os.PathLike[str]"]


class ServiceInfo(NamedTuple):
    """A service of a configuration, whether or not it runs."""

    name: str
    #: Between whom tests share an instance: ``run``, ``worker`` or ``test``.
    share: str
    #: What it depends on directly.
    depends: Tuple[str, ...]
    #: The line it comes from, or the package.
    origin: str
    description: str


class Project:
    """The project of a configuration file or folder; without one, of the configuration found from here upwards."""

    def __init__(
        self, config: Optional[_Path] = None, *, folder: Optional[_Path] = None, listing: Optional[Mapping[str, Any]] = None
    ) -> None:
        self._config = os.path.abspath(config) if config is not None else None
        self._folder = os.path.abspath(folder) if folder is not None else None
        self._listing: Optional[Mapping[str, Any]] = listing
        self._question: "Optional[subprocess.Popen[bytes]]" = None

    def ask_ahead(self) -> None:
        """Has envo work out the listing while this process does something else."""
        if self._listing is None and self._question is None:
            words = self._words("services", "--format", "json")
            try:
                self._question = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=self._folder,
                    env=self._variables(),
                )
            except OSError as error:
                raise envo.ProgramNotFound(f"`{words[0]}` cannot be started: {error}") from None

    def forget_question(self) -> None:
        """Nobody wants to know the listing any more."""
        question, self._question = self._question, None
        if question is not None:
            question.communicate()

    @property
    def listing(self) -> Mapping[str, Any]:
        """What ``envo services --format json`` says, asked once."""
        if self._listing is None:
            self.ask_ahead()
            question, self._question = self._question, None
            assert question is not None
            with question:
                output, errors = question.communicate()
            if question.returncode != 0:
                text = (errors + output).decode("utf-8", "replace").strip()
                raise envo.ConfigurationError(text or f"envo ended with code {question.returncode}")
            listing: Mapping[str, Any] = json.loads(output)
            self._listing = listing
        return self._listing

    @property
    def services(self) -> Dict[str, ServiceInfo]:
        """The services there are, by their names."""
        rows = self.listing["services"]
        return {
            row["name"]: ServiceInfo(
                row["name"], row["share"], tuple(row["depends"]), row["from"], row.get("description") or ""
            )
            for row in rows
        }

    def connect(self) -> Optional[Connection]:
        """A connection to the supervisor that runs; ``None``: none does."""
        for path in self._sockets():
            connection = Connection.open(path, state=self.listing["state"])
            if connection is not None:
                return connection
        return None

    def _sockets(self) -> List[str]:
        # One that began after the listing was made has left a note.
        try:
            with open(os.path.join(self.listing["state"], "socket"), "rb") as file:
                return [os.fsdecode(file.read())]
        except FileNotFoundError:
            return [self.listing["socket"]] if self.listing["socket"] else []

    def acquire(
        self,
        names: Sequence[str],
        *,
        keep: bool = False,
        ttl: Optional[float] = None,
        worker: str = "",
        test: str = "",
        force_for: str = "",
        lease: Optional["Lease"] = None,
    ) -> "Lease":
        """Builds and starts services, or takes those that run, and holds them.

        :param keep: leave them running until ``envo down``.
        :param ttl: seconds for which they stay when nobody holds them any more.
        :param worker: whose instance is meant of services with ``share = worker``.
        :param test: whose instance is meant of services with ``share = test``.
        :param force_for: run jobs again that were done before, each once for this text.
        :param lease: one to add them to, in place of a new one.
        """
        members: Dict[str, Any] = {"worker": worker, "test": test, "ttl": ttl, "force_for": force_for}
        members = {name: value for name, value in members.items() if value not in (None, "")}
        connection = lease.connection if lease is not None and lease.is_own() else self.connect()
        try:
            instances = None
            if connection is not None and not keep:
                instances = self._hold_running(connection, names, members)
            if instances is None:
                connection, instances = self._start(connection, names, keep, members)
        except BaseException:
            if connection is not None and (lease is None or connection is not lease.connection):
                connection.close()
            raise
        assert connection is not None
        if lease is not None and connection is lease.connection:
            lease.add(instances)
            return lease
        return Lease(self, connection, instances)

    @staticmethod
    def _hold_running(
        connection: Connection, names: Sequence[str], members: Mapping[str, Any]
    ) -> Optional[List[Dict[str, Any]]]:
        """``None``: not all of them run, or one is just about to stop."""
        try:
            ready = {_environment(one) for one in connection.ask("fields")["instances"]}
            # What is known and does not run could be held as well, but its environment may have to be built anew.
            if not ready.issuperset(names):
                return None
            return list(connection.ask("hold", names=list(names), **members)["instances"])
        except (envo.ServiceError, envo.SupervisorGone):
            # The other way says what is wrong.
            return None

    def _start(
        self, connection: Optional[Connection], names: Sequence[str], keep: bool, members: Mapping[str, Any]
    ) -> Tuple[Connection, List[Dict[str, Any]]]:
        child = subprocess.Popen(
            self._words("up", "-e", ",".join(names), "--hand-over"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            env=self._variables(),
        )
        with child:
            assert child.stdin and child.stdout
            told = []
            answer: Dict[str, Any] = {}
            for line in child.stdout:
                if line.startswith(b'{"socket"'):
                    answer = json.loads(line)
                    break
                told.append(line)
            if not answer:
                raise self._explained(b"".join(told), child.wait(), names)
            opened = None
            if connection is None:
                connection = opened = Connection.open(answer["socket"], state=self.listing["state"])
            if connection is None:
                raise envo.SupervisorGone("the supervisor of the services has ended")
            child.stdin.close()
            try:
                up = {"requested": answer["requested"], "services": answer["services"], "wait": True, "keep": keep}
                instances = connection.ask("up", **up, **members)["instances"]
                if keep:
                    # What stays until `down` is held as well, so that a `down` elsewhere does not end it meanwhile.
                    instances = connection.ask("hold", names=answer["requested"], **members)["instances"]
            except BaseException:
                if opened is not None:
                    opened.close()
                raise
            child.stdout.read()
        return connection, list(instances)

    def _explained(self, output: bytes, code: int, names: Sequence[str]) -> envo.EnvoError:
        text = output.decode("utf-8", "replace").strip()
        known = list(self.services)
        unknown = [name for name in names if name not in known]
        if unknown:
            hint = f"\nhint: services are: {', '.join(known)}" if known else "\nhint: there are no services"
            return envo.UnknownService(f"`{unknown[0]}` is no service of {self.place}{hint}", unknown)
        if code & 0xFF == _CONFIGURATION_IS_WRONG:
            return envo.ConfigurationError(text)
        return envo.BuildError(text or "envo could not build the services")

    @property
    def place(self) -> str:
        """The configuration, for messages."""
        return str(self.listing.get("config") or self.listing.get("root"))

    def _words(self, *words: str) -> List[str]:
        config = ["-c", self._config] if self._config is not None else []
        return [_program.find_program(), *words, *config]

    def _variables(self) -> Dict[str, str]:
        """Those of this process. In an environment of another project its folders are not this project's."""
        variables = dict(os.environ)
        if "TOX_ENV_NAME" in variables and not self._is_that_of_the_run():
            for name in _OF_THE_RUN:
                variables.pop(name, None)
        return variables

    def _is_that_of_the_run(self) -> bool:
        of_the_run = os.environ.get(CONFIG_VARIABLE)
        if not of_the_run:
            return False
        if self._config is not None and not os.path.isdir(self._config):
            return os.path.realpath(self._config) == os.path.realpath(of_the_run)
        folder = os.path.realpath(self._config or self._folder or os.getcwd())
        return (folder + os.sep).startswith(os.path.dirname(os.path.realpath(of_the_run)) + os.sep) and _first_config(
            folder
        ) == os.path.realpath(of_the_run)


def _first_config(folder: str) -> Optional[str]:
    """The configuration that is meant below ``folder`` in most cases: the nearest ``tox.ini`` or its like."""
    while True:
        for name in ("tox.ini", "setup.cfg", "pyproject.toml", "tox.toml"):
            path = os.path.join(folder, name)
            if os.path.exists(path) and (name.startswith("tox") or _names_tox(path)):
                return os.path.realpath(path)
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _names_tox(path: str) -> bool:
    with open(path, "rb") as file:
        text = file.read()
    return b"[tool.tox" in text or b"[tox:tox]" in text


def _environment(instance: Mapping[str, Any]) -> str:
    """Which environment an instance is of."""
    return str(instance.get("environment") or instance["name"])


class Lease:
    """Services that are held: they run until this is released or closed, or the process ends."""

    def __init__(self, project: Project, connection: Connection, instances: Sequence[Mapping[str, Any]]) -> None:
        self.project = project
        self.connection = connection
        self._instances: Dict[str, Mapping[str, Any]] = {}
        self.add(instances)

    def add(self, instances: Sequence[Mapping[str, Any]]) -> None:
        """What else is held by now."""
        for one in instances:
            self._instances[one["name"]] = one

    def of(self, environment: str, marker: str = "") -> Mapping[str, Any]:
        """The instance of a service: of several, the one for ``marker`` (the worker or test), or the first."""
        own = [one for one in self._instances.values() if _environment(one) == environment]
        if not own:
            raise envo.UnknownService(f"`{environment}` is not among the services that are held", [environment])
        for one in own:
            if marker and one["name"].partition("@")[2].partition(".")[0] == marker:
                return one
        return own[0]

    def log_path(self, name: str) -> str:
        """The file with what an instance writes."""
        told = self._instances.get(name, {}).get("log")
        return str(told) if told else os.path.join(self.project.listing["state"], "log", name + ".log")

    def is_own(self) -> bool:
        """Whether this process may ask by its connection."""
        return self.connection.owner == os.getpid() and self.connection.is_open

    def status(self, name: str) -> Dict[str, Any]:
        """A service's row of ``ps``."""
        return next((row for row in self.rows() if row["name"] == name), {})

    def rows(self) -> List[Dict[str, Any]]:
        """The rows of ``ps``."""
        return [dict(row) for row in self._asking().ask("ps")["services"]]

    def logs(self, name: str, since: float) -> str:
        """What an instance wrote since then."""
        return str(self._asking().ask("logs", name=name, since=since)["log"]["text"])

    def wait(self, name: str, timeout: Optional[float]) -> Mapping[str, Any]:
        """Waits until a service is ready, and tells what is known of it then."""
        members: Dict[str, Any] = {"names": [name]}
        if timeout is not None:
            members["timeout"] = timeout
        return self._instance(name, self._asking().ask("wait", **members))

    def restart(self, name: str) -> Mapping[str, Any]:
        """Stops a service and starts it again."""
        return self._instance(name, self._asking().ask("restart", names=[name], wait=True))

    def start(self, name: str) -> Mapping[str, Any]:
        """Starts a service that was stopped or has failed."""
        return self._instance(name, self._asking().ask("start", names=[name], wait=True))

    def order(self, op: str, name: str) -> None:
        """Has something done with a service."""
        self._asking().ask(op, names=[name])

    def _instance(self, name: str, answer: Any) -> Mapping[str, Any]:
        for instance in answer["instances"]:
            if instance["name"] == name:
                self._instances[name] = instance
        return self._instances[name]

    def _asking(self) -> Connection:
        if self.is_own():
            return self.connection
        # A forked process must not mix its questions with those of the process it comes from.
        connection = self.project.connect()
        if connection is None:
            raise envo.SupervisorGone("the supervisor of the services has ended")
        self.connection = connection
        return connection

    def release(self) -> None:
        """Lets go, and waits until what only this held is gone."""
        if not self.is_own():
            return
        try:
            self.connection.ask("release")
        except envo.EnvoError:
            # A supervisor that has gone has stopped its services.
            pass
        finally:
            self.connection.close()

    def close(self) -> None:
        """Lets go without waiting."""
        self.connection.close()
