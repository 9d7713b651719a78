"""Calls an ASGI application without a server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from adapter.demo.app import app


def call(path: str, body: Any = None, method: str = "POST") -> tuple[int, bytes]:
    """Status and body of one request; `body` is dumped unless it is bytes."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "method": method, "path": path}, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
