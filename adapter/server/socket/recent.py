"""What one connection remembers of its own turns, so that the next one need only say what is new (`store` may be false).

A conversation is kept as the JSON it was said in, piece by piece: what the client gave, what it was told, what it gave next.
The conversations of one connection share their pieces, which nobody changes; a turn that goes on from one parses it, as it
would have to parse the whole history of a client without memory.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Any, Final

from adapter.access.caller import Caller
from adapter.hub.events import Item
from adapter.server.history import History, as_items
from adapter.wire.jsonio import NotJson, dumps, loads

_OVERHEAD: Final = 64
"""Bytes that a piece, or an entry, costs beside its text."""
_FAILED: Final = 32
"""Responses whose failure is remembered: as many as may be made at once."""
_MARKS: Final = (
    b'"response.created"',
    b'"response.output_item.done"',
    b'"response.completed"',
    b'"response.incomplete"',
    b'"response.failed"',
)
"""One of these is in every event worth reading; inside a JSON string the quotes would be escaped."""


class Recent:
    """Response id -> the conversation up to it. Bounded in bytes, each conversation counted whole: the oldest goes first."""

    def __init__(self, limit: int, behind: History) -> None:
        self._limit = limit
        self._kept: dict[str, tuple[bytes, ...]] = {}
        self._size = 0
        self.failed: deque[str] = deque(maxlen=_FAILED)
        """Ids of responses that failed of late."""
        self.behind = behind
        """Who is asked for what did not happen here."""

    def find(self, id: str) -> tuple[bytes, ...] | None:
        """The pieces of a conversation, each a JSON array of items; None if it is not kept."""
        return self._kept.get(id)

    def keep(self, id: str, pieces: tuple[bytes, ...]) -> None:
        """Remember a conversation that ends in this response, unless it alone is over the bound."""
        self.evict(id)
        self._kept[id] = pieces
        self._size += _size(id, pieces)
        while self._size > self._limit:
            self.evict(next(iter(self._kept)))

    def evict(self, id: str) -> None:
        """Forget a conversation."""
        pieces = self._kept.pop(id, None)
        if pieces is not None:
            self._size -= _size(id, pieces)


class LocalThread:
    """One turn of a connection: where it goes on from, what the client is told, and so where the next may go on from."""

    def __init__(self, recent: Recent, body: dict[str, Any], *, spares: bool = False) -> None:
        """With `spares`, what it goes on from stays even where it is refused."""
        previous = body.get("previous_response_id")
        self._recent = recent
        self._given = body.get("input")
        self._previous = previous if isinstance(previous, str) else None
        self._spares = spares
        begins = previous is None and body.get("conversation") is None
        self._before: tuple[bytes, ...] | None = () if begins else None
        """None as long as nobody here knows what came before: then the turn cannot be remembered either."""
        self._made: dict[int, Item] = {}
        self.id: str | None = None
        """Of the response, once it is being made."""
        self.output: list[Item] | None = None
        """Its items, once it is complete, or as complete as it gets."""
        self.over = False
        """The client is being told its end."""

    async def resolve(self, caller: Caller, previous_response_id: str) -> list[Item]:
        """The items before this turn, as `History` says."""
        self._before = self._recent.find(previous_response_id)
        if self._before is None:
            items = await self._recent.behind.resolve(caller, previous_response_id)
            self._before = (dumps(items),)
            return items
        return [item for piece in self._before for item in loads(piece)]

    def hear(self, event: bytes) -> None:
        """What the client is about to be told."""
        if not any(mark in event for mark in _MARKS):
            return
        try:
            told = loads(event)
        except NotJson:
            return
        if isinstance(told, dict):
            self._note(told)

    def refused(self) -> None:
        """The turn has not begun and never will."""
        if not self._spares:
            self._fail()

    def _fail(self) -> None:
        """A turn that failed takes with it what it went on from: the client must not build on a state that may be half."""
        if self._previous is not None:
            self._recent.evict(self._previous)

    def _note(self, told: dict[str, Any]) -> None:
        match told:
            case {"type": "response.output_item.done", "output_index": int(index), "item": dict(item)}:
                self._made[index] = item
            case {"type": "response.created", "response": {"id": str(id)}}:
                self.id = id
            case {"type": "response.failed"}:
                self.over = True
                self._fail()
                if self.id is not None:
                    self._recent.failed.append(self.id)
            case {"type": "response.completed" | "response.incomplete", "response": {"id": str(id)} as response}:
                made = [self._made[index] for index in sorted(self._made)] or _items(response.get("output"))
                self.id, self.output, self.over = id, made, True
                if self._before is not None:
                    # a client's nest, where its upstream was not sent it, is not remembered
                    with suppress(ValueError):
                        self._recent.keep(id, (*self._before, dumps(as_items(self._given)), dumps(made)))


def _items(output: Any) -> list[Item]:
    """Those of a whole response, of which a raw one can hold anything."""
    return [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []


def _size(id: str, pieces: tuple[bytes, ...]) -> int:
    return len(id) + sum(map(len, pieces)) + _OVERHEAD * (len(pieces) + 1)
