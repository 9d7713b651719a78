"""One upstream answer, from bytes to hub events: decode, read, cut at stop words, count. Sans-IO.

    Intake    feed(bytes) … close()        a stream          fail(error)   the transport broke
    read_whole(parsed(bytes))              a plain reply

Whatever comes in, the events that come out follow the grammar of `hub.events` and end in exactly one terminal event.
"""

from __future__ import annotations

from typing import Any

from adapter.dialects.base import Dialect
from adapter.errors import (
    AdapterError,
    UpstreamBadContent,
    UpstreamEmpty,
    UpstreamEventTooLarge,
    UpstreamInvalid,
    UpstreamTruncated,
)
from adapter.hub.events import Event, Failed, Finished, Item, ItemClosed, Usage
from adapter.hub.fold import Answer, fold
from adapter.hub.items import text_bytes
from adapter.hub.losses import Anomaly
from adapter.hub.request import Clock, Exchange, Ids, derived_token, no_clock
from adapter.hub.stop import StopScanner
from adapter.hub.usage import estimated
from adapter.wire.jsonio import NotJson, is_writable, loads
from adapter.wire.sse import MAX_EVENT, Decoder, event_at


class Intake:
    """Reads the stream of one upstream call."""

    def __init__(
        self,
        dialect: Dialect,
        exchange: Exchange,
        *,
        sent: int = 0,
        ids: Ids = derived_token,
        clock: Clock = no_clock,
        estimate: bool = True,
    ) -> None:
        """`sent` is the size of the upstream request in bytes: usage that nobody reports is estimated from it, unless
        `estimate` is False or nothing is known of what was sent."""
        self._decoder = Decoder()
        self._reader = dialect.stream_reader(exchange, ids=ids, clock=clock)
        self._stop = StopScanner(exchange.stop) if exchange.stop else None
        self._sent = sent
        self._estimate = estimate and sent > 0
        self._closed: list[Item] = []
        self._counted = False
        self.settling = False
        """The answer is complete but for its usage: wait a short time only."""
        self.ended = False
        """The terminal event was given; the upstream may be closed."""
        self._mended: list[Anomaly] = []

    @property
    def bare(self) -> bool:
        """As `StreamReader.bare`."""
        return self._reader.bare

    @property
    def anomalies(self) -> list[Anomaly]:
        """What was mended so far."""
        return self._reader.anomalies + self._mended

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that one read of the upstream amounts to."""
        if self.ended:
            return []
        events: list[Event] = []
        direct = self._decoder.idle and len(chunk) <= MAX_EVENT
        if direct:
            end = self._reader.more(chunk, 0, events)
            if end == len(chunk):
                return events if self._stop is None else self._passed(events)
            chunk = chunk[end:] if end else chunk
        try:
            whole = self._decoder.whole(chunk)
        except UpstreamEventTooLarge as error:
            return self._passed(events + self._reader.fail(error))
        self._read(whole, 0 if direct else self._reader.more(whole, 0, events), events)
        return self._passed(events)

    def _read(self, whole: bytes, at: int, events: list[Event]) -> None:
        """The events of the upstream's stream from the one at `at` on, which is not only text."""
        more, feed, size = self._reader.more, self._reader.feed, len(whole)
        while at < size:
            event, at = event_at(whole, at)
            if event is not None:
                events += feed(*event)
                if at < size:
                    at = more(whole, at, events)

    def close(self) -> list[Event]:
        """The upstream closed its stream."""
        if self.ended:
            return []
        try:
            decoded = self._decoder.close()
        except UpstreamEventTooLarge as error:
            return self.fail(error)
        whole = [event for event in decoded if _whole(event[1])]
        if len(whole) < len(decoded):
            self._mended.append(Anomaly("event_truncated"))
        events = [event for name, data in whole for event in self._reader.feed(name, data)]
        return self._passed(events + self._reader.close())

    def fail(self, error: AdapterError) -> list[Event]:
        """The transport broke, or nobody waits any longer: the end of an answer that is complete, or else the failure."""
        return [] if self.ended else self._passed(self._reader.fail(error))

    def _passed(self, events: list[Event]) -> list[Event]:
        """Through the stop scanner, and with the usage that nobody reported put before the end."""
        self.settling = self._reader.settling
        if self._stop is not None:
            events = self._stop.feed(events)
        if not events:
            return events
        for event in events:
            if type(event) is ItemClosed:
                self._closed.append(event.item)
            elif type(event) is Usage:
                self._counted = True
        last = events[-1]
        if type(last) is Finished:
            self.ended = True
            if self._estimate and not self._counted:
                self._mended.append(Anomaly("usage_estimated"))
                received = sum(text_bytes(item) for item in self._closed)
                events.insert(-1, Usage(estimated(self._sent, received)))
        elif type(last) is Failed:
            self.ended = True
        return events


def parsed(body: bytes) -> Any:
    """The JSON value of a plain reply.

    Raises:
        UpstreamError: it is none.
    """
    try:
        value = loads(body)
    except NotJson as refused:
        raise not_a_reply(body, refused) from None
    if not is_writable(value, body):
        raise UpstreamInvalid("The upstream's answer is nested too deeply.")
    return value


def read_whole(
    dialect: Dialect,
    exchange: Exchange,
    reply: Any,
    *,
    sent: int = 0,
    ids: Ids = derived_token,
    clock: Clock = no_clock,
    estimate: bool = True,
    told: bool = False,
) -> tuple[Answer, list[Event], list[Anomaly]]:
    """A plain reply as the finished answer, as the events of a stream that says the same, and what was mended in it. `sent`
    and `estimate` as for `Intake`; events there are where they are to be `told`, and perhaps otherwise.

    Raises:
        UpstreamError: it is not an answer of this dialect.
    """
    events: list[Event] = []
    if told or exchange.stop:
        events, anomalies = dialect.read_reply(reply, exchange, ids=ids, clock=clock)
        if exchange.stop:
            events = StopScanner(exchange.stop).feed(events)
        answer = fold(events)
    else:
        answer, anomalies = dialect.read_answer(reply, exchange, ids=ids, clock=clock)
    if answer.usage is None and estimate and sent > 0 and answer.error is None:
        anomalies.append(Anomaly("usage_estimated"))
        answer.usage = estimated(sent, sum(map(text_bytes, answer.items.values())))
        if events:
            events.insert(-1, Usage(answer.usage))
    return answer, events, anomalies


def not_a_reply(body: bytes, refused: NotJson) -> AdapterError:
    """What a plain reply is that is `refused` as JSON."""
    if not body.strip():
        return UpstreamEmpty("The upstream answered with an empty body.")
    if body.lstrip()[:1] in (b"{", b"["):
        if refused.cut:
            return UpstreamTruncated("The upstream's answer is not complete JSON.")
        return UpstreamInvalid("The upstream's answer is not valid JSON.")
    return UpstreamBadContent("The upstream answered with something that is not JSON.")


def _whole(data: bytes) -> bool:
    """Whether an event without its blank line is complete nevertheless; half of one is a truncated stream, not garbage."""
    if data == b"[DONE]":
        return True
    try:
        loads(data)
    except NotJson:
        return False
    return True
