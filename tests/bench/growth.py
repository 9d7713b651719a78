"""Work grows with the request and not with its square: nobody stops a server with one body.

Measured as the ratio of two lengths, far from both: sixteen times as much must not take sixty times as long (squared, it takes 256).
Time is measured, so this is no part of the suite: `python -m pytest tests/bench/growth.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any, Literal

import pytest

from adapter import translate
from adapter.compaction.anatomy import units
from adapter.wire.jsonio import dumps

USER = {"role": "user", "content": "x"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "o"}
TEXT = {"role": "assistant", "content": "x" * 100}
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x" * 100}]}

BODIES: dict[str, Callable[[int], dict[str, Any]]] = {
    "texts between a call and its output": lambda n: {"input": [USER, CALL, *[TEXT] * n, OUTPUT]},
    "thoughts before a call": lambda n: {"input": [USER, *[THOUGHT] * n, CALL, OUTPUT]},
    "calls that are answered backwards, by name": lambda n: {
        "input": [
            USER,
            *({**CALL, "call_id": f"c{i}", "name": f"f{i}"} for i in range(n)),
            *({"type": "function_call_output", "name": f"f{i}", "output": "o"} for i in reversed(range(n))),
        ],
    },
    "names that are spelled alike": lambda n: {
        "input": "x",
        "tools": [{"type": "function", "name": chr(0x4E00 + i)} for i in range(n)],
    },
    "allowed tools": lambda n: {
        "input": "x",
        "tools": [{"type": "function", "name": f"f{i}"} for i in range(n)],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": f"f{i}"} for i in range(n)],
        },
    },
}


@pytest.mark.parametrize("target", ["chat", "responses"])
@pytest.mark.parametrize("what", BODIES)
def test_work_is_linear(what: str, target: Literal["chat", "responses"]) -> None:
    def seconds(n: int) -> float:
        body = {"model": "m", **BODIES[what](n)}
        body["tools"] = [*body.get("tools", []), {"type": "custom", "name": "patch"}]  # no vLLM knows those
        begun = process_time()
        translate.request(body, "responses", target, profile="vllm")
        return process_time() - begun

    seconds(100)
    short, long = min(seconds(2000) for _ in range(3)), min(seconds(32000) for _ in range(2))

    assert long < 60 * short


def test_work_is_linear_in_calls_with_bad_arguments() -> None:
    """Of a Chat client, over a Responses server that would refuse them."""

    def turn(i: int) -> list[dict[str, Any]]:
        call = {"id": f"call_{i}", "type": "function", "function": {"name": "f", "arguments": "{bad"}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return [message, {"role": "tool", "tool_call_id": f"call_{i}", "content": "o"}]

    def seconds(n: int) -> float:
        body = {"model": "m", "messages": [USER, *(message for i in range(n) for message in turn(i))]}
        begun = process_time()
        translate.request(body, "chat", "responses")
        return process_time() - begun

    seconds(100)
    short, long = min(seconds(1500) for _ in range(3)), min(seconds(24000) for _ in range(2))

    assert long < 60 * short


def test_work_is_linear_in_calls_that_all_have_one_id() -> None:
    def seconds(n: int) -> float:
        calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}] * n
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        begun = process_time()
        told = translate.reply({"id": "x", "choices": [{"message": message}]}, "chat", "responses").value["output"]
        assert len({item["call_id"] for item in told}) == n
        return process_time() - begun

    seconds(100)
    assert min(seconds(8000) for _ in range(2)) < 60 * min(seconds(500) for _ in range(3))


def test_work_is_linear_in_calls_that_are_answered_backwards_and_compacted() -> None:
    def seconds(n: int) -> float:
        calls = [{**CALL, "call_id": f"c{number}"} for number in range(n)]
        outputs = [{**OUTPUT, "call_id": f"c{number}"} for number in reversed(range(n))]
        begun = process_time()
        assert len(units([*calls, *outputs])) == 1
        return process_time() - begun

    seconds(100)
    assert min(seconds(16_000) for _ in range(2)) < 60 * min(seconds(1000) for _ in range(3))


def test_work_is_linear_in_the_items_of_an_answer_that_is_restored() -> None:
    asked = {"model": "m", "input": "x", "tools": [{"type": "custom", "name": "patch"}]}
    exchange = translate.request(asked, "responses", "responses", profile="vllm").exchange

    def events(index: int) -> list[dict[str, Any]]:
        item = {"type": "message", "id": f"msg_{index}", "role": "assistant", "content": []}
        delta = {"type": "response.output_text.delta", "output_index": index, "content_index": 0, "delta": "x"}
        return [
            {"type": "response.output_item.added", "output_index": index, "item": item},
            *[delta] * 5,
            {"type": "response.output_item.done", "output_index": index, "item": item},
        ]

    def seconds(n: int) -> float:
        stream = b"".join(b"data: %b\n\n" % dumps(event) for index in range(n) for event in events(index))
        begun = process_time()
        assert len(b"".join(translate.stream([stream], "responses", "responses", exchange=exchange))) > len(stream)
        return process_time() - begun

    seconds(100)
    assert min(seconds(8000) for _ in range(2)) < 60 * min(seconds(500) for _ in range(3))
