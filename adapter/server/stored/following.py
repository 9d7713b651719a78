"""A background stream as a client reads it: from the log, after a number, to its end."""

from __future__ import annotations

import asyncio
from typing import Final

from adapter.errors import NotFound
from adapter.server.calls.own import Written
from adapter.store.store import Store
from adapter.wire.sse import framed

_POLL: Final = 0.1
"""Seconds between two looks at the log of a response that another process works on: it writes as often."""
_PAGE: Final = 256


class Signal:
    """Wakes all who wait for the next change."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def send(self) -> None:
        """There is something new."""
        self._next.set()
        self._next = asyncio.Event()

    def listen(self) -> asyncio.Event:
        """Set at the next `send`; to be asked for before looking."""
        return self._next


class Following(Written):
    """The lane of one reader."""

    def __init__(self, store: Store, tenant: str, id: str, after: int, signal: Signal) -> None:
        self._store = store
        self._tenant = tenant
        self._id = id
        self._after = after
        self._signal = signal

    async def piece(self) -> bytes:
        """The next events as they were and are written.

        Raises:
            NotFound: it was deleted meanwhile.
            StoreUnavailable: the log cannot be read; what was read stays true.
        """
        while True:
            news = self._signal.listen()
            page = await self._store.events_after(self._tenant, self._id, self._after, limit=_PAGE)
            if page is None:
                raise NotFound("The response was deleted.")
            over = page.ended and len(page.events) < _PAGE
            events = page.events
            if events:
                self._after = events[-1].sequence
            if over:
                self.ended = True
            if events or over:
                return b"".join(framed(event.name, event.data) for event in events)
            try:
                async with asyncio.timeout(_POLL):
                    await news.wait()
            except TimeoutError:
                pass
