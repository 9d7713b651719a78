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
from dataclasses import replace
from typing import Any, Final

import orjson

from adapter.dialects.base import Frame
from adapter.dialects.responses.echo import echo
from adapter.dialects.responses.output_items import KINDS
from adapter.dialects.responses.reply import answer_facts, error_facts
from adapter.dialects.responses.traits import shown_event
from adapter.errors import InvalidValue
from adapter.hub.events import (
    Annotated,
    Delta,
    DeltaKind,
    Deltas,
    Event,
    Failed,
    Finished,
    Item,
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
from adapter.wire.counting import counted
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
        self._places: dict[int, bytes] = {}
        """Of the open items, rendered: all of their events say it."""
        self._logprobs: dict[tuple[int, int], list[dict[str, Any]]] = {}
        """Of the open parts, as their deltas said them."""
        self._translate = not exchange.request.client.shows_refusals
        self._ended = False
        self._queued = False
        """What was said so far is that the answer waits."""
        self._at: tuple[int, int, DeltaKind] | None = None
        """With the three below: the text that the last delta added to, and the frame of one more."""
        self._delta_name = ""
        self._delta_data = self._delta_event = b""
        """What takes a number and a text: the data of one more, and all of it."""
        self._delta_pieces: list[bytes] = []
        """All of one more, cut where the two stand; those are empty."""

    def write(self, events: Iterable[Event], choice: int = 0) -> bytes:
        """The part of the stream that some hub events amount to."""
        parts: list[bytes] = []
        for event in events:
            if type(event) is Deltas and (event.index, event.part_index, event.kind) == self._at:
                parts.append(self._more(event.texts))
            else:
                for frame in self.feed(event, choice):
                    parts.append(framed(*frame))
                    self.written += 1
        return b"".join(parts)

    def _more(self, texts: list[str]) -> bytes:
        """Many of the commonest event. 0.1 µs for each; with a frame for each it was 1 µs."""
        number, count = self._number, len(texts)
        self._number = number + count
        self.written += count
        if count == 1:
            return self._delta_event % (number, orjson.dumps(texts[0]))
        said = orjson.dumps(texts, option=orjson.OPT_INDENT_2)[4:-2]  # one on a line: no text holds a line end as it is
        pieces = self._delta_pieces * count
        pieces[1::5], pieces[3::5] = counted(number, count), said.split(b",\n  ")
        return b"".join(pieces)

    def feed(self, event: Event, choice: int = 0) -> list[Frame]:
        """The frames that one hub event amounts to."""
        if type(event) is Deltas:
            return [frame for one in singly([event]) for frame in self.feed(one)]
        if type(event) is Delta and (event.index, event.part_index, event.kind) == self._at and not event.logprobs:
            return [self._one_more(event.text)]
        if self._translate:
            event = shown_event(event)
        return _WRITERS[type(event)](self, event)

    def ping(self) -> list[Frame]:
        """An event with data for Codex, whose idle timer sees no comments; it passes over types that it does not know, also
        before the stream's first event."""
        if self._ended or not self._exchange.request.client.codex:
            return []
        return [self._framed("adapter:ping", {})]

    # ----------------------------------------------------------------------------------------------- begin and end

    def queue(self, event: Started) -> list[Frame]:
        """For an answer that waits for its turn, as it will be known: created and queued. Its `Started` then only says that
        it is in progress."""
        self.fold.feed(event)
        self._queued = True
        self._repeat(event.extra)
        return self._whole("response.created", "response.queued")

    def _started(self, event: Started) -> list[Frame]:
        self.fold.feed(event)
        self._repeat(event.extra)
        if self._queued:
            self._queued = False
            return self._whole("response.in_progress")
        return self._whole("response.created", "response.in_progress")

    def _finished(self, event: Finished) -> list[Frame]:
        self.fold.feed(event)
        self._ended = True
        self.losses += event.losses
        answer = self.fold.answer
        self._repeat(answer.extra)
        if event.status != "completed":
            return self._whole("response.incomplete")
        completed_at = answer.extra.get("completed_at")
        return self._whole("response.completed", completed_at=max(answer.created_at, completed_at or self._clock()))

    def _failed(self, event: Failed) -> list[Frame]:
        self.fold.feed(event)
        answer = self.fold.answer
        frames: list[Frame] = []
        if not self._echo:  # nothing was sent yet
            answer.id = f"resp_{derived_token('')}"
            answer.model = self._exchange.request.model
            answer.created_at = self._clock()
            self._repeat({})
            frames = self._whole("response.created")
        else:
            self._repeat(answer.extra)
        self._ended = True
        frames.append(self._framed("error", error_facts(event.error)))
        return frames + self._whole("response.failed")

    def _repeat(self, extra: dict[str, Any]) -> None:
        """Renders the echo of the request, unless it would be the same again."""
        facts = extra.copy()
        facts.pop("completed_at", None)
        if not self._echo or facts != self._echoed:
            request = self._exchange.request
            try:
                self._echo = dumps(echo(request, extra))[1:]
            except ValueError:  # in what was not sent on; the failure repeats nothing of it
                self._exchange = replace(self._exchange, request=replace(request, body={"model": request.model}))
                raise InvalidValue("The request is nested too deeply.") from None
            self._echoed = facts

    def _whole(self, *names: str, completed_at: int | None = None) -> list[Frame]:
        """Events with the Response as it now stands; its status is the one that they say."""
        answer = self.fold.answer
        ends = names[0] in _ENDS
        facts = answer_facts(answer, answer.output if ends else [], completed_at)
        if not ends:
            facts |= {"status": "queued" if self._queued else "in_progress", "error": None, "usage": None}
        response = b'"response":%b,%b' % (dumps(facts)[:-1], self._echo)
        return [self._said(name, response) for name in names]

    def _usage(self, event: Usage) -> list[Frame]:
        self.fold.feed(event)
        return []

    def _opaque(self, event: Opaque) -> list[Frame]:
        rest = {key: value for key, value in event.event.items() if key not in ("type", "sequence_number")}
        return [self._framed(str(event.event.get("type")), rest)]

    # --------------------------------------------------------------------------------------------- items and parts

    def _item_opened(self, event: ItemOpened) -> list[Frame]:
        index, item = event.index, event.item
        self._places[index] = _place(item, index)
        return [self._said("response.output_item.added", b'"output_index":%d,"item":%b' % (index, dumps(item)))]

    def _item_closed(self, event: ItemClosed) -> list[Frame]:
        self.fold.feed(event)
        self._at = None
        index, item, frames = event.index, event.item, []
        match item.get("type"):  # that of a whole answer was never opened
            case "function_call":
                said = b',"name":%b,"arguments":%b' % (dumps(item["name"]), dumps(item["arguments"]))
                frames = [self._said("response.function_call_arguments.done", _place(item, index) + said)]
            case "custom_tool_call":
                said = b',"input":%b' % dumps(item["input"])
                frames = [self._said("response.custom_tool_call_input.done", _place(item, index) + said)]
        frames.append(self._said("response.output_item.done", b'"output_index":%d,"item":%b' % (index, dumps(item))))
        self._places.pop(index, None)
        return frames

    def _part_opened(self, event: PartOpened) -> list[Frame]:
        name, place = self._part_place(event.part, event.index, event.part_index)
        return [self._said(f"response.{name}.added", b'%b,"part":%b' % (place, dumps(event.part)))]

    def _part_closed(self, event: PartClosed) -> list[Frame]:
        self._at = None
        part = event.part
        name, place = self._part_place(part, event.index, event.part_index)
        kind = KINDS[part["type"]]
        events, _, field = _TEXTS[kind]
        said = b'%b,"%b":%b' % (place, field.encode(), dumps(part[field]))
        if kind is DeltaKind.TEXT:
            said += b',"logprobs":%b' % dumps(self._logprobs.pop((event.index, event.part_index), []))
        return [
            self._said(f"{events}.done", said),
            self._said(f"response.{name}.done", b'%b,"part":%b' % (place, dumps(part))),
        ]

    def _annotated(self, event: Annotated) -> list[Frame]:
        said = {"annotation_index": event.annotation_index, "annotation": event.annotation}
        place = b'%b,"content_index":%d,' % (self._places[event.index], event.part_index)
        return [self._said("response.output_text.annotation.added", place + dumps(said)[1:-1])]

    def _delta(self, event: Delta) -> list[Frame]:
        """The first delta of a text, one after another text's, or one with logprobs."""
        events, index_key, _ = _TEXTS[event.kind]
        name = f"{events}.delta"
        place = self._places[event.index]
        if index_key:
            place += b',"%b":%d' % (index_key.encode(), event.part_index)
        if event.logprobs and event.kind is DeltaKind.TEXT:
            self._logprobs.setdefault((event.index, event.part_index), []).extend(event.logprobs)
            return [self._said(name, place + b"," + dumps({"delta": event.text, "logprobs": event.logprobs})[1:-1])]
        if event.kind is DeltaKind.TEXT:
            place += b',"logprobs":[]'
        self._at = (event.index, event.part_index, event.kind)
        self._delta_name = name
        head = b'{"type":"%b",%b' % (name.encode(), place)
        self._delta_data = head.replace(b"%", b"%%") + b',"sequence_number":%d,"delta":%b}'
        self._delta_event = framed(name, self._delta_data)
        before = framed(name, head + b',"sequence_number":')[:-2]
        self._delta_pieces = [before, b"", b',"delta":', b"", b"}\n\n"]
        return [self._one_more(event.text)]

    def _one_more(self, text: str) -> Frame:
        number = self._number
        self._number = number + 1
        return self._delta_name, self._delta_data % (number, dumps(text))

    # ---------------------------------------------------------------------------------------------------- rendering

    def _part_place(self, part: dict[str, Any], index: int, part_index: int) -> tuple[str, bytes]:
        if part.get("type") == "summary_text":
            return "reasoning_summary_part", b'%b,"summary_index":%d' % (self._places[index], part_index)
        return "content_part", b'%b,"content_index":%d' % (self._places[index], part_index)

    def _said(self, name: str, members: bytes) -> Frame:
        """An event that says this, rendered."""
        number = self._number
        self._number = number + 1
        return name, b'{"type":"%b","sequence_number":%d,%b}' % (name.encode(), number, members)

    def _framed(self, name: str, said: dict[str, Any]) -> Frame:
        number = self._number
        self._number = number + 1
        return name, dumps({"type": name, "sequence_number": number, **said})


def _place(item: Item, index: int) -> bytes:
    return b'"item_id":%b,"output_index":%d' % (dumps(item["id"]), index)


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
