"""HTTP under uvicorn, which writes a response's head by itself and its body after it: ours go out together.

A write to a socket is a call of the kernel, which wakes whoever reads: a twentieth of a plain request's CPU. Clients whose
answers are ready at once are woken at once, too: what begins with a head waits until the loop has come round.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD: Final = b"HTTP/1.1 "


class Joining:
    """A transport that keeps what looks like a head, and what is written behind it, until the loop has come round. What is
    written is what is sent, in its order; a body that looks like a head only comes a moment later."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """As the transport's own."""
        if self._held:
            self._held.append(data)
        elif data.startswith(_HEAD):
            self._held.append(data)
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """As the transport's own."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._held:
            held = b"".join(self._held)
            self._held.clear()
            self._transport.write(held)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own, and done to it when it has everything."""
        self._flush()
        return getattr(self._transport, name)


class JoiningProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client has connected."""
        joining = Joining(cast(asyncio.Transport, transport), self.loop)
        super().connection_made(cast(asyncio.Transport, joining))
