"""One upstream call: sent, and begun. The building block of every course; retry and failover loop around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from adapter.dialects.intake import Intake, read_whole
from adapter.dialects.raw import RawStream
from adapter.dialects.registry import DIALECTS
from adapter.errors import AdapterError
from adapter.hub.events import Event
from adapter.hub.fold import Answer
from adapter.hub.losses import Action, Anomaly, Loss
from adapter.hub.request import DialectName, Exchange, Request
from adapter.sections import Server
from adapter.server.calls.choices import begun_in_parallel
from adapter.server.calls.lanes import Answering, Hub, HubWhole, RawStreaming, RawWhole, begun
from adapter.server.calls.losing import report
from adapter.server.calls.plan import (
    SEALED,
    Plan,
    foreign,
    translated,
    without_included_reasoning,
    without_reasoning,
    written,
)
from adapter.server.tasks import Tasks
from adapter.server.turn import Turn
from adapter.telemetry.log import log
from adapter.upstream.client import Kind, Reply, UpstreamClient
from adapter.upstream.credentials import call_headers
from adapter.upstream.lacking import gives_no_reasoning
from adapter.upstream.profiles import INCLUDED
from adapter.upstream.router import Target
from adapter.wire.tokens import token

_UNREADABLE: Final = Loss(
    "input", Action.DROPPED, "reasoning", "The upstream cannot open reasoning that it is given back."
)


def clock() -> int:
    """Whole Unix seconds, for answers that carry no time of their own."""
    return int(time.time())


@dataclass(slots=True, kw_only=True)
class Asking:
    """Makes upstream calls for a turn."""

    client: UpstreamClient
    settings: Server
    tasks: Tasks

    def ask(self, turn: Turn, request: Request, target: Target) -> Coroutine[Any, Any, Hub | HubWhole]:
        """`request` put to `target`, begun.

        Raises:
            AdapterError: it cannot be said there, or was not answered.
        """
        return self.translating(turn, written(request, target))

    async def translating(self, turn: Turn, plan: Plan) -> Hub | HubWhole:
        """The hub events of one call's answer, begun.

        Raises:
            AdapterError: no answer.
        """
        body = plan.body
        while True:
            try:
                reply = await self._sent(turn, plan, body)
                return await begun(self._hub(reply, plan.speaks, plan.exchange, len(body)), turn.lose)
            except AdapterError as refused:
                body = self._asking_less(turn, plan, body, refused) or self._mended(turn, body, refused)

    def answering(self, turn: Turn, plan: Plan) -> Coroutine[Any, Any, Answering]:
        """As `translating`, of all of a plan's calls, as many at once as the turn has places for.

        Raises:
            AdapterError: no answer.
        """
        if plan.calls == 1:
            return self.translating(turn, plan)
        places = plan.calls if turn.failover is None else turn.failover.places
        return begun_in_parallel(lambda: self.translating(turn, plan), plan.calls, places, self.tasks, turn.lose)

    async def passing(
        self, turn: Turn, plan: Plan, observe: Callable[[], RawStream] | None
    ) -> Hub | HubWhole | RawStreaming | RawWhole:
        """A raw plan, begun. Bytes pass only where the answer has the form that was asked for, and a stream its beginning; `observe`
        makes the observer of a stream.

        Raises:
            AdapterError: no answer.
        """
        body = plan.body
        while True:
            try:
                reply = await self._sent(turn, plan, body)
                if reply.kind is Kind.JSON and observe is None:
                    return await begun(RawWhole(reply, plan.speaks, reply_limit=self.settings.reply_limit), turn.lose)
                if reply.kind is Kind.STREAM and observe is not None:
                    lane = RawStreaming(reply, observe(), settle_within=self.settings.settle_within)
                    await begun(lane, turn.lose)
                    if not lane.observer.headless:
                        return lane
                try:
                    exchange = translated(plan)
                except AdapterError:
                    reply.close()
                    raise
                return await begun(self._hub(reply, plan.speaks, exchange, len(body)), turn.lose)
            except AdapterError as refused:
                body = self._mended(turn, body, refused)

    async def document(self, turn: Turn, target: Target, path: str, body: bytes) -> bytes:
        """A plain call whose reply is no answer of a dialect.

        Raises:
            AdapterError: what the upstream's refusal means, or how the way to it failed.
        """
        while True:
            try:
                reply = await self._call(turn, target, path, body, stream=False)
                try:
                    return await reply.body(self.settings.reply_limit)
                finally:
                    reply.close()
            except AdapterError as refused:
                body = self._mended(turn, body, refused)

    def _sent(self, turn: Turn, plan: Plan, body: bytes) -> Coroutine[Any, Any, Reply]:
        return self._call(turn, plan.target, plan.path, body, stream=plan.stream)

    def _call(self, turn: Turn, target: Target, path: str, body: bytes, *, stream: bool) -> Coroutine[Any, Any, Reply]:
        upstream = target.upstream
        headers = call_headers(upstream, turn.headers, turn.callers_key, turn.request_id, target.key)
        return self.client.post(upstream, path, body, headers, stream=stream)

    def _hub(self, reply: Reply, speaks: DialectName, exchange: Exchange, sent: int) -> Hub | HubWhole:
        name, dialect, settings = token(), DIALECTS[speaks], self.settings
        estimate = settings.usage == "estimate"

        def ids(_: str) -> str:
            return name

        if reply.kind is Kind.JSON:

            def read(value: Any) -> tuple[Answer, list[Event], list[Anomaly]]:
                told = exchange.request.stream
                return read_whole(
                    dialect, exchange, value, sent=sent, ids=ids, clock=clock, estimate=estimate, told=told
                )

            return HubWhole(reply, read, exchange, reply_limit=settings.reply_limit)
        intake = Intake(dialect, exchange, sent=sent, ids=ids, clock=clock, estimate=estimate)
        return Hub(reply, intake, exchange, settle_within=settings.settle_within)

    def _asking_less(self, turn: Turn, plan: Plan, body: bytes, refused: AdapterError) -> bytes | None:
        """What an upstream is asked instead that gives no reasoning for its client to carry, of which the client knows nothing; it
        is remembered. None where that was not the reason."""
        if plan.exchange.request.dialect != "chat" or not gives_no_reasoning(refused):
            return None
        less = without_included_reasoning(body)
        if less is None:
            return None
        target = plan.target
        if turn.failover is not None:
            turn.failover.learn(INCLUDED)
        log.warning("kinds_unknown", upstream=target.upstream.name, model=target.model, kinds=(INCLUDED,))
        plain = without_reasoning(less, SEALED)
        if plain is not None:  # of another model, with which the conversation began
            report(turn, (_UNREADABLE,), self.settings.losses)
        return plain or less

    def _mended(self, turn: Turn, body: bytes, refused: AdapterError) -> bytes:
        """What an upstream is asked instead that cannot open reasoning it is given back: the same without it, once.

        Raises:
            AdapterError: `refused`, where that was not the reason; that the reasoning is lost, where nothing may be.
        """
        plain = without_reasoning(body, foreign(refused))
        if plain is None:
            try:
                raise refused
            finally:
                del refused  # its traceback holds this frame, and with it the body
        report(turn, (_UNREADABLE,), self.settings.losses)
        return plain
