"""A store in trouble is in nobody's way who does not need it, and is never claimed to have kept what it has not."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from adapter.errors import StoreUnavailable
from adapter.hub.grammar import check_responses
from adapter.server.stored import background, parts
from adapter.server.stored.background import Background
from adapter.store import opening
from adapter.store.engine import Database, Limits
from adapter.store.store import Store
from tests.server.harness import adapter, ask_bytes, play, read_head, read_response, upstream
from tests.server.scripted import SSE, Sleep, Upstream, chat_reply, chat_stream, chunk, event, json_reply

T = TypeVar("T")
REASONS = ["locked", "full", "gone", "read_only", "corrupt", "timeout", "busy"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Limits(busy=0.2, pool=1.0, statement=1.0, call=3.0)
    monkeypatch.setattr(opening, "Store", partial(Store, limits=short))


class Trouble:
    """Lets a number of writes pass and refuses the others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
        self.after: int | None = None
        self._write = Database.write
        self._reason = reason
        trouble = self

        async def write(database: Database, work: Callable[..., Awaitable[T]]) -> T:
            if trouble.after is not None:
                if trouble.after == 0:
                    raise StoreUnavailable(trouble._reason)
                trouble.after -= 1
            return await trouble._write(database, work)

        monkeypatch.setattr(Database, "write", write)
        monkeypatch.setattr(parts.Stored, "start", lambda stored: None)


def accesses(output: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "request"]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("surface", ["responses", "chat"])
def test_refused_before_the_upstream_is_called(
    surface: str, reason: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble(monkeypatch, reason)

    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{path}"}) as client,
        ):
            kept = (await client.ask("responses")).json["id"]
            trouble.after, calls = 0, len(up.seen)
            for extra in ({}, {"stream": True}, {"background": True} if surface == "responses" else {}):
                refused = await client.ask(surface, store=True, **extra)
                assert (refused.status, refused.json["error"]["code"]) == (503, "store_unavailable")
                assert int(refused.headers["retry-after"]) > 0
            assert len(up.seen) == calls
            assert (await client.ask(surface, store=False)).status == 200
            assert (await client.get(f"/v1/responses/{kept}")).status == 200
            trouble.after = None
            assert (await client.ask(surface, store=True)).status == 200

    play(scenario)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_could_not_be_stored_says_so(
    stream: bool, reason: str, path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    trouble = Trouble(monkeypatch, reason)

    async def scenario() -> None:
        reply = chat_stream("a", "b") if stream else [json_reply(chat_reply("ab"))]
        async with (
            Upstream(reply) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{path}"}) as client,
        ):
            trouble.after = 1
            answer = await client.ask("responses", stream=stream)
            assert answer.status == 200
            shown = answer.events[-1]["response"] if stream else answer.json
            assert (shown["status"], shown["store"]) == ("completed", False)
            assert shown["output"][0]["content"][0]["text"] == "ab"
            if stream:
                assert check_responses(answer.events) == []
                assert answer.types[-1] == "response.completed"
            else:
                assert answer.headers["x-adapter-store"] == "failed"
            trouble.after = 1
            completion = await client.ask("chat", stream=stream, store=True)
            assert completion.status == 200
            assert stream or completion.headers["x-adapter-store"] == "failed"

    play(scenario)
    assert [line["stored"] for line in accesses(capfd.readouterr().out)] == ["failed", "failed"]


def test_a_failed_stream_that_could_not_be_stored_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = Trouble(monkeypatch, "full")

    async def scenario() -> None:
        broken = [SSE, event(chunk({"content": "a"})), event({"error": {"message": "broken"}})]
        async with (
            Upstream(broken) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{path}"}) as client,
        ):
            trouble.after = 1
            told = await client.ask("responses", stream=True)
            assert told.types[-1] == "response.failed"
            assert told.events[-1]["response"]["store"] is False

    play(scenario)


def test_locked_while_the_stream_runs(path: Path) -> None:
    """Another process holds the file: the text comes at once, the end waits for the lock and no longer."""

    async def scenario() -> None:
        slowly = chat_stream("a")
        slowly[-4:-4] = [Sleep(0.5)]
        async with (
            Upstream(slowly) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{path}"}) as client,
        ):
            reader, writer = await client.open(ask_bytes("responses", stream=True))
            reading = asyncio.ensure_future(read_response(reader))
            while not up.seen:
                await asyncio.sleep(0.01)
            other = await locked(path)
            try:
                told = await reading
                assert told.types[-1] == "response.completed"
                assert told.events[-1]["response"]["store"] is False
                assert (await client.ask("responses")).status == 503
                assert (await client.ask("responses", store=False, stream=True)).status == 200
            finally:
                other.execute("ROLLBACK")
                other.close()
                writer.close()
            assert (await client.ask("responses", stream=True)).events[-1]["response"]["store"] is True

    play(scenario)


def test_a_client_that_leaves_while_its_turn_is_being_announced_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What writes to the database goes on without its client, and nobody will ever finish what it began."""

    async def scenario() -> None:
        arrived, gate = asyncio.Event(), asyncio.Event()
        write = Database._write

        async def gated(database: Database, work: Callable[..., T]) -> T:
            arrived.set()
            await gate.wait()
            return await write(database, work)

        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{path}"}) as client,
        ):
            await client.ask("responses", store=False)  # the store is open
            await client.get("/v1/responses/resp_1")
            monkeypatch.setattr(Database, "_write", gated)
            _, writer = await client.open(ask_bytes("responses"))
            await arrived.wait()
            writer.close()
            while "client_gone" not in capfd.readouterr().out:
                await asyncio.sleep(0.05)
            gate.set()
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT status FROM responses").fetchall() == []

    play(scenario)


def test_a_client_that_leaves_before_its_turn_cannot_be_announced_leaves_no_trace(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[dict[str, Any]] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        arrived, gate = asyncio.Event(), asyncio.Event()

        async def gated(database: Database, work: Callable[..., T]) -> T:
            arrived.set()
            await gate.wait()
            raise StoreUnavailable("gone")

        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{path}"}) as client,
        ):
            await client.get("/v1/responses/resp_1")  # the store is open
            monkeypatch.setattr(Database, "_write", gated)
            _, writer = await client.open(ask_bytes("responses"))
            await arrived.wait()
            writer.close()
            while "client_gone" not in capfd.readouterr().out:
                await asyncio.sleep(0.05)
            gate.set()
        gc.collect()

    play(scenario)
    assert told == []


async def locked(path: Path) -> sqlite3.Connection:
    """The file, held by another connection; whoever writes just now has to be let finish."""
    other = sqlite3.connect(path, isolation_level=None, timeout=0)
    while True:
        try:
            other.execute("BEGIN IMMEDIATE")
            return other
        except sqlite3.OperationalError:
            await asyncio.sleep(0.01)


def test_a_database_that_is_not_there(path: Path) -> None:
    async def scenario() -> None:
        path.write_bytes(b"this is no database" * 1000)
        for url in (f"sqlite:///{path}", "postgresql://nobody@127.0.0.1:1/nothing"):
            async with (
                Upstream([json_reply(chat_reply())]) as up,
                adapter(upstream(up.url, "chat"), store={"url": url}) as client,
            ):
                assert (await client.ask("responses")).status == 503
                assert (await client.get("/v1/responses/resp_1")).status == 503
                assert up.seen == []
                assert (await client.ask("responses", store=False)).status == 200
                assert (await client.ask("chat")).status == 200

    play(scenario)


def test_the_event_log_catches_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away for a moment delays a background stream; nothing is missing from it."""
    trouble = Trouble(monkeypatch, "locked")

    async def scenario() -> None:
        slowly = [Sleep(0.1), *chat_stream("a", "b")]
        async with (
            Upstream(slowly) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{path}"}) as client,
        ):
            reader, writer = await client.open(ask_bytes("responses", stream=True, background=True))
            head = await read_head(reader)
            assert head.status == 200
            trouble.after = 0
            await asyncio.sleep(0.5)
            trouble.after = None
            told = await reader.readuntil(b"event: response.completed")
            numbers = [int(number) for number in re.findall(rb'"sequence_number":(\d+)', told)]
            assert numbers == list(range(len(numbers)))
            assert told.count(b"event: ") == len(numbers) + 1
            writer.close()

    play(scenario)


def test_who_looks_for_queued_responses_looks_on_when_the_store_is_back() -> None:
    async def scenario() -> None:
        looked = asyncio.Event()

        class Away:
            times = 0

            async def claim(self, *_: object, **__: object) -> None:
                self.times += 1
                if self.times == 1:
                    raise StoreUnavailable("It is away.")
                looked.set()

        looking = Background(store=Away(), pipeline=None, leaving=lambda: False, poll=0)  # type: ignore[arg-type]
        watching = asyncio.ensure_future(looking.watch())
        await asyncio.wait_for(looked.wait(), 5)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    play(scenario)


def test_what_was_accepted_and_could_not_be_claimed_is_claimed_by_whoever_can(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Store.claim
    refused: list[object] = []

    async def away(self: Store, owner: str, *, lease: float, only: tuple[str, str] | None = None) -> Any:
        if only is not None:
            refused.append(only)
            raise StoreUnavailable("gone")
        return await claim(self, owner, lease=lease)

    monkeypatch.setattr(Store, "claim", away)
    monkeypatch.setattr(background, "_RESERVED", 0)
    monkeypatch.setattr(parts, "Background", partial(Background, poll=0.02))

    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", api_key="none"), store={"url": f"sqlite:///{path}"}) as client,
        ):
            answer = await client.ask("responses", background=True)
            assert (answer.status, answer.json["status"], len(refused)) == (200, "queued", 1)
            while (shown := (await client.get(f"/v1/responses/{answer.json['id']}")).json)["status"] != "completed":
                assert shown["status"] in ("queued", "in_progress")
                await asyncio.sleep(0.02)

    play(scenario)


def test_who_is_on_its_way_out_takes_up_nothing_more() -> None:
    """It would have to give it back, or fail it where something of it was told."""

    async def scenario() -> None:
        looked, claimed = asyncio.Event(), []

        class Full:
            async def claim(self, owner: str, **_: object) -> None:
                claimed.append(owner)

        def leaving() -> bool:
            if times := len(asked):
                looked.set()
            asked.append(times)
            return True

        asked: list[int] = []
        looking = Background(store=Full(), pipeline=None, leaving=leaving, poll=0)  # type: ignore[arg-type]
        watching = asyncio.ensure_future(looking.watch())
        await asyncio.wait_for(looked.wait(), 5)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert claimed == []

    play(scenario)
