"""Stored responses: saved, read, deleted, continued.

Saving is one transaction and may be done twice: once before the upstream is called (status `queued` or `in_progress`, with
the input), once at the end (terminal, with the output). The first is the write-ahead that a crash leaves behind; callers
that can do without save once. The second never undoes a cancellation, a deletion or another worker's work: it then stores
nothing and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, func, literal, null, select, update
from sqlalchemy.engine import Connection

from adapter.hub.events import Item
from adapter.store import chains
from adapter.store import events as event_rows
from adapter.store import items as item_rows
from adapter.store.room import Room, insert, live
from adapter.store.saving import INPUT, OUTPUT, Saving
from adapter.store.schema import items, response_items, responses
from adapter.store.values import Items, Job, Json, LoggedEvent, Order, Page, StoredResponse, can_exist
from adapter.wire import jsonio

_FOREGROUND_LEASE = 3600.0
"""Seconds after which a response in progress that no worker leases is taken for abandoned: longer than any answer."""


class Responses(Room):
    """The part of the store that keeps responses."""

    async def save_response(
        self,
        tenant: str,
        response: Json,
        *,
        input: Items | None = None,
        upstream: str | None = None,
        request: Json | None = None,
        streamed: bool = False,
        events: Sequence[LoggedEvent] = (),
        job: Job | None = None,
        lease: float = _FOREGROUND_LEASE,
        reserved: float = 0,
    ) -> bool:
        """Store a response as its object says: `id`, `status`, `output`, `previous_response_id`, `conversation`, `background`.

        Committed when it returns true. False: it was deleted, cancelled, or (with `job`) taken over by another worker
        meanwhile, and nothing was written.

        Args:
            input: this turn's own input items; None leaves what an earlier save wrote.
            request: what a worker needs to run a background response again.
            streamed: its events go to the event log; `events`, the last ones, are committed with the terminal status, so
                whoever reads that status finds them.
            job: the lease under which a background response is finished.
            lease: seconds until a foreground response in progress counts as abandoned.
            reserved: seconds for which a queued response is left to whoever claims it by its id.

        Raises:
            PreviousResponseNotFound: `previous_response_id` names nothing (it was removed since it was resolved).
            InvalidValue: something is nested too deeply to be stored.
            StoreUnavailable: nothing was stored, or nobody knows.
        """
        saving = Saving.of(
            tenant,
            response,
            input=input,
            upstream=upstream,
            request=request,
            streamed=streamed,
            events=events,
            job=job,
            due_at=self.clock() + (reserved if response["status"] == "queued" else lease),
            now=self.now(),
            expires_at=self.expiry(),
            stamp=self.stamp(),
        )
        return await self.db.write(saving.run)

    async def save_origin(self, tenant: str, id: str, upstream: str) -> None:
        """Remember that the response `id` is kept at `upstream`: its name, and what else it takes to find it there."""
        row = {
            "tenant": tenant,
            "id": id,
            "status": "completed",
            "upstream": upstream,
            "background": False,
            "streamed": False,
            "created_at": self.now(),
            "expires_at": self.expiry(),
            "attempt": 0,
        }

        def work(connection: Connection) -> None:
            connection.execute(insert(connection, responses).values(row).on_conflict_do_nothing())

        await self.db.write(work)

    async def kept_by(self, tenant: str, id: str) -> str | None:
        """Where an upstream keeps this response, as it was saved; None if it is kept here or unknown."""
        if not can_exist(id):
            return None
        query = select(responses.c.upstream).where(*self._one(tenant, id), responses.c.body.is_(None))
        return await self.db.read(lambda connection: connection.scalar(query))

    async def response(self, tenant: str, id: str) -> StoredResponse | None:
        """The response, or None if this tenant has none of that id."""
        if not can_exist(id):
            return None
        return await self.db.read(lambda connection: stored_response(connection, tenant, id, self.now()))

    async def delete_response(self, tenant: str, id: str) -> bool:
        """Forget a response; false if there was none. Running work on it will store nothing more.

        Its items stay as long as a response that continues it, or a conversation, needs them.
        """
        if not can_exist(id):
            return False
        now = self.now()

        def work(connection: Connection) -> bool:
            gone = (
                update(responses)
                .where(*self._one(tenant, id))
                .values(deleted_at=now, expires_at=now, body=b"{}", request=None, due_at=None, lease_owner=None)
                .returning(responses.c.id)
            )
            if connection.execute(gone).first() is None:
                return False
            event_rows.drop(connection, tenant, id)
            chains.remove(connection, [(tenant, id)], now)
            return True

        return await self.db.write(work)

    async def input_items(
        self, tenant: str, id: str, *, limit: int = 20, order: Order = "desc", after: str | None = None
    ) -> Page | None:
        """The input items of this response itself (not of those it continues), each with its id; None if unknown.

        Raises:
            InvalidValue: `after` is not one of them.
        """
        if not can_exist(id):
            return None
        link = response_items
        mine = and_(link.c.tenant == tenant, link.c.response_id == id, link.c.output == INPUT)
        known = and_(items.c.tenant == tenant, items.c.digest == link.c.digest)
        owner = select(responses.c.id).where(*self._one(tenant, id))
        place = select(func.max(link.c.position)).where(mine, known, items.c.id == after)
        rows = select(items.c.id, items.c.body).where(mine, known)
        return await self.page(owner, place, rows, link.c.position, limit=limit, order=order, after=after)

    async def resolve(self, tenant: str, response_id: str, *, gone: bool = False) -> list[Item] | None:
        """What a request continues: all items of the chain that ends in `response_id`, oldest first, as they came.

        One query, whatever the length. None: unknown, or kept by its upstream. `gone` is for what was saved as going on from
        it: then it is there, though it was deleted or has expired since.

        Raises:
            BadRequest: it is still being made.
        """
        if not can_exist(response_id):
            return None
        now = self.now()

        def work(connection: Connection) -> list[Item] | None:
            bodies = chains.resolve(connection, tenant, response_id, now, gone=gone)
            return None if bodies is None else [jsonio.loads(body) for body in bodies]

        return await self.db.read(work)

    async def find_items(self, tenant: str, ids: Sequence[str]) -> dict[str, Item]:
        """The items behind `item_reference`s, by id; unknown ids are absent.

        An item can be referenced for as long as any response or conversation holds it.
        """
        if not any(map(can_exist, ids)):
            return {}

        def work(connection: Connection) -> dict[str, Item]:
            found = item_rows.find(connection, tenant, ids)
            return {known: jsonio.loads(body) for known, body in found.items()}

        return await self.db.read(work)

    def _one(self, tenant: str, id: str) -> tuple[Any, ...]:
        return responses.c.tenant == tenant, responses.c.id == id, live(self.now())


def stored_response(connection: Connection, tenant: str, id: str, now: int) -> StoredResponse | None:
    """The response with its output, in one query: first its own row, then an item a row."""
    facts = (responses.c.status, responses.c.upstream, responses.c.background, responses.c.streamed)
    own = select(literal(-1).label("position"), responses.c.body, *facts).where(
        responses.c.tenant == tenant, responses.c.id == id, live(now)
    )
    link = response_items
    output = select(link.c.position, items.c.body, *(null() for _ in facts)).where(
        link.c.tenant == tenant,
        link.c.response_id == id,
        link.c.output == OUTPUT,
        items.c.tenant == tenant,
        items.c.digest == link.c.digest,
    )
    rows = connection.execute(own.union_all(output).order_by("position")).all()
    if not rows or rows[0].position != -1:
        return None
    head = rows[0]
    shown: Json | None = None
    if head.body is not None:
        shown = jsonio.loads(head.body)
        shown |= {"status": head.status, "output": [jsonio.loads(row.body) for row in rows[1:]]}
    return StoredResponse(
        object=shown,
        status=head.status,
        upstream=head.upstream,
        background=bool(head.background),
        streamed=bool(head.streamed),
    )
