"""The end of a turn: its access line."""

from __future__ import annotations

import asyncio
from typing import Any

from adapter.server.turn import Turn
from adapter.telemetry.log import access


def settled(turn: Turn) -> None:
    """Log one line: names, numbers and words of our own; never a body, a prompt or a key."""
    line: dict[str, Any] = {
        "request_id": turn.request_id,
        "key_id": turn.caller.key_id,
        "owner": turn.caller.tenant,
        "surface": turn.dialect,
        "upstream": turn.upstream,
        "lane": turn.lane,
        "stream": turn.stream,
        "outcome": turn.outcome.value,
        "ms": round((asyncio.get_running_loop().time() - turn.started) * 1000, 1),
    }
    if turn.thread is not None:
        line["socket"] = True
    if turn.stored:
        line["stored"] = turn.stored
    if turn.error is not None:
        line["status"], line["error"], line["blame"] = turn.error.http_status, turn.error.code, turn.error.blame.value
        if turn.error.__cause__ is not None:
            line["cause"] = type(turn.error.__cause__).__name__
    if turn.usage is not None:
        line["tokens_in"], line["tokens_out"] = turn.usage["input_tokens"], turn.usage["output_tokens"]
    if turn.losses:
        line["losses"] = sorted({loss.kind for loss in turn.losses})
    if turn.anomalies:
        line["anomalies"] = sorted({anomaly.kind for anomaly in turn.anomalies})
    access(line)
