"""Limits as values: what is bounded, for whom, and the header fields that tell a client where it stands.

    key     `[[keys]] limits`                this key
    group   `[[groups]] limits`              all keys that ask through the group, together
            `[[groups]] owner_limits`        each owner in the group
            `[[groups]] key_limits`          each key in the group

Each bound is a `Counter`: a window of the clock (a minute, a UTC day) that counts requests or tokens, or the answers that
run now. A request reserves in all of its counters at once or in none; what it did not use goes back when it ends.

A reserved amount goes back only to the window it was taken from, and what an answer cost beyond its estimate is charged to
the window in which that becomes known: waiting for the turn of a window is no way to get tokens for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple

from adapter.errors import RateLimited
from adapter.hub.usage import BYTES_PER_TOKEN, count
from adapter.kinds import PositiveInt, Section
from adapter.wire.headers import RawHeaders

EXPECTED_OUTPUT: Final = 1_000
"""Tokens that an answer without a limit of its own is expected to cost until it is known."""


class Measure(Enum):
    """What is counted, and over how many seconds; no seconds: what runs at this moment."""

    REQUESTS_PER_MINUTE = ("requests", 60, "requests per minute")
    TOKENS_PER_MINUTE = ("tokens", 60, "tokens per minute")
    TOKENS_PER_DAY = ("tokens", 86_400, "tokens per day")
    STREAMS = ("streams", 0, "answers at the same time")

    @property
    def unit(self) -> str:
        return self.value[0]

    @property
    def seconds(self) -> int:
        return self.value[1]

    @property
    def said(self) -> str:
        """For a message: `tokens per day`."""
        return self.value[2]


@dataclass(frozen=True, slots=True)
class Limits(Section):
    """The bounds of one `limits` table."""

    requests_per_minute: PositiveInt | None = None
    """Counted anew with every minute of the clock."""
    tokens_per_minute: PositiveInt | None = None
    """Of requests and answers together."""
    tokens_per_day: PositiveInt | None = None
    """A day is one in UTC."""
    streams: PositiveInt | None = None
    """Answers at the same time, streamed or not."""

    def counters(self, subject: str) -> tuple[Counter, ...]:
        """One for each bound that is set."""
        given = (self.requests_per_minute, self.tokens_per_minute, self.tokens_per_day, self.streams)
        return tuple(
            Counter(subject, measure, limit) for measure, limit in zip(Measure, given, strict=True) if limit is not None
        )


@dataclass(frozen=True, slots=True)
class Counter:
    """One bound for one subject."""

    subject: str
    """Whose: `key:alice-laptop`, `group:codex`, `group:codex:owner:alice`."""
    measure: Measure
    limit: int
    name: str = field(init=False, repr=False, compare=False)
    """Unlike that of any other subject or measure."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.subject}:{self.measure.name.lower()}")

    def take(self, tokens_in: int, tokens_out: int) -> int:
        """What a request reserves here: of its output no more than could ever be had."""
        if self.measure.unit != "tokens":
            return 1
        return tokens_in + min(tokens_out, max(self.limit - tokens_in, 0))


NO_LIMITS: Final = Limits()


class Level(NamedTuple):
    """Where one counter stands."""

    counter: Counter
    used: int
    resets_in: float
    """Seconds to the end of the window; 0 for what runs now."""

    @property
    def remaining(self) -> int:
        return max(self.counter.limit - self.used, 0)


def estimate(body: Mapping[str, Any], size: int) -> tuple[int, int]:
    """The tokens that a request of `size` bytes is expected to cost: what it sends, what it gets."""
    asked = next((found for name in _LIMIT_NAMES if (found := count(body.get(name))) is not None), EXPECTED_OUTPUT)
    choices = count(body.get("n")) or 1
    return -(-size // BYTES_PER_TOKEN), asked * choices


_LIMIT_NAMES: Final = ("max_output_tokens", "max_completion_tokens", "max_tokens")


def refused(counter: Counter, take: int, resets_in: float) -> RateLimited:
    """The answer to a request that does not fit."""
    measure, limit = counter.measure, counter.limit
    whose = "key" if counter.subject.startswith("key:") or ":key:" in counter.subject else "group"
    whose = "account" if ":owner:" in counter.subject else whose
    if measure is Measure.STREAMS:
        return RateLimited(
            f"This {whose} may have {limit} {measure.said}; wait until one of them has ended.", retry_after=1
        )
    if take > limit:
        error = RateLimited(
            f"The request needs about {take} {measure.unit}, more than the {limit} {measure.said} of this {whose}: "
            "make it smaller.",
            type=measure.unit,
        )
        error.should_retry = False
        return error
    wait = max(1, -int(-resets_in // 1))
    return RateLimited(
        f"The limit of {limit} {measure.said} of this {whose} is reached; try again in {wait} s.",
        type=measure.unit,
        retry_after=wait,
    )


def told(levels: Sequence[Level]) -> RawHeaders:
    """`x-ratelimit-*`: for requests and for tokens the counter with the least left."""
    headers: RawHeaders = []
    for unit in ("requests", "tokens"):
        of_unit = [level for level in levels if level.counter.measure.unit == unit]
        if of_unit:
            tightest = min(of_unit, key=lambda level: level.remaining)
            for name, value in (
                ("limit", str(tightest.counter.limit)),
                ("remaining", str(tightest.remaining)),
                ("reset", duration(tightest.resets_in)),
            ):
                headers.append((f"x-ratelimit-{name}-{unit}".encode(), value.encode()))
    return headers


def duration(seconds: float) -> str:
    """As the APIs write it: `1h2m3s`, `12s`."""
    whole = max(0, -int(-seconds // 1))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{left}s"
