"""A client of sockets, and upstreams that say something else in every turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.server.harness import Client
from tests.server.scripted import (
    END,
    SSE,
    USAGE,
    Script,
    Until,
    chunk,
    event,
    responses_events,
    responses_stream,
)

DIALECTS = ("chat", "responses")
dialects = pytest.mark.parametrize("speaks", DIALECTS)
ENDS = {"response.completed", "response.incomplete", "response.failed"}


@asynccontextmanager
async def opened(client: Client, path: str = "/v1/responses", **headers: str) -> AsyncIterator[ClientConnection]:
    """A socket at the adapter."""
    fields = {name if name == "session_id" else name.replace("_", "-"): value for name, value in headers.items()}
    url = f"ws://127.0.0.1:{client.port}{path}"
    async with connect(url, additional_headers=fields, proxy=None, max_size=None, close_timeout=1) as ws:
        yield ws


async def say(ws: ClientConnection, **fields: Any) -> None:
    """One `response.create`."""
    await ws.send(orjson.dumps({"type": "response.create", "model": "m", **fields}).decode())


async def told(ws: ClientConnection) -> Any:
    """The next message; every one of them is text."""
    message = await ws.recv()
    assert isinstance(message, str)
    return orjson.loads(message)


async def answer(ws: ClientConnection) -> list[Any]:
    """The messages of one answer."""
    events = []
    while True:
        events.append(await told(ws))
        if events[-1]["type"] in ENDS or "status" in events[-1]:
            return events


async def ask(ws: ClientConnection, **fields: Any) -> list[Any]:
    await say(ws, **{"input": "Hi", "store": False, **fields})
    return await answer(ws)


def refused(events: list[Any]) -> tuple[int, str]:
    """Status and code of an answer that is one error."""
    (error,) = events
    assert error["type"] == "error"
    assert set(error["error"]) == {"message", "type", "param", "code"}
    return error["status"], error["error"]["code"]


def good(speaks: str, *texts: str) -> list[Script]:
    """One good stream for each text; each with an id of its own."""
    if speaks == "responses":
        return [responses_stream(text, f"resp_up{number}") for number, text in enumerate(texts)]
    scripts: list[Script] = []
    for number, text in enumerate(texts):
        name = f"chatcmpl-{number}"
        chunks = [
            chunk({"content": text}, id=name),
            chunk({}, "stop", id=name),
            {**chunk(id=name), "choices": [], "usage": USAGE},
        ]
        scripts.append([SSE, *map(event, chunks), event(b"[DONE]"), END])
    return scripts


def begun(speaks: str) -> Script:
    """A stream that has begun to answer."""
    if speaks == "chat":
        return [SSE, event(chunk({"role": "assistant", "content": "Hel"}))]
    return [SSE, *(event(e, e["type"]) for e in responses_events()[:5])]


def history(seen: Any) -> list[str]:
    """The texts of a conversation as an upstream of either dialect was sent it."""
    texts = []
    turns = seen.json.get("messages") or seen.json["input"]
    for turn in [{"content": turns}] if isinstance(turns, str) else turns:
        content = turn.get("content")
        texts.append(content if isinstance(content, str) else "".join(part["text"] for part in content))
    return texts


def only_text(events: list[Any]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


def held(speaks: str, text: str, until: asyncio.Event, id: str = "resp_up0") -> Script:
    """A good stream that goes on behind its first text when that has happened."""
    if speaks == "responses":
        events = [event(e, e["type"]) for e in responses_events(text, id)]
        return [SSE, *events[:5], Until(until), *events[5:], END]
    first, last = event(chunk({"content": text}, id=f"chatcmpl-{id}")), event(chunk({}, "stop", id=f"chatcmpl-{id}"))
    return [SSE, first, Until(until), last, event(b"[DONE]"), END]


async def steer(ws: ClientConnection, response: str, said: Any) -> None:
    frame = {"type": "response.steer", "previous_response_id": response, "input": said}
    await ws.send(orjson.dumps(frame).decode())


async def until_text(ws: ClientConnection) -> str:
    """The id of a response that has begun to speak."""
    while (message := await told(ws))["type"] != "response.output_text.delta":
        if message["type"] == "response.created":
            response: str = message["response"]["id"]
    return response
