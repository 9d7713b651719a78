"""The raw lane for streams: client and upstream speak the same dialect, so bytes pass as they are, and are watched.

What the lane still guarantees: whole events only (an unfinished tail is held, and dropped when the stream breaks), exactly
one terminal event (everything behind the first is cut, a missing one is written), and it knows the id, the model, the usage
and how the answer ended. It does not look at deltas: a read without any of the dialect's *marks* passes in one piece, and
one that holds nothing but the stream's `Refrain` is not even searched for them, which would take twice as long.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from adapter.dialects.base import Frame
from adapter.dialects.refrain import Refrain, Sole
from adapter.errors import AdapterError, UpstreamEventTooLarge, UpstreamTruncated
from adapter.hub.fold import Answer
from adapter.hub.losses import Anomaly
from adapter.wire.jsonio import NotJson, loads
from adapter.wire.sse import MAX_EVENT, Decoder, SseEvent, event_at, framed

_BOUNDARIES: Final = (b"\n\n", b"\n\r\n", b"\n\r", b"\r\r\n", b"\r\r")
"""A line end and a blank line; a CRLF ends like an LF."""
ENDED_EARLY: Final = "The upstream's stream ended before its answer was complete."
_DONE: Final = b"[DONE]"
_LF: Final = 0x0A
_CR: Final = 0x0D
"""As numbers: to look for one byte is twice as fast as to look for a string."""
_MANY: Final = 4096
"""Bytes of a read that is worth a lesson."""
_BLOCK_END: Final = re.compile(rb"\n\n|[\n\r]\r\n?")


class RawStream(ABC):
    """One upstream stream on its way to a client of the same dialect."""

    marks: tuple[bytes, ...]
    """Byte strings of which at least one stands in every event that `see` must look at. A quote inside a JSON string is
    escaped, so a mark with its quotes cannot be forged by what the model says."""

    done_may_follow: ClassVar[bool] = False
    """A `[DONE]` behind the terminal event passes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        """What there is of an event whose end has not come; joined once, when it comes."""
        self._held = 0
        self._edge = b""
        """The last bytes of what is held: an event's end may be cut in two."""
        self._last = b""
        self._refrain = Refrain()
        self.events = 0
        """How many have passed or were written."""
        self.answer = Answer()
        """What is known of the answer: id, model, status, usage; never its items."""
        self.anomalies: list[Anomaly] = []
        self.answered = False
        """The first event that is not an error has passed."""
        self.settling = False
        """The answer is complete but for what may follow its finish."""
        self.ended = False
        """The terminal event has passed or was written; nothing may follow."""

    @abstractmethod
    def see(self, name: str | None, data: bytes, event: dict[str, Any] | None) -> None:
        """Take note of one event of that name: `event` is its JSON object, None where the data is something else (`[DONE]`)."""

    @abstractmethod
    def told(self, name: str | None, event: dict[str, Any]) -> AdapterError | None:
        """The error that an event which passes is, if it is one."""

    @abstractmethod
    def ending(self) -> list[Frame]:
        """What closes a stream whose answer is complete but whose last event is missing."""

    @abstractmethod
    def failure(self, error: AdapterError) -> list[Frame]:
        """What ends a broken stream."""

    @abstractmethod
    def sole(self, event: Any) -> Sole | None:
        """The text of an event that brings nothing else, and so nothing that `see` would take note of."""

    def passed(self, block: bytes, event: dict[str, Any] | None) -> bytes:
        """An event that was looked at, as it passes."""
        return block

    def ping(self) -> list[Frame]:
        """A data-bearing keep-alive for the client that needs one; else nothing."""
        return []

    def feed(self, chunk: bytes) -> bytes:
        """What may pass on of everything read so far."""
        if self.ended:
            return b""
        end = self._run(chunk, 0) if self.answered and not self._parts else 0
        if end == len(chunk):
            return chunk
        return chunk[:end] + self._passing(chunk[end:]) if end else self._passing(chunk)

    def _passing(self, chunk: bytes) -> bytes:
        cut = len(chunk) if chunk[-2:] == b"\n\n" else _end_of_events(chunk, self._edge)  # nearly every read is whole
        self._edge = chunk[cut:][-3:] if cut else (self._edge + chunk[-3:])[-3:]
        if cut == 0:
            self._parts.append(chunk)
            self._held += len(chunk)
            if self._held > MAX_EVENT:
                return self.fail(UpstreamEventTooLarge("The upstream sent an event over the size bound."))
            return b""
        passing, rest = (chunk, b"") if cut == len(chunk) else (chunk[:cut], chunk[cut:])
        if self._parts:
            self._parts.append(passing)
            passing = b"".join(self._parts)
        self._parts = [rest] if rest else []
        self._held = len(rest)
        if self.answered and not any(map(passing.__contains__, self.marks)):
            self._note(passing)
            if self._refrain.willing:
                self._listen(passing)
            return passing
        return b"".join(self._looked_at(passing))

    def _run(self, chunk: bytes, at: int) -> int:
        """Where the run of events ends that begins there and is the refrain; it passes, and is counted."""
        sole = None if at else self._refrain.sole(chunk)
        if sole is not None:
            if _LF in sole or _CR in sole:  # a line end could hide another event
                return 0
            self._last = chunk
            self.events += 1
            return len(chunk)
        begin = at
        while at < len(chunk) and (found := self._refrain.bodies(chunk, at)) is not None:
            bodies, end = found
            texts = b"".join(bodies)
            if _LF in texts or _CR in texts:
                break
            self.events += len(bodies)
            at = end
        if at > begin:
            self._last = chunk[begin:at]
        return at

    def _listen(self, passing: bytes) -> None:
        """The next reads are probably like the last event of this one."""
        before = passing.rfind(b"\n\n", 0, -2)
        block = passing[before + 2 :] if before >= 0 else passing
        if not self._learned(block):
            self._refrain.learn(None, b"", None, self.sole)

    def _learned(self, block: bytes) -> bool:
        """Whether it is an event that brings one text; then it is taken for the refrain."""
        event, _ = event_at(block, 0) if block[-2:] == b"\n\n" and b"\r" not in block else (None, 0)
        if event is None or framed(*event) != block:
            return False
        sole = self.sole(_object(event[1]))
        if sole is not None:
            self._refrain.learn(*event, sole, self.sole)
        return sole is not None

    def close(self) -> bytes:
        """The upstream closed its stream: its unterminated last event, and the end where that is missing."""
        if self.ended:
            return b""
        tail = b"".join(self._parts)
        self._parts = []
        rest = b"".join(self._looked_at(tail + b"\n\n")) if tail and _is_whole(tail) else b""
        return rest + self.fail(UpstreamTruncated(ENDED_EARLY))

    def fail(self, error: AdapterError) -> bytes:
        """The transport broke: the held tail is dropped."""
        rest = self.end(error)
        self.events += rest.count(b"data:")
        return rest

    def end(self, error: AdapterError) -> bytes:
        """The end: that of a complete answer, or else the failure."""
        if self.ended:
            return b""
        self.ended = True
        if self.settling:
            return b"".join(framed(*frame) for frame in self.ending())
        # what the upstream said is why it ended so, perhaps with its last event, in a form that nobody looks for
        error = self.answer.error or self.told(*self.last()) or error
        self.answer.status, self.answer.error = "failed", error
        return b"".join(framed(*frame) for frame in self.failure(error))

    def _looked_at(self, passing: bytes) -> Iterator[bytes]:
        """What passes of whole events of which some are more than text. Where there are many, runs of text are not looked into:
        a stream that comes in one read costs a third."""
        at, only_lf, many = 0, _CR not in passing, len(passing) > _MANY
        while at < len(passing):
            if many and self.answered and not self.ended and (end := self._run(passing, at)) > at:
                yield passing[at:end]
                at = end
                continue
            block = _block_at(passing, at, only_lf=only_lf)
            at += len(block)
            if self.ended:
                said = _event(block)
                if not self.done_may_follow or said is None or said[1] != _DONE:
                    return
            elif not self.answered or any(map(block.__contains__, self.marks)):
                said = _event(block)
                if said is not None:
                    name, data = said
                    event = _object(data)
                    self.see(name, data, event)
                    self.settling = self.answer.status in ("completed", "incomplete")
                    block = self.passed(block, event)
            elif many and self._refrain.willing:
                self._learned(block)
            self._note(block)
            yield block

    def last(self) -> tuple[str | None, dict[str, Any]]:
        """Name and JSON object of the last event that passed, as far as it has them."""
        said: SseEvent | None = None
        for block in _blocks(self._last):
            said = _event(block) or said
        return (None, {}) if said is None else (said[0], _object(said[1]) or {})

    def _note(self, passing: bytes) -> None:
        """What passes is the last that did, unless it is comments only: those have no number to go on from."""
        if events := passing.count(b"data:"):
            self._last = passing
            self.events += events


def _end_of_events(chunk: bytes, before: bytes) -> int:
    """How much of `chunk` belongs to whole events; `before` are the last bytes that came before it."""
    data = before + chunk
    boundaries = _BOUNDARIES if b"\r" in data else _BOUNDARIES[:1]
    ends = [data.rfind(boundary) + len(boundary) for boundary in boundaries if boundary in data]
    return max(max(ends, default=0) - len(before), 0)


def _block_at(data: bytes, at: int, *, only_lf: bool) -> bytes:
    """From there to behind the next blank line, or to the end; `only_lf`: every line ends in LF, a quarter of the time."""
    if only_lf:
        end = data.find(b"\n\n", at) + 2
        return data[at:end] if end > 1 else data[at:]
    found = _BLOCK_END.search(data, at)
    return data[at:] if found is None else data[at : found.end()]


def _blocks(data: bytes) -> Iterator[bytes]:
    """`data` cut behind every blank line; nothing is lost."""
    at, only_lf = 0, _CR not in data
    while at < len(data):
        block = _block_at(data, at, only_lf=only_lf)
        yield block
        at += len(block)


def _event(block: bytes) -> SseEvent | None:
    """Name and data of one block; None for comments."""
    if block[-2:] == b"\n\n" and b"\r" not in block and block[:1] in (b"d", b"e"):
        return event_at(block, 0)[0]
    decoder = Decoder()
    return next(iter(decoder.feed(block) + decoder.close()), None)


def _object(data: bytes) -> dict[str, Any] | None:
    if data == _DONE:  # in every stream, and an exception costs as much as ten deltas
        return None
    try:
        value = loads(data)
    except NotJson:
        return None
    return value if isinstance(value, dict) else None


def _is_whole(tail: bytes) -> bool:
    said = _event(tail)
    return said is not None and (said[1] == _DONE or _object(said[1]) is not None)
