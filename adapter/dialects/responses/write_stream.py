"""Hub events as a Responses stream: the full life cycle, numbered, with exactly one terminal event.

    Started      response.created, response.in_progress
    ItemOpened   output_item.added
    PartOpened   content_part.added | reasoning_summary_part.added
    Delta        output_text | refusal | reasoning_text | reasoning_summary_text | function_call_arguments
                 | custom_tool_call_input .delta
    Annotated    output_text.annotation.added
    PartClosed   the text's .done, then content_part.done | reasoning_summary_part.done
    ItemClosed   the arguments' or input's .done, then output_item.done
    Opaque       itself, renumbered
    Usage        nothing: it stands in the terminal event
    Finished     response.completed | response.incomplete
    Failed       error (flat and nested, as different clients look for it), then response.failed; created before them
                 where nothing was sent yet

Every event is `{"type": …, "sequence_number": n, …}`. What is the same in all deltas of a part is rendered once, with the
part; a delta then costs one serialised string. The echo of the request is rendered once, and spliced into the three or four
events that carry the whole Response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from adapter.dialects.base import Frame
from adapter.dialects.responses.echo import echo
from adapter.dialects.responses.output_items import KINDS
from adapter.dialects.responses.reply import answer_facts
from adapter.dialects.responses.traits import shown_event
from adapter.hub.events import (
    Annotated,
    Delta,
    DeltaKind,
    Deltas,
    Event,
    Failed,
    Finished,
    ItemClosed,
    ItemOpened,
    Opaque,
    PartClosed,
    PartOpened,
    Started,
    Usage,
    singly,
)
from adapter.hub.fold import Fold
from adapter.hub.losses import Loss
from adapter.hub.request import Clock, Exchange, derived_token, no_clock
from adapter.wire.jsonio import dumps
from adapter.wire.sse import framed


class ResponsesWriter:
    """The machine for one stream; see the module's text."""

    def __init__(self, exchange: Exchange, *, clock: Clock = no_clock) -> None:
        self.fold = Fold()
        self.losses: list[Loss] = []
        self.written = 0
        self._exchange = exchange
        self._clock = clock
        self._number = 0
        self._echo = b""
        self._echoed: dict[str, Any] = {}
        """What the echo took from the upstream."""
        self._items: dict[int, dict[str, Any]] = {}
        """The skeletons of the open items, for their ids."""
        self._logprobs: dict[tuple[int, int], list[dict[str, Any]]] = {}
        """Of the open parts, as their deltas said them."""
        self._translate = not exchange.request.client.shows_refusals
        self._live = False
        """The prologue is out and the end is not."""
        self._queued = False
        """What was said so far is that the answer waits."""
        self._at: tuple[int, int, DeltaKind] | None = None
        """With the three below: the text that the last delta added to, and the frame of one more."""
        self._delta_name = ""
        self._delta_data = self._delta_event = b""
        """What takes a number and a text: the data of one more, and all of it."""

    def write(self, events: Iterable[Event], choice: int = 0) -> bytes:
        """The part of the stream that some hub events amount to."""
        parts: list[bytes] = []
        for event in events:
            if type(event) is Deltas and (event.index, event.part_index, event.kind) == self._at:
                parts.append(self._more(event.texts))
            else:
                frames = self.feed(event, choice)
                parts += [framed(*frame) for frame in frames]
                self.written += len(frames)
        return b"".join(parts)

    def _more(self, texts: list[str]) -> bytes:
        """Many of the commonest event. 0.3 µs for each; with a frame for each it was 1 µs."""
        event, number = self._delta_event, self._number
        self._number = number + len(texts)
        self.written += len(texts)
        if len(texts) == 1:
            return event % (number, orjson.dumps(texts[0]))
        return b"".join([event % (n, orjson.dumps(text)) for n, text in enumerate(texts, number)])

    def feed(self, event: Event, choice: int = 0) -> list[Frame]:
        """The frames that one hub event amounts to."""
        if type(event) is Deltas:
            return [frame for one in singly([event]) for frame in self.feed(one)]
        if type(event) is Delta and (event.index, event.part_index, event.kind) == self._at and not event.logprobs:
            return [self._one_more(event.text)]
        if self._translate:
            event = shown_event(event)
        if type(event) is not Opaque:
            self.fold.feed(event)
        return _WRITERS[type(event)](self, event)

    def ping(self) -> list[Frame]:
        """An event with data for Codex, whose idle timer sees no comments; it passes over types that it does not know."""
        if not self._live or not self._exchange.request.client.codex:
            return []
        return [self._framed("adapter:ping", {})]

    # ----------------------------------------------------------------------------------------------- begin and end

    def queue(self, event: Started) -> list[Frame]:
        """For an answer that waits for its turn, as it will be known: created and queued. Its `Started` then only says that
        it is in progress."""
        self.fold.feed(event)
        self._queued = True
        self._repeat(event.extra)
        return [self._whole("response.created"), self._whole("response.queued")]

    def _started(self, event: Started) -> list[Frame]:
        self._live = True
        self._repeat(event.extra)
        if self._queued:
            self._queued = False
            return [self._whole("response.in_progress")]
        return [self._whole("response.created"), self._whole("response.in_progress")]

    def _finished(self, event: Finished) -> list[Frame]:
        self._live = False
        answer = self.fold.answer
        self._repeat(answer.extra)
        if event.status != "completed":
            return [self._whole("response.incomplete")]
        completed_at = answer.extra.get("completed_at")
        return [self._whole("response.completed", max(answer.created_at, completed_at or self._clock()))]

    def _failed(self, event: Failed) -> list[Frame]:
        answer, error = self.fold.answer, event.error
        frames: list[Frame] = []
        if not self._echo:  # nothing was sent yet
            answer.id = f"resp_{derived_token('')}"
            answer.model = self._exchange.request.model
            answer.created_at = self._clock()
            self._repeat({})
            frames.append(self._whole("response.created"))
        else:
            self._repeat(answer.extra)
        self._live = self._queued = False
        flat = {"code": error.code, "message": error.message, "param": error.param}
        frames.append(self._framed("error", {**flat, **error.body()}))
        frames.append(self._whole("response.failed"))
        return frames

    def _repeat(self, extra: dict[str, Any]) -> None:
        """Renders the echo of the request, unless it would be the same again."""
        facts = {key: value for key, value in extra.items() if key != "completed_at"}
        if not self._echo or facts != self._echoed:
            self._echo = dumps(echo(self._exchange.request, extra))[1:]
            self._echoed = facts

    def _whole(self, name: str, completed_at: int | None = None) -> Frame:
        """An event with the Response as it now stands; its status is the one that the event says."""
        answer = self.fold.answer
        ends = name in _ENDS
        facts = answer_facts(answer, answer.output if ends else [], completed_at)
        if not ends:
            facts |= {"status": "queued" if self._queued else "in_progress", "error": None, "usage": None}
        head = b'{"type":"%b","sequence_number":%d,"response":' % (name.encode(), self._number)
        self._number += 1
        return name, head + dumps(facts)[:-1] + b"," + self._echo + b"}"

    def _usage(self, _: Usage) -> list[Frame]:
        return []

    def _opaque(self, event: Opaque) -> list[Frame]:
        rest = {key: value for key, value in event.event.items() if key not in ("type", "sequence_number")}
        return [self._framed(str(event.event.get("type")), rest)]

    # --------------------------------------------------------------------------------------------- items and parts

    def _item_opened(self, event: ItemOpened) -> list[Frame]:
        self._items[event.index] = event.item
        return [self._framed("response.output_item.added", {"output_index": event.index, "item": event.item})]

    def _item_closed(self, event: ItemClosed) -> list[Frame]:
        self._at = None
        item, frames = event.item, []
        match item.get("type"):
            case "function_call":
                said = {"name": item["name"], "arguments": item["arguments"]}
                frames = [self._framed("response.function_call_arguments.done", {**self._place(event.index), **said})]
            case "custom_tool_call":
                said = {"input": item["input"]}
                frames = [self._framed("response.custom_tool_call_input.done", {**self._place(event.index), **said})]
        frames.append(self._framed("response.output_item.done", {"output_index": event.index, "item": item}))
        self._items.pop(event.index, None)
        return frames

    def _part_opened(self, event: PartOpened) -> list[Frame]:
        name, place = self._part_place(event.part, event.index, event.part_index)
        return [self._framed(f"response.{name}.added", {**place, "part": event.part})]

    def _part_closed(self, event: PartClosed) -> list[Frame]:
        self._at = None
        part = event.part
        name, place = self._part_place(part, event.index, event.part_index)
        frames: list[Frame] = []
        kind = KINDS.get(part.get("type", ""))
        if kind is not None:
            events, _, field = _TEXTS[kind]
            said = {field: part[field]}
            if kind is DeltaKind.TEXT:
                said["logprobs"] = self._logprobs.pop((event.index, event.part_index), [])
            frames.append(self._framed(f"{events}.done", {**place, **said}))
        frames.append(self._framed(f"response.{name}.done", {**place, "part": part}))
        return frames

    def _annotated(self, event: Annotated) -> list[Frame]:
        said = {"annotation_index": event.annotation_index, "annotation": event.annotation}
        place = {**self._place(event.index), "content_index": event.part_index}
        return [self._framed("response.output_text.annotation.added", {**place, **said})]

    def _delta(self, event: Delta) -> list[Frame]:
        """The first delta of a text, one after another text's, or one with logprobs."""
        events, index_key, _ = _TEXTS[event.kind]
        name = f"{events}.delta"
        place = self._place(event.index)
        if index_key:
            place[index_key] = event.part_index
        if event.logprobs and event.kind is DeltaKind.TEXT:
            self._logprobs.setdefault((event.index, event.part_index), []).extend(event.logprobs)
            return [self._framed(name, {**place, "delta": event.text, "logprobs": event.logprobs})]
        if event.kind is DeltaKind.TEXT:
            place["logprobs"] = []
        self._at = (event.index, event.part_index, event.kind)
        self._delta_name = name
        self._delta_data = (
            dumps({"type": name, **place})[:-1].replace(b"%", b"%%") + b',"sequence_number":%d,"delta":%b}'
        )
        self._delta_event = framed(name, self._delta_data)
        return [self._one_more(event.text)]

    def _one_more(self, text: str) -> Frame:
        number = self._number
        self._number = number + 1
        return self._delta_name, self._delta_data % (number, dumps(text))

    # ---------------------------------------------------------------------------------------------------- rendering

    def _place(self, index: int) -> dict[str, Any]:
        return {"item_id": self._items.get(index, _NOWHERE).get("id"), "output_index": index}

    def _part_place(self, part: dict[str, Any], index: int, part_index: int) -> tuple[str, dict[str, Any]]:
        summary = part.get("type") == "summary_text"
        place = {**self._place(index), "summary_index" if summary else "content_index": part_index}
        return "reasoning_summary_part" if summary else "content_part", place

    def _framed(self, name: str, said: dict[str, Any]) -> Frame:
        number = self._number
        self._number = number + 1
        return name, dumps({"type": name, "sequence_number": number, **said})


_NOWHERE: Final[dict[str, Any]] = {}
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_TEXTS: Final = {
    DeltaKind.TEXT: ("response.output_text", "content_index", "text"),
    DeltaKind.REFUSAL: ("response.refusal", "content_index", "refusal"),
    DeltaKind.REASONING: ("response.reasoning_text", "content_index", "text"),
    DeltaKind.SUMMARY: ("response.reasoning_summary_text", "summary_index", "text"),
    DeltaKind.ARGUMENTS: ("response.function_call_arguments", "", "arguments"),
    DeltaKind.INPUT: ("response.custom_tool_call_input", "", "input"),
}
"""Kind of delta -> (its events, the key of its part's index, the field of its done event)."""
_WRITERS: Final[dict[type, Callable[[ResponsesWriter, Any], list[Frame]]]] = {
    Started: ResponsesWriter._started,
    ItemOpened: ResponsesWriter._item_opened,
    PartOpened: ResponsesWriter._part_opened,
    Delta: ResponsesWriter._delta,
    Annotated: ResponsesWriter._annotated,
    PartClosed: ResponsesWriter._part_closed,
    ItemClosed: ResponsesWriter._item_closed,
    Opaque: ResponsesWriter._opaque,
    Usage: ResponsesWriter._usage,
    Finished: ResponsesWriter._finished,
    Failed: ResponsesWriter._failed,
}


def stream_writer(exchange: Exchange, *, clock: Clock = no_clock) -> ResponsesWriter:
    """A fresh machine for one client stream."""
    return ResponsesWriter(exchange, clock=clock)
