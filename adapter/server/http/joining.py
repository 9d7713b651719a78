"""HTTP under uvicorn, which writes a response's head by itself and its body after it: ours go out together.

A write to a socket is a call of the kernel, which wakes whoever reads: a twentieth of a plain request's CPU. Clients whose
answers are ready at once are woken at once, too: what is written together waits until the loop has come round. An answer that
is the only one waits for nobody (a tenth of a plain request's CPU, if there is one at a time).

And a piece of a body can be written without a coroutine (`DirectWriter`): whoever reads an upstream's connection has none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, cast

import httptools
from starlette.types import Receive, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from adapter.errors import AdapterError, HostileRequest
from adapter.server.http.http10 import Unchunked
from adapter.server.http.refusal import unread
from adapter.wire.headers import MAX_BYTES, head_too_large

_ALONE: Final = nullcontext()
_NOWHERE: Final[Any] = deque(maxlen=0)
_UNHEARD: Final = 256 * 1024
"""Bytes of a body that are still read when its answer is out, so that the connection can be used again; Go's server does so."""


class Joining:
    """A transport. What is written inside of it as a context is one write: at its end, if no other request is being answered,
    else when the loop has come round. What is written is what is sent, in its order."""

    __slots__ = ("_answering", "_loop", "_open", "held", "transport")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, answering: Collection[object]
    ) -> None:
        """`answering` holds the requests that this process is answering."""
        self.transport = transport
        self._loop = loop
        self._answering = answering
        self._open = False
        self.held: list[bytes] = []

    def __enter__(self) -> None:
        self._open = True

    def __exit__(self, *_: object) -> None:
        self._open = False
        if self.held:
            if len(self._answering) > 1:
                self._loop.call_soon(self._flush)
            else:
                self._flush()

    def write(self, data: bytes) -> None:
        """As the transport's own."""
        if self._open or self.held:
            self.held.append(data)
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


class Deaf:
    """In the place of a parser that is to read no more."""

    def feed_data(self, data: bytes | memoryview) -> None:
        """Nothing comes of it."""


class Chunked:
    """In the place of a parser, from the first read of a chunked body to the next request. What is said between and behind the
    chunks has the bound of a head: the parser holds each field until it is whole."""

    __slots__ = ("_length", "_parser", "_protocol")

    def __init__(self, protocol: JoiningProtocol, parser: httptools.HttpRequestParser) -> None:
        self._protocol = protocol
        self._parser = parser
        self._length = 0
        """Bytes since the last read that brought something of the body; where nobody listens any more, of all reads."""

    def feed_data(self, data: bytes | memoryview) -> None:
        """As the parser's own."""
        protocol = self._protocol
        cycle, before = protocol.cycle, len(protocol.cycle.body)
        self._parser.feed_data(data)
        if protocol.headers is not _NOWHERE:  # of another request
            protocol.parser = self._parser
        elif protocol.cycle is not cycle or len(cycle.body) > before or not cycle.more_body:
            self._length = 0
        else:
            self._length += len(data)
            if self._length > (_UNHEARD if cycle.response_complete else MAX_BYTES):
                protocol.refuse(head_too_large())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class JoiningProtocol(HttpToolsProtocol):
    """One connection of a client. What it cannot read it refuses as everything else is refused, and closes."""

    __slots__ = ("_begun", "_length", "serving")
    # no attributes: a few more than the instances of a class can share the names of would cost each connection 1.2 kB

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client has connected."""
        self.serving: RequestResponseCycle | None = None
        """The request that is being answered: not the last one where a client asks on before it has its answer."""
        self._begun: object = None
        """The head that was unfinished after the last read, and how long it has become since then."""
        self._length = 0
        joining = Joining(cast(asyncio.Transport, transport), self.loop, self.tasks)
        super().connection_made(cast(asyncio.Transport, joining))

    def data_received(self, data: bytes | memoryview) -> None:
        """A part of a request, or several of them."""
        self._unset_keepalive_if_required()
        try:
            while True:
                try:
                    self.parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as offer:
                    data = self._offered(memoryview(data)[offer.args[0] :])
        except httptools.HttpParserError as error:
            why = "invalid target" if isinstance(error, httptools.HttpParserCallbackError) else error
            self.refuse(_unreadable(why))
            return
        cycle, head = self.cycle, self.scope
        if cycle is not None and cycle.scope is head:
            return
        if head is not self._begun:
            self._begun, self._length = head, 0
            return
        self._length += len(data)
        if self._length > MAX_BYTES:
            self.refuse(head_too_large())

    def _should_upgrade(self) -> bool:
        """Every offer of another protocol is looked at where the parser has come to its end, and by nobody before."""
        return True

    def _offered(self, rest: memoryview) -> bytes | memoryview:
        """A request that offers to speak something else from here on; returns what is to be read on. Where it is nothing that
        we speak, it is a request as any other (RFC 9110, 7.8), but the parser took it for one without a body: it reads the
        head once more.

        Raises:
            HttpParserError: it is for a proxy, for no host, or its target is none.
        """
        if _is_hostless(self.headers):
            raise httptools.HttpParserError(_HOSTLESS)
        method, before = self.scope["method"], self.cycle
        due = before is not None and not before.response_complete  # what is said now would stand before its answer
        if method == "GET" and not due and super()._should_upgrade():  # RFC 6455, 4.1: nothing else opens a WebSocket
            self.handle_websocket_upgrade()
            return b""
        if method == "CONNECT":
            raise httptools.HttpParserError("CONNECT is for proxies")
        first = f"{method} {self.url.decode('latin-1')} HTTP/{self.scope['http_version']}".encode("latin-1")
        fields = [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser.feed_data(b"\r\n".join((first, *fields, b"", b"")))
        return rest

    def on_chunk_header(self) -> None:
        """The parser will call fields what comes behind the body: they are none of the request's (RFC 9110, 6.5.1)."""
        self.headers = _NOWHERE
        if not isinstance(self.parser, Chunked):
            self.parser = cast(Any, Chunked(self, self.parser))

    def refuse(self, error: AdapterError) -> None:
        """Where the next request would begin is not known: this is the last answer, behind those that are due."""
        cycle, serving = self.cycle, self.serving
        # the request whose body it is that cannot be read; None where it is no body
        broken = cycle if cycle is not None and cycle.more_body and cycle.scope is self.scope else None
        if serving is not None and not serving.response_complete:
            if serving is not broken or serving.response_started:
                serving.keep_alive = False
                self.parser = cast(Any, Deaf())
                return
            serving.disconnected = True
            serving.message_event.set()
        if broken is None or not broken.response_started:
            self.transport.write(unread(error, self.server_state.default_headers))
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        scope = cycle.scope
        fields: Any = scope["headers"]
        if scope["http_version"] != "1.1":
            app = cast(ASGI3Application, Unchunked(app, cycle))
        elif (not fields or fields[0][0] != b"host") and _is_hostless(fields):  # nearly all clients put it first
            self.refuse(_unreadable(_HOSTLESS))
            return
        self.serving = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left, which the server tells only the last of its requests. What was to be written is not."""
        cast(Joining, self.transport).held.clear()
        serving = self.serving
        if serving is not None and serving is not self.cycle:
            serving.disconnected = not serving.response_complete
            serving.message_event.set()
        super().connection_lost(exc)


_HOSTLESS: Final = "it has no Host field"


def _is_hostless(fields: list[tuple[bytes, bytes]]) -> bool:
    """The one field is missing that every request of HTTP/1.1 must have (RFC 9112, 3.2)."""
    return all(name != b"host" for name, _ in fields)


def _unreadable(why: object) -> AdapterError:
    return HostileRequest(f"The request cannot be read as HTTP: {why}.")


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
    cycle = _cycle(send)
    return None if cycle is None else DirectWriter(cycle, cast(Joining, cycle.transport))


def together(send: Send) -> AbstractContextManager[None]:
    """What `send` sends inside of it is one write, where the server is ours."""
    cycle = _cycle(send)
    return _ALONE if cycle is None else cast(Joining, cycle.transport)


def has_arrived(receive: Receive) -> bool:
    """All of the body is there that `receive` receives: it will not wait. False also where the server is another one."""
    cycle = getattr(receive, "__self__", None)
    return type(cycle) is RequestResponseCycle and not cycle.more_body


def abort(send: Send) -> None:
    """Close the connection of the client that the server's `send` sends to: what it has not taken it does not get."""
    server = getattr(send, "__self__", None)
    transport = getattr(server.cycle if type(server) is Unchunked else server, "transport", None)
    if transport is not None:
        transport.abort()


def _cycle(send: Send) -> RequestResponseCycle | None:
    cycle = getattr(send, "__self__", None)
    if type(cycle) is Unchunked:
        cycle = cycle.cycle
    return cycle if type(cycle) is RequestResponseCycle and isinstance(cycle.transport, Joining) else None
