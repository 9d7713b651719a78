"""Chat chunks, replies and exchanges in few words, for the tests of this folder."""

from __future__ import annotations

from typing import Any

import orjson

from adapter.dialects import chat
from adapter.dialects.base import StreamReader
from adapter.hub.events import Event
from adapter.hub.request import Exchange, Request, ToolKind, ToolRef
from adapter.wire.sse import framed
from tests.playbook import Input, chunk

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m"}

TOOLS = {
    "patch": ToolRef(ToolKind.CUSTOM, "apply_patch", patch=True),
    "agents__send": ToolRef(ToolKind.FUNCTION, "send", "agents", plain=True),
    "mcp__files__read": ToolRef(ToolKind.FUNCTION, "read", "mcp__files"),
    "search": ToolRef(ToolKind.TOOL_SEARCH, "tool_search"),
    "local": ToolRef(ToolKind.LOCAL_SHELL, "local_shell"),
    "run": ToolRef(ToolKind.SHELL, "shell"),
    "ap": ToolRef(ToolKind.APPLY_PATCH, "apply_patch"),
    "later": ToolRef(ToolKind.FUNCTION, "later", "later", found={"type": "function", "name": "later"}),
}


def exchange(dialect: Any = "responses", carry: Any = None, include_usage: bool = True, **body: Any) -> Exchange:
    offered = {"tools": [{"type": "function", "name": "f"}]} if dialect == "chat" else {}
    request = Request({"model": "asked", "input": [], **offered, **body}, dialect=dialect, include_usage=include_usage)
    request.carry = carry or {}
    return Exchange(request=request, tools=TOOLS)


def chunk_bytes(delta: Any = None, finish: Any = None, *, choice: dict[str, Any] | None = None, **head: Any) -> bytes:
    """One chunk with one choice; `head` overrides or adds top-level keys."""
    choices = [{"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish, **(choice or {})}]
    return orjson.dumps({**HEAD, "choices": choices, **head})


def say(delta: Any = None, finish: Any = None, **more: Any) -> Input:
    return chunk(chunk_bytes(delta, finish, **more))


def call(
    index: int | None = None, id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    """One fragment of a tool call with the keys that are given."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    facts: dict[str, Any] = {key: value for key, value in (("index", index), ("id", id)) if value is not None}
    return {**facts, "function": function}


def calling(*fragments: dict[str, Any]) -> bytes:
    return chunk_bytes({"tool_calls": list(fragments)})


def read_all(
    *data: bytes, asked: Exchange | None = None, end: bytes | None = b"[DONE]"
) -> tuple[list[Event], StreamReader]:
    """All events of a stream of data lines, ended by `[DONE]` unless told otherwise, then by the end of the stream."""
    reader = chat.stream_reader(asked or exchange())
    events = [event for line in data for event in reader.feed(None, line)]
    if end is not None:
        events += reader.feed(None, end)
    return events + reader.close(), reader


def write_all(events: list[Event], asked: Exchange) -> bytes:
    """The bytes that a Chat client gets."""
    writer = chat.stream_writer(asked)
    return b"".join(framed(*frame) for event in events for frame in writer.feed(event))


def kinds(reader: StreamReader) -> list[str]:
    return [anomaly.kind for anomaly in reader.anomalies]
