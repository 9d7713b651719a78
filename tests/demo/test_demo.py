"""The offline model: says what was asked for, on both surfaces, plain and streaming, to the letter of both APIs."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from adapter.demo.schema import instance
from adapter.hub.grammar import check_chat, check_responses
from tests import validator
from tests.demo.asgi import call

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PNG = "data:image/png;base64,iVBORw0KGgo="


def chat(text: Any, **fields: Any) -> dict[str, Any]:
    """A Chat body."""
    return {"model": "demo-chat", "messages": [{"role": "user", "content": text}], **fields}


def asks(said: Any, **fields: Any) -> dict[str, Any]:
    """A Responses body."""
    return {"model": "demo-responses", "input": said, **fields}


def chat_tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": CITY}}


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "name": name, "parameters": CITY, "strict": False}


CHAT = {
    "text": chat("Hello"),
    "reasoning": chat("Hello", reasoning_effort="low"),
    "a call": chat("please call weather", tools=[chat_tool("weather"), chat_tool("time")]),
    "parallel calls": chat("call weather and time", tools=[chat_tool("weather"), chat_tool("time")]),
    "a custom call": chat("call sql", tools=[{"type": "custom", "custom": {"name": "sql"}}]),
    "structured": chat(
        "hi", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": CITY, "strict": True}}
    ),
    "any object": chat("hi", response_format={"type": "json_object"}),
    "images": chat([{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PNG}}]),
    "cut": chat("a long story about something", max_tokens=4),
    "a cut call": chat("call weather", tools=[chat_tool("weather")], max_tokens=2),
    "refusal": chat("please refuse this"),
    "logprobs": chat("one two", logprobs=True, top_logprobs=1),
    "two choices": chat("one two", n=2),
    "stop": chat("one STOP two", stop="STOP"),
}
RESPONSES = {
    "text": asks("Hello"),
    "reasoning": asks("Hello", reasoning={"effort": "low"}),
    "reasoning summary": asks("Hello", reasoning={"effort": "low", "summary": "auto"}),
    "a call": asks("please call weather", tools=[tool("weather"), tool("time")]),
    "parallel calls": asks("call weather and time", tools=[tool("weather"), tool("time")]),
    "a namespaced call": asks(
        "call say", tools=[{"type": "namespace", "name": "ns", "description": "", "tools": [tool("say")]}]
    ),
    "a shell call": asks("call shell", tools=[{"type": "shell", "environment": {"type": "local"}}]),
    "a local shell call": asks("call local_shell", tools=[{"type": "local_shell"}]),
    "a patch": asks("call apply_patch", tools=[{"type": "apply_patch"}]),
    "a tool search": asks(
        "call tool_search",
        tools=[{"type": "tool_search", "execution": "client", "description": "", "parameters": None}],
    ),
    "a custom call": asks("call sql", tools=[{"type": "custom", "name": "sql"}]),
    "structured": asks("hi", text={"format": {"type": "json_schema", "name": "x", "schema": CITY, "strict": True}}),
    "images": asks(
        [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": PNG}],
            }
        ]
    ),
    "cut": asks("a long story about something", max_output_tokens=16, reasoning={"effort": "high"}),
    "a cut call": asks("call weather", tools=[tool("weather")], max_output_tokens=2),
    "refusal": asks("please refuse this"),
    "logprobs": asks("one two", include=["message.output_text.logprobs"]),
    "compaction": asks([{"role": "user", "content": "hi"}, {"type": "compaction_trigger"}]),
}


@pytest.mark.parametrize("body", CHAT.values(), ids=CHAT)
def test_chat_streams_are_grammatical_and_say_what_the_plain_reply_says(body: dict[str, Any]) -> None:
    """One brain, one answer: the chunks fold to the plain completion."""

    status, plain = call("/v1/chat/completions", body)
    assert status == 200
    status, stream = call("/v1/chat/completions", {**body, "stream": True, "stream_options": {"include_usage": True}})
    assert status == 200
    assert check_chat(stream, include_usage=True, n=body.get("n", 1)) == []
    v = validator.load()
    if v is None:
        return
    assert v.errors(v.check(json.loads(plain), "chat.response")) == []
    assert v.errors(v.check_chat_sse(stream, include_usage=True)) == []
    chunks = [json.loads(line[6:]) for line in stream.split(b"\n\n") if line.startswith(b"data: {")]
    for folded, choice in zip(v.assemble_chat(chunks)["choices"], json.loads(plain)["choices"], strict=True):
        for key in ("content", "refusal", "tool_calls", "reasoning_content"):
            assert (folded["message"].get(key) or None) == (choice["message"].get(key) or None)
        assert folded["finish_reason"] == choice["finish_reason"]


@pytest.mark.parametrize("body", RESPONSES.values(), ids=RESPONSES)
def test_responses_streams_are_grammatical_and_end_in_the_plain_reply(body: dict[str, Any]) -> None:
    """The terminal event carries the very object that the plain call returns."""

    status, plain = call("/v1/responses", body)
    assert status == 200
    status, stream = call("/v1/responses", {**body, "stream": True})
    assert status == 200
    assert check_responses(stream) == []
    final = json.loads(stream.rstrip().rsplit(b"data: ", 1)[-1])["response"]
    other = json.loads(plain)
    assert final == other
    v = validator.load()
    if v is not None:
        assert v.errors(v.check(other, "response")) == []
        assert v.errors(v.check_responses_sse(stream)) == []


def said(body: dict[str, Any]) -> Any:
    """The plain answer's message, or the list of output items."""
    if "messages" in body:
        return json.loads(call("/v1/chat/completions", body)[1])["choices"][0]["message"]
    return json.loads(call("/v1/responses", body)[1])["output"]


def test_it_calls_the_tools_that_the_user_names_in_their_order() -> None:
    """`call b and a` makes two calls, b first."""

    message = said(chat("call time and weather", tools=[chat_tool("weather"), chat_tool("time")]))
    assert [c["function"]["name"] for c in message["tool_calls"]] == ["time", "weather"]


def test_it_calls_one_tool_where_parallel_calls_are_off() -> None:
    """`parallel_tool_calls: false` is obeyed."""

    items = said(asks("call time and weather", tools=[tool("weather"), tool("time")], parallel_tool_calls=False))
    assert [item["name"] for item in items] == ["time"]


def test_arguments_written_out_by_the_user_are_taken() -> None:
    """A JSON object after the name is the arguments."""

    items = said(asks('call weather with {"city": "Paris"}', tools=[tool("weather")]))
    assert json.loads(items[0]["arguments"]) == {"city": "Paris"}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "time"}])
def test_a_forced_choice_makes_a_call(choice: Any) -> None:
    """`required` and a named tool both lead to a call, whatever the user says."""

    items = said(asks("hello", tools=[tool("time")], tool_choice=choice))
    assert items[0]["type"] == "function_call"
    jsonschema.validate(json.loads(items[0]["arguments"]), CITY)


def test_it_answers_from_tool_outputs() -> None:
    """After the outputs it does not call again."""

    history = [
        {"role": "user", "content": "call weather"},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "18 degrees"},
    ]
    items = said(asks(history, tools=[tool("weather")]))
    assert "18 degrees" in items[0]["content"][0]["text"]


def test_it_answers_from_the_output_of_a_tool_that_nobody_called() -> None:
    told = {"type": "function_call_output", "name": "goal", "namespace": "agent", "output": "count"}
    items = said(asks([{"role": "user", "content": "hello"}, told]))
    assert "count" in items[0]["content"][0]["text"]


def test_it_calls_a_tool_that_its_search_brought() -> None:
    """A search's output brings tools; the question is still open."""

    search = {"type": "tool_search_call", "call_id": "t", "execution": "client", "arguments": {}, "status": "completed"}
    found = {"type": "tool_search_output", "call_id": "t", "execution": "client", "tools": [tool("say")]}
    items = said(asks([{"role": "user", "content": "call say"}, search, found]))
    assert [(item["type"], item["name"]) for item in items] == [("function_call", "say")]
    searching = asks([{"role": "user", "content": "call tool_search"}, search, found], tools=[{"type": "tool_search"}])
    assert [item["type"] for item in said(searching)] == ["message"]


def test_unpaired_calls_are_refused_as_the_api_does() -> None:
    """A call without its output is a 400 with the API's own words."""

    status, body = call(
        "/v1/responses", asks([{"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}])
    )
    assert status == 400
    assert json.loads(body)["error"]["message"] == "No tool output found for function call c1."


def test_it_sees_images() -> None:
    """How many, and their media types."""

    assert "1 image: image/png" in said(CHAT["images"])["content"]
    assert "1 image: image/png" in said(RESPONSES["images"])[0]["content"][0]["text"]


def test_compact_returns_user_messages_and_one_compaction_item_last() -> None:
    """The shape of the official compaction resource."""

    status, body = call("/v1/responses/compact", asks([{"role": "user", "content": "remember 42"}]))
    assert status == 200
    value = json.loads(body)
    assert [item["type"] for item in value["output"]] == ["message", "compaction"]
    assert "remember 42" in value["output"][-1]["encrypted_content"]
    v = validator.load()
    if v is not None:
        assert v.errors(v.check(value, "compact")) == []


def test_models_are_listed_under_both_names() -> None:
    """One name per upstream dialect."""

    status, body = call("/v1/models", method="GET")
    assert status == 200
    assert [model["id"] for model in json.loads(body)["data"]] == ["demo-chat", "demo-responses"]
    assert call("/v1/models/demo-chat", method="GET")[0] == 200
    assert call("/v1/models/m", method="GET")[0] == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", {"messages": []}, 400),
        ("/v1/chat/completions", {"model": "demo-chat", "messages": [5]}, 400),
        ("/v1/chat/completions", chat("x", tools=[5]), 400),
        ("/v1/responses", {"model": "demo-chat"}, 400),
        ("/v1/chat/completions", {**chat("x"), "model": "m"}, 404),
        ("/v1/responses", {**asks("x"), "model": "m", "stream": True}, 404),
        ("/v1/responses", asks("x", tools=5), 400),
        ("/v1/responses", asks("x", tools="message"), 400),
        ("/v1/responses", asks("x", tool_choice=[]), 400),
        ("/v1/responses", asks("x", temperature=True), 400),
        ("/v1/responses", [], 400),
        ("/v1/nowhere", {}, 404),
    ],
)
def test_bad_requests_get_the_error_shape(path: str, body: Any, status: int) -> None:
    """Never a crash, always the envelope of the APIs."""

    got, raw = call(path, body)
    assert got == status
    assert set(json.loads(raw)["error"]) == {"message", "type", "param", "code"}


SCHEMAS: list[Any] = [
    CITY,
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 5}, "b": {"type": ["string", "null"]}}},
    {"type": "array", "items": {"enum": ["x", "y", "z"]}, "minItems": 2, "uniqueItems": True},
    {"anyOf": [{"type": "object", "properties": {"k": {"const": "v"}}, "required": ["k"]}, {"type": "null"}]},
    {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                "required": ["next"],
            }
        },
        "$ref": "#/$defs/node",
    },
    {
        "type": "object",
        "properties": {
            "when": {"type": "string", "format": "date-time"},
            "id": {"type": "string", "pattern": "^[0-9]+$"},
        },
        "required": ["when", "id"],
    },
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "multipleOf": 7, "minimum": 20},
    {"type": "number", "minimum": 0.25, "maximum": 0.5},
    {"type": "string", "minLength": 30, "maxLength": 31},
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
            {"properties": {"b": {"type": "string"}}, "required": ["b"]},
        ]
    },
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2, "items": False},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    {
        "type": "object",
        "properties": {"tags": {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True}},
        "required": ["tags"],
    },
    {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_an_instance_is_valid_under_its_schema(schema: Any) -> None:
    """The usual keywords, recursion included."""

    jsonschema.Draft202012Validator(schema).validate(instance(schema))
