"""The items of a whole Response, closed at once: a plain reply that nobody streams needs none of the steps between.

A quarter of what the `Assembly` costs, for the items that servers send as the API has them. It is the `Assembly` that says
what an item means; tests hold the two together.
"""

from __future__ import annotations

from typing import Final

from adapter.dialects.responses.output_items import (
    CALLS,
    OPENS_LATE,
    called_with,
    final_status,
    normal_parts,
)
from adapter.hub.events import Item

_LONGEST_CALL_ID: Final = 64


def closed_items(output: list[Item], status: str) -> dict[int, Item] | None:
    """The items of a Response of this status as they close. None where an id or a name is not one that a client can use."""
    ids: set[str] = set()
    call_ids: set[tuple[str, str]] = set()
    closed: dict[int, Item] = {}
    last = len(output) - 1
    for item in output:
        kind, item_id = item["type"], item.get("id")
        if type(item_id) is not str or not item_id or item_id in ids:
            return None
        ids.add(item_id)
        if kind in CALLS:
            name, call_id = item.get("name"), item.get("call_id")
            if (
                type(name) is not str
                or not name
                or type(call_id) is not str
                or not 0 < len(call_id) <= _LONGEST_CALL_ID
            ):
                return None
            if (kind, call_id) in call_ids:
                return None
            call_ids.add((kind, call_id))
        elif kind in OPENS_LATE:
            return None
        index = len(closed)
        cut = index == last and (item.get("status") or status) == "incomplete"
        closed[index] = _closed(item, kind, "incomplete" if cut else "completed")
    return closed


def _closed(item: Item, kind: str, status: str) -> Item:
    whole = item.copy()
    if kind == "message":
        whole["role"], whole["status"] = "assistant", status
        whole["content"] = normal_parts(item.get("content"), "output_text")
        return whole
    if kind in CALLS:
        field = CALLS[kind][1]
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
