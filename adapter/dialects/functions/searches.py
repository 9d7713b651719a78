"""The search that found a deferred tool, told before the tool's first call though nobody ran it: the tool was offered at once."""

from __future__ import annotations

from collections.abc import Callable

from adapter.hub.events import Event, Item, ItemClosed, ItemOpened
from adapter.hub.items import ID_PREFIXES
from adapter.hub.request import ToolRef


def found(ref: ToolRef, token: str, next_index: Callable[[], int]) -> list[Event]:
    """The events of the search's two items, which have no `call_id`, as where OpenAI searches."""
    return [
        *_told("tool_search_call", {"arguments": {"paths": [ref.namespace or ref.name]}}, token, next_index()),
        *_told("tool_search_output", {"tools": [ref.found]}, token, next_index()),
    ]


def _told(kind: str, facts: Item, token: str, index: int) -> list[Event]:
    item: Item = {"id": f"{ID_PREFIXES[kind]}{token}_{index}", "type": kind, "call_id": None, "execution": "server"}
    item |= facts
    return [ItemOpened(index, item | {"status": "in_progress"}), ItemClosed(index, item | {"status": "completed"})]
