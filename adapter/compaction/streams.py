"""A compaction inside a stream of hub events: as the whole answer (a trigger), or in front of one (a threshold)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adapter.compaction.shapes import Facts, compaction_item
from adapter.hub import usage as usages
from adapter.hub.events import Event, Failed, Finished, ItemClosed, ItemOpened, Opaque, Started, Usage
from adapter.hub.request import derived_token


def triggered(facts: Facts, sealed: str) -> list[Event]:
    """The whole answer to a `compaction_trigger`: exactly one item, then the usage of what it took."""
    item = compaction_item(sealed, facts.token)
    return [
        Started(f"resp_{facts.token}", facts.model, facts.created_at),
        ItemOpened(0, item),
        ItemClosed(0, item),
        Usage(facts.usage),
        Finished("completed"),
    ]


def preceded(sealed: str, cost: dict[str, Any]) -> Callable[[Event], list[Event]]:
    """For the answer that follows from a compacted context: the compaction item comes first, right behind the start,
    every other item moves one place on, and the usage includes what the compaction cost."""

    def transformed(event: Event) -> list[Event]:
        match event:
            case Started(id):
                item = compaction_item(sealed, derived_token(id))
                return [event, ItemOpened(0, item), ItemClosed(0, item)]
            case Usage(usage):
                return [Usage(usages.added(usage, cost))]
            case Opaque(inner):
                index = inner.get("output_index")
                return [Opaque({**inner, "output_index": index + 1})] if isinstance(index, int) else [event]
            case Finished() | Failed():
                return [event]
            case _:
                return [replace(event, index=event.index + 1)]

    return transformed
