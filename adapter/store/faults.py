"""The rim: whatever a driver, SQLAlchemy or the operating system throws becomes one `StoreUnavailable` with a reason."""

from __future__ import annotations

import sqlite3
from errno import EDQUOT, EFBIG, ENOSPC
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from adapter.errors import StoreUnavailable
from adapter.wire.jsonio import NotJson

_FOREIGN: Final = (SQLAlchemyError, sqlite3.Error, OSError, NotJson)

_SQLITE = {
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_FULL": "full",
    "SQLITE_READONLY": "read_only",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_NOTADB": "corrupt",
    "SQLITE_CANTOPEN": "gone",
    "SQLITE_PERM": "read_only",
}
"""By the primary result code; the extended ones begin with it."""

_SQLSTATE = {
    "53100": "full",
    "53300": "busy",
    "25006": "read_only",
    "55P03": "locked",
    "57014": "timeout",
    "57P01": "gone",
    "57P02": "gone",
    "57P03": "gone",
    "57P05": "gone",
    "3D000": "gone",
    "XX001": "corrupt",
    "XX002": "corrupt",
}

_FULL = frozenset({ENOSPC, EDQUOT, EFBIG})

_LOST_RACES = frozenset({"40001", "40P01"})
"""serialization_failure, deadlock_detected: nothing was done, the same transaction may succeed now."""


def foreign(*, postgres: bool) -> tuple[type[Exception], ...]:
    """What may come out of a database call. `NotJson`: stored bytes that are no longer what was stored."""
    if not postgres:
        return _FOREIGN
    import asyncpg

    return (*_FOREIGN, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def unavailable(fault: BaseException) -> StoreUnavailable:
    """`fault` as our error; its text stays in the log's trace and never reaches a client."""
    return StoreUnavailable(_reason(fault))


def _reason(fault: BaseException) -> str:
    match fault:
        case PoolTimeout():
            return "busy"
        case NotJson():
            return "corrupt"
        case sqlite3.Error():
            name = getattr(fault, "sqlite_errorname", "")
            return next((reason for code, reason in _SQLITE.items() if name.startswith(code)), "failed")
        case _ if (state := sqlstate(fault)) is not None:
            return _SQLSTATE.get(state, "gone" if state.startswith("08") else "failed")
        case DBAPIError():
            reason = "failed" if fault.orig is None else _reason(fault.orig)
            return "gone" if fault.connection_invalidated and reason == "failed" else reason
        case TimeoutError():
            return "timeout"
        case OSError():
            return "full" if fault.errno in _FULL else "gone"
        case _:
            return "failed" if fault.__cause__ is None else _reason(fault.__cause__)


def sqlstate(fault: BaseException) -> str | None:
    """Of asyncpg's errors and of those that SQLAlchemy's adapter of asyncpg makes of them."""
    state = getattr(fault, "sqlstate", None)
    return state if isinstance(state, str) else None


def may_run_again(fault: BaseException) -> bool:
    """The transaction did nothing, and the cause is over: a lost race, or a pooled connection that had died.

    An `IntegrityError` is a lost race too: the foreign keys saw that another writer removed, or added, what this one
    had looked up.
    """
    if not isinstance(fault, DBAPIError):
        return False
    return (
        isinstance(fault, IntegrityError)
        or fault.connection_invalidated
        or (fault.orig is not None and sqlstate(fault.orig) in _LOST_RACES)
    )
