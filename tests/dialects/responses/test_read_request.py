"""A Responses client's request into the hub."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.dialects.responses import read_request
from adapter.dialects.responses.read_request import compact_threshold
from adapter.errors import BadRequest, InvalidType, InvalidValue, MissingParameter

USER = {"type": "message", "role": "user", "content": "hi"}


def test_a_string_is_one_user_message() -> None:
    assert read_request({"model": "m", "input": "hi"}).items == [USER]


def test_types_that_clients_leave_out_are_made_explicit() -> None:
    body = {"model": "m", "input": [{"role": "user", "content": "hi"}, {"id": "msg_1"}, {"type": None, "id": "msg_2"}]}
    kept = [dict(item) for item in body["input"]]

    request = read_request(body)

    assert request.items == [
        USER,
        {"id": "msg_1", "type": "item_reference"},
        {"type": "item_reference", "id": "msg_2"},
    ]
    assert body["input"] == kept


def test_what_is_right_is_not_copied() -> None:
    items = [USER, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, {"type": "brand_new"}]

    assert all(a is b for a, b in zip(read_request({"model": "m", "input": items}).items, items, strict=True))


def test_an_image_object_becomes_flat() -> None:
    part = {"type": "input_image", "image_url": {"url": "AAAA", "detail": "low", "media_type": "image/png"}}
    request = read_request({"model": "m", "input": [{"role": "user", "content": [part]}]})

    assert request.items[0]["content"] == [
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}
    ]
    assert isinstance(part["image_url"], dict)


def test_every_image_of_a_message_becomes_flat() -> None:
    parts = [{"type": "input_image", "image_url": {"url": f"https://images/{name}"}} for name in "ab"]
    request = read_request({"model": "m", "input": [{"role": "user", "content": parts}]})

    assert [part["image_url"] for part in request.items[0]["content"]] == ["https://images/a", "https://images/b"]


def test_penalties_travel_in_the_carry_and_unknown_parameters_in_the_body() -> None:
    request = read_request({"model": "m", "input": "hi", "presence_penalty": 0.5, "top_k": 4, "stream": True})

    assert request.carry == {"presence_penalty": 0.5}
    assert request.body["top_k"] == 4
    assert "presence_penalty" not in request.body
    assert request.stream


@pytest.mark.parametrize("name", ["previous_response_id", "conversation"])
def test_input_may_be_absent_where_somebody_keeps_the_conversation(name: str) -> None:
    assert read_request({"model": "m", name: "x_1"}).items == []


def test_a_forced_choice_is_fine_where_tools_come_with_the_input() -> None:
    tools = {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "f"}]}

    assert read_request({"model": "m", "input": [tools], "tool_choice": "required"})


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
SCHEMA = {"type": "json_schema", "name": "n"}
REFUSED: list[tuple[dict[str, Any], type[BadRequest], str]] = [
    ({"model": None}, MissingParameter, "model"),
    ({"model": 3}, InvalidType, "model"),
    ({"input": None}, MissingParameter, "input"),
    ({"input": []}, MissingParameter, "input"),
    ({"input": {"role": "user"}}, InvalidType, "input"),
    ({"input": ["hi"]}, InvalidType, "input[0]"),
    ({"input": [USER, {"content": "x"}]}, MissingParameter, "input[1].type"),
    ({"input": [{"type": 3}]}, InvalidType, "input[0].type"),
    ({"input": [{"role": "tool", "content": "x"}]}, InvalidValue, "input[0].role"),
    ({"input": [{"type": "message", "content": "x"}]}, MissingParameter, "input[0].role"),
    ({"input": [{"role": "user"}]}, MissingParameter, "input[0].content"),
    ({"input": [{"role": "user", "content": 3}]}, InvalidType, "input[0].content"),
    ({"input": [{"role": "user", "content": ["x"]}]}, InvalidType, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, MissingParameter, "input[0].content[0].text"),
    ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, InvalidValue, "input[0].content[0].type"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
        MissingParameter,
        "input[0].content[0].image_url",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": 3}]}]},
        InvalidType,
        "input[0].content[0].image_url",
    ),
    ({"input": [{**CALL, "arguments": {}}]}, InvalidType, "input[0].arguments"),
    ({"input": [{**CALL, "call_id": None}]}, MissingParameter, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "output": "x"}]}, MissingParameter, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "call_id": 3, "output": "x"}]}, InvalidType, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "call_id": "c"}]}, MissingParameter, "input[0].output"),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": 3}]}, InvalidType, "input[0].output"),
    ({"input": [{"type": "compaction_trigger"}, USER]}, InvalidValue, "input[0]"),
    ({"input": [{"type": "compaction_trigger"}, {"type": "compaction_trigger"}]}, InvalidValue, "input[0]"),
    ({"input": [{"type": "additional_tools", "tools": [3]}]}, InvalidType, "input[0].tools[0]"),
    ({"instructions": [{"role": "owner", "content": "x"}]}, InvalidValue, "instructions[0].role"),
    ({"instructions": 3}, InvalidType, "instructions"),
    ({"temperature": True}, InvalidType, "temperature"),
    ({"stream": "yes"}, InvalidType, "stream"),
    ({"stream_options": {"include_obfuscation": False}}, InvalidValue, "stream_options"),
    ({"previous_response_id": "r", "conversation": "c"}, BadRequest, "previous_response_id"),
    ({"conversation": {}}, MissingParameter, "conversation.id"),
    ({"include": ["everything"]}, InvalidValue, "include[0]"),
    ({"context_management": [{"type": "forget"}]}, InvalidValue, "context_management[0].type"),
    (
        {"context_management": [{"type": "compaction", "compact_threshold": 999}]},
        InvalidValue,
        "context_management[0].compact_threshold",
    ),
    ({"tools": [{"name": "f"}]}, MissingParameter, "tools[0].type"),
    ({"tools": [{"type": 3}]}, InvalidType, "tools[0].type"),
    ({"tools": [{"type": "function", "name": ""}]}, InvalidType, "tools[0].name"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, MissingParameter, "tools[0].name"),
    ({"tools": [{"type": "function", "name": "f", "parameters": []}]}, InvalidType, "tools[0].parameters"),
    ({"tools": [{"type": "namespace", "name": "n", "tools": [{}]}]}, MissingParameter, "tools[0].tools[0].type"),
    ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "namespace"}]}]}, InvalidValue, "tools[0].tools"),
    ({"tool_choice": "always"}, InvalidValue, "tool_choice"),
    ({"tool_choice": "required"}, InvalidValue, "tool_choice"),
    ({"tool_choice": {"type": "function"}}, MissingParameter, "tool_choice.name"),
    ({"tool_choice": {"type": "allowed_tools", "mode": "none", "tools": []}}, InvalidValue, "tool_choice.mode"),
    ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": ["f"]}}, InvalidType, "tool_choice.tools"),
    ({"tool_choice": 3}, InvalidType, "tool_choice"),
    ({"text": {"format": "json_object"}}, InvalidType, "text.format"),
    ({"text": {"format": {"type": "yaml"}}}, InvalidValue, "text.format.type"),
    ({"text": {"format": SCHEMA}}, MissingParameter, "text.format.schema"),
    ({"reasoning": {"effort": 3}}, InvalidType, "reasoning.effort"),
    ({"metadata": {"a": 1}}, InvalidType, "metadata.a"),
    ({"truncation": "some"}, InvalidValue, "truncation"),
    ({"top_logprobs": 21}, InvalidValue, "top_logprobs"),
    ({"max_output_tokens": 0}, InvalidValue, "max_output_tokens"),
]


@pytest.mark.parametrize(("changes", "error", "param"), REFUSED, ids=[param for _, _, param in REFUSED])
def test_nonsense_is_refused_with_its_path(changes: dict[str, Any], error: type[BadRequest], param: str) -> None:
    with pytest.raises(error) as refused:
        read_request({"model": "m", "input": "hi", **changes})

    assert refused.value.param == param


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ([], None),
        ([{"type": "compaction"}], None),
        ([{"type": "compaction", "compact_threshold": None}], None),
        ([{"type": "compaction", "compact_threshold": 1000}], 1000),
        ([{"type": "compaction", "compact_threshold": 5000}, {"type": "compaction", "compact_threshold": 2000}], 2000),
    ],
)
def test_the_lowest_threshold_counts(given: Any, expected: int | None) -> None:
    assert compact_threshold(given) == expected


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({}, "context_management"),
        (["x"], "context_management[0].type"),
        ([{"type": "clear"}], "context_management[0].type"),
        ([{"type": "compaction", "compact_threshold": 999}], "context_management[0].compact_threshold"),
        ([{"type": "compaction", "compact_threshold": True}], "context_management[0].compact_threshold"),
        ([{"type": "compaction", "compact_threshold": "2000"}], "context_management[0].compact_threshold"),
    ],
)
def test_anything_else_than_thresholds_is_refused(given: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        compact_threshold(given)
    assert refused.value.param == param
