"""Tools of Codex over servers that speak Responses and are particular about what is said of them."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from adapter.dialects.responses import read_request, write_request
from adapter.dialects.responses.offered import retold
from adapter.upstream.profiles import profile
from tests.server.harness import PATH, adapter, play, upstream
from tests.server.scripted import Script, Upstream, json_reply, response

Json = dict[str, Any]
AZURE, OPENAI = profile("azure"), profile("openai")
USER: Json = {"type": "message", "role": "user", "content": "Hi"}
LITE = "x-openai-internal-codex-responses-lite"


def function(name: str = "f", **more: Any) -> Json:
    return {"type": "function", "name": name, **more}


def namespace(*tools: Any, **more: Any) -> Json:
    return {"type": "namespace", "name": "collaboration", "tools": [*tools], **more}


def brought(*tools: Any) -> Json:
    return {"type": "additional_tools", "role": "developer", "tools": [*tools]}


PARTICULAR = [
    namespace(function(description=""), function("g", description="G"), description=""),
    {"type": "custom", "name": "exec", "description": ""},
]
TOLD = [
    namespace(function(), function("g", description="G"), description="collaboration"),
    {"type": "custom", "name": "exec"},
]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"tools": PARTICULAR}, {"tools": TOLD}),
        ({"input": [USER, brought(*PARTICULAR), USER]}, {"input": [USER, brought(*TOLD), USER]}),
        ({"tools": [1, namespace(description="")]}, {"tools": [1, namespace(description="collaboration")]}),
        ({"tools": [function(description="")], "input": "Hi"}, {"tools": [function()]}),
        ({"tools": TOLD, "input": [USER, brought(*TOLD)]}, {}),
        ({"tools": [namespace(namespace(description="x"))], "input": [1, {"type": "tool_search_output"}]}, {}),
        ({"tools": None}, {}),
    ],
)
def test_an_empty_description_is_left_out_or_is_the_name_where_it_must_be_there(body: Json, told: Json) -> None:
    before = copy.deepcopy(body)

    assert retold(body, AZURE, []) == told
    assert retold(body, OPENAI, []) == {}
    assert body == before


@pytest.mark.parametrize(("name", "tools"), [("azure", TOLD), ("openai", PARTICULAR)])
def test_what_codex_brings_on_every_turn_is_what_azure_takes(name: str, tools: list[Json]) -> None:
    """openai/codex#37952: `input[0].tools[0].description` was a 400 `empty_string`."""

    async def scenario() -> None:
        asked = {"zeta": 1, "model": "m", "input": [brought(*PARTICULAR), USER], "stream": False}
        count = {"object": "response.input_tokens", "input_tokens": 7}
        async with (
            Upstream([json_reply(response())], [json_reply(count)]) as up,
            adapter(upstream(up.url, "responses", profile=name)) as client,
        ):
            answer = await client.post(PATH["responses"], asked)
            counted = await client.post("/v1/responses/input_tokens", {"model": "m", "input": asked["input"]})

        assert up.seen[0].body == orjson.dumps(asked | {"input": [brought(*tools), USER]})
        assert up.seen[1].json["input"] == [brought(*tools), USER]
        assert (answer.body, counted.json["input_tokens"]) == (orjson.dumps(response()), 7)

    play(scenario)


def test_what_the_hub_writes_is_what_it_takes() -> None:
    request = read_request({"model": "m", "input": [USER, brought(*PARTICULAR)], "tools": PARTICULAR})
    made = write_request(request, AZURE).body

    assert (made["tools"], made["input"]) == (TOLD, [USER, brought(*TOLD)])


@pytest.mark.parametrize(("name", "sent"), [("azure", None), ("openai", "true")])
def test_codexs_own_form_is_asked_of_who_knows_it(name: str, sent: str | None) -> None:
    """openai/codex#31870: asked so, Azure refuses Codex's namespaces."""

    async def scenario() -> None:
        async with (
            Upstream([json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", profile=name, api_key="client")) as client,
        ):
            fields = {"authorization": "Bearer sk-1", "originator": "codex_cli_rs", LITE: "true"}
            await client.post(PATH["responses"], {"model": "m", "input": "Hi"}, **fields)

        assert (up.seen[0].headers.get(LITE), up.seen[0].headers["originator"]) == (sent, "codex_cli_rs")

    play(scenario)


# ------------------------------------------------------------------------------------------------------------ schemas

NOTHING: Json = {"type": "object", "properties": {}}
UNION: Json = {
    "type": None,
    "oneOf": [{"type": "object", "properties": {name: {}}, "required": [name]} for name in "ab"],
}
ONE: Json = {"type": None, "properties": {}}
LOOSE = [namespace(function(parameters=ONE)), function("g", strict=False)]
SPELLED = [namespace(function(parameters=NOTHING)), function("g", strict=False, parameters=NOTHING)]
REFUSALS: dict[str, tuple[int, Json]] = {
    "openai": (400, {"error": {"message": "Invalid schema for function 'f': schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'.", "type": "invalid_request_error", "param": "input[0].tools[0].tools[0].parameters", "code": "invalid_function_parameters"}}),
    "no_properties": (400, {"error": {"message": "Invalid schema for function 'g': In context=(), object schema missing properties.", "type": "invalid_request_error", "param": None, "code": None}}),
    "gateway": (400, {"error": {"message": "litellm.BadRequestError: AzureException BadRequestError - {\"error\":{\"message\":\"Schema must be a JSON Schema of 'type: \\\"object\\\"', got 'type: \\\"None\\\"'.\"}}", "type": None, "param": None, "code": "400"}}),
    "path": (400, {"error": {"message": "Required", "type": "invalid_request_error", "param": "tools.1.parameters.properties", "code": "invalid_type"}}),
    "fastapi": (422, {"detail": [{"type": "string_type", "loc": ["body", "tools", 0, "parameters", "type"], "msg": "Input should be a valid string"}]}),
}  # fmt: skip


def refusing(kind: str = "openai") -> Script:
    status, body = REFUSALS[kind]
    return [json_reply(body, status)]


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("name", ["generic", "openai", "azure", "xai"])
def test_a_server_that_refuses_schemas_is_asked_again_with_all_spelled_out(name: str, kind: str) -> None:
    """Whatever is known of its tools; all else goes on as bytes, now and for an hour."""

    async def scenario() -> None:
        items = [USER] if name == "xai" else [brought(*LOOSE), USER]
        tools = LOOSE[1:] if name == "xai" else LOOSE
        asked = {"zeta": 1, "model": "m", "input": items, "tools": tools, "store": False}
        async with (
            Upstream(refusing(kind), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", profile=name)) as client,
        ):
            answers = [await client.post(PATH["responses"], asked) for _ in range(2)]

        for answer in answers:
            assert (answer.status, answer.headers.get("x-adapter-losses")) == (200, None)
            assert answer.body == orjson.dumps(response())
        spelled = asked | {"tools": SPELLED[-len(tools) :]}
        if name != "xai":
            spelled["input"] = [brought(*SPELLED), USER]
        assert [one.body for one in up.seen] == [orjson.dumps(asked), orjson.dumps(spelled), orjson.dumps(spelled)]

    play(scenario)


@pytest.mark.parametrize("policy", ["report", "reject"])
def test_a_union_is_told_as_one_object_and_that_is_a_loss(policy: str) -> None:
    async def scenario() -> None:
        asked = {"model": "m", "input": "Hi", "tools": [function(parameters=UNION)]}
        async with (
            Upstream(refusing(), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", profile="openai"), losses=policy) as client,
        ):
            answer = await client.post(PATH["responses"], asked)

        if policy == "reject":
            assert (answer.status, answer.json["error"]["code"], len(up.seen)) == (
                400,
                "invalid_function_parameters",
                1,
            )
            return
        assert (answer.status, answer.headers["x-adapter-losses"]) == (200, "tools[0].parameters;approximated")
        assert up.seen[1].json["tools"][0]["parameters"] == {"type": "object", "properties": {"a": {}, "b": {}}}

    play(scenario)


def test_a_chat_client_hears_of_its_own_place() -> None:
    async def scenario() -> None:
        tools = [{"type": "function", "function": {"name": "f", "parameters": UNION}}]
        asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": tools}
        async with (
            Upstream(refusing(), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", profile="openai")) as client,
        ):
            answer = await client.post(PATH["chat"], asked)

        assert (answer.status, answer.headers["x-adapter-losses"]) == (200, "tools[0].function.parameters;approximated")
        assert up.seen[1].json["tools"][0]["parameters"]["type"] == "object"

    play(scenario)


@pytest.mark.parametrize("name", ["generic", "openai", "xai"])
def test_where_all_schemas_are_of_objects_their_refusal_is_told_at_once(name: str) -> None:
    async def scenario() -> None:
        tools = [
            function(parameters=NOTHING),
            function("g", parameters={"type": "string"}),
            function("h", parameters=1),
        ]
        async with (
            Upstream(refusing()) as up,
            adapter(upstream(up.url, "responses", profile=name)) as client,
        ):
            answer = await client.post(PATH["responses"], {"model": "m", "input": "Hi", "tools": tools})

        assert (answer.status, answer.json["error"]["code"], len(up.seen)) == (400, "invalid_function_parameters", 1)

    play(scenario)


def test_where_spelling_them_out_does_not_help_the_first_refusal_is_told() -> None:
    async def scenario() -> None:
        asked = {"model": "m", "input": "Hi", "tools": LOOSE}
        async with (
            Upstream(refusing(), refusing("no_properties"), refusing()) as up,
            adapter(upstream(up.url, "responses", profile="openai")) as client,
        ):
            answer = await client.post(PATH["responses"], asked)
            await client.post(PATH["responses"], asked)

        assert answer.json["error"]["param"] == "input[0].tools[0].tools[0].parameters"
        assert [one.json["tools"] for one in up.seen] == [LOOSE, SPELLED, LOOSE, SPELLED]  # nothing was learnt

    play(scenario)


def test_a_server_that_refuses_schemas_may_refuse_a_kind_of_tool_then() -> None:
    async def scenario() -> None:
        unknown = {"error": {"message": "Invalid value: 'namespace'.", "param": "input[0].tools[0].type"}}
        async with (
            Upstream(refusing("path"), [json_reply(unknown, 400)], [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            asked = {"model": "m", "input": [brought(*LOOSE), USER]}
            answers = [await client.post(PATH["responses"], asked) for _ in range(2)]

        assert [answer.status for answer in answers] == [200, 200]
        assert [one.json["input"] for one in up.seen] == [
            [brought(*LOOSE), USER],
            [brought(*SPELLED), USER],
            [USER],
            [USER],
        ]
        told = [(tool["name"], tool["parameters"]) for tool in up.seen[2].json["tools"]]
        assert sorted(told) == [("collaboration__f", NOTHING), ("g", NOTHING)]

    play(scenario)
