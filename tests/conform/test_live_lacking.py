"""What a server lacks and says so is not supported, and breaks nothing; the limit is asked for by a name that it knows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapter.conform.live.case import Answer
from tests.conform.defects import BOTH, NEW, OLD, where, without
from tests.conform.live import Defect, Holding, broken, judged


def _lacks(message: str, param: str | None) -> Defect:
    refusal = {"error": {"message": message, "type": "invalid_request_error", "param": param}}

    def answers(body: dict[str, Any], answer: Answer) -> Answer:
        if "response_format" not in body and "format" not in body.get("text", {}):
            return answer
        return Answer(400, "application/json", json.dumps(refusal).encode())

    return Defect(answers=answers)


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("refusal", [("json_schema is not supported", None), ("No.", "text.format")])
def test_a_feature_that_is_refused_by_name_is_not_supported_and_breaks_nothing(
    dialect: str, refusal: tuple[str, str | None]
) -> None:
    report = judged(_lacks(*refusal), dialect)
    assert report.ok
    remarks = [case for case, told in report.remarks if "not supported" in told]
    assert [case for case in remarks if "JSON" in case] == ["a JSON object", "a JSON schema", "a JSON schema, streamed"]
    assert "not supported" in report.text()


@pytest.mark.parametrize("dialect", BOTH)
def test_a_feature_that_is_refused_without_its_name_is_broken(dialect: str) -> None:
    assert broken(judged(_lacks("Bad request.", None), dialect)) == {"is-answered"}


# ------------------------------------------------------------------------------------------------------- the limit's name


def _refusing(key: str, told: set[str]) -> Defect:
    """A server that knows a limit by one name only; `told` takes the limits of the requests that it answers."""
    refusal = {"error": {"message": f"Unknown parameter: {key}", "type": "invalid_request_error", "param": key}}

    def answers(body: dict[str, Any], answer: Answer) -> Answer:
        if key in body:
            return Answer(400, "application/json", json.dumps(refusal).encode())
        told.update(body.keys() & {OLD, NEW} if answer.status == 200 else ())
        return answer

    return Defect(answers=answers)


@pytest.mark.parametrize(("lacks_it", "has_it"), [(NEW, OLD), (OLD, NEW)])
def test_a_server_that_takes_one_name_of_the_limit_is_asked_by_that_name(lacks_it: str, has_it: str) -> None:
    """What is drawn, too. The other name is not supported, and nothing is broken."""
    told: set[str] = set()
    report = judged(_refusing(lacks_it, told), "chat", examples=5)
    assert report.ok, report.text()
    assert told == {has_it}
    assert report.cases["is-answered"] == 30
    assert (f"a tiny {lacks_it}", f"not supported: 'Unknown parameter: {lacks_it}'") in report.remarks
    assert ("the limit of all other questions", f"{has_it}; {lacks_it} is not taken") in report.remarks


def test_a_server_that_takes_no_notice_of_the_limits_new_name_breaks_the_law_once_and_is_asked_by_its_old_one() -> None:
    report = judged(Defect(hears=without(NEW)), "chat")
    assert [(law, case) for law, case, _ in report.findings] == [("keeps-its-limit", f"a tiny {NEW}")]
    assert ("the limit of all other questions", f"{OLD}; {NEW} is not taken") in report.remarks


def test_a_server_that_never_ends_without_its_own_name_of_the_limit_is_asked_by_that_name() -> None:
    """Ollama knows no max_completion_tokens, and a model may go on for ever."""
    report = judged(where(lambda body, _: NEW in body, status=0, raw=b"", fault="not finished within 60 s"), "chat")
    assert [(law, case) for law, case, _ in report.findings] == [("comes-whole", f"a tiny {NEW}")]
    assert ("the limit of all other questions", f"{OLD}; {NEW} is not taken") in report.remarks


def test_a_server_that_takes_both_names_is_asked_by_the_new_one() -> None:
    assert judged(Defect(), "chat").remarks == [("the limit of all other questions", NEW)]
    assert judged(Holding(), "responses").remarks == []


def test_a_server_that_takes_no_limit_is_told_of() -> None:
    """It is asked all the same; what it answers may be long."""
    report = judged(Defect(hears=without(NEW, OLD)), "chat")
    assert broken(report) == {"keeps-its-limit"}
    ((_, told),) = report.remarks
    assert told == f"none that the server keeps ({NEW}, {OLD}): answers may be long, and cost more"
