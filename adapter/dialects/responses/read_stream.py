"""A Responses stream, from whoever claims to speak it, as hub events that follow the grammar.

What the API promises: created, items that open and close in order, parts in them, deltas in those, one terminal event that
repeats it all. What arrives: streams without numbers (llama.cpp), with new ids in every event (Copilot), with wrong
indices (transformers), with deltas and nothing else, with nothing but done events (LM Studio), cut off anywhere. So:

* The answer begins with the first event that says anything; `response.created` only says it best.
* An event finds its item by `output_index`, else by `item_id`, else it means the open one; a delta that finds none opens one.
* Ids, model and time are those of the first event that gave them; sequence numbers are not looked at.
* `error` and `response.failed` end the answer, whichever comes first; everything behind an end is ignored. Of an answer that
  had begun an `error` waits a short time for the `response.failed` that may follow: it has the usage.
* Text behind the end of its item or part is a new one (9router says that all is done with the first delta).
* What the terminal object has and the stream had not is added; what they disagree on stays as it was streamed.
* Events that have no letter in the hub's alphabet go on as they are, to clients of the same dialect.

The way of a delta is short: the last text that grew is remembered with the event that would grow it next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapter.dialects.base import StreamReader
from adapter.dialects.functions.restoring import RestoringReader
from adapter.dialects.refrain import Refrain, Sole
from adapter.dialects.responses.answers import (
    BEGINNINGS,
    ENDS,
    Ending,
    ended,
    ending,
    is_failure,
    is_item,
    kind_of,
    said_beside,
    started,
)
from adapter.dialects.responses.assembly import Assembly, Slot, Text, is_other
from adapter.dialects.responses.output_items import (
    CALLS,
    PLAIN_TEXT,
    called_with,
    normal_annotation,
    normal_part,
    whole_text,
    without_nulls,
)
from adapter.dialects.responses.places import HOMES, Places
from adapter.errors import AdapterError, UpstreamInvalid, UpstreamTruncated
from adapter.hub.events import Delta, Deltas, Event, Failed, Opaque
from adapter.hub.losses import Anomaly
from adapter.hub.request import Clock, Exchange, Ids, derived_token, no_clock
from adapter.hub.usage import normal
from adapter.upstream.refusals import from_error_object
from adapter.wire.jsonio import NotJson, is_writable, loads


class ResponsesReader:
    """The machine for one stream; see the module's text."""

    def __init__(self, exchange: Exchange, *, ids: Ids = derived_token, clock: Clock = no_clock) -> None:
        self._exchange = exchange
        self._ids = ids
        self._clock = clock
        self._same_dialect = exchange.request.dialect == "responses"
        self._assembly = Assembly(bare_logprobs=self._same_dialect)
        self.anomalies: list[Anomaly] = self._assembly.anomalies
        self._beside: dict[str, Any] = {}
        self._started = False
        self.bare = False
        """As `StreamReader.bare`."""
        self._headless = False
        self._ended = False
        self._error: AdapterError | None = None
        """What an `error` event said, while its `response.failed` may follow."""
        self._places = Places(self._assembly)
        self._text: Text | None = None
        """What grew last."""
        self._next: tuple[str, int, Any] = ("", 0, None)
        """Type, output index and part of the event that would let it grow once more."""
        self._part_key = ""
        self._refrain = Refrain()
        self._repeated = b""
        """The event that says what the one before it said; not to read it is 2 % of a stream of five deltas."""

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def settling(self) -> bool:
        """The answer has failed, and only the terminal event with its usage may follow."""
        return self._error is not None and not self._ended

    def more(self, whole: bytes, at: int, events: list[Event]) -> int:
        """See `StreamReader.more`."""
        text = self._text
        if text is None or self._refrain.place != self._next or text.held or self._ended:
            return at
        found = self._refrain.texts(whole, at)
        if found is None:
            return at
        texts, end = found
        text.said += "".join(texts).encode()
        events.append(Deltas(text.index, text.part_index, text.kind, texts))
        return end

    def feed(self, name: str | None, data: bytes) -> list[Event]:
        """The hub events that one SSE event amounts to."""
        if self._ended or data == self._repeated:
            return []
        try:
            event = loads(data)
        except NotJson:
            if (said := data.strip()) in (b"", b"[DONE]"):
                return self._done() if said and self._started else []
            return self._failed(UpstreamInvalid("The upstream sent an event that is not JSON.", code=_INVALID_EVENT))
        if type(event) is not dict:
            return self._failed(UpstreamInvalid("The upstream sent an event that is no object.", code=_INVALID_EVENT))
        text = self._text
        if text is not None and not text.held and (sole := self._more(event)) is not None:
            delta = sole[1]
            if delta.isascii() or delta.isprintable():  # half a surrogate pair is neither
                if self._refrain.willing and name in (None, event["type"]):
                    self._refrain.learn(name, data, sole, self._more)
                text.said += delta.encode()
                return [Delta(text.index, text.part_index, text.kind, delta)]
        kind = kind_of(name, event)
        if self._same_dialect and not is_writable(event, data):
            return self._failed(UpstreamInvalid("The upstream's event is nested too deeply.", code=_INVALID_EVENT))
        events = self._slowly(kind, event)
        self._repeated = _in_progress(data) if kind == "response.created" else b""
        return events

    def _more(self, event: Any) -> Sole | None:
        """What an event adds to the text that grew last, where it does nothing else."""
        if type(event) is not dict:
            return None
        delta, place = event.get("delta"), (event.get("type"), event.get("output_index"), event.get(self._part_key))
        return (place, delta) if type(delta) is str and place == self._next and not event.get("logprobs") else None

    def close(self) -> list[Event]:
        """The upstream closed its stream."""
        return self.fail(UpstreamTruncated("The upstream's stream ended before its response was complete."))

    def fail(self, error: AdapterError) -> list[Event]:
        """The transport broke: without a terminal event no answer of this dialect is complete."""
        return [] if self._ended else self._failed(self._error or error)

    # ---------------------------------------------------------------------------------------------------- dispatch

    def _slowly(self, kind: str, event: dict[str, Any]) -> list[Event]:
        assembly = self._assembly
        self._text = None  # which may close with any event but more of it
        if self._error is not None:
            return self._failed(self._error, event.get("response"))
        try:
            if kind in ENDS:
                return self._end(kind, event)
            if assembly.part_at_end is not None and kind not in _SAY_MORE:
                assembly.close_done()
            if is_failure(kind, event):
                return self._told(from_error_object(event))
            handler = _HANDLERS.get(kind)
            if handler is None:
                self._other(kind, event)
            else:
                self.bare = kind in BEGINNINGS and (self.bare or not self._started)
                self._start(event)
                handler[0](self, event, handler[1])
        except UpstreamInvalid as error:
            return self._failed(error)
        out, assembly.out = assembly.out, []
        return out

    def _start(self, event: dict[str, Any]) -> None:
        if not self._started:
            self._started = True
            response = event.get("response")
            if not isinstance(response, dict):
                self._assembly.note("created_missing", "the stream began without response.created")
                response, self._headless = {}, True
            begun = started(response, self._exchange, self._ids, self._clock)
            given = response.get("id")
            self._assembly.token = self._ids(given if isinstance(given, str) else "")
            self._beside = begun.extra
            self._assembly.out.append(begun)

    def _end(self, kind: str, event: dict[str, Any]) -> list[Event]:
        response = event.get("response")
        if not isinstance(response, dict):
            response = {"error": event.get("error")}
        end = ending(response, ENDS[kind], self._exchange)
        if end.error is not None and not self._started:
            self._ended = True
            return [Failed(end.error, usage=normal(response.get("usage")))]
        self._start(event)
        if end.error is None and self._places.loose:
            self._name_loose(response)
        beside, said = self._beside, said_beside(response, self._exchange)
        changed = {key: value for key, value in said.items() if key not in beside or beside[key] != value}
        events = ended(self._assembly, response, end, changed, self._exchange.request.dialect)
        self._ended = True
        return events

    def _done(self) -> list[Event]:
        """`[DONE]` came, and no terminal event before it. What never said that it began (MLflow's agents) does not say that it ended
        either: it is complete where all its items are done."""
        assembly = self._assembly
        pending = [slot for slot in (*assembly.open_slots(), *self._places.loose) if slot.waiting is None]
        if not self._headless or pending or self._error is not None or not assembly.slots:
            return []
        assembly.note("terminal_missing", "[DONE] and no terminal event before it")
        return self._end("response.completed", {"response": {}})

    def _name_loose(self, response: dict[str, Any]) -> None:
        """Calls that never got a name get it from the final output, or there is no answer."""
        output = response.get("output")
        final = [item for item in output if is_item(item)] if isinstance(output, list) else []
        for slot in self._places.loose:
            if slot.index < 0:
                form = next((item for item in final if item["type"] == slot.type and item.get("name")), None)
                if form is not None:
                    final.remove(form)
                    slot.item = {**form, **slot.item}
                self._assembly.open(slot)

    def _told(self, error: AdapterError) -> list[Event]:
        if not self._started:
            return self._failed(error)
        self._error = error
        out, self._assembly.out = self._assembly.out, []
        return out

    def _failed(self, error: AdapterError, response: Any = None) -> list[Event]:
        """The answer breaks off; what was open stays open. `response` is the object that says so, if one does."""
        self._ended = True
        end, client = Ending("failed", error=error), self._exchange.request.dialect
        return ended(self._assembly, response if type(response) is dict else {}, end, {}, client)

    def _other(self, kind: str, event: dict[str, Any]) -> None:
        """An event with no letter of ours: on as it is, under our indices and ids, where it is an extension (`slug:name`) or named
        after the open item that it tells of, of whichever type: the API gets new ones every month."""
        extension = ":" in kind
        own = None if extension else self._places.in_progress(event, kind)
        known = extension or own is not None
        if not known or not kind.isascii() or not kind.isprintable():  # its type is also the name of the SSE event
            return self._assembly.note("event_unknown", "an event that is neither an open item's nor an extension")
        if not self._same_dialect or not self._started:
            return None
        event = {**event, "type": kind}
        if own is not None:
            event["output_index"] = own.index
            if not kind.startswith("response.shell_call_command."):  # those alone know no item_id
                event["item_id"] = own.item["id"]
        return self._assembly.out.append(Opaque(event))

    # ------------------------------------------------------------------------------------------------ the short way

    def _remember(self, event: dict[str, Any], text: Text, part_key: str) -> None:
        """The next event like this one takes the short way."""
        index = event.get("output_index")
        if type(index) is int and text.index >= 0 and index not in self._places.shared:
            self._text, self._part_key = text, part_key
            self._next = event.get("type", ""), index, event.get(part_key)

    # ---------------------------------------------------------------------------------------------------- handlers

    def _lifecycle(self, event: dict[str, Any], _: str) -> None:
        """created, queued, in_progress: `_start` took what they say."""

    def _item_added(self, event: dict[str, Any], _: str) -> None:
        item, index = event.get("item"), event.get("output_index")
        if not is_item(item):
            return self._assembly.note("item_invalid", "output_item.added without an item")
        item = without_nulls(item)
        known = self._places.by_index.get(index) if type(index) is int else None
        if known is not None and known.closed is None and known.type == item["type"]:
            if type(index) is int and _is_other_call(known.item, item):
                self._places.shared.add(index)
                return self._places.enter(Slot(item), index)
            if known.index < 0:  # a delta came first: now it has its name
                known.item = {**known.item, **item}
                if self._assembly.nameable(known):
                    self._assembly.open(known)
            return None
        return self._places.enter(Slot(item), index if type(index) is int else None)

    def _item_done(self, event: dict[str, Any], _: str) -> None:
        item, index = event.get("item"), event.get("output_index")
        if not is_item(item):
            return self._assembly.note("item_invalid", "output_item.done without an item")
        item = without_nulls(item)
        slot = self._places.by_index.get(index) if type(index) is int else None
        if slot is None or slot.type != item["type"] or index in self._places.shared:
            slot = self._places.by_form(item)
        if slot is None:
            slot = Slot(item)
            if type(index) is int:
                self._places.by_index[index] = slot
        if slot.closed is not None or slot.waiting is not None:
            return self._assembly.note("event_after_done", "a second output_item.done")
        if slot.implied and slot.index < 0:
            slot.item = {**slot.item, **item}
        return self._assembly.done(slot, item)

    def _part_added(self, event: dict[str, Any], group: str) -> None:
        found = self._parted(event, group)
        if found is not None:
            slot, part, number = found
            known = self._places.numbered(slot, group, number) if type(number) is int else None
            if known is None or known.closed is not None:
                self._places.open_part(slot, group, number, part)

    def _part_done(self, event: dict[str, Any], group: str) -> None:
        found = self._parted(event, group)
        if found is not None:
            slot, whole, number = found
            part = self._places.numbered(slot, group, number)
            if part is None or is_other(part, whole):
                part = self._places.open_part(slot, group, number, whole)
            self._assembly.part_done(part, whole)

    def _parted(self, event: dict[str, Any], group: str) -> tuple[Slot, dict[str, Any], Any] | None:
        """The item that a part event is about, the part in its normal form, and its number."""
        given = event.get("part")
        summary = group == "summary"
        raw = isinstance(given, dict) and given.get("type") == "reasoning_text" and "text" in given
        slot = self._places.slot(event, ("reasoning",) if summary or raw else ("message", "reasoning"))
        if slot is None:
            return None
        part = normal_part(given, PLAIN_TEXT["message" if slot.type == "message" else group])
        if part is None:
            self._assembly.note("part_unknown", "a part without text")
            return None
        return slot, part, event.get("summary_index" if summary else "content_index")

    def _text_delta(self, event: dict[str, Any], part_type: str) -> None:
        delta = event.get("delta")
        if not isinstance(delta, str):
            return self._assembly.note("delta_invalid", "a delta that is no string")
        found = self._places.part(event, part_type, more=delta != "")
        if found is None:
            return None
        self._assembly.add(found[1].text, delta, event.get("logprobs"))
        return self._remember(event, found[1].text, HOMES[part_type][2])

    def _text_done(self, event: dict[str, Any], part_type: str) -> None:
        said = event.get("refusal" if part_type == "refusal" else "text")
        found = self._places.part(event, part_type) if isinstance(said, str) else None
        if found is not None:
            self._assembly.complete(found[1].text, whole_text(said), event.get("logprobs"))

    def _annotation(self, event: dict[str, Any], part_type: str) -> None:
        annotation = event.get("annotation")
        found = self._places.part(event, part_type) if isinstance(annotation, dict) else None
        if found is not None and isinstance(annotation, dict):
            self._assembly.annotate(found[1], normal_annotation(annotation))

    def _call_delta(self, event: dict[str, Any], item_type: str) -> None:
        delta = event.get("delta")
        if not isinstance(delta, str):
            return self._assembly.note("delta_invalid", "a delta that is no string")
        slot = self._places.slot(event, (item_type,))
        if slot is None or slot.text is None:
            return None
        self._assembly.add(slot.text, delta)
        return self._remember(event, slot.text, "output_index")

    def _call_done(self, event: dict[str, Any], item_type: str) -> None:
        slot = self._places.slot(event, (item_type,))
        if slot is None or slot.text is None:
            return
        if slot.index < 0:
            slot.item = {**{key: event[key] for key in ("name", "call_id") if event.get(key)}, **slot.item}
            if self._assembly.nameable(slot):
                self._assembly.open(slot)
        self._assembly.complete(slot.text, called_with(event, CALLS[item_type][1]))


def _is_other_call(item: dict[str, Any], added: dict[str, Any]) -> bool:
    """Whether an item added in the place of an open one is another call, not the same once more."""
    ours, theirs = item.get("call_id"), added.get("call_id")
    return isinstance(ours, str) and isinstance(theirs, str) and ours != theirs


def _in_progress(created: bytes) -> bytes:
    """The `response.in_progress` that nearly every server sends behind its `response.created`."""
    said = created.replace(b'"response.created"', b'"response.in_progress"', 1)
    return said.replace(b'"sequence_number":0', b'"sequence_number":1', 1)


_SAY_MORE: Final = frozenset({"response.output_item.done", "response.output_text.annotation.added"})
"""Events that may say more of a part that is done."""
_INVALID_EVENT: Final = "upstream_invalid_event"
_Handler = Callable[[ResponsesReader, dict[str, Any], str], None]
_READ = ResponsesReader
_HANDLERS: Final[dict[str, tuple[_Handler, str]]] = {
    "response.created": (_READ._lifecycle, ""),
    "response.queued": (_READ._lifecycle, ""),
    "response.in_progress": (_READ._lifecycle, ""),
    "response.output_item.added": (_READ._item_added, ""),
    "response.output_item.done": (_READ._item_done, ""),
    "response.content_part.added": (_READ._part_added, "content"),
    "response.content_part.done": (_READ._part_done, "content"),
    "response.reasoning_part.added": (_READ._part_added, "content"),
    "response.reasoning_part.done": (_READ._part_done, "content"),
    "response.reasoning_summary_part.added": (_READ._part_added, "summary"),
    "response.reasoning_summary_part.done": (_READ._part_done, "summary"),
    "response.output_text.delta": (_READ._text_delta, "output_text"),
    "response.output_text.done": (_READ._text_done, "output_text"),
    "response.output_text.annotation.added": (_READ._annotation, "output_text"),
    "response.refusal.delta": (_READ._text_delta, "refusal"),
    "response.refusal.done": (_READ._text_done, "refusal"),
    "response.reasoning_text.delta": (_READ._text_delta, "reasoning_text"),
    "response.reasoning_text.done": (_READ._text_done, "reasoning_text"),
    "response.reasoning.delta": (_READ._text_delta, "reasoning_text"),
    "response.reasoning.done": (_READ._text_done, "reasoning_text"),
    "response.reasoning_summary_text.delta": (_READ._text_delta, "summary_text"),
    "response.reasoning_summary_text.done": (_READ._text_done, "summary_text"),
    "response.function_call_arguments.delta": (_READ._call_delta, "function_call"),
    "response.function_call_arguments.done": (_READ._call_done, "function_call"),
    "response.custom_tool_call_input.delta": (_READ._call_delta, "custom_tool_call"),
    "response.custom_tool_call_input.done": (_READ._call_done, "custom_tool_call"),
}
"""Event type -> (handler, the part or item type it is about). Every other event is opaque."""


def stream_reader(exchange: Exchange, *, ids: Ids = derived_token, clock: Clock = no_clock) -> StreamReader:
    """A fresh machine for one upstream stream."""
    reader = ResponsesReader(exchange, ids=ids, clock=clock)
    return RestoringReader(reader, exchange.tools) if exchange.tools else reader
