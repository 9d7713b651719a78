"""What every part of the store stands on: the database, the clock, the time to live, the pages of lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, Table, null, or_
from sqlalchemy.engine import Connection

from adapter.errors import InvalidValue
from adapter.store.engine import Database
from adapter.store.schema import responses
from adapter.store.values import Order, Page, can_exist
from adapter.wire import jsonio

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


class Room:
    """Base of the parts that `Store` is made of."""

    def __init__(self, db: Database, clock: Callable[[], float], ttl: int | None) -> None:
        self.db = db
        self.clock = clock
        self.ttl = ttl
        """Seconds that responses, once they have ended, and chat completions are kept; None for ever."""
        self._last_stamp = 0

    def now(self) -> int:
        """Whole Unix seconds."""
        return int(self.clock())

    def expiry(self) -> int | None:
        """When something saved now expires."""
        return None if self.ttl is None else self.now() + self.ttl

    def stamp(self) -> int:
        """Microseconds, always growing within this process, so that a clock that steps back does not reorder lists."""
        self._last_stamp = max(int(self.clock() * 1_000_000), self._last_stamp + 1)
        return self._last_stamp

    async def page(
        self,
        owner: Select[Any],
        place: Select[Any],
        rows: Select[Any],
        position: Any,
        *,
        limit: int,
        order: Order,
        after: str | None,
    ) -> Page | None:
        """One page of (id, JSON) rows by `position`; None without an `owner`. `place` selects where `after` stands.

        Raises:
            InvalidValue: `after` stands nowhere.
        """
        known = owner.add_columns(place.scalar_subquery() if can_exist(after) else null())
        ordered = rows.order_by(position.asc() if order == "asc" else position.desc()).limit(limit + 1)

        def work(connection: Connection) -> Page | None:
            found, wanted = connection.execute(known).first(), ordered
            if found is None:
                return None
            if after is not None:
                if (start := found[-1]) is None:
                    raise InvalidValue("`after` is not an id of this list.", param="after")
                wanted = wanted.where(position > start if order == "asc" else position < start)
            listed = connection.execute(wanted).all()
            return Page([jsonio.loads(row[1]) | {"id": row[0]} for row in listed[:limit]], len(listed) > limit)

        return await self.db.read(work)


def insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """INSERT with ON CONFLICT, which both back-ends have and SQLAlchemy spells by dialect."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def live(now: int, table: Any = responses) -> ColumnElement[bool]:
    """Neither deleted nor expired."""
    unexpired = or_(table.c.expires_at.is_(None), table.c.expires_at > now)
    return table.c.deleted_at.is_(None) & unexpired if "deleted_at" in table.c else unexpired
