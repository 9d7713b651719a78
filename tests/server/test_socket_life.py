"""The life of a WebSocket: leaving, waiting, ageing, the drain."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.server.harness import Client, adapter, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    Script,
    Sleep,
    Stall,
    Upstream,
    chunk,
    event,
)
from tests.server.sockets import answer, ask, begun, dialects, good, only_text, opened, refused, say, told

# ---------------------------------------------------------------------------------------------------- time, and leaving


@pytest.mark.parametrize("phase", ["before_the_head", "behind_the_head", "in_the_middle"])
@dialects
def test_e3_a_client_that_leaves_closes_its_upstream(speaks: str, phase: str) -> None:
    script: Script = {
        "before_the_head": [Stall()],
        "behind_the_head": [SSE, Stall()],
        "in_the_middle": [*begun(speaks), Stall()],
    }[phase]

    async def scenario() -> None:
        async with Upstream(script) as up, adapter(upstream(up.url, speaks)) as client, opened(client) as ws:
            await say(ws, input="Hi")
            await up.arrived.wait()
            await asyncio.sleep(0.05)
            left = time.monotonic()
            ws.transport.abort()
            await asyncio.wait_for(up.seen[0].finished.wait(), 2)
            assert up.seen[0].closed is not None
            assert up.seen[0].closed - left < 1

    play(scenario)


def test_a_client_that_closes_properly_closes_its_upstream_too() -> None:
    async def scenario() -> None:
        async with Upstream([*begun("chat"), Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            async with opened(client) as ws:
                await say(ws, input="Hi")
                await up.arrived.wait()
            await asyncio.wait_for(up.seen[0].finished.wait(), 1)

    play(scenario)


def test_b3_a_client_that_does_not_read_is_given_up() -> None:
    async def scenario() -> None:
        flood: Script = [SSE, *[event(chunk({"content": os.urandom(30_000).hex()}))] * 1500, Stall()]
        async with (
            Upstream(flood) as up,
            adapter(upstream(up.url, "chat"), keepalive=0.1, write_timeout=0.3) as client,
            opened(client) as ws,
        ):
            ws.transport.pause_reading()
            await say(ws, input="Hi")
            async with asyncio.timeout(5):
                while not (up.seen and up.seen[0].closed):
                    await asyncio.sleep(0.05)
            ws.transport.abort()

    play(scenario)


@pytest.mark.parametrize(("originator", "pinged"), [("codex_exec", True), ("someone", False)])
@dialects
def test_only_codex_gets_pings_with_data(speaks: str, originator: str, pinged: bool) -> None:
    async def scenario() -> None:
        whole = good(speaks, "Hello")[0]
        said = 4 if speaks == "responses" else 2  # behind what only says that there will be an answer
        script: Script = [*whole[:said], Sleep(0.4), *whole[said:]]
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, speaks), keepalive=0.05, ping_after=0.15) as client,
            opened(client, originator=originator) as ws,
        ):
            events = await ask(ws)
            assert ("adapter:ping" in [e["type"] for e in events]) is pinged
            assert only_text(events) == "Hello"
            numbers = [e["sequence_number"] for e in events]
            assert numbers == (sorted(numbers) if speaks == "responses" else list(range(len(events))))

    play(scenario)


@pytest.mark.parametrize(("originator", "pinged"), [("codex_exec", True), ("someone", False)])
@dialects
def test_codex_is_pinged_while_nothing_is_answered_yet(speaks: str, originator: str, pinged: bool) -> None:
    async def scenario() -> None:
        script: Script = [Sleep(0.5), *good(speaks, "Hello")[0]]
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, speaks), ping_after=0.15) as client,
            opened(client, originator=originator) as ws,
        ):
            events = await ask(ws, truncation="auto")
            assert (events[0]["type"] == "adapter:ping") is pinged
            assert ("headers" in events[0]) is (speaks == "chat")
            assert only_text(events) == "Hello"

    play(scenario)


def test_what_a_frame_holds_is_reserved_from_its_callers_limits_and_paid_for_by_one_who_leaves() -> None:
    """As over HTTP: the size of what is asked is known before anything is answered."""
    secret = f"ak-{'k' * 30}"
    rules = {
        "keys": [{"id": "one", "key": secret, "owner": "alice", "groups": ["all"]}],
        "groups": [{"name": "all", "limits": {"tokens_per_day": 10_000}}],
    }

    async def scenario() -> None:
        async with (
            Upstream([*begun("chat"), Stall()]) as up,
            adapter(upstream(up.url, "chat", api_key="none"), access=rules) as client,
        ):
            async with opened(client, authorization=f"Bearer {secret}") as ws:
                await say(ws, input="x" * 20_000, store=False)
                while (await told(ws))["type"] != "response.output_text.delta":
                    pass
            await up.seen[0].finished.wait()
            async with opened(client, authorization=f"Bearer {secret}") as ws:
                assert refused(await ask(ws, input="x" * 30_000)) == (429, "rate_limit_exceeded")
            assert len(up.seen) == 1

    play(scenario)


def test_websocket_connection_limit_reached() -> None:
    async def scenario() -> None:
        async with (
            Upstream([Stall()]) as up,
            adapter(upstream(up.url, "chat"), websocket_limit=0.2) as client,
            opened(client) as ws,
        ):
            assert refused([await told(ws)]) == (400, "websocket_connection_limit_reached")
            with pytest.raises(ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    play(scenario)


def test_the_running_answer_outlives_the_limit() -> None:
    async def scenario() -> None:
        slow: Script = [*begun("chat"), Sleep(0.4), event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with (
            Upstream(slow) as up,
            adapter(upstream(up.url, "chat"), websocket_limit=0.2) as client,
            opened(client) as ws,
        ):
            assert (await ask(ws))[-1]["type"] == "response.completed"
            assert refused([await told(ws)]) == (400, "websocket_connection_limit_reached")

    play(scenario)


# ------------------------------------------------------------------------------------------------------------- the drain


@asynccontextmanager
async def served(url: str, **options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Client]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTER_")} | {"PYTHONUNBUFFERED": "1"}
    environment |= {f"ADAPTER_SERVER__{name.upper()}": value for name, value in options.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "adapter", "serve", "--upstream", url, "--dialect", "chat", "--port", "0",
        cwd=Path(__file__).parents[2], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+)", (await process.stdout.readline()).decode())
        assert found is not None
        yield process, Client(int(found[1]))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def closed_with(ws: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        await ws.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_e1_a_running_answer_finishes_while_the_server_drains() -> None:
    async def scenario() -> None:
        slow: Script = [*begun("chat"), Sleep(1.0), event(chunk({"content": "lo"})), event(chunk({}, "stop")), END]
        async with (
            Upstream(slow) as up,
            served(up.url) as (process, client),
            opened(client) as ws,
            opened(client) as idle,
        ):
            await say(ws, input="Hi")
            while (await told(ws))["type"] != "response.output_text.delta":
                pass
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(closed_with(idle), 0.8) == 1012
            assert (await answer(ws))[-1]["type"] == "response.completed"
            assert await closed_with(ws) == 1012
            assert await asyncio.wait_for(process.wait(), 10) in (0, -signal.SIGTERM)
            assert process.stderr is not None
            assert await process.stderr.read() == b""

    play(scenario, 40)


def test_text_that_is_no_unicode_closes_the_connection_and_is_no_defect_of_the_servers() -> None:
    """It was a traceback on stderr for each."""

    async def scenario() -> None:
        async with Upstream([Stall()]) as up, served(up.url) as (process, client):
            async with opened(client) as ws:
                await ws.send(b"\xff", text=True)
                assert await closed_with(ws) == 1007
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            assert await process.stderr.read() == b""

    play(scenario, 40)


def test_e1_what_still_runs_at_the_deadline_fails_explicitly() -> None:
    async def scenario() -> None:
        async with (
            Upstream([*begun("chat"), Stall()], [Stall()]) as up,
            served(up.url, drain_timeout="0.5") as (process, client),
            opened(client) as ws,
            opened(client) as waiting,
        ):
            await say(ws, input="Hi")
            while (told_first := await told(ws))["type"] != "response.output_text.delta":
                pass
            await say(waiting, input="Hi")
            await asyncio.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            events = await answer(ws)
            assert [e["type"] for e in events[-2:]] == ["error", "response.failed"]
            assert events[-2]["error"]["code"] == "server_shutting_down"
            told_before = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
            assert events[-1]["response"]["output"][0]["content"][0]["text"] == told_first["delta"] + told_before
            assert refused(await answer(waiting)) == (503, "server_shutting_down")
            assert [await closed_with(ws), await closed_with(waiting)] == [1012, 1012]
            assert await asyncio.wait_for(process.wait(), 10) in (0, -signal.SIGTERM)

    play(scenario, 40)


def test_e1_a_second_signal_stops_at_once_what_runs_on_a_socket_and_what_waits_there() -> None:
    async def scenario() -> None:
        async with (
            Upstream([*begun("chat"), Stall()]) as up,
            served(up.url, drain_delay="60", drain_timeout="60") as (process, client),
            opened(client) as ws,
        ):
            await say(ws, input="A")
            await say(ws, input="B")
            while (await told(ws))["type"] != "response.output_text.delta":
                pass
            process.send_signal(signal.SIGTERM)
            while (await client.get("/readyz")).status != 503:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            assert (await answer(ws))[-1]["type"] == "response.failed"
            assert refused(await answer(ws)) == (503, "server_shutting_down")
            assert await closed_with(ws) == 1012
            assert await asyncio.wait_for(process.wait(), 10) in (0, -signal.SIGTERM)
            assert len(up.seen) == 1

    play(scenario, 40)
