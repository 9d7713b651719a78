"""Background responses: leases, attempts, cancellation, the event log; two replicas on one database."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from adapter.errors import BadRequest
from adapter.store.store import Store
from adapter.store.values import EventPage, Job, LoggedEvent
from tests.store.conftest import Backend, Clock
from tests.store.samples import assistant, response, texts, user

REQUEST = {"model": "small", "input": "q"}


async def queue(store: Store, id: str = "resp_1", **more: object) -> None:
    queued = response(id, status="queued", background=True, **more)
    assert await store.save_response("t", queued, input=[user("q")], request=REQUEST, streamed=True)


async def claimed(store: Store, owner: str = "w1") -> Job:
    job = await store.claim(owner, lease=30)
    assert job is not None
    return job


def event(sequence: int) -> LoggedEvent:
    return LoggedEvent(sequence, "response.output_text.delta", b'{"sequence_number":%d}' % sequence)


async def status(store: Store) -> str | None:
    found = await store.response("t", "resp_1")
    return None if found is None else found.status


async def test_from_queued_to_completed(store: Store) -> None:
    await queue(store)
    assert await status(store) == "queued"
    job = await claimed(store)
    assert await status(store) == "in_progress"
    assert (job.request, job.attempt, job.last_sequence) == (REQUEST, 1, -1)
    done = response("resp_1", assistant("a", "msg_1"), background=True)
    assert await store.save_response("t", done, job=job)

    found = await store.response("t", "resp_1")
    assert found is not None
    assert done == found.object
    assert texts(await store.resolve("t", "resp_1")) == ["q", "a"]
    assert await store.claim("w2", lease=30) is None


async def test_each_response_is_claimed_once(backend: Backend) -> None:
    """Two replicas that ask at the same time get different work."""
    first, second = backend.store(), backend.store()
    for n in range(10):
        await queue(first, f"resp_{n}")
    jobs = await asyncio.gather(*((first, second)[n % 2].claim(f"w{n}", lease=30) for n in range(12)))

    ids = [job.id for job in jobs if job is not None]
    assert len(ids) == len(set(ids))
    while (job := await first.claim("late", lease=30)) is not None:
        ids.append(job.id)
    assert {f"resp_{n}" for n in range(10)} == set(ids)


async def test_the_longest_waiting_is_claimed_first_or_the_one_asked_for(store: Store, clock: Clock) -> None:
    for n in range(3):
        clock.time += 1
        await queue(store, f"resp_{n}")

    picked = await store.claim("w", lease=30, only=("t", "resp_1"))
    assert picked is not None
    assert picked.id == "resp_1"
    assert await store.claim("w", lease=30, only=("other", "resp_0")) is None
    assert (await claimed(store)).id == "resp_0"


async def test_what_was_just_accepted_is_left_to_whoever_asks_for_it_and_once(store: Store, clock: Clock) -> None:
    accepted = response("resp_1", status="queued", background=True)
    await store.save_response("t", accepted, input=[], request=REQUEST, streamed=True, reserved=5)
    assert await store.claim("another", lease=30) is None
    assert await store.claim("w", lease=30, only=("t", "resp_1")) is not None
    assert await store.claim("another", lease=30, only=("t", "resp_1")) is None
    clock.time += 30
    assert await store.claim("another", lease=30, only=("t", "resp_1")) is not None


async def test_a_lease_that_ended_goes_to_the_next_worker(store: Store, clock: Clock) -> None:
    """The first worker was only slow: nothing that it does counts any more."""
    await queue(store)
    slow = await claimed(store, "slow")
    assert await store.append_events(slow, [event(0), event(1)], lease=30)
    clock.time += 31
    next_ = await claimed(store, "next")

    assert (next_.attempt, next_.last_sequence) == (2, 1)
    assert not await store.append_events(slow, [event(2)], lease=30)
    assert not await store.requeue(slow)
    assert not await store.save_response("t", response("resp_1", assistant("slow", "msg_s"), background=True), job=slow)
    assert not await store.save_response("t", response("resp_1", assistant("rude", "msg_r"), background=True))
    assert await store.save_response("t", response("resp_1", assistant("next", "msg_n"), background=True), job=next_)
    assert not await store.save_response("t", response("resp_1", assistant("slow", "msg_s"), background=True), job=slow)
    assert texts(await store.resolve("t", "resp_1")) == ["q", "next"]


async def test_batches_of_events_hold_the_lease_and_empty_ones_too(store: Store, clock: Clock) -> None:
    await queue(store)
    job = await claimed(store)
    for sequence in range(5):
        clock.time += 20
        assert await store.append_events(job, [], lease=30)
        clock.time += 20
        assert await store.append_events(job, [event(sequence)], lease=30)
        assert await store.claim("w2", lease=30) is None


async def test_a_worker_that_shuts_down_gives_its_work_back(store: Store) -> None:
    await queue(store)
    job = await claimed(store)
    assert await store.requeue(job)

    assert await status(store) == "queued"
    assert await store.claim("w2", lease=30) is not None
    assert not await store.requeue(job)


async def test_work_that_is_given_back_was_no_attempt_and_work_that_is_lost_was(store: Store, clock: Clock) -> None:
    await queue(store)
    attempts = []
    for worker in range(6):
        job = await claimed(store, f"w{worker}")
        attempts.append(job.attempt)
        if worker % 2:
            clock.time += 31
        else:
            assert await store.requeue(job)
    assert attempts == [1, 1, 2, 2, 3, 3]


async def test_cancelling_is_idempotent_and_stops_the_worker(store: Store) -> None:
    await queue(store)
    job = await claimed(store)
    for _ in range(2):
        cancelled = await store.cancel("t", "resp_1")
        assert cancelled is not None
        assert cancelled.object is not None
        assert (cancelled.status, cancelled.object["status"]) == ("cancelled", "cancelled")

    assert not await store.append_events(job, [event(0)], lease=30)
    assert not await store.save_response("t", response("resp_1", assistant("a", "msg_1"), background=True), job=job)
    assert await status(store) == "cancelled"
    assert await store.claim("w2", lease=30) is None


@pytest.mark.parametrize("logged", [0, 3])
async def test_the_log_of_a_cancelled_stream_ends_with_that_and_once(store: Store, logged: int) -> None:
    for known in ("resp_1", "resp_other"):
        await queue(store, known)
    for job in (await claimed(store), await claimed(store)):
        numbers = range(logged if job.id == "resp_1" else 7)
        await store.append_events(job, [event(number) for number in numbers], lease=30)
    for _ in range(2):
        cancelled = await store.cancel("t", "resp_1")
        page = await store.events_after("t", "resp_1", -1)
        assert cancelled is not None
        assert page is not None
        assert page.ended
        assert page.events[:-1] == [event(number) for number in range(logged)]
        assert (page.events[-1].sequence, page.events[-1].name) == (logged, "response.cancelled")
        told = {"type": "response.cancelled", "sequence_number": logged, "response": cancelled.object}
        assert orjson.loads(page.events[-1].data) == told
    other = await store.events_after("t", "resp_other", -1)
    assert other is not None
    assert (len(other.events), other.ended) == (7, False)


async def test_one_that_nobody_streams_is_cancelled_without_a_log(store: Store) -> None:
    queued = response("resp_1", status="queued", background=True)
    await store.save_response("t", queued, input=[], request=REQUEST)
    await store.cancel("t", "resp_1")
    assert (await store.stats()).rows["events"] == 0


@pytest.mark.parametrize("id", ["resp_unknown", "no id at all"])
async def test_what_is_not_there_cannot_be_cancelled(store: Store, id: str) -> None:
    assert await store.cancel("t", id) is None


async def test_a_queued_response_can_be_cancelled(store: Store) -> None:
    await queue(store)
    await store.cancel("t", "resp_1")
    assert await store.claim("w", lease=30) is None


async def test_a_finished_response_is_returned_as_it_ended(store: Store) -> None:
    await queue(store)
    await store.save_response(
        "t", response("resp_1", assistant("a", "msg_1"), background=True), job=await claimed(store)
    )
    found = await store.cancel("t", "resp_1")

    assert found is not None
    assert found.status == "completed"


async def test_a_foreground_response_cannot_be_cancelled(store: Store) -> None:
    await store.save_response("t", response("resp_1", status="in_progress"), input=[])
    with pytest.raises(BadRequest):
        await store.cancel("t", "resp_1")
    assert await status(store) == "in_progress"


async def test_deleting_stops_the_worker(store: Store) -> None:
    await queue(store)
    job = await claimed(store)
    await store.append_events(job, [event(0)], lease=30)
    assert await store.delete_response("t", "resp_1")

    assert not await store.append_events(job, [], lease=30)
    assert await store.events_after("t", "resp_1", -1) is None
    assert await store.claim("w", lease=30) is None
    assert {0} == set((await store.stats()).rows.values())


async def test_deleting_forgets_the_log_of_one_that_others_continue_and_no_other_log(store: Store) -> None:
    for known in ("resp_1", "resp_other"):
        await queue(store, known)
    for job in (await claimed(store), await claimed(store)):
        done = response(job.id, assistant("a", f"msg_{job.id}"), background=True)
        assert await store.save_response("t", done, job=job, events=[event(number) for number in range(3)])
    continued = response("resp_2", previous_response_id="resp_1")
    await store.save_response("t", continued, input=[user("more")])
    assert await store.delete_response("t", "resp_1")
    page = await store.events_after("t", "resp_other", -1)
    assert page is not None
    assert page.events == [event(number) for number in range(3)]
    assert (await store.stats()).rows["events"] == 3


async def test_the_log_of_one_that_expired_is_gone_before_it_is_removed(backend: Backend, clock: Clock) -> None:
    store = backend.store(ttl=60)
    await queue(store)
    assert await store.save_response("t", response("resp_1"), job=await claimed(store), events=[event(0)])
    clock.time += 61
    assert await store.events_after("t", "resp_1", -1) is None


async def test_what_takes_longer_than_it_is_kept_is_kept_from_its_end_on(backend: Backend, clock: Clock) -> None:
    """A minute of keeping, hours of thinking."""
    store = backend.store(ttl=60)
    for name in ("finished", "cancelled"):
        await queue(store, name)
    for name in ("answered", "abandoned"):
        await store.save_response("t", response(name, status="in_progress"), input=[user("q")], lease=7200)
    names = ["finished", "cancelled", "answered", "abandoned"]
    clock.time += 3600

    async def kept() -> list[str]:
        await store.purge_expired()
        return [name for name in names if await store.response("t", name) is not None]

    assert await kept() == names
    job = await store.claim("w1", lease=30, only=("t", "finished"))
    assert job is not None
    assert await store.append_events(job, [event(0)], lease=30)
    assert await store.events_after("t", "finished", -1) == EventPage([event(0)], "in_progress")
    assert await store.save_response("t", response("finished", assistant("a", "msg_1"), background=True), job=job)
    assert await store.cancel("t", "cancelled")
    assert await store.save_response("t", response("answered", assistant("a", "msg_2")))
    clock.time += 59
    assert await kept() == names
    clock.time += 1
    assert await kept() == ["abandoned"]
    clock.time += 3600
    assert await store.fail_abandoned({"code": "server_error", "message": "Stopped."}) == 1
    assert await kept() == ["abandoned"]
    clock.time += 60
    assert await kept() == []


async def test_a_stream_is_resumed_from_another_replica(backend: Backend) -> None:
    """The same events in the same order, from any number on, and the status that says whether more will come."""
    writer, reader = backend.store(), backend.store()
    await queue(writer)
    job = await claimed(writer)
    await writer.append_events(job, [event(n) for n in range(5)], lease=30)

    page = await reader.events_after("t", "resp_1", 2)
    assert page is not None
    assert ([event(3), event(4)], False) == (page.events, page.ended)

    done = response("resp_1", assistant("a", "msg_1"), background=True)
    await writer.save_response("t", done, job=job, events=[event(5), event(6)])
    page = await reader.events_after("t", "resp_1", 4)
    assert page is not None
    assert ([event(5), event(6)], True) == (page.events, page.ended)
    page = await reader.events_after("t", "resp_1", -1, limit=3)
    assert page is not None
    assert [event(0), event(1), event(2)] == page.events
    page = await reader.events_after("t", "resp_1", 6)
    assert page is not None
    assert (page.events, page.ended) == ([], True)


async def test_an_event_is_logged_once(store: Store) -> None:
    """The repetition of a batch whose outcome was unknown changes nothing that may have been seen."""
    await queue(store)
    job = await claimed(store)
    await store.append_events(job, [event(0), event(1)], lease=30)
    await store.append_events(job, [LoggedEvent(1, "other", b"{}"), event(2)], lease=30)

    page = await store.events_after("t", "resp_1", -1)
    assert page is not None
    assert [event(0), event(1), event(2)] == page.events


async def test_only_streamed_responses_have_a_log(store: Store) -> None:
    await store.save_response("t", response("resp_1"), input=[])
    assert await store.events_after("t", "resp_1", -1) is None


async def test_abandoned_foreground_responses_fail(store: Store, clock: Clock) -> None:
    """Their process was killed between the upstream's answer and the commit."""
    for n in range(3):
        await store.save_response("t", response(f"resp_{n}", status="in_progress"), input=[user("q")], lease=60)
    await queue(store, "resp_bg")
    await store.save_response("of_another", response("resp_1", status="in_progress"), input=[])
    clock.time += 61
    await store.save_response("t", response("resp_new", status="in_progress"), input=[], lease=60)
    error = {"code": "server_error", "message": "The adapter stopped before the answer was stored."}

    assert await store.fail_abandoned(error) == 3
    assert await store.fail_abandoned(error) == 0
    found = await store.response("t", "resp_1")
    assert found is not None
    assert found.object is not None
    assert ("failed", "failed", error) == (found.status, found.object["status"], found.object["error"])
    assert (await store.stats()).statuses == {"queued": 1, "in_progress": 2, "failed": 3}


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed", "cancelled", "queued", "in_progress"])
def test_a_log_has_an_end_where_its_response_has(status: str) -> None:
    assert EventPage([], status).ended is (status not in ("queued", "in_progress"))
