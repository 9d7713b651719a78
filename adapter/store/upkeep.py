"""Expiry, and what the operator wants to know."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

from sqlalchemy import CompoundSelect, delete, func, literal, select, text, tuple_, union_all
from sqlalchemy.engine import Connection

from adapter.store import chains
from adapter.store.migrate import REVISIONS
from adapter.store.room import Room, insert, live
from adapter.store.schema import completions, metadata, responses
from adapter.store.values import Purged, Stats

_BATCH = 200
"""Rows that one purging transaction begins with, so that other writers get their turn in between."""


class Upkeep(Room):
    """The part of the store that cleans and counts."""

    async def ready(self) -> None:
        """Whether what comes could be written: also with the disk looked at, which takes a millisecond.

        Raises:
            StoreUnavailable: it could not.
        """
        await self.db.check_room()
        await self.check_writable()

    async def check_writable(self) -> None:
        """Whether something can be written now: it is, and nobody sees it. What changes nothing is no question for a full disk.

        Raises:
            StoreUnavailable: it cannot.
        """
        nothing = {"id": token_hex(16), "tenant": "", "position": 0, "model": "", "metadata": b"", "body": b""}

        def work(connection: Connection) -> None:
            connection.execute(insert(connection, completions).values(nothing))
            connection.execute(delete(completions).where(completions.c.tenant == "", completions.c.id == nothing["id"]))

        await self.db.write(work)

    async def purge_expired(self) -> Purged:
        """Remove what has expired, batch by batch; what the history of living responses needs stays."""
        return Purged(responses=await self._purge_responses(), completions=await self._purge_completions())

    async def _purge_responses(self) -> int:
        now = self.now()
        ends = (
            select(responses.c.tenant, responses.c.id)
            .where(responses.c.expires_at <= now, chains.childless())
            .order_by(responses.c.expires_at)
            .limit(_BATCH)
        )

        def work(connection: Connection) -> int:
            found = connection.execute(ends).all()
            return chains.remove(connection, found, now) if found else 0

        return await self.db.sweep(work)

    async def _purge_completions(self) -> int:
        table = completions
        now = self.now()
        expired = select(table.c.tenant, table.c.id).where(table.c.expires_at <= now).limit(_BATCH)

        def work(connection: Connection) -> int:
            found = connection.execute(expired).all()
            if found:
                connection.execute(delete(table).where(tuple_(table.c.tenant, table.c.id).in_(found)))
            return len(found)

        return await self.db.sweep(work)

    async def stats(self) -> Stats:
        """Counts by table and status, and the size on disk; reads whole tables, so it is for the operator only."""
        counts: CompoundSelect[Any] = union_all(
            *(
                select(literal(table.name).label("name"), func.count().label("rows")).select_from(table)
                for table in metadata.sorted_tables
            )
        )
        statuses = select(responses.c.status, func.count()).where(responses.c.deleted_at.is_(None))
        now = self.now()
        expired = select(
            select(func.count()).where(responses.c.deleted_at.is_(None), ~live(now)).scalar_subquery()
            + select(func.count()).where(~live(now, completions)).scalar_subquery()
        )
        tenants = select(func.count(responses.c.tenant.distinct()))
        size = (
            "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)"
            if self.db.is_sqlite
            else "SELECT pg_database_size(current_database())"
        )

        def work(connection: Connection) -> Stats:
            return Stats(
                backend=connection.dialect.name,
                schema=REVISIONS[-1],
                bytes=int(connection.execute(text(size)).scalar_one()),
                rows=dict(connection.execute(counts).all()),
                statuses=dict(connection.execute(statuses.group_by(responses.c.status)).all()),
                expired=int(connection.execute(expired).scalar_one()),
                tenants=int(connection.execute(tenants).scalar_one()),
            )

        return await self.db.read(work)
