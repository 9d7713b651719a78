"""Liveness and readiness, for whoever starts and routes to this process. No upstream is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import Receive, Scope, Send

from adapter.errors import StoreUnavailable
from adapter.server.drain import Drain
from adapter.server.http.outlet import Outlet
from adapter.server.tasks import Tasks
from adapter.server.turn import Turn
from adapter.wire.headers import JSON
from adapter.wire.jsonio import dumps

_EVERY: Final = 2.0
"""Seconds between two questions to the store, whoever asks us how often."""
_PATIENCE: Final = 0.5
"""Seconds that an answer waits for the store: half of what Kubernetes gives a probe."""


class Livez:
    """GET /livez: the process serves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(scope, receive, send, 200, {"status": "ok"})


class Probe:
    """Whether the store works, as it was found last. While it is being asked, that is what it was: a queue of writers is no
    reason to send the load elsewhere, and what does not answer at all is found out by the store's own limits."""

    def __init__(
        self,
        ready: Callable[[], Awaitable[None]],
        tasks: Tasks,
        *,
        clock: Callable[[], float],
        patience: float = _PATIENCE,
    ) -> None:
        self._ready = ready
        self._tasks = tasks
        self._clock = clock
        self._patience = patience
        self._asking: asyncio.Task[None] | None = None
        self._again_at = clock()
        self._found: str | None = "not answering"

    async def trouble(self) -> str | None:
        """Why nothing can be stored now; None if it can."""
        asking = self._asking
        if asking is None and self._clock() >= self._again_at:
            asking = self._asking = self._tasks.start(self._ask())
        if asking is not None:
            await asyncio.wait([asking], timeout=self._patience)
        return self._found

    async def _ask(self) -> None:
        try:
            await self._ready()
            self._found = None
        except StoreUnavailable as fault:
            self._found = fault.reason
        finally:
            self._asking = None
            self._again_at = self._clock() + _EVERY


class Readyz:
    """GET /readyz, and /health as other gateways call it: new requests are welcome; 503 while draining, and while there is a
    store that cannot be used."""

    def __init__(self, drain: Drain, store: Probe | None) -> None:
        self._drain = drain
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._drain.draining:
            await _answer(scope, receive, send, 503, {"status": "draining"})
        elif self._store is None:
            await _answer(scope, receive, send, 200, {"status": "ready"})
        elif (trouble := await self._store.trouble()) is None:
            await _answer(scope, receive, send, 200, {"status": "ready", "store": "ok"})
        else:
            await _answer(scope, receive, send, 503, {"status": "store_unavailable", "store": trouble})


async def _answer(scope: Scope, receive: Receive, send: Send, status: int, value: dict[str, str]) -> None:
    turn = Turn("responses", scope, receive, Outlet(send))
    await turn.outlet.whole(status, JSON, dumps(value))
