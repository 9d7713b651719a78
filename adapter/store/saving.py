"""One save of a response: the rows it becomes, made before the transaction, and the statements that write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.engine import Connection

from adapter.errors import PreviousResponseNotFound
from adapter.store import conversations
from adapter.store import events as event_rows
from adapter.store import items as item_rows
from adapter.store.items import ItemRow
from adapter.store.room import insert
from adapter.store.schema import items, response_items, responses
from adapter.store.values import TERMINAL, Items, Job, Json, LoggedEvent, can_exist, dumps

INPUT, OUTPUT = 0, 1
"""`response_items.output`."""


@dataclass(slots=True, kw_only=True)
class Saving:
    """A save, ready to run, and to run again if it loses a race."""

    tenant: str
    id: str
    birth: Json
    """Columns that the first save sets for good."""
    facts: Json
    """Columns that every save sets."""
    given: list[ItemRow] | None
    made: list[ItemRow]
    events: Sequence[LoggedEvent]
    job: Job | None
    stamp: int

    @classmethod
    def of(
        cls,
        tenant: str,
        response: Json,
        *,
        input: Items | None,
        upstream: str | None,
        request: Json | None,
        streamed: bool,
        events: Sequence[LoggedEvent],
        job: Job | None,
        due_at: float,
        now: int,
        expires_at: int | None,
        stamp: int,
    ) -> Saving:
        """Read the object and serialise what goes into the rows.

        Raises:
            InvalidValue: something is nested too deeply.
        """
        own: str = response["id"]
        previous: str | None = response.get("previous_response_id")
        conversation: str | None = (response.get("conversation") or {}).get("id")
        ended = response["status"] in TERMINAL
        salt = previous or (own if conversation else "")
        return cls(
            tenant=tenant,
            id=own,
            birth={
                "tenant": tenant,
                "id": own,
                "previous": previous,
                "conversation": conversation,
                "background": bool(response.get("background")),
                "streamed": streamed,
                "request": None if request is None or ended else dumps(request, "input"),
                "created_at": int(response.get("created_at") or now),
                "attempt": 0,
            },
            facts={
                "status": response["status"],
                "body": dumps({**response, "output": []}, "input"),
                "upstream": upstream,
                "expires_at": expires_at if ended else None,
                "due_at": None if ended else due_at,
            },
            given=None if input is None else item_rows.rows_of(input, salt, "input"),
            made=item_rows.rows_of(response.get("output") or (), own, "output"),
            events=events,
            job=job,
            stamp=stamp,
        )

    def run(self, connection: Connection) -> bool:
        """Write it all, or nothing: false if the response is no longer this caller's to save."""
        fresh = self._begin(connection)
        again = not fresh and not self._overwrite(connection)
        if again and not self._repeat(connection):
            return False
        item_rows.put(connection, self.tenant, [*(self.given or ()), *self.made], self.stamp)
        if not fresh:
            self._unpoint(connection)
        self._point(connection)
        event_rows.put(connection, self.tenant, self.id, self.events)
        conversation = self.birth["conversation"]
        if conversation is not None and not again and self.facts["status"] in ("completed", "incomplete"):
            given = self._given(connection) if self.given is None else self.given
            conversations.append(connection, self.tenant, conversation, given, self.made, self.stamp)
        return True

    def _begin(self, connection: Connection) -> bool:
        """Insert the row; false if it is there already. What a save without input, or for a job, ends was begun before: if it
        is not there any more, it was deleted."""
        if self.job is not None or self.given is None:
            return False
        if self.birth["previous"] is not None:
            self._require(connection, self.birth["previous"])
        statement = insert(connection, responses).values(**self.birth, **self.facts).on_conflict_do_nothing()
        return connection.execute(statement.returning(responses.c.id)).first() is not None

    def _overwrite(self, connection: Connection) -> bool:
        """Finish what an earlier save began, if it is still this caller's to finish.

        Under a lease: it ends with that. Without: a terminal status gives way to none, and a worker's row to no one.
        """
        facts = self.facts
        if self.job is not None:
            mine = event_rows.held(self.job)
            facts = facts | {"lease_owner": None, "request": None}
        else:
            mine = (*self._unleased, responses.c.status.not_in(TERMINAL))
        statement = update(responses).where(*mine).values(facts).returning(responses.c.id)
        return connection.execute(statement).first() is not None

    def _repeat(self, connection: Connection) -> bool:
        """Write once more what an earlier save finished as this one would."""
        if self.job is not None:
            return False
        mine = (*self._unleased, responses.c.status == self.facts["status"])
        statement = update(responses).where(*mine).values(self.facts).returning(responses.c.id)
        return connection.execute(statement).first() is not None

    @property
    def _unleased(self) -> tuple[ColumnElement[bool], ...]:
        return (
            responses.c.tenant == self.tenant,
            responses.c.id == self.id,
            responses.c.deleted_at.is_(None),
            responses.c.lease_owner.is_(None),
        )

    def _require(self, connection: Connection, previous: str) -> None:
        """The row may be gone for readers by now: a turn that began before that is finished all the same. One without an end
        lacks an answer that whoever goes on from it knows, for it could not be stored."""
        query = select(responses.c.id).where(
            responses.c.tenant == self.tenant, responses.c.id == previous, responses.c.status.in_(TERMINAL)
        )
        if not can_exist(previous) or connection.scalar(query) is None:
            raise PreviousResponseNotFound(
                f"Previous response with id '{previous}' not found.", param="previous_response_id"
            )

    def _sides(self) -> dict[int, list[ItemRow]]:
        return {OUTPUT: self.made} if self.given is None else {INPUT: self.given, OUTPUT: self.made}

    def _unpoint(self, connection: Connection) -> None:
        """Let go of the items that an earlier save named and this one does not (a partial answer's)."""
        sides = self._sides()
        link = response_items
        former = connection.execute(
            delete(link)
            .where(link.c.tenant == self.tenant, link.c.response_id == self.id, link.c.output.in_(sides))
            .returning(link.c.digest)
        )
        freed = set(former.scalars()) - {row.digest for rows in sides.values() for row in rows}
        if freed:
            item_rows.collect(connection, self.tenant, freed)

    def _point(self, connection: Connection) -> None:
        """Point the response at its items."""
        pointers = [
            {"tenant": self.tenant, "response_id": self.id, "output": side, "position": place, "digest": row.digest}
            for side, rows in self._sides().items()
            for place, row in enumerate(rows)
        ]
        if pointers:
            connection.execute(insert(connection, response_items), pointers)

    def _given(self, connection: Connection) -> list[ItemRow]:
        """The input that an earlier save wrote."""
        link = response_items
        query = (
            select(items.c.digest, items.c.id, items.c.body)
            .where(link.c.tenant == self.tenant, link.c.response_id == self.id, link.c.output == INPUT)
            .where(items.c.tenant == self.tenant, items.c.digest == link.c.digest)
            .order_by(link.c.position)
        )
        return [ItemRow(*row) for row in connection.execute(query)]
