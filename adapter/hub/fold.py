"""One fold from hub events to the finished answer, and the way back.

The plain reply, the terminal event of a stream, the stored response and the metrics all read the `Answer` that this fold
builds, so what a stream says and what a plain answer says are equal because they are the same code. A plain reply that
nobody streams is read into an `Answer` at once; whoever wants its events gets them from `unfolded`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from adapter.errors import AdapterError
from adapter.hub.events import Event, Failed, Finished, Item, ItemClosed, Reason, Started, Usage
from adapter.hub.losses import Loss

Status = Literal["in_progress", "completed", "incomplete", "failed"]


@dataclass(slots=True)
class Answer:
    """What the events so far amount to."""

    id: str = ""
    model: str = ""
    created_at: int = 0
    status: Status = "in_progress"
    reason: Reason | None = None
    """`incomplete_details.reason` when the status is incomplete."""
    items: dict[int, Item] = field(default_factory=dict)
    """Finished items by output index, in their order; after a failure also the unfinished ones."""
    usage: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    error: AdapterError | None = None
    losses: tuple[Loss, ...] = ()
    """As `Finished.losses`."""

    @property
    def output(self) -> list[Item]:
        """The output items in their order."""
        return list(self.items.values())

    def leave(self, open_items: list[Item]) -> None:
        """It ends here, with these items unfinished: they have the indices that no closed item has, in their order."""
        free = (index for index in count() if index not in self.items)
        self.items |= zip(free, open_items, strict=False)
        self.items = dict(sorted(self.items.items()))


class Fold:
    """Feeds on events, keeps the answer. Deltas, parts, annotations and opaque events may be left out: items come whole."""

    __slots__ = ("_last", "answer")

    def __init__(self) -> None:
        self.answer = Answer()
        self._last = -1
        """The highest index of an item so far."""

    def feed(self, event: Event) -> None:
        """Take one event in. Events after a terminal one are a defect of the reader; `hub.grammar` finds it."""
        answer = self.answer
        # by type: patterns take three times as long, and a stream has many events
        if type(event) is ItemClosed:
            answer.items[event.index] = event.item
            if event.index > self._last:
                self._last = event.index
            else:  # the upstream overlapped them
                answer.items = dict(sorted(answer.items.items()))
        elif type(event) is Usage:
            answer.usage = event.usage
        elif type(event) is Started:
            answer.id, answer.model, answer.created_at = event.id, event.model, event.created_at
            answer.extra = event.extra.copy()
        elif type(event) is Finished:
            answer.status, answer.reason, answer.losses = event.status, event.reason, event.losses
            if event.extra:
                answer.extra.update(event.extra)
        elif type(event) is Failed:
            answer.status, answer.error = "failed", event.error
            answer.extra.update(event.extra)
            answer.leave(event.items)
            answer.usage = event.usage or answer.usage


def fold(events: Iterable[Event]) -> Answer:
    """The answer that a whole stream of events amounts to."""
    folding = Fold()
    for event in events:
        folding.feed(event)
    return folding.answer


def unfolded(answer: Answer, steps: Iterable[Event] | None = None) -> list[Event]:
    """The events that amount to a finished answer; `steps` are those of its items, ItemClosed alone where they are None."""
    events: list[Event] = [Started(answer.id, answer.model, answer.created_at, answer.extra)]
    events += (ItemClosed(index, item) for index, item in answer.items.items()) if steps is None else steps
    if answer.usage is not None:
        events.append(Usage(answer.usage))
    if answer.error is not None:
        events.append(Failed(answer.error))
    else:
        status: Literal["completed", "incomplete"] = "completed" if answer.reason is None else "incomplete"
        events.append(Finished(status, answer.reason, losses=answer.losses))
    return events
