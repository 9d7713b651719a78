"""The items of a whole Response, closed at once: a plain reply that nobody streams needs none of the steps between.

A quarter of what the `Assembly` costs, for the items that servers send as the API has them. It is the `Assembly` that says
what an item means; tests hold the two together.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.responses.output_items import (
    CALLS,
    OPENS_LATE,
    called_with,
    final_status,
    normal_parts,
    without_nulls,
)
from adapter.hub.events import Item
from adapter.hub.names import LONGEST_CALL_ID

_LONGEST: Final = LONGEST_CALL_ID.max


def closed_items(output: Any, status: str) -> dict[int, Item] | None:
    """The items of a Response of this status as they close. None where there are none, or one is not of the assistant, or an
    id or a name is not one that a client can use."""
    if type(output) is not list or not output:
        return None
    seen: set[Any] = set()
    closed: dict[int, Item] = {}
    left = len(output)
    for item in output:
        if type(item) is not dict or type(item_id := item.get("id")) is not str or not item_id or item_id in seen:
            return None
        seen.add(item_id)
        left -= 1
        cut = not left and (item.get("status") or status) == "incomplete"
        whole = _closed(item, "incomplete" if cut else "completed", seen)
        if whole is None:
            return None
        closed[len(closed)] = whole
    return closed


def _closed(item: Item, status: str, seen: set[Any]) -> Item | None:
    kind = item.get("type")
    if kind == "message":
        if item.get("role") not in (None, "assistant"):
            return None
        whole = item.copy()
        whole["role"], whole["status"] = "assistant", status
        whole["content"] = normal_parts(item.get("content"), "output_text")
        return whole
    if type(kind) is not str or not kind or kind in OPENS_LATE:
        return None
    item = without_nulls(item)
    whole = item.copy()
    if kind in CALLS:
        name, call_id, field = item.get("name"), item.get("call_id"), CALLS[kind][1]
        if type(name) is not str or not name or type(call_id) is not str or not 0 < len(call_id) <= _LONGEST:
            return None
        if (kind, call_id) in seen:
            return None
        seen.add((kind, call_id))
        given = called_with(item, field) or ""
        if kind == "function_call" and status == "completed" and not given.strip():
            given += "{}"
        whole["status"], whole[field] = status, given
        return whole
    ends_as = final_status(item, kind, status)
    if ends_as is not None:
        whole["status"] = ends_as
    if kind == "reasoning":
        whole["summary"] = normal_parts(item.get("summary"), "summary_text")
        if texts := normal_parts(item.get("content"), "reasoning_text"):
            whole["content"] = texts
    return whole
