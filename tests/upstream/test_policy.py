"""Retry and failover as pure policy: what an error means, what may be spent, when a breaker lets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter import errors
from adapter.errors import AdapterError
from adapter.upstream import policy
from adapter.upstream.policy import Attempts, Breaker, Budget, Fault, State, fault_of, rest_of


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (errors.InvalidValue("x"), Fault.CALLER),
        (errors.UpstreamRefused("x", status=400), Fault.CALLER),
        (errors.UpstreamRefused("x", status=422), Fault.CALLER),
        (errors.PayloadTooLarge("x"), Fault.CALLER),
        (errors.UpstreamUnreachable("x"), Fault.GONE),
        (errors.UpstreamUnconnected("x"), Fault.GONE),
        (errors.UpstreamTimeout("x"), Fault.SLOW),
        (errors.UpstreamUnwell("x", status=503), Fault.BROKEN),
        (errors.UpstreamUnwell("x", status=500), Fault.BROKEN),
        (errors.UpstreamUnwell("x", status=409), Fault.PASSING),
        (errors.UpstreamUnwell("x", status=408), Fault.PASSING),
        (errors.UpstreamBadContent("x"), Fault.BROKEN),
        (errors.UpstreamEmpty("x"), Fault.BROKEN),
        (errors.UpstreamTruncated("x"), Fault.BROKEN),
        (errors.UpstreamRedirect("x"), Fault.BROKEN),
        (errors.UpstreamRefused("x", status=429, code="insufficient_quota", type="insufficient_quota"), Fault.SPENT),
        (errors.UpstreamAuth("x"), Fault.KEYLESS),
        (errors.RateLimited("x"), Fault.LIMITED),
        (errors.ModelNotFound("x"), Fault.ABSENT),
        (errors.NoSummary("x"), Fault.VAIN),
    ],
)
def test_what_an_error_means(error: AdapterError, fault: Fault) -> None:
    assert fault_of(error) is fault


def test_retry_after_is_obeyed_up_to_a_bound() -> None:
    assert rest_of(Fault.LIMITED, errors.RateLimited("x", retry_after=7)) == 7
    assert rest_of(Fault.LIMITED, errors.RateLimited("x", retry_after=9999)) == policy.LONGEST_REST
    assert rest_of(Fault.SPENT, errors.UpstreamRefused("x", status=429)) > rest_of(
        Fault.KEYLESS, errors.UpstreamAuth("x")
    )
    assert rest_of(Fault.BROKEN, errors.UpstreamEmpty("x")) == 0


@given(st.lists(st.sampled_from(["request", "retry"]), max_size=300))
def test_charged_retries_are_at_most_a_fifth_of_the_requests_and_a_float(steps: list[str]) -> None:
    budget, requests, retries = Budget(), 0, 0
    for step in steps:
        if step == "request":
            requests += 1
            budget.request()
        else:
            retries += budget.spend()
    assert retries <= policy.FLOAT + policy.BUDGET * requests + 1e-6


def test_the_budget_does_not_save_without_end() -> None:
    budget = Budget()
    for _ in range(100_000):
        budget.request()
    assert sum(budget.spend() for _ in range(1000)) <= 100


def test_a_client_s_fault_ends_it_and_a_target_that_is_gone_costs_nothing() -> None:
    budget = Budget()
    attempts = Attempts(budget)
    for _ in range(50):
        attempts.failed(Fault.GONE)
        assert not attempts.stopped
        assert attempts.spend()
    attempts.failed(Fault.CALLER)
    assert attempts.stopped
    assert sum(budget.spend() for _ in range(50)) == policy.FLOAT


def test_charged_attempts_end() -> None:
    attempts = Attempts(Budget())
    stopped = []
    for _ in range(3):
        attempts.failed(Fault.BROKEN)
        stopped.append(attempts.stopped)
    assert stopped == [False, False, True]


def test_an_empty_budget_ends_it() -> None:
    budget = Budget()
    while budget.spend():
        pass
    attempts = Attempts(budget)
    attempts.failed(Fault.SLOW)
    assert not attempts.stopped
    assert not attempts.spend()
    assert attempts.stopped


def test_pauses_grow_and_are_spread() -> None:
    attempts = Attempts(Budget())
    attempts.failed(Fault.PASSING)
    first = [attempts.pause(lambda: 0.0), attempts.pause(lambda: 0.999)]
    attempts.failed(Fault.PASSING)
    second = [attempts.pause(lambda: 0.0), attempts.pause(lambda: 0.999)]
    assert first == pytest.approx([policy.PAUSE / 2, policy.PAUSE], rel=0.01)
    assert second == pytest.approx([policy.PAUSE, 2 * policy.PAUSE], rel=0.01)


def half() -> float:
    return 1.0


def tripped(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(policy.TRIPS_AFTER):
        breaker.failed(now, half)
    assert breaker.state is State.OPEN
    return breaker


def test_failures_in_a_row_open_it_and_one_success_between_does_not() -> None:
    breaker = Breaker()
    for _ in range(10):
        for _ in range(policy.TRIPS_AFTER - 1):
            breaker.failed(0, half)
        assert breaker.state is State.CLOSED
        breaker.succeeded()
    assert tripped().wait(0) == policy.OPEN_FOR


def test_one_probe_at_a_time_and_its_success_closes_it() -> None:
    breaker = tripped()
    assert breaker.wait(policy.OPEN_FOR) == 0
    breaker.enter(policy.OPEN_FOR)
    assert breaker.wait(policy.OPEN_FOR) > 0, "the probe keeps others out"
    breaker.succeeded()
    assert breaker.wait(policy.OPEN_FOR) == 0
    breaker.enter(policy.OPEN_FOR)
    assert breaker.wait(policy.OPEN_FOR) == 0


def test_a_failed_probe_opens_it_for_longer_each_time_up_to_a_bound() -> None:
    breaker, now, waits = tripped(), 0.0, []
    for _ in range(8):
        waits.append(breaker.wait(now))
        now += waits[-1]
        breaker.enter(now)
        breaker.failed(now, half)
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    breaker.succeeded()
    for _ in range(policy.TRIPS_AFTER):
        breaker.failed(now, half)
    assert breaker.wait(now) == policy.OPEN_FOR, "it was well in between"


def test_a_probe_whose_client_left_or_that_never_came_back_makes_room() -> None:
    breaker = tripped()
    breaker.enter(2)
    breaker.left(2.5)
    assert breaker.wait(2.5) == 0
    breaker.enter(2.5)
    assert breaker.wait(2.5 + policy.PROBE_WITHIN) == 0


def test_failures_of_requests_that_were_on_their_way_do_not_prolong_it() -> None:
    breaker = tripped()
    breaker.failed(1.5, half)
    assert breaker.wait(1.5) == 0.5


@given(st.lists(st.sampled_from(["fail", "ok", "enter", "left", "tick"]), max_size=120))
def test_a_breaker_always_lets_somebody_through_in_the_end(steps: list[str]) -> None:
    breaker, now = Breaker(), 0.0
    for step in steps:
        match step:
            case "fail":
                breaker.failed(now, half)
            case "ok":
                breaker.succeeded()
            case "enter" if breaker.wait(now) == 0:
                breaker.enter(now)
            case "left":
                breaker.left(now)
            case "tick":
                now += 1.0
    assert breaker.wait(now) <= policy.OPEN_AT_MOST
    assert breaker.wait(now + policy.OPEN_AT_MOST) == 0
