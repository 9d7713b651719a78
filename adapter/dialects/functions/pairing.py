"""Which calls of a conversation still wait for their output."""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import Generic, TypeVar

from adapter.hub.events import Item

Call = TypeVar("Call")
"""What a writer remembers of a call."""


class Pairing(Generic[Call]):
    """Calls by their id. An output belongs to the earliest call that waits; ids may come again."""

    __slots__ = ("_named", "further", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[str, Call | None] = {}
        """By call id, the earliest call without output; None where all calls of that id have theirs."""
        self.further: dict[str, deque[Call]] = {}
        """By call id, the other calls without output."""
        self._named: dict[str, deque[str]] | None = None
        """Function name -> ids of its calls; made when an output without call id comes."""

    def add(self, call_id: str, call: Call) -> None:
        """One more call that waits."""
        if self.waiting.get(call_id) is None:
            self.waiting[call_id] = call
        else:
            self.further.setdefault(call_id, deque()).append(call)

    def last(self, call_id: str) -> Call | None:
        """The latest call of this id that waits."""
        return self.further[call_id][-1] if call_id in self.further else self.waiting.get(call_id)

    def answered(self, call_id: str) -> None:
        """The earliest call of this id has its output."""
        further = self.further.get(call_id)
        self.waiting[call_id] = further.popleft() if further else None
        if further is not None and not further:
            del self.further[call_id]

    def unanswered(self) -> list[Call]:
        """The calls that still wait, in no order."""
        return [*filter(None, self.waiting.values()), *chain.from_iterable(self.further.values())]

    def id_by_name(self, called: str, items: list[Item]) -> str | None:
        """The id of the earliest call of this name among `items`, all of the conversation, that waits."""
        if self._named is None:
            self._named = _calls_by_name(items)
        named, waiting = self._named.get(called, deque()), self.waiting
        while named and named[0] in waiting and waiting[named[0]] is None:
            named.popleft()
        return named[0] if named and waiting.get(named[0]) is not None else None


def _calls_by_name(items: list[Item]) -> dict[str, deque[str]]:
    named: dict[str, deque[str]] = {}
    for item in items:
        called, call_id = item.get("name"), item.get("call_id")
        if isinstance(called, str) and isinstance(call_id, str) and "output" not in item:
            named.setdefault(called, deque()).append(call_id)
    return named
