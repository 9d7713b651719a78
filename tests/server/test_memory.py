"""What a stream holds while nothing comes: its request is not part of it."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from tests.server.harness import ASK, Client, adapter, ask_bytes, play, upstream
from tests.server.scripted import SSE, Script, Stall, Upstream, chunk, event, json_reply, responses_events

LONG = 4_000_000
HELD = 100_000
"""Bytes that a stream may take for all else."""


def began(speaks: str) -> Script:
    """The beginning of a stream, behind which nothing comes."""
    if speaks == "responses":
        return [SSE, *(event(e, e["type"]) for e in responses_events("Hello")[:5]), Stall()]
    return [SSE, event(chunk({"role": "assistant", "content": "Hello"})), Stall()]


async def waiting(client: Client, speaks: str) -> asyncio.StreamWriter:
    """A client with a long request, whose answer has begun and goes on no more."""
    key = "messages" if speaks == "chat" else "input"
    conversation = [{"role": "user", "content": "y" * LONG}, *({"role": "user", "content": "z"} for _ in range(100))]
    reader, writer = await client.open(ask_bytes(speaks, stream=True, **{key: conversation}))
    await reader.readuntil(b"Hello")
    return writer


async def held(client: Client, speaks: str, up: Upstream, *others: Upstream) -> int:
    """Bytes that such an answer of `up` is held in."""
    (await waiting(client, speaks)).close()  # whatever is made once is made
    await asyncio.wait_for(up.seen[0].finished.wait(), 2)
    for each in (up, *others):
        each.seen.clear()
    tracemalloc.start()
    writer = await waiting(client, speaks)
    for each in (up, *others):
        each.seen.clear()
    await asyncio.sleep(0.05)
    ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/adapter/*")])
    tracemalloc.stop()
    writer.close()
    return sum(trace.size for trace in ours.traces)


@pytest.mark.parametrize("mode", ["off", "client"])
@pytest.mark.parametrize("client_speaks", sorted(ASK))
@pytest.mark.parametrize("upstream_speaks", sorted(ASK))
def test_a_request_is_let_go_when_its_answer_has_begun(
    client_speaks: str, upstream_speaks: str, mode: str, tmp_path: Path
) -> None:
    """Retry and failover end there, and nobody needs it any more."""
    store = {"mode": mode} if mode == "off" else {"mode": mode, "url": f"sqlite:///{tmp_path}/store.db"}

    async def scenario() -> None:
        async with (
            Upstream(began(upstream_speaks)) as up,
            adapter(upstream(up.url, upstream_speaks), store=store) as client,
        ):
            assert await held(client, client_speaks, up) < HELD

    play(scenario)


@pytest.mark.parametrize("client_speaks", sorted(ASK))
@pytest.mark.parametrize("upstream_speaks", sorted(ASK))
def test_a_request_is_let_go_when_another_upstream_has_begun_to_answer_it(
    client_speaks: str, upstream_speaks: str
) -> None:
    """It was written for both of them."""

    async def scenario() -> None:
        async with (
            Upstream([json_reply({"error": {"message": "no"}}, 503)]) as down,
            Upstream(began(upstream_speaks)) as up,
            adapter(upstream(down.url, "chat", "down"), upstream(up.url, upstream_speaks)) as client,
        ):
            assert await held(client, client_speaks, up, down) < HELD

    play(scenario)
