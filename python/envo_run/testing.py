"""Services for tests that pytest does not run, and for those of ``unittest`` that it does."""

from __future__ import annotations

import functools
import os
from typing import Any, Callable, ClassVar, Dict, Optional, Sequence, TypeVar, Union

from ._handle import Handle
from ._services import Services, services

__all__ = ["ServicesMixin", "with_services"]

R = TypeVar("R")


class _Variables:
    """The variables of services, set for a while."""

    def __init__(self, held: Services) -> None:
        self._before: Dict[str, Optional[str]] = {}
        for name, value in held.env.items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value

    def reset(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class ServicesMixin:
    """For a ``unittest.TestCase``: the services it names run while its tests do.

    ::

        class TestOrders(ServicesMixin, unittest.TestCase):
            envo_services = ["db"]

            def test_order(self):
                connect(self.services["db"].url)

    Their ``ENVO_...`` variables are set meanwhile.
    """

    #: Names of services, as in the configuration.
    envo_services: ClassVar[Sequence[str]] = ()
    #: The configuration or its folder; without it, the one found from the current folder upwards.
    envo_config: ClassVar[Union[str, "os.PathLike[str]", None]] = None
    #: The services that run.
    services: ClassVar[Services]

    _variables: ClassVar[_Variables]

    @classmethod
    def setUpClass(cls) -> None:
        cls.services = services(*cls.envo_services, config=cls.envo_config).start()
        cls._variables = _Variables(cls.services)
        try:
            super().setUpClass()  # type: ignore[misc]
        except BaseException:
            # Nobody else tidies up where this fails.
            cls._let_go()
            raise

    @classmethod
    def tearDownClass(cls) -> None:
        try:
            super().tearDownClass()  # type: ignore[misc]
        finally:
            cls._let_go()

    @classmethod
    def _let_go(cls) -> None:
        cls._variables.reset()
        cls.services.stop()


def with_services(
    *names: str, config: Union[str, "os.PathLike[str]", None] = None
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """A decorator: the services run while the function does, which is given their handles first.

    ::

        @with_services("db")
        def fill(db, rows): ...

    A method is given them after ``self``: ``@with_services("db")`` and ``def test_it(self, db)``.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        import inspect

        # What a function in a class is called with first is its object.
        first = next(iter(inspect.signature(function).parameters), "")
        is_method = first in ("self", "cls")

        @functools.wraps(function)
        def wrapped(*arguments: Any, **named: Any) -> R:
            with services(*names, config=config) as held:
                variables = _Variables(held)
                handles: Sequence[Handle] = list(held)
                begin = arguments[:1] if is_method else ()
                try:
                    return function(*begin, *handles, *arguments[len(begin) :], **named)
                finally:
                    variables.reset()

        # pytest and others would take the handles for fixtures.
        del wrapped.__dict__["__wrapped__"]
        return wrapped

    return decorate
