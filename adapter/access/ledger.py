"""Where limits are counted: one process's memory, or Redis for many (`adapter.access.shared`).

The protocol is three verbs, each whole or not at all. `reserve` looks at all counters of a request, then takes from all of
them or from none: taking one after the other would refuse a small request because a large one, itself about to be refused,
had taken for a moment. `settle` replaces an estimate by what was used. `renew` keeps leases alive: an answer that runs
holds one, and one whose process died lapses by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from adapter.access.limits import Counter, Level, Measure

T = TypeVar("T")

LEASE_SECONDS: Final = 60
"""How long a running answer counts without a sign of life of its process."""


class Verdict(NamedTuple):
    """What came of a reservation."""

    refused: int | None
    """The place of the first counter that had no room; None: everything was taken."""
    levels: tuple[Level, ...]
    """Where the counters stand now."""
    windows: tuple[int, ...] = ()
    """From which window of each counter was taken."""


class Move(NamedTuple):
    """One counter's part of a settlement."""

    counter: Counter
    window: int
    reserved: int
    used: int


class Starts(Protocol):
    """Whoever owns tasks."""

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]: ...


class Ledger(Protocol):
    """Counts."""

    async def reserve(self, counters: Sequence[Counter], takes: Sequence[int], lease: str) -> Verdict:
        """Take from every counter, or from none.

        Raises:
            LimitsUnavailable: it cannot be known.
        """

    def settle(self, moves: Sequence[Move], lease: str) -> None:
        """What was reserved becomes what was used; the lease ends. Returns at once and outlives the request, whose task
        may be in the middle of being cancelled."""

    async def renew(self, leases: Collection[tuple[Counter, str]]) -> None:
        """These answers still run."""

    async def close(self) -> None:
        """Let go of what is held."""


def steady() -> float:
    """Unix seconds that never go back while the process lives: a clock that is set must not give out a day twice."""
    return _WALL + time.monotonic()


_WALL: Final = time.time() - time.monotonic()


class Memory:
    """The ledger of one process."""

    def __init__(self, clock: Callable[[], float] = steady) -> None:
        self._clock = clock
        self._used: dict[str, tuple[int, int]] = {}
        """Window and amount by counter; as many entries as there are subjects."""
        self._leases: dict[str, dict[str, float]] = {}

    async def reserve(self, counters: Sequence[Counter], takes: Sequence[int], lease: str) -> Verdict:
        now = self._clock()
        windows = tuple(int(now // (counter.measure.seconds or 1)) for counter in counters)
        before = [self._now(counter, window, now) for counter, window in zip(counters, windows, strict=True)]
        refused = next(
            (i for i, (c, used, take) in enumerate(zip(counters, before, takes, strict=True)) if used + take > c.limit),
            None,
        )
        if refused is not None:
            return Verdict(refused, levels(counters, before, now))
        after = [used + take for used, take in zip(before, takes, strict=True)]
        for counter, window, used in zip(counters, windows, after, strict=True):
            if counter.measure is Measure.STREAMS:
                self._leases.setdefault(counter.name, {})[lease] = now + LEASE_SECONDS
            else:
                self._used[counter.name] = (window, used)
        return Verdict(None, levels(counters, after, now), windows)

    def settle(self, moves: Sequence[Move], lease: str) -> None:
        now = self._clock()
        for move in moves:
            counter = move.counter
            if counter.measure is Measure.STREAMS:
                self._leases.get(counter.name, {}).pop(lease, None)
                continue
            more = move.used - move.reserved
            current = int(now // counter.measure.seconds)
            if more > 0 or current == move.window:
                self._used[counter.name] = (current, max(self._now(counter, current, now) + more, 0))

    async def renew(self, leases: Collection[tuple[Counter, str]]) -> None:
        until = self._clock() + LEASE_SECONDS
        for counter, lease in leases:
            held = self._leases.get(counter.name, {})
            if lease in held:
                held[lease] = until

    async def close(self) -> None:
        pass

    def _now(self, counter: Counter, window: int, now: float) -> int:
        if counter.measure is not Measure.STREAMS:
            kept, used = self._used.get(counter.name, (window, 0))
            return used if kept == window else 0
        held = self._leases.get(counter.name)
        if held is None:
            return 0
        if len(held) >= counter.limit:
            for lease in [lease for lease, until in held.items() if until <= now]:
                del held[lease]
        return len(held)


def levels(counters: Sequence[Counter], used: Sequence[int], now: float) -> tuple[Level, ...]:
    """Where the counters stand at `now`."""
    return tuple(
        Level(counter, amount, seconds - now % seconds if (seconds := counter.measure.seconds) else 0)
        for counter, amount in zip(counters, used, strict=True)
    )
