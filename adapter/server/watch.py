"""Notices that the client leaves, and ends its turn.

The server remembers that a client left, so nobody has to wait for it from the start: an answer that comes at once is over
before the watch begins, and costs a timer instead of a task.
"""

from __future__ import annotations

import asyncio
from typing import Final

from adapter.server.tasks import Tasks
from adapter.server.turn import Outcome, Turn

_BEGINS_AFTER: Final = 0.25
"""Seconds; an upstream must be closed within one of its client's leaving."""


class Watch:
    """Watches from now until `stop`. The body has been read: nothing else takes from `receive`."""

    __slots__ = ("_alarm", "_task", "_tasks", "_turn")

    def __init__(self, turn: Turn, tasks: Tasks) -> None:
        self._turn = turn
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        self._alarm = tasks.alarms.after(_BEGINS_AFTER, self._begin)

    def stop(self) -> None:
        """The turn is over."""
        self._alarm.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = self._tasks.start(self._wait())

    async def _wait(self) -> None:
        while (await self._turn.receive())["type"] != "http.disconnect":
            continue
        self._turn.cut(Outcome.CLIENT_GONE)
