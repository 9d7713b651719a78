"""What is drawn: the smallest request that breaks a server is found, at a bounded cost, and no fault is told again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from adapter.conform.live.case import Answer
from adapter.conform.report import Known
from tests.conform.defects import BOTH, plain
from tests.conform.live import Defect, asked, broken, judged


@pytest.mark.parametrize(("dialect", "field"), [("chat", "messages"), ("responses", "input")])
def test_the_smallest_request_that_breaks_a_server_is_shown(dialect: str, field: str) -> None:
    """A server that fails on a parameter that no fixed question has."""
    failing = Defect(answers=lambda body, answer: replace(answer, status=500) if "temperature" in body else answer)
    report = judged(failing, dialect, examples=40, seed=3)
    ((law, case, finding),) = report.findings
    assert (law, case) == ("any-request-is-answered-or-refused", "--seed 3")
    assert finding.startswith("is-answered: status 500: ")
    smallest = json.loads(finding.partition("the smallest request: ")[2])
    assert smallest["temperature"] == 0
    assert smallest[field] in ("0", [{"role": "user", "content": "0"}])
    assert not smallest.keys() & {"tools", "instructions", "reasoning", "reasoning_effort", "response_format"}
    assert judged(failing, dialect, examples=40, seed=3).json() == report.json()


def test_another_failure_than_those_that_are_told_is_searched_for() -> None:
    """A server without tools that also crashes on a parameter: what it says of either tells them apart."""

    def answers(body: dict[str, Any], answer: Answer) -> Answer:
        if "temperature" in body:
            return Answer(
                500, "application/json", b'{"error": {"message": "division by zero", "type": "server_error"}}'
            )
        if "tools" in body:
            return Answer(500, "application/json", b'{"error": {"message": "not implemented", "type": "server_error"}}')
        return answer

    found = {law: told for law, _, told in judged(Defect(answers=answers), "chat", examples=40, seed=3).findings}
    assert "not implemented" in found["is-answered"]
    assert "division by zero" in found["any-request-is-answered-or-refused"]


def test_what_another_law_says_in_the_same_words_is_another_failure() -> None:
    """vLLM's responses have no `error`; where this server refuses a temperature, it does not say why either."""

    def answers(body: dict[str, Any], answer: Answer) -> Answer:
        if "temperature" in body:
            return Answer(400, "application/json", b'{"detail": "no"}')
        return answer

    def says(body: dict[str, Any], told: Any) -> Any:
        (told.get("response") or told).pop("error", None)
        return told

    report = judged(Defect(says=says, answers=answers), "responses", examples=40, seed=3)
    found = {law: told for law, _, told in report.findings}
    assert found["has-the-shape"] == "error is missing"
    assert found["any-request-is-answered-or-refused"].startswith("says-why: error is missing; ")


def test_how_many_of_the_drawn_requests_were_refused_is_told() -> None:
    statuses: list[int] = []

    def answers(body: dict[str, Any], answer: Answer) -> Answer:
        statuses.append(answer.status)
        return answer

    judged(Defect(answers=answers), "chat")
    fixed = len(statuses)
    report = judged(Defect(answers=answers), "chat", examples=30, seed=3)
    refused = statuses[2 * fixed :].count(400)
    assert refused
    assert report.remarks[-1][1].endswith(f"; {refused} were refused")


@pytest.mark.parametrize("dialect", BOTH)
def test_what_is_drawn_tells_no_fault_again_and_searches_for_none_that_is_told(dialect: str) -> None:
    """Every answer lacks something: the table says so, and no request is made small for it."""
    report = judged(plain(lambda told: told.pop("model")), dialect, examples=20, seed=3)
    assert broken(report) == {"has-the-shape"}
    assert report.cases["any-request-is-answered-or-refused"] <= 20
    assert "answered with faults that are told above or known" in report.remarks[-1][1]


def test_a_law_that_is_known_to_be_broken_is_not_searched_for_among_what_is_drawn() -> None:
    """The finding quotes the answer, so each drawn one has a new one."""

    def counts_nothing(told: Any) -> None:
        told["usage"] |= {"completion_tokens": 0, "total_tokens": told["usage"]["prompt_tokens"]}

    report = judged(plain(counts_nothing), "chat", examples=20, seed=3, known=[Known("usage-adds-up")])
    assert broken(report) == {"usage-adds-up"}
    assert report.ok


def test_a_fault_that_streams_have_is_told_of_a_drawn_plain_answer() -> None:
    """It fails all streams, and where a temperature is asked for."""
    failing = Defect(
        answers=lambda body, it: replace(it, status=500) if body.get("stream") or "temperature" in body else it
    )
    (found,) = [told for law, _, told in judged(failing, "chat", examples=40, seed=3).findings if law.startswith("any")]
    assert '"stream"' not in found


def test_a_server_that_answers_differently_each_time_confuses_no_search() -> None:
    """Only the first answer to a request counts, so what was broken once is found."""
    told: list[dict[str, Any]] = []

    def moody(body: dict[str, Any], answer: Answer) -> Answer:
        if "temperature" not in body:
            return answer
        told.append(body)
        return replace(answer, status=500) if len(told) == 1 else answer

    report = judged(Defect(answers=moody), "chat", examples=40, seed=3)
    assert broken(report) == {"any-request-is-answered-or-refused"}


def test_a_search_costs_no_more_than_its_bound() -> None:
    """Everything is broken: still no request is asked twice, and the way down is short."""
    count = 0

    def ask(method: str, path: str, raw: bytes) -> Answer:
        nonlocal count
        count += 1
        return asked(method, path, raw)

    judged(ask, "chat")
    fixed, count = count, 0
    assert fixed < 45

    def failing(method: str, path: str, raw: bytes) -> Answer:
        answer = ask(method, path, raw)
        return replace(answer, status=500) if answer.status == 200 and b'"content":"Say hello."' not in raw else answer

    judged(failing, "chat", examples=5)
    assert count - fixed <= 5 + 60
