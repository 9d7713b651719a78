"""SIGTERM: not ready, stop accepting, let streams finish, fail what is left before the deadline, exit.

The server closes its listener and waits by itself; it only has to hear of the signal after us, and what still runs at the
deadline has to end with an explicit failure instead of a cut connection.

A worker whose parent was killed goes as if it had got the signal: nobody would pass one on to it, and as long as it listens no
successor gets the address.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable
from multiprocessing import parent_process
from types import FrameType
from typing import Any

from adapter.errors import ShuttingDown
from adapter.notifying import Manager
from adapter.server.turn import Outcome, Turn

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Drain:
    """Whether this process is on its way out, and what happens then."""

    def __init__(
        self, running: Iterable[Turn], manager: Manager, *, delay: float, timeout: float, worker: bool = False
    ) -> None:
        """`worker`: one of several, whose parent sends it a SIGTERM for the first signal and a SIGINT for every other one."""
        self.draining = False
        self._worker = worker
        self._running = running
        self._manager = manager
        self._delay = delay
        self._timeout = timeout
        self._until = 0.0
        self._previous: dict[int, Any] = {}
        parent = parent_process() if worker else None
        self._parent = None if parent is None else parent.sentinel
        """Readable once there is no parent any more."""

    @property
    def left(self) -> float:
        """Seconds that running answers still have; none where nobody has said that this process is to go."""
        return max(self._until - asyncio.get_running_loop().time(), 0.0)

    def listen(self) -> None:
        """Take the signals before the server does; it gets them from us. Only in the main thread, as Python has it."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def heard(number: int, frame: FrameType | None) -> None:
            server = self._previous.get(number)
            loop.call_soon_threadsafe(self.begin, number, lambda: server(number, frame) if callable(server) else None)

        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, heard)
        if self._parent is not None:
            loop.add_reader(self._parent, self._orphaned, self._parent)

    def _orphaned(self, parent: int) -> None:
        asyncio.get_running_loop().remove_reader(parent)
        signal.raise_signal(signal.SIGTERM)

    def forget(self) -> None:
        """Give the signals back to whoever had them."""
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._previous.clear()
        if self._parent is not None:
            asyncio.get_running_loop().remove_reader(self._parent)

    def begin(self, number: int, stop_accepting: Callable[[], None]) -> None:
        """Turn not ready; after the delay stop accepting; at the deadline fail what still runs. A second signal stops at
        once."""
        loop = asyncio.get_running_loop()
        if self.draining and self._worker and number == signal.SIGTERM:
            return  # the parent's: systemd and terminals send theirs to the workers, too
        if self.draining:
            self._fail_running()
            stop_accepting()
            return
        self.draining = True
        self._manager.stopping()
        self._until = loop.time() + self._delay + self._timeout
        loop.call_later(self._delay, stop_accepting)
        loop.call_at(self._until, self._fail_running)

    def _fail_running(self) -> None:
        for turn in list(self._running):
            turn.cut(Outcome.SHUT_DOWN, ShuttingDown("This server is shutting down; send the request again."))
