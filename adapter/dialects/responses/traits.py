"""Answers as clients show them that drop a message with a `refusal` part (Codex): the refusal is plain text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adapter.hub.events import Delta, DeltaKind, Event, Failed, Item, ItemClosed, PartClosed, PartOpened


def shown_part(part: dict[str, Any]) -> dict[str, Any]:
    """The part, a refusal as an output_text."""
    if part.get("type") != "refusal":
        return part
    return {"type": "output_text", "text": part["refusal"], "annotations": [], "logprobs": []}


def shown_item(item: Item) -> Item:
    """The item, refusals in its content as output_text."""
    content = item.get("content")
    if item.get("type") != "message" or not isinstance(content, list):
        return item
    return {**item, "content": [shown_part(part) for part in content]}


def shown_event(event: Event) -> Event:
    """The same event of an answer that refuses nothing."""
    match event:
        case Delta(kind=DeltaKind.REFUSAL):
            return replace(event, kind=DeltaKind.TEXT)
        case PartOpened() | PartClosed():
            return replace(event, part=shown_part(event.part))
        case ItemClosed():
            return replace(event, item=shown_item(event.item))
        case Failed():
            return replace(event, items=[shown_item(item) for item in event.items])
        case _:
            return event
