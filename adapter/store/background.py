"""Background responses: who works on which, and what becomes of them when nobody does.

    queued ──claim──▶ in_progress ──save_response(job=…)──▶ completed | incomplete | failed
      ▲                 │    │
      └──── requeue ────┘    └──cancel──▶ cancelled      (from queued too)

A worker holds a lease (`due_at`) that batches of events extend, empty ones too. A lease that ended makes the response
claimable again, under the next attempt's number; each write of a worker names owner and attempt, so that one which was only
slow writes nothing more. What is given back was no attempt: however many processes are told to stop, none has failed. The
next claim then has the same number, but another owner, because who gives work back takes up none. Leases compare the wall
clocks of replicas: make them longer than those may differ.
"""

from __future__ import annotations

from sqlalchemy import func, or_, select, update
from sqlalchemy.engine import Connection

from adapter.errors import BadRequest
from adapter.store.events import held, put
from adapter.store.responses import stored_response
from adapter.store.room import Room, live
from adapter.store.schema import events, responses
from adapter.store.values import TERMINAL, Job, Json, LoggedEvent, StoredResponse, can_exist, dumps
from adapter.wire import jsonio

_SWEEP = 100
"""Abandoned responses that one transaction fails."""


class Background(Room):
    """The part of the store that hands out work."""

    async def claim(self, owner: str, *, lease: float, only: tuple[str, str] | None = None) -> Job | None:
        """The background response that is due the longest, or `only` (tenant, id) if it is due or queued; None if none is.

        `attempt` above 1 says that an earlier worker was lost with it, `last_sequence` above -1 what clients may have
        seen.
        """
        now = self.clock()
        logged = (
            select(func.max(events.c.sequence))
            .where(events.c.tenant == responses.c.tenant, events.c.response_id == responses.c.id)
            .scalar_subquery()
        )
        due = (
            select(responses.c.tenant, responses.c.id, responses.c.attempt, responses.c.request, logged.label("logged"))
            .where(responses.c.background, live(int(now)))
            .order_by(responses.c.due_at)
            .limit(1)
            .with_for_update(skip_locked=True, of=responses)
        )
        if only is None:
            due = due.where(responses.c.due_at <= now)
        else:
            due = due.where(
                responses.c.tenant == only[0],
                responses.c.id == only[1],
                or_(responses.c.due_at <= now, responses.c.status == "queued"),
            )

        def work(connection: Connection) -> Job | None:
            found = connection.execute(due).first()
            if found is None:
                return None
            connection.execute(
                update(responses)
                .where(responses.c.tenant == found.tenant, responses.c.id == found.id)
                .values(status="in_progress", attempt=found.attempt + 1, lease_owner=owner, due_at=now + lease)
            )
            return Job(
                tenant=found.tenant,
                id=found.id,
                owner=owner,
                attempt=found.attempt + 1,
                request=jsonio.loads(found.request),
                last_sequence=-1 if found.logged is None else found.logged,
            )

        return await self.db.write(work)

    async def requeue(self, job: Job) -> bool:
        """Give the work back as if it had never been claimed, as a process does that shuts down; false if it was lost
        already."""
        statement = (
            update(responses)
            .where(*held(job))
            .values(status="queued", attempt=responses.c.attempt - 1, lease_owner=None, due_at=self.clock())
            .returning(responses.c.id)
        )

        def work(connection: Connection) -> bool:
            return connection.execute(statement).first() is not None

        return await self.db.write(work)

    async def cancel(self, tenant: str, id: str) -> StoredResponse | None:
        """Cancel a background response and return it as it now is; one that has ended is returned as it ended.

        The log of a streamed one gets its last event, `response.cancelled`.

        Raises:
            BadRequest: it is not a background response.
        """
        if not can_exist(id):
            return None
        now = self.now()

        def work(connection: Connection) -> StoredResponse | None:
            stop = (
                update(responses)
                .where(
                    responses.c.tenant == tenant,
                    responses.c.id == id,
                    responses.c.background,
                    responses.c.status.not_in(TERMINAL),
                    live(now),
                )
                .values(status="cancelled", expires_at=self.expiry(), due_at=None, lease_owner=None, request=None)
            )
            stopped = connection.execute(stop.returning(responses.c.id)).first() is not None
            stored = stored_response(connection, tenant, id, now)
            if stored is not None and not stored.background:
                raise BadRequest("Only responses created with `background: true` can be cancelled.")
            if stopped and stored is not None and stored.streamed:
                self._log_end(connection, tenant, id, stored)
            return stored

        return await self.db.write(work)

    def _log_end(self, connection: Connection, tenant: str, id: str, stored: StoredResponse) -> None:
        """No worker can log any more: the lease is gone in this very transaction."""
        logged = select(func.max(events.c.sequence)).where(events.c.tenant == tenant, events.c.response_id == id)
        last = connection.scalar(logged)
        number = 0 if last is None else last + 1
        event = {"type": "response.cancelled", "sequence_number": number, "response": stored.object}
        put(connection, tenant, id, [LoggedEvent(number, "response.cancelled", dumps(event, "response"))])

    async def fail_abandoned(self, error: Json) -> int:
        """End the foreground responses whose process died before it saved their end, with `error` as theirs.

        Returns how many; call it at start and now and then.
        """
        now = self.clock()
        lost = (
            select(responses.c.tenant, responses.c.id, responses.c.body)
            .where(responses.c.due_at <= now, ~responses.c.background)
            .limit(_SWEEP)
            .with_for_update(skip_locked=True)
        )

        def work(connection: Connection) -> int:
            rows = connection.execute(lost).all()
            for row in rows:
                body = jsonio.loads(row.body) | {"error": error}
                connection.execute(
                    update(responses)
                    .where(responses.c.tenant == row.tenant, responses.c.id == row.id)
                    .values(status="failed", expires_at=self.expiry(), due_at=None, body=dumps(body, "error"))
                )
            return len(rows)

        return await self.db.sweep(work)
