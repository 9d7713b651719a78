"""Conversations with facts in them, and the seven ways in which clients have them compacted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from adapter.conform.compactors import CompactPeer
from tests.server.harness import Client, Response, upstream

FACTS = {"FACT-path", "FACT-port"}
_LOG = "line of output\n" * 2_000 + "the server listens on FACT-port\n"

HISTORY: list[dict[str, Any]] = [
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Set up the project."}]},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "I put it under FACT-path.", "annotations": []}],
    },
    {"type": "function_call", "call_id": "call_1", "name": "shell", "arguments": '{"command":"make run"}'},
    {"type": "function_call_output", "call_id": "call_1", "output": _LOG},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "It runs.", "annotations": []}],
    },
]
ASKS = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What do you know?"}]}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Set up the project."},
    {
        "role": "assistant",
        "content": "I put it under FACT-path.",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "shell", "arguments": '{"command":"make run"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": _LOG},
    {"role": "assistant", "content": "It runs."},
    {"role": "user", "content": "What do you know?"},
]
TOOL = {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}
COMPACT = "/v1/responses/compact"
KEY = "A" * 43 + "="


@dataclass(frozen=True)
class Way:
    """How one kind of client asks, and what of the answer it gives back."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    returned: Callable[[Any], list[dict[str, Any]]] | None
    """None: the answer itself goes on, and nothing is given back."""
    streams: bool = False


def _all(answer: Any) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = answer["output"]
    return output


def _as_codex_keeps(answer: Any) -> list[dict[str, Any]]:
    return [
        item
        for item in answer["output"]
        if item["type"] in ("compaction", "compaction_summary") or item.get("role") in ("user", "assistant")
    ]


WAYS: dict[str, Way] = {
    "openai": Way(COMPACT, {"model": "m", "input": HISTORY, "instructions": "Help."}, {}, _all),
    "gogogotoken": Way(
        COMPACT,
        {"model": "m", "input": HISTORY, "prompt_cache_key": "k"},
        {"x_adapter_compact_reply": "response"},
        _all,
    ),
    "gomodel": Way(
        COMPACT,
        {"model": "m", "input": HISTORY, "metadata": {"k": "v"}, "provider": "up"},
        {"x_adapter_compact_reply": "gomodel"},
        _all,
    ),
    "visioncoder": Way(COMPACT, {"model": "m", "messages": MESSAGES, "max_tokens": 100}, {}, None, streams=True),
    "codex_old": Way(
        COMPACT,
        {"model": "m", "input": HISTORY, "instructions": "Help.", "tools": [TOOL], "parallel_tool_calls": True},
        {"originator": "codex_exec"},
        _as_codex_keeps,
    ),
    "trigger": Way(
        "/v1/responses",
        {
            "model": "m",
            "input": [*HISTORY, {"type": "compaction_trigger"}],
            "tools": [TOOL],
            "store": False,
            "include": ["reasoning.encrypted_content"],
        },
        {},
        _all,
        streams=True,
    ),
    "threshold": Way(
        "/v1/responses",
        {
            "model": "m",
            "input": [*HISTORY, ASKS],
            "context_management": [{"type": "compaction", "compact_threshold": 1000}],
        },
        {},
        _all,
        streams=True,
    ),
}
CELLS = [(way, stream) for way, how in WAYS.items() for stream in ((False, True) if how.streams else (False,))]


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """An ASGI application on a real socket; its base URL."""
    config = uvicorn.Config(
        app, interface="asgi3", http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
    )
    config.load()
    state = ServerState()
    listening = await asyncio.get_running_loop().create_server(
        lambda: HttpToolsProtocol(config, state, {}), "127.0.0.1", 0
    )
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    finally:
        listening.close()
        for connection in list(state.connections):
            connection.transport.abort()  # type: ignore[union-attr]
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=3)


@asynccontextmanager
async def peered(peer: CompactPeer, name: str = "up", **keys: Any) -> AsyncIterator[dict[str, Any]]:
    """The upstream section of a peer that is being served."""
    async with served(peer.app) as url:
        yield upstream(url, peer.dialect, name, **({"compact": peer.compact} | keys))


async def asked(client: Client, way: Way, stream: bool = False) -> Response:
    """The client's call."""
    body = way.body | ({"stream": True} if stream else {})
    return await client.post(way.path, body, **way.headers)


def final(answer: Response) -> Any:
    """The whole answer: the JSON body, or what the stream ends with."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return answer.json
    if answer.events[-1] != "[DONE]":
        assert answer.events[-1]["type"] == "response.completed", answer.body
        return answer.events[-1]["response"]
    chunks = list(answer.events[:-1])
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    return {"object": "chat.completion", "choices": [{"message": {"content": text}}]}


def told(answer: Any) -> set[str]:
    """The facts that the model says it knows."""
    said = (
        answer["choices"][0]["message"]["content"]
        if "choices" in answer
        else [item for item in answer["output"] if item["type"] == "message" and item["role"] == "assistant"]
    )
    return {fact for fact in FACTS if fact in json.dumps(said)}


async def continued(client: Client, answer: Any, way: Way) -> Any:
    """The next turn of a client that gives back what it got and nothing from before."""
    assert way.returned is not None
    found = await client.post("/v1/responses", {"model": "m", "input": [*way.returned(answer), ASKS]})
    assert found.status == 200, found.body
    return found.json
