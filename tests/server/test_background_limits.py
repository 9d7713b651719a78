"""Background responses under limits: admitted when they are accepted, charged once, and by what they used, however they end."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapter.access.ledger import Memory
from adapter.errors import LimitsUnavailable
from adapter.server.stored import parts
from adapter.server.stored.background import Background
from tests.server.harness import Client, Response, adapter, play, upstream
from tests.server.scripted import SSE, Reset, Script, Stall, Upstream, chat_reply, chat_stream, chunk, event, json_reply
from tests.server.test_access import ALICE, OWN, ask, bearer, limited, refused, remaining
from tests.server.test_store_background import stored

streaming = pytest.mark.parametrize("stream", [False, True])
WORDS: Script = [SSE, event(chunk({"role": "assistant", "content": ""})), *[event(chunk({"content": "word "}))] * 40]
DAY = limited(owner_limits={"tokens_per_day": 10_000})


@pytest.fixture
def store(tmp_path: Path) -> dict[str, Any]:
    return {"url": f"sqlite:///{tmp_path}/store.db"}


def good(stream: bool) -> Script:
    return chat_stream("Hello") if stream else [json_reply(chat_reply())]


async def accepted(client: Client, **extra: Any) -> str:
    """The id of a background response whose client does not wait for it."""
    answer = await ask(client, ALICE, "responses", background=True, **extra)
    assert (answer.status, answer.json["status"]) == (200, "queued"), answer.body
    known: str = answer.json["id"]
    return known


async def got(client: Client, known: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await client.get(f"/v1/responses/{known}", **bearer(ALICE))).json
    return shown


async def ended(client: Client, known: str) -> dict[str, Any]:
    """The response, once nobody works on it any more."""
    while (shown := await got(client, known))["status"] in ("queued", "in_progress"):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.05)  # its turn settles behind its end
    return shown


async def completed(client: Client, *, stream: bool) -> None:
    """One background response, which comes to a good end."""
    if stream:
        told = await ask(client, ALICE, "responses", background=True, stream=True)
        assert told.types[-1] == "response.completed", told.body
        await asyncio.sleep(0.05)
    else:
        shown = await ended(client, await accepted(client))
        assert (shown["status"], shown["error"]) == ("completed", None)


async def told(up: Upstream, client: Client, known: str) -> None:
    """The response has begun to be answered."""
    while not up.seen or (await got(client, known))["status"] == "queued":
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)


@streaming
def test_it_costs_what_it_used_and_once(stream: bool, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(good(stream)) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=DAY, store=store) as client,
        ):
            for number in (1, 2):
                await completed(client, stream=stream)
                assert await remaining(client) == 10_000 - 5 * number

    play(scenario)


@streaming
def test_what_fits_once_is_not_reserved_twice(stream: bool, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        rules = limited(owner_limits={"tokens_per_minute": 1_500, "requests_per_minute": 3})
        async with (
            Upstream(good(stream)) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=rules, store=store) as client,
        ):
            for _ in range(3):
                await completed(client, stream=stream)
            assert len(up.seen) == 3

    play(scenario)


@streaming
def test_one_that_is_refused_is_a_429_at_once_and_was_never_there(stream: bool, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        rules = limited(owner_limits={"requests_per_minute": 1})
        async with (
            Upstream(good(stream)) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=rules, store=store) as client,
        ):
            await completed(client, stream=stream)
            answer = await ask(client, ALICE, "responses", background=True, stream=stream)
            refused(answer, 429, "rate_limit_exceeded")
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert len(up.seen) == 1

    play(scenario)


async def _second(client: Client, **extra: Any) -> Response:
    return await ask(client, ALICE, "responses", background=True, **extra)


@streaming
def test_it_is_one_of_the_answers_at_the_same_time_until_it_ends(stream: bool, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        rules = limited(owner_limits={"streams": 1})
        async with (
            Upstream([*WORDS, Stall()] if stream else [Stall()], good(stream)) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=rules, store=store) as client,
        ):
            if stream:
                leaving = asyncio.ensure_future(ask(client, ALICE, "responses", background=True, stream=True))
                while not up.seen:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.2)
                leaving.cancel()  # whoever reads may go: the answer goes on
                await asyncio.sleep(0.1)
            else:
                known = await accepted(client)
                await told(up, client, known)
            for again in (False, True):
                assert "1 answers at the same time" in refused(await _second(client, stream=again), 429)["message"]
            assert len(up.seen) == 1
            if not stream:
                assert (await client.post(f"/v1/responses/{known}/cancel", b"", **bearer(ALICE))).status == 200
                await asyncio.wait_for(up.seen[0].finished.wait(), 3)
                await asyncio.sleep(0.05)
                await completed(client, stream=stream)

    play(scenario)


@streaming
def test_its_place_at_an_upstream_is_its_own_from_the_first_moment(stream: bool, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        section: dict[str, Any] = {"api_key": OWN, "max_concurrency": 1}
        async with (
            Upstream(good(stream), [Stall()]) as up,
            adapter(upstream(up.url, "chat", **section), access=limited(), store=store) as client,
        ):
            await completed(client, stream=stream)
            known = await accepted(client)
            await told(up, client, known)
            answer = await _second(client, stream=stream)
            assert refused(answer, 503, "server_is_overloaded")
            assert (await client.post(f"/v1/responses/{known}/cancel", b"", **bearer(ALICE))).status == 200
            await asyncio.wait_for(up.seen[1].finished.wait(), 3)

    play(scenario)


@pytest.mark.parametrize("how", ["cancelled", "deleted"])
def test_one_that_is_stopped_costs_what_it_had_said(how: str, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream([*WORDS, Stall()]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=DAY, store=store) as client,
        ):
            asking = asyncio.ensure_future(ask(client, ALICE, "responses", background=True, stream=True))
            while not up.seen:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.4)
            assert await remaining(client) < 9_000, "it is reserved as long as it runs"
            listed = await stored(store, "SELECT id FROM responses")
            method, below = ("POST", "/cancel") if how == "cancelled" else ("DELETE", "")
            path = f"/v1/responses/{listed[0]}{below}"
            assert (await client.request(method, path, **bearer(ALICE))).status == 200
            await asyncio.wait_for(up.seen[0].finished.wait(), 3)
            await asking
            assert 40 < 10_000 - await remaining(client) < 120

    play(scenario)


@streaming
def test_one_that_an_upstream_refuses_costs_nothing(stream: bool, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply({"error": {"message": "no"}}, 400)]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=DAY, store=store) as client,
        ):
            if stream:
                answer = await ask(client, ALICE, "responses", background=True, stream=True)
                assert answer.types[-1] == "response.failed"
                await asyncio.sleep(0.05)
            else:
                assert (await ended(client, await accepted(client)))["status"] == "failed"
            assert await remaining(client) == 10_000

    play(scenario)


def test_one_that_breaks_costs_what_it_had_said(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream([*WORDS, Reset()]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=DAY, store=store) as client,
        ):
            answer = await ask(client, ALICE, "responses", background=True, stream=True)
            assert answer.types[-1] == "response.failed"
            await asyncio.sleep(0.05)
            assert 40 < 10_000 - await remaining(client) < 120

    play(scenario)


async def handed_on(up: Upstream, section: dict[str, Any], store: dict[str, Any]) -> str:
    """The id of a response that was accepted by a process that stopped."""
    async with adapter(section, access=limited(), store=store) as client:
        known = await accepted(client)
        await told(up, client, known)
        return known


def test_one_that_was_admitted_is_not_refused_by_whoever_goes_on_with_it(store: dict[str, Any]) -> None:
    """Its client was told that it is accepted, whatever has been used up since. It is charged all the same."""

    async def scenario() -> None:
        async with Upstream([Stall()], good(False)) as up:
            section = upstream(up.url, "chat", api_key=OWN)
            known = await handed_on(up, section, store)
            rules = limited(owner_limits={"tokens_per_day": 6})
            async with adapter(section, access=rules, store=store) as client:
                shown = await ended(client, known)
                assert (shown["status"], shown["error"]) == ("completed", None)
                assert await remaining(client) == 1

    play(scenario)


def test_one_that_was_admitted_waits_for_the_store_of_limits(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it costs is counted nowhere else."""
    reserve = Memory.reserve
    asked: list[str] = []

    async def away(self: Memory, counters: Any, takes: Any, lease: str) -> Any:
        asked.append(lease)
        if len(asked) == 1:  # that of who goes on with it
            raise LimitsUnavailable("Away.")
        return await reserve(self, counters, takes, lease)

    monkeypatch.setattr(Memory, "reserve", away)
    monkeypatch.setattr(parts, "Background", partial(Background, poll=0.02))

    async def scenario() -> None:
        async with Upstream([Stall()], good(False)) as up:
            section = upstream(up.url, "chat", api_key=OWN)
            known = await handed_on(up, section, store)
            async with adapter(section, access=DAY, store=store) as client:
                shown = await ended(client, known)
                assert (shown["status"], shown["error"]) == ("completed", None)
                assert await remaining(client) == 10_000 - 5

    play(scenario)


def test_one_that_goes_on_is_one_of_the_answers_at_the_same_time_but_waits_for_none(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream([Stall()], [Stall()]) as up:
            section = upstream(up.url, "chat", api_key=OWN)
            known = await handed_on(up, section, store)
            async with adapter(section, access=limited(owner_limits={"streams": 1}), store=store) as client:
                while len(up.seen) < 2:
                    await asyncio.sleep(0.02)
                refused(await ask(client, ALICE), 429)
                assert (await got(client, known))["status"] == "in_progress"

    play(scenario)


def test_one_that_goes_on_waits_for_its_place_at_an_upstream(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream([Stall()], [Stall()], good(False)) as up:
            section = upstream(up.url, "chat", api_key=OWN, max_concurrency=1)
            async with adapter(section, access=limited(), store=store) as client:
                running = asyncio.ensure_future(ask(client, ALICE, "chat"))
                while not up.seen:
                    await asyncio.sleep(0.02)
                known = await handed_on(up, section, store)
                while (await got(client, known))["status"] == "queued":
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.2)
                assert (await got(client, known))["status"] == "in_progress"
                running.cancel()
                assert (await ended(client, known))["status"] == "completed"

    play(scenario)
