"""The course of one turn: what is asked of whom until the answer begins, decided from the body.

    raw             client and upstream speak alike and nothing has to be put in or taken out: bytes pass
    hub             one translated call, or n in parallel
    compaction      `/responses/compact`, a `compaction_trigger`: the history made short is the answer
    then an answer  a chat-shaped compact call, a `compact_threshold` that is passed: made short, then asked

A course is begun by the pipeline, which has started the clock of the held status by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from secrets import token_hex
from typing import Any, Final, TypeAlias

from adapter.compaction.calls import CompactCall, Shape, read_call, shape
from adapter.compaction.expand import Expanded, expand
from adapter.compaction.keep import worth_compacting
from adapter.compaction.made import Made, Seals
from adapter.compaction.options import Reply
from adapter.compaction.outgoing import asks_for_sealed_reasoning, sealing_reasoning, wrapping_blobs
from adapter.compaction.plan import ClientShape, Way
from adapter.compaction.sealing import KeyRing, not_verified
from adapter.compaction.shapes import Facts, compaction_reply, gomodel_reply, response_reply
from adapter.compaction.streams import preceded, triggered
from adapter.compaction.triggers import is_due, is_triggered, threshold
from adapter.dialects.base import RawStream
from adapter.dialects.registry import DIALECTS
from adapter.dialects.responses.echo import echo
from adapter.errors import InvalidValue
from adapter.hub import usage as usages
from adapter.hub.events import Event, ItemClosed, ItemOpened, Usage
from adapter.hub.losses import Anomaly, Loss
from adapter.hub.request import Exchange, Request
from adapter.server.about import about
from adapter.server.asking import Asking, clock
from adapter.server.compacting import COMPACT_PATH, Case, Compactor
from adapter.server.going import Going
from adapter.server.history import History
from adapter.server.keeping import Keep, Keeping, KeepsNothing
from adapter.server.lanes import Answering, RawStreaming, RawWhole
from adapter.server.losing import report
from adapter.server.own import Changed, Document, Said, Written
from adapter.server.plan import Plan, passed, serialised, written
from adapter.server.recall import Recalled, recall
from adapter.server.routing import Routing
from adapter.server.turn import Turn
from adapter.upstream.router import Router, Target

Lane: TypeAlias = Answering | RawStreaming | Written | RawWhole | Document
_REPLY: Final = b"x-adapter-compact-reply"
_COUNTED: Final = b"x-adapter-token-count"
_ITEMS: Final[frozenset[type[Event]]] = frozenset({ItemOpened, ItemClosed})
"""The events that may hold blobs."""


@dataclass(slots=True, kw_only=True)
class Course:
    """A turn, decided; not begun."""

    stream: bool
    exchange: Exchange
    """What a failure before the answer is written by."""
    begin: Callable[[], Awaitable[Lane]]
    raw: bool = False


@dataclass(slots=True, kw_only=True)
class Courses:
    """Decides; holds what that needs."""

    routing: Routing
    asking: Asking
    compactor: Compactor
    ring: KeyRing
    history: History
    keeping: Keeping = field(default_factory=KeepsNothing)

    @property
    def router(self) -> Router:
        """All that are configured."""
        return self.routing.router

    async def chat(self, turn: Turn, body: dict[str, Any]) -> Course:
        """`/v1/chat/completions`.

        Raises:
            AdapterError: the request cannot be served.
        """
        keep = self.keeping.chat(turn, body)
        found = self.routing.found(turn, body)
        course = self.routing.over(turn, found, found, lambda found: self._chat(turn, body, found, passes=keep is None))
        return course if keep is None else keep.course(course)

    def _chat(self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...], *, passes: bool) -> Course:
        target = self._chosen(turn, found[0])
        if passes and target.upstream.dialect == "chat":
            return self._raw(turn, passed(body, "chat", turn.client, target))
        return self._hub(turn, DIALECTS["chat"].read_request(body, turn.client), target)

    async def responses(self, turn: Turn, body: dict[str, Any]) -> Course:
        """`/v1/responses`.

        Raises:
            AdapterError: the request cannot be served.
        """
        keep, course = await self.decided(turn, body)
        return course if keep is None else keep.course(course)

    async def decided(self, turn: Turn, body: dict[str, Any]) -> tuple[Keep | None, Course]:
        """As `responses`: what is to be kept of the turn, and its course without that.

        Raises:
            AdapterError: the request cannot be served.
        """
        recalled = await self._recalled(turn, body, self.routing.found(turn, body))
        keep = await self.keeping.responses(turn, body, recalled)
        passes = not recalled.put_in and (keep is None or keep.passes)
        previous = recalled.previous if recalled.put_in else None
        found = recalled.found
        # what one kind of upstream is to keep cannot be asked of the other kind
        pool = found
        if keep is not None:
            pool = tuple(one for one in found if one.upstream.stateful == found[0].upstream.stateful)
        return keep, self.routing.over(
            turn, found, pool, lambda found: self._responses(turn, body, found, passes=passes, previous=previous)
        )

    def _responses(
        self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...], *, passes: bool, previous: str | None
    ) -> Course:
        facts = about(body)
        if passes and not facts.ours and found[0].upstream.dialect == "responses":
            in_place = found[0].upstream.compacts_in_place or not facts.compacts
            if in_place and not (len(found) > 1 and facts.blobs):
                target = self._chosen(turn, found[0])
                return self._raw(turn, passed(body, "responses", turn.client, target))
        request = DIALECTS["responses"].read_request(body, turn.client)
        request.previous = previous
        if facts.plain:
            return self._hub(turn, request, self._chosen(turn, found[0]))
        target, seals = self._expanded(turn, request, found)
        upstream = target.upstream
        takes_trigger = facts.triggered and self.compactor.way(ClientShape.TRIGGER, upstream) is Way.TRIGGER_BLOB
        if facts.triggered and not takes_trigger and not upstream.compacts_in_place:
            request.body["input"] = request.items[:-1]
            case = self._case(turn, ClientShape.TRIGGER, request, seals, target)
            return self._triggered(case, seals)
        if not upstream.compacts_in_place and (limit := threshold(request.body)) is not None:
            del request.body["context_management"]
            if is_due(request, limit):
                case = self._case(turn, ClientShape.THRESHOLD, request, seals, target)
                case = replace(case, options=case.options.within(limit))
                if case.split.rest:
                    return self._compacted_then_asked(case, seals, Going.on(case))
        return self._hub(turn, request, target, seals)

    async def compact(self, turn: Turn, body: dict[str, Any]) -> Course:
        """`/v1/responses/compact`, in either shape.

        Raises:
            AdapterError: the request cannot be served.
        """
        if shape(body) is Shape.CHAT:
            turn.dialect = "chat"
            return self._chat_compact(turn, body)
        reply = self._reply(turn, body)
        call = read_call(body)
        asked = (
            {"model": body["model"]} if call.provider is None else {"model": body["model"], "provider": call.provider}
        )
        found = self.routing.found(turn, asked, evidence=call.body)
        found = (await self._recalled(turn, call.body, found)).found
        return self.routing.over(turn, found, found, lambda found: self._compact(turn, call, reply, found))

    def _compact(self, turn: Turn, call: CompactCall, reply: Reply, found: tuple[Target, ...]) -> Course:
        request = DIALECTS["responses"].read_request(call.body, turn.client)
        if is_triggered(request.items):
            request.body["input"] = request.items[:-1]
        target, seals = self._expanded(turn, request, found)
        case = self._case(turn, _SHAPES[reply, turn.client.codex], request, seals, target)

        async def begin() -> Lane:
            made = await self._made(case)
            facts = self._facts(case, made, call)
            match reply:
                case Reply.COMPACTION:
                    answer = compaction_reply(facts, made.reply_output(seals, facts.token))
                case Reply.RESPONSE:
                    answer = response_reply(facts, made.text)
                case Reply.GOMODEL:
                    answer = gomodel_reply(facts, made.text)
            return Document(serialised(answer), made.usage)

        turn.lane = "compact"
        return Course(stream=False, exchange=Exchange(request=request), begin=begin)

    # ------------------------------------------------------------------------------------------------ the two lanes

    def _raw(self, turn: Turn, plan: Plan) -> Course:
        self._report(turn, plan.losses)
        turn.lane = "raw"

        def observe() -> RawStream:
            observer = DIALECTS[plan.speaks].raw_stream(plan.exchange, clock=clock)
            turn.ending = observer.fail
            return observer

        if plan.stream:
            turn.ending = lambda error: observe().fail(error)  # as long as the upstream has said nothing
        return Course(
            stream=plan.stream,
            exchange=plan.exchange,
            begin=lambda: self.asking.passing(turn, plan, observe if plan.stream else None),
            raw=True,
        )

    def _hub(self, turn: Turn, request: Request, target: Target, seals: Seals | None = None) -> Course:
        plan = written(request, target)
        self._report(turn, plan.losses)
        turn.lane = "hub"

        begin: Callable[[], Awaitable[Lane]]
        if seals is None:
            begin = partial(self.asking.answering, turn, plan)
        else:

            async def begin() -> Lane:
                return self._sealed(await self.asking.answering(turn, plan), request, target, seals)

        return Course(stream=plan.stream, exchange=plan.exchange, begin=begin)

    def _sealed(self, answering: Answering, request: Request, target: Target, seals: Seals) -> Answering:
        """With the blobs that the client is to give back."""
        origin = target.upstream.name
        if target.upstream.dialect == "responses":
            if not seals.wraps:
                return answering
            change = wrapping_blobs(seals.ring, seals.tenant, origin)
        elif asks_for_sealed_reasoning(request):
            change = sealing_reasoning(seals.ring, seals.tenant, origin)
        else:
            return answering
        return Changed(answering, lambda event: [change(event)], only=_ITEMS)

    # -------------------------------------------------------------------------------------------------- compactions

    def _chat_compact(self, turn: Turn, body: dict[str, Any]) -> Course:
        found = self.routing.found(turn, body)
        return self.routing.over(turn, found, found, lambda found: self._chat_compacted(turn, body, found))

    def _chat_compacted(self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...]) -> Course:
        target = self._chosen(turn, found[0])
        if self.compactor.way(ClientShape.CHAT, target.upstream) is Way.HAND_ON:
            return self._raw(turn, passed(body, "chat", turn.client, target, path=COMPACT_PATH))
        request = DIALECTS["chat"].read_request(body, turn.client)
        seals = self._seals(turn, Expanded(request.items), target, wraps=False)
        case = self._case(turn, ClientShape.CHAT, request, seals, target)
        if worth_compacting(case.split, case.options):
            return self._compacted_then_asked(case, seals, Going.on(case, body))
        if target.upstream.dialect == "chat":
            return self._raw(turn, passed(body, "chat", turn.client, target))
        return self._hub(turn, request, target)

    def _triggered(self, case: Case, seals: Seals) -> Course:
        exchange = Exchange(request=case.request, profile=case.target.upstream.profile)

        async def begin() -> Lane:
            made = await self._made(case)
            events = triggered(self._facts(case, made), made.blob(seals))
            return Said(events, exchange, [Anomaly("usage_estimated")] if made.estimated else [])

        case.turn.lane = "compact"
        return Course(stream=case.request.stream, exchange=exchange, begin=begin)

    def _compacted_then_asked(self, case: Case, seals: Seals, going: Going) -> Course:
        turn, request, target = case.turn, case.request, case.target
        self._report(turn, going.losses())

        async def begin() -> Lane:
            made = await self._made(case)
            answering = await self.asking.answering(turn, going.plan(made))
            answering = self._sealed(answering, request, target, seals)
            if case.shape is ClientShape.THRESHOLD:
                return Changed(answering, preceded(made.blob(seals), made.usage))
            return Changed(answering, _costing(made.usage))

        turn.lane = "compact"
        exchange = Exchange(request=request, profile=target.upstream.profile)
        return Course(stream=request.stream, exchange=exchange, begin=begin)

    async def _made(self, case: Case) -> Made:
        self._report(case.turn, self.compactor.losses(case))
        made = await self.compactor.made(case)
        case.turn.outlet.headers.append((_COUNTED, b"estimate" if made.estimated else b"usage"))
        return made

    def _facts(self, case: Case, made: Made, call: CompactCall | None = None) -> Facts:
        return Facts(
            token=token_hex(16),
            model=case.target.model,
            created_at=clock(),
            usage=made.usage,
            provider=case.target.upstream.name,
            metadata=None if call is None else call.metadata,
            echo={} if call is None else echo(case.request, {}),
        )

    def _reply(self, turn: Turn, body: dict[str, Any]) -> Reply:
        """Which shape a Responses-shaped compact call is answered in."""
        asked = turn.headers.get(_REPLY)
        if asked is not None:
            try:
                return Reply(asked.decode("latin-1").strip().lower())
            except ValueError:
                allowed = ", ".join(reply.value for reply in Reply)
                raise InvalidValue(f"{_REPLY.decode()} must be one of {allowed}.", param=_REPLY.decode()) from None
        model = body.get("model")
        return self.compactor.options.reply_for(model if isinstance(model, str) else "", turn.caller.key_id)

    def _case(self, turn: Turn, shape: ClientShape, request: Request, seals: Seals, target: Target) -> Case:
        options = self.compactor.options
        return Case(turn=turn, shape=shape, request=request, expanded=seals.expanded, target=target, options=options)

    # ---------------------------------------------------------------------------------------------- what comes before

    def _chosen(self, turn: Turn, target: Target) -> Target:
        turn.target, turn.model, turn.upstream = target, target.model, target.upstream.name
        return target

    def _expanded(self, turn: Turn, request: Request, found: tuple[Target, ...]) -> tuple[Target, Seals]:
        """The target that can go on with this history, whose items in `request` are from now on what it reads."""
        native = len(found) == 1 and found[0].upstream.dialect == "responses"
        expanded = expand(request.items, self.ring, turn.caller.tenant, native=native)
        by_name = {one.upstream.name: one for one in reversed(found)}
        if expanded.origin is not None and expanded.origin not in by_name:
            raise not_verified("input")
        origin = expanded.preferred_origin
        if origin in turn.shut and expanded.origin is None:
            origin = None
        target = self._chosen(turn, by_name.get(origin or "", found[0]))
        profile = target.upstream.profile
        reads_reasoning = target.upstream.dialect == "chat" or profile.reasoning_input
        request.body["input"] = expanded.for_upstream(target.upstream.name, reads_reasoning=reads_reasoning)
        return target, self._seals(turn, expanded, target, wraps=len(found) > 1)

    def _seals(self, turn: Turn, expanded: Expanded, target: Target, *, wraps: bool) -> Seals:
        return Seals(
            ring=self.ring, tenant=turn.caller.tenant, expanded=expanded, upstream=target.upstream.name, wraps=wraps
        )

    async def referred(self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...]) -> Target:
        """Put in whatever the request only names, without a turn to follow; who would answer it.

        Raises:
            AdapterError: it names what is not there.
        """
        recalled = await self._recalled(turn, body, found)
        await self.keeping.responses(turn, body, recalled)
        return recalled.found[0]

    async def recalled(self, turn: Turn, body: dict[str, Any], target: Target) -> bool:
        """Put the earlier turns that the request only names before its input, unless the upstream keeps them.

        Raises:
            BadRequest: they are not known here, or the input answers a call that is not among them.
        """
        return (await self._recalled(turn, body, (target,))).put_in

    async def _recalled(self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...]) -> Recalled:
        if body.get("previous_response_id") is None:
            return Recalled(found=found)
        return await recall(self.history, self.keeping.kept_by, turn, body, found)

    def _report(self, turn: Turn, losses: list[Loss]) -> None:
        report(turn, losses, self.asking.settings.losses)


_SHAPES: Final = {
    (Reply.COMPACTION, False): ClientShape.COMPACTION,
    (Reply.COMPACTION, True): ClientShape.CODEX_OLD,
    (Reply.RESPONSE, False): ClientShape.RESPONSE,
    (Reply.RESPONSE, True): ClientShape.RESPONSE,
    (Reply.GOMODEL, False): ClientShape.GOMODEL,
    (Reply.GOMODEL, True): ClientShape.GOMODEL,
}


def _costing(cost: dict[str, Any]) -> Callable[[Event], list[Event]]:
    """For an answer to a shortened conversation: its usage includes what the shortening cost."""

    def changed(event: Event) -> list[Event]:
        return [Usage(usages.added(event.usage, cost))] if type(event) is Usage else [event]

    return changed
