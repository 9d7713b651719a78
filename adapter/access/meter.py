"""Reserves for a request and settles when it ends, whoever ended it.

reservation = await meter.reserve(counters, tokens_in, tokens_out)      raises RateLimited
…
meter.settle(reservation, used)                                         always, once; returns at once
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Any, Final, NamedTuple

from adapter.access.ledger import LEASE_SECONDS, Ledger, Move, Starts
from adapter.access.limits import Counter, Level, Measure, refused, told
from adapter.errors import LimitsUnavailable

_RENEW_EVERY: Final = LEASE_SECONDS / 3


class Reservation(NamedTuple):
    """What one request holds until it is settled."""

    counters: Sequence[Counter]
    takes: Sequence[int]
    windows: Sequence[int]
    levels: Sequence[Level]
    lease: str


class Meter:
    """The limits of one process over its ledger."""

    def __init__(self, ledger: Ledger, tasks: Starts, *, unavailable: Callable[[], bool] = lambda: False) -> None:
        """`unavailable` is told when the ledger does not answer and says whether requests then pass uncounted."""
        self._ledger = ledger
        self._tasks = tasks
        self._unavailable = unavailable
        self._held: dict[str, list[Counter]] = {}
        self._renewing: asyncio.Task[Any] | None = None

    async def reserve(self, counters: Sequence[Counter], tokens_in: int, tokens_out: int) -> Reservation | None:
        """Take from all of the counters; None where nothing is counted.

        Raises:
            RateLimited: one of them has no room.
            LimitsUnavailable: the ledger does not answer.
        """
        if not counters:
            return None
        takes = [counter.take(tokens_in, tokens_out) for counter in counters]
        lease = token_hex(12)
        try:
            verdict = await self._ledger.reserve(counters, takes, lease)
        except LimitsUnavailable:
            if self._unavailable():
                return None
            raise
        if (place := verdict.refused) is not None:
            error = refused(counters[place], takes[place], verdict.levels[place].resets_in)
            error.headers = tuple(told(verdict.levels))
            raise error
        leased = [counter for counter in counters if counter.measure is Measure.STREAMS]
        if leased:
            self._held[lease] = leased
            if self._renewing is None:
                self._renewing = self._tasks.start(self._renew())
        return Reservation(counters, takes, verdict.windows, verdict.levels, lease)

    def settle(self, reservation: Reservation, used: int) -> None:
        """Book what the request really cost, `used` tokens, and end its lease."""
        self._held.pop(reservation.lease, None)
        parts = zip(reservation.counters, reservation.windows, reservation.takes, strict=True)
        moves = [
            Move(counter, window, take, used)
            for counter, window, take in parts
            if counter.measure is not Measure.REQUESTS_PER_MINUTE
        ]
        if moves:
            self._ledger.settle(moves, reservation.lease)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            leases = [(counter, lease) for lease, counters in self._held.items() for counter in counters]
            try:
                await self._ledger.renew(leases)
            except LimitsUnavailable:
                self._unavailable()

    async def close(self) -> None:
        """Let go of the ledger."""
        await self._ledger.close()
