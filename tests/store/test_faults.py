"""A database in trouble: one error with a reason, in bounded time, and healing without a restart."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import resource
import sqlite3
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event, text
from sqlalchemy.util import await_, greenlet_spawn

from adapter.errors import ConfigError, StoreUnavailable
from adapter.store import engine as engine_module
from adapter.store.engine import Database, Limits
from adapter.store.faults import unavailable
from adapter.store.store import Store
from tests.store.conftest import SHORT, Backend
from tests.store.postgres import Server
from tests.store.samples import assistant, response, texts, user


async def save(store: Store, name: str = "resp_1", size: int = 1) -> bool:
    return await store.save_response("t", response(name, assistant("a" * size, f"msg_{name}")), input=[user("q")])


async def reason(call: Awaitable[Any]) -> str:
    """Why the store says it is not available."""
    with pytest.raises(StoreUnavailable) as refused:
        await call
    assert (refused.value.http_status, refused.value.code) == (503, "store_unavailable")
    return refused.value.reason


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def embedded(path: Path) -> Any:
    store = Store(f"sqlite:///{path}", limits=SHORT)
    yield store
    await store.close()


# -------------------------------------------------------------------------------------------------------------- SQLite


async def test_sqlite_locked_by_another_process(embedded: Store, path: Path) -> None:
    """Reading goes on; writing waits the busy timeout and no longer; afterwards all is well."""
    await save(embedded)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()

    assert await reason(save(embedded, "resp_2")) == "locked"
    assert time.monotonic() - began < 2
    assert texts(await embedded.resolve("t", "resp_1")) == ["q", "a"]
    other.execute("ROLLBACK")
    other.close()
    assert await save(embedded, "resp_2")


async def test_sqlite_writers_wait_for_each_other_in_turn(path: Path) -> None:
    """Far more writers than connections, none of them refused."""
    store = Store(f"sqlite:///{path}")
    assert all(await asyncio.gather(*(save(store, f"resp_{n}") for n in range(40))))
    await store.close()


async def test_sqlite_full(embedded: Store) -> None:
    """What was acknowledged can be read; there is room again after something was deleted."""

    @event.listens_for(embedded.db.engine, "connect")
    def bound(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA max_page_count=80")

    await save(embedded, "resp_0", size=100_000)
    assert await reason(save(embedded, "resp_big", size=300_000)) == "full"
    assert await embedded.response("t", "resp_big") is None
    assert await embedded.response("t", "resp_0") is not None
    assert await embedded.delete_response("t", "resp_0")
    assert await save(embedded, "resp_2", size=50_000)


def fill(url: str, answer: Connection) -> None:
    """In a process whose files may not grow over 1 MiB."""

    async def run() -> None:
        store = Store(url, limits=SHORT)
        await save(store)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        stored = 0
        try:
            while stored < 100:
                await save(store, f"resp_{stored}", size=100_000)
                stored += 1
        except StoreUnavailable as refused:
            kept = [await store.response("t", f"resp_{n}") is not None for n in range(stored)]
            answer.send((stored, refused.reason, all(kept)))
        await store.close()

    asyncio.run(run())


def elsewhere(work: Callable[[str, Connection], None], path: Path) -> Any:
    """What `work` answers in a process of its own."""
    reader, writer = multiprocessing.get_context("forkserver").Pipe(duplex=False)
    worker = multiprocessing.get_context("forkserver").Process(target=work, args=(f"sqlite:///{path}", writer))
    worker.start()
    worker.join(30)
    assert reader.poll(0)
    answer = reader.recv()
    worker.close()
    reader.close()
    writer.close()
    return answer


def test_sqlite_over_its_quota(path: Path) -> None:
    stored, why, kept = elsewhere(fill, path)
    assert (0 < stored < 100, why in ("full", "failed"), kept) == (True, True, True)

    async def reopened() -> bool:
        store = Store(f"sqlite:///{path}", limits=SHORT)
        try:
            return await store.response("t", f"resp_{stored - 1}") is not None and await save(store, "resp_more")
        finally:
            await store.close()

    assert asyncio.run(reopened())


def look(url: str, answer: Connection) -> None:
    """In a process whose files may grow, then may not, then may again."""

    async def run() -> None:
        store = Store(url, limits=SHORT)
        found = []
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        for limit in (soft, 1 << 16, soft):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                found.append(await store.ready())
            except StoreUnavailable as refused:
                found.append(refused.reason)
        answer.send(found)
        await store.close()

    asyncio.run(run())


def write(url: str, answer: Connection) -> None:
    """In a process whose files may grow, then may not, then may again."""

    async def run() -> None:
        store = Store(url, limits=SHORT)
        await save(store)
        found = []
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        for limit in (soft, 1 << 12, soft):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                await store.check_writable()
                found.append(True)
            except StoreUnavailable:
                found.append(False)
        answer.send((found, (await store.completions("", model=None, metadata={})).data))
        await store.close()

    asyncio.run(run())


def test_sqlite_whose_disk_is_full_cannot_be_written_until_there_is_room_again(path: Path) -> None:
    """Which a chat completion to be stored hears before its upstream is asked, as a response does."""
    assert elsewhere(write, path) == ([True, False, True], [])


def test_sqlite_whose_disk_is_full_is_not_ready_until_there_is_room_again(path: Path) -> None:
    assert elsewhere(look, path) == [None, "full", None]
    assert sorted(each.name for each in path.parent.iterdir()) == ["store.db"]


@pytest.mark.parametrize("gone", ["*", "store.db"], ids=["all", "without its companions"])
async def test_sqlite_file_that_is_deleted_is_made_anew(embedded: Store, path: Path, gone: str) -> None:
    """Also for those who had connections to the old one: what is acknowledged is there after a restart."""
    await save(embedded)
    await asyncio.gather(*(embedded.response("t", "resp_1") for _ in range(5)))
    for file in path.parent.glob(gone if gone == path.name else f"{path.name}*"):
        file.unlink()
    assert await asyncio.gather(*(embedded.response("t", "resp_1") for _ in range(5))) == [None] * 5
    assert await save(embedded, "resp_2")
    await embedded.ready()
    again = Store(f"sqlite:///{path}", limits=SHORT)
    assert await again.response("t", "resp_2") is not None
    await again.close()


def save_often(url: str, pipe: Connection) -> None:
    """In a process of its own: a turn whenever it is asked for one."""
    engine_module._REOPEN_AFTER = 0

    async def run() -> None:
        store = Store(url, limits=SHORT)
        while (name := await asyncio.to_thread(pipe.recv)) is not None:
            try:
                pipe.send(await save(store, name))
            except StoreUnavailable as refused:
                pipe.send(refused.reason)
        await store.close()

    asyncio.run(run())


def test_sqlite_file_that_is_deleted_under_two_workers_is_made_anew(path: Path) -> None:
    """Its index is left, and in use by whoever did not look yet."""
    processes = multiprocessing.get_context("forkserver")
    workers = []
    for _ in range(2):
        mine, other = processes.Pipe()
        process = processes.Process(target=save_often, args=(f"sqlite:///{path}", other))
        process.start()
        workers.append((process, mine))

    def told(name: str) -> list[bool | str]:
        said = []
        for number, (_, pipe) in enumerate(workers):
            pipe.send(f"resp_{name}_{number}")
            said.append(pipe.recv())
        return said

    try:
        assert told("before") == [True, True]
        path.unlink()
        told("first")  # may be refused: the others' connections are there
        told("second")
        assert told("third") == [True, True]
    finally:
        for process, pipe in workers:
            pipe.send(None)
            process.join()


async def test_sqlite_file_that_is_replaced_by_a_backup_is_read(embedded: Store, path: Path) -> None:
    await save(embedded)
    backup = path.with_name("backup.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    await save(embedded, "resp_2")
    for file in path.parent.glob("store.db*"):
        file.unlink()
    backup.rename(path)
    assert await embedded.response("t", "resp_1") is not None
    assert await embedded.response("t", "resp_2") is None


async def test_sqlite_file_that_is_replaced_by_another_kind_is_left_alone(embedded: Store, path: Path) -> None:
    await save(embedded)
    for file in path.parent.glob("store.db*"):
        file.unlink()
    path.write_bytes(b"no database " * 1000)
    assert await reason(save(embedded, "resp_2")) == "corrupt"
    assert path.read_bytes() == b"no database " * 1000


async def test_sqlite_read_only(embedded: Store) -> None:
    await save(embedded)
    await greenlet_spawn(embedded.db.engine.dispose)

    @event.listens_for(embedded.db.engine, "connect")
    def read_only(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA query_only=ON")

    assert await reason(save(embedded, "resp_2")) == "read_only"
    assert texts(await embedded.resolve("t", "resp_1")) == ["q", "a"]


async def test_sqlite_file_that_is_no_database_is_refused_and_left_alone(embedded: Store, path: Path) -> None:
    path.write_bytes(b"This was somebody's diary.\n" * 400)
    before = path.read_bytes()

    with pytest.raises(ConfigError, match=r"store\.url: .*store\.db is damaged"):
        await embedded.open()
    assert await reason(save(embedded)) == "corrupt"
    assert path.read_bytes() == before


async def damage(path: Path) -> None:
    """A store with data in it, whose middle pages are overwritten."""
    store = Store(f"sqlite:///{path}", limits=SHORT)
    for n in range(30):
        await save(store, f"resp_{n}", size=3000)
    await store.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) * 3 // 4] = b"\xa5" * (len(content) // 2)
    path.write_bytes(content)


async def test_sqlite_damaged_pages_are_found_at_start(embedded: Store, path: Path) -> None:
    await damage(path)
    with pytest.raises(ConfigError, match="damaged"):
        await embedded.open()


async def test_sqlite_damaged_pages_are_met_at_run_time(
    embedded: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file too large to be checked at start."""
    monkeypatch.setattr(engine_module, "_CHECKED_AT_START", -1)
    await damage(path)
    reasons = set()
    for n in range(30):
        try:
            await embedded.resolve("t", f"resp_{n}")
        except StoreUnavailable as refused:
            reasons.add(refused.reason)
    assert reasons == {"corrupt"}


async def test_sqlite_where_no_directory_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried once, and not again at once."""
    monkeypatch.setattr(engine_module, "_REOPEN_AFTER", 3600.0)
    tried, make = [], Database._make_file

    def counted(db: Database) -> int:
        tried.append(db)
        return make(db)

    monkeypatch.setattr(Database, "_make_file", counted)
    (tmp_path / "file").write_text("")
    store = Store(f"sqlite:///{tmp_path}/file/store.db", limits=SHORT)
    assert await reason(save(store)) == "gone"
    assert await reason(save(store)) == "gone"
    assert len(tried) == 1
    await store.close()


async def test_sqlite_stored_bytes_that_are_no_json_any_more(embedded: Store, path: Path) -> None:
    await save(embedded)
    other = sqlite3.connect(path)
    other.execute("UPDATE items SET body = CAST('{' AS BLOB)")
    other.commit()
    other.close()
    assert await reason(embedded.resolve("t", "resp_1")) == "corrupt"


# ---------------------------------------------------------------------------------------------------------- PostgreSQL


@pytest.fixture
def own_database(postgres: Server) -> str:
    return postgres.new_database()


@pytest.fixture
async def served(postgres: Server, own_database: str) -> Any:
    store = Store(postgres.url(own_database), limits=SHORT)
    yield store
    await store.close()


async def in_thread(call: Callable[[], None]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, call)


async def test_postgres_goes_and_comes_back(served: Store, postgres: Server) -> None:
    """Killed without warning: acknowledged turns are there, and the pool heals by itself."""
    for n in range(5):
        await save(served, f"resp_{n}")
    await in_thread(postgres.stop)
    assert await reason(save(served, "resp_x")) == "gone"
    assert await reason(served.resolve("t", "resp_1")) == "gone"
    await in_thread(postgres.start)

    assert await save(served, "resp_x")
    for n in range(5):
        assert texts(await served.resolve("t", f"resp_{n}")) == ["q", "a"]


async def test_postgres_restarts_between_two_calls(served: Store, postgres: Server) -> None:
    """Pooled connections are dead, and no caller notices, whether it writes first or reads."""
    await asyncio.gather(*(save(served, f"resp_{n}") for n in range(8)))
    await in_thread(postgres.stop)
    await in_thread(postgres.start)

    assert all(await asyncio.gather(*(save(served, f"again_{n}") for n in range(8))))
    await in_thread(postgres.stop)
    await in_thread(postgres.start)

    found = await asyncio.gather(*(served.resolve("t", f"resp_{n}") for n in range(8)))
    assert [texts(one) for one in found] == [["q", "a"]] * 8


async def test_postgres_down_at_start(served: Store, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process starts all the same, and stored requests work as soon as the server does."""
    monkeypatch.setattr(engine_module, "_REOPEN_AFTER", 0.0)
    await in_thread(postgres.stop)
    assert await reason(served.open()) == "gone"
    assert await reason(save(served)) == "gone"
    await in_thread(postgres.start)
    assert await save(served)


async def test_postgres_table_locked(served: Store, postgres: Server) -> None:
    await save(served)
    other = await asyncpg.connect(postgres.url(served.db.url.database or ""))
    await other.execute("BEGIN; LOCK TABLE responses IN ACCESS EXCLUSIVE MODE")
    assert await reason(save(served, "resp_2")) == "locked"
    assert await reason(served.response("t", "resp_1")) == "locked"
    await other.close()
    assert await save(served, "resp_2")


async def test_postgres_slow(postgres: Server, own_database: str) -> None:
    store = Store(postgres.url(own_database), limits=Limits(statement=0.2, call=5))
    await store.open()
    assert await reason(store.db.read(lambda c: c.execute(text("SELECT pg_sleep(3)")))) == "timeout"
    assert await save(store)
    await store.close()


async def test_postgres_read_only_replica(served: Store, postgres: Server) -> None:
    await save(served)
    await greenlet_spawn(served.db.engine.dispose)
    await postgres.sql(f"ALTER DATABASE {served.db.url.database} SET default_transaction_read_only = on")
    assert await reason(save(served, "resp_2")) == "read_only"
    assert texts(await served.resolve("t", "resp_1")) == ["q", "a"]


async def test_postgres_sessions_that_may_not_write_give_way_to_new_ones(served: Store, postgres: Server) -> None:
    """Behind a failover the old ones stay open to what does not lead any more."""
    await save(served)
    await greenlet_spawn(served.db.engine.dispose)
    await postgres.sql(f"ALTER DATABASE {served.db.url.database} SET default_transaction_read_only = on")
    assert await reason(save(served, "resp_2")) == "read_only"
    await postgres.sql(f"ALTER DATABASE {served.db.url.database} SET default_transaction_read_only = off")
    assert await save(served, "resp_2")


@pytest.mark.parametrize("mode", ["disable", "prefer"])
async def test_postgres_urls_of_hosted_databases(postgres: Server, own_database: str, mode: str) -> None:
    store = Store(f"{postgres.url(own_database)}?sslmode={mode}&target_session_attrs=any", limits=SHORT)
    await store.open()
    assert await save(store)
    await store.close()


async def test_postgres_pool_empty(postgres: Server, own_database: str) -> None:
    store = Store(postgres.url(own_database), limits=Limits(pool=0.2))
    await store.open()

    def hold(connection: Any) -> None:
        connection.execute(text("SELECT 1"))
        await_(asyncio.sleep(0.6))

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(store.db.read(hold))
        await asyncio.sleep(0.1)
        assert await reason(save(store)) == "busy"
    assert await save(store)
    await store.close()


async def test_postgres_without_such_a_database(postgres: Server) -> None:
    store = Store(postgres.url("nowhere"), limits=SHORT)
    assert await reason(store.open()) == "gone"
    await store.close()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (asyncpg.DiskFullError("No space left on device"), "full"),
        (asyncpg.TooManyConnectionsError("sorry"), "busy"),
        (asyncpg.CannotConnectNowError("starting up"), "gone"),
        (asyncpg.DataCorruptedError("invalid page"), "corrupt"),
        (asyncpg.ConnectionDoesNotExistError("closed"), "gone"),
        (ConnectionRefusedError(), "gone"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "full"),
        (TimeoutError(), "timeout"),
    ],
)
def test_reasons(error: Exception, why: str) -> None:
    assert unavailable(error).reason == why


# ---------------------------------------------------------------------------------------------------------------- both


async def test_a_caller_that_leaves_tears_nothing(store: Store) -> None:
    """Cancelled at any moment of a save: it is stored whole or not at all, and the next one works."""
    await save(store, "resp_first")
    for n in range(40):
        task = asyncio.ensure_future(save(store, f"resp_{n}"))
        await asyncio.sleep(n * 0.0002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await save(store, "resp_last")
    for n in range(40):
        found = await store.resolve("t", f"resp_{n}")
        assert texts(found) in (None, ["q", "a"])


@pytest.mark.parametrize("verb", ["read", "write"])
async def test_what_fails_again_and_again_is_given_up(store: Store, verb: str) -> None:
    """A lost race runs again; what loses every time is none."""
    await save(store)
    times: list[None] = []

    def twice(connection: Any) -> None:
        times.append(None)
        connection.execute(text("INSERT INTO conversations VALUES ('c', 't', 'x', 0, 0), ('c', 't', 'x', 0, 0)"))

    assert await reason(getattr(store.db, verb)(twice)) == "failed"
    assert len(times) == 3
    assert await store.conversation("t", "c") is None


async def test_a_call_that_takes_too_long_is_given_up(backend: Backend) -> None:
    """And it goes on in the background: it may be inside COMMIT."""
    store = backend.store()
    await store.open()
    store.db.limits = Limits(call=0.2)  # to open takes its time on a busy machine
    done = asyncio.Event()

    def slow(connection: Any) -> None:
        await_(asyncio.sleep(0.5))
        done.set()

    assert await reason(store.db.write(slow)) == "timeout"
    await asyncio.wait_for(done.wait(), 2)


@pytest.mark.parametrize("where", ["embedded", "served"])
def test_no_prompt_is_in_an_error(request: pytest.FixtureRequest, where: str) -> None:
    """Not in the message, and not in the trace that the log gets."""
    store: Store = request.getfixturevalue(where)
    prompt = "-".join(["a", "canary"])  # the trace quotes this file too

    async def break_and_save() -> str:
        await store.open()
        await store.db.write(lambda c: c.execute(text("ALTER TABLE items RENAME TO elsewhere")))
        with pytest.raises(StoreUnavailable) as refused:
            await store.save_response("t", response("resp_1"), input=[user(prompt)])
        await store.close()
        return "".join(traceback.format_exception(refused.value))

    trace = asyncio.run(break_and_save())
    assert "INSERT INTO items" in trace
    assert "a-canary" not in trace


async def test_nothing_is_touched_before_the_first_call(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/state/store.db")
    assert list(tmp_path.iterdir()) == []
    await store.close()
    assert list(tmp_path.iterdir()) == []


async def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/a/b/store.db")
    await save(store)
    modes = {entry.name: entry.stat().st_mode & 0o777 for entry in (tmp_path / "a" / "b").iterdir()}
    await store.close()
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}
