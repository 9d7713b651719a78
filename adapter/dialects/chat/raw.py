"""What the raw lane looks at in a Chat stream.

Two things it does not leave as they are, because clients break on them: a `[DONE]` without any finish before it gets one
(official SDKs refuse an answer that has none), and an error behind the finish is dropped (the answer stands).
"""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.base import Frame
from adapter.dialects.chat.sole_text import sole_text
from adapter.dialects.raw import RawStream
from adapter.dialects.refrain import Sole
from adapter.errors import AdapterError
from adapter.hub.losses import Anomaly
from adapter.hub.request import Clock, Exchange, no_clock
from adapter.hub.usage import count, normal
from adapter.upstream.refusals import from_error_object
from adapter.wire.jsonio import dumps
from adapter.wire.sse import framed

_MOST_CHOICES: Final = 128
_FAILED_FINISHES: Final = ("error", "insufficient_system_resource")


_MARKS: Final = (
    b'"finish_reason":"',
    b'"finish_reason": "',
    b'"usage":{',
    b'"usage": {',
    b'"error"',
    b"[DONE]",
)
_CALL_MARKS: Final = (b'"tool_calls":[', b'"tool_calls": [')
"""Looked for until the first call is seen."""


class RawChatStream(RawStream):
    """Ends in `[DONE]`, or in one error frame."""

    marks: tuple[bytes, ...] = _MARKS + _CALL_MARKS

    def __init__(self, choices: int) -> None:
        super().__init__()
        self._asked = choices
        self._called = False
        self._instead: bytes | None = None
        """What passes in the place of the event that was seen last."""

    def see(self, data: bytes, event: dict[str, Any] | None) -> None:
        answer = self.answer
        if event is None:
            if data == b"[DONE]":
                self.ended = True
                if answer.status == "in_progress":
                    self.anomalies.append(Anomaly("finish_inferred"))
                    answer.status = "completed"
                    self._instead = framed(None, self._finish()) + framed(None, b"[DONE]")
            return
        if event.get("error"):
            self.ended = True
            if self.settling:
                self.anomalies.append(Anomaly("error_after_finish"))
                self._instead = b"".join(framed(*frame) for frame in self.ending())
            else:
                answer.status, answer.error = "failed", from_error_object(event["error"])
            return
        self.answered = True
        answer.id = answer.id or str(event.get("id") or "")
        answer.model = answer.model or str(event.get("model") or "")
        answer.created_at = answer.created_at or count(event.get("created")) or 0
        answer.usage = normal(event.get("usage")) or answer.usage
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            finish, delta = choice.get("finish_reason"), choice.get("delta")
            if not self._called and isinstance(delta, dict) and delta.get("tool_calls"):
                self._called, self.marks = True, _MARKS
            if finish in _FAILED_FINISHES:
                answer.status = "failed"
            elif finish and answer.status == "in_progress":
                answer.status = "incomplete" if finish in ("length", "content_filter") else "completed"

    def sole(self, event: Any) -> Sole | None:
        return sole_text(event)

    def passed(self, block: bytes, event: dict[str, Any] | None) -> bytes:
        return block if self._instead is None else self._instead

    def _finish(self) -> bytes:
        """The chunk that was left out."""
        reason = "tool_calls" if self._called else "stop"
        choices: list[dict[str, Any]] = [
            {"index": i, "delta": {}, "logprobs": None, "finish_reason": reason} for i in range(self._asked)
        ]
        answer = self.answer
        head = {"id": answer.id, "object": "chat.completion.chunk", "created": answer.created_at, "model": answer.model}
        return dumps({**head, "choices": choices})

    def ending(self) -> list[Frame]:
        self.anomalies.append(Anomaly("done_missing"))
        return [(None, b"[DONE]")]

    def failure(self, error: AdapterError, last: dict[str, Any]) -> list[Frame]:
        return [(None, dumps(error.body()))]


def raw_stream(exchange: Exchange, *, clock: Clock = no_clock) -> RawChatStream:
    """A fresh observer for one Chat stream that passes as bytes."""
    asked = exchange.request.body.get("n")
    return RawChatStream(asked if type(asked) is int and 1 <= asked <= _MOST_CHOICES else 1)
