"""What a Responses server without a store refuses, one fault at a time, and what it takes."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.conform.strict_responses import problems
from adapter.hub.items import UPDATE

HELLO = {"type": "message", "role": "user", "content": "hi"}
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
KINDS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "tool_search_call": "tool_search_output",
}


def call(kind: str = "function_call", id: str = "c1", **more: Any) -> dict[str, Any]:
    return {"type": kind, "call_id": id, **more}


def result(kind: str = "function_call_output", id: str | None = "c1", **more: Any) -> dict[str, Any]:
    return {"type": kind, "call_id": id, "output": "done", **more}


def update(role: str = "developer") -> dict[str, Any]:
    return {"type": UPDATE, "role": role}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "no model"),
    ({"store": True}, "store must be false"),
    ({"store": None}, "store must be false"),
    ({"previous_response_id": "resp_1"}, "previous_response_id: nothing is stored here"),
    ({"conversation": "conv_1"}, "conversation: nothing is stored here"),
    ({"input": [call(), call(), result()]}, "input[1]: two calls of one id"),
    ({"input": [result()]}, "input[0]: answers no call that waits"),
    ({"input": [call(), result(), result()]}, "input[2]: answers no call that waits"),
    ({"input": [call(), result(), result(name=5)]}, "input[2]: answers no call that waits"),
    ({"input": [call(id="c2"), result("custom_tool_call_output", "c2")]}, "input[1]: answers no call that waits"),
    ({"input": [call(), result(), result("custom_tool_call_output", None)]}, "input[2]: answers no call that waits"),
    ({"input": [HELLO, result(id=None)]}, "input[1]: answers no call that waits"),
    ({"input": [HELLO, result(name="exec")]}, "input[1]: answers no call that waits"),
    ({"input": [result("custom_tool_call_output", None, name="exec")]}, "input[0]: answers no call that waits"),
    ({"input": [update(), update("user")]}, "input[1]: two updates of settings side by side"),
    (
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]},
        "input[0]: a reasoning item without its encrypted",
    ),
    *(({"input": [call(kind)]}, "the call c1 has no output") for kind in KINDS),
    ({"input": 5}, "malformed: "),
    ({"input": ["hi"]}, "malformed: "),
    ({"input": [{"type": "function_call"}]}, "malformed: "),
]
TAKEN: list[dict[str, Any]] = [
    {},
    {"input": "hi"},
    {"previous_response_id": None, "conversation": None},
    {"input": [{"role": "user", "content": "hi"}]},
    *({"input": [call(kind), result(output)]} for kind, output in KINDS.items()),
    {"input": [call(id="a"), call(id="b"), result(id="b"), HELLO, result(id="a")]},
    {"input": [call(**{"async": True}), HELLO]},
    {"input": [call(**{"async": True}), result()]},
    {"input": [call(), result(), result(name="exec")]},
    {"input": [result(id=None, name="exec")]},
    {"input": [update(), HELLO, update()]},
    {"input": [HELLO, update()]},
    {"input": [{**call(), "id": "fc_1"}, result()]},
    {"input": [SEALED]},
    {"input": [{"type": "reasoning", "summary": []}]},
    {"input": [{"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}]},
]  # fmt: skip


def found(asked: dict[str, Any]) -> list[str]:
    return problems({"model": "m", "input": [HELLO], "store": False, **asked})


@pytest.mark.parametrize(("asked", "fault"), REFUSED)
def test_what_leans_on_what_is_not_kept_is_refused(asked: dict[str, Any], fault: str) -> None:
    assert [told.startswith(fault) for told in found(asked)] == [True]


@pytest.mark.parametrize("asked", TAKEN)
def test_a_good_request_is_taken(asked: dict[str, Any]) -> None:
    assert found(asked) == []
