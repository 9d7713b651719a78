"""What the raw lane looks at in a Chat stream.

Not everything is left as it is:

* `[DONE]` gets the finish of each choice that has none before it, since official SDKs refuse an answer without; amid the
  arguments of a call, without any choice, or behind an error that nobody saw pass, the stream has failed instead.
* An error behind the finish is dropped: the answer stands.
* An error without its envelope, or that only a finish tells of, gets it: official SDKs take it for a chunk. One that tells a key
  or an account is told in our words.
* The chunk that only tells usage is dropped where this server asked for it and the client did not.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.base import Frame
from adapter.dialects.chat.answer.finishes import Outcome, outcome_of
from adapter.dialects.chat.answer.sole_text import sole_text
from adapter.dialects.chat.read_stream import NO_ANSWER, broken_off, usage_of
from adapter.dialects.raw import ENDED_EARLY, RawStream, named
from adapter.dialects.refrain import Sole
from adapter.errors import AdapterError, UpstreamEmpty, UpstreamTruncated
from adapter.hub.losses import Anomaly
from adapter.hub.request import Clock, Exchange, no_clock
from adapter.hub.usage import count, normal
from adapter.upstream.envelopes import is_error
from adapter.upstream.refusals import from_error_object, tells_secret
from adapter.wire.jsonio import dumps
from adapter.wire.sse import framed

_MOST_CHOICES: Final = 128
_MARKS: Final = (
    b'"finish_reason":"',
    b'"finish_reason": "',
    b'"usage":{',
    b'"usage": {',
    b"error",  # in an event's name, too
    b"[DONE]",
)
_CALL_MARKS: Final = (b'"tool_calls":[', b'"tool_calls": [')
"""Looked for until the first call is seen."""
_CHOICE_MARKS: Final = (b'"index":',)
"""Of several choices, looked for until all have begun: one may not be there at all, since not every server heeds `n`."""


class RawChatStream(RawStream):
    """Ends in `[DONE]`, or in one error frame."""

    marks: tuple[bytes, ...] = _MARKS + _CALL_MARKS

    def __init__(self, choices: int, *, withholds_usage: bool = False) -> None:
        """`choices`: how many were asked for. `withholds_usage`: the client did not ask for the chunk that only tells usage."""
        super().__init__()
        if choices > 1:
            self.marks += _CHOICE_MARKS
        self._asked = choices
        self._withholds_usage = withholds_usage
        self._begun: set[int] = set()
        """The choices that have said something, no more than were asked for."""
        self._finished: set[int] = set()
        """The choices that have their finish."""
        self._called = False
        self._instead: bytes | None = None
        """What passes in the place of the event that was seen last."""

    def see(self, name: str | None, data: bytes, event: dict[str, Any] | None) -> None:
        if event is None:
            if data == b"[DONE]":
                self._done()
            elif (error := self.told(name, {})) is not None:
                self._failed(error, enveloped=False)
        elif name is None and event.get("choices") and not event.get("error"):
            self._take(event)  # as nearly all are
        elif (error := self.told(name, event)) is not None:
            self.answer.usage = normal(usage_of(event)) or self.answer.usage
            self._failed(error, enveloped=isinstance(event.get("error"), dict) and not tells_secret(data))
        else:
            self._take(event)

    def told(self, name: str | None, event: dict[str, Any]) -> AdapterError | None:
        failed = name == "error" or event.get("error") or (not event.get("choices") and is_error(event))
        return from_error_object(event) if failed else None

    def _done(self) -> None:
        self.ended = True
        if self.answer.status != "in_progress":
            return
        name, last = self.last()
        error = self.told(name, last)
        unfinished = sorted(self._begun - self._finished)
        if error is None and self._called and unfinished and _amid_arguments(last):
            error = UpstreamTruncated(ENDED_EARLY)
        if error is None and not self.answered:
            error = UpstreamEmpty(NO_ANSWER)
        if error is not None:
            self._failed(error, enveloped=False)
            return
        self.answer.status = "completed"
        if unfinished:
            self.anomalies.append(Anomaly("finish_inferred"))
            self._instead = framed(None, self._finish(unfinished)) + framed(None, b"[DONE]")

    def _failed(self, error: AdapterError, *, enveloped: bool) -> None:
        self.ended = True
        if self.settling:
            self.anomalies.append(Anomaly("error_after_finish"))
            self._instead = b"".join(framed(*frame) for frame in self.ending())
            return
        self.answer.status, self.answer.error = "failed", error
        if not enveloped:
            self._instead = framed(None, dumps(error.body()))

    def _take(self, event: dict[str, Any]) -> None:
        answer = self.answer
        answer.id = answer.id or named(event.get("id"))
        answer.model = answer.model or named(event.get("model"))
        answer.created_at = answer.created_at or count(event.get("created")) or 0
        if (usage := event.get("usage")) is not None:
            answer.usage = normal(usage) or answer.usage
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            self.answered = True
            index = number if type(number := choice.get("index")) is int else 0
            if index not in self._begun and len(self._begun) < self._asked:
                self._begun.add(index)
                if len(self._begun) == self._asked:
                    self._look_no_more(_CHOICE_MARKS)
            delta, finish = choice.get("delta"), choice.get("finish_reason")
            if not self._called and isinstance(delta, dict) and delta.get("tool_calls"):
                self._called = True
                self._look_no_more(_CALL_MARKS)
            if finish is not None and (found := outcome_of(finish)) is not None:
                answer.usage = answer.usage or normal(usage_of(event))
                self._finish_choice(choice, index, found[0])

    def _look_no_more(self, marks: tuple[bytes, ...]) -> None:
        self.marks = tuple(mark for mark in self.marks if mark not in marks)

    def _finish_choice(self, choice: dict[str, Any], index: int, outcome: Outcome) -> None:
        """The answer is complete when all the choices that were asked for are."""
        answer = self.answer
        if outcome is Outcome.FAILED:
            self._failed(broken_off(choice), enveloped=False)
        elif answer.status == "in_progress":
            self._finished.add(index)
            if len(self._finished) >= self._asked:
                answer.status = "completed" if outcome.reason is None else "incomplete"

    def sole(self, event: Any) -> Sole | None:
        return sole_text(event)

    def passed(self, block: bytes, event: dict[str, Any] | None) -> bytes:
        if self._instead is not None:
            return self._instead
        if not self._withholds_usage or self.ended or event is None:  # an error may tell its usage, too
            return block
        return b"" if event.get("choices") == [] and event.get("usage") else block

    def _finish(self, unfinished: list[int]) -> bytes:
        """The chunk that was left out."""
        reason = "tool_calls" if self._called else "stop"
        choices: list[dict[str, Any]] = [
            {"index": i, "delta": {}, "logprobs": None, "finish_reason": reason} for i in unfinished
        ]
        answer = self.answer
        head = {"id": answer.id, "object": "chat.completion.chunk", "created": answer.created_at, "model": answer.model}
        return dumps({**head, "choices": choices})

    def ending(self) -> list[Frame]:
        self.anomalies.append(Anomaly("done_missing"))
        return [(None, b"[DONE]")]

    def failure(self, error: AdapterError) -> list[Frame]:
        return [(None, dumps(error.body()))]


def _amid_arguments(event: dict[str, Any]) -> bool:
    """More of a call's arguments had to come: a client would run it with half of them. Nobody has read what came before: of
    arguments that are cut behind an inner object it cannot be said."""
    try:
        said: str = event["choices"][-1]["delta"]["tool_calls"][-1]["function"]["arguments"].rstrip()
    except (LookupError, TypeError, AttributeError):
        return False
    return said != "" and said[-1] != "}"


def raw_stream(exchange: Exchange, *, clock: Clock = no_clock) -> RawChatStream:
    """A fresh observer for one Chat stream that passes as bytes."""
    request = exchange.request
    asked, options = request.body.get("n"), request.body.get("stream_options") or {}
    return RawChatStream(
        asked if type(asked) is int and 1 <= asked <= _MOST_CHOICES else 1,
        withholds_usage=options.get("include_usage") is True and not request.include_usage,
    )
