"""Servers that have no room now, or are loading, are waited for: with pauses in place of sleep, and a script of answers."""

from __future__ import annotations

from adapter.conform.live.case import Answer
from adapter.conform.live.patience import Patient


def answer(status: int, retry_after: int | None = None) -> Answer:
    return Answer(status, "application/json", b"{}", retry_after=retry_after)


def asked(*script: Answer, times: int = 1, longest: float = 60) -> tuple[list[int], list[float], list[str]]:
    """The statuses that come of so many questions, the pauses, and what was told."""
    answers, pauses, told = iter(script), list[float](), list[str]()
    patient = Patient(lambda method, path, raw: next(answers), longest, pauses.append, told.append)
    return [patient("POST", "/x", b"").status for _ in range(times)], pauses, told


def test_a_limit_is_waited_for_as_long_as_it_says() -> None:
    statuses, pauses, told = asked(answer(429, 7), answer(200))
    assert (statuses, pauses, told) == ([200], [7], ["wait  7 s: status 429"])


def test_a_limit_that_says_nothing_is_waited_for_longer_each_time() -> None:
    assert asked(answer(429), answer(429), answer(429, 0), answer(200))[:2] == ([200], [1, 2, 4])


def test_a_server_that_is_loading_is_waited_for() -> None:
    assert asked(answer(503), answer(503), answer(200))[:2] == ([200], [1, 2])


def test_a_503_between_other_answers_is_an_answer_unless_it_says_when() -> None:
    """Gateways say it of models that they do not have."""
    statuses, pauses, _ = asked(answer(200), answer(503), answer(503, 3), answer(404), times=3)
    assert (statuses, pauses) == ([200, 503, 404], [3])


def test_nobody_is_waited_for_longer_than_that() -> None:
    statuses, pauses, _ = asked(*[answer(429)] * 20, times=3, longest=10)
    assert (statuses, pauses) == ([429] * 3, [1, 2, 4, 1, 2])
    assert asked(answer(429, 3600))[:2] == ([429], [])


def test_an_answer_gives_back_the_patience() -> None:
    script = [answer(429, 10), answer(400), answer(429, 10), answer(200)]
    assert asked(*script, times=2, longest=10)[:2] == ([400, 200], [10, 10])
