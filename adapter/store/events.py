"""The event log of background streams: what was sent, so that it can be sent again, from any replica."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, literal, null, select, update
from sqlalchemy.engine import Connection

from adapter.store.room import Room, insert, live
from adapter.store.schema import events, responses
from adapter.store.values import EventPage, Job, LoggedEvent, can_exist


def held(job: Job) -> tuple[ColumnElement[bool], ...]:
    """The row of a job, if this very attempt still holds it."""
    return (
        responses.c.tenant == job.tenant,
        responses.c.id == job.id,
        responses.c.deleted_at.is_(None),
        responses.c.lease_owner == job.owner,
        responses.c.attempt == job.attempt,
    )


def put(connection: Connection, tenant: str, id: str, batch: Sequence[LoggedEvent]) -> None:
    """Write a batch; what is already there under a number stays, since it may have been seen."""
    if batch:
        connection.execute(
            insert(connection, events).on_conflict_do_nothing(),
            [
                {"tenant": tenant, "response_id": id, "sequence": e.sequence, "name": e.name, "data": e.data}
                for e in batch
            ],
        )


def drop(connection: Connection, tenant: str, id: str) -> None:
    """Forget the events of one response."""
    connection.execute(delete(events).where(events.c.tenant == tenant, events.c.response_id == id))


class Events(Room):
    """The part of the store that logs and replays streams."""

    async def append_events(self, job: Job, batch: Sequence[LoggedEvent], *, lease: float) -> bool:
        """Log a batch and extend the lease by it; false if the lease is lost, and then nothing was written.

        The terminal events go with `save_response(events=…)`.
        """
        held_until = self.clock() + lease

        def work(connection: Connection) -> bool:
            if not extend(connection, job, held_until):
                return False
            put(connection, job.tenant, job.id, batch)
            return True

        return await self.db.write(work)

    async def events_after(self, tenant: str, id: str, sequence: int, *, limit: int = 256) -> EventPage | None:
        """Events numbered above `sequence`, at most `limit`; None if the response is unknown or was not streamed.

        Status and events are read in one query: an `ended` page with fewer than `limit` events is the last.
        """
        if not can_exist(id):
            return None
        head = select(literal(-1).label("sequence"), responses.c.status.label("name"), null().label("data")).where(
            responses.c.tenant == tenant, responses.c.id == id, responses.c.streamed, live(self.now())
        )
        log = (
            select(events.c.sequence, events.c.name, events.c.data)
            .where(
                events.c.tenant == tenant,
                events.c.response_id == id,
                events.c.sequence > sequence,
            )
            .order_by(events.c.sequence)
            .limit(limit)
            .subquery()
        )
        query = head.union_all(select(log)).order_by("sequence")

        def work(connection: Connection) -> EventPage | None:
            rows = connection.execute(query).all()
            if not rows or rows[0].sequence != -1:
                return None
            return EventPage([LoggedEvent(row.sequence, row.name, row.data) for row in rows[1:]], rows[0].name)

        return await self.db.read(work)


def extend(connection: Connection, job: Job, until: float) -> bool:
    """Hold the lease until `until`; false if this attempt does not hold it any more."""
    statement = update(responses).where(*held(job)).values(due_at=until).returning(responses.c.id)
    return connection.execute(statement).first() is not None
