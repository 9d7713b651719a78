"""The real server on a real socket, inside the test's own loop, and a raw client for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import uvicorn
from uvicorn.lifespan.on import LifespanOn
from uvicorn.server import ServerState

from adapter.app import create
from adapter.sections import Settings
from adapter.server import settle
from adapter.server.http.joining import JoiningProtocol
from adapter.server.socket.protocol import SocketProtocol
from adapter.telemetry.log import Log, access, log
from tests.configuring import loaded

ASK_CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
ASK_RESPONSES = {"model": "m", "input": "Hi"}
ASK = {"chat": ASK_CHAT, "responses": ASK_RESPONSES}
PATH = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}


_opened: list[asyncio.StreamWriter] = []
"""Client connections of the running scenario."""
_answered: Counter[tuple[str, int]] = Counter()
"""Request ids and statuses of the answers that clients of the running scenario were given."""


def play(scenario: Callable[[], Awaitable[None]], within: float = 20, *, defects: int = 0) -> None:
    """Run one scenario in a loop of its own. Whatever it is about, every answer has an access line of its own, which says the
    status that the client was told, and the server makes as many mistakes as are asked of it: none that only the loop or the server hears of."""
    lines: Counter[tuple[str, int]] = Counter()
    mistakes: list[dict[str, Any]] = []
    _answered.clear()

    def line(entry: dict[str, Any]) -> None:
        lines[entry["request_id"], entry["status"]] += 1
        assert entry["outcome"] != "ok" or (entry["status"] or 200) < 400, entry
        access(entry)

    def error(own: Log, event: str, **fields: Any) -> None:
        mistakes.extend([fields] if event == "defect" and own is log else [])
        own._say("error", event, fields)

    def unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)
        if not isinstance(context.get("exception"), asyncio.CancelledError):  # a scripted server that was cut short
            mistakes.append(context)

    async def timed() -> None:
        asyncio.get_running_loop().set_exception_handler(unheard)
        try:
            async with asyncio.timeout(within):
                await scenario()
        finally:
            for writer in _opened:
                writer.transport.abort()
            _opened.clear()
            await asyncio.sleep(0.01)  # the transports close in the next round of the loop

    server = logging.getLogger("uvicorn.error")
    told = server.error

    def trace(message: str, *args: Any, exc_info: Any = None) -> None:
        told(message, *args, exc_info=exc_info)
        mistakes.extend([] if exc_info is None else [{"trace": exc_info}])

    with (
        patch.object(settle, "access", line),
        patch.object(Log, "error", error),
        patch.object(server, "error", trace),
    ):
        asyncio.run(timed())
    logged = {one[0] for one in lines}
    assert not [one for one in _answered - lines if one[0] in logged]
    assert len(mistakes) == defects, mistakes


def upstream(url: str, dialect: str, name: str = "up", **keys: Any) -> dict[str, Any]:
    """One upstream section."""
    return {"name": name, "base_url": url, "dialect": dialect, **keys}


def configured(
    *upstreams: dict[str, Any],
    compaction: Any = None,
    sealing: Any = None,
    store: Any = None,
    access: dict[str, Any] | None = None,
    **server: Any,
) -> Settings:
    """The settings of an adapter over these upstreams, the first one first unless they say otherwise."""
    written = {
        "compaction": compaction,
        "sealing": sealing,
        "store": {"mode": "off"} if store is None else store,
    }
    written |= access or {}  # keys, groups, limits, metrics
    sections = {name: section for name, section in written.items() if section}
    placed = [{"priority": place} | each for place, each in enumerate(upstreams)]
    return loaded(server=server, upstreams=placed, **sections)


@asynccontextmanager
async def adapter(
    *upstreams: dict[str, Any], again: Callable[[], Settings] | None = None, **sections: Any
) -> AsyncIterator[Client]:
    """The adapter of the settings that `configured` makes of these; a client for it. `again`: those that SIGHUP brings."""
    settings = configured(*upstreams, **sections)
    config = uvicorn.Config(
        create(settings, again),
        interface="asgi3",
        http=JoiningProtocol,
        ws=SocketProtocol,
        ws_max_size=settings.server.body_limit,
        lifespan="on",
        log_config=None,
        access_log=False,
    )
    config.load()
    state, lifespan = ServerState(), LifespanOn(config)
    await lifespan.startup()
    assert not lifespan.should_exit
    listening = await asyncio.get_running_loop().create_server(
        lambda: JoiningProtocol(config, state, {}), "127.0.0.1", 0
    )
    try:
        yield Client(listening.sockets[0].getsockname()[1])
    finally:
        listening.close()
        for connection in list(state.connections):
            connection.transport.abort()  # type: ignore[union-attr]
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=3)
        assert not state.tasks, "an answer outlived its client"
        await lifespan.shutdown()


@dataclass
class Response:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    whole: bool = False
    """The body came to its proper end."""
    times: list[float] = field(default_factory=list)
    """When its pieces arrived."""
    pieces: list[bytes] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of the stream's events, parsed."""
        lines = self.body.split(b"\n")
        return [
            "[DONE]" if line == b"data: [DONE]" else orjson.loads(line[6:])
            for line in lines
            if line.startswith(b"data: ")
        ]

    @property
    def types(self) -> list[str]:
        return [entry["type"] for entry in self.events]


class Client:
    """Speaks HTTP by hand."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        _opened.append(writer)
        writer.write(data)
        await writer.drain()
        return reader, writer

    async def send(self, data: bytes) -> Response:
        """One request as raw bytes, its answer read to the end."""
        reader, writer = await self.open(data)
        try:
            return await read_response(reader)
        finally:
            writer.close()

    async def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        return await self.send(request_bytes(method, path, body, **headers))

    async def get(self, path: str, **headers: str) -> Response:
        return await self.request("GET", path, **headers)

    async def post(self, path: str, value: Any, **headers: str) -> Response:
        body = value if isinstance(value, bytes) else orjson.dumps(value)
        return await self.request("POST", path, body, **{"content_type": "application/json", **headers})

    async def ask(self, dialect: str, *, headers: dict[str, str] | None = None, **extra: Any) -> Response:
        """The small request of a dialect, with further fields."""
        return await self.post(PATH[dialect], ASK[dialect] | extra, **(headers or {}))


def request_bytes(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request; header names with `_` for `-`."""
    lines = [f"{method} {path} HTTP/1.1", "host: x"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body or method == "POST":
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def ask_bytes(dialect: str, **extra: Any) -> bytes:
    """The bytes of a small request."""
    body = orjson.dumps(ASK[dialect] | extra)
    return request_bytes("POST", PATH[dialect], body, content_type="application/json")


async def read_head(reader: asyncio.StreamReader) -> Response:
    """Status and header fields."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:]) if k}
    response = Response(int(lines[0].split()[1]), headers)
    if "x-request-id" in headers:
        _answered[headers["x-request-id"], response.status] += 1
    return response


async def read_response(reader: asyncio.StreamReader) -> Response:
    """One response to its end, proper or not."""
    response = await read_head(reader)
    try:
        if "content-length" in response.headers:
            response.body = await reader.readexactly(int(response.headers["content-length"]))
            response.whole = True
            return response
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            data = (await reader.readexactly(size + 2))[:-2]
            if not size:
                response.whole = True
                return response
            response.times.append(time.monotonic())
            response.pieces.append(data)
            response.body += data
    except (asyncio.IncompleteReadError, ConnectionError):
        return response


def workers_of(parent: int) -> list[int]:
    """The processes that were started by this one to serve."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            started_by = (place / "stat").read_text().rpartition(")")[2].split()[1]
            if int(started_by) == parent and b"spawn_main" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
    return found
