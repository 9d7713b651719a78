"""WebSockets at the path of `POST /v1/responses`: who may open one, and how many.

A handshake that is refused gets an HTTP answer like any request. Codex takes a 426 as "no sockets here" and goes on over
HTTP without a word; that is what `server.websocket = false` says.
"""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

from starlette.types import Message, Receive, Scope, Send

from adapter.access.caller import Caller
from adapter.errors import AdapterError, Forbidden, RateLimited, UpgradeRequired
from adapter.server.http.outlet import Outlet
from adapter.server.http.refusal import refusal
from adapter.server.pipeline import Pipeline
from adapter.server.socket.session import Session
from adapter.server.turn import Outcome, Turn

_RETRY_AFTER = 30
"""Seconds; a connection that is over its caller's bound may be there when another has ended."""


def denying(send: Send) -> Send:
    """What sends an HTTP answer to a handshake."""

    async def deny(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return deny


class Sockets:
    """The endpoint."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._open: Counter[Caller] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect, which says nothing that the scope does not
        handshake = Turn("responses", scope, receive, Outlet(denying(send)))
        try:
            self._admit(handshake, scope)
        except AdapterError as error:
            handshake.error, handshake.outcome = error, Outcome.REFUSED
            await handshake.outlet.whole(*refusal(error, handshake.client))
            self._pipeline.books.opened(handshake)
            self._pipeline.books.closed(handshake)
            return
        caller = handshake.caller
        self._open[caller] += 1
        try:
            await send({"type": "websocket.accept", "headers": handshake.outlet.headers})
            await Session(self._pipeline, handshake, _of_a_turn(scope), receive, send).serve()
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]

    def _admit(self, handshake: Turn, scope: Scope) -> None:
        settings = self._pipeline.settings
        if not settings.websocket:
            raise UpgradeRequired("This server answers over HTTP only.")
        self._pipeline.admit(handshake, scope)
        origin = handshake.headers.get(b"origin")
        own = origin is None or _site(origin) == handshake.headers.get(b"host")
        if not own and not {"*", (origin or b"").decode("latin-1")} & set(settings.cors_origins):
            # a browser asks nobody before it opens a socket to another site, or to this very machine
            raise Forbidden("A page of another origin may not open a socket here.")
        if self._open[handshake.caller] >= settings.websocket_connections:
            raise RateLimited("This caller has as many connections as one may have.", retry_after=_RETRY_AFTER)


def _site(origin: bytes) -> bytes:
    """Host and port of an origin; empty where it has none, or is no URL at all."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return b""


def _of_a_turn(scope: Scope) -> Scope:
    """The scope without what the handshake said of the socket: upstreams are asked over HTTP."""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if not (name == b"openai-beta" and value.startswith(b"responses_websockets"))
    ]
    return {**scope, "headers": kept}
