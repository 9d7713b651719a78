"""Pages of lists, by position: `limit`, `order` and `after` mean the same everywhere."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select
from sqlalchemy.engine import Connection

from adapter.errors import InvalidValue
from adapter.store.values import Order, Page
from adapter.wire import jsonio


def page(
    connection: Connection,
    rows: Select[Any],
    position: Any,
    *,
    start: int | None,
    limit: int,
    order: Order,
    after: str | None,
) -> Page:
    """One page of (id, JSON) rows by `position`; `start` is where `after` stands, None if it stands nowhere.

    Raises:
        InvalidValue: `after` stands nowhere.
    """
    if after is not None:
        if start is None:
            raise InvalidValue("`after` is not an id of this list.", param="after")
        rows = rows.where(position > start if order == "asc" else position < start)
    rows = rows.order_by(position.asc() if order == "asc" else position.desc()).limit(limit + 1)
    found = connection.execute(rows).all()
    return Page([jsonio.loads(row[1]) | {"id": row[0]} for row in found[:limit]], len(found) > limit)
