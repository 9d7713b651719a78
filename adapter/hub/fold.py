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
        if type(event) not in _KEPT:  # most events; a tenth of what the match below would take to find that out
            return
        answer = self.answer
        match event:
            case ItemClosed(index, item):
                answer.items[index] = item
            case Started(id, model, created_at, extra):
                answer.id, answer.model, answer.created_at = id, model, created_at
                answer.extra = dict(extra)
            case Usage(usage):
                answer.usage = usage
            case Finished(status, reason, extra):
                answer.status, answer.reason = status, reason
                answer.extra.update(extra)
            case Failed(error, items, extra):
                answer.status, answer.error = "failed", error
                answer.extra.update(extra)
                # what is open has the indices that no closed item has, in their order
                free = (index for index in count() if index not in answer.items)
                answer.items |= dict(zip(free, items, strict=False))
            case _:
                pass


_KEPT: Final = frozenset({ItemClosed, Started, Usage, Finished, Failed})


def fold(events: Iterable[Event]) -> Answer:
    """The answer that a whole stream of events amounts to."""
    folding = Fold()
    for event in events:
        folding.feed(event)
    return folding.answer
