"""A database for each worker of pytest-xdist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

import pytest

if TYPE_CHECKING:
    from envo_run._broker import EnvoServices


@pytest.fixture(scope="session")
def postgres_database(envo_services: "EnvoServices") -> Iterator[str]:
    """The URL of a PostgreSQL database that belongs to this worker alone."""
    from . import database

    with database(envo_services.get("postgres")) as url:
        yield url
