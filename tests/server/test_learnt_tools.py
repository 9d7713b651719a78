"""A server whose profile says nothing of its tools, and that refuses all but functions: it is asked again, and remembered."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter.conform import speaking, strict_responses
from adapter.hub.grammar import check_responses
from adapter.upstream.profiles import GENERIC, functions_only
from tests.server.harness import PATH, adapter, play, upstream
from tests.server.scripted import END, SSE, Script, Upstream, json_reply, piece, response

Json = dict[str, Any]
TEXT = '*** Begin Patch\n"quoted" ü'
CUSTOM = {"type": "custom", "name": "apply_patch"}
ASKED = {"model": "m", "input": "Hi", "tools": [CUSTOM, {"type": "web_search"}]}
REFUSALS: dict[str, tuple[int, Json]] = {
    "llama.cpp": (400, {"error": {"code": 400, "message": "'type' of tool must be 'function'", "type": "invalid_request_error"}}),
    "lm_studio": (400, {"error": {"message": "Invalid discriminator value. Expected 'function' | 'mcp'", "type": "invalid_request_error", "param": "tools.6.type", "code": "invalid_union_discriminator"}}),
    "lm_studio_later": (400, {"error": {"message": "Invalid", "type": "invalid_request_error", "param": "tools.8.type", "code": "invalid_string"}}),
    "vllm": (400, {"error": {"message": "[{'type': 'literal_error', 'loc': ('body', 'tools', 11, 'CustomTool', 'type'), 'msg': \"Input should be 'custom'\", 'input': 'namespace'}]", "type": "BadRequestError", "param": None, "code": 400}}),
    "fastapi": (422, {"detail": [{"type": "literal_error", "loc": ["body", "tools", 3, "type"], "msg": "Input should be 'function'"}]}),
    "openrouter": (400, {"error": {"code": "invalid_prompt", "message": "Invalid Responses API request"}}),
    "an_item": (400, {"error": {"message": "Invalid input", "type": "invalid_request_error", "param": "input"}}),
    "litellm": (500, {"error": {"message": 'litellm.APIConnectionError: Bedrock_mantleException - {"error":{"code":"validation_error","message":"Invalid Value: \'tools.namespace\'.","param":null,"type":"invalid_request_error"}}', "type": None, "param": None, "code": "500"}}),
    "lm_studio_template": (500, {"error": {"message": "Error rendering prompt with jinja template: \"System message must be at the beginning.\"", "type": "internal_error"}}),
    "llama.cpp_template": (500, {"error": {"code": 500, "message": "\n------------\nWhile executing CallExpression at line 85\nError: Jinja Exception: System message must be at the beginning.", "type": "server_error"}}),
}  # fmt: skip
"""As servers and gateways were reported to word it."""
TOO_LONG = json_reply({"error": {"message": "prompt too long", "code": "context_length_exceeded"}}, 400)


def refusing(kind: str = "llama.cpp") -> Script:
    status, body = REFUSALS[kind]
    return [json_reply(body, status)]


def patches(*, stream: bool) -> Script:
    """A model that patches, by a function."""
    call = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "apply_patch"}
    spoken = speaking.Spoken([{**call, "arguments": orjson.dumps({"input": TEXT}).decode()}], id="resp_up", width=3)
    return [SSE, piece(speaking.responses_stream(spoken)), END] if stream else [json_reply(speaking.response(spoken))]


def offered(seen: Any) -> list[tuple[str, str | None]]:
    return [(tool["type"], tool.get("name")) for tool in seen.json["tools"]]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", REFUSALS)
def test_it_is_told_of_functions_and_the_client_has_its_own_tools(kind: str, stream: bool) -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing(kind), patches(stream=stream)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            answer = await client.post(PATH["responses"], {**ASKED, "stream": stream})
            again = await client.post(PATH["responses"], {**ASKED, "stream": stream})

        assert [offered(one) for one in up.seen] == [
            [("custom", "apply_patch"), ("web_search", None)],
            [("function", "apply_patch")],
            [("function", "apply_patch")],
        ]
        assert strict_responses.problems(up.seen[1].json, functions_only(GENERIC)) == []
        assert not stream or check_responses(answer.body) == []
        for one in (answer, again):
            assert (one.status, one.headers["x-adapter-losses"]) == (200, "tools[1];dropped")
            final = orjson.loads(one.body.rpartition(b"data: ")[2] if stream else one.body)
            (call,) = (final["response"] if stream else final)["output"]
            assert (call["type"], call["name"], call["input"]) == ("custom_tool_call", "apply_patch", TEXT)

    play(scenario)


def test_instructions_that_a_template_refuses_go_to_the_beginning() -> None:
    async def scenario() -> None:
        spoken = [{"role": "developer", "content": "two"}, {"role": "user", "content": "Hi"}]
        async with (
            Upstream(refusing("llama.cpp_template"), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            answer = await client.post(PATH["responses"], {"model": "m", "instructions": "one", "input": spoken})

        assert (answer.status, answer.headers.get("x-adapter-losses")) == (200, None)
        assert up.seen[1].json["instructions"] == "one\n\ntwo"
        assert [item["role"] for item in up.seen[1].json["input"]] == ["user"]
        assert answer.json["instructions"] == "one"

    play(scenario)


def test_what_such_a_server_takes_goes_on_as_bytes() -> None:
    async def scenario() -> None:
        asked = {"zeta": 1, "model": "m", "input": "Hi", "tools": [{"type": "function", "name": "f"}], "store": False}
        async with (
            Upstream(refusing(), patches(stream=False), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            await client.post(PATH["responses"], ASKED)
            answer = await client.post(PATH["responses"], asked)

        assert up.seen[2].body == orjson.dumps(asked)
        assert answer.json == response()

    play(scenario)


def test_a_chat_clients_custom_tools_go_so_too() -> None:
    async def scenario() -> None:
        tools = [{"type": "custom", "custom": {"name": "apply_patch"}}]
        async with (
            Upstream(refusing(), patches(stream=False)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": tools}
            answer = (await client.post(PATH["chat"], asked)).json

        (call,) = answer["choices"][0]["message"]["tool_calls"]
        assert call["custom"] == {"name": "apply_patch", "input": TEXT}

    play(scenario)


def test_a_history_that_is_compacted_there_is_told_in_functions() -> None:
    async def scenario() -> None:
        called = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": TEXT}
        spoken = [
            {"role": "user", "content": "Hi"},
            called,
            {**called, "type": "custom_tool_call_output", "output": "ok"},
        ]
        async with (
            Upstream(refusing("an_item"), [json_reply(response("We patched."))]) as up,
            adapter(upstream(up.url, "responses", compact="none")) as client,
        ):
            answer = await client.post("/v1/responses/compact", {"model": "m", "input": spoken})

        assert (answer.status, len(up.seen)) == (200, 2)
        kinds = {item.get("type", "message") for item in up.seen[1].json["input"]}
        assert kinds <= {"message", "function_call", "function_call_output"}

    play(scenario)


@pytest.mark.parametrize(
    ("asked", "keys", "refusal"),
    [
        (ASKED | {"tools": [{"type": "function", "name": "f"}]}, {}, refusing()),
        (ASKED, {}, [TOO_LONG]),
        (ASKED, {}, [json_reply({"error": {"message": "No.", "code": "content_policy_violation"}}, 400)]),
        (ASKED, {"profile": "openai"}, refusing()),
    ],
    ids=["nothing_could_be_simpler", "too_long", "policy", "openai_knows_its_api"],
)
def test_a_refusal_for_anything_else_is_told_at_once(asked: Json, keys: Json, refusal: Script) -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusal, patches(stream=False)) as up,
            adapter(upstream(up.url, "responses", **keys)) as client,
        ):
            answer = await client.post(PATH["responses"], asked)

        assert (answer.status, len(up.seen)) == (400, 1)

    play(scenario)


def test_where_functions_are_refused_too_the_client_hears_of_its_own_words_and_nothing_is_learnt() -> None:
    async def scenario() -> None:
        schema = json_reply({"error": {"message": "Invalid schema", "param": "tools[0]"}}, 400)
        async with (
            Upstream(refusing("lm_studio"), [schema], refusing(), patches(stream=False)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            refused = await client.post(PATH["responses"], ASKED)
            answer = await client.post(PATH["responses"], ASKED)

        assert (refused.status, refused.json["error"]["param"]) == (400, "tools.6.type")
        assert offered(up.seen[2])[0] == ("custom", "apply_patch")
        assert answer.json["output"][0]["type"] == "custom_tool_call"

    play(scenario)


def test_what_is_too_long_in_simpler_words_is_told_and_the_server_is_remembered() -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing(), [TOO_LONG], patches(stream=False)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            refused = await client.post(PATH["responses"], ASKED)
            answer = await client.post(PATH["responses"], ASKED)

        assert refused.json["error"]["code"] == "context_length_exceeded"
        assert (answer.status, offered(up.seen[2])) == (200, [("function", "apply_patch")])

    play(scenario)


def test_a_learnt_server_that_is_busy_is_tried_again_and_then_the_next_one() -> None:
    async def scenario() -> None:
        busy = [json_reply({"error": {"message": "busy"}}, 409, "retry-after: 0")]
        async with (
            Upstream(refusing(), patches(stream=False), busy) as up,
            Upstream(patches(stream=False)) as next_one,
            adapter(upstream(up.url, "responses"), upstream(next_one.url, "responses", name="next")) as client,
        ):
            await client.post(PATH["responses"], ASKED)
            answer = await client.post(PATH["responses"], ASKED)

        assert [offered(one)[0][0] for one in up.seen] == ["custom", "function", "function"]
        assert answer.status == 200
        assert offered(next_one.seen[0])[0] == ("custom", "apply_patch")  # nobody has learnt anything of this one

    play(scenario)


def test_a_learnt_server_that_is_busy_and_the_only_one_is_tried_again_in_simple_words() -> None:
    async def scenario() -> None:
        busy = [json_reply({"error": {"message": "busy"}}, 409, "retry-after: 0")]
        async with (
            Upstream(refusing(), patches(stream=False), busy, patches(stream=False)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            await client.post(PATH["responses"], ASKED)
            answer = await client.post(PATH["responses"], ASKED)

        assert [offered(one)[0][0] for one in up.seen] == ["custom", "function", "function", "function"]
        assert answer.status == 200

    play(scenario)


def test_the_tokens_of_what_it_does_not_take_are_estimated() -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing(), patches(stream=False)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            await client.post(PATH["responses"], ASKED)
            counted = await client.post("/v1/responses/input_tokens", ASKED)

        assert (counted.headers["x-adapter-token-count"], len(up.seen)) == ("estimate", 2)

    play(scenario)
