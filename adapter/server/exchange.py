"""The one pipeline of every surface: admit, read, route, plan, begin, pump, settle.

    admit     who asks                                   `Gate`; keys and limits find their place here
    read      body bytes -> one JSON object, bounded     a socket brings the object itself and enters behind this
    route     model -> targets                           `Router`; a retry takes the next target
    plan      the hub or the raw lane, upstream bytes    stored history is put in before; a compaction is another plan
    begin     until the upstream has answered            until here an error is an HTTP status
    pump      events or bytes to the client              from here on it is the stream's one failure event
    settle    usage, the access line                     always, once

Whoever ends a turn early (the client that leaves, the client that does not read, the drain) cancels its task and says why:
the upstream connection closes with it.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Coroutine
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from starlette.types import Receive, Scope, Send

from adapter.config import Server
from adapter.dialects.base import RawStream, StreamWriter
from adapter.dialects.intake import Intake
from adapter.dialects.registry import DIALECTS
from adapter.errors import AdapterError, InternalError, InvalidType, RequestTimeout
from adapter.hub.events import Failed
from adapter.hub.fold import Answer
from adapter.hub.losses import Anomaly
from adapter.hub.request import ClientTraits, DialectName, Exchange
from adapter.server.body import ClientGone, Deadline, check_form, read_body
from adapter.server.caller import Gate, OpenGate
from adapter.server.history import History, NoHistory, as_items, check_calls
from adapter.server.lanes import Hub, Parallel, RawStreaming, RawWhole, begun, begun_in_parallel
from adapter.server.outlet import Outlet, Shape
from adapter.server.plan import Plan, check_losses, losses_header, planned, targets, translated
from adapter.server.pulse import Pulse, Tempo
from adapter.server.pump import collected, stream_events, stream_raw
from adapter.server.refusal import refusal
from adapter.server.settle import settled
from adapter.server.tasks import Tasks
from adapter.server.turn import Outcome, Turn
from adapter.server.watch import Watch
from adapter.telemetry.log import log
from adapter.upstream.client import Kind, Reply, UpstreamClient
from adapter.upstream.credentials import call_headers
from adapter.upstream.router import Router, Target
from adapter.wire.headers import RawHeaders, returned
from adapter.wire.jsonio import dumps, loads_request
from adapter.wire.sse import framed

_JSON: RawHeaders = [(b"content-type", b"application/json")]


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """Serves one request after the other; holds what they share."""

    settings: Server
    router: Router
    client: UpstreamClient
    tasks: Tasks
    gate: Gate = field(default_factory=OpenGate)
    history: History = field(default_factory=NoHistory)
    tempo: Tempo = field(init=False)
    running: set[Turn] = field(default_factory=set)
    """The turns in progress; the drain waits for them."""

    def __post_init__(self) -> None:
        given = self.settings
        self.tempo = Tempo(
            commit_after=given.commit_after,
            keepalive=given.keepalive,
            ping_after=given.ping_after,
            write_timeout=given.write_timeout,
        )

    async def serve(self, dialect: DialectName, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request, answered whatever happens."""
        turn = Turn(dialect, scope, receive, Outlet(send))
        await self.run(turn, self._serve(turn, scope))

    async def run(self, turn: Turn, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of one turn; however it ends, the client gets one end, and the log a line."""
        self.running.add(turn)
        try:
            await work
        except AdapterError as error:
            await _refuse(turn, error)
        except ClientGone:
            turn.outcome = Outcome.CLIENT_GONE
        except asyncio.CancelledError:
            if turn.cut_by is None:
                raise
            turn.task.uncancel()
            turn.outcome = turn.cut_by
            if turn.cut_with is not None:
                await _refuse(turn, turn.cut_with)
                turn.outcome = turn.cut_by
            else:
                turn.outlet.drop()
        except Exception as defect:
            frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(defect.__traceback__)[-8:]]
            log.error("defect", request_id=turn.request_id, kind=type(defect).__name__, at=frames)
            await _refuse(turn, InternalError("This server made a mistake; it has been logged under the request id."))
        finally:
            self.running.discard(turn)
            if self.settings.access_log:
                settled(turn)

    def admit(self, turn: Turn, scope: Scope) -> None:
        """Let the caller in.

        Raises:
            AdapterError: not this one, or not with these header fields.
        """
        turn.check_headers(scope)
        turn.caller = self.gate.admit(turn.headers)

    async def _serve(self, turn: Turn, scope: Scope) -> None:
        self.admit(turn, scope)
        check_form(turn.headers)
        settings = self.settings
        late = RequestTimeout("The request body did not arrive in time.")
        deadline = Deadline(settings.body_timeout, lambda: turn.cut(Outcome.REFUSED, late))
        try:
            data = await read_body(turn.receive, turn.headers, limit=settings.body_limit, deadline=deadline)
        finally:
            deadline.cancel()
        body = loads_request(data)
        del data
        watch = Watch(turn, self.tasks)
        try:
            await self.answer(turn, body)
        finally:
            watch.stop()

    async def answer(self, turn: Turn, body: dict[str, Any]) -> None:
        """Answer an admitted caller's request; whoever calls watches for the client's leaving."""
        pulse = Pulse(turn.outlet, self.tasks, self.tempo, lambda: turn.cut(Outcome.CLIENT_TOO_SLOW))
        try:
            await self._exchange(turn, pulse, await self._plan(turn, body))
        finally:
            pulse.stop()

    async def _plan(self, turn: Turn, body: dict[str, Any]) -> Plan:
        target = targets(body, self.router)[0]
        turn.model, turn.upstream = target.model, target.upstream.name
        recalled = turn.dialect == "responses" and await self.recall(turn, body, target)
        plan = planned(body, turn.dialect, turn.client, target, raw_allowed=not recalled)
        turn.stream, turn.losses, turn.lane = plan.stream, plan.losses, "raw" if plan.raw else "hub"
        if plan.losses:
            match self.settings.losses:
                case "reject":
                    check_losses(plan.losses)
                case "report":
                    turn.outlet.headers.append((b"x-adapter-losses", losses_header(plan.losses)))
                case "ignore":
                    pass
        return plan

    async def recall(self, turn: Turn, body: dict[str, Any], target: Target) -> bool:
        """Put the earlier turns that the request only names before its input, unless the upstream keeps them.

        Raises:
            BadRequest: they are not known here, or the input answers a call that is not among them.
        """
        previous = body.get("previous_response_id")
        if previous is None:
            return False
        if not isinstance(previous, str):
            raise InvalidType("previous_response_id must be a string.", param="previous_response_id")
        thread = turn.thread
        if target.upstream.stateful and not (thread is not None and thread.knows(previous)):
            return False
        recalled = await (thread or self.history).resolve(turn.caller, previous)
        given = as_items(body.get("input"))
        check_calls(recalled, given)
        body["input"] = [*recalled, *given]
        del body["previous_response_id"]
        return True

    async def _exchange(self, turn: Turn, pulse: Pulse, plan: Plan) -> None:
        """Send the plan, bring the answer."""
        outlet = turn.outlet
        writer: StreamWriter | None = None
        observer: RawStream | None = None
        if plan.stream:
            outlet.shape = Shape.STREAM
            if plan.raw:
                observer = DIALECTS[turn.dialect].raw_stream(plan.exchange, clock=_clock)
                turn.ending = observer.fail
            else:
                writer = _writer(turn, pulse, plan.exchange)
        pulse.start()
        answering: Parallel | Hub | RawStreaming | RawWhole
        if plan.calls == 1:
            answering = await self._begun(turn, plan, observer)
        else:
            answering = await begun_in_parallel(lambda: self._translating(turn, plan), plan.calls, self.tasks)
        outlet.headers += returned(answering.headers)
        try:
            match answering:
                case RawWhole():
                    turn.usage = answering.usage
                    async with outlet.lock:
                        await outlet.whole(200, _JSON, answering.body)
                case RawStreaming():
                    await stream_raw(outlet, answering)
                    _note(turn, answering.observer.answer, answering.observer.anomalies)
                case _ if plan.stream:
                    if writer is None:
                        writer = _writer(turn, pulse, answering.exchange)
                    await stream_events(outlet, writer, answering)
                    _note(turn, writer.fold.answer, answering.anomalies)
                    turn.losses = [*turn.losses, *writer.losses]
                case _:
                    answers = await collected(answering, plan.calls)
                    reply = DIALECTS[turn.dialect].write_reply(answers, answering.exchange)
                    _note(turn, answers[0], answering.anomalies)
                    async with outlet.lock:
                        await outlet.whole(200, _JSON, dumps(reply))
            await answering.finish()
        finally:
            answering.close()

    async def _begun(self, turn: Turn, plan: Plan, observer: RawStream | None) -> Hub | RawStreaming | RawWhole:
        """One upstream call, answered. Bytes pass only where the answer has the form that was asked for."""
        if not plan.raw:
            return await self._translating(turn, plan)
        reply = await self._call(turn, plan)
        lane: Hub | RawStreaming | RawWhole
        if reply.kind is Kind.STREAM and observer is not None:
            lane = RawStreaming(reply, observer, settle_within=self.settings.settle_within)
        elif reply.kind is Kind.JSON and observer is None:
            lane = RawWhole(reply, turn.dialect, reply_limit=self.settings.reply_limit)
        else:
            lane = self._hub(reply, plan, translated(plan))
        return await begun(lane)

    async def _translating(self, turn: Turn, plan: Plan) -> Hub:
        return await begun(self._hub(await self._call(turn, plan), plan, plan.exchange))

    async def _call(self, turn: Turn, plan: Plan) -> Reply:
        upstream = plan.target.upstream
        headers = call_headers(upstream, turn.headers, turn.callers_key, turn.request_id)
        return await self.client.post(upstream, plan.path, plan.body, headers, stream=plan.stream)

    def _hub(self, reply: Reply, plan: Plan, exchange: Exchange) -> Hub:
        token = token_hex(16)
        intake = Intake(
            DIALECTS[plan.target.upstream.dialect],
            exchange,
            sent=len(plan.body),
            ids=lambda _: token,
            clock=_clock,
            estimate=self.settings.usage == "estimate",
        )
        settings = self.settings
        return Hub(reply, intake, exchange, reply_limit=settings.reply_limit, settle_within=settings.settle_within)


def _writer(turn: Turn, pulse: Pulse, exchange: Exchange) -> StreamWriter:
    """The client's stream writer, which from now on also ends the stream when it must."""
    writer = DIALECTS[turn.dialect].stream_writer(exchange, clock=_clock)
    turn.ending = lambda error: b"".join(framed(*frame) for frame in writer.feed(Failed(error)))
    if turn.client is ClientTraits.CODEX:
        pulse.ping = writer.ping
    return writer


def _note(turn: Turn, answer: Answer, anomalies: list[Anomaly]) -> None:
    """What the access line says of a streamed or translated answer."""
    turn.usage, turn.anomalies = answer.usage, anomalies
    if answer.error is not None:
        turn.error, turn.outcome = answer.error, Outcome.FAILED


async def _refuse(turn: Turn, error: AdapterError) -> None:
    """Answer with an error, in the way that what was sent so far allows."""
    outlet = turn.outlet
    turn.error = error
    turn.outcome = Outcome.FAILED if outlet.committed else Outcome.REFUSED
    async with outlet.lock:
        if not outlet.committed:
            await outlet.whole(*refusal(error, turn.client))
        elif turn.ending is not None:
            await outlet.data(turn.ending(error), last=True)
        else:  # white space was sent under a 200: only a connection that breaks says that this is no answer
            outlet.drop()


def _clock() -> int:
    return int(time.time())
