"""An answer that is stored before its end is told: the commit is what the terminal event, or the plain reply, acknowledges.

Where storing fails the answer is delivered all the same, and its end says that it was not stored.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

from adapter.errors import Abandoned, AdapterError
from adapter.hub.events import Event, Failed, Finished
from adapter.hub.fold import Answer, Fold
from adapter.hub.losses import Anomaly
from adapter.hub.request import Exchange
from adapter.server.calls.lanes import Answering, Batch, RawStreaming, RawWhole
from adapter.server.calls.own import Document, Written
from adapter.server.courses.course import Lane
from adapter.server.turn import Turn

_FAILED_HEADER: Final = (b"x-adapter-store", b"failed")


def known(lane: Lane) -> Answering:
    """The answer that is to be stored: none that only passes, or is told elsewhere."""
    if isinstance(lane, RawStreaming | RawWhole | Written | Document):
        raise AssertionError("an answer that is to be stored has to be known")
    return lane


class Saver(Protocol):
    """Knows how one turn is stored."""

    turn: Turn

    def mine(self, event: Event) -> Event:
        """The event as the client gets it: under our id, with what we know."""

    async def save(self, answers: Sequence[Answer], exchange: Exchange) -> bool:
        """Store the whole answers; false if they are not wanted any more.

        Raises:
            AdapterError: it could not be done.
        """

    async def abandon(self, answer: Answer, exchange: Exchange) -> None:
        """Store an answer that broke off on this side."""


class Kept:
    """Passes an answer on and stores it in time."""

    def __init__(
        self, answering: Answering, saver: Saver, start: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        """`start` runs what must be done although the turn is over."""
        self._answering = answering
        self._saver = saver
        self._start = start
        self._folds = [Fold() for _ in range(answering.choices)]
        self._open = answering.choices
        self._last: tuple[int, Finished | Failed] | None = None
        """The end, once all else was given and as long as it is not."""
        self.headers: Mapping[str, str] = answering.headers
        self.exchange = answering.exchange
        self.ended = False

    @property
    def choices(self) -> int:
        return self._answering.choices

    @property
    def anomalies(self) -> list[Anomaly]:
        return self._answering.anomalies

    async def pass_on(self, write: Callable[[list[Event]], None], ready: Callable[[], bool]) -> None:
        await self._answering.pass_on(lambda events: write(self._noted(events, 0)), ready)

    def _noted(self, given: list[Event], choice: int) -> list[Event]:
        mine, feed = self._saver.mine, self._folds[choice].feed
        events = [mine(event) for event in given]
        for event in events:
            feed(event)
        return events

    async def batch(self) -> Batch:
        if self._last is None:
            choice, given = await self._answering.batch()
            events = self._noted(given, choice)
            last = events[-1]
            if not isinstance(last, (Finished, Failed)):
                return choice, events
            self._open = 0 if isinstance(last, Failed) else self._open - 1
            if self._open:
                return choice, events
            self._last = choice, last
            if len(events) > 1:  # the client need not wait for the store to read the text
                return choice, events[:-1]
        choice, last = self._last
        await self._save(last)
        self.ended, self._last = True, None
        return choice, [last]

    async def _save(self, last: Finished | Failed) -> None:
        turn = self._saver.turn
        try:
            stored = await self._saver.save([fold.answer for fold in self._folds], self.exchange)
            turn.stored = "kept" if stored else "refused"
        except AdapterError:
            stored, turn.stored = False, "failed"
        if not stored:
            last.extra = {**last.extra, "store": False}
            turn.outlet.headers.append(_FAILED_HEADER)

    def fail(self, error: AdapterError) -> Batch:
        """As `Answering.fail`. What is complete is told before it is stored, and so not as stored."""
        if self._last is None:
            choice, given = self._answering.fail(error)
            events = self._noted(given, choice)
        else:
            choice, events = self._last[0], [self._last[1]]
        if events and type(last := events[-1]) is Finished:
            last.extra = {**last.extra, "store": False}
        return choice, events

    async def finish(self) -> None:
        await self._answering.finish()

    def close(self) -> None:
        self._answering.close()
        if not self.ended:
            self.ended = True
            self._start(self._abandon())

    async def _abandon(self) -> None:
        """Whoever is still there has been told how it ends."""
        self.fail(self._saver.turn.cut_with or Abandoned("The client left."))
        await self._saver.abandon(self._folds[0].answer, self.exchange)
