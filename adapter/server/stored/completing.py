"""How a turn on Chat Completions is kept: the whole completion, and the messages that asked for it."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any

from adapter.dialects.registry import DIALECTS
from adapter.hub.events import Event, Started
from adapter.hub.fold import Answer
from adapter.hub.request import Exchange
from adapter.server.courses.course import Course, Lane
from adapter.server.stored.kept import Kept, known
from adapter.server.turn import Turn
from adapter.store.store import Store


@dataclass(slots=True, kw_only=True)
class KeepCompletion:
    """Kept here, whatever the upstream keeps; only an answer that is complete."""

    store: Store
    turn: Turn
    model: str
    """As it was asked for."""
    messages: list[dict[str, Any]]
    metadata: dict[str, Any] | None
    passes: bool = False
    id: str = field(default_factory=lambda: f"resp_{token_hex(24)}")
    """What is kept under a server's own would go with the next that has it."""

    def course(self, course: Course) -> Course:
        """See `Keep.course`."""

        async def begin() -> Lane:
            await self.store.check_writable()
            return Kept(known(await course.begin()), self, _nothing)

        return replace(course, begin=begin)

    def mine(self, event: Event) -> Event:
        """Under our id; a completion has no word of its being stored."""
        return replace(event, id=self.id) if isinstance(event, Started) else event

    async def save(self, answers: Sequence[Answer], exchange: Exchange) -> bool:
        """See `Saver.save`."""
        if any(answer.error is not None for answer in answers):
            return False
        made = DIALECTS["chat"].write_reply(answers, exchange)
        tenant = self.turn.caller.tenant
        await self.store.save_completion(tenant, made, self.messages, asked=self.model, metadata=self.metadata)
        return True

    async def abandon(self, answer: Answer, exchange: Exchange) -> None:
        """Half a completion is none."""


def _nothing(work: Coroutine[Any, Any, None]) -> None:
    work.close()
