"""What the raw lane looks at in a Chat stream."""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.base import Frame
from adapter.dialects.raw import RawStream
from adapter.errors import AdapterError
from adapter.hub.losses import Anomaly
from adapter.hub.request import Clock, Exchange, no_clock
from adapter.hub.usage import normal
from adapter.upstream.refusals import from_error_object
from adapter.wire.jsonio import dumps

_FAILED_FINISHES: Final = frozenset({"error", "insufficient_system_resource"})


class RawChatStream(RawStream):
    """Ends in `[DONE]`, or in one error frame."""

    marks = (
        b'"finish_reason":"',
        b'"finish_reason": "',
        b'"usage":{',
        b'"usage": {',
        b'"error"',
        b"[DONE]",
    )

    def see(self, data: bytes, event: dict[str, Any] | None) -> None:
        answer = self.answer
        if event is None:
            if data == b"[DONE]":
                if answer.status == "in_progress":
                    self.anomalies.append(Anomaly("finish_inferred"))
                    answer.status = "completed"
                self.ended = True
            return
        if event.get("error"):
            answer.status, answer.error = "failed", from_error_object(event["error"])
            self.ended = True
            return
        self.answered = True
        answer.id = answer.id or str(event.get("id") or "")
        answer.model = answer.model or str(event.get("model") or "")
        answer.usage = normal(event.get("usage")) or answer.usage
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            finish = choice.get("finish_reason") if isinstance(choice, dict) else None
            if finish in _FAILED_FINISHES:
                answer.status = "failed"
            elif finish and answer.status == "in_progress":
                answer.status = "incomplete" if finish in ("length", "content_filter") else "completed"

    def ending(self) -> list[Frame]:
        self.anomalies.append(Anomaly("done_missing"))
        return [(None, b"[DONE]")]

    def failure(self, error: AdapterError, last: dict[str, Any]) -> list[Frame]:
        return [(None, dumps(error.body()))]


def raw_stream(exchange: Exchange, *, clock: Clock = no_clock) -> RawChatStream:
    """A fresh observer for one Chat stream that passes as bytes."""
    return RawChatStream()
