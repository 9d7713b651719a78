"""What one process knows about its upstreams: who fails, who rests, how much runs where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from adapter.errors import AdapterError
from adapter.upstream.policy import COUNTS, Breaker, Budget, Fault, fault_of, rest_of
from adapter.upstream.router import Target


@dataclass(slots=True)
class Condition:
    """Of one upstream."""

    breaker: Breaker = field(default_factory=Breaker)
    running: int = 0


class Health:
    """Conditions by upstream, rests by upstream, key and model."""

    def __init__(self, clock: Callable[[], float], random: Callable[[], float]) -> None:
        """`clock` is monotonic; `random` gives numbers in [0, 1)."""
        self.clock = clock
        self.random = random
        self.budget = Budget()
        self._conditions: dict[str, Condition] = {}
        self._rests: dict[tuple[str, int, str], tuple[float, Fault]] = {}

    def of(self, upstream: str) -> Condition:
        """The condition of an upstream."""
        found = self._conditions.get(upstream)
        if found is None:
            found = self._conditions[upstream] = Condition()
        return found

    def resting(self, target: Target) -> tuple[float, Fault | None]:
        """Seconds that this target and key must still be left alone, and why."""
        if not self._rests:
            return 0.0, None
        now, longest, why = self.clock(), 0.0, None
        for key in _places(target):
            if (rest := self._rests.get(key)) is not None:
                if rest[0] <= now:
                    del self._rests[key]
                elif rest[0] - now > longest:
                    longest, why = rest[0] - now, rest[1]
        return longest, why

    def wait(self, target: Target) -> float:
        """Seconds until it may be asked; 0: now."""
        return max(self.resting(target)[0], self.of(target.upstream.name).breaker.wait(self.clock()))

    def failed(self, target: Target, error: AdapterError) -> Fault:
        """An attempt failed; what that means."""
        fault, now = fault_of(error), self.clock()
        breaker = self.of(target.upstream.name).breaker
        if fault in COUNTS:
            breaker.failed(now, self.random)
        else:
            breaker.succeeded()
        rest = rest_of(fault, error)
        if rest > 0 and not target.upstream.callers_key:  # what one caller's own key may is not another's
            of_model, of_key = _places(target)
            # a rate limit is a model's, money and a refused key are an account's
            self._rests[of_model if fault is Fault.LIMITED else of_key] = (now + rest, fault)
        return fault


def _places(target: Target) -> tuple[tuple[str, int, str], tuple[str, int, str]]:
    name, key = target.upstream.name, target.key
    return (name, key, target.model), (name, key, "")
