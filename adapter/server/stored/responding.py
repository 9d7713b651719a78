"""How a turn on Responses is kept: here, by its upstream, or in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from adapter.dialects.registry import DIALECTS
from adapter.errors import Abandoned, AdapterError, PreviousResponseNotFound, StoreUnavailable
from adapter.hub.events import Event, Finished, Item, Started
from adapter.hub.fold import Answer
from adapter.hub.request import Exchange
from adapter.server.calls.asking import clock
from adapter.server.calls.lanes import Hub, HubWhole, RawStreaming, RawWhole
from adapter.server.calls.own import Changed
from adapter.server.courses.course import Course, Lane
from adapter.server.stored.kept import Kept, known
from adapter.server.turn import Turn
from adapter.store.store import Store

Start: TypeAlias = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


@dataclass(slots=True, kw_only=True)
class Kind:
    """The facts of a stored response that its client is told in every event."""

    id: str
    conversation: str | None
    background: bool
    created_at: int = field(default_factory=clock)

    @property
    def facts(self) -> dict[str, Any]:
        """As the echo of the request has them."""
        made: dict[str, Any] = {
            "store": True,
            "background": self.background,
        }
        if self.conversation is not None:
            made["conversation"] = {"id": self.conversation}
        return made

    def mine(self, event: Event) -> Event:
        """The event of an upstream's answer, as one of this response."""
        if isinstance(event, Started):
            return Started(self.id, event.model, self.created_at, {**event.extra, **self.facts})
        if isinstance(event, Finished):
            extra = {key: value for key, value in event.extra.items() if key not in self.facts}
            if event.status == "completed":
                extra["completed_at"] = max(extra.get("completed_at", 0), self.created_at, clock())
            return replace(event, extra=extra)
        return event

    def begun(self, exchange: Exchange, status: str) -> dict[str, Any]:
        """The object before there is an answer."""
        answer = Answer(id=self.id, model=exchange.request.model, created_at=self.created_at, extra=self.facts)
        return DIALECTS["responses"].write_reply([answer], exchange) | {"status": status}


@dataclass(slots=True, kw_only=True)
class KeepResponse:
    """Kept here: once with its input before the upstream is asked, once with its end."""

    store: Store
    start: Start
    turn: Turn
    kind: Kind
    given: list[Item]
    """This turn's own input."""
    earlier: list[Item]
    """What was put before it."""
    passes: bool = False
    _linked: bool = True
    """What it continues is stored, and need not be stored again."""

    def course(self, course: Course) -> Course:
        """See `Keep.course`."""

        async def begin() -> Lane:
            announcing = self.start(self._announce(course.exchange))
            try:
                await asyncio.shield(announcing)
                lane = await course.begin()
            except BaseException:
                self.start(self._forget(announcing))
                raise
            return Kept(known(lane), self, self.start)

        return replace(course, begin=begin)

    def mine(self, event: Event) -> Event:
        """See `Saver.mine`."""
        return self.kind.mine(event)

    async def save(self, answers: Sequence[Answer], exchange: Exchange) -> bool:
        """See `Saver.save`."""
        return await self._save(DIALECTS["responses"].write_reply(answers, exchange))

    async def abandon(self, answer: Answer, exchange: Exchange) -> None:
        """What there is of it, as cancelled where it was the client that left."""
        made = DIALECTS["responses"].write_reply([answer], exchange)
        if isinstance(answer.error, Abandoned):
            made |= {"status": "cancelled", "error": None}
        try:
            await self._save(made)
            self.turn.stored = "kept"
        except AdapterError:
            self.turn.stored = "failed"

    async def _announce(self, exchange: Exchange) -> None:
        """The write-ahead: the store is there, and a crash leaves a trace."""
        made = self.kind.begun(exchange, "in_progress")
        upstream = self.turn.upstream
        try:
            await self.store.save_response(self.turn.caller.tenant, made, input=self.given, upstream=upstream)
        except PreviousResponseNotFound:
            # it happened on this connection only, or was deleted a moment ago: this response then begins with all of it
            self._linked = False
            made["previous_response_id"] = None
            whole = [*self.earlier, *self.given]
            await self.store.save_response(self.turn.caller.tenant, made, input=whole, upstream=upstream)
        self.given = self.earlier = []  # the store has it: as `Exchange.answered`

    async def _save(self, made: dict[str, Any]) -> bool:
        if not self._linked:
            made = made | {"previous_response_id": None}
        return await self.store.save_response(self.turn.caller.tenant, made, upstream=self.turn.upstream)

    async def _forget(self, announcing: asyncio.Task[None]) -> None:
        """The upstream did not answer, or the client left before it was asked: it got no id."""
        await asyncio.gather(announcing, return_exceptions=True)  # its failure is no news any more
        with suppress(StoreUnavailable):  # then the row is failed when its lease ends
            await self.store.delete_response(self.turn.caller.tenant, self.kind.id)


@dataclass(slots=True, kw_only=True)
class KeptThere:
    """Kept by its upstream: what is remembered is where."""

    store: Store
    turn: Turn
    passes: bool = True

    def course(self, course: Course) -> Course:
        """See `Keep.course`."""

        async def begin() -> Lane:
            lane = await course.begin()
            kept = _id_of(lane)
            target = self.turn.target
            if kept and target is not None:
                try:
                    await self.store.save_origin(self.turn.caller.tenant, kept, target.origin)
                    self.turn.stored = "kept"
                except StoreUnavailable:
                    self.turn.stored = "failed"
                except BaseException:
                    lane.close()
                    raise
            return lane

        return replace(course, begin=begin)


def _id_of(lane: Lane) -> str:
    """The upstream's id of an answer of which nothing was taken yet."""
    match lane:
        case RawStreaming():
            return lane.observer.answer.id
        case RawWhole() | Hub() | HubWhole():
            return lane.id
        case Changed():
            return _id_of(lane.answering)
        case _:
            return ""
