"""Structured log lines: JSON on a pipe, readable on a terminal. One access line for every request.

Nothing that a client or an upstream wrote is logged: names come from the configuration, classes of errors from our own code.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, BinaryIO, Final, cast

import orjson
import structlog

log: Final[structlog.typing.FilteringBoundLogger] = structlog.get_logger()

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: str) -> None:
    """Set up logging for this process; call once."""
    minimum = _LEVELS[level]
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    if sys.stdout.isatty():
        structlog.configure(
            processors=[*shared, structlog.dev.ConsoleRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(minimum),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[*shared, structlog.processors.JSONRenderer(serializer=_dumps)],
            wrapper_class=structlog.make_filtering_bound_logger(minimum),
            logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, _Stdout())),
            cache_logger_on_first_use=True,
        )
    logging.getLogger("uvicorn.error").addFilter(_expected)
    logging.getLogger("uvicorn").setLevel(max(minimum, logging.WARNING))


class _Stdout:
    """Standard output as it is when a line is written: it may be replaced after the logger was made."""

    def write(self, data: bytes) -> int:
        return sys.stdout.buffer.write(data)

    def flush(self) -> None:
        sys.stdout.buffer.flush()


def _dumps(value: Any, **_: Any) -> bytes:
    return orjson.dumps(value, default=str)


def _expected(record: logging.LogRecord) -> bool:
    """Dropping a connection that cannot be ended well is how a broken plain answer ends: no news to the server's log."""
    return not str(record.msg).startswith("ASGI callable returned without")
