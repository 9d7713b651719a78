"""Keeps a slow answer alive: commits the status after a while, then a keep-alive after every silence.

Most answers are over before the first beat is due, so that beat is one timer and nothing else; the task that beats is
started by it. A client that does not take what it is sent is noticed here too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from adapter.dialects.base import Frame
from adapter.server.outlet import Outlet
from adapter.server.tasks import Tasks
from adapter.upstream.alarms import Alarm
from adapter.wire.sse import framed


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """The times of `[server]`, in seconds."""

    commit_after: float = 20
    keepalive: float = 15
    ping_after: float = 60
    write_timeout: float = 60


class Pulse:
    """Beats for one answer from `start` to `stop`."""

    __slots__ = ("_alarm", "_loop", "_outlet", "_started", "_task", "_tasks", "_tempo", "_too_slow", "ping")

    def __init__(self, outlet: Outlet, tasks: Tasks, tempo: Tempo, too_slow: Callable[[], None]) -> None:
        """`too_slow` is called when the client leaves unread what it was sent."""
        self._loop = asyncio.get_running_loop()
        self._outlet = outlet
        self._tasks = tasks
        self._tempo = tempo
        self._too_slow = too_slow
        self._started = self._loop.time()
        self._alarm: Alarm | None = None
        self._task: asyncio.Task[None] | None = None
        self.ping: Callable[[], list[Frame]] | None = None
        """Makes a data-bearing keep-alive, for the client whose patience comments do not renew."""

    def start(self) -> None:
        """From here on the answer is kept alive."""
        tempo = self._tempo
        first = min(tempo.commit_after, tempo.keepalive, tempo.ping_after)
        self._alarm = self._tasks.alarms.after(first, self._begin)

    def stop(self) -> None:
        """No further beat."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = self._tasks.start(self._beat())

    async def _beat(self) -> None:
        outlet, tempo = self._outlet, self._tempo
        while not outlet.ended:
            now = self._loop.time()
            if outlet.busy:  # a send waits for the client
                blocked_since = outlet.writing_since or now
                if now - blocked_since >= tempo.write_timeout:
                    self._too_slow()
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
                await outlet.data(b"".join(framed(*frame) for frame in ping()))
            else:
                await outlet.keep_alive()
