"""SIGHUP: the configuration is read again, and counts from the next turn on.

Answers that run keep what they began with. What cannot be served is told in the log, and everything stays as it is. Of several
workers the parent reads, once for all of them, and tells what cannot be served: none goes by another configuration than the rest.

A terminal that hangs up sends the same signal. It is gone then, and nobody is left who could press Ctrl-C: that is a SIGTERM.
Whoever had the signal ignored (`nohup`) is not listened to.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from adapter.apart import beside
from adapter.config import AT_START, renewed
from adapter.errors import ConfigError
from adapter.notifying import Manager
from adapter.sections import Settings
from adapter.server.tasks import Tasks
from adapter.starting import terminal_there
from adapter.telemetry.log import log

if TYPE_CHECKING:
    from prometheus_client import Counter

Again = Callable[[], Settings]
"""Reads the configuration again; takes its time, and raises `ConfigError` or `OSError`."""


class Handed:
    """What the parent of several workers has read for them: the `Again` of each of them. It goes to a worker as that is started,
    and to one that runs with every reading that can be served."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __call__(self) -> Settings:
        return self.settings


class Terminal:
    """The one that this process was started from, if any."""

    def __init__(self) -> None:
        self._was_there = terminal_there()

    @property
    def gone(self) -> bool:
        """It has hung up."""
        return self._was_there and not terminal_there()


class Reloading:
    """Of one process that serves."""

    def __init__(
        self,
        settings: Settings,
        again: Again,
        take: Callable[[Settings], None],
        manager: Manager,
        *,
        tasks: Tasks,
        failures: Counter | None = None,
    ) -> None:
        """`take` is given what is to count from now on, and may raise `ConfigError`. `failures` counts what was not taken."""
        self._settings = settings
        self._again = again
        self._take = take
        self._manager = manager
        self._tasks = tasks
        self._failures = failures
        self._one = asyncio.Lock()
        self._due = False
        """A reading is to begin that has not: it tells whoever asks now, too."""
        self._terminal = Terminal()
        self._previous: Any = None

    def listen(self) -> None:
        """Inside the running loop. Only in the main thread, as Python has it."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop = asyncio.get_running_loop()
            self._previous = signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(self._heard))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # see `hold_reload` and `Workers`

    def forget(self) -> None:
        """Give the signal back to whoever had it."""
        if self._previous is not None:
            signal.signal(signal.SIGHUP, self._previous)

    def _heard(self) -> None:
        if self._terminal.gone:
            signal.raise_signal(signal.SIGTERM)
        elif not self._due:
            self._due = True
            self._tasks.start(self._reload())

    async def _reload(self) -> None:
        async with self._one:
            self._due = False
            self._manager.reloading()
            try:
                read = await asyncio.wrap_future(beside(self._again))
                settings = renewed(self._settings, read)
                self._take(settings)
            except Exception as refused:
                tell_failure(refused, self._failures)
            else:
                before, self._settings = self._settings, settings
                later = [name for name in AT_START if getattr(read, name) != getattr(before, name)]
                log.info("reloaded", changed=changed(before, settings), at_next_start=later)
            self._manager.ready()


def tell_failure(refused: Exception, failures: Counter | None) -> None:
    """That a reading was not taken, and why: in the log and the metrics."""
    if failures is not None:
        failures.inc()  # before the line: whoever reads that finds it counted
    told = isinstance(refused, ConfigError | OSError)  # the text of a mistake of ours may hold anything
    log.error("reload_failed", why=str(refused) if told else type(refused).__name__)


def changed(before: Settings, after: Settings) -> list[str]:
    """The sections that say something else, upstreams by name, and `keys_file`."""
    found = [
        each.name
        for each in fields(Settings)
        if each.name not in ("written", "upstreams") and getattr(before, each.name) != getattr(after, each.name)
    ]
    old, new = ({upstream.name: upstream for upstream in each.upstreams} for each in (before, after))
    return found + [f"upstreams.{name}" for name in {**old, **new} if old.get(name) != new.get(name)]
