"""Answers that this side breaks off, at awkward moments: each has one end, and it says what the answer amounts to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from adapter.dialects.intake import Intake
from adapter.dialects.registry import DIALECTS
from adapter.errors import ShuttingDown
from adapter.hub.events import Event
from adapter.hub.grammar import check_chat, check_responses
from adapter.hub.request import Exchange
from adapter.server import pipeline
from adapter.server.calls.lanes import Hub, RawStreaming
from adapter.server.calls.pump import MAX_EVENTS, stream_events
from adapter.server.drain import Drain
from adapter.server.http.joining import JoiningProtocol
from adapter.server.http.outlet import Outlet, Shape
from adapter.server.socket.protocol import SocketProtocol
from adapter.server.stored.kept import Kept
from adapter.store.completions import Completions
from adapter.store.engine import Database
from adapter.store.saving import Saving
from tests.server.harness import Client, Response, adapter, ask_bytes, play, read_head, read_response, upstream
from tests.server.scripted import (
    END,
    SSE,
    Script,
    Sleep,
    Stall,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    json_reply,
    responses_events,
)
from tests.server.sockets import answer, opened, say
from tests.server.test_socket_life import served

ERROR = ShuttingDown("This server is shutting down; send the request again.")
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
INCLUDE = {"include": ["reasoning.encrypted_content"]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SIGNED = CALL | {"extra_content": {"google": {"thought_signature": "EjQK"}}}


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What a second Ctrl-C does to the running answers."""
    drains: list[Drain] = []

    def at_once() -> None:
        for _ in range(2):
            drains[-1].begin(signal.SIGINT, lambda: None)

    monkeypatch.setattr(Drain, "listen", lambda drain: drains.append(drain))
    return at_once


async def cut_off(client: Client, request: bytes, told: bytes, stop: Callable[[], None]) -> Response:
    """The answer to a stream's request that is broken off behind `told`, to its proper end."""
    reader, writer = await client.open(request)
    response = await read_head(reader)
    while size := int(await reader.readuntil(b"\r\n"), 16):
        before = told in response.body
        response.body += (await reader.readexactly(size + 2))[:-2]
        if told in response.body and not before:
            stop()
    writer.close()
    return response


# ------------------------------------------------------------------------------------------------------ the shutdown


def test_the_signature_of_a_call_is_sealed_before_a_shutdown_ends_the_answer(stop: Callable[[], None]) -> None:
    """Codex runs a call as soon as it is whole, keeps it when the rest breaks off, and asks again with it."""

    async def scenario() -> None:
        script: Script = [SSE, event(chunk({"tool_calls": [SIGNED]})), event(chunk({"content": "and"})), Stall()]
        async with Upstream(script) as up, adapter(upstream(up.url, "chat", profile="gemini")) as client:
            found = await cut_off(client, ask_bytes("responses", stream=True, **INCLUDE), b'"and"', stop)
            assert check_responses(found.events) == []
            assert found.types[-2:] == ["error", "response.failed"]
            done = [e["item"] for e in found.events if e["type"] == "response.output_item.done"]
            assert [item["type"] for item in done] == ["function_call", "reasoning"]
            assert done[1]["encrypted_content"].startswith("adapter:1:signed:up:")

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("stored", [False, True])
def test_an_answer_that_waits_only_for_its_usage_is_complete_when_the_server_stops(
    client_speaks: str, stored: bool, stop: Callable[[], None], tmp_path: Path
) -> None:
    """The client has all of it. It is not told that it is stored, as long as it is not."""

    async def scenario() -> None:
        script: Script = [SSE, event(chunk({"content": "Hello"})), event(chunk({}, "stop")), Stall()]
        store = {"url": f"sqlite:///{tmp_path}/store.db"} if stored else None
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, "chat"), store=store, settle_within=60) as client,
        ):
            awaited = b"output_item.done" if client_speaks == "responses" else b'"stop"' if not stored else b"Hello"
            found = await cut_off(client, ask_bytes(client_speaks, stream=True, store=stored), awaited, stop)
            if client_speaks == "chat":
                assert found.events[-1] == "[DONE]"
                return
            assert check_responses(found.events) == []
            last = found.events[-1]
            assert (last["type"], last["response"]["store"]) == ("response.completed", False)
            if stored:
                kept = await completed(client, last["response"]["id"])
                assert (kept["store"], kept["output"]) == (True, last["response"]["output"])

    play(scenario)


def test_a_client_that_leaves_an_answer_that_waits_only_for_its_usage_has_had_all_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        script: Script = [SSE, event(chunk({"content": "Hello"})), event(chunk({}, "stop")), Stall()]
        async with (
            Upstream(script) as up,
            adapter(
                upstream(up.url, "chat"), store={"url": f"sqlite:///{tmp_path}/store.db"}, settle_within=60
            ) as client,
        ):
            reader, writer = await client.open(ask_bytes("responses", stream=True))
            known = json.loads((await reader.readuntil(b'"created_at"')).partition(b'"id":')[2].partition(b",")[0])
            await reader.readuntil(b"output_item.done")
            writer.close()
            assert (await completed(client, known))["output"][0]["content"][0]["text"] == "Hello"

    play(scenario)


class Slow:
    """A store that begins to write a complete answer, and does not get to the end of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, begins: Callable[[], None] = lambda: None) -> None:
        self.id = ""
        """The response's."""
        self.begun = asyncio.Event()
        real = Database.write

        async def write(database: Database, work: Any) -> Any:
            saving = getattr(work, "__self__", None)
            if isinstance(saving, Saving) and saving.facts["status"] == "completed" and not self.id:
                self.id = saving.id
                self.begun.set()
                begins()
                await asyncio.Event().wait()
            return await real(database, work)

        monkeypatch.setattr(Database, "write", write)


async def completed(client: Client, known: str) -> dict[str, Any]:
    """The response, which gets there."""
    while True:
        shown: dict[str, Any] = (await client.get(f"/v1/responses/{known}")).json
        assert shown["status"] in ("queued", "in_progress", "completed")
        if shown["status"] == "completed":
            return shown
        await asyncio.sleep(0.02)


def test_an_answer_that_is_being_stored_when_the_server_stops_is_complete(
    stop: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        slow = Slow(monkeypatch, stop)
        async with (
            Upstream(chat_stream("Hello")) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{tmp_path}/store.db"}) as client,
        ):
            found = await client.ask("responses", stream=True)
            assert check_responses(found.events) == []
            last = found.events[-1]
            assert (last["type"], last["response"]["store"]) == ("response.completed", False)
            kept = await completed(client, slow.id)
            assert (kept["store"], kept["output"]) == (True, last["response"]["output"])

    play(scenario)


@pytest.mark.parametrize("last", [0, 1])
def test_choices_that_are_being_stored_when_the_server_stops_are_complete(
    last: int, stop: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of them ends last."""

    async def never(*_: object, **__: object) -> None:
        stop()
        await asyncio.Event().wait()

    monkeypatch.setattr(Completions, "save_completion", never)

    async def scenario() -> None:
        ends: list[Script] = [[SSE, event(chunk({"content": "Hello"}))] for _ in range(2)]
        ends[last].append(Sleep(0.3))
        for script in ends:
            script += [event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with (
            Upstream(*ends) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{tmp_path}/store.db"}) as client,
        ):
            found = await client.ask("chat", stream=True, store=True, n=2)
            assert check_chat(found.body, n=2) == []

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_a_background_response_that_is_being_stored_when_the_server_stops_is_complete(
    stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither begun again nor does it fail."""

    async def scenario() -> None:
        slow, store = Slow(monkeypatch), {"url": f"sqlite:///{tmp_path}/store.db"}
        async with Upstream(chat_stream("Hello")) as up:
            section = upstream(up.url, "chat", api_key="none")
            async with adapter(section, store=store) as client:
                await client.open(ask_bytes("responses", background=True, stream=stream))
                await slow.begun.wait()
            async with adapter(section, store=store) as client:
                kept = await completed(client, slow.id)
                assert kept["output"][0]["content"][0]["text"] == "Hello"
                if stream:
                    found = await client.get(f"/v1/responses/{slow.id}?stream=true")
                    assert check_responses(found.events) == []
                    assert found.events[-1]["response"] == kept
            assert len(up.seen) == 1

    play(scenario)


# ----------------------------------------------------------------------------------------- the client that does not read

STUCK: dict[str, Script] = {
    "amid the answer": [SSE, *[event(chunk({"content": os.urandom(30_000).hex()}))] * 1500, Stall()],
    "before its end": [
        SSE,
        event(chunk({"content": os.urandom(7_000_000).hex()})),
        Sleep(0.5),
        event(chunk({}, "stop")),
        event(b"[DONE]"),
        END,
    ],
}
stuck = pytest.mark.parametrize("where", STUCK)
surfaces = pytest.mark.parametrize("surface", ["chat", "responses", "socket"])


@asynccontextmanager
async def not_reading(client: Client, surface: str) -> AsyncIterator[None]:
    """A client that has asked and does not read, but for a socket's handshake."""
    if surface == "socket":
        async with opened(client) as ws:
            ws.transport.pause_reading()
            await say(ws, input="Hi")
            yield
            ws.transport.abort()
    else:
        _, writer = await client.open(ask_bytes(surface, stream=True))
        yield
        writer.transport.abort()


@surfaces
@stuck
def test_b3_a_client_that_does_not_read_loses_its_connection(
    surface: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have kept it, and what was written to it, for as long as it liked; its upstream and its place there, too."""

    async def scenario() -> None:
        lost = asyncio.Event()
        kind = SocketProtocol if surface == "socket" else JoiningProtocol
        real = kind.connection_lost

        def losing(protocol: Any, error: Exception | None) -> None:
            real(protocol, error)
            lost.set()

        monkeypatch.setattr(kind, "connection_lost", losing)
        async with (
            Upstream(STUCK[where], chat_stream("Hello")) as up,
            adapter(
                upstream(up.url, "chat", max_concurrency=1), keepalive=0.1, commit_after=0.1, write_timeout=0.3
            ) as client,
            not_reading(client, surface),
        ):
            await asyncio.wait_for(lost.wait(), 10)
            assert (await client.ask("chat", stream=True)).events[-1] == "[DONE]"

    play(scenario, 40)


@surfaces
@stuck
def test_e1_a_client_that_does_not_read_does_not_keep_the_server(surface: str, where: str) -> None:
    """At the deadline it is told what it would not hear, for a moment."""

    async def scenario() -> None:
        async with (
            Upstream(STUCK[where]) as up,
            served(up.url, drain_timeout="0.5") as (process, client),
            not_reading(client, surface),
        ):
            await up.arrived.wait()
            await asyncio.sleep(1)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) in (0, -signal.SIGTERM)
            assert process.stdout is not None
            assert process.stderr is not None
            assert b'"outcome":"shut_down"' in await process.stdout.read()
            assert await process.stderr.read() == b""

    play(scenario, 40)


@stuck
@pytest.mark.parametrize("surface", ["chat", "responses", "socket"])
def test_what_waits_for_a_slow_client_when_the_server_stops_comes_before_its_end(
    surface: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads on in time: nothing is missing in the middle, and what was complete is."""
    drains: list[Drain] = []
    monkeypatch.setattr(Drain, "listen", lambda drain: drains.append(drain))
    monkeypatch.setattr(pipeline, "_LAST_WORDS_WITHIN", 30)

    async def blocked() -> None:
        """Until a send waits for the client, and what was on its way is there."""
        since = None
        while since is None or since != [turn.outlet.writing_since for turn in drains[0]._running]:
            since = [turn.outlet.writing_since for turn in drains[0]._running]
            since = since if all(since) and since else None
            await asyncio.sleep(1)
        for _ in range(2):
            drains[0].begin(signal.SIGINT, lambda: None)
        await asyncio.sleep(0)

    async def scenario() -> None:
        async with Upstream(STUCK[where]) as up, adapter(upstream(up.url, "chat"), keepalive=0.2) as client:
            if surface == "socket":
                async with opened(client) as ws:
                    ws.transport.pause_reading()
                    await say(ws, input="Hi")
                    await blocked()
                    ws.transport.resume_reading()
                    events = await answer(ws)
            else:
                reader, writer = await client.open(ask_bytes(surface, stream=True))
                await blocked()
                found = await read_response(reader)
                writer.close()
                assert found.whole
                events = found.events
            if surface == "chat":
                text = "".join(e["choices"][0]["delta"].get("content", "") for e in events if "choices" in e)
                assert (events[-1] == "[DONE]") is (where == "before its end")
                assert len(text) == 14_000_000 or "error" in events[-1]
            else:
                assert check_responses(events) == []
                assert events[-1]["type"] == f"response.{'completed' if where == 'before its end' else 'failed'}"
                text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
                assert text == events[-1]["response"]["output"][0]["content"][0]["text"]

    play(scenario, 60)


def test_an_answer_behind_one_that_is_not_read_is_refused_when_the_server_stops(
    stop: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head was not sent: it was taken for sent, and the client was told of a mistake of this server."""
    monkeypatch.setattr(pipeline, "_LAST_WORDS_WITHIN", 30)
    big: Script = [json_reply(chat_reply(os.urandom(7_000_000).hex()))]

    async def scenario() -> None:
        async with Upstream(big, chat_stream("Hello")) as up, adapter(upstream(up.url, "chat")) as client:
            heads = 0
            real = Outlet.commit

            async def commit(outlet: Outlet) -> None:
                nonlocal heads
                heads += 1
                await real(outlet)

            monkeypatch.setattr(Outlet, "commit", commit)
            reader, writer = await client.open(ask_bytes("chat") + ask_bytes("chat", stream=True))
            while not heads:  # the first answer has its length
                await asyncio.sleep(0.01)
            stop()
            first, second = await read_response(reader), await read_response(reader)
            writer.close()
            assert first.json["choices"][0]["finish_reason"] == "stop"
            assert (second.status, second.json["error"]["code"]) == (503, "server_shutting_down")

    play(scenario)


# ------------------------------------------------------------------------------------- what is there and was not sent


class Still:
    """An upstream that says nothing more."""

    headers: ClassVar[dict[str, str]] = {}

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def pass_on(self, take: Any, ready: Any) -> None: ...

    def hurry(self, within: float) -> None: ...

    def close(self) -> None: ...


def test_what_a_slow_client_was_not_sent_of_a_read_is_sent_before_the_end() -> None:
    """The end that came with it is the answer's."""

    async def scenario() -> None:
        sent: list[bytes] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                sent.append(message["body"])
                await asyncio.Event().wait()

        exchange = Exchange.unasked("responses")
        hub = Hub(Still(), Intake(DIALECTS["chat"], exchange), exchange, settle_within=60)  # type: ignore[arg-type]
        words = [f"w{number} " for number in range(2 * MAX_EVENTS)]
        chunks = [*(chunk({"content": word}) for word in words), chunk({}, "stop"), b"[DONE]"]
        data = b"".join(
            b"data: %b\n\n" % (one if isinstance(one, bytes) else json.dumps(one).encode()) for one in chunks
        )
        hub._first = hub.intake.feed(data)
        outlet, writer = Outlet(send), DIALECTS["responses"].stream_writer(exchange)
        outlet.shape = Shape.STREAM
        task = asyncio.ensure_future(stream_events(outlet, writer, hub))
        while not sent:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert outlet.ending is not None
        rest = outlet.ending(ERROR)
        told = [json.loads(line[6:]) for line in (b"".join(sent) + rest).split(b"\n") if line.startswith(b"data: ")]
        assert check_responses(told) == []
        assert told[-1]["type"] == "response.completed"
        assert told[-1]["response"]["output"][0]["content"][0]["text"] == "".join(words)

    play(scenario)


def test_a_stored_answer_whose_end_waits_for_a_slow_client_ends_once() -> None:
    class Stored:
        turn = SimpleNamespace(cut_with=ERROR, stored="")

        def mine(self, event: Event) -> Event:
            return event

        async def save(self, answers: object, exchange: Exchange) -> bool:
            return True

        async def abandon(self, answer: object, exchange: Exchange) -> None: ...

    async def scenario() -> None:
        sent: list[bytes] = []
        waiting = asyncio.Event()

        async def send(message: Any) -> None:
            if b"response.completed" in message.get("body", b""):
                waiting.set()
                await asyncio.Event().wait()
            sent.append(message.get("body", b""))

        exchange = Exchange.unasked("responses")
        hub = Hub(Still(), Intake(DIALECTS["responses"], exchange), exchange, settle_within=60)  # type: ignore[arg-type]
        hub._first = hub.intake.feed(b"".join(map(event, responses_events())))
        outlet, writer = Outlet(send), DIALECTS["responses"].stream_writer(exchange)
        outlet.shape = Shape.STREAM
        kept = Kept(hub, Stored(), asyncio.ensure_future)  # type: ignore[arg-type]
        task = asyncio.ensure_future(stream_events(outlet, writer, kept))
        await waiting.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        kept.close()
        assert outlet.ending is not None
        rest = outlet._unsent + outlet.ending(ERROR)
        assert check_responses(b"".join(sent) + rest) == []

    play(scenario)


@pytest.mark.parametrize("raw", [False, True])
def test_the_last_read_is_not_lost_to_a_server_that_stops_before_it_is_given(raw: bool) -> None:
    """The connection has taken it already; the task that is to give it is cancelled before it wakes up."""
    exchange = Exchange.unasked("responses")
    events = [b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in responses_events()]
    if raw:
        passing = RawStreaming(Still(), DIALECTS["responses"].raw_stream(exchange), settle_within=60)  # type: ignore[arg-type]
        data = passing.observer.feed(b"".join(events[:-1]))
        passing._first = passing.observer.feed(events[-1])
        rest = passing.fail(ERROR)
    else:
        hub = Hub(Still(), Intake(DIALECTS["responses"], exchange), exchange, settle_within=60)  # type: ignore[arg-type]
        writer = DIALECTS["responses"].stream_writer(exchange)
        data = writer.write(hub.intake.feed(b"".join(events[:-1])))
        hub._first = hub.intake.feed(events[-1])
        rest = writer.write(hub.fail(ERROR)[1])
    assert b"response.completed" not in data
    assert (rest.count(b"event: "), rest.count(b"event: response.completed")) == (1, 1)
