"""Structured log lines: JSON on a pipe, readable on a terminal. One access line for every request.

Nothing that a client or an upstream wrote is logged: names come from the configuration, classes of errors from our own code.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from select import PIPE_BUF, select
from typing import Any, Final

import orjson

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_INFO: Final = 20
_WITHIN: Final = 0.1
"""Seconds that an access line waits for others: a write for each wakes whoever reads them, an eighth of a plain request's
CPU on a pipe."""
_MOST: Final = 64
"""Lines that wait."""


class Log:
    """Says that something happened: its name, and what is to be known of it."""

    def __init__(self) -> None:
        self.minimum = _INFO
        self.render: Callable[[dict[str, Any]], bytes] = _as_json
        self._waiting: list[bytes] = []

    def info(self, event: str, **fields: Any) -> None:
        """As it should be."""
        self._say("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Not as it should be, and survived."""
        self._say("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Somebody has to look."""
        self._say("error", event, fields)

    def _say(self, level: str, event: str, line: dict[str, Any]) -> None:
        if _LEVELS[level] >= self.minimum:
            line["event"], line["level"], line["ts"] = event, level, datetime.now(UTC)
            self._waiting.append(self.render(line))
            self.flush()

    def access(self, line: dict[str, Any]) -> None:
        """The one line of a request, written a little later; `line` is made for it and may be changed."""
        if self.minimum <= _INFO:
            line["event"], line["level"], line["ts"] = "request", "info", datetime.now(UTC)
            waiting = self._waiting
            waiting.append(self.render(line))
            if len(waiting) == 1:
                asyncio.get_running_loop().call_later(_WITHIN, self.flush)
            elif len(waiting) == _MOST:
                self.flush()

    def flush(self) -> None:
        """Write what waits, as far as it is taken at once. Nothing fails for want of a log line, and nothing is held up by one: a
        pipe without a reader, or with one that does not read, a full disk."""
        lines, self._waiting = self._waiting, []
        out = sys.stdout.buffer
        with suppress(OSError):
            for part in _parts(lines):
                if select((), (out,), (), 0)[1]:
                    out.write(part)
                    out.flush()


def _parts(lines: Iterable[bytes]) -> Iterator[bytes]:
    """As many whole lines together as a pipe that takes anything takes at once; no worker speaks in the middle of another's."""
    part: list[bytes] = []
    size = 0
    for line in lines:
        size += len(line)
        if part and size > PIPE_BUF:
            yield b"".join(part)
            part, size = [], len(line)
        part.append(line)
    if part:
        yield b"".join(part)


def _as_json(line: dict[str, Any]) -> bytes:
    return orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


def _told() -> Callable[[dict[str, Any]], bytes]:
    """For a person; imported only where there is one."""
    from structlog.dev import ConsoleRenderer

    render = ConsoleRenderer(timestamp_key="ts")

    def rendered(line: dict[str, Any]) -> bytes:
        line["ts"] = line["ts"].isoformat().replace("+00:00", "Z")
        return f"{render(None, line['level'], line)}\n".encode()

    return rendered


log: Final = Log()
access: Final = log.access


def configure(level: str) -> None:
    """Set up logging for this process; call once."""
    log.minimum = _LEVELS[level]
    log.render = _told() if sys.stdout.isatty() else _as_json
    logging.getLogger("uvicorn.error").addFilter(_expected)
    logging.getLogger("uvicorn").setLevel(max(log.minimum, logging.WARNING))


def _expected(record: logging.LogRecord) -> bool:
    """No news to the server's log: dropping a connection that cannot be ended well is how a broken plain answer ends, and what a
    client sends over a socket in no Unicode is told to it, by the close code."""
    return not str(record.msg).startswith(("ASGI callable returned without", "Invalid UTF-8 sequence"))
