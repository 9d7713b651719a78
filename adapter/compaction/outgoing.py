"""Blobs on the way out: hub events and reply items whose `encrypted_content` a client will give back to us.

A transformer gives the events that take one's place and is made once per answer: the pump maps it over the stream, the
plain answer folds what comes out, so both say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from adapter.compaction.anatomy import EXPANDED, type_of
from adapter.compaction.payload import TEXT, seal_reasoning, seal_signatures
from adapter.compaction.sealing import KeyRing, Kind
from adapter.hub.events import Event, Failed, Finished, Item, ItemClosed, ItemOpened, Started
from adapter.hub.items import readable_reasoning
from adapter.hub.request import Request

Transformer: TypeAlias = Callable[[Event], list[Event]]

_INCLUDE: Final = "reasoning.encrypted_content"


def asks_for_sealed_reasoning(request: Request) -> bool:
    """Whether the client wants reasoning it can give back: `include: ["reasoning.encrypted_content"]`."""
    include = request.body.get("include")
    return isinstance(include, list) and _INCLUDE in include


def sealing_reasoning(ring: KeyRing, tenant: str, origin: str) -> Transformer:
    """For a Chat upstream: every closed reasoning item gets its own text as `encrypted_content`, sealed."""

    def transformed(event: Event) -> list[Event]:
        if isinstance(event, ItemClosed) and event.item.get("type") == "reasoning":
            text = readable_reasoning(event.item)
            if text and not event.item.get("encrypted_content"):
                sealed = seal_reasoning(text, ring, tenant, origin)
                return [ItemClosed(event.index, {**event.item, "encrypted_content": sealed})]
        return [event]

    return transformed


class SealingSignatures:
    """For a Chat upstream: what it wants back with its calls and its text (`extra_content`) goes into a reasoning item of its own
    behind them, sealed, since there are clients that keep only the keys of an item that they know. One for every answer."""

    def __init__(self, ring: KeyRing, tenant: str, origin: str) -> None:
        self._ring, self._tenant, self._origin = ring, tenant, origin
        self._signed: dict[str, Any] = {}
        self._next = 0
        self._token = "0"

    def __call__(self, event: Event) -> list[Event]:
        """The event, and in front of the end of an answer the item: of one that is cut or breaks off, too, whose calls may have
        been run. Nothing may follow an item that is cut."""
        if isinstance(event, ItemOpened | ItemClosed):
            self._next = max(self._next, event.index + 1)
        match event:
            case Started(id):
                self._token = id.removeprefix("resp_")
            case ItemClosed(_, {"status": "incomplete"}) | Finished() | Failed():
                return [*self._sealed(), event]
            case ItemClosed(_, item) if "extra_content" in item:
                self._signed[item.get("call_id", TEXT)] = item["extra_content"]
        return [event]

    def _sealed(self) -> list[Event]:
        if not self._signed:
            return []
        item: Item = {
            "id": f"rs_{self._token}_{self._next}",
            "type": "reasoning",
            "status": "in_progress",
            "summary": [],
        }
        sealed = seal_signatures(self._signed, self._ring, self._tenant, self._origin)
        self._signed = {}
        return [
            ItemOpened(self._next, item),
            ItemClosed(self._next, {**item, "status": "completed", "encrypted_content": sealed}),
        ]


def wrapping_blobs(ring: KeyRing, tenant: str, origin: str) -> Transformer:
    """For a Responses upstream: its own blobs are wrapped, so that they find their way back to it."""

    def transformed(event: Event) -> list[Event]:
        if isinstance(event, ItemOpened | ItemClosed):
            return [type(event)(event.index, wrapped_item(event.item, ring, tenant, origin))]
        return [event]

    return transformed


def wrapped_item(item: Item, ring: KeyRing, tenant: str, origin: str) -> Item:
    """An upstream's item with its blob wrapped; the very item where it has none or has one under our keys."""
    blob = item.get("encrypted_content")
    if type_of(item) not in EXPANDED or not isinstance(blob, str) or not blob or ring.knows(blob):
        return item
    sealed = ring.seal(blob.encode("utf-8", "surrogatepass"), kind=Kind.WRAPPED, tenant=tenant, origin=origin)
    return {**item, "encrypted_content": sealed}
