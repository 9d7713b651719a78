"""The way of one turn over the upstreams that may serve it, until one of them has answered.

A course is decided for one target: its dialect, its profile, what of the history it can read. So failing over is deciding
again, from the same body, with another target in front; nothing of what the first decision noted for the client stays. A
server that may have refused because it does not know all that clients say is asked again in simpler words, before anyone else is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from adapter.errors import AdapterError, BadRequest
from adapter.hub.losses import Loss
from adapter.hub.request import Exchange
from adapter.server.courses.remedy import may_mean_form, remedy
from adapter.server.turn import Turn
from adapter.telemetry.log import log
from adapter.upstream.failover import Failover
from adapter.upstream.health import Health
from adapter.upstream.profiles import without
from adapter.upstream.router import Target
from adapter.upstream.wordings import Meaning
from adapter.wire.headers import OURS, RawHeaders

if TYPE_CHECKING:
    from adapter.server.courses.course import Course, Lane

Over: TypeAlias = "Callable[[tuple[Target, ...]], Course]"
"""The course of one turn over the first of these targets."""


class Way:
    """One turn's way to its answer."""

    __slots__ = ("_begin", "_decide", "_exchange", "_failover", "_first_words", "_found", "_health", "_losses", "_turn")

    _begin: Callable[[], Awaitable[Lane]]
    _exchange: Exchange | None
    """Of the course that was decided last, if that asks for nothing else."""
    _first_words: FirstWords | None
    """Where the chosen target is asked in simpler words."""

    def __init__(self, turn: Turn, found: tuple[Target, ...], failover: Failover, decide: Over, health: Health) -> None:
        self._turn = turn
        self._health = health
        self._found = found
        self._failover = failover
        self._decide = decide
        self._losses = turn.losses
        self._first_words = None

    def first(self) -> Course:
        """The course over the best target, which goes on over the next one where that fails before it has answered.

        Raises:
            AdapterError: as `_decided`.
        """
        course = self._decided()
        self._begin, course.begin = course.begin, self._begun
        return course

    def _decided(self) -> Course:
        """The course over the next target that can be asked and can carry what is asked; its place there is taken.

        Raises:
            AdapterError: there is none: why the last one failed, until when those rest that could carry it, or why the first
                one cannot.
        """
        failover, turn = self._failover, self._turn
        refused: AdapterError | None = None
        try:
            while (target := failover.next()) is not None:
                try:
                    course = self._course(target)
                except AdapterError as error:
                    refused = refused or error
                    failover.skip(target)
                    continue
                chosen = self._chosen
                if chosen.upstream.name in turn.shut and chosen != target:  # the history can be read nowhere else
                    failover.skip(target)
                    continue
                if failover.enter(chosen, course.calls):
                    return course
                turn.shut.add(chosen.upstream.name)
            if (asked := failover.asked) is not None:  # others were only looked at
                turn.target, turn.model, turn.upstream = asked, asked.model, asked.upstream.name
                raise failover.error()
            if refused is None or any(map(self._carries, failover.passed_over)):
                raise failover.error()
            raise refused
        finally:
            del refused  # its traceback holds this frame, and with it the body

    def _course(self, target: Target) -> Course:
        """The course over this target, or over the one to which the history goes.

        Raises:
            AdapterError: it cannot be carried there.
        """
        turn, found = self._turn, self._found
        turn.target = target
        if turn.losses is not self._losses:  # noted for another target
            turn.outlet.headers[:] = [field for field in turn.outlet.headers if not field[0].startswith(OURS)]
        turn.losses = self._losses.copy()
        if target is not found[0] or len(found) > 1:
            found = (target, *(each for each in found if each.upstream.name != target.upstream.name))
        course = self._decide(found)
        self._exchange = course.exchange if course.verbatim else None
        return course

    def _carries(self, target: Target) -> bool:
        try:
            self._course(target)
        except AdapterError:
            return False
        return True

    @property
    def _chosen(self) -> Target:
        """Whom the turn was decided for."""
        assert self._turn.target is not None
        return self._turn.target

    async def _begun(self) -> Lane:
        """The answer, begun.

        Raises:
            AdapterError: nobody answered.
        """
        failover = self._failover
        failover.begun = True
        begin = self._begin
        while True:
            try:
                lane = await begin()
                break
            except AdapterError as error:
                course = self._reworded(error)
                if course is None:
                    self._failed(error)
            if course is None:  # outside, where nobody holds the error any more
                course = self._decided()
                if failover.pause:
                    await asyncio.sleep(failover.pause)
            begin = course.begun
        if self._first_words is not None:
            self._learn()
        failover.answered()
        del self._begin, self._decide, self._exchange, self._first_words  # there is no other target any more
        return lane

    def _failed(self, error: AdapterError) -> None:
        """The chosen target did not answer."""
        turn, first = self._turn, self._first_words
        self._first_words = None
        if first is not None:
            if error.code == Meaning.CONTEXT.value:  # it has read them all the same
                self._learn()
            else:
                self._health.rewordings.spend()
            if isinstance(error, BadRequest) or may_mean_form(error):  # so the words were not why
                error = first.told_again(turn)
        self._failover.failed(error)
        turn.shut.add(self._chosen.upstream.name)
        turn.lost = turn.paid

    def _learn(self) -> None:
        """The chosen target has taken simpler words."""
        target = self._chosen
        self._health.learn(target, self._turn.caller.tenant)
        kinds = target.profile.responses_unknown
        log.warning("kinds_unknown", upstream=target.upstream.name, model=target.model, kinds=kinds)

    def _reworded(self, refused: AdapterError) -> Course | None:
        """The course over the target that refused, in words that it may know; None where there are none, or the words are not why."""
        target, exchange, turn = self._chosen, self._exchange, self._turn
        upstream = target.upstream
        if exchange is None or upstream.dialect != "responses":
            return None
        unknown = remedy(refused, exchange.request, target.profile)
        if not unknown:
            return None
        before = FirstWords(refused.with_traceback(None), turn.losses, [*turn.outlet.headers], turn.lane)
        try:
            course = self._course(replace(target, learnt=without(target.profile, unknown)))
        except AdapterError:
            course = None
        if course is None or not self._failover.reword(refused):
            before.told_again(turn)
            return None
        self._first_words = self._first_words or before
        return course


class FirstWords(NamedTuple):
    """What came of a turn in the client's own words."""

    refused: AdapterError
    losses: list[Loss]
    headers: RawHeaders
    lane: str

    def told_again(self, turn: Turn) -> AdapterError:
        """The refusal, with what was noted for its client then."""
        turn.losses, turn.outlet.headers[:], turn.lane = self.losses, self.headers, self.lane
        return self.refused
