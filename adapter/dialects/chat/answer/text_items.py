"""Messages and reasoning items while they grow: items whose text comes in parts, one part open at a time."""

from __future__ import annotations

from typing import Any, Final

from adapter.hub.events import (
    Annotated,
    Delta,
    DeltaKind,
    Deltas,
    Event,
    Item,
    ItemClosed,
    ItemOpened,
    PartClosed,
    PartOpened,
)
from adapter.hub.extra_content import EXTRA_CONTENT, ExtraContent
from adapter.hub.surrogates import REPLACEMENT, rejoined

Logprobs = list[dict[str, Any]]

_TEXT_KEY: Final = {
    DeltaKind.TEXT: "text",
    DeltaKind.REFUSAL: "refusal",
    DeltaKind.REASONING: "text",
    DeltaKind.SUMMARY: "text",
}
REASONING_KINDS: Final = frozenset({DeltaKind.REASONING, DeltaKind.SUMMARY})


class TextItem:
    """One message or reasoning item. `events` come out in the order of the calls; the owner knows when to close."""

    __slots__ = ("_annotations", "_half", "_item", "_logprobs", "_part", "_parts", "_said", "extra", "index", "kind")

    def __init__(self, index: int, id: str, first: DeltaKind) -> None:
        self.index = index
        self.kind: DeltaKind | None = None
        """What the open part takes; None while no part is open."""
        self.extra: ExtraContent | None = None
        """The server's `extra_content` of the message."""
        self._item: Item
        if first in REASONING_KINDS:
            self._item = {"id": id, "type": "reasoning", "status": "in_progress", "summary": []}
            if first is DeltaKind.REASONING:
                self._item["content"] = []
        else:
            self._item = {"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        self._parts: list[dict[str, Any]] = []
        self._part = -1
        self._half = ""

    @property
    def is_reasoning(self) -> bool:
        """Whether text of the answer itself may not go here."""
        return bool(self._item["type"] == "reasoning")

    def opened(self) -> Event:
        """The event that announces the item."""
        return ItemOpened(self.index, self._whole([], "in_progress"))

    def open_part(self, kind: DeltaKind) -> list[Event]:
        """Makes a part of this kind the open one."""
        events = self.close_part()
        self.kind = kind
        self._part += 1
        self._said = bytearray()  # UTF-8: pieces of a token each would take ten times that
        self._logprobs: Logprobs = []
        self._annotations: list[dict[str, Any]] = []
        return [*events, PartOpened(self.index, self._part, self._part_so_far())]

    def add(self, text: str, logprobs: Logprobs | None) -> Event | None:
        """Text of the open part's kind. None where it was but half of a character."""
        if self._half or not text.isascii():
            text, self._half = rejoined(self._half, text)
            if not text and logprobs is None:
                return None
        self._said += text.encode()
        if logprobs is not None:
            self._logprobs += logprobs
        kind = self.kind
        assert kind is not None
        return Delta(self.index, self._part, kind, text, logprobs)

    def grow(self, texts: list[str]) -> list[Event] | None:
        """As `add`, for texts that are valid Unicode; None, and nothing done, where half a character waits or no part is
        open."""
        kind = self.kind
        if kind is None or self._half:
            return None
        self._said += "".join(texts).encode()
        return [Deltas(self.index, self._part, kind, texts)]

    def annotate(self, annotation: dict[str, Any]) -> Event:
        """An annotation of the open text part."""
        self._annotations.append(annotation)
        return Annotated(self.index, self._part, len(self._annotations) - 1, annotation)

    def cited(self) -> set[str]:
        """The addresses that the open part's annotations name."""
        return {annotation["url"] for annotation in self._annotations}

    def close_part(self) -> list[Event]:
        """Closes the open part, if there is one."""
        if self.kind is None:
            return []
        events: list[Event] = []
        if self._half:
            self._half = ""
            self._said += REPLACEMENT.encode()
            events.append(Delta(self.index, self._part, self.kind, REPLACEMENT))
        part = self._part_so_far()
        self._parts.append(part)
        self.kind = None
        return [*events, PartClosed(self.index, self._part, part)]

    def close(self, status: str) -> list[Event]:
        """Closes the part and the item."""
        return [*self.close_part(), ItemClosed(self.index, self._whole(self._parts, status))]

    def so_far(self) -> Item:
        """The item as a failure leaves it."""
        parts = self._parts if self.kind is None else [*self._parts, self._part_so_far()]
        return self._whole(parts, "incomplete")

    def _part_so_far(self) -> dict[str, Any]:
        assert self.kind is not None
        text = self._said.decode()
        part: dict[str, Any] = {"type": self.kind.value, _TEXT_KEY[self.kind]: text}
        if self.kind is DeltaKind.TEXT:
            part["annotations"] = self._annotations.copy()
            part["logprobs"] = self._logprobs.copy()
        elif self._logprobs:
            part["logprobs"] = self._logprobs.copy()
        return part

    def _whole(self, parts: list[dict[str, Any]], status: str) -> Item:
        item = self._item | {"status": status}
        key = "content" if "content" in item else "summary"
        item[key] = parts
        if self.extra:
            item[EXTRA_CONTENT] = self.extra
        return item
