"""A Chat client's body into the hub: every field, and every way to get one wrong."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.dialects.chat.read_request import _FIELDS, read_request
from adapter.errors import BadRequest, InvalidType, InvalidValue, MissingParameter, UnsupportedParameter
from adapter.hub.request import ClientTraits, Request


def read(**fields: Any) -> Request:
    return read_request({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields})


def test_the_smallest_request_becomes_one_message_item() -> None:
    request = read()

    assert request.body == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": "hi"}],
        "store": False,
    }
    assert (request.dialect, request.stream, request.include_usage, request.losses) == ("chat", False, False, [])


def test_every_field_of_the_official_schema_has_a_reader() -> None:
    official = (
        "messages model metadata top_logprobs temperature top_p user safety_identifier prompt_cache_key "
        "prompt_cache_retention prompt_cache_options service_tier modalities verbosity reasoning_effort "
        "max_completion_tokens frequency_penalty presence_penalty web_search_options response_format audio store "
        "moderation stream stop logit_bias logprobs max_tokens n prediction seed stream_options tools tool_choice "
        "parallel_tool_calls function_call functions"
    )
    assert set(official.split()) == set(_FIELDS)


FUNCTION = {"type": "function", "function": {"name": "f"}}

MAPPED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5, "top_p": 1}),
    ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
    ({"store": True}, {"store": True}),
    ({"max_tokens": 5}, {"max_output_tokens": 5}),
    ({"max_tokens": 5, "max_completion_tokens": 7}, {"max_output_tokens": 7}),
    ({"max_completion_tokens": 7, "max_tokens": 5}, {"max_output_tokens": 7}),
    ({"max_completion_tokens": None, "max_tokens": 5}, {"max_output_tokens": 5}),
    ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
    ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning": {"effort": "low", "summary": "auto"}}),
    ({"text": {"verbosity": "low"}}, {"text": {"verbosity": "low"}}),
    ({"reasoning": {}, "text": {"verbosity": None}}, {}),
    (
        {"verbosity": "high", "response_format": {"type": "json_object"}},
        {"text": {"verbosity": "high", "format": {"type": "json_object"}}},
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": False}}},
    ),
    ({"logprobs": True, "top_logprobs": 3}, {"include": ["message.output_text.logprobs"], "top_logprobs": 3}),
    ({"logprobs": False}, {}),
    ({"modalities": ["text"]}, {}),
    ({"parallel_tool_calls": False}, {}),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {
            "tools": [
                {
                    "type": "function",
                    "name": "f",
                    "parameters": {"type": "object", "properties": {}},
                    "strict": False,
                }
            ],
            "tool_choice": {"type": "function", "name": "f"},
        },
    ),
    (
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {
                        "name": "c",
                        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}},
                    },
                }
            ],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "c"}}]},
            },
        },
        {
            "tools": [
                {
                    "type": "custom",
                    "name": "c",
                    "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"},
                }
            ],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "c"}]},
        },
    ),
    (
        {
            "web_search_options": {
                "search_context_size": "low",
                "user_location": {"type": "approximate", "approximate": {"city": "Bern"}},
            }
        },
        {
            "tools": [
                {
                    "type": "web_search",
                    "user_location": {"type": "approximate", "city": "Bern"},
                    "search_context_size": "low",
                }
            ]
        },
    ),
    ({"top_k": 3}, {"top_k": 3}),
]


@pytest.mark.parametrize(("given", "expected"), MAPPED)
def test_a_field_goes_to_its_place_in_the_responses_body(given: dict[str, Any], expected: dict[str, Any]) -> None:
    request = read(**given)

    body = {key: value for key, value in request.body.items() if key not in ("model", "input")}
    assert body == {"store": False, **expected}
    assert request.losses == []
    assert request.carry == {}


@pytest.mark.parametrize(
    ("given", "carry"),
    [
        ({"stop": "x"}, {"stop": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop": ["x", "y"]}),
        ({"stop": []}, {}),
        ({"n": 1}, {}),
        ({"n": 3}, {"n": 3}),
        ({"seed": -7}, {"seed": -7}),
        ({"presence_penalty": 1, "frequency_penalty": -2}, {"presence_penalty": 1, "frequency_penalty": -2}),
        ({"logit_bias": {"50256": -100}}, {"logit_bias": {"50256": -100}}),
        ({"logit_bias": {}}, {}),
        ({"prediction": {"type": "content", "content": "x"}}, {"prediction": {"type": "content", "content": "x"}}),
        ({"functions": [{"name": "f"}], "function_call": {"name": "f"}}, {"functions": True}),
    ],
)
def test_what_only_chat_can_say_is_carried_beside_the_body(given: dict[str, Any], carry: dict[str, Any]) -> None:
    assert read(**given).carry == carry


def test_the_deprecated_form_holds_one_call_so_no_more_than_one_is_asked_for() -> None:
    assert read(functions=[{"name": "f"}]).body["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in read(tools=[{"type": "function", "function": {"name": "f"}}]).body


def test_stream_options_tell_whether_the_client_wants_usage() -> None:
    request = read(stream=True, stream_options={"include_usage": True, "include_obfuscation": False})

    assert (request.stream, request.include_usage) == (True, True)
    assert request.body["stream_options"] == {"include_obfuscation": False}


def test_a_responses_name_does_not_slip_into_the_hub_under_its_meaning() -> None:
    request = read(instructions="obey", input="x")

    assert "instructions" not in request.body
    assert [(loss.path, loss.kind) for loss in request.losses] == [
        ("instructions", "unknown_parameter"),
        ("input", "unknown_parameter"),
    ]


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_words_for_the_same_that_of_chat_wins(reverse: bool) -> None:
    said = {
        "reasoning": {"effort": "high", "summary": "auto"},
        "text": {"verbosity": "high"},
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {"type": "json_object"},
    }
    request = read(**dict(reversed(said.items())) if reverse else said)

    assert request.body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert request.body["text"] == {"verbosity": "low", "format": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ({"reasoning": {"max_tokens": 9, "exclude": False}}, ["reasoning.max_tokens", "reasoning.exclude"]),
        ({"reasoning": {"enabled": True, "summary": True}}, ["reasoning.enabled", "reasoning.summary"]),
        ({"text": {"format": {"type": "json_object"}}}, ["text.format"]),
        ({"reasoning": "high", "text": True}, ["reasoning", "text"]),
    ],
)
def test_what_chat_has_no_word_for_in_such_an_object_is_lost_by_its_path(said: dict[str, Any], lost: list[str]) -> None:
    request = read(**said)

    assert [(loss.path, loss.kind) for loss in request.losses] == [(path, "unknown_parameter") for path in lost]
    assert not {"reasoning", "text"} & request.body.keys()


def test_the_traits_of_the_client_ride_along() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert read_request(body, ClientTraits.CODEX).client is ClientTraits.CODEX


WRONG: list[tuple[dict[str, Any], str, type[BadRequest]]] = [
    ({"model": None}, "model", MissingParameter),
    ({"model": ""}, "model", InvalidValue),
    ({"model": 5}, "model", InvalidType),
    ({"messages": None}, "messages", MissingParameter),
    ({"messages": {}}, "messages", InvalidType),
    ({"messages": []}, "messages", InvalidValue),
    ({"temperature": "1"}, "temperature", InvalidType),
    ({"temperature": True}, "temperature", InvalidType),
    ({"temperature": 2.1}, "temperature", InvalidValue),
    ({"top_p": -0.1}, "top_p", InvalidValue),
    ({"n": 0}, "n", InvalidValue),
    ({"n": 129}, "n", InvalidValue),
    ({"n": 1.5}, "n", InvalidType),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop", InvalidValue),
    ({"stop": ["a", 5]}, "stop[1]", InvalidType),
    ({"stop": 5}, "stop", InvalidType),
    ({"stop": ""}, "stop", InvalidValue),
    ({"seed": "x"}, "seed", InvalidType),
    ({"max_tokens": 0}, "max_tokens", InvalidValue),
    ({"max_completion_tokens": 2.5}, "max_completion_tokens", InvalidType),
    ({"presence_penalty": 3}, "presence_penalty", InvalidValue),
    ({"logit_bias": {"1": 101}}, "logit_bias.1", InvalidValue),
    ({"logit_bias": {"1": "x"}}, "logit_bias.1", InvalidType),
    ({"logprobs": 1}, "logprobs", InvalidType),
    ({"top_logprobs": 3}, "top_logprobs", InvalidValue),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", InvalidValue),
    ({"metadata": {"a": 1}}, "metadata.a", InvalidType),
    ({"metadata": {str(i): "" for i in range(17)}}, "metadata", InvalidValue),
    ({"metadata": {"a": "x" * 513}}, "metadata.a", InvalidValue),
    ({"safety_identifier": "x" * 65}, "safety_identifier", InvalidValue),
    ({"user": 5}, "user", InvalidType),
    ({"store": "yes"}, "store", InvalidType),
    ({"verbosity": "loud"}, "verbosity", InvalidValue),
    ({"reasoning_effort": 1}, "reasoning_effort", InvalidType),
    ({"reasoning": {"effort": 1}}, "reasoning.effort", InvalidType),
    ({"text": {"verbosity": "loud"}}, "text.verbosity", InvalidValue),
    ({"text": {"verbosity": ["low"]}}, "text.verbosity", InvalidType),
    ({"modalities": ["text", "audio"]}, "modalities", UnsupportedParameter),
    ({"modalities": ["smell"]}, "modalities[0]", InvalidValue),
    ({"audio": {"voice": "alloy"}}, "audio", UnsupportedParameter),
    ({"stream": "yes"}, "stream", InvalidType),
    ({"stream_options": {"include_usage": True}}, "stream_options", InvalidValue),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage", InvalidType),
    ({"response_format": {"type": "xml"}}, "response_format.type", InvalidValue),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", MissingParameter),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": []}}},
        "response_format.json_schema.schema",
        InvalidType,
    ),
    ({"tools": {}}, "tools", InvalidType),
    ({"tools": [5]}, "tools[0]", InvalidType),
    ({"tools": [{"type": "function"}]}, "tools[0].function", MissingParameter),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", MissingParameter),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
        "tools[0].function.parameters",
        InvalidType,
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "strict": 1}}]},
        "tools[0].function.strict",
        InvalidType,
    ),
    (
        {"tools": [{"type": "custom", "custom": {"name": "c", "format": {"type": "x"}}}]},
        "tools[0].custom.format.type",
        InvalidValue,
    ),
    ({"tool_choice": "required"}, "tool_choice", InvalidValue),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", InvalidValue),
    ({"tools": [FUNCTION], "tool_choice": "maybe"}, "tool_choice", InvalidValue),
    ({"tools": [FUNCTION], "tool_choice": 5}, "tool_choice", InvalidType),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function"}}, "tool_choice.function", MissingParameter),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "f"}}, "tool_choice.function", MissingParameter),
    ({"tools": [FUNCTION], "tool_choice": {"type": "shell"}}, "tool_choice.type", InvalidValue),
    ({"tool_choice": {"type": "web_search"}}, "tool_choice", InvalidValue),
    ({"tools": [FUNCTION], "functions": [{"name": "g"}]}, "functions", InvalidValue),
    ({"function_call": {"name": "f"}}, "function_call", InvalidValue),
    ({"functions": [{"name": "f"}], "function_call": "required"}, "function_call", InvalidValue),
    ({"web_search_options": {"user_location": {}}}, "web_search_options.user_location.approximate", MissingParameter),
]


@pytest.mark.parametrize(("given", "param", "error"), WRONG)
def test_a_wrong_field_is_refused_by_its_path(given: dict[str, Any], param: str, error: type[BadRequest]) -> None:
    with pytest.raises(error) as refused:
        read(**given)

    assert type(refused.value) is error
    assert refused.value.param == param
    assert param in refused.value.message or error is UnsupportedParameter


def test_null_means_absent_for_every_optional_field() -> None:
    nulls = {key: None for key in _FIELDS if key not in ("model", "messages")}
    assert read(**nulls) == read()
