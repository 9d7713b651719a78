"""Time and leaving: held status, keep-alives, clients that go, readers that do not read, the drain."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from math import inf
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from orjson import loads

from adapter import serving
from adapter.errors import ConfigError
from adapter.listening import bound
from adapter.notifying import Manager
from adapter.sections import Settings
from adapter.server import drain
from adapter.server.http.joining import JoiningProtocol
from adapter.server.reloading import Handed
from adapter.serving import Workers
from adapter.store.store import Store
from tests.server.harness import (
    Client,
    Response,
    adapter,
    ask_bytes,
    play,
    read_head,
    read_response,
    request_bytes,
    upstream,
    workers_of,
)
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
    head,
    json_reply,
    piece,
    response,
    responses_events,
    responses_stream,
)
from tests.server.test_upstream_faults import says_hello

DIALECTS = ("chat", "responses")
LANES = [(client, up) for client in DIALECTS for up in DIALECTS]
lanes = pytest.mark.parametrize(("client_speaks", "upstream_speaks"), LANES)


def begun(upstream_speaks: str) -> Script:
    """A stream that has begun to answer."""
    if upstream_speaks == "chat":
        return [SSE, event(chunk({"role": "assistant", "content": "Hel"}))]
    return [SSE, *(event(e, e["type"]) for e in responses_events()[:5])]


# ------------------------------------------------------------------------------------------------ the client that leaves

PHASES: dict[str, tuple[bool, Any]] = {
    "stream_before_the_head": (True, lambda speaks: [Stall()]),
    "plain_before_the_head": (False, lambda speaks: [Stall()]),
    "stream_behind_the_head": (True, lambda speaks: [SSE, Stall()]),
    "plain_behind_the_head": (False, lambda speaks: [head(200), piece(b'{"id":'), Stall()]),
    "stream_in_the_middle": (True, lambda speaks: [*begun(speaks), Stall()]),
}


@pytest.mark.parametrize("phase", PHASES)
@lanes
def test_e3_e4_a_client_that_leaves_closes_its_upstream(client_speaks: str, upstream_speaks: str, phase: str) -> None:
    stream, script = PHASES[phase]

    async def scenario() -> None:
        async with Upstream(script(upstream_speaks)) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            reader, writer = await client.open(ask_bytes(client_speaks, stream=stream))
            await up.arrived.wait()
            if phase == "stream_in_the_middle":
                await read_head(reader)
            await asyncio.sleep(0.05)
            left = time.monotonic()
            writer.transport.abort()
            await asyncio.wait_for(up.seen[0].finished.wait(), 2)
            assert up.seen[0].closed is not None
            assert up.seen[0].closed - left < 1

    play(scenario)


@lanes
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_a_client_that_leaves_a_moment_before_its_answer_is_one_that_left(
    client_speaks: str,
    upstream_speaks: str,
    stream: bool,
    version: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Nobody has begun to watch it, and the server takes what is written to it all the same."""

    async def scenario() -> None:
        gone = asyncio.Event()
        lost = JoiningProtocol.connection_lost

        def losing(protocol: JoiningProtocol, error: Exception | None) -> None:
            lost(protocol, error)
            gone.set()

        class Waiting(Upstream):
            async def _play(self, *step: Any) -> bool:
                await gone.wait()
                return await super()._play(*step)

        monkeypatch.setattr(JoiningProtocol, "connection_lost", losing)
        chat = upstream_speaks == "chat"
        if stream:
            script = chat_stream("Hello") if chat else responses_stream()
        else:
            script = [json_reply(chat_reply() if chat else response())]
        async with Waiting(script) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            raw = ask_bytes(client_speaks, stream=stream).replace(b"HTTP/1.1", version, 1)
            _, writer = await client.open(raw)
            await up.arrived.wait()
            writer.transport.abort()
            while not (said := capfd.readouterr().out):
                await asyncio.sleep(0.01)
            assert '"outcome":"client_gone"' in said

    play(scenario)


@lanes
def test_a_client_that_has_asked_twice_and_leaves_closes_its_upstream(
    client_speaks: str, upstream_speaks: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server tells only the last request of a connection that its client has left."""

    async def scenario() -> None:
        script: Script = [*begun(upstream_speaks), Stall()]
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            reader, writer = await client.open(ask_bytes(client_speaks, stream=True) * 2)
            await read_head(reader)
            writer.transport.abort()
            await asyncio.wait_for(up.seen[0].finished.wait(), 1)
            assert len(up.seen) == 1

    play(scenario)
    assert '"outcome":"client_gone"' in capfd.readouterr().out


def test_a_client_that_leaves_during_its_upload_calls_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            raw = request_bytes("POST", "/v1/responses", b"").replace(b"content-length: 0", b"content-length: 99")
            _, writer = await client.open(raw + b'{"model"')
            await asyncio.sleep(0.05)
            writer.transport.abort()
            await asyncio.sleep(0.1)
            assert not up.seen

    play(scenario)
    assert '"status":499,"outcome":"client_gone","phase":"request"' in capfd.readouterr().out


def test_e3_when_a_client_of_n_choices_leaves_every_upstream_call_closes() -> None:
    async def scenario() -> None:
        script: Script = [*begun("responses"), Stall()]
        async with Upstream(script) as up, adapter(upstream(up.url, "responses")) as client:
            reader, writer = await client.open(ask_bytes("chat", stream=True, n=3))
            await read_head(reader)
            writer.transport.abort()
            for seen in up.seen:
                await asyncio.wait_for(seen.finished.wait(), 1)
            assert len(up.seen) == 3

    play(scenario)


def test_b3_a_client_that_does_not_read_is_given_up(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        flood: Script = [SSE, *[event(chunk({"content": "x" * 60_000}))] * 2000, Stall()]
        async with (
            Upstream(flood) as up,
            adapter(upstream(up.url, "chat"), keepalive=0.1, commit_after=0.1, write_timeout=0.3) as client,
        ):
            _, writer = await client.open(ask_bytes("responses", stream=True))
            async with asyncio.timeout(5):
                while not (up.seen and up.seen[0].closed):
                    await asyncio.sleep(0.05)
            writer.transport.abort()

    play(scenario)
    assert '"status":200,"outcome":"client_too_slow","phase":"answer"' in capfd.readouterr().out


# ---------------------------------------------------------------------------------------------------- status before bytes


@lanes
def test_the_status_waits_for_the_answer(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        script: Script = [SSE, piece(b": not yet\n\n"), Sleep(0.2), *begun(upstream_speaks)[1:], Stall()]
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            reader, writer = await client.open(ask_bytes(client_speaks, stream=True))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.15)
            assert (await read_head(reader)).status == 200
            writer.close()

    play(scenario)


@lanes
def test_an_upstream_that_is_slow_to_answer_gets_its_status_and_comments(
    client_speaks: str, upstream_speaks: str
) -> None:
    async def scenario() -> None:
        good = chat_stream("Hello") if upstream_speaks == "chat" else responses_stream("Hello")
        script: Script = [Sleep(0.5), *good]
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, upstream_speaks), commit_after=0.1, keepalive=0.1) as client,
        ):
            answer = await client.ask(client_speaks, stream=True)
            assert (answer.status, answer.whole) == (200, True)
            comments = [piece for piece in answer.pieces if piece.startswith(b":")]
            assert 3 <= len(comments) <= 5
            assert answer.pieces[: len(comments)] == comments
            assert (
                answer.events[-1] == "[DONE]" if client_speaks == "chat" else answer.types[-1] == "response.completed"
            )

    play(scenario)


@lanes
def test_an_answer_that_comes_in_pieces_behind_the_commit_keeps_its_order(
    client_speaks: str, upstream_speaks: str
) -> None:
    """The client is ready for more before it was given the beginning."""

    async def scenario() -> None:
        good = chat_stream("Hel", "lo") if upstream_speaks == "chat" else responses_stream("Hello")
        script: Script = [Sleep(0.3), *good[:3], Sleep(0.05), *good[3:4], Sleep(0.05), *good[4:]]
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks), commit_after=0.1) as client:
            answer = await client.ask(client_speaks, stream=True)
            says_hello(client_speaks, True, answer)
            first = answer.events[0]
            assert (first["choices"][0]["delta"]["role"] if client_speaks == "chat" else first["type"]) in (
                "assistant",
                "response.created",
            )

    play(scenario)


def _is_one_failure(answer: Response, client_speaks: str) -> None:
    """A committed stream that says nothing but that it has failed."""
    assert (answer.status, answer.whole) == (200, True)
    if client_speaks == "chat":
        (failure,) = answer.events
        assert set(failure) == {"error"}
    else:
        assert answer.types == ["response.created", "error", "response.failed"]
        assert [event["sequence_number"] for event in answer.events] == [0, 1, 2]


@lanes
def test_a_failure_behind_the_commit_and_before_any_event(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        error = {"error": {"message": "no", "type": "server_error", "code": None, "param": None}}
        script: Script = [Sleep(0.3), json_reply(error, 500)]
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks), commit_after=0.1) as client:
            _is_one_failure(await client.ask(client_speaks, stream=True), client_speaks)

    play(scenario)


LATE: dict[str, Script] = {
    "an_error_frame": [SSE, event({"error": {"message": "no", "code": "server_error"}}), END],
    "an_error_event": [
        SSE,
        event({"type": "error", "code": "server_error", "message": "no", "param": None}, "error"),
        END,
    ],
    "a_failed_response": [
        SSE,
        event({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "no"}}}),
        END,
    ],
    "comments_only": [SSE, piece(b": wait\n\n"), END],
    "nothing": [SSE, END],
    "done": [SSE, event(b"[DONE]"), END],
}


@pytest.mark.parametrize(
    ("client_speaks", "upstream_speaks", "late"),
    [(*lane, late) for lane in LANES for late in LATE if (late, lane[1]) != ("a_failed_response", "chat")],
)
def test_a_stream_that_fails_behind_the_commit_before_it_answers_is_told(
    client_speaks: str, upstream_speaks: str, late: str
) -> None:
    """The lane has seen the end of such a stream, and still owes the client its own."""

    async def scenario() -> None:
        script: Script = [Sleep(0.3), *LATE[late]]
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks), commit_after=0.1) as client:
            _is_one_failure(await client.ask(client_speaks, stream=True), client_speaks)

    play(scenario)


@lanes
def test_a_plain_answer_that_takes_long_is_kept_alive_by_white_space(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        from tests.server.scripted import response

        reply = chat_reply() if upstream_speaks == "chat" else response()
        script: Script = [Sleep(0.5), json_reply(reply)]
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, upstream_speaks), commit_after=0.1, keepalive=0.1) as client,
        ):
            answer = await client.ask(client_speaks)
            assert (answer.status, answer.whole) == (200, True)
            assert answer.headers["content-type"] == "application/json"
            assert answer.body.startswith(b"   ")
            assert answer.json["object"] == ("chat.completion" if client_speaks == "chat" else "response")

    play(scenario)


@lanes
def test_a_plain_answer_that_fails_behind_its_commit_is_cut(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        script: Script = [Sleep(0.3), json_reply({"error": {"message": "no"}}, 500)]
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks), commit_after=0.1) as client:
            answer = await client.ask(client_speaks)
            assert (answer.status, answer.whole) == (200, False)
            assert answer.body.strip() == b""

    play(scenario)


@lanes
def test_d4_d49_comments_fill_the_silence_in_the_middle(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        script: Script = [*begun(upstream_speaks), Sleep(0.45), Stall()]
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks), keepalive=0.1) as client:
            reader, writer = await client.open(ask_bytes(client_speaks, stream=True))
            data = b""
            async with asyncio.timeout(2):
                while data.count(b": keep-alive") < 3:
                    data += await reader.read(65536)
            writer.close()

    play(scenario)


@pytest.mark.parametrize("keepalive", [0.05, 15])
@pytest.mark.parametrize(("originator", "pinged"), [("codex_exec", True), ("someone", False)])
def test_only_codex_gets_pings_with_data(originator: str, pinged: bool, keepalive: float) -> None:
    async def scenario() -> None:
        script: Script = [*begun("chat"), Sleep(0.35), event(chunk({}, "stop")), event(b"[DONE]"), END]
        times = {"keepalive": keepalive, "ping_after": 0.15}
        async with Upstream(script) as up, adapter(upstream(up.url, "chat"), **times) as client:
            answer = await client.ask("responses", stream=True, headers={"originator": originator})
            assert ("adapter:ping" in answer.types) is pinged
            assert [e["sequence_number"] for e in answer.events] == list(range(len(answer.events)))

    play(scenario)


@pytest.mark.parametrize(("originator", "pinged"), [("codex_exec", True), ("someone", False)])
@pytest.mark.parametrize("upstream_speaks", ["chat", "responses"])
def test_codex_is_pinged_while_nothing_is_answered_yet(upstream_speaks: str, originator: str, pinged: bool) -> None:
    """A long prompt, or a summary in pieces: Codex gives up after its patience although comments come."""

    async def scenario() -> None:
        good = chat_stream("Hello") if upstream_speaks == "chat" else responses_stream("Hello")
        script: Script = [Sleep(0.5), *good]
        times = {"commit_after": 0.05, "ping_after": 0.15}
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks), **times) as client:
            answer = await client.ask("responses", stream=True, headers={"originator": originator})
            assert (answer.types[0] == "adapter:ping") is pinged
            assert answer.types[-1] == "response.completed"

    play(scenario)


@pytest.mark.parametrize(("originator", "pinged"), [("codex_exec", True), ("someone", False)])
def test_pings_stand_between_the_events_of_the_raw_lane(originator: str, pinged: bool) -> None:
    async def scenario() -> None:
        script: Script = [*begun("responses"), Sleep(0.5), *(event(e, e["type"]) for e in responses_events()[5:]), END]
        async with Upstream(script) as up, adapter(upstream(up.url, "responses"), ping_after=0.15) as client:
            answer = await client.ask("responses", stream=True, headers={"originator": originator})
            assert ("adapter:ping" in answer.types) is pinged
            assert answer.types[-1] == "response.completed"

    play(scenario)


def test_a_ping_does_not_begin_an_answer() -> None:
    """As long as the status is held back, the upstream's refusal can still be one."""

    async def scenario() -> None:
        script: Script = [Sleep(0.4), json_reply({"error": {"message": "no"}}, 400)]
        async with Upstream(script) as up, adapter(upstream(up.url, "chat"), ping_after=0.1) as client:
            answer = await client.ask("responses", stream=True, headers={"originator": "codex_exec"})
            assert answer.status == 400

    play(scenario)


def test_one_upstream_read_is_one_write() -> None:
    async def scenario() -> None:
        many = b"".join(event(chunk({"content": "x"})) for _ in range(100))
        script: Script = [*begun("chat"), Sleep(0.1), many, Sleep(0.1), event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with Upstream(script) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.ask("responses", stream=True)
            assert len(answer.pieces) == 3

    play(scenario)


def test_a_read_with_very_many_events_is_cut_into_pieces() -> None:
    async def scenario() -> None:
        many = piece(
            b"".join(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n' for _ in range(1000))
        )
        script: Script = [*begun("chat"), Sleep(0.1), many, event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with Upstream(script) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.ask("responses", stream=True)
            assert answer.types[-1] == "response.completed"
            assert max(piece.count(b"data: ") for piece in answer.pieces) <= 256

    play(scenario)


def test_connections_are_used_again() -> None:
    async def scenario() -> None:
        async with Upstream(chat_stream("Hello")) as up, adapter(upstream(up.url, "chat")) as client:
            for dialect in (*DIALECTS, *DIALECTS):
                await client.ask(dialect, stream=True)
            assert up.connections == 1

    play(scenario)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_connection_whose_stream_ends_a_moment_behind_its_last_event_is_used_again(dialect: str) -> None:
    async def scenario() -> None:
        *events, end = chat_stream("Hello")
        async with Upstream([*events, Sleep(0.1), end]) as up, adapter(upstream(up.url, "chat")) as client:
            for _ in range(2):
                assert (await client.ask(dialect, stream=True)).whole
                await asyncio.sleep(0.3)
            assert up.connections == 1

    play(scenario)


# ------------------------------------------------------------------------------------------------------------- the drain


@asynccontextmanager
async def _served(
    url: str, *options: str, before: Callable[[], object] | None = None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Client]]:
    """The program over this upstream; it and its workers are gone in the end. `before` is run in its process first."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTER_")} | {"PYTHONUNBUFFERED": "1"}
    environment |= dict(option.split("=") for option in options)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "adapter", "serve", "--upstream", url, "--dialect", "chat", "--port", "0",
        cwd=Path(__file__).parents[2], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, preexec_fn=before,
    )  # fmt: skip
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    found = re.search(r":(\d+)", line)
    assert found is not None, line
    try:
        yield process, Client(int(found[1]))
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _gone(process: asyncio.subprocess.Process) -> int:
    return await asyncio.wait_for(process.wait(), 10)


@pytest.mark.parametrize("workers", [1, 2])
def test_e14_a_server_has_all_the_files_that_it_may_have(workers: int) -> None:
    few = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (256, 512))

    async def scenario() -> None:
        url = "http://127.0.0.1:1/v1"
        async with _served(url, f"ADAPTER_SERVER__WORKERS={workers}", before=few) as (process, client):
            assert (await client.get("/livez")).status == 200
            for one in (process.pid, *workers_of(process.pid)):
                assert resource.prlimit(one, resource.RLIMIT_NOFILE) == (512, 512)

    play(scenario, 30)


def test_e14_a_server_without_a_file_left_blames_no_upstream() -> None:
    """It would ask it no more, and turn away those for whom there is one."""

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            reader, writer = await client.open(request_bytes("GET", "/livez"))
            await read_response(reader)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            os.close(free := os.dup(0))
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            try:
                for _ in range(9):
                    writer.write(ask_bytes("chat"))
                    answer = await read_response(reader)
                    assert (answer.status, answer.json["error"]["code"]) == (503, "server_is_overloaded")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            writer.write(ask_bytes("chat"))
            assert (await read_response(reader)).status == 200
            writer.close()

    play(scenario)


def test_e1_a_stream_finishes_while_the_server_drains() -> None:
    async def scenario() -> None:
        script: Script = [
            *begun("chat"),
            Sleep(1.0),
            event(chunk({"content": "lo"})),
            event(chunk({}, "stop")),
            event(b"[DONE]"),
            END,
        ]
        async with Upstream(script) as up:
            async with _served(up.url) as (process, client):
                reader, writer = await client.open(ask_bytes("responses", stream=True))
                first = await reader.readuntil(b"response.output_text.delta")
                assert b"200" in first[:15]
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.4)
                with pytest.raises(ConnectionError):
                    await client.get("/livez")
                rest = await asyncio.wait_for(reader.read(), 5)
                assert b"response.completed" in rest
                writer.close()
                assert await _gone(process) in (0, -signal.SIGTERM)

    play(scenario, 40)


@asynccontextmanager
async def _workers_amid_an_answer() -> AsyncIterator[tuple[asyncio.subprocess.Process, Client, asyncio.StreamReader]]:
    """Workers, of which one has begun an answer that is complete after 1.5 s; what is left of it comes from the reader."""
    script: Script = [*begun("chat"), Sleep(1.5), event(chunk({}, "stop")), event(b"[DONE]"), END]
    async with Upstream(script) as up:
        async with _served(up.url, "ADAPTER_SERVER__WORKERS=2", "ADAPTER_STORE__MODE=off") as (process, client):
            reader, writer = await client.open(ask_bytes("responses", stream=True))
            await reader.readuntil(b"response.output_text.delta")
            yield process, client, reader
            writer.close()


def test_e1_a_stream_finishes_when_every_process_of_several_workers_gets_the_signal() -> None:
    """As systemd sends it, and a terminal: a worker then hears of it from its parent as well."""

    async def scenario() -> None:
        async with _workers_amid_an_answer() as (process, _, reader):
            os.killpg(process.pid, signal.SIGTERM)
            assert b"response.completed" in await asyncio.wait_for(reader.read(), 10)
            assert await _gone(process) in (0, -signal.SIGTERM)

    play(scenario, 40)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGWINCH], ids=lambda number: number.name)
def test_e1_a_signal_that_does_not_end_a_server_cuts_no_answer_of_several_workers_that_drain(
    number: signal.Signals,
) -> None:
    """Somebody has it reload, or makes the terminal's window larger."""

    async def scenario() -> None:
        async with _workers_amid_an_answer() as (process, client, reader):
            process.send_signal(signal.SIGTERM)
            with suppress(ConnectionError, asyncio.IncompleteReadError):  # refused, or closed in the backlog
                while True:
                    await asyncio.wait_for(client.get("/livez"), 5)
            process.send_signal(number)
            assert b"response.completed" in await asyncio.wait_for(reader.read(), 10)
            assert await _gone(process) in (0, -signal.SIGTERM)

    play(scenario, 40)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what a process ignores is seen under /proc only")
@pytest.mark.parametrize("workers", [1, 2])
def test_who_was_started_with_nohup_does_not_hear_of_the_terminal(workers: int) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up:
            options = f"ADAPTER_SERVER__WORKERS={workers}", "ADAPTER_STORE__MODE=off"
            ignored = partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)
            async with _served(up.url, *options, before=ignored) as (process, client):
                assert (await client.ask("chat")).status == 200
                for pid in [process.pid, *workers_of(process.pid)]:
                    mask = re.search(r"SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
                    assert mask is not None
                    assert int(mask[1], 16) & 1 << signal.SIGHUP - 1

    play(scenario, 40)


@pytest.mark.parametrize("together", [False, True], ids=["one_by_one", "together"])
def test_e2_a_second_signal_to_the_parent_of_several_workers_ends_them_at_once(together: bool) -> None:
    """As `docker stop` sends the first and somebody who is impatient the second: the workers hear of neither by themselves."""

    async def scenario() -> None:
        async with Upstream([*begun("chat"), Stall()]) as up:
            async with _served(up.url, "ADAPTER_SERVER__WORKERS=2", "ADAPTER_STORE__MODE=off") as (process, client):
                reader, _ = await client.open(ask_bytes("responses", stream=True))
                await reader.readuntil(b"response.output_text.delta")
                process.send_signal(signal.SIGTERM)
                with suppress(ConnectionError, asyncio.IncompleteReadError):  # refused, or closed in the backlog
                    while not together:
                        await asyncio.wait_for(client.get("/livez"), 5)
                process.send_signal(signal.SIGINT if together else signal.SIGTERM)  # two of one number may become one
                assert b"server_shutting_down" in await asyncio.wait_for(reader.read(), 5)
                assert await _gone(process) in (0, -signal.SIGTERM)

    play(scenario, 40)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what a process has loaded is seen under /proc only")
@pytest.mark.parametrize("workers", [1, 2])
def test_what_serves_is_without_the_library_that_read_its_configuration(workers: int) -> None:
    async def scenario() -> None:
        async with Upstream(chat_stream("Hello")) as up:
            async with _served(up.url, f"ADAPTER_SERVER__WORKERS={workers}") as (process, client):
                answer = await client.ask("responses", stream=True)
                assert answer.status == 200
                for pid in [process.pid, *workers_of(process.pid)]:
                    loaded = Path(f"/proc/{pid}/maps").read_text()
                    assert "httptools" in loaded
                    assert "pydantic" not in loaded

    play(scenario, 40)


@pytest.mark.parametrize("asked", [False, True], ids=["idle", "asked"])
def test_e5_a_worker_that_dies_is_replaced_and_the_log_says_so(asked: bool) -> None:
    """Also one that its parent waits for an answer of, as of one that dies while it starts."""

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up:
            async with _served(up.url, "ADAPTER_SERVER__WORKERS=2", "ADAPTER_STORE__MODE=off") as (process, client):
                assert (await client.ask("chat")).status == 200
                dead, *_ = workers_of(process.pid)
                if asked:
                    os.kill(dead, signal.SIGSTOP)
                    await asyncio.sleep(1)
                os.kill(dead, signal.SIGKILL)
                assert process.stdout is not None
                while b"worker_died" not in (said := await asyncio.wait_for(process.stdout.readline(), 20)):
                    assert said
                assert (loads(said)["pid"], loads(said)["exit"]) == (dead, -signal.SIGKILL)
                assert (await client.ask("chat")).status == 200
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), 30) in (0, -signal.SIGTERM)

    play(scenario, 60)


def test_e5_workers_whose_parent_is_killed_finish_and_make_room_for_the_next() -> None:
    async def scenario() -> None:
        async with _workers_amid_an_answer() as (process, client, reader):
            workers = workers_of(process.pid)
            try:
                process.kill()
                await process.wait()
                with suppress(ConnectionRefusedError):
                    while True:
                        with suppress(ConnectionResetError, asyncio.IncompleteReadError):
                            await client.get("/livez")
                bound("127.0.0.1", client.port).close()
                assert b"response.completed" in await asyncio.wait_for(reader.read(), 10)
                while any(map(_alive, workers)):
                    await asyncio.sleep(0.05)
            finally:
                for worker in workers:
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)

    play(scenario, 40)


def _alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class Answering:
    """A worker that answers one ping, and dies."""

    pid, first, next, exitcode = 1, False, 0.0, 3

    def __init__(self) -> None:
        self.process = self

    def is_alive(self, timeout: float = 0) -> bool:
        assert not timeout, "asked again, for half a minute"
        return True

    def ping(self, timeout: float) -> bool:
        return True

    def tell(self, outcome: object) -> None: ...


def _parent(*workers: Answering, signals: Sequence[int] = ()) -> Workers:
    """Of these, before its first look at them."""
    parent = Workers.__new__(Workers)
    parent.signal_queue, parent.processes = list(signals), list(workers)  # type: ignore[arg-type]
    parent._handed, parent.should_exit, parent._starting = Handed(Settings()), Event(), False
    return parent


def test_e5_a_worker_that_has_answered_is_not_asked_again_with_more_patience() -> None:
    """It may die before that, and its parent would hear of nothing meanwhile."""
    _parent(Answering()).keep_subprocess_alive()


class Deaf(Answering):
    """A worker that does not answer the first question, and is not to be asked another one."""

    asked = 0

    def ping(self, timeout: float) -> bool:
        self.asked += 1
        assert self.asked == 1
        return False


def test_e2_a_signal_is_not_kept_waiting_by_a_worker_that_does_not_answer() -> None:
    _parent(Deaf(), signals=[signal.SIGTERM]).keep_subprocess_alive()


def test_e5_a_worker_that_answers_no_more_is_replaced(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Hung(Deaf):
        alive, exitcode = True, -signal.SIGKILL

        def is_alive(self, timeout: float = 0) -> bool:
            return self.alive

        def kill(self) -> None:
            self.alive = False

        def join(self) -> None: ...

        def refusal(self) -> None: ...

    class Other(Answering):
        pid = 2

    class Next(Answering):
        pid = 3

    monkeypatch.setattr(serving, "_WORKER_STARTS", -1)
    monkeypatch.setattr(Workers, "_started", lambda parent: Next())
    parent = _parent(Hung(), Other())
    parent.keep_subprocess_alive()
    died = [loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(line["event"], line["pid"]) for line in died] == [("worker_died", 1)]
    assert [worker.pid for worker in parent.processes] == [3, 2]


class Refusing(Answering):
    """A worker that could not start."""

    def is_alive(self, timeout: float = 0) -> bool:
        return False

    def kill(self) -> None: ...

    def join(self) -> None: ...

    def refusal(self) -> ConfigError:
        return ConfigError("keys.toml: Permission denied")


def test_e5_where_a_later_worker_cannot_start_the_others_go_on_and_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not at once: as long as it is so, nothing else would be done."""
    monkeypatch.setattr(Workers, "_started", lambda parent: Answering())
    other, refusing = Answering(), Refusing()
    parent = _parent(other, refusing)
    refusing.next = inf
    parent.keep_subprocess_alive()
    assert parent.processes == [other, refusing]
    refusing.next = 0
    parent.keep_subprocess_alive()
    assert type(parent.processes[1]) is Answering
    died = [loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(line["event"], line["why"]) for line in died] == [("worker_died", "keys.toml: Permission denied")]
    assert not parent.should_exit.is_set()


@contextmanager
def _manager(path: str) -> Iterator[Callable[[], Awaitable[str]]]:
    """A service manager that listens there, and what it is told next."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(path)
        told.settimeout(20)
        yield lambda: asyncio.to_thread(lambda: told.recv(200).decode())


@pytest.mark.parametrize("abstract", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_manager_hears_that_it_serves_reloads_and_stops(workers: int, abstract: bool, tmp_path: Path) -> None:
    name = f"@{tmp_path.name}-{os.getpid()}-{workers}" if abstract else str(tmp_path / "notify")

    async def scenario() -> None:
        with _manager(name.replace("@", "\0")) as told:
            async with (
                Upstream([json_reply(chat_reply())]) as up,
                _served(up.url, f"NOTIFY_SOCKET={name}", f"ADAPTER_SERVER__WORKERS={workers}") as (process, client),
            ):
                assert await told() == "READY=1"
                assert (await client.ask("responses")).status == 200
                before = time.monotonic_ns()
                process.send_signal(signal.SIGHUP)
                reloading, _, since = (await told()).partition("\nMONOTONIC_USEC=")
                assert reloading == "RELOADING=1"
                assert before // 1000 <= int(since) <= time.monotonic_ns() // 1000
                assert await told() == "READY=1"
                process.send_signal(signal.SIGTERM)
                assert await told() == "STOPPING=1"
                await _gone(process)

    play(scenario, 60)


def test_a_service_manager_that_does_not_listen_is_no_trouble(tmp_path: Path) -> None:
    manager = Manager({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    manager.ready()


@pytest.mark.parametrize("workers", [1, 3])
def test_e22_what_only_a_worker_finds_out_ends_the_start_with_one_line(workers: int, tmp_path: Path) -> None:
    """A library that is not installed, for one: several workers would be started again and again."""
    (tmp_path / "redis.py").write_text("raise ImportError")

    async def scenario() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "adapter", "serve", "--upstream", "http://127.0.0.1:1/v1", "--dialect", "chat", "--port", "0",
            "--workers", str(workers), cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(tmp_path), "ADAPTER_LIMITS__STORAGE": "redis://127.0.0.1:1/0"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            _, told = await asyncio.wait_for(process.communicate(), 30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert (process.returncode, told.splitlines()) == (2, [told.strip()])
        assert told.startswith(b"adapter: limits.storage: install the extra")

    play(scenario, 40)


def test_e5_a_worker_whose_parent_is_gone_looks_for_it_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a pipe stays readable: it would be told again and again."""

    async def scenario() -> None:
        ours, parents = os.pipe()
        monkeypatch.setattr(drain, "parent_process", lambda: SimpleNamespace(sentinel=ours))
        told = asyncio.Event()

        def heard(*_: object) -> None:
            told.set()

        before = signal.signal(signal.SIGTERM, heard)
        draining = drain.Drain([], Manager({}), delay=0, timeout=0, worker=True)
        draining.listen()
        os.close(parents)
        await asyncio.wait_for(told.wait(), 5)
        assert draining.draining
        assert not asyncio.get_running_loop().remove_reader(ours)
        draining.forget()
        assert signal.signal(signal.SIGTERM, before) is heard
        os.close(ours)

    play(scenario)


def test_e2_a_second_signal_does_not_wait_for_load_balancers() -> None:
    async def scenario() -> None:
        stopped: list[str] = []
        draining = drain.Drain([], Manager({}), delay=3600, timeout=3600)
        draining.begin(signal.SIGTERM, lambda: stopped.append("first"))
        assert (draining.draining, stopped) == (True, [])
        assert 3600 < draining.left <= 7200
        draining.begin(signal.SIGTERM, lambda: stopped.append("second"))
        assert stopped == ["second"]

    play(scenario)


def test_e1_a_background_stream_that_was_read_of_finishes_while_the_server_drains(tmp_path: Path) -> None:
    """Its client has left, as it may; nobody else could say the same from the start."""

    async def scenario() -> None:
        script: Script = [*begun("chat"), Sleep(1.0), event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with Upstream(script) as up:
            async with _served(up.url, f"ADAPTER_STORE__URL=sqlite:///{tmp_path}/store.db") as (process, client):
                reader, writer = await client.open(ask_bytes("responses", stream=True, background=True))
                await reader.readuntil(b"response.output_text.delta")
                writer.transport.abort()
                process.send_signal(signal.SIGTERM)
                assert await _gone(process) in (0, -signal.SIGTERM)
        with closing(sqlite3.connect(tmp_path / "store.db")) as database:
            assert database.execute("SELECT status FROM responses").fetchall() == [("completed",)]

    play(scenario, 40)


def test_e1_a_server_that_drains_leaves_queued_responses_to_others(tmp_path: Path) -> None:
    """As another one gives them back that goes at the same time: begun here, they would fail at the deadline."""
    url = f"sqlite:///{tmp_path}/store.db"

    async def scenario() -> None:
        script: Script = [*begun("chat"), Sleep(3.0), event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with Upstream(script, [Stall()]) as up:
            async with _served(up.url, f"ADAPTER_STORE__URL={url}") as (process, client):
                reader, writer = await client.open(ask_bytes("responses", stream=True, store=False))
                await reader.readuntil(b"response.output_text.delta")
                process.send_signal(signal.SIGTERM)
                with suppress(ConnectionError, asyncio.IncompleteReadError):
                    while True:
                        await client.get("/livez")
                store = Store(url)
                queued = {"id": "resp_1", "status": "queued", "background": True}
                asked = {"body": {"model": "m", "input": "x", "background": True}}
                await store.save_response("default", queued, input=[], request=asked)
                assert b"response.completed" in await asyncio.wait_for(reader.read(), 10)
                writer.close()
                assert await _gone(process) in (0, -signal.SIGTERM)
                job = await store.claim("another", lease=30)
                assert job is not None
                assert (job.id, job.attempt) == ("resp_1", 1)
                await store.close()

    play(scenario, 40)


def test_e1_what_still_runs_at_the_deadline_fails_explicitly(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream([*begun("chat"), Stall()], [Stall()]) as up:
            options = ("ADAPTER_SERVER__DRAIN_TIMEOUT=0.5", f"ADAPTER_STORE__URL=sqlite:///{tmp_path}/store.db")
            async with _served(up.url, *options) as (process, client):
                streaming, _ = await client.open(ask_bytes("responses", stream=True))
                await streaming.readuntil(b"response.output_text.delta")
                waiting, _ = await client.open(ask_bytes("chat"))
                await asyncio.sleep(0.3)
                process.send_signal(signal.SIGTERM)
                rest = await asyncio.wait_for(streaming.read(), 5)
                assert b"server_shutting_down" in rest
                assert rest.count(b"event: response.failed") == 1
                refused = await asyncio.wait_for(read_response(waiting), 5)
                assert (refused.status, refused.json["error"]["code"]) == (503, "server_shutting_down")
                assert await _gone(process) in (0, -signal.SIGTERM)
        with closing(sqlite3.connect(tmp_path / "store.db")) as database:
            assert database.execute("SELECT status FROM responses").fetchall() == [("failed",)]

    play(scenario, 40)


def test_e2_a_second_ctrl_c_ends_it_at_once_and_without_a_traceback() -> None:
    async def scenario() -> None:
        async with Upstream([*begun("chat"), Stall()]) as up:
            async with _served(up.url) as (process, client):
                reader, _ = await client.open(ask_bytes("responses", stream=True))
                await reader.readuntil(b"response.output_text.delta")
                process.send_signal(signal.SIGINT)
                with suppress(ConnectionError, asyncio.IncompleteReadError):  # refused, or closed in the backlog
                    while True:
                        await client.get("/livez")
                process.send_signal(signal.SIGINT)
                assert b"server_shutting_down" in await asyncio.wait_for(reader.read(), 5)
                assert await _gone(process) in (0, -signal.SIGINT)
                assert process.stderr is not None
                assert await process.stderr.read() == b""

    play(scenario, 40)


def test_e1_readiness_turns_before_the_listener_closes() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up:
            async with _served(up.url, "ADAPTER_SERVER__DRAIN_DELAY=1") as (process, client):
                assert (await client.get("/readyz")).status == 200
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.3)
                assert ((await client.get("/readyz")).status, (await client.get("/livez")).status) == (503, 200)
                assert await _gone(process) in (0, -signal.SIGTERM)

    play(scenario, 40)
