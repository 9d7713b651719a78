"""What all courses stand on: whom to ask and how, what came before, and the two lanes over one upstream.

raw   client and upstream speak alike and nothing has to be put in or taken out: bytes pass
hub   one translated call, or n in parallel
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from adapter.compaction.sealing import KeyRing
from adapter.dialects.raw import RawStream
from adapter.dialects.registry import DIALECTS
from adapter.hub.losses import Loss
from adapter.hub.request import Request
from adapter.server.calls.asking import Asking, clock
from adapter.server.calls.losing import report
from adapter.server.calls.plan import PATHS, Plan, written
from adapter.server.courses.course import Course
from adapter.server.courses.keeping import Keeping
from adapter.server.courses.recall import Recalled, recall
from adapter.server.courses.routing import Routing
from adapter.server.turn import Turn
from adapter.upstream.router import Target


@dataclass(kw_only=True)
class Ground:
    """What `Courses` and `CompactCourses` share."""

    routing: Routing
    asking: Asking
    ring: KeyRing
    keeping: Keeping

    # ------------------------------------------------------------------------------------------------ the two lanes

    def raw(self, turn: Turn, plan: Plan) -> Course:
        """Bytes pass."""
        self.report(turn, plan.losses)
        turn.lane = "raw"

        def observe() -> RawStream:
            return DIALECTS[plan.speaks].raw_stream(plan.exchange, clock=clock)

        if plan.stream:
            turn.outlet.ending = lambda error: observe().fail(error)  # as long as no upstream has answered
        return Course(
            stream=plan.stream,
            exchange=plan.exchange,
            begin=lambda: self.asking.passing(turn, plan, observe if plan.stream else None),
            raw=True,
            verbatim=plan.path == PATHS[plan.speaks],  # at another one, a beta's say, it could not be said otherwise
        )

    def hub(self, turn: Turn, request: Request, target: Target) -> Course:
        """Translated."""
        plan = self.translated(turn, request, target)
        begin = partial(self.asking.answering, turn, plan)
        return Course(stream=plan.stream, exchange=plan.exchange, begin=begin, verbatim=True, calls=plan.calls)

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

    def report(self, turn: Turn, losses: Sequence[Loss]) -> None:
        """Tell the client what of its request the upstream will not hear.

        Raises:
            LossRejected: such a loss is to be refused.
        """
        report(turn, losses, self.asking.settings.losses)

    async def referred(self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...]) -> Recalled:
        """Put in whatever the request only names, without a turn to be kept.

        Raises:
            AdapterError: it names what is not there.
        """
        recalled = await self.recalled(turn, body, found)
        await self.keeping.responses(turn, body, recalled)
        return recalled

    async def recalled(self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...]) -> Recalled:
        """Put the earlier turns that the request only names before its input, unless the upstream keeps them.

        Raises:
            BadRequest: they are not known here, or the input answers a call that is not among them.
        """
        if body.get("previous_response_id") is None:
            return Recalled(found=found)
        recalled = await recall(self.keeping, turn, body, found)
        if recalled.put_in:  # the id that went on was another one with every turn; the opening is not
            recalled = recalled._replace(found=self.routing.ranked(turn, body, found))
        return recalled
