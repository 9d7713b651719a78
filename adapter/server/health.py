"""Liveness and readiness, for whoever starts and routes to this process. No upstream is asked."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from adapter.server.drain import Drain


class Livez:
    """GET /livez: the process serves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, 200, b'{"status":"ok"}')


class Readyz:
    """GET /readyz: new requests are welcome; 503 while draining."""

    def __init__(self, drain: Drain) -> None:
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._drain.draining:
            await _answer(send, 503, b'{"status":"draining"}')
        else:
            await _answer(send, 200, b'{"status":"ready"}')


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
