"""A POST over a pooled connection of the HTTP library, without its request, payload, writer task and response objects.

Those cost more for a small call than everything that this server does with it (the library's session 75 µs, this 30 µs of
a plain request's 370 µs). What is delicate stays the library's: the pool, resolving names, TLS, the parser, back pressure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import hdrs
from aiohttp.helpers import TimerNoop
from yarl import URL

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage

_NO_TIMER: Final = TimerNoop()
_TIMEOUTS: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)
_COPIED: Final = 64 * 1024
"""Up to here head and body are one write."""


class Answer:
    """The head of an answer and its body, as far as `aiohttp.ClientResponse` shows them: once the body's end is read off the
    wire its connection is another call's."""

    __slots__ = ("_connection", "content", "headers", "status")

    def __init__(self, connection: Connection, head: RawResponseMessage, content: aiohttp.StreamReader) -> None:
        self._connection: Connection | None = connection
        self.status = head.code
        self.headers: Mapping[str, str] = head.headers
        self.content = content
        content.on_eof(self.release)

    @property
    def content_type(self) -> str:
        """The media type, without its parameters."""
        return self.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()

    def release(self) -> None:
        """Give the connection back; it is closed where anything of the call is still under way on it."""
        if (connection := self._connection) is not None:
            self._connection = None
            transport = connection.transport
            if transport is not None and transport.get_write_buffer_size():  # answered before all of it was sent
                connection.close()
            else:
                connection.release()

    def close(self) -> None:
        """Close the connection, unless it was given back."""
        if (connection := self._connection) is not None:
            self._connection = None
            connection.close()


class Sender:
    """POSTs over the connections of one connector."""

    def __init__(self, connector: aiohttp.BaseConnector) -> None:
        self._connector = connector
        self._place = lru_cache(maxsize=256)(_place)
        self._loop = asyncio.get_running_loop()

    async def post(self, url: URL, fields: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One call. `fields` are header lines that are always the same, `headers` those of this call.

        Raises:
            Exception: as the library's session.
        """
        asked, start = self._place(url, fields, self._loop)
        own = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if own.count("\n") + own.count("\r") != 2 * len(headers) or "\0" in own:
            raise ValueError("a header field holds a line break")
        head = f"{start}{own}Content-Length: {len(body)}\r\n\r\n".encode()
        connection = await self._connector.connect(asked, [], _TIMEOUTS)
        try:
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None:
                raise aiohttp.ServerDisconnectedError
            protocol.set_response_params(
                timer=_NO_TIMER,
                read_until_eof=True,
                auto_decompress=False,
            )
            if len(body) <= _COPIED:
                transport.write(head + body)
            else:
                transport.writelines((head, body))
            while True:
                message, content = await protocol.read()
                if not 100 <= message.code <= 199 or message.code == 101:
                    break
        except BaseException:
            connection.close()
            raise
        return Answer(connection, message, content)


def _place(url: URL, fields: str, loop: asyncio.AbstractEventLoop) -> tuple[aiohttp.ClientRequest, str]:
    """What every call to one address has in common: what the pool knows it by, and how its head begins."""
    asked = aiohttp.ClientRequest(hdrs.METH_POST, url, loop=loop)
    return asked, f"POST {url.raw_path_qs} HTTP/1.1\r\nHost: {asked.headers[hdrs.HOST]}\r\n{fields}"
