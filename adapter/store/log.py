"""The pen of a background stream: takes events as they are made and logs them in batches.

    async with asyncio.TaskGroup() as group:
        writer = EventWriter(store, job, lease=60)
        group.create_task(writer.run())
        …  writer.add(LoggedEvent(…))  …            # per event: one append to a list
        await store.save_response(tenant, response, job=job, events=await writer.stop())

A batch is at most `interval` old, so that a client that resumes elsewhere is at most that far behind. While nothing is
written for a while the lease is extended all the same. A batch that the store refuses is tried again until the lease would
be over; after that, and as soon as another worker holds the response or it was cancelled, `lost` is true.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from adapter.errors import StoreUnavailable
from adapter.store.values import Job, LoggedEvent

INTERVAL = 0.1
"""Seconds; the issue of resumable streams asks for batches of at most 100 ms."""


class Log(Protocol):
    """What the writer needs of the store."""

    async def append_events(self, job: Job, batch: list[LoggedEvent], *, lease: float) -> bool:
        """See `Events.append_events`."""
        ...


class EventWriter:
    """Logs one job's events. `run` is the caller's task; nothing is started here."""

    def __init__(self, store: Log, job: Job, *, lease: float, interval: float = INTERVAL) -> None:
        self.store = store
        self.job = job
        self.lease = lease
        self.interval = interval
        self.lost = asyncio.Event()
        """Set when this worker must stop: nothing that it does is stored any more."""
        self._batch: list[LoggedEvent] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, event: LoggedEvent) -> None:
        """Log `event` within the interval."""
        self._batch.append(event)
        self._wake.set()

    async def stop(self) -> list[LoggedEvent]:
        """End `run` and return what is not logged yet: it is committed with the terminal status."""
        self._stopping = True
        self._wake.set()
        await self._idle.wait()
        return self._batch

    async def run(self) -> None:
        """Write batches until stopped or lost."""
        clock = asyncio.get_running_loop().time
        held_until = clock() + self.lease
        while not self._stopping:
            try:
                async with asyncio.timeout(self.lease / 3):
                    await self._wake.wait()
            except TimeoutError:
                pass  # nothing to log: an empty batch is a heartbeat
            else:
                await asyncio.sleep(self.interval)
            if self._stopping:
                return
            self._wake.clear()
            batch, self._batch = self._batch, []
            self._idle.clear()
            try:
                held = await self.store.append_events(self.job, batch, lease=self.lease)
                held_until = clock() + self.lease
            except StoreUnavailable:
                self._batch = batch + self._batch
                self._wake.set()
                held = clock() < held_until
            finally:
                self._idle.set()
            if not held:
                self.lost.set()
                return
