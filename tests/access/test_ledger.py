"""The ledger's protocol, the same suite over memory and over Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any

import pytest

from adapter.access import meter as metering
from adapter.access import shared
from adapter.access.ledger import LEASE_SECONDS, Ledger, Memory, Move
from adapter.access.limits import Counter, Limits, Measure
from adapter.access.meter import Meter
from adapter.access.shared import Shared
from adapter.errors import LimitsUnavailable, RateLimited
from adapter.server.tasks import Tasks

KINDS = pytest.mark.parametrize("kind", ["memory", "redis"])


class World:
    """A ledger, as many replicas of it as are asked for, and names that no other test uses."""

    def __init__(self, ledgers: list[Ledger], tasks: Tasks) -> None:
        self.ledgers = ledgers
        self.ledger = ledgers[0]
        self.tasks = tasks
        self._salt = token_hex(4)

    def counter(self, limit: int, measure: Measure = Measure.TOKENS_PER_DAY, subject: str = "key:a") -> Counter:
        return Counter(f"{subject}:{self._salt}", measure, limit)

    async def used(self, counter: Counter) -> int:
        """Asks for more than there can be, which takes nothing."""
        verdict = await self.ledger.reserve([counter], [1 << 40], "look")
        assert verdict.refused == 0
        return verdict.levels[0].used

    async def settled(self) -> None:
        while self.tasks._running:
            await asyncio.sleep(0.001)


@asynccontextmanager
async def world(kind: str, request: pytest.FixtureRequest, replicas: int = 1) -> AsyncIterator[World]:
    tasks = Tasks()
    if kind == "memory":
        ledgers: list[Ledger] = [Memory()] * replicas
    else:
        url = request.getfixturevalue("redis_url")
        ledgers = [Shared(url, tasks) for _ in range(replicas)]
    try:
        yield World(ledgers, tasks)
    finally:
        for ledger in ledgers:
            await ledger.close()
        await tasks.close()


Scenario = Callable[[World], Awaitable[None]]


def play(kind: str, request: pytest.FixtureRequest, scenario: Scenario, replicas: int = 1) -> None:
    async def run() -> None:
        async with world(kind, request, replicas) as found:
            await scenario(found)

    asyncio.run(run())


@KINDS
def test_ten_thousand_admissions_at_once_let_exactly_n_through(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_WITHIN", 60.0)  # a busy machine may need longer for a thousand

    async def scenario(world: World) -> None:
        limit = 777
        counters = [world.counter(limit), world.counter(10**6, subject="group:g")]

        async def admitted(i: int) -> bool:
            ledger = world.ledgers[i % len(world.ledgers)]
            return (await ledger.reserve(counters, [1, 1], f"{i}")).refused is None

        found: list[bool] = []
        for start in range(0, 10_000, 1000):
            found += await asyncio.gather(*(admitted(i) for i in range(start, start + 1000)))
        assert sum(found) == limit
        assert [await world.used(counter) for counter in counters] == [limit, limit]

    play(kind, request, scenario, replicas=2)


@KINDS
def test_a_request_takes_from_all_of_its_counters_or_from_none(kind: str, request: pytest.FixtureRequest) -> None:
    async def scenario(world: World) -> None:
        wide, narrow = world.counter(1000, subject="group:g"), world.counter(10)
        verdict = await world.ledger.reserve([wide, narrow], [11, 11], "x")
        assert verdict.refused == 1
        assert [await world.used(counter) for counter in (wide, narrow)] == [0, 0]
        assert (await world.ledger.reserve([wide, narrow], [10, 10], "y")).refused is None

    play(kind, request, scenario)


@KINDS
def test_a_large_request_that_is_refused_never_keeps_a_small_one_out(kind: str, request: pytest.FixtureRequest) -> None:
    """What the storages of common rate-limit libraries cannot do, which count up first and look then."""

    async def scenario(world: World) -> None:
        counter = world.counter(1000)
        sizes = [1 if i % 2 else 5000 for i in range(400)]
        verdicts = await asyncio.gather(
            *(world.ledger.reserve([counter], [size], f"{i}") for i, size in enumerate(sizes))
        )
        assert [verdict.refused is None for verdict in verdicts] == [size == 1 for size in sizes]

    play(kind, request, scenario)


@KINDS
def test_what_was_not_used_goes_back_and_what_was_used_beyond_is_charged(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async def scenario(world: World) -> None:
        counter = world.counter(1000)
        first = await world.ledger.reserve([counter], [600], "a")
        assert (await world.ledger.reserve([counter], [600], "b")).refused == 0
        world.ledger.settle([Move(counter, first.windows[0], 600, 50)], "a")
        await world.settled()
        assert await world.used(counter) == 50
        second = await world.ledger.reserve([counter], [600], "b")
        world.ledger.settle([Move(counter, second.windows[0], 600, 5000)], "b")
        await world.settled()
        assert await world.used(counter) == 5050
        assert (await world.ledger.reserve([counter], [1], "c")).refused == 0

    play(kind, request, scenario)


@KINDS
def test_a_settlement_behind_its_window_gives_nothing_and_takes_what_is_due(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async def scenario(world: World) -> None:
        counter = world.counter(1000)
        verdict = await world.ledger.reserve([counter], [100], "a")
        yesterday = verdict.windows[0] - 1
        world.ledger.settle([Move(counter, yesterday, 900, 0)], "a")
        await world.settled()
        assert await world.used(counter) == 100
        world.ledger.settle([Move(counter, yesterday, 900, 1000)], "a")
        await world.settled()
        assert await world.used(counter) == 200

    play(kind, request, scenario)


@KINDS
def test_running_answers_hold_leases(kind: str, request: pytest.FixtureRequest) -> None:
    async def scenario(world: World) -> None:
        counter = world.counter(2, Measure.STREAMS)
        assert [(await world.ledger.reserve([counter], [1], name)).refused for name in "abc"] == [None, None, 0]
        world.ledger.settle([Move(counter, 0, 1, 1)], "a")
        await world.settled()
        await world.ledger.renew([(counter, "b"), (counter, "gone")])
        assert [(await world.ledger.reserve([counter], [1], name)).refused for name in "de"] == [None, 0]

    play(kind, request, scenario)


def test_a_lease_that_nobody_renews_lapses() -> None:
    now = [1000.0]
    ledger = Memory(lambda: now[0])
    counter = Counter("key:a", Measure.STREAMS, 1)

    async def scenario() -> None:
        assert (await ledger.reserve([counter], [1], "dead")).refused is None
        now[0] += LEASE_SECONDS / 2
        await ledger.renew([(counter, "dead")])
        now[0] += LEASE_SECONDS - 1
        assert (await ledger.reserve([counter], [1], "next")).refused == 0
        now[0] += 2
        assert (await ledger.reserve([counter], [1], "next")).refused is None

    asyncio.run(scenario())


def test_windows_are_minutes_and_days_of_the_clock() -> None:
    now = [86_400 * 20_000 + 59.0]
    ledger = Memory(lambda: now[0])
    minute, day = Limits(tokens_per_minute=10, tokens_per_day=15).counters("key:a")

    async def take(amount: int) -> tuple[int | None, list[float]]:
        verdict = await ledger.reserve([minute, day], [amount, amount], "x")
        return verdict.refused, [level.resets_in for level in verdict.levels]

    async def scenario() -> None:
        assert await take(10) == (None, [1.0, 86_400 - 59.0])
        assert (await take(1))[0] == 0
        now[0] += 1
        assert (await take(6))[0] == 1
        assert (await take(5))[0] is None
        now[0] += 86_400
        assert (await take(10))[0] is None

    asyncio.run(scenario())


def test_redis_that_is_away_is_an_error_of_ours_and_may_be_borne() -> None:
    async def scenario() -> None:
        tasks = Tasks()
        ledger = Shared("redis://127.0.0.1:1/0", tasks)
        counters = Limits(requests_per_minute=1, streams=1).counters("key:a")
        with pytest.raises(LimitsUnavailable):
            await Meter(ledger, tasks).reserve(counters, 1, 1)
        assert await Meter(ledger, tasks, unavailable=lambda: True).reserve(counters, 1, 1) is None
        await ledger.close()
        await tasks.close()

    asyncio.run(scenario())


def test_a_request_cancelled_while_it_reserves_gives_everything_back(request: pytest.FixtureRequest) -> None:
    async def scenario(world: World) -> None:
        counter, stream = world.counter(10_000), world.counter(5, Measure.STREAMS)
        for wait in (0.0, 0.0002, 0.0005, 0.001, 0.003):
            reserving = asyncio.ensure_future(world.ledger.reserve([counter, stream], [10, 1], f"{wait}"))
            await asyncio.sleep(wait)
            reserving.cancel()
            try:
                verdict = await reserving
                moves = [Move(c, w, t, 0) for c, w, t in zip((counter, stream), verdict.windows, (10, 1), strict=True)]
                world.ledger.settle(moves, f"{wait}")
            except asyncio.CancelledError:
                pass
            await world.settled()
        assert [await world.used(counter), await world.used(stream)] == [0, 0]

    play("redis", request, scenario)


@KINDS
def test_the_meter_reserves_refuses_and_settles(kind: str, request: pytest.FixtureRequest) -> None:
    async def scenario(world: World) -> None:
        meter = Meter(world.ledger, world.tasks)
        subject = world.counter(1).subject
        counters = Limits(requests_per_minute=100, tokens_per_day=1000, streams=2).counters(subject)
        held = await meter.reserve(counters, 100, 800)
        assert held is not None
        with pytest.raises(RateLimited) as refused:
            await meter.reserve(counters, 200, 800)
        fields: dict[bytes, Any] = dict(refused.value.headers)
        assert (fields[b"x-ratelimit-remaining-tokens"], fields[b"x-ratelimit-limit-tokens"]) == (b"100", b"1000")
        assert (refused.value.type, refused.value.retry_after is not None) == ("tokens", True)
        meter.settle(held, 120)
        while await world.used(counters[1]) != 120:
            await asyncio.sleep(0.001)
        assert await meter.reserve(counters, 200, 680) is not None
        assert await meter.reserve((), 1, 1) is None
        assert world.tasks._running, "leases are renewed"

    play(kind, request, scenario)


def test_an_answer_that_runs_renews_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "_RENEW_EVERY", 0)

    async def scenario() -> None:
        renewed: asyncio.Queue[list[tuple[Counter, str]]] = asyncio.Queue()

        class Told(Memory):
            async def renew(self, leases: Collection[tuple[Counter, str]]) -> None:
                renewed.put_nowait(list(leases))

        tasks = Tasks()
        meter = Meter(Told(), tasks)
        counters = Limits(tokens_per_day=1000, streams=2).counters("key:a")
        held = await meter.reserve(counters, 1, 1)
        assert held is not None
        assert await renewed.get() == [(counters[1], held.lease)]
        await tasks.close()

    asyncio.run(scenario())
