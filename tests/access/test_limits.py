"""Limits as values: estimates, refusals, the fields that tell a client where it stands."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.access.limits import EXPECTED_OUTPUT, Counter, Level, Measure, duration, estimate, refused, told


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (25, EXPECTED_OUTPUT)),
        ({"max_output_tokens": 7}, (25, 7)),
        ({"max_completion_tokens": 7, "max_tokens": 9}, (25, 7)),
        ({"max_tokens": 9, "n": 3}, (25, 27)),
        ({"max_tokens": "many", "n": None}, (25, EXPECTED_OUTPUT)),
    ],
)
def test_an_estimate_is_what_is_sent_and_what_may_come(body: dict[str, Any], expected: tuple[int, int]) -> None:
    assert estimate(body, 99) == expected


def test_an_output_that_is_larger_than_the_limit_reserves_all_there_can_be() -> None:
    counter = Counter("key:a", Measure.TOKENS_PER_MINUTE, 1000)
    assert [counter.take(*tokens) for tokens in ((100, 200), (100, 10**6), (2000, 10))] == [300, 1000, 2000]
    assert Counter("key:a", Measure.REQUESTS_PER_MINUTE, 5).take(100, 200) == 1


def test_a_refusal_says_what_is_reached_and_when_to_come_back() -> None:
    error = refused(Counter("group:g:owner:alice", Measure.TOKENS_PER_DAY, 1000), 10, 59.2)
    assert (error.http_status, error.code, error.type, error.retry_after) == (429, "rate_limit_exceeded", "tokens", 60)
    assert error.message == "The limit of 1000 tokens per day of this account is reached; try again in 60 s."
    assert "alice" not in error.message


def test_what_can_never_fit_is_not_to_be_tried_again() -> None:
    error = refused(Counter("key:a", Measure.TOKENS_PER_MINUTE, 1000), 1001, 5)
    assert (error.should_retry, error.retry_after, error.type) == (False, None, "tokens")
    assert "smaller" in error.message


@pytest.mark.parametrize(
    ("subject", "whose"),
    [
        ("key:a", "key"),
        ("group:g:key:a", "key"),
        ("group:g:owner:alice", "account"),
        ("group:g", "group"),
    ],
)
def test_a_refusal_says_whose_limit_it_is(subject: str, whose: str) -> None:
    assert f" of this {whose} is reached" in refused(Counter(subject, Measure.REQUESTS_PER_MINUTE, 5), 1, 3).message


def test_too_many_at_once_wait_a_second() -> None:
    error = refused(Counter("group:g", Measure.STREAMS, 8), 1, 0)
    assert (error.retry_after, error.should_retry) == (1, None)


def test_the_fields_are_those_of_the_tightest_counter() -> None:
    levels = [
        Level(Counter("key:a", Measure.TOKENS_PER_MINUTE, 1000), 100, 3.2),
        Level(Counter("key:a", Measure.TOKENS_PER_DAY, 5000), 4990, 3661),
        Level(Counter("key:a", Measure.REQUESTS_PER_MINUTE, 10), 12, 4),
        Level(Counter("key:a", Measure.STREAMS, 1), 1, 0),
    ]
    assert dict(told(levels)) == {
        b"x-ratelimit-limit-requests": b"10",
        b"x-ratelimit-remaining-requests": b"0",
        b"x-ratelimit-reset-requests": b"4s",
        b"x-ratelimit-limit-tokens": b"5000",
        b"x-ratelimit-remaining-tokens": b"10",
        b"x-ratelimit-reset-tokens": b"1h1m1s",
    }
    assert told([]) == []


@pytest.mark.parametrize(("seconds", "said"), [(0, "0s"), (0.1, "1s"), (61, "1m1s"), (3600, "1h0m0s"), (-5, "0s")])
def test_durations_as_the_apis_write_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
