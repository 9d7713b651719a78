"""The stream of a background response on its way into the log, whether or not anybody asked for a stream."""

from __future__ import annotations

from typing import Any, ClassVar

from adapter.dialects.base import Frame
from adapter.dialects.registry import DIALECTS
from adapter.dialects.responses.reply import error_facts, failed_error
from adapter.dialects.responses.write_stream import ResponsesWriter
from adapter.errors import AdapterError
from adapter.hub.events import Event, Failed, Finished, Started
from adapter.hub.request import Exchange
from adapter.server.calls.lanes import Answering
from adapter.server.stored.responding import Kind
from adapter.store.log import EventWriter
from adapter.store.values import LoggedEvent
from adapter.wire.jsonio import dumps


class Recording:
    """Writes events to a pen; knows the answer."""

    PROLOGUE: ClassVar[int] = 2
    """The number of the last event that says nothing of the answer: created, queued, in_progress."""

    def __init__(self, object: dict[str, Any], pen: EventWriter, *, streamed: bool, logged: int) -> None:
        self.object = object
        """The response as it was accepted."""
        self.pen = pen
        self._logged = logged
        """The number of the last event that an earlier attempt wrote; -1: none did."""
        self.streamed = streamed
        self.answering: Answering | None = None
        """Its answer, once there is one."""
        self.end: tuple[list[LoggedEvent], dict[str, Any]] | None = None
        """The last events, to be committed with the object, once it has ended."""
        self._writer: ResponsesWriter | None = None
        self._number = 0

    @property
    def said(self) -> int:
        """Events of the answer so far."""
        return max(self._number - self.PROLOGUE - 1, 0)

    @property
    def told(self) -> bool:
        """It has ended, or something of the answer may have been read: nobody else is to begin again."""
        return self.end is not None or (self.streamed and self.said > 0)

    def begin(self, exchange: Exchange, kind: Kind) -> None:
        """The events that every attempt begins with alike."""
        self._exchange, self._kind = exchange, kind
        self._writer = ResponsesWriter(exchange)
        self._log(self._writer.queue(Started(kind.id, self.object["model"], kind.created_at, kind.facts)))

    def feed(self, events: list[Event]) -> None:
        """Events of the answer."""
        assert self._writer is not None
        for event in map(self._kind.mine, events):
            frames = self._writer.feed(event)
            if isinstance(event, (Finished, Failed)):
                made = DIALECTS["responses"].write_reply([self._writer.fold.answer], self._exchange)
                self.end = self._numbered(frames), made
            else:
                self._log(frames)

    def fail(self, error: AdapterError) -> None:
        """It ends here, if it has not ended: as its answer does, or behind what was logged before there was one."""
        if self.end is not None:
            return
        if self.answering is not None:
            self.feed(self.answering.fail(error)[1])
        elif self.said:
            self.feed([Failed(error)])
        else:
            self.end = _failed(self.object, error, max(self._logged, self._number - 1))

    def _log(self, frames: list[Frame]) -> None:
        for event in self._numbered(frames):
            if self.streamed:
                self.pen.add(event)

    def _numbered(self, frames: list[Frame]) -> list[LoggedEvent]:
        numbered = [LoggedEvent(self._number + place, name or "", data) for place, (name, data) in enumerate(frames)]
        self._number += len(frames)
        return numbered


def _failed(object: dict[str, Any], error: AdapterError, after: int) -> tuple[list[LoggedEvent], dict[str, Any]]:
    """The end of a response without an answer of its own, whose events were logged up to number `after`."""
    made = {**object, "status": "failed", "error": failed_error(error)}
    events: list[dict[str, Any]] = []
    if after < 0:
        events.append({"type": "response.created", "response": object})
    events.append({"type": "error", **error_facts(error)})
    events.append({"type": "response.failed", "response": made})
    frames = []
    for number, event in enumerate(events, after + 1):
        frames.append(LoggedEvent(number, event["type"], dumps({**event, "sequence_number": number})))
    return frames, made
