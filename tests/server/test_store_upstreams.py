"""Upstreams that keep responses themselves: we know which keeps what, and ask that one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapter.access.caller import Caller, OpenGate
from adapter.errors import StoreUnavailable
from adapter.store.store import Store
from tests.server.harness import Client, adapter, ask_bytes, play, upstream
from tests.server.scripted import (
    SSE,
    Script,
    Stall,
    Upstream,
    chat_reply,
    event,
    head,
    json_reply,
    piece,
    response,
    responses_events,
    responses_stream,
)


@pytest.fixture
def store(tmp_path: Path) -> dict[str, Any]:
    return {"url": f"sqlite:///{tmp_path}/store.db"}


@pytest.mark.parametrize("stream", [False, True])
def test_what_an_upstream_keeps_is_asked_of_it(stream: bool, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        reply = responses_stream() if stream else [json_reply(response())]
        rest = [json_reply({"id": "resp_up1", "object": "x"})]
        page = {"object": "list", "data": [], "has_more": False}
        async with (
            Upstream(reply, rest, [json_reply(page)], rest) as up,
            adapter(upstream(up.url, "responses", profile="openai", api_key="sk-own"), store=store) as client,
        ):
            answer = await client.ask("responses", stream=stream)
            assert answer.status == 200
            assert "store" not in up.seen[0].json
            for method, path in (
                ("GET", "/responses/resp_up1?include%5B%5D=message.output_text.logprobs"),
                ("GET", "/responses/resp_up1/input_items?limit=3"),
                ("POST", "/responses/resp_up1/cancel"),
                ("DELETE", "/responses/resp_up1"),
            ):
                told = await client.request(method, f"/v1{path}")
                assert told.json == (page if "input_items" in path else {"id": "resp_up1", "object": "x"})
                assert up.seen[-1].line.split()[:2] == [method, f"/v1{path}"]
                assert up.seen[-1].headers["authorization"] == "Bearer sk-own"
            assert (await client.get("/v1/responses/resp_up1")).status == 404
            assert (await client.get("/v1/responses/resp_other")).status == 404
            assert len(up.seen) == 5

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_a_long_id_with_padding_as_litellm_makes_it_is_an_id(stream: bool, store: dict[str, Any]) -> None:
    long = "resp_" + "Qx-7_4" * 80 + "="

    async def scenario() -> None:
        begun = {**response(), "id": long}
        events = [{**one, "response": begun} if "response" in one else one for one in responses_events()]
        reply = [SSE, *(event(one, one["type"]) for one in events)] if stream else [json_reply(begun)]
        async with (
            Upstream(reply, [json_reply(begun)]) as up,
            adapter(upstream(up.url, "responses", profile="openai", api_key="sk-own"), store=store) as client,
        ):
            await client.ask("responses", stream=stream)
            assert (await client.get(f"/v1/responses/{long}")).json["id"] == long
            assert (await client.ask("responses", previous_response_id=long)).status == 200
            assert [call.line.split()[1] for call in up.seen[1:]] == [f"/v1/responses/{long}", "/v1/responses"]
            assert up.seen[2].json["previous_response_id"] == long

    play(scenario)


def test_what_its_upstream_calls_by_a_new_id_at_each_read_keeps_the_id_it_was_asked_by(store: dict[str, Any]) -> None:
    """As LiteLLM does: who polls asks for the id that the last answer had."""

    async def scenario() -> None:
        read = [json_reply({**response(), "id": f"resp_read{place}"}) for place in range(2)]
        odd = [json_reply([1]), json_reply(b'{"id')]
        async with (
            Upstream([json_reply(response())], *([one] for one in (*read, *odd))) as up,
            adapter(upstream(up.url, "responses", profile="openai"), store=store) as client,
        ):
            await client.ask("responses")
            for _ in range(2):
                assert (await client.get("/v1/responses/resp_up1")).json == response()
            assert (await client.get("/v1/responses/resp_up1")).json == [1]
            assert (await client.get("/v1/responses/resp_up1")).body == b'{"id'

    play(scenario)


def test_where_it_is_kept_cannot_be_noted_and_the_answer_is_given_all_the_same(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("It is away.")

    monkeypatch.setattr(Store, "save_origin", away)

    async def scenario() -> None:
        async with (
            Upstream([json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", profile="openai"), store=store) as client,
        ):
            assert (await client.ask("responses")).json["id"] == "resp_up1"

    play(scenario)
    assert '"stored":"failed"' in capfd.readouterr().out


def test_who_leaves_while_it_is_noted_where_it_is_kept_closes_the_upstream(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        noting = asyncio.Event()

        async def slow(*_: object) -> None:
            noting.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(Store, "save_origin", slow)
        async with (
            Upstream([SSE, *(event(entry, entry["type"]) for entry in responses_events()[:3]), Stall()]) as up,
            adapter(upstream(up.url, "responses", profile="openai"), store=store) as client,
        ):
            _, writer = await client.open(ask_bytes("responses", stream=True))
            await noting.wait()
            writer.close()
            await asyncio.wait_for(up.seen[0].finished.wait(), 5)

    play(scenario)


def test_what_an_upstream_kept_that_is_gone_is_not_found(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(response())]) as up:
            async with adapter(upstream(up.url, "responses", "old", profile="openai"), store=store) as client:
                await client.ask("responses")
            async with adapter(upstream(up.url, "responses", "new", profile="openai"), store=store) as client:
                assert (await client.get("/v1/responses/resp_up1")).status == 404
            assert len(up.seen) == 1

    play(scenario)


def test_what_an_upstream_that_keeps_its_own_is_not_to_store_is_its_to_refuse(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply({"error": {"message": "store it"}}, 400)]) as up,
            adapter(upstream(up.url, "responses", profile="openai"), store=store) as client,
        ):
            refused = await client.ask("responses", store=False, background=True)
            assert (refused.status, up.seen[0].json["background"], up.seen[0].json["store"]) == (400, True, False)

    play(scenario)


def test_what_an_upstream_kept_that_is_too_large_is_not_read_to_its_end(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        endless: Script = [head(200), piece(b'{"id":"' + b"x" * 300_000), Stall()]
        async with (
            Upstream([json_reply(response())], endless) as up,
            adapter(upstream(up.url, "responses", profile="openai"), store=store, reply_limit=200_000) as client,
        ):
            await client.ask("responses")
            assert (await client.get("/v1/responses/resp_up1")).status == 502
            await asyncio.wait_for(up.seen[1].finished.wait(), 5)

    play(scenario)


def test_a_stream_is_resumed_where_it_is_kept(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        tail = [SSE, *(event(entry, entry["type"]) for entry in responses_events()[4:])]
        async with (
            Upstream(responses_stream(), tail) as up,
            adapter(upstream(up.url, "responses", profile="openai"), store=store) as client,
        ):
            await client.ask("responses", stream=True, background=True)
            assert up.seen[0].json["background"] is True
            resumed = await client.get("/v1/responses/resp_up1?stream=true&starting_after=3")
            assert resumed.events == responses_events()[4:]

    play(scenario)


def test_a_conversation_stays_with_its_upstream(store: dict[str, Any]) -> None:
    """Two serve the model; the one that keeps the first turn gets the second. What is kept here goes to any."""

    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as chat,
            Upstream([json_reply(response())]) as openai,
            adapter(
                upstream(chat.url, "chat", "chat"),
                upstream(openai.url, "responses", "openai", profile="openai"),
                store=store,
            ) as client,
        ):
            await client.ask("responses", provider="openai")
            await client.ask("responses", previous_response_id="resp_up1")
            assert openai.seen[-1].json["previous_response_id"] == "resp_up1"
            refused = await client.ask("responses", previous_response_id="resp_up1", provider="chat")
            assert refused.json["error"]["code"] == "previous_response_not_found"
            here = (await client.ask("responses", provider="chat", input="frogs")).json
            await client.ask("responses", previous_response_id=here["id"], provider="openai")
            assert [item["role"] for item in openai.seen[-1].json["input"]] == ["user", "assistant", "user"]
            assert openai.seen[-1].json["store"] is True

    play(scenario)


def test_a_count_is_the_upstreams_own_where_it_has_one(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        counted = [json_reply({"object": "response.input_tokens", "input_tokens": 42})]
        missing = [json_reply({"error": {"message": "no such path"}}, 404)]
        async with (
            Upstream(counted, missing) as up,
            adapter(upstream(up.url, "responses", profile="openai"), store=store) as client,
        ):
            asked = {"model": "m", "input": "Hi", "tools": [], "metadata": {"a": "b"}}
            first = await client.post("/v1/responses/input_tokens", asked)
            assert (first.json["input_tokens"], first.headers["x-adapter-token-count"]) == (42, "upstream")
            assert up.seen[0].json == {"model": "m", "input": "Hi", "tools": []}
            for _ in range(2):
                estimated = await client.post("/v1/responses/input_tokens", asked)
                assert estimated.headers["x-adapter-token-count"] == "estimate"
            assert len(up.seen) == 2
            assert (await client.post("/v1/responses/input_tokens", {"input": "Hi"})).json["input_tokens"] > 0

    play(scenario)


def test_another_tenants_objects_are_as_unknown_ones(store: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenGate, "admit", lambda self, headers, *_: Caller(headers[b"x-tenant"].decode(), "key"))

    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as chat,
            Upstream([json_reply(response())]) as openai,
            adapter(
                upstream(chat.url, "chat", "chat"),
                upstream(openai.url, "responses", "openai", profile="openai", api_key="sk-own"),
                store=store,
            ) as client,
        ):
            mine = (await client.ask("responses", provider="chat", headers={"x_tenant": "a"})).json["id"]
            theirs = (await client.ask("responses", provider="openai", headers={"x_tenant": "a"})).json["id"]
            conversation = (await client.post("/v1/conversations", {}, x_tenant="a")).json["id"]
            calls = len(openai.seen)
            for method, path in (
                ("GET", "/v1/responses/{}"),
                ("GET", "/v1/responses/{}?stream=true"),
                ("DELETE", "/v1/responses/{}"),
                ("POST", "/v1/responses/{}/cancel"),
                ("GET", "/v1/responses/{}/input_items"),
                ("GET", "/v1/conversations/{}"),
                ("DELETE", "/v1/conversations/{}"),
                ("GET", "/v1/conversations/{}/items"),
                ("GET", "/v1/chat/completions/{}"),
                ("DELETE", "/v1/chat/completions/{}"),
            ):
                unknown = await client.request(method, path.format("resp_unknown"), x_tenant="b")
                assert unknown.status == 404
                for known in (mine, theirs, conversation):
                    other = await client.request(method, path.format(known), x_tenant="b")
                    assert (other.status, other.body.replace(known.encode(), b"resp_unknown")) == (404, unknown.body)
            for known in (mine, theirs):
                for provider in ("chat", "openai"):
                    await _unknown_previous(client, known, provider)
            assert len(openai.seen) == calls
            assert (await client.get(f"/v1/responses/{mine}", x_tenant="a")).status == 200

    play(scenario)


async def _unknown_previous(client: Client, known: str, provider: str) -> None:
    headers = {"x_tenant": "b"}
    answers = [
        await client.ask("responses", previous_response_id=previous, provider=provider, headers=headers)
        for previous in (known, "resp_unknown")
    ]
    assert answers[0].status == 400
    assert answers[0].body.replace(known.encode(), b"resp_unknown") == answers[1].body


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_kept_under_one_key_of_several_is_asked_for_with_that_key(stream: bool, store: dict[str, Any]) -> None:
    """They may be several accounts', and an account knows its own responses only."""

    async def scenario() -> None:
        keys = ["sk-1", "sk-2", "sk-3"]
        kept = [f"resp_kept{number}" for number in range(8)]
        async with Upstream([json_reply({})]) as up:
            section = upstream(up.url, "responses", profile="openai", api_keys=keys)
            async with adapter(section, store=store) as client:
                up.scripts = [
                    responses_stream("a", one) if stream else [json_reply(response("a", one))] for one in kept
                ]
                for one in kept:
                    await client.ask("responses", stream=stream, input=f"conversation {one}")
                made = [seen.headers["authorization"] for seen in up.seen]
                assert len(set(made)) == 3
            async with adapter(section | {"api_keys": keys[::-1]}, store=store) as client:
                up.seen.clear()
                up.scripts = [[json_reply(response())]]
                for one in kept:
                    await client.get(f"/v1/responses/{one}")
                for one in kept:
                    await client.ask("responses", previous_response_id=one)
                assert [seen.headers["authorization"] for seen in up.seen] == [*made, *made]

    play(scenario)


def test_a_limited_key_does_not_make_another_account_say_that_there_is_no_such_response(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        limited = json_reply({"error": {"message": "slow down"}}, 429, "retry-after: 7")
        async with (
            Upstream([json_reply(response())], [limited]) as up,
            adapter(upstream(up.url, "responses", profile="openai", api_keys=["sk-1", "sk-2"]), store=store) as client,
        ):
            first = (await client.ask("responses")).json
            again = await client.ask("responses", previous_response_id=first["id"])
            assert (again.status, again.headers["retry-after"]) == (429, "7")
            assert len(up.seen) == 2

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_what_one_of_two_upstreams_keeps_is_found_though_its_blobs_are_wrapped(
    stream: bool, store: dict[str, Any]
) -> None:
    async def scenario() -> None:
        keeps = {"profile": "openai", "api_key": "k"}
        reply = responses_stream() if stream else [json_reply(response())]
        async with (
            Upstream(reply, [json_reply(response())]) as one,
            Upstream([json_reply({})]) as other,
            adapter(
                upstream(one.url, "responses", "one", **keeps),
                upstream(other.url, "responses", "other", **keeps),
                store=store,
            ) as client,
        ):
            await client.ask("responses", stream=stream, include=["reasoning.encrypted_content"])
            assert (await client.get("/v1/responses/resp_up1")).json == response()
            assert (await client.ask("responses", previous_response_id="resp_up1")).status == 200
            assert (len(one.seen), len(other.seen)) == (3, 0)

    play(scenario)
