"""One database behind two verbs: `read(work)` and `write(work)`.

`work` is a function over one connection inside one transaction. It may run more than once, so it holds no state. It is
written as if it waited for the database: SQLAlchemy runs it in a greenlet, which steps aside while the asynchronous driver
is busy. (`sqlalchemy.ext.asyncio`, the usual face of the same, makes a greenlet for every statement, and brings in the ORM:
50 ms and 6 MB of a start.)

* A call, once begun, runs to its end in a task that this class owns, whatever becomes of the caller: a client that leaves
  never tears a transaction or a pooled connection. The caller waits `Limits.call` at most.
* A write that lost a race, or met a pooled connection that had died, runs again. Once COMMIT was sent nothing is repeated:
  its outcome is unknown, and the caller hears `StoreUnavailable`.
* SQLite: WAL, so that readers and the writer do not wait for each other. The driver's own BEGIN is off; writes begin with
  BEGIN IMMEDIATE, because a transaction that first reads and then wants to write fails at once when another process wrote
  in between (SQLITE_BUSY_SNAPSHOT, which no busy timeout helps). Within the process one writer at a time waits in an
  orderly queue instead of in SQLite's polling.
* `synchronous=FULL`: what was acknowledged is on the disk and not only in the system's cache.
* Parameters are hidden from the drivers' errors: prompts are in them, and errors are logged.
* PostgreSQL: every wait has an end: connecting, the pool, a lock, a statement, an idle transaction.

Opening (migrations included) happens at the first call or at `open()`, and again after it failed, at most once a second:
a database that is down at start costs stored requests a 503 and heals without a restart. So does a SQLite file that was
deleted, or replaced by a backup: what is written into the old one would be acknowledged, and nowhere.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from errno import EACCES
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.engine import Connection, Engine, ExceptionContext
from sqlalchemy.exc import ArgumentError
from sqlalchemy.util import greenlet_spawn

from adapter.errors import ConfigError, StoreUnavailable
from adapter.store import migrate
from adapter.store.faults import foreign, may_run_again, sqlstate, unavailable
from adapter.store.paths import default_path
from adapter.telemetry.log import log

T = TypeVar("T")
Work = Callable[[Connection], T]

_ATTEMPTS = 3
_PAUSE = 0.02
"""Seconds before a lost race is run again, times the attempt."""
_REOPEN_AFTER = 1.0
"""Seconds between attempts to open a store that could not be opened; calls in between fail at once."""
_CHECKED_AT_START = 64 << 20
"""SQLite files up to this size are checked page by page at start (well under a second); larger ones by use."""
_ROOM = 1 << 20
"""Bytes that a disk which is not full has left: a turn, and SQLite's log of it."""


_IN_URLS: Final = {
    "sslmode": ("ssl", ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")),
    "target_session_attrs": (
        "target_session_attrs",
        ("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
    ),
}
"""What may stand behind the `?` of a PostgreSQL URL, as hosted databases hand it out -> what the driver calls it, its values."""
_READ_ONLY: Final = "25006"
"""The SQLSTATE of a session that may not write."""


class Limits(NamedTuple):
    """How long anything here may take, in seconds."""

    busy: float = 5.0
    """For another writer: SQLite's busy timeout, the queue of writers, PostgreSQL's lock_timeout."""
    pool: float = 5.0
    """For a connection: from the pool, or new."""
    statement: float = 10.0
    call: float = 15.0
    """For one call as a whole; what is still running then goes on in the background."""


def store_url(url: str | None) -> URL:
    """The operator's `store.url` with the driver filled in; None is the SQLite file in the user's state directory.

    Raises:
        ConfigError: neither SQLite with a file nor PostgreSQL, or no place for the default.
    """
    if not url:
        return URL.create("sqlite+aiosqlite", database=str(default_path(os.environ)))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for what is no port
        raise ConfigError("store.url: not a database URL; expected sqlite:////path or postgresql://…") from None
    match parsed.get_backend_name():
        case "sqlite":
            if parsed.database in (None, "", ":memory:"):
                raise ConfigError("store.url: SQLite needs a file, as in sqlite:////var/lib/adapter/store.db")
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+asyncpg", query=_asked(parsed.query))
        case other:
            raise ConfigError(f"store.url: {other!r} is not supported; expected sqlite or postgresql")


def _asked(said: Mapping[str, Any]) -> dict[str, str]:
    """What stands behind the `?`, in the words of the driver."""
    query: dict[str, str] = {}
    for name, value in said.items():
        if name not in _IN_URLS:
            raise ConfigError(f"store.url: {name} is not known here; it takes {' and '.join(_IN_URLS)}")
        named, values = _IN_URLS[name]
        if value not in values:
            raise ConfigError(f"store.url: {name} must be one of {', '.join(values)}, said once")
        query[named] = value
    return query


class Database:
    """An engine that opens itself, with a schema that is known to fit."""

    def __init__(self, url: URL, limits: Limits) -> None:
        self.url = url
        self.limits = limits
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.engine = self._sqlite() if self.is_sqlite else self._postgres()
        reader = {} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}  # a read is one statement: no BEGIN around
        self._foreign = foreign(postgres=not self.is_sqlite)
        self._reader = self.engine.execution_options(**reader)
        self._writer = self.engine.execution_options(writes=True)
        self._turn = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._opened = False
        self._file: tuple[int, int] | None = None
        """Which SQLite file is open."""
        self._failed: tuple[float, StoreUnavailable] | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self.observe: Callable[[str, float], None] = lambda operation, seconds: None
        """Told of every operation, `open`, `read` or `write`, and how long it took, waiting included."""

    def _sqlite(self) -> Engine:
        engine = create_engine(
            self.url,
            hide_parameters=True,
            connect_args={"timeout": self.limits.busy},
            pool_size=5,  # one writer, and readers enough to keep two cores busy
            max_overflow=0,
            pool_timeout=self.limits.pool,
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, record: Any) -> None:
            connection.isolation_level = None  # the driver's own BEGIN is off
            cursor = connection.cursor()
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get("writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _postgres(self) -> Engine:
        milliseconds = {
            "statement_timeout": self.limits.statement,
            "lock_timeout": self.limits.busy,
            "idle_in_transaction_session_timeout": self.limits.call,
        }
        settings = {name: str(int(seconds * 1000)) for name, seconds in milliseconds.items()}
        command = self.limits.statement + 1  # the server's own end comes first and names its reason
        try:
            engine = create_engine(
                self.url,
                hide_parameters=True,
                connect_args={
                    "timeout": self.limits.pool,
                    "command_timeout": command,
                    "server_settings": {"application_name": "adapter", "jit": "off", **settings},
                },
                pool_size=10,
                max_overflow=0,
                pool_timeout=self.limits.pool,
            )
        except ImportError:
            raise ConfigError(
                "store.url: PostgreSQL needs the driver asyncpg: install responses-chat-adapter[postgres]"
            ) from None

        @event.listens_for(engine, "handle_error")
        def failed(context: ExceptionContext) -> None:
            if (
                sqlstate(context.original_exception) == _READ_ONLY
            ):  # another server leads by now, which only new ones reach
                context.is_disconnect = True

        return engine

    # ------------------------------------------------------------------------------------------------------- opening

    async def open(self) -> None:
        """Make sure that the database is there and its schema is this binary's.

        Raises:
            ConfigError: it never will be: newer schema, not a database, damaged.
            StoreUnavailable: it is not now.
        """
        if not self._open_still():
            await self._finish("open", self._open())

    async def _open(self) -> None:
        async with self._opening:
            if self._open_still():
                return
            if self._failed is not None and time.monotonic() - self._failed[0] < _REOPEN_AFTER:
                raise StoreUnavailable(self._failed[1].reason)
            if self._opened:
                log.error("store_replaced", file=self.url.database)
                self._opened = False
                await greenlet_spawn(self.engine.dispose)  # calls that are running end on what they have
            try:
                await self._prepare()
                self._file = self._file_there()
                self._opened = True
            except self._foreign as fault:
                refused = unavailable(fault)
                if refused.reason == "corrupt":
                    raise ConfigError(self._damaged()) from fault
                self._failed = time.monotonic(), refused
                raise refused from fault
            finally:
                if not self._opened:  # who keeps a deleted file's index in use keeps all others from making a new one
                    await greenlet_spawn(self.engine.dispose)

    def _open_still(self) -> bool:
        """It is, and a SQLite file is where it was."""
        return self._opened and (not self.is_sqlite or self._file == self._file_there())

    def _file_there(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.url.database or "")
        except OSError:
            return None
        return found.st_dev, found.st_ino

    async def _prepare(self) -> None:
        """Check and migrate. Of processes that make a new SQLite file at once, the switch to WAL refuses all but one
        without waiting: they come again."""
        patience = time.monotonic() + self.limits.busy
        while True:
            try:
                small = self.is_sqlite and self._make_file() <= _CHECKED_AT_START
                await greenlet_spawn(self._fit, small)
                return
            except self._foreign as fault:
                if unavailable(fault).reason != "locked" or time.monotonic() > patience:
                    raise
            await asyncio.sleep(_PAUSE)

    def _fit(self, small: bool) -> None:
        with self._writer.connect() as connection:
            if small:
                self._check_pages(connection)
            migrate.upgrade(connection)
            connection.commit()

    def _make_file(self) -> int:
        """Its size, made if need be. Prompts lie in it: only the owner may read it, and SQLite's companions of it."""
        path = Path(self.url.database or "")
        if path.is_dir():
            raise ConfigError(f"store.url: {path} is a directory; name a file in it")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        if not os.access(path, os.R_OK):
            raise PermissionError(EACCES, os.strerror(EACCES), str(path))
        return path.stat().st_size

    def _check_pages(self, connection: Connection) -> None:
        if connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one() != "ok":
            raise ConfigError(self._damaged())

    def _damaged(self) -> str:
        where = self.url.database if self.is_sqlite else self.url.render_as_string(hide_password=True)
        return (
            f"store.url: {where} is damaged or not a database of this adapter. Nothing was changed; restore it from a backup, "
            "move it away to begin an empty one, or point store.url elsewhere"
        )

    async def close(self) -> None:
        """Wait for what is running, then let the connections go."""
        while self._running:
            await asyncio.wait(self._running)
        await greenlet_spawn(self.engine.dispose)
        await asyncio.sleep(0)  # sockets close in the loop's next turn, and this may be its last

    # --------------------------------------------------------------------------------------------------------- calls

    async def read(self, work: Work[T]) -> T:
        """Run `work` over a connection that will not write.

        Raises:
            StoreUnavailable: whatever the database's trouble.
        """
        await self._ready()
        return await self._finish("read", self._read(work))

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction; when this returns it is committed.

        Raises:
            StoreUnavailable: it was not, or nobody knows.
        """
        await self._ready()
        return await self._finish("write", self._write(work))

    async def sweep(self, work: Work[int]) -> int:
        """`write` it, a batch each time, until it finds nothing more to do; how much that was.

        Raises:
            StoreUnavailable: as `write`.
        """
        total = 0
        while (done := await self.write(work)) > 0:
            total += done
        return total

    async def check_room(self) -> None:
        """Whether what is written next has room. SQLite's log has some of its own and tells too late, so a file beside it is
        made to grow; PostgreSQL's disk is its server's business.

        Raises:
            StoreUnavailable: there is none.
        """
        if not self.is_sqlite:
            return
        try:
            async with asyncio.timeout(self.limits.call):
                await asyncio.to_thread(_take_room, Path(self.url.database or "").parent)
        except OSError as full:
            raise unavailable(full) from full

    async def _ready(self) -> None:
        if not self._open_still():
            try:
                await self.open()
            except ConfigError as damaged:
                raise StoreUnavailable("corrupt") from damaged

    async def _finish(self, operation: str, call: Coroutine[Any, Any, T]) -> T:
        begun = time.monotonic()
        task = asyncio.get_running_loop().create_task(call)
        self._running.add(task)
        task.add_done_callback(self._done)
        try:
            async with asyncio.timeout(self.limits.call):
                return await asyncio.shield(task)
        except TimeoutError:
            raise StoreUnavailable("timeout") from None
        finally:
            self.observe(operation, time.monotonic() - begun)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have gone; looking at it keeps the loop from complaining

    async def _read(self, work: Work[T]) -> T:
        attempt = 1
        while True:
            try:
                return await greenlet_spawn(self._looked, work)
            except self._foreign as fault:
                if attempt == _ATTEMPTS or not may_run_again(fault):
                    raise unavailable(fault) from fault
            attempt += 1

    def _looked(self, work: Work[T]) -> T:
        with self._reader.connect() as connection:
            return work(connection)

    async def _write(self, work: Work[T]) -> T:
        attempt, committing = 1, False

        def transaction() -> T:
            nonlocal committing
            committing = False
            with self._writer.connect() as connection:
                result = work(connection)
                committing = True
                connection.commit()
                return result

        async with self._writers_turn():
            while True:
                try:
                    return await greenlet_spawn(transaction)
                except self._foreign as fault:
                    if committing or attempt == _ATTEMPTS or not may_run_again(fault):
                        raise unavailable(fault) from fault
                await asyncio.sleep(_PAUSE * attempt)
                attempt += 1

    @asynccontextmanager
    async def _writers_turn(self) -> AsyncIterator[None]:
        """One writer at a time on SQLite; PostgreSQL sorts writers out itself."""
        if not self.is_sqlite:
            yield
            return
        try:
            async with asyncio.timeout(self.limits.busy):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreUnavailable("locked") from None
        try:
            yield
        finally:
            self._turn.release()


def _take_room(directory: Path) -> None:
    """And give it back at once: the file has no name, or none for long."""
    with TemporaryFile(dir=directory, buffering=0) as file:
        left = _ROOM
        while left:
            left -= file.write(bytes(left))
