"""n choices over an upstream that knows no n: as many calls, side by side as far as the upstream may have them.

Of n calls so many are begun at once as the request was given places (`max_concurrency` of the upstream). Each of the others
begins when one of them has ended, in its place: it waits for nobody else, so no two requests can wait for each other. Until
the first ones have begun a failure is the request's, and may go elsewhere; one that cannot begin later is a broken answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeAlias

from adapter.errors import AdapterError
from adapter.hub.events import Failed, Finished
from adapter.hub.losses import Anomaly
from adapter.server.calls.lanes import Answering, Batch, Hub, HubWhole, InBatches, Lose
from adapter.server.tasks import Tasks

Begin: TypeAlias = Callable[[], Coroutine[Any, Any, Hub | HubWhole]]


class Parallel(InBatches):
    """n answers of n upstream calls, for the client that asked for n choices."""

    def __init__(self, calls: Sequence[Answering], begin: Begin, n: int, tasks: Tasks) -> None:
        """`calls` have begun; `begin` begins another one."""
        self._calls = list(calls)
        """Those that have begun."""
        self._begin = begin
        self._tasks = tasks
        self._waiting: Iterator[int] = iter(range(len(calls), n))
        self._open = self.choices = n
        self._queue: asyncio.Queue[Batch | Exception] = asyncio.Queue(maxsize=2 * len(calls))
        self._followers: list[asyncio.Task[None]] = []
        self.headers = calls[0].headers
        self.exchange = calls[0].exchange

    @property
    def anomalies(self) -> list[Anomaly]:
        return [anomaly for call in self._calls for anomaly in call.anomalies]

    @property
    def ended(self) -> bool:
        return self._open == 0

    async def batch(self) -> Batch:
        if not self._followers:
            begun = list(enumerate(self._calls))
            self._followers = [self._tasks.start(self._followed(choice, call)) for choice, call in begun]
        batch = await self._queue.get()
        if isinstance(batch, Exception):
            raise batch
        last = batch[1][-1]
        if type(last) is Failed:  # one broken choice breaks the answer
            self._open = 0
        elif type(last) is Finished:
            self._open -= 1
        return batch

    async def _followed(self, choice: int, call: Answering) -> None:
        """As `_follow`; a mistake of this server is raised where it is waited for, or that would be for ever."""
        try:
            await self._follow(choice, call)
        except Exception as defect:
            await self._queue.put(defect)

    async def _follow(self, choice: int, call: Answering) -> None:
        """This choice to its end, and in its place those that wait."""
        while True:
            _, events = await call.batch()
            await self._queue.put((choice, events))
            if not call.ended:
                continue
            following = next(self._waiting, None)
            if following is None or type(events[-1]) is Failed:  # nobody would hear what it says
                break
            await call.finish()
            choice = following
            try:
                call = await self._begin()
            except AdapterError as error:
                await self._queue.put((choice, [Failed(error)]))
                break
            self._calls.append(call)

    def fail(self, error: AdapterError) -> Batch:
        return 0, [] if self.ended else [Failed(error)]

    async def finish(self) -> None:
        for call in self._calls:
            await call.finish()

    def close(self) -> None:
        for follower in self._followers:
            follower.cancel()
        for call in self._calls:
            call.close()


async def begun_in_parallel(begin: Begin, n: int, at_once: int, tasks: Tasks, lose: Lose) -> Parallel:
    """n answers as one, of which as many as may be at once have begun.

    Raises:
        AdapterError: the first that could not begin; the others are stopped, and what those cost that had answered is given
            to `lose`.
    """
    beginnings = [tasks.start(begin()) for _ in range(min(n, at_once))]
    try:
        await asyncio.wait(beginnings, return_when=asyncio.FIRST_EXCEPTION)
        for beginning in beginnings:
            if beginning.done() and (error := beginning.exception()) is not None:
                raise error
        return Parallel([beginning.result() for beginning in beginnings], begin, n, tasks)
    except BaseException:
        for beginning in beginnings:
            beginning.cancel()
        for ended in await asyncio.gather(*beginnings, return_exceptions=True):
            if not isinstance(ended, BaseException):
                lose(ended.usage)
                ended.close()
        raise
