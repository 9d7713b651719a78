"""Whole requests through an application in this process: no socket, an upstream made of bytes.

The loop's connections end in a `Wire`, which answers every request with the parts of `Canned`, one part an iteration of
the loop; the `Client` is a connection of uvicorn's protocol that keeps what is written. Whatever server and HTTP client the
application uses, they run unchanged between the two: what is measured is all but what the kernel adds.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httptools
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tests.bench.load import Job, Run

ORIGIN = "http://127.0.0.1:9"


class Canned:
    """What the upstream says to every request, as its reads arrive."""

    def __init__(self) -> None:
        self.parts: tuple[bytes, ...] = ()


class Wire(asyncio.Transport):
    """A connection to the canned upstream."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol, canned: Canned) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._canned = canned
        self._asked = b""
        self._closing = False

    def write(self, data: Any) -> None:
        self._asked += data
        head, found, body = self._asked.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            self._asked = b""
            self._loop.call_soon(self._answer, self._canned.parts, 0)

    def writelines(self, parts: Iterable[Any]) -> None:
        self.write(b"".join(parts))

    def _answer(self, parts: tuple[bytes, ...], position: int) -> None:
        if self._closing:
            return
        self._protocol.data_received(parts[position])
        if position + 1 < len(parts):
            self._loop.call_soon(self._answer, parts, position + 1)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


class Loop(uvloop.Loop):
    """uvloop, but every connection that is made ends in the canned upstream."""

    def __init__(self) -> None:
        super().__init__()
        self.canned = Canned()

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        """Timers cost what they cost, but none fires: under valgrind a request takes a hundred times as long."""
        return super().call_later(delay * 1000, callback, *args, context=context)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Nobody listens there, and nobody needs to."""

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], *where: Any, sock: socket.socket | None = None, **_: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        if sock is not None:
            sock.close()
        protocol = protocol_factory()
        wire = Wire(self, protocol, self.canned)
        protocol.connection_made(wire)
        return wire, protocol


class Client(asyncio.Transport):
    """A client's connection to the application's server."""

    def __init__(self, application: Any, http: type[HttpToolsProtocol], **served: Any) -> None:
        """`served` is what uvicorn is told where the application is served."""
        super().__init__()
        config = uvicorn.Config(application, interface="asgi3", lifespan="off", access_log=False, http=http, **served)
        config.load()
        self._state = ServerState()
        self._protocol = http(config, self._state, {})
        self._protocol.connection_made(self)
        self._read: list[bytes] = []

    async def ask(self, request: bytes) -> bytes:
        """The whole answer, as it comes."""
        self._read.clear()
        self._protocol.data_received(request)
        (task,) = self._state.tasks
        await task
        await asyncio.sleep(0)  # what was held until the loop has come round
        return b"".join(self._read)

    def write(self, data: Any) -> None:
        self._read.append(data)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 8080)}.get(name, default)

    def close(self) -> None:
        raise RuntimeError("the server closed the connection")

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


def _wrong(job: Job, answer: bytes) -> str:
    """Why an answer is not the right one; "" when it is."""
    seen = _Seen()
    parser = httptools.HttpResponseParser(seen)
    parser.feed_data(answer)
    if not seen.whole:
        return f"the answer has no end: {answer[-200:]!r}"
    return Run(job).wrong(parser.get_status_code(), b"".join(seen.pieces))


class _Seen:
    """What the parser of an answer has found."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.whole = False

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        self.whole = True


@asynccontextmanager
async def alive(app: Any) -> AsyncIterator[None]:
    """The application's lifespan around a block."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    task = loop.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, events.get, said.put))
    await events.put({"type": "lifespan.startup"})
    started = await said.get()
    if started["type"] != "lifespan.startup.complete":
        raise RuntimeError(f"the application did not start: {started}")
    try:
        yield
    finally:
        await events.put({"type": "lifespan.shutdown"})
        await task


class Asked:
    """One kind of request to one application, which must be `alive` in a `Loop`; made as often as one calls for."""

    def __init__(self, client: Client, job: Job, parts: tuple[bytes, ...]) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._job = job
        self._request = Run(job).wire
        self._parts = parts

    def __call__(self, times: int) -> None:
        """One after another; the last answer must be right."""
        last = self._loop.run_until_complete(self._all(times))
        if why := _wrong(self._job, last):
            raise RuntimeError(why)

    async def _all(self, times: int) -> bytes:
        assert isinstance(self._loop, Loop)
        self._loop.canned.parts = self._parts
        for _ in range(times):
            answer = await self._client.ask(self._request)
        return answer
