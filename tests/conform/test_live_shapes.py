"""What the laws read of an answer: each field that an answer must have, those that it may lack, and what goes back with results."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from adapter.conform.laws import Name
from adapter.conform.live import laws
from adapter.conform.live.case import Answer, Case
from adapter.conform.live.questions import questions
from adapter.conform.live.shapes import WORD, Exactly, Kinds, lacks

BOTH: tuple[Name, ...] = ("chat", "responses")
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOKEN = {"token": "h", "logprob": -0.5, "bytes": [104], "top_logprobs": []}
CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hello", "refusal": None, "tool_calls": [CALL]},
            "finish_reason": "tool_calls",
            "logprobs": {
                "content": [TOKEN],
                "refusal": [],
            },
        }
    ],
    "system_fingerprint": "fp",
    "service_tier": "default",
    "usage": {
        "prompt_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens": 2,
        "completion_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 3,
    },
}
PARTS = [
    {"type": "output_text", "text": "hello", "annotations": [], "logprobs": [TOKEN]},
    {"type": "refusal", "refusal": "No."},
]
CALLED = {
    "type": "function_call",
    "id": "fc_1",
    "status": "completed",
    "call_id": "call_1",
    "name": "f",
    "arguments": "{}",
}
CUSTOM = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_2", "name": "p", "input": "x"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
RESPONSES: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "completed",
    "output": [
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": PARTS},
        CALLED,
        CUSTOM,
        THOUGHT,
    ],
    "error": None,
    "incomplete_details": None,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "background": False,
    "store": False,
    "max_output_tokens": 20,
    "max_tool_calls": 3,
    "top_logprobs": 0,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "temperature": 0.5,
    "top_p": 0.5,
    "previous_response_id": "resp_0",
    "service_tier": "default",
    "truncation": "disabled",
    "prompt_cache_key": "k",
    "safety_identifier": "s",
    "user": "u",
    "completed_at": 2,
    "instructions": "Be brief.",
    "metadata": {},
    "reasoning": {},
    "text": {},
    "usage": {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 3,
    },
}
GOOD = {"chat": CHAT, "responses": RESPONSES}
MAY_LACK = [
    *("choices.0.message.refusal", "choices.0.message.tool_calls", "choices.0.logprobs", "choices.0.logprobs.content"),
    *("choices.0.logprobs.refusal", "choices.0.logprobs.content.0.bytes", "choices.0.logprobs.content.0.top_logprobs"),
    *("system_fingerprint", "service_tier", "usage.prompt_tokens_details", "usage.completion_tokens_details"),
    *("usage.prompt_tokens_details.cached_tokens", "usage.prompt_tokens_details.audio_tokens"),
    *("usage.completion_tokens_details.reasoning_tokens", "usage.input_tokens_details.cache_write_tokens"),
    *(f"output.0.content.0.logprobs{field}" for field in ("", ".0.bytes", ".0.top_logprobs")),
    *("output.1.id", "output.1.status", "output.2.id", "background", "store"),
    *("max_output_tokens", "max_tool_calls", "top_logprobs", "frequency_penalty", "presence_penalty", "temperature"),
    *("top_p", "previous_response_id", "truncation", "prompt_cache_key", "safety_identifier", "user", "completed_at"),
    *("instructions", "metadata", "reasoning", "text"),
]  # fmt: skip
MAY_BE_NULL = [
    *MAY_LACK,
    *("choices.0.message.content", "error", "incomplete_details"),
]


def _paths(value: Any, before: str = "") -> list[str]:
    """Where something is inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, held in inner for path in (f"{before}{key}", *_paths(held, f"{before}{key}."))]


def _holder(value: Any, path: str) -> tuple[Any, Any]:
    *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in way:
        value = value[key]
    return value, last


def _case(dialect: Name, value: Any, body: dict[str, Any] | None = None) -> Case:
    raw = json.dumps(value).encode()
    return Case(questions(dialect)[0], body or {"model": "m"}, Answer(200, "application/json", raw))


FIELDS = [(dialect, path) for dialect in BOTH for path in _paths(GOOD[dialect]) if not path[-1].isdigit()]


@pytest.mark.parametrize(("dialect", "path"), FIELDS)
def test_an_answer_has_every_field_that_it_must_have(dialect: Name, path: str) -> None:
    value = copy.deepcopy(GOOD[dialect])
    holder, key = _holder(value, path)
    del holder[key]
    assert len(laws.has_the_shape(_case(dialect, value))) == (path not in MAY_LACK)


@pytest.mark.parametrize(("dialect", "path"), FIELDS)
def test_null_stands_only_where_it_may(dialect: Name, path: str) -> None:
    value = copy.deepcopy(GOOD[dialect])
    holder, key = _holder(value, path)
    holder[key] = None
    assert len(laws.has_the_shape(_case(dialect, value))) == (path not in MAY_BE_NULL)


@pytest.mark.parametrize(("dialect", "path"), FIELDS)
def test_a_field_is_of_its_type(dialect: Name, path: str) -> None:
    value = copy.deepcopy(GOOD[dialect])
    holder, key = _holder(value, path)
    holder[key] = "other" if type(holder[key]) in (int, float) else 5
    assert len(laws.has_the_shape(_case(dialect, value))) == 1


@pytest.mark.parametrize("dialect", BOTH)
def test_a_good_answer_keeps_the_laws_whatever_it_may_lack(dialect: Name) -> None:
    value = copy.deepcopy(GOOD[dialect])
    for path in sorted(MAY_LACK, key=len, reverse=True):
        if (dialect, path) in FIELDS and "tool_calls" not in path:
            holder, key = _holder(value, path)
            del holder[key]
    tools = {
        "chat": [{"type": "function", "function": {"name": "f"}}],
        "responses": [{"type": "function", "name": "f"}, {"type": "custom", "name": "p"}],
    }
    if dialect == "responses":
        value["tools"] = tools[dialect]
    judged = laws.judged(_case(dialect, value, {"tools": tools[dialect]}), laws.PLAIN)
    assert [(law, found) for law, found in judged] == [(law, []) for law in laws.PLAIN]


@pytest.mark.parametrize(
    ("field", "good", "wrong"),
    [
        ("status", ("completed", "incomplete", "failed", "in_progress", "queued", "cancelled"), "done"),
        ("error", ({"code": "c", "message": "m"},), {"code": "c"}),
        ("incomplete_details", ({"reason": "max_output_tokens"},), {}),
        ("created_at", (1.5,), True),
        ("tool_choice", ("none", {"type": "function"}), 5),
    ],
)
def test_the_words_of_a_response(field: str, good: tuple[Any, ...], wrong: Any) -> None:
    for word in good:
        assert laws.has_the_shape(_case("responses", {**RESPONSES, field: word})) == []
    assert len(laws.has_the_shape(_case("responses", {**RESPONSES, field: wrong}))) == 1


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "function_call", "eos"])
def test_the_finish_reasons_of_chat(reason: str) -> None:
    value = copy.deepcopy(CHAT)
    value["choices"][0]["finish_reason"] = reason
    assert len(laws.has_the_shape(_case("chat", value))) == (reason == "eos")


def test_an_item_or_part_of_a_new_type_is_none_to_judge() -> None:
    value = copy.deepcopy(RESPONSES)
    value["output"].append({"type": "web_search_call"})
    value["output"][0]["content"].append({"type": "image"})
    assert laws.has_the_shape(_case("responses", value)) == []


def test_a_stream_without_a_field_is_told_of_that_field() -> None:
    """And of nothing else: what it says is read."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m"}
    chunk = {**head, "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
    raw = b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"
    case = Case(questions("chat")[0], {"model": "m", "stream": True}, Answer(200, "text/event-stream", raw))
    assert laws.has_the_shape(case) == ["created is missing"]


def test_a_stream_that_follows_the_grammar_and_adds_up_to_nothing_is_told_of() -> None:
    """The SDKs take the type of a call from its last fragment."""
    deltas = [
        {"role": "assistant", "tool_calls": [{"index": 0, **CALL}]},
        {"tool_calls": [{"index": 0, "type": None, "function": {"arguments": ""}}]},
    ]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    raw = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    case = Case(questions("chat")[0], {"model": "m", "stream": True}, Answer(200, "text/event-stream", raw))
    assert laws.is_grammatical(case) == []
    assert laws.has_the_shape(case) == ["the events do not add up to an answer"]


def test_a_delta_that_is_none_makes_no_answer() -> None:
    raw = b'data: {"choices": [{"index": 0, "delta": "hi"}]}\n\ndata: [DONE]\n\n'
    case = Case(questions("chat")[0], {"model": "m", "stream": True}, Answer(200, "text/event-stream", raw))
    assert case.value is None


@pytest.mark.parametrize(("choice", "told"), [({}, ["'f' is called, offered: g"]), ({"tool_choice": "none"}, None)])
def test_a_call_of_a_tool_that_was_not_offered_is_told_with_those_that_were(
    choice: Any, told: list[str] | None
) -> None:
    body = {"messages": [], "tools": [{"type": "function", "function": {"name": "g"}}], **choice}
    expected = ["tool_choice is 'none', and f is called"] if told is None else told
    assert laws.calls_only_what_is_offered(_case("chat", CHAT, body)) == expected
    assert laws.calls_only_what_is_offered(_case("chat", CHAT, {"messages": []})) == ["'f' is called, offered: nothing"]


def test_the_results_of_calls_go_back_with_all_that_was_said() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    asked: dict[str, Any] = {"model": "m", "tools": tools, "messages": [{"role": "user", "content": "hi"}]}
    forced = {"tool_choice": "required", "stream": True, "stream_options": {"include_usage": True}}
    assert questions("chat")[0].with_results({**asked, **forced}, CHAT) == {
        **asked,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees"},
        ],
    }
    assert questions("responses")[0].with_results({"model": "m", "input": "hi", **forced}, RESPONSES) == {
        "model": "m",
        "stream_options": {"include_usage": True},
        "input": [
            {"type": "message", "role": "user", "content": "hi"},
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "call_2", "name": "p", "input": "x"},
            {"type": "function_call_output", "call_id": "call_1", "output": "18 degrees"},
            {"type": "custom_tool_call_output", "call_id": "call_2", "output": "18 degrees"},
        ],
    }


@pytest.mark.parametrize(
    ("value", "wanted", "found"),
    [
        ({"a": 1, "more": 2}, {"a": int, "b?": str}, []),
        ({"a": True}, {"a": int}, ["a is True, expected an integer"]),
        ({"a": 1}, {"a": float}, []),
        ({}, {"a": int}, ["a is missing"]),
        ({"a": {"b": [1, "x"]}}, {"a": {"b": [int]}}, ["a.b[1] is 'x', expected an integer"]),
        ({"a": 0}, {"a": ("x", None)}, ["a is 0, expected 'x' or null"]),
        ({"a": {"b": 0}}, {"a": (None, {"b": str})}, ["a.b is 0, expected a string"]),
        ({"a": [5]}, {"a": (None, [str])}, ["a[0] is 5, expected a string"]),
        ({"a": []}, {"a": (None, {"b": str})}, ["a is [], expected null or an object"]),
        ([], Exactly((int,)), ["the body has 0 members, expected 1"]),
        ([1, "x"], Exactly((0, int)), ["[0] is 1, expected 0", "[1] is 'x', expected an integer"]),
        ({"a": 5}, {"a": Exactly((int,))}, ["a is 5, expected a list"]),
        ({"a": ""}, {"a": WORD}, ["a is '', expected a string that is not empty"]),
        ({"a": 5}, {"a": (None, WORD)}, ["a is 5, expected null or a string that is not empty"]),
        ({"a": False}, {"a": 0}, ["a is False, expected 0"]),
        ({"type": "t", "x": 1}, Kinds({"t": {"x": str}}), ["x is 1, expected a string"]),
        ({"type": "new"}, Kinds({"t": {"x": str}}), []),
        ({}, Kinds({}), ["type is missing"]),
        (None, {"a": int}, ["the body is None, expected an object"]),
    ],
)
def test_a_shape_says_where_an_object_is_not_like_it(value: Any, wanted: Any, found: list[str]) -> None:
    assert list(lacks(value, wanted)) == found
