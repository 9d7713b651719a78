"""The course of one turn: what is asked of whom until the answer begins, decided from the body.

    raw             client and upstream speak alike and nothing has to be put in or taken out: bytes pass
    hub             one translated call, or n in parallel
    compactions     `/responses/compact`, triggers, thresholds, blobs: `server.compactions`

A course is begun by the pipeline, which has started the clock of the held status by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from adapter.compaction.options import Options
from adapter.compaction.sealing import KeyRing
from adapter.dialects.base import RawStream
from adapter.dialects.registry import DIALECTS
from adapter.hub.losses import Loss
from adapter.hub.request import Exchange, Request
from adapter.server.about import about
from adapter.server.asking import Asking, clock
from adapter.server.history import History
from adapter.server.keeping import Keep, Keeping, KeepsNothing
from adapter.server.lanes import Answering, RawStreaming, RawWhole
from adapter.server.losing import report
from adapter.server.own import Document, Written
from adapter.server.plan import Plan, passed, written
from adapter.server.recall import Recalled, recall
from adapter.server.routing import Routing
from adapter.server.turn import Turn
from adapter.upstream.router import Router, Target

if TYPE_CHECKING:
    from adapter.server.compactions import Compactions

Lane: TypeAlias = Answering | RawStreaming | Written | RawWhole | Document


@dataclass(slots=True, kw_only=True)
class Course:
    """A turn, decided; not begun."""

    stream: bool
    exchange: Exchange
    """What a failure before the answer is written by."""
    begin: Callable[[], Awaitable[Lane]]
    raw: bool = False


@dataclass(kw_only=True)
class Courses:
    """Decides; holds what that needs."""

    routing: Routing
    asking: Asking
    compaction: Options
    ring: KeyRing
    history: History
    keeping: Keeping = field(default_factory=KeepsNothing)

    @property
    def router(self) -> Router:
        """All that are configured."""
        return self.routing.router

    @cached_property
    def compactions(self) -> Compactions:
        """Those of histories that are more than they say; imported for the first of them, 3 % of a start otherwise."""
        from adapter.server.compactions import Compactions

        return Compactions(self)

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
        target = self.chosen(turn, found[0])
        if passes and target.upstream.dialect == "chat":
            return self.raw(turn, passed(body, "chat", turn.client, target))
        return self.hub(turn, DIALECTS["chat"].read_request(body, turn.client), target)

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
        recalled = await self.recalled(turn, body, self.routing.found(turn, body))
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
                target = self.chosen(turn, found[0])
                return self.raw(turn, passed(body, "responses", turn.client, target))
        request = DIALECTS["responses"].read_request(body, turn.client)
        request.previous = previous
        if facts.plain:
            return self.hub(turn, request, self.chosen(turn, found[0]))
        return self.compactions.responses(turn, request, found, facts)

    async def compact(self, turn: Turn, body: dict[str, Any]) -> Course:
        """`/v1/responses/compact`, in either shape.

        Raises:
            AdapterError: the request cannot be served.
        """
        return await self.compactions.compact(turn, body)

    # ------------------------------------------------------------------------------------------------ the two lanes

    def raw(self, turn: Turn, plan: Plan) -> Course:
        """Bytes pass."""
        self.report(turn, plan.losses)
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

    def hub(self, turn: Turn, request: Request, target: Target) -> Course:
        """Translated."""
        plan = self.translated(turn, request, target)
        return Course(stream=plan.stream, exchange=plan.exchange, begin=partial(self.asking.answering, turn, plan))

    def translated(self, turn: Turn, request: Request, target: Target) -> Plan:
        """What the target is asked on the hub's lane.

        Raises:
            AdapterError: it cannot be.
        """
        plan = written(request, target)
        self.report(turn, plan.losses)
        turn.lane = "hub"
        return plan

    # ---------------------------------------------------------------------------------------------- what comes before

    def chosen(self, turn: Turn, target: Target) -> Target:
        """`target`, which is to answer."""
        turn.target, turn.model, turn.upstream = target, target.model, target.upstream.name
        return target

    def report(self, turn: Turn, losses: list[Loss]) -> None:
        """Tell the client what of its request the upstream will not hear.

        Raises:
            UnsupportedParameter: such a loss is to be refused.
        """
        report(turn, losses, self.asking.settings.losses)

    async def referred(self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...]) -> Target:
        """Put in whatever the request only names, without a turn to follow; who would answer it.

        Raises:
            AdapterError: it names what is not there.
        """
        recalled = await self.recalled(turn, body, found)
        await self.keeping.responses(turn, body, recalled)
        return recalled.found[0]

    async def recalled(self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...]) -> Recalled:
        """Put the earlier turns that the request only names before its input, unless the upstream keeps them.

        Raises:
            BadRequest: they are not known here, or the input answers a call that is not among them.
        """
        if body.get("previous_response_id") is None:
            return Recalled(found=found)
        return await recall(self.history, self.keeping.kept_by, turn, body, found)
