"""``envo.services``: services for as long as a ``with`` block lasts."""

from __future__ import annotations

import functools
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Mapping, Optional, Type, TypeVar, Union

from ._errors import UnknownService
from ._handle import Handle, variables_of
from ._project import Lease, Project

if TYPE_CHECKING:
    import os

T = TypeVar("T")


class Services:
    """Services that are held together. A context manager, an async one, and the sequence of their handles."""

    def __init__(
        self,
        names: List[str],
        project: Project,
        *,
        reuse: bool = False,
        ttl: Optional[float] = None,
        noproc: Optional[Mapping[str, str]] = None,
        namespace: str = "",
    ) -> None:
        self.names = names
        self.project = project
        self._reuse = reuse
        self._ttl = ttl
        self._noproc = dict(noproc or {})
        self._namespace = namespace
        self._lease: Optional[Lease] = None
        self._handles: Dict[str, Handle] = {}

    def start(self) -> "Services":
        """Builds and starts what is not up, waits until everything is ready, and holds it."""
        if self._handles:
            return self
        wanted = [name for name in self.names if name not in self._noproc]
        if wanted:
            keep = self._reuse and self._ttl is None
            self._lease = self.project.acquire(wanted, keep=keep, ttl=self._ttl)
        for name in self.names:
            if name in self._noproc:
                self._handles[name] = Handle.elsewhere(name, self._noproc[name], self._namespace)
            elif self._lease:
                self._handles[name] = Handle(name, self._lease.of(name), self._lease, self._namespace)
        return self

    def stop(self) -> None:
        """Lets go of them, and waits until those are gone that nobody else holds."""
        lease, self._lease = self._lease, None
        self._handles = {}
        if lease:
            lease.release()

    @property
    def env(self) -> Dict[str, str]:
        """The variables that environments get which depend on these services."""
        return variables_of(self)

    def __getitem__(self, name: Union[str, int]) -> Handle:
        if isinstance(name, int):
            return list(self)[name]
        try:
            return self._handles[name]
        except KeyError:
            raise UnknownService(f"`{name}` is not among the services that are held: {', '.join(self.names)}") from None

    def __iter__(self) -> Iterator[Handle]:
        return (self._handles[name] for name in self.names if name in self._handles)

    def __len__(self) -> int:
        return len(self._handles)

    def __contains__(self, name: object) -> bool:
        return name in self._handles

    def __enter__(self) -> "Services":
        return self.start()

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.stop()

    async def __aenter__(self) -> "Services":
        beginning = _Beginning(self)
        try:
            await _in_thread(beginning.run)
        except BaseException:
            # The thread cannot be interrupted where the task was.
            beginning.give_up()
            raise
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await _in_thread(self.stop)


class _Beginning:
    """The start of services for a task that may be cancelled meanwhile: then nobody is left who lets go of them."""

    def __init__(self, held: Services) -> None:
        self._held = held
        self._lock = threading.Lock()
        self._is_over = False
        self._is_unwanted = False

    def run(self) -> None:
        self._held.start()
        with self._lock:
            self._is_over = True
            if not self._is_unwanted:
                return
        self._held.stop()

    def give_up(self) -> None:
        with self._lock:
            self._is_unwanted = True
            if not self._is_over:
                return
        # It was just done.
        threading.Thread(target=self._held.stop, name="envo-stop").start()


async def _in_thread(function: Callable[[], T]) -> T:
    import asyncio

    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(function))


def services(
    *names: str,
    config: Union[str, "os.PathLike[str]", None] = None,
    reuse: bool = False,
    ttl: Optional[float] = None,
    noproc: Optional[Mapping[str, str]] = None,
) -> Services:
    """Services by their names in the configuration, for a ``with`` or ``async with`` block, or for ``start`` and ``stop``.

    ::

        with envo.services("db", "api") as (db, api):
            print(db.url, api.port)

    What is not built is built, what does not run is started together with what it depends on. It runs as long as anyone
    holds it: when the block or the process ends, however that ends, and nobody else needs it, it is stopped.

    :param config: the configuration or its folder; without it, the one found from the current folder upwards.
    :param reuse: leave the services running, until ``envo down`` or for ``ttl`` seconds.
    :param ttl: seconds for which to keep the services when nobody holds them any more.
    :param noproc: addresses of services that run elsewhere, by name; nothing is started for them.
    :raises EnvoError: what keeps a service from being ready.
    """
    return Services(list(names), Project(config), reuse=reuse, ttl=ttl, noproc=noproc)
