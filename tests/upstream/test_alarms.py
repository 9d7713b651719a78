"""Deadlines: they ring once, never early, in order, unless cancelled; and nothing is left when there are none."""

from __future__ import annotations

import asyncio

import pytest

from adapter.upstream.alarms import TICK, Alarms
from tests.server.harness import play


def test_they_ring_in_order_and_never_early() -> None:
    async def scenario() -> None:
        loop, alarms, rang = asyncio.get_running_loop(), Alarms(), []
        begun = loop.time()
        for seconds in (0.2, 0.0, 0.1):
            alarms.after(seconds, lambda due=seconds: rang.append((due, loop.time() - begun)))
        await asyncio.sleep(0.2 + 3 * TICK)
        assert [due for due, _ in rang] == [0.0, 0.1, 0.2]
        assert all(after >= due for due, after in rang)

    play(scenario)


def test_a_cancelled_one_does_not_ring_and_leaves_nothing() -> None:
    async def scenario() -> None:
        alarms, rang = Alarms(), []
        both = [alarms.after(0.02, lambda: rang.append(1)) for _ in range(2)]
        for alarm in both:
            alarm.cancel()
            alarm.cancel()
        assert not alarms.due
        await asyncio.sleep(3 * TICK)
        assert not rang

    play(scenario)


def test_one_that_rings_may_cancel_its_neighbour_and_set_another() -> None:
    async def scenario() -> None:
        alarms, rang = Alarms(), []
        both = [alarms.after(0.02, lambda name=name: ring(name)) for name in "ab"]

        def ring(name: str) -> None:
            rang.append(name)
            for alarm in both:
                alarm.cancel()
            if len(rang) == 1:
                alarms.after(0.02, lambda: ring("c"))

        await asyncio.sleep(6 * TICK)
        assert len(rang) == 2
        assert rang[1] == "c"

    play(scenario)


def test_one_that_fails_keeps_no_other_from_ringing() -> None:
    async def scenario() -> None:
        alarms, rang, failed = Alarms(), [], []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))
        for _ in range(3):
            alarms.after(0.0, lambda: rang.append(1))
            alarms.after(0.0, lambda: [][0])
        await asyncio.sleep(3 * TICK)
        assert len(rang) == len(failed) == 3
        assert all(isinstance(error, IndexError) for error in failed)

    play(scenario)


def test_the_loop_is_woken_for_the_first_deadline_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        loop, alarms, waits = asyncio.get_running_loop(), Alarms(), []
        later = loop.call_later
        monkeypatch.setattr(loop, "call_later", lambda delay, *call: waits.append(delay) or later(delay, *call))
        alarms.after(60.0, list)
        alarms.after(90.0, list)
        assert [round(delay) for delay in waits] == [60]
        rang = asyncio.Event()
        alarms.after(0.0, rang.set)
        await rang.wait()
        assert [round(delay) for delay in waits] == [60, 0, 60]

    play(scenario)


@pytest.mark.parametrize("seconds", [-1.0, 0.0])
def test_what_is_due_already_rings_at_the_next_look(seconds: float) -> None:
    async def scenario() -> None:
        alarms, rang = Alarms(), asyncio.Event()
        alarms.after(seconds, rang.set)
        await asyncio.wait_for(rang.wait(), 1)

    play(scenario)
