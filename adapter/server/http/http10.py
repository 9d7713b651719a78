"""Answers to HTTP/1.0, which nginx speaks to its upstreams by default. It has no chunks, but the server would write them.

What has no length of its own ends with its connection there. So an answer that is cut off resets it: closing it would make
half an answer a whole one.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final, cast

from starlette.types import Message, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""Linger for no seconds: what is closed then is reset."""


class Unchunked:
    """The application, for one such answer."""

    __slots__ = ("_app", "_measured", "cycle")

    def __init__(self, app: ASGI3Application, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._measured = True
        """The answer says its length."""
        self.cycle = cycle
        cycle.waiting_for_100_continue = False  # HTTP/1.0 knows no interim answers

    @property
    def disconnected(self) -> bool:
        """As the answer's own."""
        return self.cycle.disconnected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the application's own."""
        cycle = self.cycle
        try:
            await self._app(cast(Any, scope), cast(Any, receive), cast(Any, self.send))
        finally:
            if not (self._measured or cycle.response_complete or cycle.disconnected):
                cycle.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                cycle.transport.abort()

    async def send(self, message: Message) -> None:
        """As the server's own. It decides for chunks where nothing is decided yet, and holds a body against its length: that
        of each piece."""
        cycle = self.cycle
        if message["type"] == "http.response.start":
            self._measured = any(name == b"content-length" for name, _ in message.get("headers", ()))
            if not self._measured:
                cycle.chunked_encoding = cycle.keep_alive = False
        elif not self._measured:
            cycle.expected_content_length = len(message.get("body", b""))
        await cycle.send(cast(Any, message))
