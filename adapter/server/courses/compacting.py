"""How a history is compacted for one client over one upstream: by the table of `compaction.plan`.

Where the upstream does it, its endpoint or a trigger is asked; where it does not, `summarise` asks for one upstream call
after the other and each is put as an ordinary, streamed request. What an upstream turns out not to have is remembered and
never fails the client.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any, Final, NamedTuple

from adapter.compaction.anatomy import (
    COMPACTIONS,
    REFERENCE,
    TRIGGER,
    Voice,
    answered_name,
    is_orphan,
    type_of,
    unanswered,
    units,
    voice,
)
from adapter.compaction.keep import Split, split
from adapter.compaction.made import Made
from adapter.compaction.options import Options
from adapter.compaction.plan import ClientShape, UpstreamKind, Way, suggested, way
from adapter.compaction.shapes import UpstreamBlob, UpstreamShell, UpstreamText, read_compact_answer, usage_of
from adapter.compaction.sizes import utf8_length
from adapter.compaction.summarise import TOO_LONG, Compacted, summarise, trimmed
from adapter.compaction.updates import in_effect, is_update
from adapter.dialects.registry import DIALECTS
from adapter.dialects.responses.answers import FAILURES, failure
from adapter.errors import AdapterError, NoSummary, UnsupportedParameter, UpstreamInvalid
from adapter.hub import usage as usages
from adapter.hub.events import Item
from adapter.hub.fold import Answer
from adapter.hub.items import UPDATE
from adapter.hub.losses import Action, Loss
from adapter.hub.request import Request
from adapter.server.calls.asking import Asking
from adapter.server.calls.plan import serialised
from adapter.server.calls.pump import collected
from adapter.server.courses.routing import Routing
from adapter.server.turn import Turn
from adapter.upstream.lacking import Lacking, is_absent
from adapter.upstream.refusals import from_error_object
from adapter.upstream.router import Target
from adapter.wire.jsonio import NotJson, loads

COMPACT_PATH: Final = "/responses/compact"
GOING_ON: Final = frozenset({ClientShape.CHAT, ClientShape.THRESHOLD})
"""Shapes whose shortened history is answered at once."""
UNANSWERED: Final = "unanswered_call"
"""The kind of a loss: a call without an output, or an output without its call."""
_TO_ENDPOINT: Final = (
    "instructions",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
)
"""What the endpoint takes beside model and input; some servers refuse anything else."""
_TO_TRIGGER: Final = (*_TO_ENDPOINT, "tools", "parallel_tool_calls", "reasoning", "safety_identifier", "user")
"""What shapes a turn's input, so that caches hit; nothing that shapes its answer."""


@dataclass(kw_only=True)
class Case:
    """One history to be compacted; not changed once it is made."""

    turn: Turn
    shape: ClientShape
    request: Request
    """Its items are what the target reads; a trigger is no part of them, nor are updates of settings."""
    target: Target
    options: Options
    settings: Sequence[Item]
    """What the updates say together (`updates.in_effect`)."""
    places: Sequence[int]
    """Where each of its items stood among the updates."""

    @classmethod
    def of(cls, turn: Turn, shape: ClientShape, request: Request, target: Target, options: Options) -> Case:
        """Of a request as it is read, without its trigger."""
        items, settings = request.items, in_effect(request.items)
        places = [place for place, item in enumerate(items) if not is_update(item)]
        if len(places) < len(items):
            request = replace(request, body={**request.body, "input": [items[place] for place in places]})
        if (window := target.upstream.window) is not None:
            options = options.fitting(window)
        return cls(
            turn=turn, shape=shape, request=request, target=target, options=options, settings=settings, places=places
        )

    @property
    def going_on(self) -> bool:
        """The shortened history is answered at once."""
        return self.shape in GOING_ON

    @cached_property
    def split(self) -> Split:
        """What stays of the history and what goes."""
        return split(self.request.items, self.options, going_on=self.going_on)

    @cached_property
    def unfit(self) -> Unfit:
        """What of the history has no counterpart."""
        return _unfit(self.request.items)

    def at(self, index: int) -> str:
        """The path of an item in the client's own body, as far as it can be told."""
        return "messages" if self.request.dialect == "chat" else f"input[{self.places[index]}]"


class Unfit(NamedTuple):
    """Indices of what strict servers refuse of a history."""

    calls: set[int]
    """Calls without outputs."""
    items: set[int]
    """Those, the reasoning that led to nothing else, and outputs without a call."""


@dataclass(slots=True, kw_only=True)
class Compactor:
    """Compacts; holds what they share."""

    asking: Asking
    routing: Routing
    options: Options
    lacking: Lacking = field(default_factory=Lacking)
    """Who turned out to have no endpoint."""

    def kind(self, target: Target) -> UpstreamKind:
        """What the upstream does by itself, as far as is known."""
        if target.upstream.compact is not None:
            return target.upstream.compact
        return UpstreamKind.NONE if target in self.lacking else suggested(target.upstream.dialect)

    def way(self, shape: ClientShape, target: Target) -> Way:
        """How a compaction for this client is had from it."""
        how = way(shape, self.kind(target))
        return Way.SUMMARISE if self.options.strategy == "trim" and how is not Way.HAND_ON else how

    def losses(self, case: Case) -> list[Loss]:
        """What of the request a compaction will not hear of, or its client of what came of it."""
        return list(self._losses(case))

    def _losses(self, case: Case) -> Iterator[Loss]:
        how = self.way(case.shape, case.target)
        own = how in (Way.ENDPOINT_BLOB, Way.ENDPOINT_TEXT, Way.TRIGGER_BLOB)
        as_text = case.shape in (ClientShape.RESPONSE, ClientShape.GOMODEL)
        if own and not case.going_on:  # `Going` tells of a turn that does
            yield from case.request.losses
            if how is not Way.TRIGGER_BLOB and case.request.body.get("reasoning") is not None:
                reason = "The upstream's compaction takes no reasoning settings."
                yield Loss("reasoning", Action.DROPPED, "reasoning", reason)
        if case.shape is ClientShape.COMPACTION and case.request.body.get("metadata"):
            yield Loss("metadata", Action.DROPPED, "metadata", "A compaction in OpenAI's form tells no metadata.")
        if as_text and case.settings:
            yield Loss("input", Action.DROPPED, UPDATE, "A summary as text cannot say which settings are in effect.")
        action = Action.DROPPED
        if as_text:
            lost, reason = case.unfit.calls, "A summary as text cannot hold a call whose output is still to come."
        elif own and (case.going_on or how is Way.TRIGGER_BLOB):
            reason = "The upstream's compaction takes no call without an output, and no output without a call."
            lost = case.unfit.items.difference(case.split.kept)
        else:
            reason = (
                "The conversation goes on, and no upstream takes a call without an output: a summary may tell of it."
            )
            lost, action = case.unfit.calls.difference(case.split.kept), Action.APPROXIMATED
        for path in dict.fromkeys(map(case.at, sorted(lost))):
            yield Loss(path, action, UNANSWERED, reason)

    async def made(self, case: Case) -> Made:
        """The history made short.

        Raises:
            AdapterError: it could not be, and `on_failure` does not say `trim`.
        """
        match self.way(case.shape, case.target):
            case Way.ENDPOINT_BLOB | Way.ENDPOINT_TEXT if case.request.body.get("conversation") is None:
                try:
                    made = await self._by_endpoint(case)
                except AdapterError as refused:
                    if case.target.upstream.compact is None and is_absent(refused):
                        self.lacking.add(case.target)
                        return await self._summarised(case)
                    return await self._otherwise(case, refused)
                return await self._summarised(case) if made is None else made
            case Way.TRIGGER_BLOB:
                try:
                    return await self._by_trigger(case)
                except AdapterError as refused:
                    return await self._otherwise(case, refused)
            case _:
                return await self._summarised(case)

    # ------------------------------------------------------------------------------------------------------- by us

    async def _summarised(self, case: Case) -> Made:
        if (elsewhere := _kept_elsewhere(case.request)) is not None:
            raise UnsupportedParameter(
                "This conversation, or a part of it, is kept where it cannot be compacted; send the whole of it as input.",
                param=elsewhere,
            )
        model = case.options.model if case.options.strategy == "summary" else None
        # a history with an upstream's blob in it stays with that upstream
        if model is not None and not any(type_of(item) in COMPACTIONS for item in case.request.items):
            failover = self.routing.beside(case.turn, case.request.body, model, case.target)
            target, own = failover.next(), (case.target.upstream, case.target.model)
            if target is not None and (target.upstream, target.model) != own and failover.enter(target):
                try:
                    made = await self._summary(case, target, replace(case.options, on_failure="error"))
                except AdapterError as refused:  # its own fault, and not that of who answers the turn
                    failover.failed(refused)
                else:
                    failover.answered()
                    return made
                finally:
                    failover.leave()
        return await self._summary(case, case.target, case.options)

    async def _summary(self, case: Case, target: Target, options: Options) -> Made:
        window = target.upstream.window or self.options.window
        options = replace(options, window=window, model=None)
        asked = replace(case.request, body={**case.request.body, "model": target.model})
        case.turn.lost = case.turn.paid  # for a compaction that came to nothing
        estimated = False

        async def ask(call: Request) -> Answer | AdapterError:
            nonlocal estimated
            try:
                answer, guessed = await self._answer(case.turn, call, target)
            except AdapterError as refused:
                return refused
            estimated |= guessed
            return answer

        work = summarise(asked, options, going_on=case.going_on)
        try:
            call = next(work)
            while True:
                call = work.send(await ask(call))
        except StopIteration as end:
            return Made.ours(end.value, estimated=estimated)

    async def _answer(self, turn: Turn, call: Request, target: Target) -> tuple[Answer, bool]:
        """The whole answer to a call, paid for, and whether its usage is an estimate.

        Raises:
            AdapterError: there is none.
        """
        answering = await self.asking.ask(turn, call, target)
        try:
            (answer,) = await collected(answering)
            await answering.finish()
        finally:
            answering.close()
        if answer.error is not None:
            turn.lose(answer.usage)
            raise answer.error
        turn.pay(answer.usage)
        return answer, any(anomaly.kind == "usage_estimated" for anomaly in answering.anomalies)

    async def _otherwise(self, case: Case, refused: AdapterError) -> Made:
        """An upstream's own compaction that failed. A history too long for it is summarised in pieces: the client has no
        other way to make it shorter, and the next turn is refused for the same reason.

        Raises:
            AdapterError: `refused`, unless `on_failure` says `trim` and all of the history is here; why the summary failed.
        """
        kept_there = _kept_elsewhere(case.request) is not None
        if refused.code in TOO_LONG and not kept_there:
            return await self._summarised(case)
        if kept_there or case.options.on_failure == "error":
            raise refused
        case.turn.lost = case.turn.paid
        return Made.ours(trimmed(case.request, case.options, going_on=case.going_on))

    # --------------------------------------------------------------------------------------------- by the upstream

    async def _by_endpoint(self, case: Case) -> Made | None:
        """None where the upstream answers with a blob that is of no use to this client, or with none that arrives."""
        parts = case.split
        sent = self._endpoint_body(case, _told(case) if case.going_on else case.request.items)
        found = await self._twice(case, sent)
        cost = found.usage
        match found:
            case UpstreamShell():
                if case.target.upstream.compact is not None:
                    raise NoSummary("The upstream's compaction has lost its content.")
                self.lacking.add(case.target)
                return None
            case UpstreamText(text):
                usage = cost or usages.estimated(len(sent), utf8_length(text))
                context = parts.context(text)
                return Made.ours(Compacted(parts, context, text, "summary", usage, cost is None))
            case UpstreamBlob(output):
                if not case.shape.takes_blob or case.target.upstream.dialect != "responses":
                    return None
                output = [item for item in output if voice(item) is not Voice.SUMMARY or type_of(item) in COMPACTIONS]
                kept = parts.retained  # what users said, the upstream has in its own output
                front = [item for item in kept[: parts.cut] if voice(item) is not Voice.USER]
                context = [*front, *output, *kept[parts.cut :]] if case.going_on else output
                usage = cost or usages.estimated(len(sent), utf8_length(str(output)))
                return Made(context=context, output=output, summary=None, usage=usage, estimated=cost is None)

    def _endpoint_body(self, case: Case, items: list[Item]) -> bytes:
        body = {key: case.request.body[key] for key in _TO_ENDPOINT if case.request.body.get(key) is not None}
        asked = replace(case.request, body={"model": case.target.model, "input": items, **body}, carry={})
        written = DIALECTS["responses"].write_request(asked, case.target.profile).body
        sent = ("model", "input", *_TO_ENDPOINT)
        return serialised({key: written[key] for key in sent if written.get(key)})

    async def _twice(self, case: Case, sent: bytes) -> UpstreamText | UpstreamBlob | UpstreamShell:
        """What the endpoint answers; an answer with nothing in it is asked for once more, and costs what it costs."""
        body = await self._endpoint(case, sent)
        try:
            return read_compact_answer(body)
        except UpstreamInvalid:
            found = read_compact_answer(await self._endpoint(case, sent))
            return found._replace(usage=usages.summed((usage_of(body), found.usage)))

    async def _endpoint(self, case: Case, sent: bytes) -> Any:
        """What the endpoint answers, paid for.

        Raises:
            AdapterError: nothing, or what is no answer.
        """
        data = await self.asking.document(case.turn, case.target, COMPACT_PATH, sent)
        try:
            body = loads(data)
        except NotJson:
            raise UpstreamInvalid("The upstream's compaction is not JSON.") from None
        case.turn.pay(usage_of(body))
        _check(body)
        return body

    async def _by_trigger(self, case: Case) -> Made:
        parts = case.split
        body: dict[str, Any] = {"model": case.target.model, "input": [*_told(case), {"type": TRIGGER}]}
        body.update({key: case.request.body[key] for key in _TO_TRIGGER if case.request.body.get(key) is not None})
        asked = replace(case.request, body=body, carry={}, stream=True, include_usage=True)
        cost, estimated = None, False
        for _ in range(2):
            answer, guessed = await self._answer(case.turn, asked, case.target)
            cost, estimated = usages.summed((cost, answer.usage)), estimated or guessed
            blobs = [item for item in answer.output if type_of(item) in COMPACTIONS and item.get("encrypted_content")]
            if blobs:
                break
        else:
            raise NoSummary("The upstream answered a compaction trigger without a compaction.")
        kept, blob = parts.retained, blobs[-1]
        usage = cost or usages.estimated(0, utf8_length(blob["encrypted_content"]))
        context = [*kept[: parts.cut], blob, *kept[parts.cut :]]
        return Made(
            context=context, output=[*kept, blob], summary=None, usage=usage, estimated=estimated or cost is None
        )


def _check(body: Any) -> None:
    """Let an answer of the endpoint pass.

    Raises:
        AdapterError: it is none, whatever of one had been said by then.
    """
    if not isinstance(body, dict):
        return
    if (status := body.get("status")) in FAILURES:
        raise failure(body, status)
    choices = body.get("choices")
    if body.get("error") and not body.get("output") and not choices:
        raise from_error_object(body["error"])
    if not body.get("output") and isinstance(choices, list):
        DIALECTS["chat"].check_reply(body)


def _kept_elsewhere(request: Request) -> str | None:
    """What names a part of the history that is not among the items: a field, or an item that is a reference."""
    named = (key for key in ("previous_response_id", "conversation") if request.body.get(key) is not None)
    referring = (f"input[{at}]" for at, item in enumerate(request.items) if type_of(item) == REFERENCE)
    return next(chain(named, referring), None)


def _told(case: Case) -> list[Item]:
    """What of the history the upstream's own compaction is told: all that it takes, and where the turn goes on at once, only what
    comes before that, without instructions, which stay."""
    parts, unfit = case.split, case.unfit.items
    after = set(parts.kept[parts.cut :]) if case.going_on else set()
    return [
        item
        for index, item in enumerate(parts.items)
        if index not in after and index not in unfit and not (case.going_on and voice(item) is Voice.INSTRUCTION)
    ]


def _unfit(items: Sequence[Item]) -> Unfit:
    calls: set[int] = set()
    found: set[int] = set()
    for unit in units(items):
        if is_orphan(items, unit):
            found.update(unit.indices)
        calls.update(unanswered(items, unit))
        led = not unit.open
        for index in reversed(unit.indices):
            item = items[index]
            answered = answered_name(item)
            if index in calls or answered in unit.waiting or (type_of(item) == "reasoning" and not led):
                found.add(index)
            else:
                led = led or answered is None
    return Unfit(calls, found)
