"""From the bytes of a stream to its data events, with the violations that only bytes can show; and how events are fed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias

from adapter.errors import UpstreamEventTooLarge
from adapter.hub.grammar.violation import Violation
from adapter.wire import jsonio, sse

Streamed: TypeAlias = bytes | Iterable[tuple[str | None, bytes] | dict[str, Any]]
"""A whole stream: its raw bytes, or frames (event name, one line of data), or parsed events; frames and events may mix."""

DONE = b"[DONE]"


def read(stream: Streamed) -> tuple[list[tuple[str | None, bytes] | dict[str, Any]], list[Violation]]:
    """The frames or events of `stream`, and what is wrong with its framing."""
    if not isinstance(stream, (bytes, bytearray, memoryview)):
        return list(stream), []
    frames, violations = framed(bytes(stream))
    return [*frames], violations


def framed(raw: bytes) -> tuple[list[sse.SseEvent], list[Violation]]:
    """The same of bytes."""
    violations: list[Violation] = []
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as refused:
        violations.append(Violation("sse.utf8", f"byte {refused.start}", "the stream is not valid UTF-8"))
    decoder = sse.Decoder()
    try:
        events = decoder.feed(raw)
        unterminated = decoder.close()
    except UpstreamEventTooLarge:
        return [], [*violations, Violation("sse.too_large", "stream", "one event passes the size bound")]
    if unterminated:
        violations.append(
            Violation(
                "sse.unterminated", "end", "the last event has no blank line after it; conforming clients drop it"
            )
        )
    elif raw and not raw.endswith((b"\n", b"\r")):
        violations.append(Violation("sse.unterminated", "end", "the stream does not end in a line end"))
    return events, violations


class Checker(ABC):
    """The grammar of one stream, which is fed in order."""

    unit: ClassVar[str]
    """What its events are called."""

    def __init__(self) -> None:
        self._n = 0
        self._found: list[Violation] = []
        self._done_seen = False

    def feed(self, event: Any) -> list[Violation]:
        """What this event breaks."""
        self._found = []
        if isinstance(event, dict):
            self._take(event)
        else:
            self._broken(f"{self.unit}.not_object", f"the {self.unit} is {type(event).__name__}")
        self._n += 1
        return self._found

    def feed_frame(self, name: str | None, data: bytes) -> list[Violation]:
        """As `feed`, for one frame, whose event line counts as the dialect has it."""
        at = f"{self.unit}[{self._n}]"
        if data.strip() == DONE:
            again = [Violation("done.repeat", at, "a second [DONE]")] if self._done_seen else []
            self._done_seen = True
            return again
        found = [Violation("done.not_last", at, "[DONE] is not the last frame")] if self._done_seen else []
        try:
            event = jsonio.loads(data)
        except jsonio.NotJson as refused:
            return [*found, Violation("json", at, f"the data is {refused}")]
        return [*found, *self._named(name, event), *self.feed(event)]

    @abstractmethod
    def end(self) -> list[Violation]:
        """What the end of the stream breaks."""

    def whole(self, stream: Streamed) -> list[Violation]:
        """What a whole stream breaks, its end included."""
        entries, violations = read(stream)
        for entry in entries:
            violations += self.feed_frame(*entry) if isinstance(entry, tuple) else self.feed(entry)
        return violations + self.end()

    @abstractmethod
    def _take(self, event: dict[str, Any]) -> None:
        """Look at one."""

    def _named(self, name: str | None, event: Any) -> list[Violation]:
        """What is wrong with the event line."""
        return []

    def _broken(self, code: str, message: str, *, at: str = "") -> None:
        where = at if at == "end" else f"{self.unit}[{self._n}]{at}"
        self._found.append(Violation(code, where, message))
