"""Chat requests that speak Responses in part."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.conform import strategies
from adapter.dialects import chat, responses
from adapter.dialects.mixed import is_mixed, read_mixed
from adapter.errors import BadRequest, UnsupportedParameter
from adapter.hub.request import Request
from adapter.upstream.profiles import GENERIC, profile

Json = dict[str, Any]
OPENAI = profile("openai")
GRAMMAR = {"syntax": "lark", "definition": "start: x"}
PATCH: Json = {"type": "custom", "name": "ApplyPatch", "description": "Edit.", "format": {"type": "grammar", **GRAMMAR}}
READ: Json = {"type": "function", "function": {"name": "read", "description": "Read.", "parameters": {}}}
FLAT: Json = {"type": "function", "name": "read", "description": "Read.", "parameters": {}, "strict": False}
TEXT = "*** Begin Patch"
CALLED: Json = {"id": "c1", "type": "function", "function": {"name": "ApplyPatch", "arguments": TEXT}}
MESSAGES: list[Json] = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": [], "tool_calls": [CALLED]},
    {"role": "tool", "tool_call_id": "c1", "content": "ok"},
]
ITEMS: list[Json] = [
    {"type": "message", "role": "user", "content": "hi"},
    {"type": "custom_tool_call", "call_id": "c1", "name": "ApplyPatch", "input": TEXT},
    {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
]


def read(body: Json) -> Request:
    before = copy.deepcopy(body)
    assert is_mixed(body)
    request = read_mixed(body)
    assert body == before
    return request


def test_flat_tools_among_nested_ones_are_tools() -> None:
    request = read({"model": "m", "messages": MESSAGES, "tools": [READ, PATCH]})

    assert request.dialect == "chat"
    assert request.body["tools"] == [FLAT, PATCH]
    assert request.losses == []


def test_the_call_of_a_custom_tool_comes_back_as_that_of_a_function() -> None:
    request = read({"model": "m", "messages": MESSAGES, "tools": [PATCH]})

    assert request.items == ITEMS
    assert responses.write_request(request, OPENAI).body["input"] == ITEMS
    sent = chat.write_request(request, GENERIC).body["messages"][1]["tool_calls"][0]
    assert sent["function"] == {"name": "ApplyPatch", "arguments": '{"input":"*** Begin Patch"}'}


def test_the_body_of_a_responses_request_is_read_as_one_and_answered_as_a_chat() -> None:
    body = {
        "model": "m",
        "messages": [],
        "input": ITEMS,
        "tools": [FLAT, PATCH],
        "reasoning": {"effort": "high"},
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    request = read(body)

    assert (request.dialect, request.stream, request.include_usage) == ("chat", True, True)
    written = responses.write_request(request, OPENAI)
    assert written.losses == []
    assert written.body["input"] == ITEMS
    assert written.body["tools"] == [FLAT, PATCH]
    assert written.body["reasoning"] == {"effort": "high"}
    assert written.body["store"] is False


SETTINGS: Json = {
    "n": 2,
    "stop": ["x"],
    "max_tokens": 5,
    "seed": 1,
    "logprobs": True,
    "top_logprobs": 2,
    "reasoning_effort": "low",
    "verbosity": "low",
    "response_format": {"type": "json_object"},
    "web_search_options": {},
    "tool_choice": "auto",
}


def test_settings_may_be_said_in_either_way() -> None:
    spoken = chat.read_request({"model": "m", "messages": MESSAGES[:1], "tools": [READ], **SETTINGS})
    request = read({"model": "m", "input": "hi", "tools": [FLAT], **SETTINGS})

    assert request.carry == spoken.carry | {"flat": True}
    hosted = [tool for tool in request.body["tools"] if tool["type"] == "web_search"]
    assert hosted == [request.search]
    assert {**request.body, "tools": 0} == {**spoken.body, "tools": 0}
    assert request.losses == []


def test_of_two_words_for_the_same_that_of_responses_goes_before() -> None:
    words = {"reasoning": {"effort": "high", "summary": "auto"}, "text": {"verbosity": "high"}, "max_output_tokens": 9}
    request = read({"model": "m", "input": "hi", "function_call": "none", "tool_choice": "auto", **SETTINGS, **words})

    assert request.body["reasoning"] == {"effort": "high", "summary": "auto"}
    assert request.body["text"] == {"verbosity": "high", "format": {"type": "json_object"}}
    assert request.body["max_output_tokens"] == 9
    assert request.body["tool_choice"] == "auto"


@pytest.mark.parametrize(
    "name", ["n", "stop", "stream", "max_tokens", "response_format", "reasoning_effort", "modalities"]
)
def test_settings_of_chat_are_checked(name: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read({"model": "m", "input": "hi", name: {"a": 1}})
    assert str(refused.value.param).startswith(name)


def test_null_is_absent() -> None:
    nothing = dict.fromkeys(
        ("reasoning", "text", "tools", "tool_choice", "stream_options", "stop", "include", "metadata")
    )
    request = read({"model": "m", "input": ITEMS[:1], **nothing})

    assert request.body == {"model": "m", "input": ITEMS[:1], "store": False}
    assert responses.write_request(request, OPENAI).losses == []


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "background", "prompt"])
def test_what_a_chat_endpoint_keeps_nothing_for_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        read({"model": "m", "input": "hi", name: "x"})
    assert refused.value.param == name


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call_output", "name": "goal", "output": "x"},
        {"type": "function_call_output", "name": "goal", "output": [{"type": "input_text", "text": "x"}]},
        {"type": "reasoning", "summary": []},
    ],
)
def test_items_that_no_chat_has_are_carried_to_a_responses_server(item: Json) -> None:
    request = read({"model": "m", "input": [*ITEMS, item]})
    sent = responses.write_request(request, profile("generic", {"reasoning_input": True})).body["input"][-1]

    assert {key: sent[key] for key in item if key != "output"} == {key: item[key] for key in item if key != "output"}


def test_nobody_refers_there_to_what_another_endpoint_keeps() -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        read({"model": "m", "input": [*ITEMS, {"type": "item_reference", "id": "msg_1"}]})
    assert refused.value.param == "input[3]"


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "messages": MESSAGES, "input": "hi"},
        {"model": "m", "messages": MESSAGES, "tools": [READ, {"type": "custom", "custom": {"name": "x"}}]},
        {"model": "m", "messages": MESSAGES, "tools": [{"type": "function"}, {"type": "web_search", "name": "x"}, 7]},
        {"model": "m", "messages": MESSAGES, "tools": {}},
        {"model": "m"},
    ],
)
def test_what_the_api_has_is_for_its_own_reader(body: Json) -> None:
    assert not is_mixed(body)


@settings(max_examples=100)
@given(strategies.chat_requests())
def test_no_good_chat_request_is_mixed(body: Json) -> None:
    assert not is_mixed(body)


@settings(max_examples=100)
@given(strategies.responses_requests())
def test_any_good_responses_body_is_carried_to_both(body: Json) -> None:
    request = read(body)

    assert responses.write_request(request, OPENAI).body["input"]
    assert chat.write_request(request, GENERIC).body["messages"]


@settings(max_examples=150)
@given(
    strategies.wrong(["messages", "input", "tools", "model", "stream", "stream_options", "tool_choice"]), st.booleans()
)
def test_bad_ones_are_refused_and_nothing_breaks(body: Json, mixed: bool) -> None:
    body = (
        body | {"tools": [PATCH, *(body.get("tools") if isinstance(body.get("tools"), list) else [])]}
        if mixed
        else body
    )
    if is_mixed(body):
        with contextlib.suppress(BadRequest):
            read_mixed(body)
