"""One fold from hub events to the finished answer.

The plain reply, the terminal event of a stream, the stored response and the metrics all read the `Answer` that this fold
builds, so what a stream says and what a plain answer says are equal because they are the same code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Literal

from adapter.errors import AdapterError
from adapter.hub.events import Event, Failed, Finished, Item, ItemClosed, Started, Usage

Status = Literal["in_progress", "completed", "incomplete", "failed"]


@dataclass(slots=True)
class Answer:
    """What the events so far amount to."""

    id: str = ""
    model: str = ""
    created_at: int = 0
    status: Status = "in_progress"
    reason: str | None = None
    """`incomplete_details.reason` when the status is incomplete."""
    items: dict[int, Item] = field(default_factory=dict)
    """Finished items by output index; after a failure also the unfinished ones."""
    usage: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    error: AdapterError | None = None

    @property
    def output(self) -> list[Item]:
        """The output items in their order."""
        return [self.items[index] for index in sorted(self.items)]


class Fold:
    """Feeds on events, keeps the answer. Deltas, parts, annotations and opaque events may be left out: items come whole."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer = Answer()

    def feed(self, event: Event) -> None:
        """Take one event in. Events after a terminal one are a defect of the reader; `hub.grammar` finds it."""
        if type(event) not in _KEPT:  # most events
            return
        answer = self.answer
        # no patterns: these take a third of the time
        if isinstance(event, ItemClosed):
            answer.items[event.index] = event.item
        elif isinstance(event, Usage):
            answer.usage = event.usage
        elif isinstance(event, Started):
            answer.id, answer.model, answer.created_at = event.id, event.model, event.created_at
            answer.extra = event.extra.copy()
        elif isinstance(event, Finished):
            answer.status, answer.reason = event.status, event.reason
            answer.extra.update(event.extra)
        elif isinstance(event, Failed):
            answer.status, answer.error = "failed", event.error
            answer.extra.update(event.extra)
            # what is open has the indices that no closed item has, in their order
            free = (index for index in count() if index not in answer.items)
            answer.items |= dict(zip(free, event.items, strict=False))


_KEPT: Final = frozenset({ItemClosed, Started, Usage, Finished, Failed})


def fold(events: Iterable[Event]) -> Answer:
    """The answer that a whole stream of events amounts to."""
    folding = Fold()
    for event in events:
        folding.feed(event)
    return folding.answer
