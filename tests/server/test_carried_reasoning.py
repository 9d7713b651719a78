"""Reasoning that only a Responses upstream can read, carried by Chat clients: over the wire, and where it is refused."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.laws.carried import CARRYING, TOOLS, USER
from tests.server.harness import PATH, Client, Response, adapter, play, upstream
from tests.server.scripted import Script, Upstream, json_reply, response
from tests.server.test_reasoning_summaries import reasoned

INCLUDE = ["reasoning.encrypted_content"]
ENTRY = {
    "type": "reasoning.encrypted",
    "data": "gAAA",
    "id": "rs_1",
    "format": "openai-responses-v1",
    "index": 0,
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
HISTORY = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_details": [ENTRY]},
    {"role": "tool", "tool_call_id": "call_1", "content": "1"},
]
KEPT = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
UNSEALED = "Encrypted content is not supported with this model."
NOTHING: dict[str, tuple[int, dict[str, Any]]] = {
    "openai": (
        400,
        {"error": {"message": UNSEALED, "type": "invalid_request_error", "param": "include", "code": None}},
    ),
    "litellm": (400, {"error": {"message": f"litellm.BadRequestError: OpenAIException - {UNSEALED}", "code": "400"}}),
    "an enum": (422, {"error": {"message": "Input should be 'x', not 'reasoning.encrypted_content'", "param": None}}),
}
"""How it is said that a model has none."""
SEALED: dict[str, tuple[int, dict[str, Any]]] = {
    "openai": (400, {"error": {"message": "no", "code": "invalid_encrypted_content"}}),
    "azure": (400, {"error": {"message": "The encrypted content gAAA...wXBV could not be verified.", "code": None}}),
    "xai": (400, {"code": "invalid-argument", "error": "Could not decrypt the provided encrypted_content. Ensure"}),
    "opencode": (400, {"error": {"message": "reasoning `encrypted_content` was not issued to this caller"}}),
}
"""How it is said that what was given back cannot be opened."""


def refusing(said: tuple[int, dict[str, Any]]) -> Script:
    return [json_reply(said[1], said[0])]


def over(*scripts: Script, profile: str = "openai", **server: Any) -> Callable[..., None]:
    """Plays a scenario over an upstream with these scripts."""

    def run(scenario: Callable[[Upstream, Client], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with (
                Upstream(*scripts) as up,
                adapter(upstream(up.url, "responses", profile=profile), **server) as client,
            ):
                await scenario(up, client)

        play(whole)

    return run


async def told(client: Client, *, stream: bool = False, **asked: Any) -> Response:
    answer = await client.ask("chat", stream=stream, **{"tools": TOOLS, **asked})
    assert answer.status == 200, answer.body
    return answer


def details(answer: Response) -> list[Any]:
    """What the answer brings for the next turn."""
    if answer.headers["content-type"] == "application/json":
        found: list[Any] = answer.json["choices"][0]["message"].get("reasoning_details", [])
        return found
    deltas = [chunk["choices"][0]["delta"] for chunk in answer.events[:-1] if chunk["choices"]]
    return [detail for delta in deltas for detail in delta.get("reasoning_details", ())]


def carried(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in body["input"] if item["type"] == "reasoning"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("profile", CARRYING)
def test_a_turn_goes_on_from_what_the_model_thought(profile: str, stream: bool) -> None:
    @over(reasoned(stream=stream, calls=True), reasoned(stream=stream), profile=profile)
    async def _(up: Upstream, client: Client) -> None:
        assert details(await told(client, stream=stream)) == [ENTRY]
        answer = await told(client, stream=stream, messages=HISTORY)
        assert [seen.json["include"] for seen in up.seen] == [INCLUDE] * 2
        kinds = [item["type"] for item in up.seen[1].json["input"]]
        assert kinds == ["message", "reasoning", "function_call", "function_call_output"]
        assert carried(up.seen[1].json) == [KEPT]
        assert "x-adapter-losses" not in answer.headers


def test_each_choice_has_its_own() -> None:
    @over(reasoned(stream=False))
    async def _(_: Upstream, client: Client) -> None:
        answer = await told(client, n=2)
        assert [one["message"]["reasoning_details"] for one in answer.json["choices"]] == [[ENTRY]] * 2


def test_a_stored_completion_has_it(tmp_path: Path) -> None:
    @over(reasoned(stream=False), store={"url": f"sqlite:///{tmp_path}/store.db", "mode": "always"})
    async def _(_: Upstream, client: Client) -> None:
        answer = await told(client, store=True)
        assert details(answer) == [ENTRY]
        assert details(await client.get(f"{PATH['chat']}/{answer.json['id']}")) == [ENTRY]


# ------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", SEALED)
def test_what_cannot_be_opened_is_left_out_and_that_is_told(how: str, stream: bool) -> None:
    """Another key, or another model."""

    @over(refusing(SEALED[how]), reasoned(stream=stream))
    async def _(up: Upstream, client: Client) -> None:
        answer = await told(client, stream=stream, messages=HISTORY)
        assert [len(carried(seen.json)) for seen in up.seen] == [1, 0]
        assert [seen.json["include"] for seen in up.seen] == [INCLUDE] * 2
        assert details(answer) == [ENTRY]
        assert answer.headers["x-adapter-losses"] == "input;dropped"


@pytest.mark.parametrize("how", SEALED)
def test_a_responses_client_s_is_left_out_by_whatever_words_it_was_refused(how: str) -> None:
    @over(refusing(SEALED[how]), [json_reply(response())])
    async def _(up: Upstream, client: Client) -> None:
        asked = await client.ask("responses", input=[{**USER, "type": "message"}, KEPT, {**USER, "type": "message"}])
        assert asked.status == 200
        assert [len(carried(seen.json)) for seen in up.seen] == [1, 0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", NOTHING)
def test_a_model_that_has_none_is_asked_without_and_remembered(how: str, stream: bool) -> None:
    """The client has asked for nothing, and hears of nothing."""

    @over(refusing(NOTHING[how]), reasoned(stream=stream), reasoned(stream=stream))
    async def _(up: Upstream, client: Client) -> None:
        for _ in range(2):
            assert "x-adapter-losses" not in (await told(client, stream=stream)).headers
        assert [seen.json.get("include") for seen in up.seen] == [INCLUDE, None, None]


def test_another_model_is_asked_all_the_same() -> None:
    @over(refusing(NOTHING["openai"]), reasoned(stream=False), reasoned(stream=False))
    async def _(up: Upstream, client: Client) -> None:
        await told(client)
        assert details(await told(client, model="n")) == [ENTRY]
        assert [seen.json.get("include") for seen in up.seen] == [INCLUDE, None, INCLUDE]


def test_a_model_that_has_none_is_not_given_another_one_s() -> None:
    @over(refusing(NOTHING["openai"]), reasoned(stream=False), reasoned(stream=False))
    async def _(up: Upstream, client: Client) -> None:
        for _ in range(2):
            losses = (await told(client, messages=HISTORY)).headers["x-adapter-losses"]
            assert losses in ("input;dropped", "messages;dropped")
        assert [len(carried(seen.json)) for seen in up.seen] == [1, 0, 0]


def test_logprobs_are_still_asked_for() -> None:
    @over(refusing(NOTHING["openai"]), reasoned(stream=False))
    async def _(up: Upstream, client: Client) -> None:
        await told(client, logprobs=True)
        logprobs = ["message.output_text.logprobs"]
        assert [seen.json.get("include") for seen in up.seen] == [[*logprobs, *INCLUDE], logprobs]


@pytest.mark.parametrize("lane", ["raw", "hub"])
def test_who_asked_for_it_hears_that_there_is_none(lane: str) -> None:
    async def scenario() -> None:
        async with Upstream(refusing(NOTHING["openai"])) as up, Upstream(refusing(NOTHING["openai"])) as spare:
            sections = [upstream(up.url, "responses", profile="openai")]
            sections += [upstream(spare.url, "responses", "spare", profile="openai")] * (lane == "hub")
            async with adapter(*sections) as client:
                answer = await client.ask("responses", include=INCLUDE)
                assert (answer.status, answer.json["error"]["message"]) == (400, UNSEALED)
                assert [seen.json["include"] for seen in up.seen] == [INCLUDE]

    play(scenario)


def test_who_refuses_that_too_is_not_asked_again() -> None:
    @over(refusing(NOTHING["openai"]), refusing(NOTHING["openai"]))
    async def _(up: Upstream, client: Client) -> None:
        answer = await client.ask("chat", tools=TOOLS)
        assert (answer.status, len(up.seen)) == (400, 2)


def test_what_is_refused_for_another_reason_is_refused() -> None:
    said = {"error": {"message": "Unsupported parameter: 'temperature'", "param": "temperature", "code": "unsupported"}}

    @over(refusing((400, said)))
    async def _(up: Upstream, client: Client) -> None:
        answer = await client.ask("chat", tools=TOOLS)
        assert (answer.status, len(up.seen)) == (400, 1)


def test_where_nothing_may_be_lost_the_conversation_is_refused() -> None:
    @over(refusing(SEALED["openai"]), losses="reject")
    async def _(up: Upstream, client: Client) -> None:
        answer = await client.ask("chat", tools=TOOLS, messages=HISTORY)
        assert (answer.status, len(up.seen)) == (400, 1)
        assert "reasoning" in json.dumps(answer.json)
