"""A compaction inside a stream of hub events: as the whole answer (a trigger), or in front of one (a threshold)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from adapter.compaction.shapes import Facts, compaction_item
from adapter.compaction.updates import update_items
from adapter.hub import usage as usages
from adapter.hub.events import Event, Failed, Finished, Item, ItemClosed, ItemOpened, Opaque, Started, Usage
from adapter.hub.request import derived_token


def triggered(facts: Facts, sealed: str, settings: Sequence[Item]) -> list[Event]:
    """The whole answer to a `compaction_trigger`: exactly one compaction item, the settings in effect behind it (`updates`),
    then the usage of what it took."""
    return [
        Started(f"resp_{facts.token}", facts.model, facts.created_at),
        *_items(sealed, settings, facts.token),
        Usage(facts.usage),
        Finished("completed"),
    ]


def preceded(sealed: str, settings: Sequence[Item], cost: dict[str, Any]) -> Callable[[Event], list[Event]]:
    """For the answer that follows from a compacted context: the compaction item comes first, right behind the start, and
    the settings in effect behind it (`updates`), every other item moves on, and the usage includes what the compaction cost."""
    places = 1 + len(settings)

    def transformed(event: Event) -> list[Event]:
        match event:
            case Started(id):
                return [event, *_items(sealed, settings, derived_token(id))]
            case Usage(usage):
                return [Usage(usages.added(usage, cost))]
            case Opaque(inner):
                index = inner.get("output_index")
                return [Opaque({**inner, "output_index": index + places})] if isinstance(index, int) else [event]
            case Finished() | Failed():
                return [event]
            case _:
                return [replace(event, index=event.index + places)]

    return transformed


def _items(sealed: str, settings: Sequence[Item], token: str) -> list[Event]:
    """Every item of a compaction, opened and closed."""
    items = [compaction_item(sealed, token), *update_items(settings, token)]
    return [event(index, item) for index, item in enumerate(items) for event in (ItemOpened, ItemClosed)]
