"""Of several upstreams that serve a model one may be unable to carry a request: another one that can answers it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.server.harness import Client, adapter, ask_bytes, play, upstream
from tests.server.scripted import Stall, Upstream, chat_reply, json_reply, response

CHAT = [json_reply(chat_reply())]
RESPONSES = [json_reply(response())]
LOST = {"chat": {"seed": 4}, "responses": {"truncation": "auto"}}
"""What only the client's own dialect can say."""
OTHER = {"chat": "responses", "responses": "chat"}
GOOD = {"chat": CHAT, "responses": RESPONSES}


@pytest.mark.parametrize("speaks", ["chat", "responses"])
def test_what_the_first_upstream_would_lose_is_asked_of_one_that_loses_nothing(speaks: str) -> None:
    async def scenario() -> None:
        other = OTHER[speaks]
        async with (
            Upstream(GOOD[other]) as first,
            Upstream(GOOD[speaks]) as second,
            adapter(
                upstream(first.url, other, "first", api_keys=["k1", "k2"]),
                upstream(second.url, speaks, "second", api_key="none"),
                losses="reject",
            ) as client,
        ):
            found = await client.ask(speaks, **LOST[speaks])
            assert found.status == 200, found.body
            assert "x-adapter-losses" not in found.headers
            assert (await client.ask(speaks)).status == 200
            assert (len(first.seen), len(second.seen)) == (1, 1), "what can be carried stays where it belongs"

    play(scenario)


def test_what_only_some_upstreams_can_do_at_all_is_asked_of_those() -> None:
    async def scenario() -> None:
        sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": [sound]}]}
        async with (
            Upstream(RESPONSES) as first,
            Upstream(CHAT) as second,
            adapter(upstream(first.url, "responses", "first"), upstream(second.url, "chat", "second")) as client,
        ):
            found = await client.ask("chat", **asked)
            assert found.status == 200, found.body
            assert (first.seen, len(second.seen)) == ([], 1)

    play(scenario)


def test_what_nobody_can_carry_is_refused_as_the_first_one_would() -> None:
    async def scenario() -> None:
        async with (
            Upstream(RESPONSES) as up,
            adapter(
                upstream(up.url, "responses", "first"), upstream(up.url, "responses", "second"), losses="reject"
            ) as client,
        ):
            found = await client.ask("chat", **LOST["chat"])
            assert (found.status, found.json["error"]["param"]) == (400, "seed")
            assert up.seen == []

    play(scenario)


@pytest.mark.parametrize(("speaks", "says"), [("chat", "A role must be"), ("responses", "Invalid value for")])
def test_of_all_refusals_of_what_nobody_can_carry_the_first_ones_is_told(speaks: str, says: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(CHAT) as up,
            adapter(upstream(up.url, speaks, "first"), upstream(up.url, OTHER[speaks], "second")) as client,
        ):
            found = await client.ask("chat", messages=[{"role": "nobody", "content": "Hello"}])
            assert (found.status, found.json["error"]["message"][: len(says)]) == (400, says)
            assert up.seen == []

    play(scenario)


def test_an_upstream_that_failed_is_what_is_told_where_the_others_cannot_carry_the_request(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def scenario() -> None:
        sick = [json_reply({"error": {"message": "The engine is overloaded"}}, 503)]
        async with (
            Upstream(sick) as first,
            Upstream(RESPONSES) as second,
            adapter(
                upstream(first.url, "chat", "first"), upstream(second.url, "responses", "second"), losses="reject"
            ) as client,
        ):
            assert (await client.ask("chat", **LOST["chat"])).status == 503
            assert second.seen == []

    play(scenario)
    assert orjson.loads(capfd.readouterr().out.splitlines()[-1])["upstream"] == "first"


LIMITED = json_reply({"error": {"message": "Slow down"}}, 429, "Retry-After: 7")


async def limited(client: Client, **asked: Any) -> None:
    found = await client.ask("chat", **asked)
    assert found.status == 429, found.body
    assert found.headers["retry-after"] == "7"


def test_one_that_rests_and_could_carry_it_is_waited_for_whatever_the_others_cannot() -> None:
    async def scenario() -> None:
        async with (
            Upstream([LIMITED]) as first,
            Upstream(RESPONSES) as second,
            adapter(
                upstream(first.url, "chat", "first", api_key="none"),
                upstream(second.url, "responses", "second"),
                losses="reject",
            ) as client,
        ):
            await limited(client, **LOST["chat"])
            await limited(client, **LOST["chat"])
            assert (len(first.seen), second.seen) == (1, [])
            assert (await client.ask("chat", messages=[])).status == 400, "and this one cannot be mended"
            assert (await client.ask("chat")).status == 200

    play(scenario)


def test_one_that_is_full_and_could_carry_it_is_waited_for_too() -> None:
    async def scenario() -> None:
        async with (
            Upstream([Stall()]) as first,
            Upstream(RESPONSES) as second,
            adapter(
                upstream(second.url, "responses", "second"),
                upstream(first.url, "chat", "first", max_concurrency=1),
                losses="reject",
            ) as client,
        ):
            _, busy = await client.open(ask_bytes("chat", **LOST["chat"]))
            await first.arrived.wait()
            found = await client.ask("chat", **LOST["chat"])
            assert (found.status, found.headers["retry-after"]) == (503, "1"), found.body
            busy.close()

    play(scenario)


def test_behind_one_that_failed_and_one_that_cannot_carry_it_a_third_answers() -> None:
    async def scenario() -> None:
        sick = [json_reply({"error": {"message": "The engine is overloaded"}}, 503)]
        async with (
            Upstream(sick) as first,
            Upstream(RESPONSES) as second,
            Upstream(CHAT) as third,
            adapter(
                upstream(first.url, "chat", "first"),
                upstream(second.url, "responses", "second"),
                upstream(third.url, "chat", "third"),
                losses="reject",
            ) as client,
        ):
            assert (await client.ask("chat", **LOST["chat"])).status == 200
            assert (second.seen, len(third.seen)) == ([], 1)

    play(scenario)


def test_a_refused_key_does_not_make_an_upstream_that_cannot_carry_the_request_its_last_hope() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply({"error": {"message": "no"}}, 401)], RESPONSES) as up,
            adapter(upstream(up.url, "responses", api_key="k"), losses="reject") as client,
        ):
            assert (await client.ask("responses")).status == 502
            assert (await client.ask("chat", **LOST["chat"])).status == 400

    play(scenario)
