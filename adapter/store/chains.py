"""Chains of responses: read whole in one query, removed from their end.

A response that was deleted or has expired may still be needed: its descendants' history begins with its items. So it is
*gone* (nobody can name it) before it is *removed*. Removal takes gone responses that have no children, and walks up as long
as the parent is gone too and loses its last child by it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, delete, exists, func, literal, select, true, tuple_
from sqlalchemy.engine import Connection

from adapter.errors import BadRequest
from adapter.store import items as item_rows
from adapter.store.room import live
from adapter.store.schema import items, response_items, responses
from adapter.store.values import TERMINAL


def resolve(connection: Connection, tenant: str, id: str, now: int, *, gone: bool) -> list[bytes] | None:
    """Input and output items of the chain that ends in `id`, oldest first; None if `id` is not kept here. `gone`: it may be.

    Joined by what the chain's rows say and by no constant: PostgreSQL would rather read all rows of a constant tenant,
    as long as it has no statistics, than look a chain's rows up one by one.

    Raises:
        BadRequest: `id` is still being made, or its chain began in a conversation: a history that goes on from it would lack
            its answer, or what was said before.
    """
    chain = (
        select(
            responses.c.tenant,
            responses.c.id,
            responses.c.previous,
            responses.c.status,
            responses.c.conversation,
            literal(0).label("depth"),
        )
        .where(responses.c.tenant == tenant, responses.c.id == id, responses.c.body.is_not(None))
        .where(true() if gone else live(now))
        .cte("chain", recursive=True)
    )
    parent, link = responses.alias("parent"), response_items
    chain = chain.union_all(
        select(
            parent.c.tenant,
            parent.c.id,
            parent.c.previous,
            chain.c.status,
            parent.c.conversation,
            chain.c.depth + 1,
        ).where(parent.c.id == chain.c.previous, parent.c.tenant == chain.c.tenant)
    )
    query = (
        select(items.c.body, chain.c.status, chain.c.conversation)
        .select_from(chain)
        .outerjoin(link, and_(link.c.response_id == chain.c.id, link.c.tenant == chain.c.tenant))
        .outerjoin(items, and_(items.c.digest == link.c.digest, items.c.tenant == link.c.tenant))
        .order_by(chain.c.depth.desc(), link.c.output, link.c.position)
    )
    rows = connection.execute(query).all()
    if not rows:
        return None
    if rows[0].status not in TERMINAL:  # that of the end, in every row
        raise BadRequest(
            f"Response with id '{id}' is still being made; it can be continued when it has ended.",
            param="previous_response_id",
            code="response_in_progress",
        )
    if rows[0].conversation is not None:  # that of the first turn, which alone may have one
        raise BadRequest(
            f"Response with id '{id}' goes on from a conversation, which knows what was said before; send `conversation` instead.",
            param="previous_response_id",
        )
    return [row.body for row in rows if row.body is not None]


def childless() -> ColumnElement[bool]:
    """No response goes on from this one."""
    child = responses.alias("child")
    return ~exists().where(child.c.tenant == responses.c.tenant, child.c.previous == responses.c.id)


def remove(connection: Connection, ends: Sequence[tuple[str, str]], now: int) -> int:
    """Remove those of `ends` (tenant, id) that are gone and childless, and what that frees above them."""
    removed = 0
    freed: dict[str, list[bytes]] = {}
    while ends:  # a fork may have lost all its branches at once
        count, ends = _remove(connection, ends, now, freed)
        removed += count
    for tenant, digests in sorted(freed.items()):  # once and in order, or two of these would wait for each other
        item_rows.collect(connection, tenant, digests)
    return removed


def _remove(
    connection: Connection, ends: Sequence[tuple[str, str]], now: int, freed: dict[str, list[bytes]]
) -> tuple[int, Sequence[tuple[str, str]]]:
    """How many went, each with those above it that had one child; and what stands above them. The items that they pointed at
    are added to `freed`, by tenant."""
    removable = (
        select(responses.c.tenant, responses.c.id, responses.c.previous)
        .where(tuple_(responses.c.tenant, responses.c.id).in_(ends), ~live(now), childless())
        .cte("removable", recursive=True)
    )
    parent, sibling = responses.alias("parent"), responses.alias("sibling")
    children = (
        select(func.count())
        .where(sibling.c.tenant == parent.c.tenant, sibling.c.previous == parent.c.id)
        .correlate(parent)
        .scalar_subquery()
    )
    removable = removable.union_all(
        select(parent.c.tenant, parent.c.id, parent.c.previous).where(
            parent.c.tenant == removable.c.tenant,
            parent.c.id == removable.c.previous,
            ~live(now, parent),
            children == 1,
        )
    )
    found = connection.execute(select(removable.c.tenant, removable.c.id, removable.c.previous)).all()
    doomed = [(row.tenant, row.id) for row in found]
    for start in range(0, len(doomed), item_rows.CHUNK):  # the query gives children before their parents
        chunk = doomed[start : start + item_rows.CHUNK]
        pointers = connection.execute(
            delete(response_items)
            .where(tuple_(response_items.c.tenant, response_items.c.response_id).in_(chunk))
            .returning(response_items.c.tenant, response_items.c.digest)
        )
        for tenant, digest in pointers:
            freed.setdefault(tenant, []).append(digest)
        connection.execute(delete(responses).where(tuple_(responses.c.tenant, responses.c.id).in_(chunk)))
    above = {(row.tenant, row.previous) for row in found if row.previous is not None}.difference(doomed)
    return len(doomed), sorted(above)
