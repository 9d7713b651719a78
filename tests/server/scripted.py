"""A scripted upstream: a raw socket server that plays byte steps, and remembers what it saw.

    Script(head(200, "text/event-stream"), event({...}), Sleep(0.1), Reset())

Each connection plays the next script (the last one again and again) after it has read one whole request; a script that ends
without closing keeps the connection open for the next request.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson


@dataclass(frozen=True)
class Sleep:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Until:
    """Do nothing until that happens."""

    happened: asyncio.Event


@dataclass(frozen=True)
class Stall:
    """Say nothing more until the peer closes."""


@dataclass(frozen=True)
class Reset:
    """Break the connection with a TCP reset."""


@dataclass(frozen=True)
class Close:
    """Close the connection."""


@dataclass(frozen=True)
class HalfClose:
    """Send the end of the stream, go on reading."""


Step: TypeAlias = bytes | Sleep | Until | Stall | Reset | Close | HalfClose
Script: TypeAlias = list[Step]


@dataclass
class Seen:
    """One request as it arrived, and when its connection was closed by the peer."""

    line: str
    headers: dict[str, str]
    body: bytes
    arrived: float
    closed: float | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Upstream:
    """The server; an async context manager."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.scripts = list(scripts)
        self.tls = tls
        self.seen: list[Seen] = []
        self.connections = 0
        self.port = 0
        self.arrived = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http{'' if self.tls is None else 's'}://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Upstream:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:]) if k}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        seen = Seen(head[0], headers, body, time.monotonic())
        self.seen.append(seen)
        self.arrived.set()
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        watching = asyncio.ensure_future(reader.read(1)) if any(isinstance(s, Stall) for s in script) else None
        try:
            for step in script:
                if not await self._play(step, writer, seen, watching):
                    return False
        except ConnectionError:
            seen.closed = seen.closed or time.monotonic()
            seen.finished.set()
            return False
        finally:
            if watching is not None:
                watching.cancel()
        return True

    async def _play(
        self, step: Step, writer: asyncio.StreamWriter, seen: Seen, watching: asyncio.Future[bytes] | None
    ) -> bool:
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Until(happened):
                await happened.wait()
            case Stall():
                assert watching is not None
                try:
                    await watching
                finally:
                    seen.closed = time.monotonic()
                    seen.finished.set()
                return False
            case Reset():
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            case Close():
                writer.close()
                return False
            case HalfClose():
                writer.write_eof()
        return True


def head(status: int, content_type: str | None = "application/json", *fields: str, length: int | None = None) -> bytes:
    """A response head; chunked unless a length is given."""
    lines = [f"HTTP/1.1 {status} X", *fields]
    if content_type:
        lines.append(f"content-type: {content_type}")
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def piece(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


END = b"0\r\n\r\n"


def event(data: Any, name: str | None = None) -> bytes:
    """One server-sent event as one chunk."""
    raw = data if isinstance(data, bytes) else orjson.dumps(data)
    return piece((b"event: " + name.encode() + b"\n" if name else b"") + b"data: " + raw + b"\n\n")


def json_reply(value: Any, status: int = 200, *fields: str) -> bytes:
    """A whole JSON answer."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return head(status, "application/json", *fields, length=len(body)) + body


SSE = head(200, "text/event-stream")


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **extra: Any) -> dict[str, Any]:
    """A Chat chunk."""
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
    } | extra


def chat_reply(text: str = "Hello", **extra: Any) -> dict[str, Any]:
    """A plain Chat answer."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    } | extra


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chat_stream(*texts: str) -> Script:
    """A whole good Chat stream."""
    return [
        SSE,
        event(chunk({"role": "assistant", "content": ""})),
        *(event(chunk({"content": text})) for text in texts),
        event(chunk({}, "stop")),
        event({**chunk(), "choices": [], "usage": USAGE}),
        event(b"[DONE]"),
        END,
    ]


def response(text: str = "Hello", id: str = "resp_up1", status: str = "completed") -> dict[str, Any]:
    """A plain Responses answer."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"type": "message", "id": "msg_up1", "role": "assistant", "status": status, "content": [part]}
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }
    return {
        "id": id,
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": "m",
        "output": [message],
        "usage": usage,
        "error": None,
        "incomplete_details": None,
    }


def responses_events(text: str = "Hello", id: str = "resp_up1") -> list[dict[str, Any]]:
    """The events of a whole good Responses stream."""
    whole = response(text, id)
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    message = whole["output"][0]
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    at = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": message | {"status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **at, "part": empty},
        {"type": "response.output_text.delta", **at, "delta": text, "logprobs": []},
        {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": message["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": whole},
    ]
    return [entry | {"sequence_number": number} for number, entry in enumerate(events)]


def responses_stream(text: str = "Hello", id: str = "resp_up1") -> Script:
    """A whole good Responses stream."""
    return [SSE, *(event(entry, entry["type"]) for entry in responses_events(text, id)), END]
