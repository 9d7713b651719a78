"""Connections that wait for their next call.

The HTTP library makes them and closes them. Its own pool looks for one, marks it and wraps it anew for every call, which takes a
twentieth of a plain request's CPU; here one is taken from a list and put back.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp.connector import Connection

KEPT_FOR: Final = 15.0
"""Seconds an idle connection is kept: below the keep-alive time of the common servers, so that few are found closed."""


class Pool:
    """Those to one server."""

    __slots__ = ("_idle", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._idle: list[tuple[Connection, float]] = []
        """Each with the time since when; the one that was used last is the last and the next."""
        self._timer: asyncio.TimerHandle | None = None

    def take(self) -> Connection | None:
        """The one that was used last of those that are still open."""
        idle = self._idle
        while idle:
            connection, since = idle.pop()
            protocol = connection.protocol
            if protocol is not None and protocol.is_connected() and monotonic() - since <= KEPT_FOR:
                return connection
            connection.close()
        return None

    def put(self, connection: Connection) -> None:
        """Its answer is over. It is closed if nothing more can be asked on it."""
        protocol = connection.protocol
        if protocol is None or protocol.transport is None or protocol.should_close:
            connection.close()
            return
        self._idle.append((connection, monotonic()))
        if self._timer is None:
            self._timer = self._loop.call_later(KEPT_FOR, self._sweep)

    def clear(self) -> None:
        """Close all of them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            self._idle.pop()[0].close()

    def _sweep(self) -> None:
        """Close what was not asked for long enough."""
        now, idle = monotonic(), self._idle
        while idle and now - idle[0][1] >= KEPT_FOR:
            idle.pop(0)[0].close()
        self._timer = self._loop.call_later(idle[0][1] + KEPT_FOR - now, self._sweep) if idle else None
