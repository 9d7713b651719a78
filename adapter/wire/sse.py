"""Server-sent events: a bounded, incremental decoder and a one-line encoder.

The decoder takes the bytes of a stream in any cut and yields `(event name or None, data bytes)`; the same events come out
whatever the cut. It knows CR, LF and CRLF, multi-line data, comments, one BOM, missing spaces, and an unterminated last
event. Data stays bytes: UTF-8 is decoded by the JSON parser, on whole events only, so a character cut in two cannot break.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, TypeAlias

from adapter.errors import UpstreamEventTooLarge

MAX_EVENT: Final = 16 * 1024 * 1024
"""A single event over 16 MiB is an attack or a bug: the largest honest one is a base64 image of a few MiB."""

SseEvent: TypeAlias = tuple[str | None, bytes]

BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 0x0A
_NAMED: Final = re.compile(rb"event: ([^\n]*)\ndata: ").match


class Decoder:
    """Bytes in, events out: `feed` for every read, `close` once at the end of the stream. Who takes the bytes of several
    events at once asks for those (`whole`, `rest`) and reads them with `event_at`."""

    __slots__ = ("_after_cr", "_held", "_limit", "_parts", "_started", "idle")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self.idle = False
        """The next read begins with an event: nothing is held, and it has no BOM to lose."""
        self._parts: list[bytes] = []
        """What there is of an event whose blank line has not come; joined once, when it comes."""
        self._held = 0
        self._limit = limit
        self._started = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this read completes. Raises as `whole`."""
        return _events(self.whole(chunk))

    def close(self) -> list[SseEvent]:
        """The last event, see `rest`. Raises as `whole`."""
        return _events(self.rest())

    def whole(self, chunk: bytes) -> bytes:
        """The bytes of the events that this read completes: LF line ends, a blank line at the end of each.

        Raises:
            UpstreamEventTooLarge: an event, or what there is of one, passes the bound.
        """
        chunk = self._joined(self._plain(chunk))
        self.idle = self._started and not self._parts and not self._after_cr
        if len(chunk) > self._limit and any(len(block) > self._limit for block in chunk.split(b"\n\n")):
            raise _too_large()
        return chunk

    def rest(self) -> bytes:
        """The last event where the stream ended without its blank line: finish or [DONE] often sits there.

        Raises:
            UpstreamEventTooLarge: as `whole`.
        """
        return self.whole(b"\n\n") if self._parts else b""

    def _plain(self, chunk: bytes) -> bytes:
        """The read without a BOM and with LF line ends."""
        if not self._started:
            chunk = b"".join(self._parts) + chunk
            if len(chunk) < 3 and BOM.startswith(chunk):
                self._parts = [chunk]
                return b""
            self._started = True
            self._parts = []
            chunk = chunk.removeprefix(BOM)
        if self._after_cr and chunk:  # the LF of a CRLF that was cut in two
            self._after_cr = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if 0x0D in chunk:  # a number: twice as fast as b"\r"
            self._after_cr = chunk[-1:] == b"\r"
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _joined(self, chunk: bytes) -> bytes:
        """Whole events: what was held and this, up to the last blank line; the rest is held."""
        parts = self._parts
        if parts:
            if b"\n\n" not in chunk and not (chunk[:1] == b"\n" and parts[-1][-1:] == b"\n"):
                self._hold(chunk)
                return b""
            parts.append(chunk)
            chunk = b"".join(parts)
            self._parts = []
            self._held = 0
        if chunk[-2:] != b"\n\n":
            end = chunk.rfind(b"\n\n") + 2
            if end < 2:
                self._hold(chunk)
                return b""
            self._hold(chunk[end:])
            chunk = chunk[:end]
        return chunk

    def _hold(self, piece: bytes) -> None:
        if not piece:
            return
        self._parts.append(piece)
        self._held += len(piece)
        if self._held > self._limit:
            raise _too_large()


def _too_large() -> UpstreamEventTooLarge:
    return UpstreamEventTooLarge("The upstream sent an event over the size bound.")


def _events(whole: bytes) -> list[SseEvent]:
    events: list[SseEvent] = []
    at = 0
    while at < len(whole):
        event, at = event_at(whole, at)
        if event is not None:
            events.append(event)
    return events


def event_at(whole: bytes, at: int) -> tuple[SseEvent | None, int]:
    """The event that begins there, None for a block without data, and where the next one begins. `whole` is as
    `Decoder.whole` gives it.

    Nearly every event is one `data: ` line, or an `event: ` line and a `data: ` line; what is anything else takes three
    times as long.
    """
    if whole[at : at + 6] == b"data: ":
        end = whole.find(b"\n", at)
        if whole[end + 1] == _LF:
            return (None, whole[at + 6 : end]), end + 2
    elif (named := _NAMED(whole, at)) is not None:  # a fifth less than to look for the line ends
        data_at = named.end()
        end = whole.find(b"\n", data_at)
        if whole[end + 1] == _LF:
            return (_name(named[1]), whole[data_at:end]), end + 2
    end = whole.find(b"\n\n", at)
    return (_parsed(whole[at:end]), end + 2) if end >= 0 else (None, len(whole))  # one blank line too many


@lru_cache(maxsize=256)
def _name(said: bytes) -> str | None:
    return said.decode("utf-8", "replace") or None


def _parsed(block: bytes) -> SseEvent | None:
    """One event from its lines; None for a block without data (comments, retry, id)."""
    name: str | None = None
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, colon, value = line.partition(b":")
        if colon and value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace") or None
    return (name, b"\n".join(data)) if data else None


def framed(name: str | None, data: bytes) -> bytes:
    """One event as it goes out; `data` is one line (JSON never holds a raw newline)."""
    if name is None:
        return b"data: " + data + b"\n\n"
    return _head(name) + data + b"\n\n"


@lru_cache(maxsize=256)
def _head(name: str) -> bytes:
    """What stands before the data: nearly all events have one of a few dozen names."""
    return b"event: " + name.encode() + b"\ndata: "


def comment(text: str = "") -> bytes:
    """A keep-alive that every parser ignores."""
    return b": " + text.encode("ascii") + b"\n\n"
