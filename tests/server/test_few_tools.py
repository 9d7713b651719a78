"""Clients with tools of every kind over a server whose Responses endpoint knows functions, as most do."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter.conform import speaking, strict_responses
from adapter.hub.grammar import check_responses
from adapter.upstream.profiles import profile
from tests.server.harness import PATH, adapter, play, upstream
from tests.server.scripted import END, SSE, Script, Upstream, json_reply, piece, response

Json = dict[str, Any]
LLAMA = profile("llama.cpp")
TEXT = '*** Begin Patch\n"quoted" ü'


def patches(*, stream: bool) -> Script:
    """A model that patches, by a function."""
    call = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "apply_patch"}
    spoken = speaking.Spoken([{**call, "arguments": orjson.dumps({"input": TEXT}).decode()}], id="resp_up", width=3)
    return [SSE, piece(speaking.responses_stream(spoken)), END] if stream else [json_reply(speaking.response(spoken))]


@pytest.mark.parametrize("stream", [False, True])
def test_a_custom_call_goes_and_comes_as_one(stream: bool) -> None:
    async def scenario() -> None:
        async with (
            Upstream(patches(stream=stream)) as up,
            adapter(upstream(up.url, "responses", profile="llama.cpp")) as client,
        ):
            tools = [{"type": "custom", "name": "apply_patch"}, {"type": "web_search"}]
            answer = await client.post(
                PATH["responses"], {"model": "m", "input": "Hi", "tools": tools, "stream": stream}
            )
            sent = orjson.loads(up.seen[0].body)

        assert strict_responses.problems(sent, LLAMA) == []
        assert [tool["name"] for tool in sent["tools"]] == ["apply_patch"]
        assert answer.headers["x-adapter-losses"] == "tools[1];dropped"
        final = orjson.loads(answer.body.rpartition(b"data: ")[2] if stream else answer.body)
        final = final["response"] if stream else final
        assert not stream or check_responses(answer.body) == []
        (call,) = final["output"]
        assert (call["type"], call["name"], call["input"]) == ("custom_tool_call", "apply_patch", TEXT)
        assert [tool["type"] for tool in final["tools"]] == ["custom", "web_search"]

    play(scenario)


def test_what_the_server_was_told_otherwise_is_no_word_of_the_clients() -> None:
    async def scenario() -> None:
        reply = response() | {"instructions": "Be brief.", "tools": [], "tool_choice": "none"}
        async with (
            Upstream([json_reply(reply)]) as up,
            adapter(upstream(up.url, "responses", profile="llama.cpp")) as client,
        ):
            spoken = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
            asked = {"model": "m", "input": spoken, "tools": [{"type": "web_search"}]}
            answer = (await client.post(PATH["responses"], asked)).json

        assert up.seen[0].json["instructions"] == "Be brief."
        assert answer["instructions"] is None
        assert answer["tools"][0]["type"] == "web_search"
        assert answer["tool_choice"] == "auto"

    play(scenario)


def test_a_request_that_such_a_server_takes_passes_as_it_came() -> None:
    async def scenario() -> None:
        reply = response()
        tools = [{"type": "function", "name": "f", "parameters": {}, "brand_new": 1}]
        asked = {"zeta": 1, "model": "m", "input": "Hi", "tools": tools, "store": False}
        async with (
            Upstream([json_reply(reply)]) as up,
            adapter(upstream(up.url, "responses", profile="llama.cpp")) as client,
        ):
            answer = await client.post(PATH["responses"], asked)
            assert up.seen[0].body == orjson.dumps(asked)
            assert answer.body == orjson.dumps(reply)

    play(scenario)


def test_what_such_a_server_would_not_take_is_counted_here() -> None:
    async def scenario() -> None:
        counted = {"object": "response.input_tokens", "input_tokens": 77}
        async with (
            Upstream([json_reply(counted)]) as up,
            adapter(upstream(up.url, "responses", profile="llama.cpp")) as client,
        ):
            path, body = "/v1/responses/input_tokens", {"model": "m", "input": "Hi"}
            custom = await client.post(path, {**body, "tools": [{"type": "custom", "name": "apply_patch"}]})
            plain = await client.post(path, body)

        assert (custom.status, custom.headers["x-adapter-token-count"]) == (200, "estimate")
        assert (plain.json["input_tokens"], plain.headers["x-adapter-token-count"]) == (77, "upstream")

    play(scenario)


def test_what_is_compacted_there_has_its_instructions_at_the_beginning() -> None:
    async def scenario() -> None:
        made = {"object": "response.compaction", "output": [{"type": "compaction", "encrypted_content": "blob"}]}
        section = {"profile": "llama.cpp", "compact": "compaction"}
        async with (
            Upstream([json_reply(made)]) as up,
            adapter(upstream(up.url, "responses", **section)) as client,
        ):
            spoken = [{"role": "developer", "content": "two"}, {"role": "user", "content": "Hi"}]
            asked = {"model": "m", "instructions": "one", "input": spoken}
            answer = await client.post("/v1/responses/compact", asked)

        assert answer.status == 200, answer.body
        assert up.seen[0].json["instructions"] == "one\n\ntwo"
        assert [item["role"] for item in up.seen[0].json["input"]] == ["user"]

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_client_is_given_its_custom_call(stream: bool) -> None:
    async def scenario() -> None:
        async with (
            Upstream(patches(stream=stream)) as up,
            adapter(upstream(up.url, "responses", profile="llama.cpp")) as client,
        ):
            tools = [{"type": "custom", "custom": {"name": "apply_patch"}}]
            messages = [{"role": "user", "content": "Hi"}]
            body = {"model": "m", "messages": messages, "tools": tools, "stream": stream}
            answer = await client.post(PATH["chat"], body)
            sent = orjson.loads(up.seen[0].body)

        assert strict_responses.problems(sent, LLAMA) == []
        assert b'"type":"custom"' in answer.body
        assert b'"finish_reason":"tool_calls"' in answer.body

    play(scenario)
