"""Whole requests through an ASGI application in this process: no server, no socket, an upstream made of bytes.

The loop's connections end in a `Wire`, which answers every request with the parts of `Canned`, one part an iteration of
the loop; whatever HTTP client the application uses, it runs unchanged above that. `receive` and `send` behave as
uvicorn's do. What is left to measure is the application and its client, and nothing that the kernel adds.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from tests.bench import payloads
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


class Caller:
    """One request of a client, and what it was answered."""

    def __init__(self, path: str, body: bytes) -> None:
        self.path = path
        self.body = body
        self.asked = False
        self.sent: list[dict[str, Any]] = []
        self.left = asyncio.Event()

    def scope(self) -> dict[str, Any]:
        """As uvicorn makes it of the load generator's request."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "root_path": "",
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8080),
            "headers": [
                (b"host", b"127.0.0.1:8080"),
                (b"authorization", b"Bearer sk-bench"),
                (b"content-type", b"application/json"),
                (b"accept", b"*/*"),
                (b"content-length", b"%d" % len(self.body)),
            ],
            "state": {},
        }

    async def receive(self) -> dict[str, Any]:
        if self.asked:
            await self.left.wait()
            return {"type": "http.disconnect"}
        self.asked = True
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def wrong(self, job: Job) -> str:
        """Why the answer is not the right one; "" when it is."""
        body = b"".join(message.get("body", b"") for message in self.sent)
        return Run(job).wrong(self.sent[0]["status"], body)


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

    def __init__(self, application: Any, job: Job, parts: tuple[bytes, ...]) -> None:
        self._loop = asyncio.get_running_loop()
        self._application = application
        self._job = job
        self._path = payloads.PATHS[job.dialect]
        self._body = Run(job).wire.partition(b"\r\n\r\n")[2]
        self._parts = parts

    def __call__(self, times: int) -> None:
        """One after another; the last answer must be right."""
        last = self._loop.run_until_complete(self._all(times))
        if why := last.wrong(self._job):
            raise RuntimeError(why)

    async def _all(self, times: int) -> Caller:
        assert isinstance(self._loop, Loop)
        self._loop.canned.parts = self._parts
        for _ in range(times):
            caller = Caller(self._path, self._body)
            # in a task of its own, as uvicorn does it
            await self._loop.create_task(self._application(caller.scope(), caller.receive, caller.send))
        return caller
