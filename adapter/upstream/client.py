"""HTTP to the model servers: safe defaults, foreign exceptions turned into ours at this rim.

No cookies, no redirects (they would carry the key and the prompt elsewhere), no proxy but a configured one, no compression.
A `Reply` is read in whole network reads; its deadline for silence is one lazily re-armed timer, so that a read costs no
timer of its own. Cancelling a caller closes its connection: that is how a client that leaves stops its upstream.

The library's reader is looked into here (`_buffer`, `_size`, `_eof`, …): its own ways to read cost a task's turn each.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine, Mapping
from enum import Enum
from http import HTTPStatus
from math import inf
from ssl import SSLContext
from time import monotonic
from typing import Any, Final, TypeAlias

import aiohttp
from aiohttp import hdrs

from adapter.errors import (
    AdapterError,
    Overloaded,
    UpstreamBadContent,
    UpstreamEmpty,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnconnected,
    UpstreamUnreachable,
)
from adapter.upstream import refusals
from adapter.upstream.alarms import Alarm, Alarms
from adapter.upstream.router import Upstream
from adapter.upstream.sending import Answer, Sender, Within
from adapter.upstream.silence import Ear

_AT_ONCE: Final = 16 * 1024
"""Bytes of a read that is passed on in the moment it comes: about a hundred tokens. More is a flood, and a loop reads on as
long as its reads are as long as its buffer: only what nobody takes stops it, and lets others have their turn."""
_ERROR_BODY: Final = 64 * 1024
"""An error body is looked at for its message only."""
_ERROR_BODY_WITHIN: Final = 10.0
_CLOSED: Final = "The upstream closed the connection without an answer."
_BLANK: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"
_MARKS: Final = (_BOM, b":", b"data", b"event", b"id:", b"retry")
"""How a stream of server-sent events begins."""
_BEGINNINGS: Final = (b"data: ", b"event: ")
"""How most do."""


_Passing: TypeAlias = tuple[Callable[[bytes], bool], Callable[[], bool], asyncio.Future[None]]
"""Whom `Reply.pass_on` gives to, when, and what the task waits for meanwhile."""


class Kind(Enum):
    """What a successful answer's body is."""

    STREAM = "text/event-stream"
    JSON = "application/json"


_JSON_FIELDS, _STREAM_FIELDS = (
    f"Content-Type: application/json\r\nAccept: {kind.value}\r\nAccept-Encoding: identity\r\n"
    for kind in (Kind.JSON, Kind.STREAM)
)
"""The header lines of every call."""


class Reply:
    """The answer of one upstream call, head read, status good. Must be closed."""

    __slots__ = (
        "_alarms",
        "_content",
        "_deadline",
        "_ear",
        "_ends",
        "_first",
        "_idle",
        "_passing",
        "_response",
        "_timer",
        "_waiting",
        "headers",
        "kind",
    )

    def __init__(self, response: Answer, alarms: Alarms, idle_timeout: float, ends: float = inf) -> None:
        """`ends`: when it must be whole, by the monotonic clock."""
        self._response = response
        self._alarms = alarms
        self._content = response.content
        self._idle = idle_timeout
        self._ear = Ear()
        self._first = b""
        self._waiting = False
        self._passing: _Passing | None = None
        self._ends = ends
        self._deadline = monotonic() + idle_timeout
        self._timer: Alarm | None = None
        self.headers: Mapping[str, str] = response.headers
        self.kind = Kind.JSON

    async def sniff(self) -> None:
        """Reads up to the first byte that tells what the body is, whatever its content type says.

        Raises:
            UpstreamEmpty: there is no body.
            UpstreamBadContent: it is neither JSON nor server-sent events.
        """
        first = await self.read()
        if first[:1] == b"{" or first.startswith(_BEGINNINGS):  # by far the most common
            self._first = first
            if first[:1] != b"{":
                self.kind = Kind.STREAM
                self._ear.hears_data(first)
            return
        start = _start(first)
        while first and (not start or any(mark.startswith(start) and mark != start for mark in _MARKS)):
            chunk = await self.read()
            if not chunk:
                break
            first += chunk
            start = _start(first)
        if not start:
            raise UpstreamEmpty("The upstream answered with an empty body.")
        self._first = first
        if start[:1] in (b"{", b"["):
            self._first = first.removeprefix(_BOM)  # as .NET's servers begin; a parser may refuse it (RFC 8259, 8.1)
            self.kind = Kind.JSON
        elif start.startswith(_MARKS[1:]) or (start[:1] != b"<" and self._response.content_type == Kind.STREAM.value):
            self.kind = Kind.STREAM
            self._ear.hears_data(first)
        elif self._response.content_type == Kind.JSON.value:
            raise UpstreamInvalid("The upstream's answer is no JSON object.")
        else:
            raise UpstreamBadContent("The upstream answered with something that is neither JSON nor an event stream.")

    async def read(self) -> bytes:
        """What the network has; empty at the end of the stream.

        Raises:
            UpstreamError: the transport broke, or there was no data for too long.
        """
        if self._first:
            first, self._first = self._first, b""
            return first
        content = self._content
        if content._buffer and content._exception is None:  # nothing to wait for, so no timer: 5 % of a plain request
            chunk = _taken(content)
        else:
            self._watch()
            self._waiting = True
            try:
                chunk = await content.readany()
            except Exception as error:
                # what came before the break is still an answer's part, perhaps its end; the next read breaks
                chunk = content._read_nowait(-1)
                if not chunk:
                    raise _ours(error, "The upstream's answer broke off.", UpstreamTruncated) from error
            finally:
                self._waiting = False
        if not chunk.isspace() if self.kind is Kind.JSON else self._ear.hears_data(chunk):
            self._deadline = monotonic() + self._idle
        return chunk

    def unread(self, data: bytes) -> None:
        """Have `data`, which was read last, read again."""
        self._first = data

    async def pass_on(self, take: Callable[[bytes], bool], ready: Callable[[], bool]) -> None:
        """Give `take` what the network has in the moment it comes, as long as it is `ready` for that and wants more (True).
        Returns when it is not, when there is no more to come, or far too much: the next `read` tells. The task that waits here
        is not woken in between: a third of what a read costs.

        Raises:
            Exception: what `take` raises.
        """
        content = self._content
        if self._first or content._buffer or content._eof or content._exception is not None:
            return
        self._watch()
        protocol = self._response.protocol
        enough = protocol.listened(self._heard)
        self._passing = take, ready, enough
        try:
            await enough
        finally:
            if self._passing is not None:  # cancelled; after an end the connection may be another call's by now
                protocol.heard = self._passing = None

    def _heard(self, chunk: bytes = b"") -> None:
        """Something happened to the connection while the task waits in `pass_on`: `chunk` was read, or what `_content` tells."""
        content, protocol = self._content, self._response.protocol
        assert self._passing is not None
        take, ready, enough = self._passing
        if enough.done():  # cancelled, which the task is about to hear
            return
        taking = chunk != b"" or (
            content._exception is None and content._size <= _AT_ONCE and not protocol._reading_paused
        )
        try:
            taking = taking and ready()
            if not taking and chunk:
                content.feed_data(chunk)  # for the next `read`
            elif taking and (chunk := chunk or (_taken(content) if content._buffer else b"")):
                if self._ear.hears_data(chunk):
                    self._deadline = monotonic() + self._idle
                taking = take(chunk)
        except Exception as defect:
            enough.set_exception(defect)
        else:
            if taking and not content._eof:
                return
            enough.set_result(None)
        protocol.heard = self._passing = None

    async def body(self, limit: int) -> bytes:
        """All of it.

        Raises:
            UpstreamError: as `read`; or it is longer than `limit`.
        """
        content = self._content
        if content.at_eof() and content._exception is None and len(self._first) <= limit:
            first, self._first = self._first, b""  # it came in one read, as most do
            return first
        parts: list[bytes] = []
        size = 0
        while chunk := await self.read():
            size += len(chunk)
            if size > limit:
                raise UpstreamInvalid("The upstream's answer is larger than this server takes.")
            parts.append(chunk)
            if self.ended:
                break
        return b"".join(parts)

    @property
    def ended(self) -> bool:
        """Everything has been read, and the end as well."""
        content = self._content
        return not self._first and content._exception is None and content.at_eof()

    def hurry(self, seconds: float) -> None:
        """The rest may take this long at most."""
        self._idle = seconds
        self._deadline = monotonic() + seconds
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Close the connection where the answer was not read to its end; else it goes back to the pool."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._response.close() if not self._content.at_eof() else self._response.release()

    def _watch(self) -> None:
        """From here on silence has an end."""
        if self._timer is None:
            self._timer = self._alarms.after(min(self._deadline, self._ends) - monotonic(), self._look)

    def _look(self) -> None:
        now = monotonic()
        if not self._waiting and self._passing is None:  # the client is the slow one
            self._deadline = max(self._deadline, now + self._idle)
        due = min(self._deadline, self._ends)
        if now < due:
            self._timer = self._alarms.after(due - now, self._look)
            return
        said = "sent no data for too long" if now < self._ends else "took longer for its answer than it may"
        self._content.set_exception(UpstreamTimeout(f"The upstream {said}."))
        if self._passing is not None:
            self._heard()


class UpstreamClient:
    """Calls model servers. One per process."""

    _sender: Sender

    def __init__(self, tls: Callable[[], SSLContext | bool] = lambda: True) -> None:
        """`tls` says which servers are trusted, asked by the first call over TLS; True: those that the HTTP library trusts."""
        self._alarms = Alarms()
        self._tls = tls

    def open(self) -> None:
        """Make ready; inside the running loop."""
        self._sender = Sender(self._alarms, self._tls)

    async def close(self) -> None:
        """Close all connections."""
        await self._sender.close()

    def post(
        self, upstream: Upstream, path: str, body: bytes, headers: dict[str, str], *, stream: bool
    ) -> Coroutine[Any, Any, Reply]:
        """POST one JSON body; the head of a good answer, its kind known.

        Raises:
            AdapterError: what the upstream's refusal means, or how the way to it failed.
        """
        return self.call(upstream, hdrs.METH_POST, path, body, headers, stream=stream)

    async def call(
        self, upstream: Upstream, method: str, path: str, body: bytes, headers: dict[str, str], *, stream: bool
    ) -> Reply:
        """As `post`, by any method.

        Raises:
            AdapterError: as `post`.
        """
        total = upstream.total_timeout
        ends = inf if total is None else monotonic() + total
        fields = _STREAM_FIELDS if stream else _JSON_FIELDS
        response = await self._head(upstream, method, path, fields, headers, body)
        reply = Reply(response, self._alarms, upstream.idle_timeout, ends)
        try:
            await self._check(upstream, reply, response)
            await reply.sniff()
        except BaseException:
            reply.close()
            raise
        return reply

    async def get(self, upstream: Upstream, path: str, headers: dict[str, str], *, limit: int) -> bytes:
        """GET one JSON document.

        Raises:
            AdapterError: as `post`.
        """
        response = await self._head(upstream, hdrs.METH_GET, path, _JSON_FIELDS, headers, b"")
        reply = Reply(response, self._alarms, upstream.idle_timeout)
        try:
            await self._check(upstream, reply, response)
            return await reply.body(limit)
        finally:
            reply.close()

    async def _head(
        self, upstream: Upstream, method: str, path: str, fields: str, headers: dict[str, str], body: bytes
    ) -> Answer:
        """The head of the answer, in time."""
        try:
            return await self._sender.send(
                method,
                upstream.base_url,
                path,
                fields + upstream.fields,
                headers,
                body,
                Within(upstream.connect_timeout, min(upstream.first_byte_timeout, upstream.total_timeout or inf)),
                upstream.proxy,
            )
        except Exception as error:
            raise _ours(error, _CLOSED, UpstreamUnreachable) from error

    async def _check(self, upstream: Upstream, reply: Reply, response: Answer) -> None:
        status = response.status
        if 300 <= status <= 399:
            raise UpstreamRedirect(
                "The upstream answered with a redirect, which is not followed; its base_url is probably wrong."
            )
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            raise _no_way(status)
        if 400 <= status <= 599:
            said = await _error_body(reply)
            for secret in upstream.secrets:
                said = said.replace(secret.encode(), b"[redacted]")
            raise refusals.from_http(status, response.headers, said, own_key=not upstream.callers_key)
        if status in (204, 205):
            raise UpstreamEmpty("The upstream answered with an empty body.")
        if not 200 <= status <= 299:
            raise UpstreamBadContent("The upstream answered with a status that is no answer.")
        if response.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() not in ("identity", ""):
            raise UpstreamBadContent("The upstream compressed its answer although it was asked not to.")


def _no_way(status: int) -> AdapterError:
    return UpstreamUnreachable(f"The proxy on the way to the upstream refused with status {status}.")


def _start(first: bytes) -> bytes:
    return first.removeprefix(_BOM).lstrip(_BLANK)


def _taken(content: aiohttp.StreamReader) -> bytes:
    """What has been read. The library's own way lets its parser and transport go on after every piece, stopped or not."""
    if content._protocol._reading_paused:
        return content._read_nowait(-1)
    buffer, splits = content._buffer, content._http_chunk_splits
    if len(buffer) == 1:
        chunk = buffer.popleft()
    else:
        chunk = b"".join(buffer)
        buffer.clear()
    content._cursor += content._size
    content._size = 0
    if splits:
        splits.clear()
    return chunk


async def _error_body(reply: Reply) -> bytes:
    """As much of an error's body as is worth reading; trouble on the way ends it."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_ERROR_BODY_WITHIN):
            while size < _ERROR_BODY and (chunk := await reply.read()):
                parts.append(chunk)
                size += len(chunk)
    except (AdapterError, TimeoutError):
        pass
    return b"".join(parts)[:_ERROR_BODY]


def _ours(error: Exception, closed: str, closed_as: type[UpstreamError]) -> AdapterError:
    """What a foreign exception means; `closed_as` and `closed` say what a connection that ends now means."""
    match error:
        case AdapterError():
            return error
        case aiohttp.ConnectionTimeoutError():
            return UpstreamUnconnected("The upstream did not accept the connection in time.")
        case TimeoutError():
            return UpstreamTimeout("The upstream did not begin to answer in time.")
        case aiohttp.ClientConnectorError(errno=errno.EMFILE | errno.ENFILE):
            return Overloaded("This server has as many connections as it may have; try again.")
        case aiohttp.ClientConnectorError() | aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return UpstreamUnreachable("The upstream could not be reached.")
        case aiohttp.ClientHttpProxyError(status=status):
            return _no_way(status)
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | ConnectionError() | RuntimeError():
            return closed_as(closed)
        case _:
            return UpstreamBadContent("The upstream's answer is not valid HTTP.")
