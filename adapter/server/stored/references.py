"""What a request only names: stored items, and the turns that it goes on from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from adapter.errors import NotFound, PreviousResponseNotFound
from adapter.hub.events import Item

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


async def gone_on_from(store: Store, tenant: str, previous_response_id: str, *, gone: bool = False) -> list[Item]:
    """The items of that response and of all before it, oldest first. `gone`: see `Store.resolve`.

    Raises:
        PreviousResponseNotFound: it is not kept here.
    """
    found = await store.resolve(tenant, previous_response_id, gone=gone)
    if found is None:
        shown = previous_response_id[:200]
        raise PreviousResponseNotFound(f"Previous response with id '{shown}' not found.", param="previous_response_id")
    return found


def _is_reference(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    kind = item.get("type")
    if kind != _REFERENCE and (kind is not None or item.keys() - {"id", "type"}):
        return False
    return isinstance(item.get("id"), str)
