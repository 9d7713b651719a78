"""When to try again, and where not to. Pure: time and randomness come in as arguments.

What a failed attempt means is its `Fault`; what a fault leads to is one row of a table:

    fault      next                     charged   breaker    rest
    CALLER     nowhere                                       the client's own fault, or an answer
    GONE       another target                     upstream's refused, unresolvable, no connection in time, reset before a byte
    SLOW       another target           yes       model's    no byte in time
    BROKEN     another target           yes       model's    5xx, pages, empty and cut answers, errors inside a 200
    PASSING    another, else the same   yes                  408, 409, 425
    LIMITED    another target           yes                  429: the target and key rest as long as they say
    SPENT      another target           yes                  quota, billing: the key rests for long
    KEYLESS    another target           yes                  401, 403 for our own key: the key rests
    ABSENT     another target           yes                  404: this one does not have the model
    VAIN       another target           yes                  it answered, and with no summary of what it was given

*Charged* retries come out of a budget of a fifth of all requests, over a small float: when everything fails, retries must
not double the load. A target that is gone has done no work, so going elsewhere adds none: such a retry is free, and
killing an upstream loses nothing that had not begun to answer. Each target and key is tried once for a request (PASSING:
twice), at most `ATTEMPTS` of them charged.

A breaker counts failures in a row. It opens for a while that doubles each time, then lets one probe pass: that one decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from adapter.errors import (
    AdapterError,
    ModelNotFound,
    NoSummary,
    RateLimited,
    UpstreamAuth,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnconnected,
    UpstreamUnreachable,
    UpstreamUnwell,
)
from adapter.upstream.refusals import PASSING

ATTEMPTS: Final = 3
"""Of one request, the charged ones and the first; clients retry as well, and the numbers multiply."""
BUDGET: Final = 0.2
"""Charged retries, as a part of all requests."""
FLOAT: Final = 10.0
"""Retries that a quiet server may make before it has had the requests for them."""
_MOST_SAVED: Final = 100.0

LONGEST_REST: Final = 300.0
"""Seconds; a server that names more is asked again after these."""

TRIPS_AFTER: Final = 5
OPEN_FOR: Final = 2.0
OPEN_AT_MOST: Final = 60.0
PROBE_WITHIN: Final = 30.0
"""Seconds after which a probe that never came back no longer keeps others out."""
PAUSE: Final = 0.25
"""Seconds before the same target is tried again, times two for each attempt, times a random half to whole."""


class Fault(Enum):
    """What a failed attempt means for the next one."""

    CALLER = "caller"
    GONE = "gone"
    SLOW = "slow"
    BROKEN = "broken"
    PASSING = "passing"
    LIMITED = "limited"
    SPENT = "spent"
    KEYLESS = "keyless"
    ABSENT = "absent"
    VAIN = "vain"


FREE: Final = frozenset({Fault.GONE})
COUNTS: Final = frozenset({Fault.GONE, Fault.SLOW, Fault.BROKEN})
_RESTS: Final = {Fault.SPENT: 600.0, Fault.KEYLESS: 60.0}
"""Seconds."""


def fault_of(error: AdapterError) -> Fault:
    """The class of a failed attempt."""
    match error:
        case UpstreamUnreachable() | UpstreamUnconnected():
            return Fault.GONE
        case UpstreamTimeout():
            return Fault.SLOW
        case UpstreamAuth():
            return Fault.KEYLESS
        case UpstreamUnwell() if error.upstream_status in PASSING:
            return Fault.PASSING
        case UpstreamUnwell():
            return Fault.BROKEN
        case UpstreamRefused() if error.type == "insufficient_quota":
            return Fault.SPENT
        case UpstreamRefused():
            return Fault.CALLER
        case NoSummary():
            return Fault.VAIN
        case UpstreamError():
            return Fault.BROKEN
        case RateLimited():
            return Fault.LIMITED
        case ModelNotFound():
            return Fault.ABSENT
    return Fault.CALLER


def rest_of(fault: Fault, error: AdapterError) -> float:
    """Seconds that the target's key is left alone after this."""
    if fault is Fault.LIMITED:
        return min(float(error.retry_after or 1), LONGEST_REST)
    return _RESTS.get(fault, 0.0)


class Budget:
    """Retries that may be made: every request saves a fifth of one."""

    __slots__ = ("_saved",)

    def __init__(self) -> None:
        self._saved = FLOAT

    def request(self) -> None:
        """One more request came."""
        self._saved = min(self._saved + BUDGET, _MOST_SAVED)

    @property
    def left(self) -> bool:
        """There is one left."""
        return self._saved >= 1

    def spend(self) -> bool:
        """One charged retry, if there is one left."""
        if not self.left:
            return False
        self._saved -= 1
        return True


class State(Enum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Keeps requests from a target that fails: closed -> open -> half open -> closed or open again."""

    __slots__ = ("_failures", "_opened", "_until", "state")

    def __init__(self) -> None:
        self.state = State.CLOSED
        self._failures = 0
        self._opened = 0
        """Times in a row."""
        self._until = 0.0

    def wait(self, now: float) -> float:
        """Seconds until a request may pass; 0: now."""
        return 0.0 if self.state is State.CLOSED else max(self._until - now, 0.0)

    def enter(self, now: float) -> None:
        """A request goes through, `wait` having said that it may; behind an open time it is the only one."""
        if self.state is not State.CLOSED:
            self.state = State.HALF_OPEN
            self._until = now + PROBE_WITHIN

    def succeeded(self) -> None:
        """A request was answered, be it with a refusal."""
        self.state = State.CLOSED
        self._failures = self._opened = 0

    def failed(self, now: float, random: Callable[[], float]) -> None:
        """A request failed in a way that counts."""
        self._failures += 1
        if self.state is State.HALF_OPEN or (self.state is State.CLOSED and self._failures >= TRIPS_AFTER):
            open_for = min(OPEN_FOR * 2**self._opened, OPEN_AT_MOST)
            self._opened += 1
            self.state = State.OPEN
            self._until = now + open_for * (0.5 + random() / 2)

    def left(self, now: float) -> None:
        """A request ended without telling anything: its client left. A probe makes room for another one."""
        if self.state is State.HALF_OPEN:
            self.state = State.OPEN
            self._until = now


@dataclass(slots=True)
class Attempts:
    """What one request has tried so far."""

    budget: Budget
    made: int = 0
    """Attempts sent."""
    charged: int = 0
    last: Fault | None = None
    stopped: bool = False
    """The fault, the budget or the bound on attempts ended it."""

    def failed(self, fault: Fault) -> None:
        """One came to nothing; what it took is booked."""
        self.made += 1
        self.last = fault
        self.charged += fault not in FREE
        if fault is Fault.CALLER or self.charged >= ATTEMPTS:
            self.stopped = True

    def spend(self) -> bool:
        """Pay for the next attempt, once there is somewhere to go."""
        if self.last in FREE or self.budget.spend():
            return True
        self.stopped = True
        return False

    def pause(self, random: Callable[[], float]) -> float:
        """Seconds before the same target is asked again."""
        return PAUSE * float(1 << (self.made - 1)) * (0.5 + random() / 2)
