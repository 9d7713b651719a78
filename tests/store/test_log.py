"""The pen of a background stream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from adapter.errors import StoreUnavailable
from adapter.store.log import EventWriter
from adapter.store.store import Store
from adapter.store.values import Job, LoggedEvent
from tests.store.samples import response

JOB = Job(tenant="t", id="resp_1", owner="w", attempt=1, request={}, last_sequence=-1)


def event(sequence: int) -> LoggedEvent:
    return LoggedEvent(sequence, "event", b"%d" % sequence)


@dataclass
class Scripted:
    """A log whose answers are given in advance: true, false, or an error; true when they run out."""

    answers: list[bool | StoreUnavailable] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)
    slow: float = 0

    async def append_events(self, job: Job, batch: list[LoggedEvent], *, lease: float) -> bool:
        await asyncio.sleep(self.slow)
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, StoreUnavailable):
            raise answer
        self.batches.append([event.sequence for event in batch])
        return answer


async def test_events_are_written_in_batches_and_the_rest_is_returned() -> None:
    log = Scripted()
    writer = EventWriter(log, JOB, lease=60, interval=0.02)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        for n in range(10):
            writer.add(event(n))
        await asyncio.sleep(0.08)
        writer.add(event(10))
        rest = await writer.stop()

    assert log.batches == [list(range(10))]
    assert rest == [event(10)]
    assert not writer.lost.is_set()


async def test_silence_holds_the_lease() -> None:
    log = Scripted()
    writer = EventWriter(log, JOB, lease=0.09, interval=0.01)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        await asyncio.sleep(0.2)
        assert await writer.stop() == []
    assert len(log.batches) >= 3
    assert not any(log.batches)


async def test_a_refused_batch_is_written_later_in_order() -> None:
    log = Scripted([StoreUnavailable("locked"), StoreUnavailable("locked")])
    writer = EventWriter(log, JOB, lease=60, interval=0.01)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        for n in range(5):
            writer.add(event(n))
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        rest = [event.sequence for event in await writer.stop()]
    assert [n for batch in log.batches for n in batch] + rest == list(range(5))
    assert log.batches


async def test_a_lost_lease_ends_the_writer() -> None:
    for answers in ([False], [StoreUnavailable("gone")] * 1000):
        writer = EventWriter(Scripted(list(answers)), JOB, lease=0.05, interval=0.01)
        writer.add(event(0))
        async with asyncio.timeout(2):
            await writer.run()
        assert writer.lost.is_set()


@pytest.mark.parametrize(
    ("answers", "logged", "left"),
    [([], [[0]], [event(1)]), ([StoreUnavailable("full")], [], [event(0), event(1)])],
    ids=["written", "refused"],
)
async def test_stopping_waits_for_the_batch_that_is_being_written(
    answers: list[bool | StoreUnavailable], logged: list[list[int]], left: list[LoggedEvent]
) -> None:
    """So that no event is logged twice, out of order, or not at all."""
    log = Scripted(answers, slow=0.05)
    writer = EventWriter(log, JOB, lease=60, interval=0.0)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        writer.add(event(0))
        await asyncio.sleep(0.02)
        writer.add(event(1))
        assert (await writer.stop(), log.batches) == (left, logged)


async def test_stopping_in_silence_ends_it_at_once() -> None:
    writer = EventWriter(Scripted(), JOB, lease=60)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        await asyncio.sleep(0.01)
        assert await writer.stop() == []


async def test_stopping_before_the_first_batch_waits_for_nothing() -> None:
    writer = EventWriter(Scripted(), JOB, lease=60)
    writer.add(event(0))
    async with asyncio.timeout(5):
        assert await writer.stop() == [event(0)]


async def test_a_refused_batch_is_not_left_until_something_else_is_said() -> None:
    log = Scripted([StoreUnavailable("locked")])
    writer = EventWriter(log, JOB, lease=60, interval=0.01)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        writer.add(event(0))
        while not log.batches:
            await asyncio.sleep(0.01)
        assert await writer.stop() == []
    assert log.batches == [[0]]


async def test_the_lease_is_as_long_as_its_last_batch_says() -> None:
    clock = asyncio.get_running_loop().time
    written: list[float] = []

    class Failing(Scripted):
        async def append_events(self, job: Job, batch: list[LoggedEvent], *, lease: float) -> bool:
            if written and clock() - begun > 0.25:
                raise StoreUnavailable("gone")
            written.append(clock())
            return True

    writer = EventWriter(Failing(), JOB, lease=0.3, interval=0.01)
    begun = clock()
    async with asyncio.timeout(5):
        await writer.run()
    assert writer.lost.is_set()
    assert clock() - written[-1] >= 0.3


async def test_the_whole_log_of_a_real_job(store: Store) -> None:
    queued = response("resp_1", status="queued", background=True)
    await store.save_response("t", queued, input=[], request={}, streamed=True)
    job = await store.claim("w", lease=30)
    assert job is not None
    async with asyncio.TaskGroup() as group:
        writer = EventWriter(store, job, lease=30, interval=0.005)
        group.create_task(writer.run())
        for n in range(200):
            writer.add(event(n))
            await asyncio.sleep(0.0005)
        assert await store.save_response("t", response("resp_1", background=True), job=job, events=await writer.stop())

    page = await store.events_after("t", "resp_1", -1)
    assert page is not None
    assert (page.events, page.ended) == ([event(n) for n in range(200)], True)
