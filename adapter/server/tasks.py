"""Tasks with an owner: nothing runs that nobody waits for. Deadlines, too."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from adapter.upstream.alarms import Alarms

T = TypeVar("T")


class Tasks:
    """Starts tasks, keeps them alive, ends them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self.alarms = Alarms()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` beside the caller."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def finish(self, within: float | None = None) -> None:
        """Wait until nothing runs any more, for so many seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._running:
                    await asyncio.wait(self._running)

    async def close(self) -> None:
        """Cancel what still runs and wait for it."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
