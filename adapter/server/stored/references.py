"""Item references, and the stored items that they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from adapter.errors import NotFound

if TYPE_CHECKING:
    from adapter.store.store import Store

_REFERENCE: Final = "item_reference"


def named(items: list[Any]) -> list[str]:
    """The ids in the references among some items."""
    return [item["id"] for item in items if _is_reference(item)]


async def looked_up(store: Store, tenant: str, items: list[Any], path: Callable[[int], str]) -> list[Any]:
    """The items with the stored ones in the place of their references; the same list where there are none. `path` names the
    place of one in the client's body.

    Raises:
        NotFound: one names nothing.
    """
    ids = named(items)
    if not ids:
        return items
    found = await store.find_items(tenant, ids)
    made: list[Any] = []
    for index, item in enumerate(items):
        if not _is_reference(item):
            made.append(item)
        elif (stored := found.get(item["id"])) is not None:
            made.append(stored)
        else:
            raise NotFound(f"Item with id '{item['id'][:200]}' not found.", param=path(index))
    return made


def _is_reference(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    kind = item.get("type")
    if kind != _REFERENCE and (kind is not None or item.keys() - {"id", "type"}):
        return False
    return isinstance(item.get("id"), str)
