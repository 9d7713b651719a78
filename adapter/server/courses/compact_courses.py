"""The courses of turns that have to do with compaction or with blobs: histories that are more than they say.

compaction      `/responses/compact`, a `compaction_trigger`: the history made short is the answer
then an answer  a chat-shaped compact call, a `compact_threshold` that is passed: made short, then asked
sealed          an ordinary turn whose reasoning goes out in blobs, or came in them
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from secrets import token_hex
from typing import Any, Final

from adapter.compaction.calls import CompactCall, Shape, read_call, shape
from adapter.compaction.expand import Expanded, expand
from adapter.compaction.keep import worth_compacting
from adapter.compaction.made import Made, Seals
from adapter.compaction.options import REPLIES, Options, Reply
from adapter.compaction.outgoing import SealingSignatures, asks_for_sealed_reasoning, sealing_reasoning, wrapping_blobs
from adapter.compaction.plan import ClientShape, Way
from adapter.compaction.sealing import not_verified
from adapter.compaction.shapes import Facts, compaction_reply, gomodel_reply, response_reply
from adapter.compaction.streams import preceded, triggered
from adapter.compaction.triggers import is_due, is_triggered
from adapter.compaction.updates import update_items
from adapter.dialects.registry import DIALECTS
from adapter.dialects.responses.echo import echo
from adapter.dialects.responses.read_request import compact_threshold
from adapter.errors import InvalidValue
from adapter.hub import usage as usages
from adapter.hub.events import Event, Failed, Finished, ItemClosed, ItemOpened, Started, Usage
from adapter.hub.losses import Action, Anomaly, Loss
from adapter.hub.request import Exchange, Request
from adapter.server.calls.asking import clock
from adapter.server.calls.lanes import Answering
from adapter.server.calls.own import Changed, Document, Said
from adapter.server.calls.plan import passed, serialised
from adapter.server.courses.about import About
from adapter.server.courses.compacting import COMPACT_PATH, UNANSWERED, Case, Compactor
from adapter.server.courses.course import Course, Lane
from adapter.server.courses.going import Going
from adapter.server.courses.ground import Ground
from adapter.server.turn import Turn
from adapter.upstream.router import Target
from adapter.wire.headers import TOKEN_COUNT

_REPLY: Final = b"x-adapter-compact-reply"
_FOREIGN: Final = Loss("input", Action.DROPPED, "reasoning", "The upstream cannot read the reasoning of another one.")
_SIGNED: Final = Loss(
    "input", Action.DROPPED, "extra_content", "The upstream is not given back what another server signed."
)
_UNANSWERED: Final = "The conversation goes on, and no upstream takes a call without an output."
_FRAME: Final[frozenset[type[Event]]] = frozenset({Started, ItemOpened, ItemClosed, Finished, Failed})
_ITEMS: Final[frozenset[type[Event]]] = frozenset({ItemOpened, ItemClosed})
"""The events that may hold blobs."""


class CompactCourses:
    """Decides; holds what that needs."""

    def __init__(self, ground: Ground, options: Options) -> None:
        self._ground = ground
        self._compactor = Compactor(asking=ground.asking, routing=ground.routing, options=options)

    def responses(self, turn: Turn, request: Request, found: tuple[Target, ...], facts: About) -> Course:
        """`/v1/responses`, of a body that is not plain.

        Raises:
            AdapterError: the request cannot be served.
        """
        target, seals = self._expanded(turn, request, found, going_on=not facts.triggered)
        if target.upstream.compacts_in_place:
            return self._hub(turn, request, target, seals)
        limit = compact_threshold(request.body.get("context_management"))
        if limit is not None:
            del request.body["context_management"]
        if facts.triggered:  # whatever the history's length, the compaction is all of the answer
            if self._compactor.way(ClientShape.TRIGGER, target) is not Way.TRIGGER_BLOB:
                request.body["input"] = request.items[:-1]
                return self._triggered(self._case(turn, ClientShape.TRIGGER, request, target), seals)
        elif limit is not None and is_due(request, limit):
            case = self._case(turn, ClientShape.THRESHOLD, request, target)
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
            keep = await self._ground.keeping.chat(turn, body)
            course = self._chat_compact(turn, body, passes=keep is None)
            return course if keep is None else keep.course(course)
        reply = self._reply(turn, body)
        call = read_call(body)
        asked = (
            {"model": body["model"]} if call.provider is None else {"model": body["model"], "provider": call.provider}
        )
        found = self._ground.routing.found(turn, asked, evidence=call.body)
        recalled = await self._ground.referred(turn, call.body, found)
        previous = recalled.previous if recalled.put_in else None
        found = recalled.found
        return self._ground.routing.over(
            turn, found, found, lambda found: self._compact(turn, call, reply, found, previous=previous)
        )

    def _compact(
        self, turn: Turn, call: CompactCall, reply: Reply, found: tuple[Target, ...], *, previous: str | None
    ) -> Course:
        self._ground.report(turn, call.losses)
        request = DIALECTS["responses"].read_request(call.body, turn.client)
        request.previous = previous
        if is_triggered(request.items):
            request.body["input"] = request.items[:-1]
        target, seals = self._expanded(turn, request, found, going_on=False)
        case = self._case(turn, ClientShape(reply), request, target)

        async def begin() -> Lane:
            made = await self._made(case)
            facts = self._facts(case, made, call)
            match reply:
                case "compaction":
                    output = [*made.reply_output(seals, facts.token), *update_items(case.settings, facts.token)]
                    answer = compaction_reply(facts, output)
                case "response":
                    answer = response_reply(facts, made.text)
                case "gomodel":
                    answer = gomodel_reply(facts, made.text)
            return Document(serialised(answer), made.usage)

        turn.lane = "compact"
        return Course(stream=False, exchange=Exchange(request=request), begin=begin)

    def _chat_compact(self, turn: Turn, body: dict[str, Any], *, passes: bool) -> Course:
        found = self._ground.routing.found(turn, body)
        return self._ground.routing.over(
            turn, found, found, lambda found: self._chat_compacted(turn, body, found, passes=passes)
        )

    def _chat_compacted(self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...], *, passes: bool) -> Course:
        target = self._ground.chosen(turn, found[0])
        if passes and self._compactor.way(ClientShape.CHAT, target) is Way.HAND_ON:
            plan = passed(body, "chat", turn.client, target, path=COMPACT_PATH, metered=turn.metered)
            return self._ground.raw(turn, plan)
        request = DIALECTS["chat"].read_request(body, turn.client)
        seals = self._seals(turn, Expanded(request.items), target, wraps=False)
        case = self._case(turn, ClientShape.CHAT, request, target)
        if worth_compacting(case.split, case.options):
            return self._compacted_then_asked(case, seals, Going.on(case, body))
        if target.upstream.dialect == "chat" and passes:
            return self._ground.raw(turn, passed(body, "chat", turn.client, target, metered=turn.metered))
        return self._ground.hub(turn, request, target)

    def _triggered(self, case: Case, seals: Seals) -> Course:
        exchange = Exchange(request=case.request, profile=case.target.profile)

        async def begin() -> Lane:
            made = await self._made(case)
            events = triggered(self._facts(case, made), made.blob(seals), case.settings)
            return Said(events, exchange)

        case.turn.lane = "compact"
        return Course(stream=case.request.stream, exchange=exchange, begin=begin)

    def _compacted_then_asked(self, case: Case, seals: Seals, going: Going) -> Course:
        turn, request, target = case.turn, case.request, case.target
        losses, calls = going.foreseen()
        self._ground.report(turn, losses)

        async def begin() -> Lane:
            made = await self._made(case)
            answering = await self._ground.asking.answering(turn, going.plan(made))
            answering = self._sealed(answering, request, target, seals)
            if case.shape is ClientShape.THRESHOLD:
                return Changed(answering, preceded(made.blob(seals), case.settings, made.usage))
            return Changed(answering, _costing(made.usage))

        turn.lane = "compact"
        exchange = Exchange(request=request, profile=target.profile)
        return Course(stream=request.stream, exchange=exchange, begin=begin, calls=calls)

    async def _made(self, case: Case) -> Made:
        self._ground.report(case.turn, self._compactor.losses(case))
        made = await self._compactor.made(case)
        case.turn.outlet.headers.append((TOKEN_COUNT, b"estimate" if made.estimated else b"usage"))
        if made.estimated:
            case.turn.anomalies = [*case.turn.anomalies, Anomaly("usage_estimated")]
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
            wanted = asked.decode("latin-1").strip().lower()
            for reply in REPLIES:
                if reply == wanted:
                    return reply
            raise InvalidValue(f"{_REPLY.decode()} must be one of {', '.join(REPLIES)}.", param=_REPLY.decode())
        model = body.get("model")
        return self._compactor.options.reply_for(model if isinstance(model, str) else "", turn.caller.key_id)

    def _case(self, turn: Turn, shape: ClientShape, request: Request, target: Target) -> Case:
        return Case.of(turn, shape, request, target, self._compactor.options)

    # --------------------------------------------------------------------------------------------------------- blobs

    def _hub(self, turn: Turn, request: Request, target: Target, seals: Seals) -> Course:
        """Translated, with the blobs that the client is to give back."""
        plan = self._ground.translated(turn, request, target)
        if request.body.get("background") is True and target.upstream.stateful and not plan.stream:
            return self._ground.raw(turn, plan)  # it has only begun, and is fetched from there: nothing to seal

        async def begin() -> Lane:
            return self._sealed(await self._ground.asking.answering(turn, plan), request, target, seals)

        return Course(stream=plan.stream, exchange=plan.exchange, begin=begin, verbatim=True, calls=plan.calls)

    def _sealed(self, answering: Answering, request: Request, target: Target, seals: Seals) -> Answering:
        """With the blobs that the client is to give back."""
        holder = seals.ring, seals.tenant, target.origin
        if target.upstream.dialect == "responses":
            return Changed(answering, wrapping_blobs(*holder), only=_ITEMS) if seals.wraps else answering
        asked = asks_for_sealed_reasoning(request)
        if target.profile.signs and (asked or request.client.codex):
            answering = Changed(answering, SealingSignatures(*holder), only=_FRAME)
        return Changed(answering, sealing_reasoning(*holder), only=_ITEMS) if asked else answering

    def _expanded(
        self, turn: Turn, request: Request, found: tuple[Target, ...], *, going_on: bool
    ) -> tuple[Target, Seals]:
        """The target that can go on with this history, whose items in `request` are from now on what it reads; `going_on` as in
        `keep.split`."""
        native = len(found) == 1 and found[0].upstream.dialect == "responses"
        expanded = expand(request.items, self._ground.ring, turn.caller.tenant, native=native, going_on=going_on)
        maker = _maker(expanded.preferred_origin, found)
        if expanded.origin is not None and maker is None:
            raise not_verified("input")
        if maker is None or (maker.upstream.name in turn.shut and expanded.origin is None):
            maker = found[0]
        target = self._ground.chosen(turn, maker)
        profile = target.profile
        reads_reasoning = target.upstream.dialect == "chat" or profile.reasoning_input
        read = expanded.for_upstream(target.upstream.name, reads_reasoning=reads_reasoning, takes_extra=profile.signs)
        request.losses += [
            Loss(f"input[{place}]", Action.DROPPED, UNANSWERED, _UNANSWERED) for place in expanded.unanswered
        ]
        if expanded.signed and not profile.signs:
            request.losses.append(_SIGNED)
        if read is not expanded.items and target.upstream.dialect == "responses":  # Chat has no place for blobs anyway
            request.losses.append(_FOREIGN)
        request.body["input"] = read
        wraps = target.upstream.has_keys or self._ground.routing.shared(turn, target)
        return target, self._seals(turn, expanded, target, wraps=wraps)

    def _seals(self, turn: Turn, expanded: Expanded, target: Target, *, wraps: bool) -> Seals:
        return Seals(
            ring=self._ground.ring,
            tenant=turn.caller.tenant,
            expanded=expanded,
            origin=target.origin,
            wraps=wraps,
        )


def _maker(origin: str | None, found: tuple[Target, ...]) -> Target | None:
    """Of these the one that made a blob, with the key that it was made with: another one may be another account's."""
    for one in found if origin is not None else ():
        if (key := one.upstream.key_at(origin or "")) is not None:
            return one if key == one.key else replace(one, key=key)
    return None


def _costing(cost: dict[str, Any]) -> Callable[[Event], list[Event]]:
    """For an answer to a shortened conversation: its usage includes what the shortening cost."""

    def changed(event: Event) -> list[Event]:
        return [Usage(usages.added(event.usage, cost))] if type(event) is Usage else [event]

    return changed
