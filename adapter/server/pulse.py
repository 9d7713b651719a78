"""Looks after a slow answer: commits the status after a while, then a keep-alive after every silence; notices a client that
leaves or does not take what it is sent.

The server remembers that a client left, and most answers are over before anything is due: this is one alarm, and from a
quarter of a second on a task that hears the client leave. What is to be written is a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

from adapter.dialects.base import Frame
from adapter.sections import Server
from adapter.server.tasks import Tasks
from adapter.server.turn import Outcome, Turn
from adapter.server.watch import watch
from adapter.upstream.alarms import Alarm
from adapter.wire.sse import framed

_BEGINS_AFTER: Final = 0.25
"""Seconds; an upstream must be closed within one of its client's leaving."""


class Pulse:
    """Beats for one answer from `start` to `stop`."""

    __slots__ = ("_alarm", "_beating", "_settings", "_started", "_tasks", "_turn", "_watches", "_watching", "ping")

    def __init__(self, turn: Turn, tasks: Tasks, settings: Server, *, watches: bool) -> None:
        """`watches`: whether the client's leaving is noticed here."""
        self._turn = turn
        self._tasks = tasks
        self._settings = settings
        self._watches = watches
        self._started = monotonic()
        self._alarm: Alarm | None = None
        self._watching: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self.ping: Callable[[], list[Frame]] | None = None
        """Makes a data-bearing keep-alive, for the client whose patience comments do not renew."""

    def start(self) -> None:
        """From here on the answer is looked after."""
        settings = self._settings
        first = min(_BEGINS_AFTER, settings.commit_after, settings.keepalive, settings.ping_after)
        self._alarm = self._tasks.alarms.after(first, self._begin)

    def stop(self) -> None:
        """No further beat."""
        if self._alarm is not None:
            self._alarm.cancel()
        for task in (self._watching, self._beating):
            if task is not None:
                task.cancel()

    def _begin(self) -> None:
        if self._watches:
            self._watching = self._tasks.start(watch(self._turn))
        self._look()

    def _look(self) -> None:
        """Does what is due, or looks again when something may be."""
        outlet, settings = self._turn.outlet, self._settings
        if outlet.done:
            return
        now = monotonic()
        if outlet.busy:  # a send waits for the client
            patience = (outlet.writing_since or now) + settings.write_timeout - now
            if patience <= 0:
                self._turn.cut(Outcome.CLIENT_TOO_SLOW)
                return
            again = min(settings.keepalive, patience)
        else:
            held = outlet.has_status and not outlet.committed
            due = self._started + settings.commit_after if held else outlet.last_write + settings.keepalive
            ping = None if held else self.ping
            ping_due = inf if ping is None else outlet.last_data + settings.ping_after
            if now >= min(due, ping_due):
                self._beating = self._tasks.start(self._beat(ping if now >= ping_due else None))
                again = settings.write_timeout
            else:
                again = min(due, ping_due, now + settings.ping_after) - now
        self._alarm = self._tasks.alarms.after(again, self._look)

    async def _beat(self, ping: Callable[[], list[Frame]] | None) -> None:
        outlet = self._turn.outlet
        if ping is not None:
            await outlet.write(b"".join(framed(*frame) for frame in ping()))
        else:
            await outlet.keep_alive()
        assert self._alarm is not None  # it rings where the send waits for the client
        self._alarm.cancel()
        self._look()
