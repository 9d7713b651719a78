"""The contract suite runs on both back-ends: `store` is each of them in turn, empty."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from adapter.store.engine import Limits
from adapter.store.schema import metadata
from adapter.store.store import Store
from tests.store.postgres import Server, binaries

SHORT = Limits(busy=0.3, pool=2.0, statement=1.0, call=5.0)
"""For tests of waiting only; on a busy machine others need the patience that operators get."""


class Clock:
    """Wall time that only tests move."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    found = binaries()
    if found is None:
        if os.environ.get("TEST_POSTGRES") == "required":
            pytest.fail("no PostgreSQL server binaries here, and TEST_POSTGRES=required")
        pytest.skip("no PostgreSQL server binaries here (Debian: postgresql); its half of the store suite is left out")
    server = Server(found)
    yield server
    server.close()


@pytest.fixture(scope="session")
def migrated(postgres: Server) -> str:
    """One migrated database for the suite, emptied for every test: a new one takes a second."""

    name = postgres.new_database()

    async def make() -> None:
        store = Store(postgres.url(name))
        await store.open()
        await store.close()

    asyncio.run(make())
    return name


@dataclass
class Backend:
    """Where a test's store lies, and how to open it again."""

    url: str
    clock: Clock
    opened: list[Store] = field(default_factory=list)

    def store(self, **settings: Any) -> Store:
        """Another store on the same database: a second replica."""
        store = Store(self.url, **{"clock": self.clock, **settings})
        self.opened.append(store)
        return store


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/store.db"
    server: Server = request.getfixturevalue("postgres")
    name: str = request.getfixturevalue("migrated")
    asyncio.run(server.sql(f"TRUNCATE {', '.join(metadata.tables)} CASCADE", name))
    return server.url(name)


@pytest.fixture
async def backend(url: str, clock: Clock) -> AsyncIterator[Backend]:
    backend = Backend(url, clock)
    yield backend
    for store in backend.opened:
        await store.close()


@pytest.fixture
async def store(backend: Backend) -> Store:
    return backend.store()


@pytest.fixture
def queries(store: Store) -> Iterator[list[str]]:
    """Every statement that reached the database, transaction control left out."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            seen.append(statement)

    event.listen(store.db.engine, "before_cursor_execute", note)
    yield seen
    event.remove(store.db.engine, "before_cursor_execute", note)
