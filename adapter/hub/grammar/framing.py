"""From the bytes of a stream to its data events, with the violations that only bytes can show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

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


def parsed(data: bytes) -> Any:
    """The JSON value of one frame's data.

    Raises:
        NotJson: it is none.
    """
    return jsonio.loads(data)
