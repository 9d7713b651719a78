"""Laws asked of single answers: of calls, and of whatever comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.conform import strategies
from adapter.conform.live import laws
from adapter.conform.live.case import Answer, Case
from adapter.conform.live.questions import questions
from tests.conform.defects import BOTH, STREAM
from tests.conform.live import asked


def _case(dialect: str, body: dict[str, Any], kind: str, raw: bytes, status: int = 200) -> Case:
    return Case(questions(dialect)[0], body, Answer(status, kind, raw))  # type: ignore[arg-type]


def test_arguments_of_a_tool_that_is_not_strict_are_the_models() -> None:
    """A model without a mind calls with `0.0`; the OpenAPI file promises nothing else."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "call f"}], "tools": [tool]}
    said = json.loads(asked("POST", "/chat/completions", json.dumps(body).encode()).raw)
    said["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = "0.0"
    raw = json.dumps(said).encode()
    assert laws.arguments_fit_their_schema(_case("chat", body, "application/json", raw)) == []
    tool["function"]["strict"] = True  # type: ignore[index]
    found = laws.arguments_fit_their_schema(_case("chat", body, "application/json", raw))
    assert found == ["arguments of 'f': '0.0' is no JSON object"]


@pytest.mark.parametrize("parameters", [5, {}, {"properties": 5}, {"properties": {"a": 5}}, {"properties": {"a": {}}}])
def test_arguments_of_a_strict_tool_with_other_parameters_than_the_kits_are_any_object(parameters: Any) -> None:
    """A drawn request may hold anything there."""
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    raw = asked(
        "POST", "/responses", json.dumps({"model": "demo-responses", "input": "call f", "tools": [tool]}).encode()
    ).raw
    body = {"input": "call f", "tools": [{**tool, "strict": True, "parameters": parameters}]}
    assert laws.arguments_fit_their_schema(_case("responses", body, "application/json", raw)) == []


def test_calls_are_forbidden_by_tool_choice_none() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "call f"}], "tools": [tool]}
    raw = asked("POST", "/chat/completions", json.dumps(body).encode()).raw
    assert laws.calls_only_what_is_offered(_case("chat", body, "application/json", raw)) == []
    refused = laws.calls_only_what_is_offered(_case("chat", {**body, "tool_choice": "none"}, "application/json", raw))
    assert refused == ["tool_choice is 'none', and f is called"]
    named_one = {**body, "tool_choice": {"type": "function", "function": {"name": "f"}}}
    said = json.loads(raw)
    said["choices"][0]["finish_reason"] = "stop"
    assert laws.ends_as_it_says(_case("chat", named_one, "application/json", json.dumps(said).encode())) == []


@st.composite
def _spoilt(draw: st.DrawFn, value: Any) -> Any:
    """`value` with any JSON somewhere inside it, or without something."""
    if not isinstance(value, (dict, list)) or not value or draw(st.integers(0, 5)) == 0:
        return draw(strategies.json_values)
    copy: Any = value.copy()
    key = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
    if draw(st.integers(0, 5)) == 0:
        del copy[key]
    else:
        copy[key] = draw(_spoilt(value[key]))
    return copy


ASKED: Any = {
    "chat": {"messages": [{"role": "user", "content": "call f and g"}], "max_completion_tokens": 50},
    "responses": {"input": "call f and g", "max_output_tokens": 50},
}
TOOLS: Any = {
    "chat": [{"type": "function", "function": {"name": name, "parameters": {}}} for name in "fg"],
    "responses": [{"type": "function", "name": name, "parameters": {}} for name in "fg"],
}


@pytest.mark.parametrize("dialect", BOTH)
@given(data=st.data())
def test_no_answer_makes_a_law_raise(dialect: str, data: st.DataObject) -> None:
    """Whatever comes back is judged, and the finding says what it is."""
    body = {
        "model": "demo-chat",
        "tools": data.draw(st.sampled_from([TOOLS[dialect], 5, [{}]])),
        **ASKED[dialect],
    }
    streams = data.draw(st.booleans())
    path = questions(dialect)[0].path  # type: ignore[arg-type]
    raw = asked("POST", path, json.dumps({**body, "tools": TOOLS[dialect], "stream": streams}).encode()).raw
    every = (*(laws.STREAM if streams else laws.PLAIN), laws.calls_when_it_must)
    if streams:
        raw = data.draw(strategies.damaged(raw))
    else:
        raw = json.dumps(data.draw(_spoilt(json.loads(raw)))).encode()
    kind = STREAM if streams else "application/json"
    for _, found in laws.judged(_case(dialect, body, kind, raw), every):
        assert all(isinstance(finding, str) for finding in found)
    list(laws.judged(_case(dialect, body, "application/json", raw, 400), laws.REFUSAL))
