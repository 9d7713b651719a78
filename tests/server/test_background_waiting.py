"""A background response that waits: for a place at the one upstream that can answer it, for the store to take its answer."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapter.errors import Overloaded, StoreUnavailable
from adapter.server.courses.deciding import Courses
from adapter.server.stored import parts
from adapter.server.stored.background import Background
from adapter.server.turn import Turn
from adapter.store.store import Store
from tests.server.compacting import ASKS, COMPACT, served
from tests.server.harness import Client, adapter, play, upstream
from tests.server.scripted import Upstream, chat_reply, json_reply, response
from tests.server.test_blobs_of_keys import TWO, Accounts, opening
from tests.server.test_store_background import until

SEALING = {"keys": ["A" * 43 + "="]}


@pytest.fixture
def store(tmp_path: Path) -> dict[str, Any]:
    return {"url": f"sqlite:///{tmp_path}/store.db"}


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> dict[Turn, int]:
    """How often each turn was told that there is no place; those in the background ask again at once."""
    told: dict[Turn, int] = {}
    decided = Courses.decided

    async def counted(self: Courses, turn: Turn, body: dict[str, Any]) -> Any:
        try:
            return await decided(self, turn, body)
        except Overloaded:
            told[turn] = told.get(turn, 0) + 1
            raise

    monkeypatch.setattr(Courses, "decided", counted)
    monkeypatch.setattr(parts, "Background", partial(Background, poll=0.02))
    return told


class Busy(Accounts):
    """Accounts that answer nothing but compactions until they are let."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def answered(message: Any) -> None:
            if not scope["path"].endswith("/compact"):
                await self.free.wait()
            await send(message)

        await super().__call__(scope, receive, answered)


def test_what_only_one_key_can_read_is_asked_with_that_key_once_there_is_a_place(
    store: dict[str, Any], waited: dict[Turn, int]
) -> None:
    async def scenario() -> None:
        peer = Busy()
        async with Upstream([json_reply(response())]) as other, served(peer) as url:
            first = upstream(other.url, "responses", "first")
            common: dict[str, Any] = {"store": store, "sealing": SEALING}
            async with adapter(first, upstream(url, "responses", **TWO, max_concurrency=1), **common) as client:
                async with adapter(first, upstream(url, "responses", **TWO), **common) as leaving:
                    known = [await _accepted(leaving, number) for number in range(6)]
                    while len(peer.keys) < 12:
                        await asyncio.sleep(0.02)
                    occupying = asyncio.ensure_future(client.ask("responses", provider="up", store=False))
                    while len(peer.keys) < 13:
                        await asyncio.sleep(0.02)
                while len([times for times in waited.values() if times > 1]) < 6:
                    await asyncio.sleep(0.02)
                peer.free.set()
                assert (await occupying).status == 200
                for each in known:
                    assert (await until(client, each, "completed", "failed"))["error"] is None
            assert sorted(peer.keys[13:] * 2) == sorted(peer.keys[:12]), "a compaction and its first try each"
            assert set(peer.keys[13:]) == {"kA", "kB"}
            assert other.seen == []

    play(scenario)


async def _accepted(client: Client, number: int) -> str:
    """The id of a background response that goes on from a compaction."""
    made = await client.post(COMPACT, {"model": "m", "input": opening(number), "provider": "up"})
    asked = {"model": "m", "input": [*made.json["output"], ASKS], "background": True}
    known: str = (await client.post("/v1/responses", asked)).json["id"]
    return known


def test_one_whose_history_cannot_be_read_now_waits_for_the_store(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client was told that it is accepted."""
    resolve = Store.resolve
    asked: list[str] = []

    async def away(self: Store, tenant: str, response_id: str, **more: Any) -> Any:
        asked.append(response_id)
        if len(asked) == 2:  # the first is its client's, the second its run's
            raise StoreUnavailable("gone")
        return await resolve(self, tenant, response_id, **more)

    monkeypatch.setattr(Store, "resolve", away)
    monkeypatch.setattr(parts, "Background", partial(Background, poll=0.02))

    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply("a"))], [json_reply(chat_reply("b"))]) as up,
            adapter(upstream(up.url, "chat", api_key="none"), store=store) as client,
        ):
            first = (await client.ask("responses")).json["id"]
            known = (await client.ask("responses", background=True, previous_response_id=first)).json["id"]
            done = await until(client, known, "completed", "failed")
            assert done["error"] is None
            assert done["output"][0]["content"][0]["text"] == "b"
        assert asked == [first] * 3

    play(scenario)


def test_an_answer_that_the_store_does_not_take_as_long_as_it_is_held_is_lost_and_made_again(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    save = Store.save_response

    async def full(self: Store, *args: Any, **more: Any) -> bool:
        if (job := more.get("job")) is not None and job.attempt == 1:
            raise StoreUnavailable("full")
        return await save(self, *args, **more)

    monkeypatch.setattr(Store, "save_response", full)
    monkeypatch.setattr(parts, "Background", partial(Background, lease=1.5, poll=0.02))
    made: list[str] = []

    async def scenario() -> None:
        section = {"api_key": "none"}
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", **section), store=store) as client,
        ):
            made.append((await client.ask("responses", background=True)).json["id"])
            assert (await until(client, made[0], "completed", "failed"))["error"] is None
            assert len(up.seen) == 2
            await asyncio.sleep(0.05)

    play(scenario)
    said = [orjson.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["id"] for line in said if line["event"] == "background_lost"] == made
    runs = [line for line in said if line.get("lane") == "background"]
    assert [(line["outcome"], line.get("stored")) for line in runs] == [("ok", "failed"), ("ok", None)]


def test_a_process_that_stops_before_it_has_read_what_it_took_up_gives_it_back(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes next need not wait until the lease is over, and nobody's attempt has failed."""

    async def scenario() -> None:
        reading, read = asyncio.Event(), Store.response

        async def waits(store: Store, tenant: str, id: str) -> Any:
            reading.set()
            await asyncio.Event().wait()

        async with Upstream([json_reply(chat_reply("ab"))]) as up:
            section = upstream(up.url, "chat", api_key="none")
            monkeypatch.setattr(Store, "response", waits)
            async with adapter(section, store=store) as client:
                known = (await client.ask("responses", background=True)).json["id"]
                await reading.wait()
            monkeypatch.setattr(Store, "response", read)

            with closing(sqlite3.connect(store["url"].removeprefix("sqlite:///"))) as database:
                assert database.execute("SELECT status, attempt FROM responses").fetchall() == [("queued", 0)]
            async with adapter(section, store=store) as client:
                done = await until(client, known, "completed", "failed")
                assert done["output"][0]["content"][0]["text"] == "ab"

    play(scenario)
