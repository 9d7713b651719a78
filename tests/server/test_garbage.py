"""A law of the house: what a request leaves is freed when it ends. Objects in a circle would wait for the garbage collector,
which has to look through everything younger to find them: that was an eighth of a plain request's CPU."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from types import FunctionType

import pytest

from tests.server.harness import adapter, play, upstream
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
            for _ in range(3):  # caches fill
                assert (await client.ask(client_speaks, stream=stream, **extra)).status == 200
            await asyncio.sleep(0.1)
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                for _ in range(ROUNDS):
                    await client.ask(client_speaks, stream=stream, **extra)
                await asyncio.sleep(0.1)
                gc.collect()
                named = [each if isinstance(each, FunctionType) else type(each) for each in gc.garbage]
                left = Counter(each.__qualname__ for each in named if each.__module__.startswith(OURS))
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()
            assert not {name: count for name, count in left.items() if count >= ROUNDS}

    play(scenario)
