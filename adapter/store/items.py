"""Item rows: stored once, found by id, removed with the last pointer.

Items are kept as they came. An item without an id (input messages have none) is *known* by a minted one, in the column
only: lists show it, while history that goes to an upstream holds no id that the upstream or the client did not make.
Minted ids follow from the content, its place among equal items, and a salt that differs from turn to turn of one chain; so
a client that sends its whole history again points at the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from sqlalchemy import delete, exists, select
from sqlalchemy.engine import Connection

from adapter.hub.events import Item
from adapter.hub.items import ID_PREFIXES, OTHER_ID
from adapter.store.room import insert
from adapter.store.schema import conversation_items, items, response_items
from adapter.store.values import Items, can_exist, dumps
from adapter.wire import jsonio

CHUNK = 500
"""Values in one IN list; SQLite takes 32,766 in a statement, PostgreSQL plans short lists better."""


class ItemRow(NamedTuple):
    """An item on its way into the store."""

    digest: bytes
    id: str
    """What it is known by."""
    body: bytes


def rows_of(values: Items, salt: str, param: str) -> list[ItemRow]:
    """What `values` become in the store, each known by an id that no other of them has: lists are paged by ids.

    Raises:
        InvalidValue: one is nested too deeply.
    """
    seen: Counter[bytes] = Counter()
    rows: dict[str, ItemRow] = {}
    for value in values:
        body = dumps(value, param)
        known = value.get("id")
        while not can_exist(known) or known in rows:
            known = _minted(value, body, salt, seen[body])
            seen[body] += 1
        rows[known] = _row(known, body)
    return list(rows.values())


def renamed(row: ItemRow, salt: str) -> ItemRow:
    """The same item, known by another id."""
    return _row(_minted(jsonio.loads(row.body), row.body, salt, 0), row.body)


def _minted(value: Item, body: bytes, salt: str, place: int) -> str:
    source = b"%s\0%d\0%s" % (salt.encode("utf-8", "surrogatepass"), place, body)
    return ID_PREFIXES.get(value.get("type", ""), OTHER_ID) + blake2b(source, digest_size=16).hexdigest()


def _row(known: str, body: bytes) -> ItemRow:
    return ItemRow(blake2b(b"%s\0%s" % (known.encode(), body), digest_size=20).digest(), known, body)


def put(connection: Connection, tenant: str, rows: Iterable[ItemRow], stamp: int) -> None:
    """Write what is not there yet. Sorted, so that two writers of the same items do not deadlock."""
    unique = {row.digest: row for row in rows}
    if unique:
        connection.execute(
            insert(connection, items).on_conflict_do_nothing(),
            [
                {"tenant": tenant, "digest": digest, "id": row.id, "body": row.body, "stored_at": stamp}
                for digest, row in sorted(unique.items())
            ],
        )


def collect(connection: Connection, tenant: str, digests: Iterable[bytes]) -> None:
    """Remove those of `digests` that nothing points at any more. Each is locked first, but for those who only add a pointer:
    of two transactions that took the last two the second then looks when the first one's is gone."""
    wanted = sorted(set(digests))
    for start in range(0, len(wanted), CHUNK):
        chunk = (items.c.tenant == tenant, items.c.digest.in_(wanted[start : start + CHUNK]))
        locked = select(items.c.digest).where(*chunk).order_by(items.c.digest).with_for_update(key_share=True)
        connection.execute(locked).all()
        pointed_at = [
            exists().where(pointer.c.tenant == items.c.tenant, pointer.c.digest == items.c.digest)
            for pointer in (response_items, conversation_items)
        ]
        connection.execute(delete(items).where(*chunk, *(~pointer for pointer in pointed_at)))


def find(connection: Connection, tenant: str, ids: Iterable[str]) -> dict[str, bytes]:
    """The bodies of the items known by `ids`; of several under one id, the one stored last."""
    wanted = sorted(set(filter(can_exist, ids)))
    found: dict[str, bytes] = {}
    for start in range(0, len(wanted), CHUNK):
        query = (
            select(items.c.id, items.c.body)
            .where(items.c.tenant == tenant, items.c.id.in_(wanted[start : start + CHUNK]))
            .order_by(items.c.stored_at)
        )
        found.update(connection.execute(query).all())
    return found
