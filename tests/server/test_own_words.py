"""What an operator adds to the requests of an upstream: header fields, and members of the body."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.server.harness import Client, adapter, play, upstream
from tests.server.scripted import Seen, Upstream, chat_reply, json_reply
from tests.server.test_failover import good
from tests.server.test_upstream_faults import cells, refused

THINKS_NOT: Final = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 20}


def _seen(client_speaks: str, upstream_speaks: str, stream: bool = False, **keys: Any) -> Seen:
    """What the upstream gets of a client's plain request."""
    found: list[Seen] = []
    said = keys.pop("said", {})
    headers = keys.pop("sent", {})

    async def scenario() -> None:
        async with (
            Upstream(good(upstream_speaks, stream)) as up,
            adapter(upstream(up.url, upstream_speaks, **keys)) as client,
        ):
            answer = await client.ask(client_speaks, headers=headers, **({"stream": True} if stream else {}), **said)
            assert answer.status == 200, answer.body
            found.extend(up.seen)

    play(scenario)
    return found[0]


@cells
def test_every_turn_carries_them(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    headers = {"CF-Access-Client-Id": "me", "User-Agent": "KimiCLI/1.0", "x-api-key": "$UPSTREAM_TOKEN"}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("UPSTREAM_TOKEN", "from the environment")
        seen = _seen(client_speaks, upstream_speaks, stream, headers=headers, extra_body=THINKS_NOT)

    assert seen.headers["cf-access-client-id"] == "me"
    assert seen.headers["user-agent"] == "KimiCLI/1.0"
    assert seen.headers["x-api-key"] == "from the environment"
    assert THINKS_NOT.items() <= seen.json.items()


def test_without_them_a_request_says_who_we_are_and_nothing_more() -> None:
    seen = _seen("chat", "chat")
    assert seen.headers["user-agent"].startswith("responses-chat-adapter/")
    assert set(seen.json) == {"model", "messages"}


@pytest.mark.parametrize("upstream_speaks", ["chat", "responses"])
def test_the_client_has_the_last_word_on_the_body_key_by_key(upstream_speaks: str) -> None:
    extra = {"metadata": {"a": "ours", "b": "ours"}, "temperature": 0.5, "top_p": 0.5, "user": "us"}
    said = {"metadata": {"b": "client's"}, "temperature": 1, "top_p": None}
    body = _seen(upstream_speaks, upstream_speaks, extra_body=extra, said=said).json
    assert body["metadata"] == {"a": "ours", "b": "client's"}
    assert (body["temperature"], body["top_p"], body["user"]) == (1, 0.5, "us")


def test_an_effort_of_the_operators_stands_beside_what_the_client_says_of_reasoning() -> None:
    extra = {"reasoning": {"effort": "high", "summary": "auto"}}
    said = {"reasoning": {"summary": "detailed"}}
    body = _seen("responses", "responses", extra_body=extra, said=said).json
    assert body["reasoning"] == {"effort": "high", "summary": "detailed"}


def test_the_operator_has_the_last_word_on_the_head() -> None:
    """A client whose own key goes on also says for whom it asks."""
    sent = {"openai_organization": "client's", "openai_project": "client's"}
    seen = _seen("chat", "chat", headers={"OpenAI-Organization": "ours"}, sent=sent)
    assert seen.headers["openai-organization"] == "ours"
    assert seen.headers["openai-project"] == "client's"


def test_a_key_of_another_scheme_stands_alone() -> None:
    seen = _seen(
        "chat", "chat", api_key="none", headers={"Authorization": "Basic dTpw"}, sent={"authorization": "Bearer x"}
    )
    assert seen.headers["authorization"] == "Basic dTpw"


def test_other_calls_carry_the_fields_too() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply({"data": [{"id": "m"}]})]) as up,
            adapter(upstream(up.url, "chat", headers={"X-Gate": "open"}, extra_body=THINKS_NOT)) as client,
        ):
            assert (await client.get("/v1/models")).status == 200
            assert up.seen[0].headers["x-gate"] == "open"
            assert not up.seen[0].body

    play(scenario)


def test_a_summary_is_asked_for_in_the_operators_words() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", headers={"X-Gate": "open"}, extra_body=THINKS_NOT)) as client,
        ):
            body = {"model": "m", "input": "Hello " * 50}
            assert (await client.post("/v1/responses/compact", body)).status == 200
            assert up.seen[0].headers["x-gate"] == "open"
            assert THINKS_NOT.items() <= up.seen[0].json.items()

    play(scenario)


def test_what_an_operator_says_in_a_field_is_told_to_nobody() -> None:
    async def scenario() -> None:
        secret = "a-token-that-is-long-enough"
        error = json_reply({"error": {"message": f"bad field {secret}", "code": "x"}}, 400)
        async with Upstream([error]) as up, adapter(upstream(up.url, "chat", headers={"X-Gate": secret})) as client:
            answer = await client.ask("chat")
            refused(answer, 400)
            assert b"bad field" in answer.body
            assert secret.encode() not in answer.body

    play(scenario)


@cells
def test_nor_what_an_error_in_a_200_says_of_it(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    async def scenario() -> None:
        secret = "a-token-that-is-long-enough"
        error = json_reply({"error": {"message": f"bad field {secret}", "code": "x", "type": "server_error"}})
        section = upstream("", upstream_speaks, headers={"X-Gate": secret})
        async with Upstream([error]) as up, adapter(section | {"base_url": up.url}) as client:
            answer = await client.ask(client_speaks, stream=stream)
            assert answer.status >= 400
            assert secret.encode() not in answer.body

    play(scenario)


def test_each_upstream_has_its_own() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up:
            thinking = upstream(up.url, "chat", models=["slow"], extra_body={"top_k": 1}, headers={"X-Who": "slow"})
            async with adapter(thinking, upstream(up.url, "chat", "quick", headers={"X-Who": "quick"})) as client:
                await _asked(client, "slow", "quick", "slow")
            assert [seen.headers["x-who"] for seen in up.seen] == ["slow", "quick", "slow"]
            assert ["top_k" in seen.json for seen in up.seen] == [True, False, True]
            assert up.connections == 1

    play(scenario)


async def _asked(client: Client, *models: str) -> None:
    for model in models:
        assert (await client.ask("chat", model=model)).status == 200
