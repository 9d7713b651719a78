"""Deadlines that hardly ever ring. A request has half a dozen of them and nearly always ends before the first is due.

A timer of the event loop is made and given up for each; here setting one is a set's `add`, cancelling it a `discard`, and
one timer waits for the first of all (7 % of a plain request less). They ring up to `TICK` late.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from time import monotonic
from typing import Final

TICK: Final = 0.05
"""Seconds."""
_NEVER: Final = sys.maxsize


class Alarm:
    """One deadline."""

    __slots__ = ("_alarms", "_call", "_tick")

    def __init__(self, alarms: Alarms, tick: int, call: Callable[[], None]) -> None:
        self._alarms = alarms
        self._tick = tick
        self._call = call

    def cancel(self) -> None:
        """It will not ring; nothing happens where it has."""
        self._call = _nothing  # or whoever is called and holds the alarm would be left to the garbage collector
        due = self._alarms.due
        if (together := due.get(self._tick)) is not None:
            together.discard(self)
            if not together:
                del due[self._tick]

    def ring(self) -> None:
        """Call what waits for it."""
        call = self._call
        self.cancel()
        call()


def _nothing() -> None:
    pass


class Alarms:
    """All deadlines of one event loop."""

    __slots__ = ("_looks", "_timer", "due")

    def __init__(self) -> None:
        self.due: dict[int, set[Alarm]] = {}
        """What rings in which tick; never an empty set."""
        self._looks = _NEVER
        """The tick that the timer waits for. Whatever rang in it may have been cancelled since: then it is woken once."""
        self._timer: asyncio.TimerHandle | None = None

    def after(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """Call `call` in so many seconds; inside the running loop."""
        tick = int((monotonic() + seconds) / TICK) + 1
        alarm = Alarm(self, tick, call)
        together = self.due.get(tick)
        if together is None:
            self.due[tick] = {alarm}
        else:
            together.add(alarm)
        if tick < self._looks:
            self._wait(tick)
        return alarm

    def _wait(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks = tick
        # a loop may wake half a millisecond early
        self._timer = asyncio.get_running_loop().call_later(tick * TICK - monotonic() + 0.001, self._look)

    def _look(self) -> None:
        self._timer, self._looks = None, _NEVER
        now, loop = int(monotonic() / TICK), asyncio.get_running_loop()
        for tick in sorted([tick for tick in self.due if tick <= now]):
            while together := self.due.get(tick):  # whoever rings may cancel others
                try:
                    next(iter(together)).ring()
                except Exception as error:
                    loop.call_exception_handler({"message": "an alarm's call failed", "exception": error})
        first = min(self.due, default=_NEVER)
        if first < self._looks:
            self._wait(first)
