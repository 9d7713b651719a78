"""HTTP under uvicorn, which writes a response's head by itself and its body after it: ours go out together.

A write to a socket is a call of the kernel, which wakes the client: a twentieth of a plain request's CPU.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD: Final = b"HTTP/1.1 "


class Joining:
    """A transport that keeps what looks like a head until more is written, or until the loop has come round. What is written
    is what is sent, in its order; a body that looks like a head only comes a moment later."""

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        """As the transport's own."""
        if self._head:
            data = self._head + data
            self._head = b""
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def is_closing(self) -> bool:
        """As the transport's own."""
        return self._transport.is_closing()

    def close(self) -> None:
        """As the transport's own."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class JoiningProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base class has it
        """The client has connected."""
        super().connection_made(cast(asyncio.Transport, Joining(transport, self.loop)))
