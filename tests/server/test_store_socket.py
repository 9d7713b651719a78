"""A socket remembers its own turns; behind that stands the store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapter.errors import StoreUnavailable
from adapter.store.store import Store
from tests.server.harness import adapter, play, upstream
from tests.server.scripted import Upstream, json_reply
from tests.server.scripted import chat_reply as reply
from tests.server.sockets import answer, ask, dialects, good, held, opened, refused, say, steer, told, until_text


@pytest.fixture
def store(tmp_path: Path) -> dict[str, Any]:
    return {"url": f"sqlite:///{tmp_path}/store.db"}


@dialects
def test_a_stored_turn_of_a_socket_is_there_for_all(speaks: str, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good(speaks, "one", "two", "three", "four")) as up,
            adapter(upstream(up.url, speaks), store=store) as client,
        ):
            async with opened(client) as ws:
                first = (await ask(ws, store=True, input="a"))[-1]["response"]
                second = (await ask(ws, store=True, input="b", previous_response_id=first["id"]))[-1]["response"]
            assert first["store"] is True
            assert (await client.get(f"/v1/responses/{second['id']}")).json == second
            async with opened(client) as ws:
                third = (await ask(ws, store=False, input="c", previous_response_id=second["id"]))[-1]["response"]
                assert third["store"] is False
                sent = up.seen[-1].json["messages" if speaks == "chat" else "input"]
                assert len(sent) == 5
                assert (await client.get(f"/v1/responses/{third['id']}")).status == 404
                await ask(ws, store=False, input="d", previous_response_id=third["id"])
                assert len(up.seen[-1].json["messages" if speaks == "chat" else "input"]) == 7

    play(scenario)


def test_a_stored_turn_after_ones_that_were_not(store: dict[str, Any]) -> None:
    """What only the connection knew is stored with the first turn that is."""

    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "one", "two"), [json_reply(reply("three"))]) as up,
            adapter(upstream(up.url, "chat"), store=store) as client,
        ):
            async with opened(client) as ws:
                first = (await ask(ws, store=False, input="a"))[-1]["response"]
                second = (await ask(ws, store=True, input="b", previous_response_id=first["id"]))[-1]["response"]
                assert second["previous_response_id"] == first["id"]
                assert second["store"] is True
            await client.ask("responses", input="c", previous_response_id=second["id"])
            assert [m["content"] for m in up.seen[-1].json["messages"]] == ["a", "one", "b", "two", "c"]

    play(scenario)


def test_a_stored_turn_after_one_whose_end_could_not_be_stored(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection remembers the answer. The store has the question only, and no history with a hole is made of that."""
    save, saved = Store.save_response, 0

    async def save_response(self: Store, *given: Any, **more: Any) -> bool:
        nonlocal saved
        saved += 1
        if saved == 2:
            raise StoreUnavailable("locked")
        return await save(self, *given, **more)

    monkeypatch.setattr(Store, "save_response", save_response)

    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "one", "two"), [json_reply(reply("three"))]) as up,
            adapter(upstream(up.url, "chat"), store=store) as client,
        ):
            async with opened(client) as ws:
                first = (await ask(ws, store=True, input="a"))[-1]["response"]
                assert first["store"] is False
                second = (await ask(ws, store=True, input="b", previous_response_id=first["id"]))[-1]["response"]
                assert second["store"] is True
            await client.ask("responses", input="c", previous_response_id=second["id"])
            assert [m["content"] for m in up.seen[-1].json["messages"]] == ["a", "one", "b", "two", "c"]

    play(scenario)


def test_a_turn_of_a_conversation_is_not_continued_without_what_was_said_before_it(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "one", "two")) as up,
            adapter(upstream(up.url, "chat"), store=store) as client,
        ):
            said = {"items": [{"role": "user", "content": "before"}]}
            conversation = (await client.post("/v1/conversations", said)).json["id"]
            async with opened(client) as ws:
                first = (await ask(ws, store=True, input="a", conversation=conversation))[-1]["response"]
                assert refused(await ask(ws, store=True, input="b", previous_response_id=first["id"]))[0] == 400
                await ask(ws, store=True, input="c", conversation=conversation)
            assert [m["content"] for m in up.seen[-1].json["messages"]] == ["before", "a", "one", "c"]

    play(scenario)


def test_the_turn_that_a_steered_response_is_followed_by_is_stored_like_it(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        async with (
            Upstream(held("chat", "one", go), *good("chat", "", "two")[1:]) as up,
            adapter(upstream(up.url, "chat"), store=store) as client,
            opened(client) as ws,
        ):
            await say(ws, input="a", store=True, metadata={"k": "v"})
            response = await until_text(ws)
            await steer(ws, response, "b")
            assert (await told(ws))["type"] == "response.steer.accepted"
            go.set()
            await answer(ws)
            steered = (await answer(ws))[-1]["response"]
            assert (steered["store"], steered["metadata"]) == (True, {"k": "v"})
            assert (await client.get(f"/v1/responses/{steered['id']}")).json == steered

    play(scenario)


def test_a_response_of_a_conversation_is_not_steered(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        async with (
            Upstream(held("chat", "one", go)) as up,
            adapter(upstream(up.url, "chat"), store=store) as client,
            opened(client) as ws,
        ):
            conversation = (await client.post("/v1/conversations", {})).json["id"]
            await say(ws, input="a", conversation=conversation)
            response = await until_text(ws)
            await steer(ws, response, "b")
            assert (await told(ws))["error"]["code"] == "steering_not_supported"
            go.set()

    play(scenario)


def test_unknown_to_both(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "one")) as up,
            adapter(upstream(up.url, "chat"), store=store) as client,
            opened(client) as ws,
        ):
            assert refused(await ask(ws, previous_response_id="resp_x")) == (400, "previous_response_not_found")
            assert (await ask(ws))[-1]["type"] == "response.completed"

    play(scenario)
