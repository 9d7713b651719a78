"""Structured log lines: JSON on a pipe, readable on a terminal. One access line for every request.

Nothing that a client or an upstream wrote is logged: names come from the configuration, classes of errors from our own code.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_INFO: Final = 20


class Log:
    """Says that something happened: its name, and what is to be known of it."""

    def __init__(self) -> None:
        self.minimum = _INFO
        self.write: Callable[[dict[str, Any]], None] = _as_json

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
            self.write(line)

    def access(self, line: dict[str, Any]) -> None:
        """The one line of a request; `line` is made for it and may be changed."""
        if self.minimum <= _INFO:
            line["event"], line["level"], line["ts"] = "request", "info", datetime.now(UTC)
            self.write(line)


def _as_json(line: dict[str, Any]) -> None:
    out = sys.stdout.buffer
    out.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z))
    out.flush()


def _told() -> Callable[[dict[str, Any]], None]:
    """For a person; imported only where there is one."""
    from structlog.dev import ConsoleRenderer

    render = ConsoleRenderer(timestamp_key="ts")

    def write(line: dict[str, Any]) -> None:
        line["ts"] = line["ts"].isoformat().replace("+00:00", "Z")
        print(render(None, line["level"], line))

    return write


log: Final = Log()
access: Final = log.access


def configure(level: str) -> None:
    """Set up logging for this process; call once."""
    log.minimum = _LEVELS[level]
    log.write = _told() if sys.stdout.isatty() else _as_json
    logging.getLogger("uvicorn.error").addFilter(_expected)
    logging.getLogger("uvicorn").setLevel(max(log.minimum, logging.WARNING))


def _expected(record: logging.LogRecord) -> bool:
    """Dropping a connection that cannot be ended well is how a broken plain answer ends: no news to the server's log."""
    return not str(record.msg).startswith("ASGI callable returned without")
