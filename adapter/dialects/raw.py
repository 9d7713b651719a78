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
from adapter.wire.sse import BOM, MAX_EVENT, Decoder, SseEvent, event_at, framed

_BOUNDARIES: Final = (b"\n\n", b"\n\r\n", b"\n\r", b"\r\r\n", b"\r\r")
"""A line end and a blank line; a CRLF ends like an LF."""
ENDED_EARLY: Final = "The upstream's stream ended before its answer was complete."
_DONE: Final = b"[DONE]"
_LF: Final = 0x0A
_CR: Final = 0x0D
"""As numbers: to look for one byte is twice as fast as to look for a string."""
_BLOCK_END: Final = re.compile(rb"\n\n|[\n\r]\r\n?")


class RawStream(ABC):
    """One upstream stream on its way to a client of the same dialect."""

    marks: tuple[bytes, ...]
    """Byte strings of which at least one stands in every event that `see` must look at. A quote inside a JSON string is
    escaped, so a mark with its quotes cannot be forged by what the model says."""

    done_may_follow: ClassVar[bool] = False
    """A `[DONE]` behind the terminal event passes."""
    text_names: ClassVar[str] = ""
    """What the names of events that bring text end in."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        """What there is of an event whose end has not come; joined once, when it comes."""
        self._held = 0
        self._edge = b""
        """The last bytes that came: an event's end may be cut in two."""
        self._last = b""
        self._refrain = Refrain()
        self.events = 0
        """How many have passed or were written."""
        self.answer = Answer()
        """What is known of the answer: id, model, status, usage; never its items."""
        self.anomalies: list[Anomaly] = []
        self.answered = False
        """The first event that is not an error has passed; of a Chat stream, the first with a choice, of a Responses stream the first
        that says more than that there will be an answer."""
        self.headless = False
        """The answer began otherwise than those of its dialect do: its bytes are no stream for a client, and have to be read."""
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

    def quiet(self, name: str | None, data: bytes) -> bool:
        """Whether `see` need not look at an event, as can be told in less time than it takes to look for the marks."""
        return False

    def passed(self, block: bytes, event: dict[str, Any] | None) -> bytes:
        """An event that was looked at, as it passes."""
        return block

    def ping(self) -> list[Frame]:
        """As `StreamWriter.ping`."""
        return []

    def feed(self, chunk: bytes) -> bytes:
        """What may pass on of everything read so far."""
        if self.ended:
            return b""
        end = 0
        if self.answered and not self._parts:
            ran = self._refrain.run(chunk)
            if ran is None:
                end = self._run(chunk, 0)
            elif _LF not in (texts := ran[0]) and _CR not in texts:  # a line end could hide another event
                self._last = chunk
                self.events += len(ran[1])
                return chunk
        if end == len(chunk):
            return chunk
        return chunk[:end] + self._passing(chunk[end:]) if end else self._passing(chunk)

    def _passing(self, chunk: bytes) -> bytes:
        cut = len(chunk) if chunk[-2:] == b"\n\n" else _end_of_events(chunk, self._edge)  # nearly every read is whole
        self._edge = (self._edge + chunk[-3:])[-3:]
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
        if self.answered and not self._refrain.willing and not any(map(passing.count, self.marks)):  # `in` is slower
            self._note(passing)
            return passing
        return b"".join(self._looked_at(passing))

    def _run(self, chunk: bytes, at: int) -> int:
        """Where the run of events ends that begins there and is the refrain; it passes, and is counted."""
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

    def _learn(self, name: str | None, data: bytes, block: bytes) -> None:
        """The events to come are probably like this one."""
        if (name is None or name.endswith(self.text_names)) and framed(name, data) == block:
            self._refrain.learn(name, data, self.sole(_object(data)), self.sole)

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
        """What passes of whole events of which some are more than text, or nobody knows yet what text looks like."""
        at, plain = 0, _is_plain(passing)
        while at < len(passing):
            if self.answered and not self.ended and (end := self._run(passing, at)) > at:
                yield passing[at:end]
                at = end
                continue
            said, end = event_at(passing, at) if plain else _event_at(passing, at)
            block = passing[at:end]
            at = end
            if self.ended:
                if not self.done_may_follow or said is None or said[1] != _DONE:
                    return
            elif said is not None:
                name, data = said
                if not self.answered or (not self.quiet(name, data) and any(map(block.count, self.marks))):
                    event = _object(data)
                    self.see(name, data, event)
                    self.settling = self.answer.status in ("completed", "incomplete")
                    block = self.passed(block, event)
                elif self._refrain.willing:
                    self._learn(name, data, block)
            self._note(block)
            yield block

    def last(self) -> tuple[str | None, dict[str, Any]]:
        """Name and JSON object of the last event that passed, as far as it has them."""
        name, data = [(None, b""), *_events(self._last)][-1]
        return name, _object(data) or {}

    def _note(self, passing: bytes) -> None:
        """What passes is the last that did, unless it is comments only: those have no number to go on from."""
        if events := passing.count(b"data:"):
            self._last = passing
            self.events += events


def named(value: Any) -> str:
    """The id of an answer, or a model's name, as its server gives it: a text, perhaps a number; "" for anything else."""
    return str(value) if value and isinstance(value, (str, int)) else ""


def _end_of_events(chunk: bytes, before: bytes) -> int:
    """How much of `chunk` belongs to whole events; `before` are the last bytes that came before it."""
    data = before + chunk
    boundaries = _BOUNDARIES if b"\r" in data else _BOUNDARIES[:1]
    ends = [data.rfind(boundary) + len(boundary) for boundary in boundaries if boundary in data]
    return max(max(ends, default=0) - len(before), 0)


def _is_plain(whole: bytes) -> bool:
    """Whether lines end in LF, and no byte order mark stands in front of them."""
    return _CR not in whole and whole[:1] != BOM[:1]


def _event_at(whole: bytes, at: int) -> tuple[SseEvent | None, int]:
    """As `sse.event_at` where `whole` is not plain; a quarter as fast."""
    found = _BLOCK_END.search(whole, at)
    end = len(whole) if found is None else found.end()
    decoder = Decoder()
    events = decoder.feed(whole[at:end]) + decoder.close()
    return next(iter(events), None), end


def _events(whole: bytes) -> Iterator[SseEvent]:
    """The events of whole blocks."""
    at, plain = 0, _is_plain(whole)
    while at < len(whole):
        said, at = event_at(whole, at) if plain else _event_at(whole, at)
        if said is not None:
            yield said


def _object(data: bytes) -> dict[str, Any] | None:
    if data == _DONE:  # in every stream, and an exception costs as much as ten deltas
        return None
    try:
        value = loads(data)
    except NotJson:
        return None
    return value if isinstance(value, dict) else None


def _is_whole(tail: bytes) -> bool:
    said = next(_events(tail + b"\n\n"), None)
    return said is not None and (said[1] == _DONE or _object(said[1]) is not None)
