"""A server whose profile says nothing of its tools, and that refuses some: it is asked again in simpler words, and remembered."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from adapter.conform import speaking
from adapter.hub.grammar import check_responses
from tests.server.harness import PATH, adapter, play, upstream
from tests.server.scripted import END, SSE, Script, Until, Upstream, json_reply, piece, response

Json = dict[str, Any]
TEXT = '*** Begin Patch\n"quoted" ü'
SOUND: Json = {"type": "object", "properties": {}}
CUSTOM = {"type": "custom", "name": "apply_patch"}
SEARCH = {"type": "web_search"}
ASKED = {"model": "m", "input": "Hi", "tools": [CUSTOM, SEARCH]}
NATIVE, KEEPS_HOSTED, FUNCTIONS = ["custom", "web_search"], ["function", "web_search"], ["function"]
REFUSALS: dict[str, tuple[int, Json]] = {
    "llama.cpp": (400, {"error": {"code": 400, "message": "'type' of tool must be 'function'", "type": "invalid_request_error"}}),
    "lm_studio": (400, {"error": {"message": "Invalid discriminator value. Expected 'function' | 'mcp'", "type": "invalid_request_error", "param": "tools.0.type", "code": "invalid_union_discriminator"}}),
    "lm_studio_later": (400, {"error": {"message": "Invalid", "type": "invalid_request_error", "param": "tools.0.type", "code": "invalid_string"}}),
    "vllm": (400, {"error": {"message": "[{'type': 'literal_error', 'loc': ('body', 'tools', 11, 'CustomTool', 'type'), 'msg': \"Input should be 'custom'\", 'input': 'namespace'}]", "type": "BadRequestError", "param": None, "code": 400}}),
    "fastapi": (422, {"detail": [{"type": "literal_error", "loc": ["body", "tools", 0, "type"], "msg": "Input should be 'function'"}]}),
    "openrouter": (400, {"error": {"code": "invalid_prompt", "message": "Invalid Responses API request"}}),
    "an_item": (400, {"error": {"message": "Invalid input", "type": "invalid_request_error", "param": "input"}}),
    "litellm": (500, {"error": {"message": 'litellm.APIConnectionError: Bedrock_mantleException - {"error":{"code":"validation_error","message":"Invalid Value: \'tools.namespace\'.","param":null,"type":"invalid_request_error"}}', "type": None, "param": None, "code": "500"}}),
}  # fmt: skip
"""As servers and gateways were reported to word it."""
TEMPLATES: dict[str, tuple[int, Json]] = {
    "lm_studio_template": (500, {"error": {"message": "Error rendering prompt with jinja template: \"System message must be at the beginning.\"", "type": "internal_error"}}),
    "llama.cpp_template": (500, {"error": {"code": 500, "message": "\n------------\nWhile executing CallExpression at line 85\nError: Jinja Exception: System message must be at the beginning.", "type": "server_error"}}),
}  # fmt: skip
"""The same of templates."""
SYSTEMS: dict[str, tuple[int, Json]] = {
    "chatgpt": (400, {"detail": "System messages are not allowed"}),
    "codex2api": (400, {"error": {"message": "System messages are not allowed", "type": "invalid_request_error"}}),
    "ai_sdk": (400, {"error": {"message": "Invalid prompt: System messages are not allowed in the prompt or messages fields. Use the instructions option instead."}}),
    "litellm_chatgpt": (500, {"error": {"message": 'litellm.BadRequestError: ChatgptException - {"detail":"System messages are not allowed"}', "code": "500"}}),
    "role": (400, {"error": {"message": "system role is not allowed", "param": "input[0].role"}}),
}  # fmt: skip
"""The same of those who take no messages of the system."""
TOO_LONG = json_reply({"error": {"message": "prompt too long", "code": "context_length_exceeded"}}, 400)


def refusing(kind: str = "llama.cpp") -> Script:
    status, body = (REFUSALS | TEMPLATES | SYSTEMS)[kind]
    return [json_reply(body, status)]


def patches(*, stream: bool) -> Script:
    """A model that patches, by a function."""
    call = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "apply_patch"}
    spoken = speaking.Spoken([{**call, "arguments": orjson.dumps({"input": TEXT}).decode()}], id="resp_up", width=3)
    return [SSE, piece(speaking.responses_stream(spoken)), END] if stream else [json_reply(speaking.response(spoken))]


BUSY = json_reply({"error": {"message": "busy"}}, 409, "retry-after: 0")


def offered(up: Upstream) -> list[list[str]]:
    """The kinds of tools in each request."""
    return [[tool["type"] for tool in one.json.get("tools", [])] for one in up.seen]


def final(body: bytes, *, stream: bool) -> Json:
    last: Json = orjson.loads(body.rpartition(b"data: ")[2] if stream else body)
    return last["response"] if stream else last


def is_patch(answer: Json) -> bool:
    (call,) = answer["output"]
    return (call["type"], call["name"], call["input"]) == ("custom_tool_call", "apply_patch", TEXT)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_server_that_knows_no_tools_that_clients_run_keeps_its_own(kind: str, stream: bool) -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing(kind), patches(stream=stream)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            answers = [await client.post(PATH["responses"], {**ASKED, "stream": stream}) for _ in range(2)]

        assert offered(up) == [NATIVE, KEEPS_HOSTED, KEEPS_HOSTED]
        for answer in answers:
            assert (answer.status, answer.headers.get("x-adapter-losses")) == (200, None)
            assert not stream or check_responses(answer.body) == []
            assert is_patch(final(answer.body, stream=stream))

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_server_that_knows_functions_is_told_of_nothing_else(kind: str, stream: bool) -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing(kind), refusing(kind), patches(stream=stream)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            answers = [await client.post(PATH["responses"], {**ASKED, "stream": stream}) for _ in range(2)]

        assert offered(up) == [NATIVE, KEEPS_HOSTED, FUNCTIONS, FUNCTIONS]
        for answer in answers:
            assert (answer.status, answer.headers["x-adapter-losses"]) == (200, "tools[1];dropped")
            assert is_patch(final(answer.body, stream=stream))

    play(scenario)


def test_where_only_tools_of_servers_are_unknown_they_are_dropped_at_once() -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing(), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            answer = await client.post(PATH["responses"], {**ASKED, "tools": [SEARCH]})

        assert (answer.status, answer.headers["x-adapter-losses"]) == (200, "tools[0];dropped")
        assert offered(up) == [["web_search"], []]

    play(scenario)


def test_a_refusal_at_the_beginning_of_a_stream_is_one() -> None:
    async def scenario() -> None:
        said = orjson.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": "no custom tools"}})
        async with (
            Upstream([SSE, piece(b"event: error\ndata: " + said + b"\n\n"), END], patches(stream=True)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            answer = await client.post(PATH["responses"], {**ASKED, "stream": True})

        assert is_patch(final(answer.body, stream=True))

    play(scenario)


@pytest.mark.parametrize("kind", TEMPLATES)
def test_instructions_that_a_template_refuses_go_to_the_beginning(kind: str) -> None:
    async def scenario() -> None:
        spoken = [{"role": "developer", "content": "two"}, {"role": "user", "content": "Hi"}]
        async with (
            Upstream(refusing(kind), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", profile="litellm")) as client,
        ):
            answer = await client.post(PATH["responses"], {"model": "m", "instructions": "one", "input": spoken})

        assert (answer.status, answer.headers.get("x-adapter-losses")) == (200, None)
        assert up.seen[1].json["instructions"] == "one\n\ntwo"
        assert [item["role"] for item in up.seen[1].json["input"]] == ["user"]
        assert answer.json["instructions"] == "one"

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", SYSTEMS)
@pytest.mark.parametrize("profile", ["generic", "litellm"])
def test_a_chat_clients_system_message_that_is_not_allowed_goes_as_instructions(
    kind: str, stream: bool, profile: str
) -> None:
    async def scenario() -> None:
        said = [SSE, piece(speaking.responses_stream(speaking.Spoken(response()["output"], id="resp_up"))), END]
        async with (
            Upstream(refusing(kind), said if stream else [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", profile=profile)) as client,
        ):
            spoken = [{"role": "system", "content": "one"}, {"role": "user", "content": "Hi"}]
            answers = [await client.ask("chat", messages=spoken, stream=stream) for _ in range(2)]

        assert [one.json.get("instructions") for one in up.seen] == [None, "one", "one"]
        assert [[item["role"] for item in one.json["input"]] for one in up.seen] == [["system", "user"]] + [
            ["user"]
        ] * 2
        for answer in answers:
            assert (answer.status, answer.headers.get("x-adapter-losses")) == (200, None)

    play(scenario)


def test_where_no_system_message_is_allowed_a_later_one_is_the_users_and_developers_stay() -> None:
    async def scenario() -> None:
        spoken = [
            {"role": "system", "content": "two"},
            {"role": "developer", "content": "three"},
            {"role": "user", "content": "Hi"},
            {"role": "system", "content": "four"},
        ]
        codex = {"model": "m", "input": spoken[1:3], "store": False}
        async with (
            Upstream(refusing("chatgpt"), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            answer = await client.post(PATH["responses"], {"model": "m", "instructions": "one", "input": spoken})
            await client.post(PATH["responses"], codex)

        assert (answer.status, answer.headers["x-adapter-losses"]) == (200, "input[3].role;approximated")
        assert answer.json["instructions"] == "one"
        assert up.seen[1].json["instructions"] == "one\n\ntwo"
        assert [item["role"] for item in up.seen[1].json["input"]] == ["developer", "user", "user"]
        assert up.seen[2].body == orjson.dumps(codex)

    play(scenario)


def test_a_system_message_alone_goes_as_a_developers_where_none_is_allowed() -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing("chatgpt"), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            body = {"model": "m", "input": [{"role": "system", "content": "one"}]}
            assert (await client.post(PATH["responses"], body)).status == 200
            assert [item["role"] for item in up.seen[1].json["input"]] == ["developer"]
            assert not up.seen[1].json.get("instructions")

    play(scenario)


def test_of_system_messages_that_are_not_there_a_refusal_is_told_at_once() -> None:
    async def scenario() -> None:
        async with Upstream(refusing("chatgpt")) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("chat")

        assert (answer.status, answer.json["error"]["message"]) == (400, "System messages are not allowed")
        assert len(up.seen) == 1

    play(scenario)


def test_what_such_a_server_takes_goes_on_as_bytes() -> None:
    async def scenario() -> None:
        tools = [{"type": "function", "name": "f"}, SEARCH]
        asked = {"zeta": 1, "model": "m", "input": "Hi", "tools": tools, "store": False}
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


def test_a_chat_clients_search_goes_as_responses_has_it_and_then_not_at_all() -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing(), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            answers = [await client.ask("chat", tools=[SEARCH]) for _ in range(2)]

        assert offered(up) == [["web_search"], [], []]
        for answer in answers:
            assert (answer.status, answer.headers["x-adapter-losses"]) == (200, "tools[0];dropped")

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_client_is_answered_by_a_server_that_searched_for_it(stream: bool) -> None:
    async def scenario() -> None:
        found = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
        found |= {"action": {"type": "search", "query": "q"}}
        said = response()["output"][0]
        spoken = speaking.Spoken([found, said], id="resp_up")
        whole, events = speaking.response(spoken), speaking.responses_stream(spoken)
        async with (
            Upstream([SSE, piece(events), END] if stream else [json_reply(whole)]) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            answer = await client.ask("chat", tools=[SEARCH], stream=stream)

        assert up.seen[0].json["tools"] == [SEARCH]
        assert (answer.status, answer.headers.get("x-adapter-losses")) == (200, None)
        chunks = [chunk["choices"][0] for chunk in answer.events[:-1]] if stream else []
        text = "".join(one["delta"].get("content") or "" for one in chunks)
        assert (text or answer.json["choices"][0]["message"]["content"]) == "Hello"

    play(scenario)


@pytest.mark.parametrize(
    ("asked", "keys", "refusal"),
    [
        ({"tools": [{"type": "function", "name": "f"}]}, {}, refusing()),
        ({}, {}, [TOO_LONG]),
        ({}, {}, [json_reply({"error": {"message": "No.", "code": "content_policy_violation"}}, 400)]),
        ({}, {"profile": "openai"}, refusing()),
        ({}, {"profile": "xai"}, refusing()),
        ({}, {}, [json_reply({"error": {"message": "Unsupported.", "param": "temperature"}}, 400)]),
        ({}, {}, [json_reply({"error": {"message": "temperature does not go with this model"}}, 400)]),
        ({}, {}, [json_reply({"error": {"message": "Unknown field.", "param": "tools[1].filters"}}, 400)]),
        (
            {"tools": [{"type": "function", "name": "f", "parameters": SOUND}, CUSTOM]},
            {},
            [json_reply({"error": {"message": "Bad schema.", "param": "tools[0].parameters"}}, 400)],
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            {},
            [json_reply({"error": {"message": "Bad image.", "param": "input[0].content[0].image_url"}}, 400)],
        ),
    ],
    ids=[
        "nothing_could_be_simpler",
        "too_long",
        "policy",
        "openai_knows_its_api",
        "it_is_known_what_it_knows",
        "another_field",
        "something_else",
        "inside_of_what_would_be_dropped",
        "a_function",
        "a_message",
    ],
)
def test_a_refusal_for_anything_else_is_told_at_once(asked: Json, keys: Json, refusal: Script) -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusal, patches(stream=False)) as up,
            adapter(upstream(up.url, "responses", **keys)) as client,
        ):
            answer = await client.post(PATH["responses"], ASKED | asked)

        assert (answer.status, len(up.seen)) == (400, 1)

    play(scenario)


def test_a_summary_is_asked_for_in_text_and_so_once() -> None:
    async def scenario() -> None:
        called = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": TEXT}
        output = {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"}
        async with (
            Upstream(refusing("an_item"), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", compact="none")) as client,
        ):
            spoken = [{"role": "user", "content": "Hi"}, called, output]
            answer = await client.post("/v1/responses/compact", {"model": "m", "input": spoken})

        assert (answer.status, len(up.seen)) == (400, 1)

    play(scenario)


def test_where_all_words_are_refused_the_client_hears_of_its_own_and_nothing_is_learnt() -> None:
    async def scenario() -> None:
        schema = [json_reply({"error": {"message": "Invalid schema of a tool"}}, 400)]
        async with (
            Upstream(refusing("lm_studio"), schema, schema, refusing(), patches(stream=False)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            refused = await client.post(PATH["responses"], ASKED)
            answer = await client.post(PATH["responses"], ASKED)

        assert (refused.status, refused.json["error"]["param"]) == (400, "tools.0.type")
        assert "x-adapter-losses" not in refused.headers  # nothing was dropped of what it hears of
        assert offered(up) == [NATIVE, KEEPS_HOSTED, FUNCTIONS, NATIVE, KEEPS_HOSTED]
        assert is_patch(answer.json)

    play(scenario)


@pytest.mark.parametrize("status", [401, 429, 503])
def test_where_nobody_answered_nothing_is_learnt(status: int) -> None:
    async def scenario() -> None:
        other = [json_reply({"error": {"message": "no"}}, status)]
        async with (
            Upstream(refusing(), other, patches(stream=False)) as up,
            adapter(upstream(up.url, "responses", api_key="client")) as client,
        ):
            refused = await client.post(PATH["responses"], ASKED, authorization="Bearer sk-1")
            await client.post(PATH["responses"], ASKED, authorization="Bearer sk-1")

        assert refused.status == status
        assert offered(up) == [NATIVE, KEEPS_HOSTED, NATIVE]

    play(scenario)


def test_what_is_too_long_in_simpler_words_was_read() -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing(), [TOO_LONG], patches(stream=False)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            refused = await client.post(PATH["responses"], ASKED)
            answer = await client.post(PATH["responses"], ASKED)

        assert refused.json["error"]["code"] == "context_length_exceeded"
        assert is_patch(answer.json)
        assert offered(up) == [NATIVE, KEEPS_HOSTED, KEEPS_HOSTED]

    play(scenario)


def test_nobody_else_is_told_less_while_it_is_not_known_that_it_helps() -> None:
    async def scenario() -> None:
        other_came = asyncio.Event()
        async with (
            Upstream(refusing(), [Until(other_came), *patches(stream=False)], [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            first = asyncio.ensure_future(client.post(PATH["responses"], ASKED))
            while len(up.seen) < 2:
                await asyncio.sleep(0.01)
            other = await client.post(PATH["responses"], ASKED)
            other_came.set()
            assert is_patch((await first).json)

        assert other.json == response()
        assert offered(up) == [NATIVE, KEEPS_HOSTED, NATIVE]

    play(scenario)


@pytest.mark.parametrize("strict", [False, True])
def test_a_loss_that_may_not_be_is_no_reason_to_tell_of_it(strict: bool) -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing(), [json_reply(response())]) as up,
            adapter(upstream(up.url, "responses"), losses="reject" if strict else "report") as client,
        ):
            answer = await client.post(PATH["responses"], {**ASKED, "tools": [SEARCH]})

        assert (answer.status, len(up.seen)) == ((400, 1) if strict else (200, 2))
        assert not strict or "must be 'function'" in answer.json["error"]["message"]

    play(scenario)


def test_what_was_learnt_holds_for_whoever_comes_to_that_server_from_another_one() -> None:
    async def scenario() -> None:
        down = [json_reply({"error": {"message": "down"}}, 503)]
        async with (
            Upstream(down) as first,
            Upstream(refusing(), patches(stream=False)) as second,
            adapter(upstream(first.url, "responses"), upstream(second.url, "responses", name="second")) as client,
        ):
            await client.post(PATH["responses"], ASKED | {"provider": "second"})
            answer = await client.post(PATH["responses"], ASKED)

        assert is_patch(answer.json)
        assert (offered(first), offered(second)) == ([NATIVE], [NATIVE, KEEPS_HOSTED, KEEPS_HOSTED])

    play(scenario)


def test_a_learnt_server_that_is_busy_is_tried_again_and_then_the_next_one() -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing(), patches(stream=False), [BUSY]) as up,
            Upstream(patches(stream=False)) as next_one,
            adapter(upstream(up.url, "responses"), upstream(next_one.url, "responses", name="next")) as client,
        ):
            await client.post(PATH["responses"], ASKED)
            answer = await client.post(PATH["responses"], ASKED)

        assert answer.status == 200
        assert (offered(up), offered(next_one)) == ([NATIVE, KEEPS_HOSTED, KEEPS_HOSTED], [NATIVE])

    play(scenario)


def test_a_learnt_server_that_is_busy_and_the_only_one_is_tried_again_in_simple_words() -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing(), patches(stream=False), [BUSY], patches(stream=False)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            await client.post(PATH["responses"], ASKED)
            answer = await client.post(PATH["responses"], ASKED)

        assert answer.status == 200
        assert offered(up) == [NATIVE, *[KEEPS_HOSTED] * 3]

    play(scenario)


@pytest.mark.parametrize("tool", [{"name": "f"}, {"type": ["x"]}, {"type": {}}, {"type": None}])
@pytest.mark.parametrize("path", ["tools[0].type", "tools[²].type", f"tools[{'9' * 5000}].type", "tools[0].x", "[]"])
def test_whatever_is_refused_by_whatever_path_the_refusal_is_told(tool: Json, path: str) -> None:
    async def scenario() -> None:
        refusal = [json_reply({"error": {"message": "no", "param": path}}, 400)]
        async with (
            Upstream(refusing(), patches(stream=False), refusal) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            await client.post(PATH["responses"], ASKED)
            answer = await client.post(PATH["responses"], {**ASKED, "tools": [tool]})

        assert (answer.status, answer.json["error"]["message"]) == (400, "no")

    play(scenario)


def test_what_is_wrong_in_a_tool_of_servers_costs_nobody_else_his() -> None:
    keys = [{"id": name, "key": f"ak-{name}-{'k' * 30}", "owner": name, "groups": ["all"]} for name in ("alice", "bob")]

    async def scenario() -> None:
        async with (
            Upstream(refusing(), refusing(), patches(stream=False)) as up,
            adapter(
                upstream(up.url, "responses", api_key="sk-own"), access={"keys": keys, "groups": [{"name": "all"}]}
            ) as client,
        ):
            for one in (*keys, keys[0]):
                await client.post(PATH["responses"], ASKED, authorization=f"Bearer {one['key']}")

        assert offered(up) == [NATIVE, KEEPS_HOSTED, FUNCTIONS, NATIVE, FUNCTIONS]

    play(scenario)


def test_what_one_says_wrong_takes_no_retries_from_others() -> None:
    async def scenario() -> None:
        down = [json_reply({"error": {"message": "down"}}, 503)]
        async with (
            Upstream(refusing()) as wrong,
            Upstream(down) as first,
            Upstream([json_reply(response())]) as second,
            adapter(
                upstream(wrong.url, "responses", name="wrong", models=["w"]),
                upstream(first.url, "responses", name="first", models=["m"]),
                upstream(second.url, "responses", name="second", models=["m"]),
            ) as client,
        ):
            for _ in range(12):
                await client.post(PATH["responses"], ASKED | {"model": "w"})
            for _ in range(4):
                assert (await client.post(PATH["responses"], {"model": "m", "input": "Hi"})).status == 200

    play(scenario)


def test_words_that_are_in_vain_are_bounded() -> None:
    async def scenario() -> None:
        async with (
            Upstream(refusing()) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            for _ in range(60):
                assert (await client.post(PATH["responses"], ASKED)).status == 400
            assert len(up.seen) <= 60 + 2 * (10 + len(up.seen) / 5)  # a refusal saves a fifth of one

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
