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
from tests.server.scripted import Upstream, json_reply, response

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

    assert retold(body, AZURE) == told
    assert retold(body, OPENAI) == {}
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
