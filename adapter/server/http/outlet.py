"""The client's side of one HTTP answer: a status that is held back, bytes, one end.

Two hands write on it, the pump and the pulse, and each waits for the other's send. What is written is computed in the
moment before, so what is numbered first is sent first. Nothing is written after the end, and an answer that cannot end well
has none: the server then closes the connection without the final chunk, which every client takes for what it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from time import monotonic
from typing import Any, ClassVar

from starlette.types import Send

from adapter.errors import AdapterError
from adapter.server.http.joining import DirectWriter, abort, direct_writer, together
from adapter.wire.headers import RawHeaders
from adapter.wire.sse import comment


class Shape(Enum):
    """How a successful answer is sent."""

    STREAM = auto()
    PLAIN = auto()


_PLAIN: RawHeaders = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
_STREAM: RawHeaders = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

_KEEPALIVE = {Shape.STREAM: comment("keep-alive"), Shape.PLAIN: b" "}
"""A comment is no event, and JSON may begin with white space."""


class Outlet:
    """One answer on its way out."""

    has_status: ClassVar[bool] = True
    """There is something to commit: a slow answer is told from a dead one by its status."""

    __slots__ = (
        "_direct",
        "_quiet",
        "_send",
        "_unsent",
        "body",
        "committed",
        "ended",
        "ending",
        "events",
        "headers",
        "last_data",
        "last_write",
        "shape",
        "status",
        "writing_since",
    )

    def __init__(self, send: Send) -> None:
        self._send: Any = send
        self._direct: DirectWriter | None = None
        """For what is `put`; None where everything is `write`'s."""
        self._unsent = b""
        """What was to be written, and still is where whoever waited for that was ended: it goes out before what comes next."""
        self._quiet: asyncio.Future[None] | None = None
        """For the hand that waits for the other one."""
        self.headers: RawHeaders = []
        """Fields of the answer as far as they are known; what comes after the commit is too late."""
        self.body = b""
        """All of an answer that was told at once."""
        self.shape = Shape.PLAIN
        self.committed = False
        """The status has been sent."""
        self.ended = False
        """Nothing more is sent, or was sent whole."""
        self.ending: Callable[[AdapterError], bytes] | None = None
        """What ends a stream that cannot go on, behind all that was written of it; None as long as the answer is no stream."""
        self.status = 0
        """What was sent; 0 as long as none was."""
        self.events = 0
        """Events written so far."""
        self.last_write = self.last_data = monotonic()
        self.writing_since: float | None = None
        """When the send that is going on began, None while there is none; a client that does not read lets it wait."""

    async def whole(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """The whole answer at once; behind a commit (200, white space) its body only."""
        self.body = body
        if self.committed:
            await self.write(body, last=True)
            return
        self.committed = self.ended = True
        self.status = status
        fields = [*self.headers, *headers, (b"content-length", b"%d" % len(body))]
        with together(self._send):
            await self._send({"type": "http.response.start", "status": status, "headers": fields})
            await self._send({"type": "http.response.body", "body": body})

    async def commit(self) -> None:
        """Send the status, 200; the body follows in pieces."""
        self.committed = True
        self.status = 200
        self._direct = direct_writer(self._send)
        fields = [*self.headers, *(_STREAM if self.shape is Shape.STREAM else _PLAIN)]
        await self._send({"type": "http.response.start", "status": 200, "headers": fields})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """One piece of the body, the status before it where that is still due; with `last` also the end."""
        self._unsent += data
        if self.writing_since is not None:
            await self._quiet_now()
        if self.ended:
            return
        data, self._unsent, committed = self._unsent, b"", self.committed
        self.ended = last
        self.writing_since = monotonic()
        try:
            if self.committed:
                await self._send({"type": "http.response.body", "body": data, "more_body": not last})
            else:
                with together(self._send):
                    await self.commit()
                    await self._send({"type": "http.response.body", "body": data, "more_body": not last})
        except asyncio.CancelledError:
            # nothing was taken: the server waits for the client before it takes anything, and never behind that
            self._unsent, self.ended, self.committed = data + self._unsent, False, committed
            raise
        finally:
            self._sent()
        self.last_write = self.last_data = monotonic()

    @property
    def done(self) -> bool:
        """It has ended, and no send waits for the client to read."""
        return self.ended and self.writing_since is None

    @property
    def unheard(self) -> bool:
        """The client had left before the end was written, which the server does not tell whoever writes."""
        try:
            left: bool = self._send.__self__.disconnected
        except AttributeError:  # no answer of the server's own kind
            return False
        return left

    def ready(self) -> bool:
        """What is `put` now is sent at once: the status is out, neither hand writes, and the client reads."""
        direct = self._direct
        return direct is not None and self.writing_since is None and self._quiet is None and direct.ready()

    def put(self, data: bytes) -> None:
        """One piece of the body, without waiting, in a moment that is `ready` for it."""
        assert self._direct is not None
        self._direct.put(data)
        self.last_write = self.last_data = monotonic()

    @property
    def busy(self) -> bool:
        """A send is going on, or the other hand waits to begin one."""
        return self.writing_since is not None or self._quiet is not None

    async def _quiet_now(self) -> None:
        """Wait for the end of the other hand's send."""
        while self.writing_since is not None:
            self._quiet = asyncio.get_running_loop().create_future()
            try:
                await self._quiet
            finally:
                self._quiet = None

    def _sent(self) -> None:
        """A send is over."""
        self.writing_since = None
        if self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    async def keep_alive(self) -> None:
        """Something that means nothing in the answer's shape, and is no data."""
        last_data = self.last_data
        await self.write(_KEEPALIVE[self.shape])
        self.last_data = last_data

    def abort(self) -> None:
        """No end, and nobody who would take what was sent: the connection is closed at once."""
        abort(self._send)
