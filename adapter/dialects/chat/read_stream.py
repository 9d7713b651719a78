"""A Chat Completions stream into hub events.

Four phases. *Waiting*: nothing is known but perhaps an id (Azure's first chunk has no choices). *Answering*: from the first
choice on; `Started` is given with the first id, model and time seen, and these never change again. *Settling*: a
finish_reason has come, every item is closed, and only usage may follow: anything else is an anomaly, because the answer
stands. *Ended*: the terminal event was given.

    waiting ─ choice ─▶ answering ─ finish ─▶ settling ─ [DONE], end ─▶ ended (Finished)
    waiting, answering ─ error, end, not an event ─▶ ended (Failed)
    answering ─ [DONE] ─▶ ended (Finished, the finish inferred; Failed amid the arguments of a call, which a client would run)

The terminal event waits for `[DONE]` or the end of the stream, since usage comes after the finish; the last usage counts
(some servers send a running total with every chunk). Nothing that an upstream sends raises.

Only choice 0 is read: this adapter never asks an upstream for more, and what others say is a loss. `<think>` tags in content
are text like any other: which models use them, and when they are quoted, is for the server's own parser to know.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from adapter.dialects.chat.answer import citations
from adapter.dialects.chat.answer.assembly import Assembly
from adapter.dialects.chat.answer.fields import ANSWER, CHOICE, FURTHER_CHOICES, MESSAGE
from adapter.dialects.chat.answer.finishes import Outcome, outcome_of
from adapter.dialects.chat.answer.moderation import to_responses
from adapter.dialects.chat.answer.sole_text import sole_text
from adapter.dialects.refrain import Refrain
from adapter.errors import AdapterError, UpstreamEmpty, UpstreamInvalid, UpstreamTruncated
from adapter.hub.events import Event, Failed, Finished, Started, Usage
from adapter.hub.losses import Anomaly, AnomalyLog, Loss, LossLog, unknown_fields, unread
from adapter.hub.request import Clock, Exchange, Ids, derived_token, no_clock
from adapter.hub.surrogates import mended
from adapter.hub.usage import heard, normal
from adapter.upstream.envelopes import is_error
from adapter.upstream.refusals import from_error_object
from adapter.wire.jsonio import NotJson, loads


class ChatReader:
    """One stream."""

    def __init__(self, exchange: Exchange, *, ids: Ids = derived_token, clock: Clock = no_clock) -> None:
        self._exchange = exchange
        self._ids = ids
        self._clock = clock
        self._id = self._model = ""
        self._created: int | None = None
        self._citations: list[dict[str, Any]] = []
        self._extra: dict[str, Any] = {}
        self._late_extra: dict[str, Any] = {}
        self._assembly: Assembly | None = None
        self._outcome: Outcome | None = None
        self._usage: dict[str, Any] | None = None
        self._refrain = Refrain()
        self._losses = LossLog()
        self._size = 0
        """How many keys the chunk had that was looked at last for such that are not read."""
        self._anomaly = AnomalyLog()
        self.anomalies: list[Anomaly] = self._anomaly.found
        self.ended = False

    bare = False
    """As `StreamReader.bare`: a server of this dialect begins when it has something to say."""

    @property
    def settling(self) -> bool:
        """The finish has come; only usage may follow."""
        return self._outcome is not None and not self.ended

    # --------------------------------------------------------------------------------------------------------- inputs

    def more(self, whole: bytes, at: int, events: list[Event]) -> int:
        """See `StreamReader.more`."""
        assembly = self._assembly
        if assembly is None or self._outcome is not None or self.ended:
            return at
        found = self._refrain.texts(whole, at)
        if found is None:
            return at
        texts, end = found
        if "" in texts and not (texts := list(filter(None, texts))):
            return end
        grown = assembly.grow(self._refrain.place, texts)
        if grown is None:
            return at
        events += grown
        return end

    def feed(self, name: str | None, data: bytes) -> list[Event]:
        """The hub events of one SSE event."""
        if self.ended:
            return []
        if data == b"[DONE]":
            return self._done()
        try:
            chunk = loads(data)
        except NotJson:
            if not data.strip():
                self._anomaly("event_empty")
                return []
            return self._broken("The upstream sent an event that is not JSON.")
        if not isinstance(chunk, dict):
            return self._broken("The upstream sent an event that is not a JSON object.")
        if name is None and self._refrain.willing and (sole := sole_text(chunk)):
            self._refrain.learn(None, data, sole, sole_text)
        choices = chunk.get("choices")
        if chunk.get("error") or name == "error" or (not choices and is_error(chunk)):
            self._count(usage_of(chunk))
            return self._failed(from_error_object(chunk))
        if (usage := chunk.get("usage")) is not None:
            self._count(usage)
        if not choices or len(chunk) != self._size:  # as many keys are the same ones, amid an answer
            self._size = len(chunk)
            self._losses(unknown_fields("", chunk, _ANSWER))
        if not choices or not isinstance(choices, list):
            self._look_at_head(chunk)
            return []
        return self._chosen(chunk, choices)

    def close(self) -> list[Event]:
        """The upstream closed its stream."""
        if self.ended:
            return []
        return self._finished() if self._outcome is not None else self._truncated()

    def fail(self, error: AdapterError) -> list[Event]:
        """The transport broke."""
        if self.ended or self._outcome is None:
            return [] if self.ended else self._failed(error)
        self._anomaly("error_after_finish")
        return self._finished()

    # --------------------------------------------------------------------------------------------------------- phases

    def _chosen(self, chunk: dict[str, Any], choices: list[Any]) -> list[Event]:
        events: list[Event] = []
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            if choice.get("index"):
                self._anomaly("choice_ignored")
                self._losses((FURTHER_CHOICES,))
                continue
            if self._outcome is not None:
                self._look_after_finish(chunk, choice)
                continue
            assembly = self._assembly or self._start(chunk, events)
            delta, message = choice.get("delta"), choice.get("message")
            if message and not (delta and chunk.get("object") == "chat.completion.chunk"):
                # the whole answer: instead of all deltas, or once more behind them (Perplexity's chat.completion.done)
                delta = (delta or message) if assembly.empty else None
            elif not delta and (text := choice.get("text")):  # as in completions; Together says it beside the delta
                delta = {"content": text}
            if delta and isinstance(delta, dict):
                events += assembly.feed(delta, choice.get("logprobs"))
                if type(delta.get("content")) is not str or (len(delta) > 1 and not _SAID.issuperset(delta)):
                    self._losses(unread("choices[0].delta", delta, MESSAGE))
            if len(choice) != 1 + ("index" in choice) + ("logprobs" in choice) + ("finish_reason" in choice):
                self._losses(unknown_fields("choices[0]", choice, _CHOICE))
            if choice.get("finish_reason") is not None:
                self._finish(chunk, choice, assembly, events)
                if self.ended:
                    break
        return events

    def _start(self, chunk: dict[str, Any], events: list[Event]) -> Assembly:
        self._look_at_head(chunk)
        token = self._ids(self._id)
        created = self._clock() if self._created is None else self._created
        model = self._model or self._exchange.request.model
        events.append(Started(f"resp_{token}", model, created, self._extra))
        self._assembly = Assembly(self._exchange, token, self._anomaly)
        return self._assembly

    def _look_at_head(self, chunk: dict[str, Any]) -> None:
        """Pins the first id, model, time and extras that say something."""
        self._look_for_citations(chunk)
        if self._assembly is not None:
            self._late_extra.update(extras_of(chunk))
            return
        upstream_id, model = chunk.get("id"), chunk.get("model")
        if not self._id and isinstance(upstream_id, str):
            self._id = upstream_id
        if not self._model and isinstance(model, str):
            self._model = mended(model)
        if self._created is None:
            self._created = seconds_of(chunk.get("created"))
        self._extra.update(extras_of(chunk))

    def _look_for_citations(self, chunk: dict[str, Any]) -> None:
        if found := citations.of_answer(chunk.get("citations")):
            if self._outcome is not None and not self._citations:
                self._anomaly("citations_late")
            self._citations = found

    def _count(self, usage: Any) -> None:
        losses: list[Loss] = []
        self._usage = heard(usage, self._exchange.request.dialect, losses) or self._usage
        if losses:
            self._losses(losses)

    def _finish(self, chunk: dict[str, Any], choice: dict[str, Any], assembly: Assembly, events: list[Event]) -> None:
        found = outcome_of(choice["finish_reason"])
        if found is None:
            return
        outcome, official = found
        if not official:
            self._anomaly("finish_unknown")
        self._late_extra.update(extras_of(chunk))
        self._losses(unknown_fields("", chunk, _ANSWER))
        self._count(usage_of(chunk))
        self._look_for_citations(chunk)
        if outcome is Outcome.FAILED:
            events += self._failed(broken_off(choice))
        else:
            events += self._settle(outcome, assembly)

    def _settle(self, outcome: Outcome, assembly: Assembly) -> list[Event]:
        events = assembly.cite(self._citations) if self._citations else []
        events += assembly.finish(incomplete=outcome.reason is not None)
        if assembly.unnamed_call:
            return events + self._failed(UpstreamInvalid("The upstream sent a tool call without a name."))
        self._outcome = outcome
        return events

    def _look_after_finish(self, chunk: dict[str, Any], choice: dict[str, Any]) -> None:
        self._late_extra.update(extras_of(chunk))
        self._count(usage_of(chunk))
        self._losses(unread("choices[0]", choice, CHOICE))
        self._look_for_citations(chunk)
        delta = choice.get("delta")
        if isinstance(delta, dict) and any(delta.get(key) for key in _SAYING):
            self._anomaly("content_after_finish")

    def _done(self) -> list[Event]:
        if self._outcome is not None:
            return self._finished()
        if self._assembly is None:
            return self._failed(UpstreamEmpty(NO_ANSWER))
        if self._assembly.half_call:
            return self._truncated()
        self._anomaly("finish_inferred")
        events = self._settle(Outcome.COMPLETED, self._assembly)
        return events if self.ended else events + self._finished()

    # ------------------------------------------------------------------------------------------------------------ end

    def _finished(self) -> list[Event]:
        assert self._outcome is not None
        self.ended = True
        reason = self._outcome.reason
        status: Literal["completed", "incomplete"] = "completed" if reason is None else "incomplete"
        usage: list[Event] = [] if self._usage is None else [Usage(self._usage)]
        return [*usage, Finished(status, reason, self._late_extra, self._losses.found)]

    def _broken(self, message: str) -> list[Event]:
        return self._failed(UpstreamInvalid(message, code="upstream_invalid_event"))

    def _truncated(self) -> list[Event]:
        return self._failed(UpstreamTruncated("The upstream's stream ended before its answer was complete."))

    def _failed(self, error: AdapterError) -> list[Event]:
        """The failure; after the finish an error is only an anomaly."""
        if self._outcome is not None:
            self._anomaly("error_after_finish")
            return []
        self.ended = True
        if self._assembly is None:
            return [Failed(error, usage=self._usage)]
        usage: list[Event] = [] if self._usage is None else [Usage(self._usage)]
        return [*usage, Failed(error, self._assembly.open_items())]


NO_ANSWER: Final = "The upstream's stream holds no answer."
_LAST_SECOND: Final = 1 << 40
"""Beyond any clock, and well inside what JSON numbers hold."""
_ANSWER: Final = frozenset(ANSWER)
_CHOICE: Final = frozenset(CHOICE)
_SAID: Final = frozenset({"role", "content", "reasoning_content", "reasoning", "refusal"})
"""What of a delta has nothing in it that is to be looked at, where its content is a text."""
_SAYING: Final = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")


def extras_of(chunk: dict[str, Any]) -> dict[str, Any]:
    """The top-level facts that ride along, where they have their type."""
    extras: dict[str, Any] = {}
    tier, fingerprint, moderation = chunk.get("service_tier"), chunk.get("system_fingerprint"), chunk.get("moderation")
    if tier and type(tier) is str:
        extras["service_tier"] = mended(tier)
    if fingerprint and type(fingerprint) is str:
        extras["system_fingerprint"] = mended(fingerprint)
    if moderation and (found := to_responses(moderation)) is not None:
        extras["moderation"] = found
    return extras


def seconds_of(created: Any) -> int | None:
    """A `created` in whole seconds; servers also send floats."""
    if type(created) is int:
        return created if 0 <= created < _LAST_SECOND else None
    return int(created) if type(created) is float and 0 <= created < _LAST_SECOND else None


def usage_of(chunk: dict[str, Any]) -> Any:
    """The usage of a chunk, wherever servers put it: Groq beside the API's own, Moonshot into the choice."""
    if normal(usage := chunk.get("usage")) is not None:
        return usage
    choices = chunk.get("choices")
    for at in (chunk.get("x_groq"), choices[0] if isinstance(choices, list) and choices else None):
        if isinstance(at, dict) and normal(at.get("usage")) is not None:
            return at["usage"]
    return None


def broken_off(choice: dict[str, Any]) -> AdapterError:
    """Why the upstream did not go on with this choice; OpenRouter says so in it."""
    if error := choice.get("error"):
        return from_error_object(error)
    return UpstreamInvalid("The upstream broke its answer off.", code="upstream_error")


def stream_reader(exchange: Exchange, *, ids: Ids = derived_token, clock: Clock = no_clock) -> ChatReader:
    """A fresh machine for one Chat stream."""
    return ChatReader(exchange, ids=ids, clock=clock)
