"""Pages of lists, by position: `limit`, `order` and `after` mean the same everywhere."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, null
from sqlalchemy.engine import Connection

from adapter.errors import InvalidValue
from adapter.store.values import Order, Page, can_exist
from adapter.wire import jsonio


def page(
    connection: Connection,
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
    standing = place.scalar_subquery() if can_exist(after) else null()
    found = connection.execute(owner.add_columns(standing)).first()
    if found is None:
        return None
    if after is not None:
        start = found[-1]
        if start is None:
            raise InvalidValue("`after` is not an id of this list.", param="after")
        rows = rows.where(position > start if order == "asc" else position < start)
    rows = rows.order_by(position.asc() if order == "asc" else position.desc()).limit(limit + 1)
    listed = connection.execute(rows).all()
    return Page([jsonio.loads(row[1]) | {"id": row[0]} for row in listed[:limit]], len(listed) > limit)
