"""The books of a turn: what it may cost is reserved, what it did cost is settled; one access line, one count in every metric.

A turn that was charged and ends without a reported usage is settled by what is known of it: the bytes that were sent, and
an event for a token, which is what servers stream. An error instead of an answer costs what was asked before it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from adapter.access.limits import estimate, told
from adapter.access.meter import Meter
from adapter.errors import RateLimited
from adapter.hub.usage import BYTES_PER_TOKEN, summed
from adapter.server.turn import Outcome, Turn
from adapter.telemetry.log import access

if TYPE_CHECKING:
    from adapter.telemetry.metrics import Meters

_BY_CLIENT: Final = frozenset({Outcome.CLIENT_GONE, Outcome.CLIENT_TOO_SLOW, Outcome.CANCELLED})
_CLOSED_REQUEST: Final = 499
"""What proxies log for a client that did not wait for a status."""
_NO_LIMIT: Final = 1 << 50
_TRACE: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\Z")


@dataclass(slots=True, kw_only=True)
class Books:
    """Of one process."""

    access_log: bool = True
    meter: Meter | None = None
    meters: Meters | None = None

    def opened(self, turn: Turn) -> None:
        """A turn begins."""
        if self.meters is not None:
            self.meters.inflight.inc()

    async def charge(self, turn: Turn, body: dict[str, Any], *, admitted: bool = False) -> None:
        """Reserve what the turn may cost in all of the limits that it is under; `admitted` for one that goes on with what
        another turn was admitted with: its request was counted, and no limit refuses it any more.

        Raises:
            RateLimited: one of them has no room.
            LimitsUnavailable: nobody can say.
        """
        counters = turn.counters
        if not counters or self.meter is None:
            return
        if admitted:
            counters = tuple(replace(each, limit=_NO_LIMIT) for each in counters if each.measure.unit != "requests")
        try:
            turn.reservation = await self.meter.reserve(counters, *estimate(body, turn.size))
        except RateLimited as refused:
            if self.meters is not None:
                self.meters.limited.labels(refused.type).inc()
            raise
        if turn.reservation is not None:
            turn.outlet.headers += told(turn.reservation.levels)

    def closed(self, turn: Turn) -> None:
        """A turn is over, whoever ended it."""
        if turn.failover is not None:
            turn.failover.leave()
        if turn.reservation is not None and self.meter is not None:
            self.meter.settle(turn.reservation, spent(turn))
        if self.access_log:
            access(line(turn))
        if self.meters is not None:
            self.meters.inflight.dec()
            _count(self.meters, turn)


def spent(turn: Turn) -> int:
    """The tokens that a turn cost."""
    reported = usage(turn)
    tokens: int = 0 if reported is None else reported["input_tokens"] + reported["output_tokens"]
    if turn.usage is not None or turn.failover is None or not turn.failover.begun:
        return tokens
    if turn.outcome is Outcome.REFUSED or (turn.outcome is Outcome.FAILED and not turn.outlet.events):
        return tokens
    return max(-(-turn.size // BYTES_PER_TOKEN), tokens) + turn.outlet.events


def usage(turn: Turn) -> dict[str, Any] | None:
    """What was reported of a turn's calls, those included that failed; None where no model was to be asked: an answer that is read
    again, from the upstream that keeps it, tells what it had cost."""
    if turn.failover is None:
        return None
    return turn.paid if turn.usage is None else summed((turn.lost, turn.usage))


def line(turn: Turn) -> dict[str, Any]:
    """The access line: names, numbers and words of our own; never a body, a prompt or a key."""
    outlet = turn.outlet
    entry: dict[str, Any] = {
        "request_id": turn.request_id,
        "key_id": turn.caller.key_id,
        "owner": turn.caller.tenant,
        "surface": turn.surface,
        "model": turn.model,
        "upstream": turn.upstream,
        "lane": turn.lane,
        "stream": turn.stream,
        "status": outlet.status or (_CLOSED_REQUEST if turn.outcome in _BY_CLIENT else None),
        "outcome": turn.outcome,
        "phase": phase(turn),
        "ms": round((monotonic() - turn.started) * 1000, 1),
    }
    if turn.sent is not None and turn.first_event is not None:
        entry["first_event_ms"] = round((turn.first_event - turn.sent) * 1000, 1)
    parent = turn.headers.get(b"traceparent")
    if parent is not None and (trace := _TRACE.match(parent)) is not None:
        entry["trace_id"] = trace[1].decode()
    if turn.thread is not None and turn.lane != "background":
        entry["socket"] = True
    if turn.stored:
        entry["stored"] = turn.stored
    if turn.failover is not None and len(turn.failover.tried) > 1:
        entry["tried"] = [f"{upstream}:{outcome}" for upstream, outcome in turn.failover.tried]
    if turn.error is not None:
        entry["error"], entry["blame"] = turn.error.code, turn.error.blame.value
        if turn.error.__cause__ is not None:
            entry["cause"] = type(turn.error.__cause__).__name__
    if (reported := usage(turn)) is not None:
        entry["tokens_in"], entry["tokens_out"] = reported["input_tokens"], reported["output_tokens"]
    if turn.losses:
        entry["losses"] = _kinds(turn.losses)
    if turn.anomalies:
        entry["anomalies"] = _kinds(turn.anomalies)
    return entry


def phase(turn: Turn) -> str:
    """How far it got: request, upstream, answer, end."""
    if turn.outcome is Outcome.OK:
        return "end"
    if turn.first_event is not None:
        return "answer"
    return "request" if turn.sent is None else "upstream"


def _kinds(found: Collection[Any]) -> list[str]:
    return sorted({each.kind for each in found})


def _count(meters: Meters, turn: Turn) -> None:
    now = monotonic()
    meters.requests.labels(turn.surface, turn.upstream or "none", turn.outcome.value).inc()
    meters.duration.labels(turn.surface).observe(now - turn.started)
    if turn.sent is not None:
        meters.overhead.labels(turn.surface).observe(turn.sent - (turn.read or turn.started))
        if turn.first_event is not None:
            meters.first_event.labels(turn.upstream or "none").observe(turn.first_event - turn.sent)
    if turn.outlet.events:
        meters.stream_events.labels(turn.surface).inc(turn.outlet.events)
    for upstream, outcome in turn.failover.tried if turn.failover is not None else ():
        meters.attempts.labels(upstream, outcome).inc()
    for anomaly in turn.anomalies:
        meters.anomalies.labels(meters.word(anomaly.kind)).inc()
    for loss in turn.losses:
        meters.losses.labels(meters.word(loss.kind)).inc()
    if turn.stored:
        meters.stored.labels(turn.stored).inc()
    if (reported := usage(turn)) is not None:
        meters.used(reported)
