"""Schemas: made once, known by name, refused when newer; and what URLs are taken."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection

import adapter.store.migrate
from adapter.errors import ConfigError
from adapter.kinds import Secret
from adapter.sections import Store as Section
from adapter.store import verbs
from adapter.store.engine import store_url
from adapter.store.migrate import REVISIONS
from adapter.store.migrations.whole import metadata
from adapter.store.paths import default_path
from adapter.store.store import Store
from tests.store.postgres import Server
from tests.store.samples import response, user


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server: Server = request.getfixturevalue("postgres")
    return server.url(server.new_database())


async def test_the_migrated_schema_is_the_schema(empty: str) -> None:
    store = Store(empty)
    await store.open()

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    found = await store.db.read(differences)
    await store.close()
    assert found == []


async def test_replicas_that_start_at_once_migrate_once(empty: str) -> None:
    stores = [Store(empty) for _ in range(5)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(
        *(store.save_response("t", response(f"r{n}"), input=[user("q")]) for n, store in enumerate(stores))
    )
    assert (await stores[0].stats()).rows["responses"] == 5
    for store in stores:
        await store.close()


async def test_a_newer_schema_is_refused_and_left_alone(empty: str) -> None:
    store = Store(empty)
    await store.open()
    await store.db.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    await store.close()

    for _ in range(2):
        older = Store(empty)
        with pytest.raises(ConfigError, match=r"store\.url: .*'9999'.*newer version"):
            await older.open()
        await older.close()


async def test_what_the_first_schema_holds_is_there_after_the_next(empty: str) -> None:
    store = Store(empty)
    await store.open()
    made = {"id": "c1", "object": "chat.completion", "model": "m", "choices": []}
    await store.save_completion("t", made, [{"role": "user", "content": "Hi"}])
    for back in ("ALTER TABLE completions DROP COLUMN asked", "UPDATE alembic_version SET version_num = '0001'"):
        await store.db.write(lambda connection, back=back: connection.execute(text(back)))
    await store.close()

    store = Store(empty)
    await store.open()
    await store.save_completion("t", made | {"id": "c2", "model": "m-2025"}, [], asked="m")
    assert [one["id"] for one in (await store.completions("t", model="m")).data] == ["c1", "c2"]
    await store.close()


def test_the_revisions_that_the_binary_knows_are_those_it_carries() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(adapter.store.migrate.__file__).with_name("migrations")))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    assert [script.revision for script in reversed(scripts)] == list(REVISIONS)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:///:memory:", "SQLite needs a file"),
        ("mysql://root:hunter2@host/db", "'mysql' is not supported"),
        ("nonsense", "not a database URL"),
        ("postgresql://u:hunter2@h/d?sslmode=requier", "sslmode must be one of disable, allow"),
        ("postgresql://u:hunter2@h/d?sslmode=require&sslmode=prefer", "said once"),
        ("postgresql://u:hunter2@h/d?sslmod=require", "sslmod is not known here; it takes sslmode"),
    ],
)
def test_urls_that_cannot_be_served(url: str, what: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Store(url)
    assert what in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"])
def test_postgres_urls_get_the_driver(url: str) -> None:
    assert store_url(url).drivername == "postgresql+asyncpg"


def test_the_default_lies_in_the_state_directory() -> None:
    assert default_path({"HOME": "/home/u"}) == Path("/home/u/.local/state/adapter/store.db")
    assert default_path({"HOME": "/home/u", "XDG_STATE_HOME": "/s"}) == Path("/s/adapter/store.db")
    assert default_path({"HOME": "/home/u", "XDG_STATE_HOME": "s"}) == Path("/home/u/.local/state/adapter/store.db")
    for bare in ({}, {"HOME": ""}, {"HOME": "relative"}):
        with pytest.raises(ConfigError, match=r"store\.url: no HOME"):
            default_path(bare)


def test_the_verbs_say_what_is_there(url: str) -> None:
    section = Section(url=Secret(url))

    async def fill() -> None:
        store = Store(url, ttl=1, clock=lambda: 1_000_000.0)
        for n in range(3):
            await store.save_response("t", response(f"resp_{n}"), input=[user("q")])
        await store.close()

    asyncio.run(fill())
    before = verbs.stats(section).split("\n")
    size = next(line for line in before if line.startswith("size")).split()
    assert 0 < float(size[1]) < 100
    assert size[2] == "MiB"
    assert "expired    3" in before
    assert "responses completed  3" in before
    assert verbs.purge(section) == "removed 3 responses and 0 chat completions"
    assert "expired    0" in verbs.stats(section).split("\n")
