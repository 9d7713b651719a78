"""Stop sequences for upstreams that know none: the text is cut just before the first one, wherever it falls.

The text of one message is scanned as one string, over the borders of deltas and of parts; reasoning, refusals and the
arguments of calls are not. What could be the beginning of a stop word is held back, and with it every event of the
message behind it, until more text decides; other items may overlap it, and theirs pass. *First* is the match that is
complete first, the longer one where two end together: so the result does not depend on how the text was cut into deltas.

On a match the part and the item are closed with the text before it and the answer is completed; what the upstream still
says is ignored. Its usage will not come: whoever reads the answer estimates it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from adapter.hub.events import (
    Annotated,
    Delta,
    DeltaKind,
    Deltas,
    Event,
    Failed,
    Finished,
    Item,
    ItemClosed,
    ItemOpened,
    PartClosed,
    PartOpened,
    singly,
)

_TEXT: Final = DeltaKind.TEXT


class StopScanner:
    """One answer's events, cut at the first stop word."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(word for word in stop if word)
        beginnings = {word[:size] for word in self._stop for size in range(1, len(word))}
        self._beginnings = tuple(sorted(beginnings, key=len, reverse=True))
        """Every proper beginning of a stop word, longest first."""
        self.cut = False
        """A stop word was found: the upstream need not be read any further."""
        self._message: _Message | None = None
        self._held: list[Event] = []
        """From the first character that may belong to a stop word on."""
        self._held_text = ""

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """What of these events, and of those held back, may pass."""
        if not self._stop:
            return list(events)
        out: list[Event] = []
        for event in events:
            if self.cut:
                break
            message = self._message
            if type(event) is Deltas and not self._decided(event):
                out += self.feed(singly([event]))
            elif type(event) is Delta and event.kind is _TEXT and message is not None and message.index == event.index:
                self._scan(event, message, out)
            elif self._held and not self._decides(event):
                (self._held if self._is_of_message(event) else out).append(event)
            else:
                self._pass(event, out)
        return out

    def _decided(self, event: Deltas) -> bool:
        """Nothing is held, and none of its texts ends or holds what must be."""
        message = self._message
        if self._held or event.kind is not _TEXT or message is None or event.index != message.index:
            return not self._held
        return self._found("".join(event.texts)) is None and not any(
            text.endswith(self._beginnings) for text in event.texts
        )

    def _pass(self, event: Event, out: list[Event]) -> None:
        """Gives out what is held, then `event`."""
        held, self._held, self._held_text = self._held, [], ""
        for passing in (*held, event):
            self._note(passing)
            out.append(passing)

    def _note(self, event: Event) -> None:
        if isinstance(event, ItemOpened):
            if event.item.get("type") == "message":
                self._message = _Message(event.index, event.item)
        elif self._is_of_message(event):
            if isinstance(event, ItemClosed):
                self._message = None
            elif self._message is not None:
                self._message.note(event)

    def _decides(self, event: Event) -> bool:
        """No text can follow that would belong to what is held."""
        match event:
            case Finished() | Failed():
                return True
            case ItemOpened():
                return event.item.get("type") == "message"
            case _:
                return isinstance(event, ItemClosed) and self._is_of_message(event)

    def _is_of_message(self, event: Event) -> bool:
        """Items may overlap: what happens to another one says nothing about the message."""
        return self._message is not None and getattr(event, "index", None) == self._message.index

    def _scan(self, event: Delta, message: _Message, out: list[Event]) -> None:
        text = self._held_text + event.text
        found = self._found(text)
        if found is None and not self._held and not text.endswith(self._beginnings):
            message.add(event)
            out.append(event)
            return
        self._held.append(event)
        if found is not None:
            self._release(found, out)
            out += message.closed()
            out.append(Finished("completed"))
            self._held, self.cut = [], True
            return
        self._held_text = text
        self._release(len(text) - self._possible(text), out)

    def _found(self, text: str) -> int | None:
        """Where the first match begins."""
        ends = [(start + len(word), start) for word in self._stop if (start := text.find(word)) >= 0]
        return min(ends)[1] if ends else None

    def _possible(self, text: str) -> int:
        """How many characters at the end may begin a stop word."""
        if not text.endswith(self._beginnings):
            return 0
        return next(len(beginning) for beginning in self._beginnings if text.endswith(beginning))

    def _release(self, size: int, out: list[Event]) -> None:
        """Gives out the held events up to `size` characters of text, cutting a delta in two where that falls inside."""
        self._held_text = self._held_text[size:]
        held, self._held = self._held, []
        for at, event in enumerate(held):
            if isinstance(event, Delta) and event.kind is _TEXT:
                if size < len(event.text):
                    head, tail = _split(event, size)
                    if head is not None:
                        self._note(head)
                        out.append(head)
                    self._held = [tail, *held[at + 1 :]]
                    return
                size -= len(event.text)
            self._note(event)
            out.append(event)


class _Message:
    """The message that is being given out, as far as it was given out."""

    def __init__(self, index: int, item: Item) -> None:
        self.index = index
        self._item = item
        self._parts: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        self._said = bytearray()
        """The text of the open part in UTF-8: pieces of a token each would take ten times that."""
        self._logprobs: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, event: Delta) -> None:
        self._said += event.text.encode()
        if event.logprobs:
            self._logprobs += event.logprobs

    def note(self, event: Event) -> None:
        match event:
            case Delta():
                self.add(event)
            case Deltas():
                self._said += "".join(event.texts).encode()
            case PartOpened():
                self._open = event.part
                self._said, self._logprobs, self._annotations = bytearray(), [], []
            case Annotated():
                self._annotations.append(event.annotation)
            case PartClosed():
                self._parts.append(event.part)
                self._open = None

    def closed(self) -> list[Event]:
        """The events that end it here."""
        events: list[Event] = []
        if self._open is not None:
            part = self._open | {"text": self._said.decode()}
            part["annotations"], part["logprobs"] = self._annotations, self._logprobs
            events.append(PartClosed(self.index, len(self._parts), part))
            self._parts.append(part)
        item = self._item | {"content": self._parts, "status": "completed"}
        return [*events, ItemClosed(self.index, item)]


def _split(delta: Delta, size: int) -> tuple[Delta | None, Delta]:
    """A delta in two; a token's logprobs go with its first character."""
    entries = delta.logprobs or []
    at = count = 0
    while count < len(entries) and at < size:
        at += len(str(entries[count].get("token", "")))
        count += 1
    first, second = entries[:count], entries[count:]
    tail = Delta(delta.index, delta.part_index, delta.kind, delta.text[size:], second or None)
    if size == 0 and not first:
        return None, tail
    return Delta(delta.index, delta.part_index, delta.kind, delta.text[:size], first or None), tail
