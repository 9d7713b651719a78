"""What one process knows about its upstreams: who fails, who rests, how much runs where.

A request passes two breakers. That of its upstream counts what keeps every model from being asked: nobody there, no connection.
That of the model and the tenant counts what was wrong with an answer, or that none came: a server can serve one model well and break
over the next one, and who sends what no template takes (a 500 with llama.cpp, LM Studio, vLLM) shuts it for nobody else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from adapter.errors import AdapterError
from adapter.upstream.lacking import Lacking, Learnt
from adapter.upstream.policy import COUNTS, Breaker, Budget, Fault, fault_of, rest_of
from adapter.upstream.profiles import without
from adapter.upstream.router import Target

_MOST: Final = 1024
"""Models that failed, and rests, on record: clients may name any model where an upstream takes all. The oldest goes first."""


class Health:
    """Breakers by upstream, and by upstream, model and tenant; rests by upstream, key and model; calls that run by upstream."""

    def __init__(self, clock: Callable[[], float], random: Callable[[], float]) -> None:
        """`clock` is monotonic; `random` gives numbers in [0, 1)."""
        self.clock = clock
        self.random = random
        self.budget = Budget()
        self.running: Counter[str] = Counter()
        """Calls under way, by upstream."""
        self.uncounted = Lacking()
        """Who has no endpoint that counts tokens."""
        self.unknown: Learnt[frozenset[str]] = Learnt()
        """What upstreams did not know of which their profile says nothing, in the words of `Profile.responses_unknown`. Each tenant
        meets it for itself: the next one's tools are not dropped because this one's were wrong."""
        self.rewordings = Budget()
        """For what was asked again in simpler words in vain: who always says something wrong takes no retries from others."""
        self._upstreams: defaultdict[str, Breaker] = defaultdict(Breaker)
        self._breakers: dict[tuple[str, str, str], Breaker] = {}
        """Of the models that failed last."""
        self._rests: dict[tuple[str, int, str], tuple[float, Fault]] = {}

    def afresh(self) -> Health:
        """That of a configuration which was read anew: whatever failed may have been mended, and all may be asked again. Where
        how much runs is known to both; of failures it hears nothing that come to what was asked before, of another server perhaps
        or with another key."""
        made = Health(self.clock, self.random)
        made.budget, made.running = self.budget, self.running
        return made

    def known(self, targets: Iterable[Target], tenant: str) -> tuple[Target, ...]:
        """The targets with what this tenant learnt of them."""
        return tuple(self._known(target, tenant) for target in targets)

    def _known(self, target: Target, tenant: str) -> Target:
        unknown = self.unknown.of(target, tenant)
        return replace(target, learnt=without(target.upstream.profile, unknown)) if unknown else target

    def learn(self, target: Target, tenant: str) -> None:
        """It has answered this tenant as one that knows no more than its learnt profile says."""
        unknown = frozenset(target.profile.responses_unknown)
        self.unknown.learn(target, unknown | (self.unknown.of(target, tenant) or frozenset()), tenant)

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

    def shut(self, target: Target, tenant: str) -> float:
        """Seconds for which a breaker keeps requests from it; 0: none does."""
        now, longest = self.clock(), 0.0
        for breaker in self._passed(target, tenant):
            longest = max(breaker.wait(now), longest)
        return longest

    def wait(self, target: Target, tenant: str) -> float:
        """Seconds until it may be asked; 0: now."""
        return max(self.resting(target)[0], self.shut(target, tenant))

    def entered(self, target: Target, tenant: str) -> None:
        """A request goes there, `wait` having said that it may."""
        now = self.clock()
        for breaker in self._passed(target, tenant):
            breaker.enter(now)

    def left(self, target: Target, tenant: str) -> None:
        """A request ended without telling anything: its client left."""
        now = self.clock()
        for breaker in self._passed(target, tenant):
            breaker.left(now)

    def answered(self, target: Target, tenant: str) -> None:
        """A request was answered, be it with a refusal."""
        self._upstreams[target.upstream.name].succeeded()
        if self._breakers:
            self._breakers.pop(_model(target, tenant), None)

    def failed(self, target: Target, tenant: str, error: AdapterError) -> Fault:
        """An attempt failed; what that means."""
        fault, now, model = fault_of(error), self.clock(), _model(target, tenant)
        upstream, known = self._upstreams[target.upstream.name], self._breakers.get(model)
        if fault is Fault.GONE:
            upstream.failed(now, self.random)
            if known is not None:  # nothing was heard of it
                known.left(now)
        else:
            self.answered(target, tenant)
            if fault in COUNTS:  # its upstream is there
                breaker = known or Breaker()
                breaker.failed(now, self.random)
                _note(self._breakers, model, breaker)
        rest = rest_of(fault, error)
        if rest > 0 and not target.upstream.callers_key:  # what one caller's own key may is not another's
            of_model, of_key = _places(target)
            # a rate limit is a model's, money and a refused key are an account's
            _note(self._rests, of_model if fault is Fault.LIMITED else of_key, (now + rest, fault))
        return fault

    def _passed(self, target: Target, tenant: str) -> tuple[Breaker, ...]:
        """The breakers that a request for it passes."""
        upstream = self._upstreams[target.upstream.name]
        model = self._breakers.get(_model(target, tenant)) if self._breakers else None
        return (upstream,) if model is None else (upstream, model)


def _note(table: dict[Any, Any], key: Any, value: Any) -> None:
    table.pop(key, None)
    table[key] = value
    if len(table) > _MOST:
        del table[next(iter(table))]


def _model(target: Target, tenant: str) -> tuple[str, str, str]:
    return target.upstream.name, target.model, tenant


def _places(target: Target) -> tuple[tuple[str, int, str], tuple[str, int, str]]:
    name, key = target.upstream.name, target.key
    return (name, key, target.model), (name, key, "")
