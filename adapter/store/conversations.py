"""Conversations: a named, growing list of items that turns and clients add to.

They do not expire (the API keeps them until they are deleted). Positions only grow, so that a deleted item leaves a gap and
pages stay stable. An id is in one conversation once: what comes under one that is taken is known by another there, since some
servers number the items of every answer alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, delete, select, update
from sqlalchemy.engine import Connection

from adapter.errors import InvalidValue
from adapter.hub.events import Item
from adapter.store import items as item_rows
from adapter.store.items import ItemRow
from adapter.store.room import Room, insert
from adapter.store.schema import conversation_items, conversations, items
from adapter.store.values import MAX_ADDED, Items, Json, Order, Page, can_exist, checked_metadata, dumps
from adapter.wire import jsonio

_link = conversation_items


def reserve(connection: Connection, tenant: str, id: str, count: int) -> int | None:
    """The first of `count` positions at the end, now taken; None if there is no such conversation."""
    statement = (
        update(conversations)
        .where(*_one(tenant, id))
        .values(next_position=conversations.c.next_position + count)
        .returning(conversations.c.next_position)
    )
    end = connection.execute(statement).scalar()
    return None if end is None else end - count


def append(
    connection: Connection, tenant: str, id: str, given: Sequence[ItemRow], made: Sequence[ItemRow], stamp: int
) -> None:
    """Add a turn's input and output; nothing happens to a conversation that was deleted meanwhile."""
    count = len(given) + len(made)
    if count and (start := reserve(connection, tenant, id, count)) is not None:
        _place(connection, tenant, id, start, given, made, stamp)


def _place(
    connection: Connection,
    tenant: str,
    id: str,
    start: int,
    given: Sequence[ItemRow],
    made: Sequence[ItemRow],
    stamp: int,
) -> list[ItemRow]:
    """Put items at positions from `start` on; returns them as they are known now. What a client gave word for word under an
    id that is there is what is there already."""
    rows = [*given, *made]
    taken = _taken(connection, tenant, id, [row.id for row in rows])
    pointers: list[Json] = []
    for place, row in enumerate(rows):
        if row.id in taken:
            if place < len(given) and taken[row.id] == row.digest:
                continue
            row = rows[place] = item_rows.renamed(row, f"{id}/{start + place}")
        taken[row.id] = row.digest
        pointer = {"position": start + place, "item_id": row.id, "digest": row.digest}
        pointers.append({"tenant": tenant, "conversation_id": id, **pointer})
    item_rows.put(connection, tenant, rows, stamp)
    if pointers:
        connection.execute(insert(connection, _link), pointers)
    return rows


def _taken(connection: Connection, tenant: str, id: str, wanted: Sequence[str]) -> dict[str, bytes]:
    """Those of the ids that are in the conversation -> the digests of their items."""
    found: dict[str, bytes] = {}
    for start in range(0, len(wanted), item_rows.CHUNK):
        some = _link.c.item_id.in_(wanted[start : start + item_rows.CHUNK])
        found |= dict(
            connection.execute(select(_link.c.item_id, _link.c.digest).where(*_inside(tenant, id), some)).all()
        )
    return found


class Conversations(Room):
    """The part of the store that keeps conversations."""

    async def create_conversation(
        self, tenant: str, id: str, *, metadata: Mapping[str, Any] | None = None, items: Items = ()
    ) -> Json:
        """Make a conversation, with up to 20 items in it; returns the object.

        Raises:
            InvalidValue: too many items, or metadata out of the API's bounds.
        """
        pairs = checked_metadata(metadata)
        _check_count(items)
        created_at = self.now()
        row = {
            "tenant": tenant,
            "id": id,
            "metadata": dumps(pairs, "metadata"),
            "created_at": created_at,
            "next_position": 0,
        }
        stamp = self.stamp()

        def work(connection: Connection) -> None:
            connection.execute(insert(connection, conversations).values(row))
            _add(connection, tenant, id, items, stamp)

        await self.db.write(work)
        return _object(id, created_at, pairs)

    async def conversation(self, tenant: str, id: str) -> Json | None:
        """The conversation object, or None if this tenant has none of that id."""
        if not can_exist(id):
            return None
        return await self.db.read(lambda connection: _read(connection, tenant, id))

    async def update_conversation(self, tenant: str, id: str, metadata: Mapping[str, Any] | None) -> Json | None:
        """Replace the metadata; returns the object, None if unknown.

        Raises:
            InvalidValue: metadata out of the API's bounds.
        """
        body = dumps(checked_metadata(metadata), "metadata")
        if not can_exist(id):
            return None

        def work(connection: Connection) -> Json | None:
            connection.execute(update(conversations).where(*_one(tenant, id)).values(metadata=body))
            return _read(connection, tenant, id)

        return await self.db.write(work)

    async def delete_conversation(self, tenant: str, id: str) -> bool:
        """Forget a conversation; false if there was none. Items that stored responses hold stay theirs."""
        if not can_exist(id):
            return False

        locked = select(conversations.c.id).where(*_one(tenant, id)).with_for_update()

        def work(connection: Connection) -> bool:
            # first of all: a pointer that came later would go without its item
            if connection.execute(locked).first() is None:
                return False
            pointers = delete(_link).where(*_inside(tenant, id))
            freed = connection.execute(pointers.returning(_link.c.digest)).scalars().all()
            connection.execute(delete(conversations).where(*_one(tenant, id)))
            item_rows.collect(connection, tenant, freed)
            return True

        return await self.db.write(work)

    async def add_conversation_items(self, tenant: str, id: str, items: Items) -> list[Item] | None:
        """Append up to 20 items; returns them with their ids, None if the conversation is unknown.

        Raises:
            InvalidValue: more than 20.
        """
        _check_count(items)
        if not can_exist(id):
            return None
        stamp = self.stamp()
        return await self.db.write(lambda connection: _add(connection, tenant, id, items, stamp))

    async def conversation_items(
        self, tenant: str, id: str, *, limit: int = 20, order: Order = "desc", after: str | None = None
    ) -> Page | None:
        """A page of the items, None if the conversation is unknown.

        Raises:
            InvalidValue: `after` is not one of them.
        """
        if not can_exist(id):
            return None
        owner = select(conversations.c.id).where(*_one(tenant, id))
        place = select(_link.c.position).where(*_inside(tenant, id), _link.c.item_id == after)
        rows = _bodies(tenant, id)
        return await self.page(owner, place, rows, _link.c.position, limit=limit, order=order, after=after)

    async def conversation_item(self, tenant: str, id: str, item_id: str) -> Item | None:
        """One item; None if conversation or item is unknown."""
        if not can_exist(id) or not can_exist(item_id):
            return None
        query = _bodies(tenant, id).where(_link.c.item_id == item_id)

        def work(connection: Connection) -> Item | None:
            found = connection.execute(query).first()
            return None if found is None else jsonio.loads(found.body) | {"id": item_id}

        return await self.db.read(work)

    async def delete_conversation_item(self, tenant: str, id: str, item_id: str) -> Json | None:
        """Take an item out; returns the conversation, None if conversation or item is unknown."""
        if not can_exist(id) or not can_exist(item_id):
            return None

        def work(connection: Connection) -> Json | None:
            pointer = delete(_link).where(*_inside(tenant, id), _link.c.item_id == item_id)
            freed = connection.execute(pointer.returning(_link.c.digest)).scalars().all()
            if not freed:
                return None
            item_rows.collect(connection, tenant, freed)
            return _read(connection, tenant, id)

        return await self.db.write(work)

    async def conversation_history(self, tenant: str, id: str) -> list[Item] | None:
        """All items, oldest first, as they came: what a turn in this conversation begins with. None if unknown."""
        if not can_exist(id):
            return None
        query = (
            select(items.c.body)
            .select_from(conversations)
            .outerjoin(_link, and_(_link.c.tenant == tenant, _link.c.conversation_id == conversations.c.id))
            .outerjoin(items, and_(items.c.tenant == tenant, items.c.digest == _link.c.digest))
            .where(*_one(tenant, id))
            .order_by(_link.c.position)
        )

        def work(connection: Connection) -> list[Item] | None:
            bodies = connection.execute(query).scalars().all()
            return [jsonio.loads(body) for body in bodies if body is not None] if bodies else None

        return await self.db.read(work)


def _check_count(given: Items) -> None:
    if len(given) > MAX_ADDED:
        raise InvalidValue(f"At most {MAX_ADDED} items can be added at once.", param="items")


def _one(tenant: str, id: str) -> tuple[Any, ...]:
    return conversations.c.tenant == tenant, conversations.c.id == id


def _inside(tenant: str, id: str) -> tuple[Any, ...]:
    return _link.c.tenant == tenant, _link.c.conversation_id == id


def _bodies(tenant: str, id: str) -> Any:
    known = and_(items.c.tenant == tenant, items.c.digest == _link.c.digest)
    return select(_link.c.item_id, items.c.body).where(*_inside(tenant, id), known)


def _object(id: str, created_at: int, metadata: Mapping[str, str]) -> Json:
    return {"id": id, "object": "conversation", "created_at": created_at, "metadata": dict(metadata)}


def _read(connection: Connection, tenant: str, id: str) -> Json | None:
    query = select(conversations.c.created_at, conversations.c.metadata).where(*_one(tenant, id))
    found = connection.execute(query).first()
    return None if found is None else _object(id, found[0], jsonio.loads(found[1]))


def _add(connection: Connection, tenant: str, id: str, given: Items, stamp: int) -> list[Item] | None:
    start = reserve(connection, tenant, id, len(given))
    if start is None:
        return None
    rows = item_rows.rows_of(given, f"{id}/{start}", "items")
    placed = _place(connection, tenant, id, start, rows, (), stamp)
    return [{**item, "id": row.id} for item, row in zip(given, placed, strict=True)]
