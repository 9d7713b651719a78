"""The one pipeline of every surface: admit, read, decide, begin, pump, settle.

    admit     header fields -> who asks                  `Gate`
    read      body bytes -> one JSON object, bounded     a socket brings the object itself and enters behind this
    decide    body -> targets, history, blobs, course    `Courses`; what it may cost is reserved then
    begin     until the upstream has answered            until here an error is an HTTP status
    pump      events or bytes to the client              from here on it is the stream's one failure event
    settle    usage, limits, the access line             `Books`; always, once

Whoever ends a turn early (the client that leaves, the client that does not read, the drain) cancels its task and says why:
the upstream connection closes with it.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from adapter.dialects.base import StreamWriter
from adapter.dialects.params import for_client
from adapter.dialects.registry import DIALECTS
from adapter.errors import AdapterError, Blame, InternalError, RequestTimeout
from adapter.hub.events import Failed
from adapter.hub.fold import Answer
from adapter.hub.losses import Anomaly
from adapter.hub.request import DialectName, Exchange
from adapter.hub.usage import BYTES_PER_TOKEN, estimated, summed
from adapter.sections import Server
from adapter.server.calls.asking import clock
from adapter.server.calls.lanes import RawStreaming, RawWhole
from adapter.server.calls.own import Document, Written
from adapter.server.calls.plan import serialised
from adapter.server.calls.pump import collected, stream_events, stream_raw, stream_written
from adapter.server.courses.course import Course, Decide
from adapter.server.http.body import ClientGone, Deadline, check_form, read_body
from adapter.server.http.joining import has_arrived
from adapter.server.http.outlet import Outlet, Shape
from adapter.server.http.refusal import refusal, told_in_stream
from adapter.server.idempotency import Idempotency, Named
from adapter.server.pulse import Pulse
from adapter.server.served import Served
from adapter.server.settle import Books
from adapter.server.tasks import Tasks
from adapter.server.turn import Outcome, Turn
from adapter.telemetry.log import log
from adapter.wire.headers import IDEMPOTENCY_KEY, JSON, OF_LIMITS, RawHeaders, returned
from adapter.wire.jsonio import loads_request

_LAST_WORDS_WITHIN: Final = 3.0
"""Seconds for a client that is slow to take how its answer was ended; less than a server that stops has after its deadline."""


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """Serves one request after the other; holds what they share."""

    settings: Server
    served: Served
    """What a turn that begins now goes by."""
    tasks: Tasks
    books: Books = field(default_factory=Books)
    idempotency: Idempotency = field(init=False)
    running: set[Turn] = field(default_factory=set)
    """The turns in progress; the drain waits for them."""

    def __post_init__(self) -> None:
        self.idempotency = Idempotency(self.tasks.alarms)

    def serve(
        self, dialect: DialectName, decide: Decide, scope: Scope, receive: Receive, send: Send, *, has_body: bool = True
    ) -> Coroutine[Any, Any, None]:
        """One HTTP request, answered whatever happens; `decide` is one of the `Courses`, or as one of them."""
        turn = Turn(dialect, scope, receive, Outlet(send))
        return self.run(turn, self._serve(turn, decide, scope, has_body=has_body))

    async def run(self, turn: Turn, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of one turn; however it ends, the client gets one end, and the log a line."""
        self.running.add(turn)
        self.books.opened(turn)
        try:
            await work
            if turn.outlet.unheard and turn.outcome is Outcome.OK:
                turn.outcome = Outcome.CLIENT_GONE
        except AdapterError as error:
            await _refuse(turn, error)
        except ClientGone:
            turn.outcome = Outcome.CLIENT_GONE
        except asyncio.CancelledError:
            if turn.cut_by is None:
                raise
            turn.task.uncancel()
            await _cut(turn)
            turn.outcome = turn.cut_by
        except Exception as defect:
            frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(defect.__traceback__)[-8:]]
            log.error("defect", request_id=turn.request_id, kind=type(defect).__name__, at=frames)
            await _refuse(turn, InternalError("This server made a mistake; it has been logged under the request id."))
        finally:
            self.running.discard(turn)
            self.books.closed(turn)
            turn.let_go()

    def admit(self, turn: Turn, scope: Scope) -> None:
        """Let the caller in.

        Raises:
            AdapterError: not this one, or not with these header fields.
        """
        turn.check_headers(scope)
        turn.caller = self.served.gate.admit(turn.headers, peer(scope))

    async def _serve(self, turn: Turn, decide: Decide, scope: Scope, *, has_body: bool) -> None:
        self.admit(turn, scope)
        if not has_body:
            await self.answer(turn, decide, {}, watches=True)
        elif IDEMPOTENCY_KEY not in turn.headers:
            await self.answer(turn, decide, loads_request(await self._body(turn)), watches=True)
        else:
            with Named(self.idempotency, turn, scope["path"], decide) as named:
                await self.answer(turn, named.decide, named.read(await self._body(turn)), watches=True)

    async def _body(self, turn: Turn) -> bytes:
        check_form(turn.headers)
        settings, deadline = self.settings, None
        if not has_arrived(turn.receive):  # nearly all have: 1.3 % of a plain request
            deadline = Deadline(self.tasks.alarms, settings.body_timeout, lambda: turn.cut(Outcome.REFUSED, _late()))
        try:
            data = await read_body(turn.receive, turn.headers, limit=settings.body_limit, deadline=deadline)
        finally:
            if deadline is not None:
                deadline.cancel()
        turn.size = len(data)
        return data

    async def answer(self, turn: Turn, decide: Decide, body: dict[str, Any], *, watches: bool = False) -> None:
        """Answer an admitted caller's request. `watches`: the client's leaving is noticed here and by nobody else."""
        outlet = turn.outlet
        pulse = Pulse(turn, self.tasks, self.settings, watches=watches)
        turn.read = monotonic()
        try:
            course = await decide(turn, body)
            if turn.counters:
                await self.books.charge(turn, body)
            del body  # as long as the answer runs nobody may hold it: see `Exchange.answered`
            writer = _prepared(turn, pulse, course)
            pulse.start()
            turn.sent = monotonic()
            answering = await course.begun()
            turn.first_event = monotonic()
            outlet.headers += _passing_back(turn, returned(answering.headers))
            try:
                match answering:
                    case RawWhole() | Document():
                        turn.usage = answering.usage or self._estimated(turn, len(answering.body))
                        await outlet.whole(200, JSON, answering.body)
                        if answering.error is not None:
                            turn.error, turn.outcome = answering.error, Outcome.FAILED
                    case RawStreaming():
                        if turn.client.codex:
                            pulse.ping = answering.observer.ping
                        await stream_raw(outlet, answering)
                        _note(turn, answering.observer.answer, answering.observer.anomalies)
                        if turn.usage is None and turn.error is None:  # servers stream a token in an event
                            turn.usage = self._estimated(turn, outlet.events * BYTES_PER_TOKEN)
                    case Written():
                        await stream_written(outlet, answering)
                    case _ if course.stream:
                        if writer is None or answering.exchange is not course.exchange:
                            writer = _writer(turn, pulse, answering.exchange)
                        await stream_events(outlet, writer, answering)
                        _note(turn, writer.fold.answer, answering.anomalies)
                        turn.losses = [*turn.losses, *writer.losses]
                    case _:
                        answers = await collected(answering)
                        _note(turn, answers[0], answering.anomalies)
                        if len(answers) > 1:
                            turn.usage = summed([answer.usage for answer in answers])
                        for answer in answers:
                            if answer.error is not None:
                                raise answer.error
                        reply = DIALECTS[turn.dialect].write_reply(answers, answering.exchange)
                        turn.losses = [*turn.losses, *DIALECTS[turn.dialect].unsaid(answers, answering.exchange)]
                        await outlet.whole(200, JSON, serialised(reply))
                await answering.finish()
            finally:
                answering.close()
        finally:
            pulse.stop()

    def _estimated(self, turn: Turn, received: int) -> dict[str, Any] | None:
        """Usage for the books, where an upstream that was asked reports none; `received` in bytes."""
        if (
            turn.failover is None
            or not turn.failover.begun
            or (self.settings.usage == "omit" and turn.reservation is None)
        ):
            return None
        turn.anomalies = [*turn.anomalies, Anomaly("usage_estimated")]
        return estimated(turn.size, received)


def _late() -> AdapterError:
    return RequestTimeout("The request body did not arrive in time.")


def peer(scope: Scope) -> str:
    """The address that a request came from: the socket's own, since header fields can say anything."""
    client = scope.get("client")
    return client[0] if client else ""


def _passing_back(turn: Turn, fields: RawHeaders) -> RawHeaders:
    """What the client gets of the upstream's fields: limits of an account that others use too are not its business."""
    if turn.caller.key_id is None:
        return fields
    return [field for field in fields if not field[0].startswith(OF_LIMITS)]


def _prepared(turn: Turn, pulse: Pulse, course: Course) -> StreamWriter | None:
    """The turn, ready to be begun; the writer of a stream that is not passed as bytes."""
    turn.stream = course.stream
    if not course.stream:
        return None
    turn.outlet.shape = Shape.STREAM
    if course.raw:
        if turn.client.codex:  # who waits for bytes waits like everybody
            pulse.ping = DIALECTS[turn.dialect].stream_writer(course.exchange, clock=clock).ping
        return None
    return _writer(turn, pulse, course.exchange)


def _writer(turn: Turn, pulse: Pulse, exchange: Exchange) -> StreamWriter:
    """The client's stream writer, which until there is an answer also ends the stream when it must."""
    writer = DIALECTS[turn.dialect].stream_writer(exchange, clock=clock)
    turn.outlet.ending = lambda error: writer.write([Failed(error)])
    if turn.client.codex:
        pulse.ping = writer.ping
    return writer


def _note(turn: Turn, answer: Answer, anomalies: list[Anomaly]) -> None:
    """What the access line says of a streamed or translated answer."""
    turn.usage, turn.anomalies = answer.usage, turn.anomalies + anomalies
    if answer.error is not None:
        turn.error, turn.outcome = answer.error, Outcome.FAILED


async def _cut(turn: Turn) -> None:
    """End what was ended from outside; with its connection where there is nobody to tell, or nobody who reads."""
    if turn.cut_with is not None and not turn.outlet.ended:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_WITHIN):
                await _refuse(turn, turn.cut_with)
                return
    turn.outlet.abort()


async def _refuse(turn: Turn, error: AdapterError) -> None:
    """Answer with an error, in the way that what was sent so far allows."""
    outlet = turn.outlet
    if error.blame is Blame.UPSTREAM and turn.target is not None and turn.target.upstream.dialect != turn.dialect:
        error.param = for_client(error.param, turn.dialect)
    if turn.sent is not None:
        error.headers = tuple(_passing_back(turn, list(error.headers)))
    if turn.target is not None:
        for (
            secret
        ) in turn.target.upstream.secrets:  # that of an error in a 200; others were taken out where they were read
            error.message = error.message.replace(secret, "[redacted]")
    turn.error = error
    turn.outcome = Outcome.FAILED if outlet.committed else Outcome.REFUSED
    if not outlet.committed:
        told = told_in_stream(error, turn.client)
        if told is None or outlet.ending is None:
            await outlet.whole(*refusal(error, turn.client))
        else:
            await outlet.write(outlet.ending(told), last=True)
    elif outlet.ending is not None:
        await outlet.write(outlet.ending(error), last=True)
    # else white space was sent under a 200: only a connection that breaks says that this is no answer
