"""Looks after a slow answer: commits the status after a while, then a keep-alive after every silence; notices a client that
leaves or does not take what it is sent.

The server remembers that a client left, and most answers are over before anything is due. So this is one alarm and nothing
else until a quarter of a second has passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Final

from adapter.dialects.base import Frame
from adapter.server.tasks import Tasks
from adapter.server.turn import Outcome, Turn
from adapter.server.watch import watch
from adapter.upstream.alarms import Alarm
from adapter.wire.sse import framed

_BEGINS_AFTER: Final = 0.25
"""Seconds; an upstream must be closed within one of its client's leaving."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """The times of `[server]`, in seconds."""

    commit_after: float = 20
    keepalive: float = 15
    ping_after: float = 60
    write_timeout: float = 60


class Pulse:
    """Beats for one answer from `start` to `stop`."""

    __slots__ = ("_alarm", "_running", "_started", "_tasks", "_tempo", "_turn", "_watches", "ping")

    def __init__(self, turn: Turn, tasks: Tasks, tempo: Tempo, *, watches: bool) -> None:
        """`watches`: whether the client's leaving is noticed here."""
        self._turn = turn
        self._tasks = tasks
        self._tempo = tempo
        self._watches = watches
        self._started = monotonic()
        self._alarm: Alarm | None = None
        self._running: tuple[asyncio.Task[None], ...] = ()
        self.ping: Callable[[], list[Frame]] | None = None
        """Makes a data-bearing keep-alive, for the client whose patience comments do not renew."""

    def start(self) -> None:
        """From here on the answer is looked after."""
        tempo = self._tempo
        first = min(_BEGINS_AFTER, tempo.commit_after, tempo.keepalive, tempo.ping_after)
        self._alarm = self._tasks.alarms.after(first, self._begin)

    def stop(self) -> None:
        """No further beat."""
        if self._alarm is not None:
            self._alarm.cancel()
        for task in self._running:
            task.cancel()

    def _begin(self) -> None:
        self._running = (self._tasks.start(self._beat()),)
        if self._watches:
            self._running += (self._tasks.start(watch(self._turn)),)

    async def _beat(self) -> None:
        outlet, tempo = self._turn.outlet, self._tempo
        while not outlet.ended:
            now = monotonic()
            if outlet.busy:  # a send waits for the client
                blocked_since = outlet.writing_since or now
                if now - blocked_since >= tempo.write_timeout:
                    self._turn.cut(Outcome.CLIENT_TOO_SLOW)
                    return
                await asyncio.sleep(min(tempo.keepalive, blocked_since + tempo.write_timeout - now))
                continue
            held = outlet.has_status and not outlet.committed
            due = self._started + tempo.commit_after if held else outlet.last_write + tempo.keepalive
            ping = self.ping if outlet.committed else None
            ping_due = inf if ping is None else outlet.last_data + tempo.ping_after
            if now < min(due, ping_due):
                await asyncio.sleep(min(due, ping_due, now + tempo.ping_after) - now)
                continue
            if ping is not None and now >= ping_due:
                await outlet.write(b"".join(framed(*frame) for frame in ping()))
            else:
                await outlet.keep_alive()
