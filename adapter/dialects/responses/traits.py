"""Answers for the client that drops or breaks on what others take (Codex): a refusal is plain text, usage is complete."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from adapter.hub.events import Delta, DeltaKind, Event, Failed, Item, ItemClosed, PartClosed, PartOpened
from adapter.hub.usage import normal


def shown_part(part: dict[str, Any]) -> dict[str, Any]:
    """The part, a refusal as an output_text."""
    if part.get("type") != "refusal":
        return part
    return {"type": "output_text", "text": part.get("refusal") or "", "annotations": [], "logprobs": []}


def shown_item(item: Item) -> Item:
    """The item, refusals in its content as output_text."""
    content = item.get("content")
    if item.get("type") != "message" or not isinstance(content, list):
        return item
    return {**item, "content": [shown_part(part) if isinstance(part, dict) else part for part in content]}


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


def shown_wire(event: dict[str, Any]) -> dict[str, Any]:
    """The same for an event of an upstream's stream that passes without being read into the hub; usage in normal form."""
    shown = dict(event)
    if isinstance(shown.get("type"), str) and shown["type"].startswith("response.refusal."):
        shown |= {"type": shown["type"].replace("refusal", "output_text"), "logprobs": []}
        if "refusal" in shown:
            shown["text"] = shown.pop("refusal")
    if isinstance(shown.get("part"), dict):
        shown["part"] = shown_part(shown["part"])
    if isinstance(shown.get("item"), dict):
        shown["item"] = shown_item(shown["item"])
    response = shown.get("response")
    if isinstance(response, dict):
        response = shown["response"] = dict(response)
        if isinstance(response.get("output"), list):
            response["output"] = [shown_item(item) if isinstance(item, dict) else item for item in response["output"]]
        if not countable(response.get("usage")):
            response["usage"] = normal(response["usage"])
    return shown


def countable(usage: Any) -> bool:
    """Whether Codex reads it: it takes a stream for broken whose usage lacks a count, but not one without any."""
    if not isinstance(usage, dict):
        return usage is None
    details = ((usage.get(key), count) for key, count in _DETAILS)
    return all(type(usage.get(key)) is int for key in _COUNTS) and all(
        given is None or (isinstance(given, dict) and type(given.get(count)) is int) for given, count in details
    )


_COUNTS: Final = ("input_tokens", "output_tokens", "total_tokens")
_DETAILS: Final = (("input_tokens_details", "cached_tokens"), ("output_tokens_details", "reasoning_tokens"))
