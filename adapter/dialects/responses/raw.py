"""What the raw lane looks at in a Responses stream.

Two things it does not leave as they are, for Codex: refusals, since it would drop the message they stand in, and usage that
lacks a count, which it takes for a broken stream. One more for everybody: an error that tells a key or an account is told in
our words.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.base import Frame
from adapter.dialects.raw import ENDED_EARLY, RawStream, named
from adapter.dialects.refrain import Sole
from adapter.dialects.responses.answers import BEGINNINGS, ENDS, OF_ANSWERS, ending, is_failure, kind_of
from adapter.dialects.responses.reply import error_facts, failed_error
from adapter.dialects.responses.traits import countable, shown_wire
from adapter.dialects.responses.write_stream import ResponsesWriter
from adapter.errors import AdapterError, UpstreamTruncated
from adapter.hub.events import Failed
from adapter.hub.request import Clock, Exchange, no_clock
from adapter.hub.usage import count, normal
from adapter.upstream.refusals import from_error_object, tells_secret
from adapter.wire.jsonio import dumps
from adapter.wire.sse import framed

_REFUSALS: Final = (b'"refusal"', b'"response.refusal.')
"""Of these one stands in every event that holds a refusal, and in hardly any other."""
_QUIET: Final = (".delta", ".done", ".added")
"""What the names of events end in that are neither the beginning nor the end of an answer."""


class RawResponsesStream(RawStream):
    """Ends in one terminal event; `[DONE]` may follow it. A broken stream gets `error` and `response.failed`."""

    marks: tuple[bytes, ...] = (
        b"error",  # in nearly every event that holds one of the others, so it is the first to be looked for; in a name, too
        b'"response.created"',
        b'"response.completed"',
        b'"response.done"',
        b'"response.incomplete"',
        b'"response.failed"',
        b'"response.cancelled"',
        b"[DONE]",
    )
    done_may_follow = True
    text_names = ".delta"

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        super().__init__()
        self._exchange = exchange
        self._clock = clock
        self._begun: dict[str, Any] = {}
        """The Response of `response.created`, which a failure repeats."""
        self._error_passed = False
        self._reached = -1
        """The number before an event that has none, as errors that gateways put together."""
        self._cut_short = False
        """`[DONE]` came and no terminal event before it."""
        self._rewords = not exchange.request.client.shows_refusals
        self._loud: tuple[bytes, ...] = (b'"error"',)
        """What may stand in any event that has a name of this dialect."""
        if self._rewords:
            self.marks, self._loud = (*self.marks, *_REFUSALS), (*self._loud, *_REFUSALS)

    def quiet(self, name: str | None, data: bytes) -> bool:
        """An item, a part or a text as it begins, grows or ends: to look for every mark in what they say at the end of a stream
        took as long as ten reads of text."""
        return (
            name is not None
            and name.endswith(_QUIET)
            and name not in ENDS
            and data.startswith(b'{"type":"%b",' % name.encode())
            and not any(map(data.count, self._loud))
        )

    def passed(self, block: bytes, event: dict[str, Any] | None) -> bytes:
        if self._cut_short:  # clients stop reading at [DONE]: the failure takes its place
            return self.end(UpstreamTruncated(ENDED_EARLY))
        if self.answer.error is not None and not self._error_passed and not self.ended:  # no event of this dialect
            return self.end(self.answer.error)
        if event is None:
            return block
        if "sequence_number" not in event:
            self._reached = self._number()
        error, shown = self.answer.error, event
        if error is not None and tells_secret(block):
            shown = _reworded(event, error)
        if self._rewords:
            response = event.get("response")
            whole = not isinstance(response, dict) or countable(response.get("usage"))
            if not whole or any(mark in block for mark in _REFUSALS):
                shown = shown_wire(shown)
        if shown is event:
            return block
        name = shown.get("type")
        try:
            data = dumps(shown)
        except ValueError:  # read, but nested too deeply to be written again
            return block
        return framed(name if isinstance(name, str) and name.isascii() and name.isprintable() else None, data)

    def see(self, name: str | None, data: bytes, event: dict[str, Any] | None) -> None:
        if event is None:
            self._cut_short = data == b"[DONE]"
            if name == "error" and not self._cut_short:
                self.answer.status, self.answer.error = "failed", from_error_object({})
            return
        kind, response, answer = kind_of(name, event), event.get("response"), self.answer
        if (error := self.told(name, event)) is not None:
            answer.status, answer.error = "failed", error
            return
        response = response if isinstance(response, dict) else {}
        if kind in ENDS:
            end = ending(response or {"error": event.get("error")}, ENDS[kind], self._exchange)
            answer.status, answer.reason = end.status, end.reason
            answer.error = end.error or answer.error
            answer.usage = normal(response.get("usage"))
            self.ended = True
        if not self.answered and answer.status != "failed" and kind.startswith(OF_ANSWERS):
            self.answered = kind not in BEGINNINGS or self._exchange.request.body.get("background") is True
            self.headless = not (response or self._begun)
        answer.id = answer.id or named(response.get("id"))
        answer.model = answer.model or named(response.get("model"))
        answer.created_at = answer.created_at or count(response.get("created_at")) or 0
        self._begun = self._begun or response

    def told(self, name: str | None, event: dict[str, Any]) -> AdapterError | None:
        kind = kind_of(name, event)
        if not is_failure(kind, event):
            return None
        self._error_passed = kind == "error"
        return from_error_object(event)

    def sole(self, event: Any) -> Sole | None:
        if type(event) is not dict or event.get("error") or "response" in event:
            return None
        kind, delta = event.get("type"), event.get("delta")
        return (kind, delta) if type(delta) is str and type(kind) is str and kind.endswith(".delta") else None

    def ending(self) -> list[Frame]:
        """Nothing: an answer of this dialect is complete only by its terminal event."""
        return []

    def ping(self) -> list[Frame]:
        """For Codex. It has the number of the event before it, since the next one is the upstream's to give."""
        if self.ended or not self._exchange.request.client.codex:
            return []
        number = max(self._number(), 0)
        return [("adapter:ping", dumps({"type": "adapter:ping", "sequence_number": number}))]

    def failure(self, error: AdapterError) -> list[Frame]:
        if not self._begun and not self._error_passed:
            return ResponsesWriter(self._exchange, clock=self._clock).feed(Failed(error))
        number = self._number()
        events: list[dict[str, Any]] = []
        if not self._error_passed:
            events.append({"type": "error", **error_facts(error)})
        failed = {**self._repeatable(), "status": "failed", "error": failed_error(error)}
        events.append({"type": "response.failed", "response": failed})
        frames: list[Frame] = []
        for event in events:
            number += 1
            frames.append((event["type"], dumps({**event, "sequence_number": number})))
        return frames

    def _number(self) -> int:
        """That of the last event that passed and has one; -1 before the first."""
        last = self.last()[1]
        return max(self._reached, (count(last.get("sequence_number")) if "sequence_number" in last else -1) or 0)

    def _repeatable(self) -> dict[str, Any]:
        """What the stream began with, as far as it can be written again."""
        try:
            dumps(self._begun)
        except ValueError:
            answer = self.answer
            return {"id": answer.id, "object": "response", "created_at": answer.created_at, "model": answer.model}
        return self._begun


def _reworded(event: dict[str, Any], error: AdapterError) -> dict[str, Any]:
    """What says so that the answer failed by `error`."""
    response = event.get("response")
    if isinstance(response, dict):
        return {**event, "response": {**response, "error": failed_error(error)}}
    return {**event, "type": "error", **error_facts(error)}


def raw_stream(exchange: Exchange, *, clock: Clock = no_clock) -> RawResponsesStream:
    """A fresh observer for one Responses stream that passes as bytes."""
    return RawResponsesStream(exchange, clock)
