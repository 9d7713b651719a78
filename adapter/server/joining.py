"""HTTP under uvicorn, which writes a response's head by itself and its body after it: ours go out together.

A write to a socket is a call of the kernel, which wakes whoever reads: a twentieth of a plain request's CPU. Clients whose
answers are ready at once are woken at once, too: what begins with a head waits until the loop has come round.

And a piece of a body can be written without a coroutine (`DirectWriter`): whoever reads an upstream's connection has none.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from starlette.types import Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from adapter.server.http10 import Unchunked

_HEAD: Final = b"HTTP/1.1 "


class Joining:
    """A transport that keeps what looks like a head, and what is written behind it, until the loop has come round. What is
    written is what is sent, in its order; a body that looks like a head only comes a moment later."""

    __slots__ = ("_loop", "held", "transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self._loop = loop
        self.held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """As the transport's own."""
        if self.held:
            self.held.append(data)
        elif data.startswith(_HEAD):
            self.held.append(data)
            self._loop.call_soon(self._flush)
        else:
            self.transport.write(data)

    def is_closing(self) -> bool:
        """As the transport's own."""
        return self.transport.is_closing()

    def _flush(self) -> None:
        if self.held:
            held = b"".join(self.held)
            self.held.clear()
            self.transport.write(held)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own, and done to it when it has everything."""
        self._flush()
        return getattr(self.transport, name)


class JoiningProtocol(HttpToolsProtocol):
    """One connection of a client."""

    __slots__ = ("serving",)
    # no attribute: one more than the instances of a class can share the names of would cost each connection 1.2 kB

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client has connected."""
        self.serving: RequestResponseCycle | None = None
        """The request that is being answered: not the last one where a client asks on before it has its answer."""
        joining = Joining(cast(asyncio.Transport, transport), self.loop)
        super().connection_made(cast(asyncio.Transport, joining))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.serving = cycle
        if cycle.scope["http_version"] < "1.1":
            app = cast(ASGI3Application, Unchunked(app, cycle))
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left, which the server tells only the last of its requests."""
        serving = self.serving
        if serving is not None and serving is not self.cycle:
            serving.disconnected = not serving.response_complete
            serving.message_event.set()
        super().connection_lost(exc)


class DirectWriter:
    """Writes pieces of one answer's body as the server's `send` does while the client reads: there is nothing to wait for."""

    __slots__ = ("_cycle", "_flow", "_joining")

    def __init__(self, cycle: RequestResponseCycle, joining: Joining) -> None:
        self._cycle = cycle
        self._flow = cycle.flow
        self._joining = joining

    def ready(self) -> bool:
        """The client reads: `send` would not wait."""
        return not self._flow.write_paused and not self._cycle.disconnected

    def put(self, data: bytes) -> None:
        """One piece."""
        if self._cycle.chunked_encoding:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        joining = self._joining
        if joining.held:
            joining.held.append(data)
        else:
            joining.transport.write(data)


def direct_writer(send: Send) -> DirectWriter | None:
    """The one of the answer that `send` sends; None where the server is another one, or somebody stands between it and us."""
    cycle = getattr(send, "__self__", None)
    if type(cycle) is Unchunked:
        cycle = cycle.cycle
    if type(cycle) is not RequestResponseCycle:
        return None
    transport: object = cycle.transport
    return DirectWriter(cycle, transport) if isinstance(transport, Joining) else None
