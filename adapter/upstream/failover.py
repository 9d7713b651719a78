"""One request's way over its targets, up to the first answer.

    while (target := failover.next()) is not None:      none that rests, of which a breaker is open, or that is full
        if failover.enter(target):                      its breakers, its place among what runs there
            try:      answer = await ask(target)
            except AdapterError as error:  failover.failed(error)
            else:     failover.answered(); break        the place is kept until `failover.leave()`
    else:         raise failover.error()

A target that rests, of which a breaker is open or where too much runs already is passed over. Keys of one upstream are tried
before the next upstream where it is the key that failed; a broken upstream is left with all of its keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil, inf
from operator import attrgetter
from typing import Final, NamedTuple

from adapter.errors import AdapterError, NoUpstream, Overloaded, UpstreamLimited
from adapter.upstream.health import Health
from adapter.upstream.policy import Attempts, Fault, fault_of
from adapter.upstream.profiles import without
from adapter.upstream.router import Target, Upstream

_REFUSED: Final = frozenset({Fault.SPENT, Fault.KEYLESS})
"""A key that rests for one of these is tried all the same where there is nothing else: its owner may have mended it by now, and
the client hears why it does not serve."""
_OF_THE_KEY: Final = _REFUSED | {Fault.LIMITED}


class _Wait(NamedTuple):
    """How long a target cannot be asked, and what it says about that."""

    seconds: float
    """Infinite where waiting helps nothing."""
    error: AdapterError
    target: Target


class Failover:
    """Made for one request; its targets in the order in which they are to be tried."""

    __slots__ = (
        "_again",
        "_at",
        "_attempts",
        "_error",
        "_given",
        "_health",
        "_held",
        "_keys_only",
        "_left",
        "_open",
        "_paid_for",
        "_spare",
        "_tenant",
        "_waits",
        "_where",
        "begun",
        "pause",
        "places",
        "tried",
    )

    places: int
    """How many of the entered upstream's places are this request's; its calls are no more at once."""

    def __init__(
        self, targets: Sequence[Target], health: Health, tenant: str = "", *, held: Upstream | None = None
    ) -> None:
        """`tenant`: whose request it is. `held`: an upstream at which a place is there for it already, and idle."""
        self._health = health
        self._tenant = tenant
        self._held = held
        self._left = list(targets)
        self._attempts = Attempts(health.budget)
        self._error: AdapterError | None = None
        self._where: str | None = None
        self._at: Target | None = None
        self._given: Target | None = None
        """The one that `next` found open."""
        self._open = False
        """A target was entered that has neither failed nor answered."""
        self._again = True
        self._keys_only = True
        """Whatever failed was the matter of a key."""
        self._paid_for = False
        self._waits: dict[str, _Wait] = {}
        """Of each upstream that could not be asked, or had enough: the one of its targets that is back first."""
        self._spare: list[Target] = []
        self.begun = False
        """Somebody is being asked, or was; before, one was only entered."""
        self.pause = 0.0
        """Seconds to wait before the target that `next` gave is asked."""
        self.tried: list[tuple[str, str]] = []
        """Upstream and outcome of every attempt, for log and metric."""
        health.budget.request()

    def next(self) -> Target | None:
        """The target to ask now; None when nothing is left to try."""
        self._given = self._next()
        return self._given

    def _next(self) -> Target | None:
        attempts = self._attempts
        if attempts.stopped:
            return None
        while self._left:
            refused = self._shut(self._left[0])
            if refused is None:
                return self._left[0] if not attempts.made or self._paid() else None
            target = self._left.pop(0)
            self._pass_over(target, *refused)
            self._spare.append(target)
        while self._spare and not attempts.made:
            refused = self._shut(self._spare[0], spare=True)
            if refused is None:
                return self._spare[0]
            self._pass_over(self._spare.pop(0), *refused)
        if attempts.last is Fault.PASSING and self._again and self._at is not None and self._paid():
            self._again = False
            self.pause = attempts.pause(self._health.random)
            return self._at
        return None

    def enter(self, target: Target, calls: int = 1) -> bool:
        """Go to a target, which need not be the one that `next` gave: a history may be bound to another. False where that one
        cannot be asked now. Of the places for so many `calls` it gets those that are free, one at least."""
        if target in self._left:
            self._left.remove(target)
        if target != self._given and (refused := self._shut(target, spare=target in self._spare)) is not None:
            self._pass_over(target, *refused)
            return False
        self._at = target
        upstream = target.upstream
        where, running = upstream.name, self._health.running
        bound = upstream.max_concurrency
        if upstream is self._held:
            places = 0
        else:
            places = calls if bound is None else min(calls, bound - running[where])
        self.places = places
        running[where] += places
        self._where = where
        self._health.entered(target, self._tenant)
        self._open = True
        self._paid_for = False
        return True

    def skip(self, target: Target) -> None:
        """This one is of no use, with whichever key."""
        self._left = [each for each in self._left if each.upstream is not target.upstream]
        self._spare = [each for each in self._spare if each.upstream is not target.upstream]

    def _paid(self) -> bool:
        """Whether the next attempt is paid for; it is paid for once, however many targets are looked at."""
        if not self._paid_for:
            self._paid_for = self._attempts.spend()
        return self._paid_for

    def reword(self, error: AdapterError) -> bool:
        """The entered target is asked once more in other words, since this is what it said of the first ones; False where too many of
        those were in vain."""
        target, budget = self._at, self._health.rewordings
        assert target is not None
        budget.request()
        if budget.left:
            self.tried.append((target.upstream.name, fault_of(error).value))
        return budget.left

    def learn(self, unknown: str) -> None:
        """The entered target turned out not to know this, a word of `Profile.responses_unknown`."""
        target = self._at
        assert target is not None
        self._health.learn(replace(target, learnt=without(target.profile, frozenset({unknown}))), self._tenant)

    def failed(self, error: AdapterError) -> None:
        """The attempt failed before the first event."""
        target = self._at
        assert target is not None
        self._open = False
        self.leave()
        fault = self._health.failed(target, self._tenant, error)
        self.tried.append((target.upstream.name, fault.value))
        self._attempts.failed(fault)
        if fault not in _OF_THE_KEY:
            self._keys_only = False
            self.skip(target)
        if fault is Fault.ABSENT:  # told only where no other upstream failed or rests
            self._waits[target.upstream.name] = _Wait(inf, error, target)
        else:
            self._error = error
        if fault is Fault.LIMITED and error.retry_after is not None:
            self._pass_over(target, error.retry_after, error)

    @property
    def asked(self) -> Target | None:
        """Who was asked last; None as long as nobody was."""
        return self._at

    @property
    def passed_over(self) -> list[Target]:
        """Who could not be asked now, each upstream once."""
        return [wait.target for wait in self._waits.values()]

    def _pass_over(self, target: Target, seconds: float, error: AdapterError) -> None:
        known = self._waits.get(target.upstream.name)
        if known is None or seconds < known.seconds:
            self._waits[target.upstream.name] = _Wait(seconds, error, target)

    def answered(self) -> None:
        """The first event is there: from here on there is no other target."""
        assert self._at is not None
        self._open = False
        self._error, self._waits = None, {}  # their tracebacks hold all that was asked
        self._health.answered(self._at, self._tenant)
        self.tried.append((self._at.upstream.name, "ok"))

    def leave(self) -> None:
        """Nothing of this request runs at an upstream any more. Where it neither failed nor was answered, its client left, and
        that is no news about the upstream."""
        if self._where is not None:
            if self._open and self._at is not None:
                self._health.left(self._at, self._tenant)
            self._health.running[self._where] -= self.places
            self._where = None

    def error(self) -> AdapterError:
        """What the client hears when nothing is left to try. Where keys were refused and others have only had enough, it is to
        come again: by then one of those answers, and until then nobody is asked twice."""
        last, waits = self._error, list(self._waits.values())
        self._error, self._waits = None, {}  # whose traceback will hold this
        if last is None or (self._keys_only and any(wait.seconds < inf for wait in waits)):
            return _nowhere(waits)
        if self._attempts.made > 1 or self._attempts.last in _REFUSED:  # a key does not mend in the time of a retry
            last.should_retry = False
        return last

    def _shut(self, target: Target, *, spare: bool = False) -> tuple[float, AdapterError] | None:
        """Why a target is passed over, and for how long; `spare` overlooks that its key was refused."""
        health, upstream = self._health, target.upstream
        wait, why = health.resting(target)
        if why is Fault.LIMITED:
            return wait, UpstreamLimited("The upstream's rate limit is reached.")
        shut = health.shut(target, self._tenant)
        if shut > 0 or (wait > 0 and not spare):
            # to wait for a key that was refused helps nothing
            return shut or inf, NoUpstream("No upstream that serves this model can be reached now.")
        bound = None if upstream is self._held else upstream.max_concurrency
        if bound is not None and health.running[upstream.name] >= bound:
            return 1.0, Overloaded("The upstream of this model has all the work it may have; try again.")
        return None


def _nowhere(waits: Iterable[_Wait]) -> AdapterError:
    """Nothing else could be tried: what the target that is back first stands for."""
    first = min(waits, key=attrgetter("seconds"))
    if first.seconds < inf:
        first.error.retry_after = max(1, ceil(first.seconds))
    return first.error
