"""HTTP/1.1 calls over the connections of the HTTP library, without its session.

The session makes a request, a payload, a writer's task and a response out of every call, which costs more than everything
else that this server does with a small one (95 of a plain request's 240 µs). What is delicate stays the library's: making
connections, also through a proxy, resolving names, TLS, the parser, back pressure. There is nothing here that could follow a redirect,
keep a cookie or decompress.

Requests that arrive while others are under way are written together, when the loop has come round once: a write wakes
whoever reads, and waking an upstream that has gone to sleep in between costs five times the write (an eighth of the CPU of a
plain request among 32). One that is alone waits for nobody.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import TimerNoop
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from adapter.upstream.alarms import Alarm, Alarms
from adapter.upstream.pool import Pool
from adapter.wire.address import joined

if TYPE_CHECKING:
    from ssl import SSLContext

    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage
    from aiohttp.streams import StreamReader

_ATTEMPTS: Final = 3
_PIECE: Final = 256 * 1024
"""What is written in one go: encrypting more would hold up the loop."""
_ONE_CHUNK: Final = 16 * 1024
"""Bytes of a read that is looked at for being one chunk; what is longer is a flood, which the library's reader can stop."""
_CR: Final = 0x0D
_LF: Final = 0x0A
_NO_TIMER: Final = TimerNoop()
_KEPT_ALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), 60)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL")
        if hasattr(socket, name)
    ),
)
"""Options of a connection to an upstream: asked every minute whether it is still there."""


class Within(NamedTuple):
    """Seconds that a call may take."""

    connect: float
    """To make a connection, resolving the name included."""
    answer: float
    """From the last byte sent to the answer's head."""


class Answer:
    """The head of an answer, and its body as it comes. Once the body's end is read off the wire its connection is another
    call's."""

    __slots__ = ("_connection", "_pool", "content", "headers", "protocol", "status")

    def __init__(
        self, connection: Connection, pool: Pool, head: RawResponseMessage, content: aiohttp.StreamReader
    ) -> None:
        self._connection: Connection | None = connection
        self._pool = pool
        self.protocol = cast(Protocol, connection.protocol)
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
                self._pool.put(connection)

    def close(self) -> None:
        """Close the connection, unless it was given back."""
        if (connection := self._connection) is not None:
            self._connection = None
            connection.close()


class Protocol(ResponseHandler):
    """One connection to an upstream."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.asked = False
        """An answer is awaited."""
        self.heard: Callable[[bytes], None] | None = None
        """Called whenever something of its body was read, with that or, where it is in the body's reader, with nothing, and when
        the connection is lost; set only by the call that it carries, until its end."""
        self._between = False
        """While somebody listens: the parser is between two chunks of the body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A firewall in between forgets a connection on which nothing moves, as while a long plain answer is made."""
        super().connection_made(transport)
        if (wire := transport.get_extra_info("socket")) is not None:
            for level, option, value in _KEPT_ALIVE:
                wire.setsockopt(level, option, value)

    def listened(self, heard: Callable[[bytes], None]) -> asyncio.Future[None]:
        """Call `heard` from now on; a future for the one who waits meanwhile. The body's reader holds nothing."""
        self.heard, self._between = heard, False
        return self._loop.create_future()

    def set_response_params(self, **params: Any) -> None:
        """As the library says it before each answer that is awaited, that of a proxy to CONNECT included."""
        self.asked = True
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Something was read."""
        heard = self.heard
        if heard is None:
            super().data_received(data)
            return
        if self._between and len(data) <= _ONE_CHUNK:
            # nearly every read is a chunk, behind which the parser would be where it is: a tenth of a token that comes alone
            begin, starts, piece = _framing(len(data))
            if data[begin] in starts and data[-1] == _LF and data[-2] == _CR:
                heard(data[piece])
                return
        assert self._parser is not None
        try:  # in the middle of a body it can be nothing else: 5 % of a token that comes alone
            behind, _, _ = self._parser.feed_data(data)
        except Exception as broken:
            self.set_exception(HttpProcessingError(), broken)
            self._end()
        else:
            if behind:
                self._end()
            self._between = self._is_between(data)
        heard(b"")

    def _is_between(self, data: bytes) -> bool:
        """Behind `data`, of which nothing was taken yet and which was no end: every chunk that has begun is whole. Two line ends
        are the last of an event; the size of a chunk does not end so, nor what may stand beside it."""
        body = self._payload
        ends = body and body._http_chunk_splits
        return bool(body and ends and ends[-1] == body.total_bytes) and data[-4:] == b"\n\n\r\n"

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """An answer has begun. One that nobody asked for ends the connection: it would be taken for that of the next call."""
        if not self.asked:
            self._end()
            return
        code = data[0].code
        self.asked = 100 <= code <= 199 and code != 101
        super().feed_data(data, size)

    def _end(self) -> None:
        """Nothing more of this connection is wanted."""
        self.force_close()
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nothing more is going to be read."""
        body, broken = self._payload, self.exception()
        super().connection_lost(exc)
        if broken is not None and body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(broken)  # framing that is no HTTP: the library does not tell whoever reads the body
        if self.heard is not None:
            self.heard(b"")


class _Connector(aiohttp.TCPConnector):
    """Makes connections of ours: the library has no other way to be told what they are."""

    def __init__(self) -> None:
        super().__init__(limit=0)
        self._factory = cast("partial[ResponseHandler]", partial(Protocol, self._loop))


class _Place(NamedTuple):
    """What every call to one address has in common."""

    asked: aiohttp.ClientRequest
    """What the library has to know to make a connection."""
    start: str
    """How the head begins."""
    pool: Pool


class Sender:
    """Sends requests. To be made inside the running loop."""

    def __init__(self, alarms: Alarms, tls: Callable[[], SSLContext | bool] = lambda: True) -> None:
        self._alarms = alarms
        self._connector = _Connector()
        self._tls = cache(tls)
        self._awaited = 0
        """Calls whose answers have not begun."""
        self._places = lru_cache(maxsize=256)(self._place)
        self._pools: dict[ConnectionKey, Pool] = {}
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.clear()
        self._places.cache_clear()  # they hold this sender
        await self._connector.close()

    async def send(
        self,
        method: str,
        base_url: str,
        path: str,
        fields: str,
        headers: Mapping[str, str],
        body: bytes,
        within: Within,
        proxy: str | None = None,
    ) -> Answer:
        """One call of `path` below `base_url`, by way of an HTTP proxy where there is one. `fields` are header lines that are always the
        same, `headers` those of this call. A pooled connection that the upstream had closed is given up for another one.

        Raises:
            ValueError: a header field that would be two.
            Exception: what the library raises for a connection that cannot be made or breaks, an answer that is no HTTP.
        """
        place = self._places(method, base_url, path, fields, proxy)
        own = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if own.count("\n") + own.count("\r") != 2 * len(headers) or "\0" in own:
            raise ValueError("a header field holds a line break")
        framing = f"Content-Length: {len(body)}\r\n" if body or method != hdrs.METH_GET else ""
        head = f"{place.start}{own}{framing}\r\n".encode()
        first = head + body if len(body) <= _PIECE else head
        if self._awaited:  # there may be more to come, which is written together: see the top
            await asyncio.sleep(0)
        attempt = 1
        while True:
            connection = place.pool.take()
            fresh = connection is None
            if connection is None:
                connection = await self._connected(place.asked, within.connect)
            alarm: Alarm | None = None
            self._awaited += 1
            try:
                protocol, transport = connection.protocol, connection.transport
                if protocol is None or transport is None:
                    raise aiohttp.ServerDisconnectedError
                protocol.set_response_params(timer=_NO_TIMER, read_until_eof=True, auto_decompress=False)
                transport.write(first)
                if first is head:
                    await _write(transport, body)
                alarm = self._alarms.after(within.answer, partial(_too_late, protocol))
                while True:
                    message, content = await protocol.read()
                    if not 100 <= message.code <= 199 or message.code == 101:
                        return Answer(connection, place.pool, message, content)
            except (aiohttp.ClientConnectionError, ConnectionError) as error:
                connection.close()
                if fresh or attempt == _ATTEMPTS or isinstance(error, aiohttp.SocketTimeoutError):
                    raise
                attempt += 1
            except BaseException:
                connection.close()
                raise
            finally:
                self._awaited -= 1
                if alarm is not None:
                    alarm.cancel()

    async def _connected(self, asked: aiohttp.ClientRequest, within: float) -> Connection:
        try:
            return await self._connector.connect(asked, [], _timeout(within))
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None

    def _place(self, method: str, base_url: str, path: str, fields: str, proxy: str | None) -> _Place:
        url, via = URL(joined(base_url, path)), None if proxy is None else URL(proxy)
        told = {}
        if via is not None and via.user is not None:
            told[hdrs.PROXY_AUTHORIZATION] = aiohttp.encode_basic_auth(via.user, via.password or "")
        asked = aiohttp.ClientRequest(
            hdrs.METH_POST,
            url,
            loop=self._loop,
            ssl=self._tls() if "https" in (url.scheme, via and via.scheme) else True,
            proxy=via and via.with_user(None),
            proxy_headers=told,
        )
        target = url.raw_path_qs
        if via is not None and not asked.is_ssl():  # the proxy reads the request itself; through TLS it sees none
            target = str(url)
            fields += "".join(f"{name}: {value}\r\n" for name, value in told.items())
        start = f"{method} {target} HTTP/1.1\r\nHost: {asked.headers[hdrs.HOST]}\r\n{fields}"
        return _Place(asked, start, self._pools.setdefault(asked.connection_key, Pool(self._loop)))


@lru_cache(maxsize=1024)
def _framing(size: int) -> tuple[slice, tuple[bytes, ...], slice]:
    """Of a chunk that is so many bytes with its framing: where its own size stands, how servers spell that, and where its data
    stand. No spelling where there is no such chunk."""
    for digits in range(1, len(f"{size:x}") + 1):
        start = b"%x\r\n" % max(size - digits - 4, 0)
        if len(start) == digits + 2 and start != b"0\r\n":
            return slice(digits + 2), (start, start.upper()), slice(digits + 2, -2)
    return slice(0), (), slice(0)


def _too_late(protocol: ResponseHandler) -> None:
    """Nobody answers: whoever waits on this connection hears of it."""
    protocol.set_exception(aiohttp.SocketTimeoutError())


async def _write(transport: asyncio.WriteTransport, body: bytes) -> None:
    """A long body. What the wire does not take yet waits in the transport; the body is in memory anyway."""
    view = memoryview(body)
    for start in range(0, len(body), _PIECE):
        if transport.is_closing():
            return
        transport.write(view[start : start + _PIECE])
        await asyncio.sleep(0)


@lru_cache(maxsize=64)
def _timeout(connect: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=None, ceil_threshold=inf)
