"""A law of the house: what a request leaves is freed when it ends. Objects in a circle would wait for the garbage collector,
which has to look through everything younger to find them: that was an eighth of a plain request's CPU."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from itertools import count
from types import FunctionType
from typing import Any

import pytest

from tests.server.harness import Client, Response, adapter, play, upstream
from tests.server.scripted import (
    Script,
    Sleep,
    Upstream,
    chat_reply,
    chat_stream,
    json_reply,
    response,
    responses_stream,
)


def slowly(script: Script) -> Script:
    """In a read for every event."""
    return [part for step in script for part in (step, Sleep(0.005))]


SCRIPTS = {
    ("chat", False): [json_reply(chat_reply())],
    ("chat", True): slowly(chat_stream("Hello", " there", " you")),
    ("responses", False): [json_reply(response())],
    ("responses", True): slowly(responses_stream()),
}
OURS = "adapter."
ROUNDS = 5


async def left(client: Client, dialect: str, **asked: Any) -> dict[str, int]:
    """What the rounds of this request leave."""
    for _ in range(3):  # caches fill
        await client.ask(dialect, **asked)
    await asyncio.sleep(0.1)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(ROUNDS):
            await client.ask(dialect, **asked)
        await asyncio.sleep(0.1)
        gc.collect()
        named = [each if isinstance(each, FunctionType) else type(each) for each in gc.garbage]
        found = Counter(each.__qualname__ for each in named if each.__module__.startswith(OURS))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    return {name: count for name, count in found.items() if count >= ROUNDS}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("upstream_speaks", ["chat", "responses"])
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("extra", [{"store": False}, {"store": True}], ids=["passing", "stored"])
def test_a_served_request_leaves_nothing_to_the_garbage_collector(
    client_speaks: str, upstream_speaks: str, stream: bool, extra: dict[str, bool]
) -> None:
    async def scenario() -> None:
        async with (
            Upstream(SCRIPTS[upstream_speaks, stream]) as up,
            adapter(upstream(up.url, upstream_speaks)) as client,
        ):
            assert (await client.ask(client_speaks, stream=stream, **extra)).status == 200
            assert not await left(client, client_speaks, stream=stream, **extra)

    play(scenario)


@pytest.mark.parametrize("key", ["new", "the same"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_request_that_its_client_names_leaves_nothing_either(stream: bool, key: str) -> None:
    """Whether it is answered, told again what was answered, or refused because that was a stream."""

    async def scenario() -> None:
        async with Upstream(SCRIPTS["chat", stream]) as up, adapter(upstream(up.url, "chat")) as client:
            names = count()

            class Naming(Client):
                async def ask(self, dialect: str, *, headers: dict[str, str] | None = None, **extra: Any) -> Response:
                    name = str(next(names)) if key == "new" else key
                    return await super().ask(dialect, headers={"idempotency_key": name}, **extra)

            assert not await left(Naming(client.port), "chat", stream=stream)
            assert len(up.seen) == (3 + ROUNDS if key == "new" else 1)

    play(scenario)


@pytest.mark.parametrize(
    ("script", "status"), [(SCRIPTS["chat", False], 200), ([json_reply({"error": {"message": "no"}}, 429)], 429)]
)
def test_a_request_that_an_upstream_could_not_carry_leaves_nothing_either(script: Script, status: int) -> None:
    """Whether another one answers it, or is to be waited for."""

    async def scenario() -> None:
        async with (
            Upstream(script) as up,
            Upstream() as other,
            adapter(
                upstream(other.url, "responses", "other"), upstream(up.url, "chat", api_key="none"), losses="reject"
            ) as client,
        ):
            assert (await client.ask("chat", seed=1)).status == status
            assert not await left(client, "chat", seed=1)
            assert other.seen == []

    play(scenario)


@pytest.mark.parametrize("status", [400, 429, 500])
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_a_request_that_nobody_answered_leaves_nothing_either(client_speaks: str, status: int) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply({"error": {"message": "no"}}, status)]) as up,
            adapter(upstream(up.url, "chat", api_key="none")) as client,
        ):
            assert not await left(client, client_speaks)

    play(scenario)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("profile", ["llama.cpp", "generic"], ids=["told", "learning"])
def test_a_request_in_simpler_words_leaves_nothing_either(profile: str, status: int) -> None:
    async def scenario() -> None:
        refusal = [json_reply({"error": {"message": "no"}}, 400)]
        async with (
            Upstream(refusal, [json_reply(response())] if status == 200 else refusal) as up,
            adapter(upstream(up.url, "responses", api_key="none", profile=profile)) as client,
        ):
            await client.ask("responses", tools=[{"type": "custom", "name": "p"}])
            assert not await left(client, "responses", tools=[{"type": "custom", "name": "p"}])

    play(scenario)
