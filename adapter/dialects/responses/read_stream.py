"""A Responses stream, from whoever claims to speak it, as hub events that follow the grammar.

What the API promises: created, items that open and close in order, parts in them, deltas in those, one terminal event that
repeats it all. What arrives: streams without numbers (llama.cpp), with new ids in every event (Copilot), with wrong
indices (transformers), with deltas and nothing else, with nothing but done events (LM Studio), cut off anywhere. So:

* The answer begins with the first event that says anything; `response.created` only says it best.
* An event finds its item by `output_index`, else by `item_id`, else it means the open one; a delta that finds none opens one.
* Ids, model and time are those of the first event that gave them; sequence numbers are not looked at.
* `error` and `response.failed` end the answer, whichever comes first; everything behind an end is ignored.
* What the terminal object has and the stream had not is added; what they disagree on stays as it was streamed.
* Events that have no letter in the hub's alphabet go on as they are, to clients of the same dialect.

The way of a delta is short: the last text that grew is remembered with the event that would grow it next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapter.dialects.responses.answers import Ending, ended, ending, is_item, started
from adapter.dialects.responses.assembly import Assembly, Part, Slot, Text
from adapter.dialects.responses.output_items import (
    CALLS,
    called_with,
    normal_annotation,
    normal_part,
    whole_text,
)
from adapter.errors import AdapterError, UpstreamInvalid, UpstreamTruncated
from adapter.hub.events import Delta, Event, Opaque
from adapter.hub.losses import Anomaly
from adapter.hub.request import Clock, Exchange, Ids, derived_token, no_clock
from adapter.upstream.refusals import from_error_object
from adapter.wire.jsonio import NotJson, loads


class ResponsesReader:
    """The machine for one stream; see the module's text."""

    def __init__(self, exchange: Exchange, *, ids: Ids = derived_token, clock: Clock = no_clock) -> None:
        self._exchange = exchange
        self._ids = ids
        self._clock = clock
        self._same_dialect = exchange.request.dialect == "responses"
        self._assembly = Assembly(bare_logprobs=self._same_dialect)
        self._beside: dict[str, Any] = {}
        self._started = False
        self._ended = False
        self._by_index: dict[int, Slot] = {}
        self._by_id: dict[str, Slot] = {}
        self._loose: list[Slot] = []
        """Calls whose name is not known yet."""
        self._next_type = ""
        """With the three below: the event that would let `_text` grow once more."""
        self._next_output: int | None = None
        self._part_key = ""
        self._next_part: Any = None
        self._text: Text | None = None

    @property
    def anomalies(self) -> list[Anomaly]:
        return self._assembly.anomalies

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def settling(self) -> bool:
        """Never: usage comes in the terminal event."""
        return False

    def feed(self, name: str | None, data: bytes) -> list[Event]:
        """The hub events that one SSE event amounts to."""
        if self._ended:
            return []
        try:
            event = loads(data)
        except NotJson:
            if not data.strip() or data.strip() == b"[DONE]":
                return []
            return self._failed(UpstreamInvalid("The upstream sent an event that is not JSON.", code=_INVALID_EVENT))
        if type(event) is not dict:
            return self._failed(UpstreamInvalid("The upstream sent an event that is no object.", code=_INVALID_EVENT))
        kind = event.get("type")
        text = self._text
        if (
            text is not None
            and kind == self._next_type
            and event.get("output_index") == self._next_output
            and event.get(self._part_key) == self._next_part
            and not text.held
            and not event.get("logprobs")
        ):
            delta = event.get("delta")
            if type(delta) is str and (delta.isascii() or delta.isprintable()):  # half a surrogate pair is neither
                text.pieces.append(delta)
                return [Delta(text.index, text.part_index, text.kind, delta)]
        if type(kind) is not str:
            kind = name or ""
        return self._slowly(kind, event)

    def close(self) -> list[Event]:
        """The upstream closed its stream."""
        return self.fail(UpstreamTruncated("The upstream's stream ended before its response was complete."))

    def fail(self, error: AdapterError) -> list[Event]:
        """The transport broke: without a terminal event no answer of this dialect is complete."""
        return [] if self._ended else self._failed(error)

    # ---------------------------------------------------------------------------------------------------- dispatch

    def _slowly(self, kind: str, event: dict[str, Any]) -> list[Event]:
        assembly = self._assembly
        try:
            if kind in _ENDS:
                return self._end(kind, event)
            if kind == "error" or (event.get("error") and not kind.startswith("response.")):
                return self._failed(from_error_object(event.get("error") or _flat_error(event)))
            handler = _HANDLERS.get(kind)
            if handler is None:
                self._other(kind, event)
            else:
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
                response = {}
            begun = started(response, self._exchange, self._ids, self._clock)
            given = response.get("id")
            self._assembly.token = self._ids(given if isinstance(given, str) else "")
            self._beside = begun.extra
            self._assembly.out.append(begun)

    def _end(self, kind: str, event: dict[str, Any]) -> list[Event]:
        response = event.get("response")
        if not isinstance(response, dict):
            response = {}
        end = ending(response, _ENDS[kind])
        if end.error is not None and not self._started:
            return self._failed(end.error)
        self._start(event)
        if end.error is None:
            self._name_loose(response)
        events = ended(self._assembly, response, end, self._beside)
        self._ended = True
        return events

    def _name_loose(self, response: dict[str, Any]) -> None:
        """Calls that never got a name get it from the final output, or there is no answer."""
        output = response.get("output")
        final = [item for item in output if is_item(item)] if isinstance(output, list) else []
        for slot in self._loose:
            if slot.index < 0:
                form = next((item for item in final if item["type"] == slot.type and item.get("name")), None)
                if form is not None:
                    final.remove(form)
                    slot.item = {**form, **slot.item}
                self._assembly.open(slot)

    def _failed(self, error: AdapterError) -> list[Event]:
        """The answer breaks off; what was open stays open."""
        self._ended = True
        return ended(self._assembly, {}, Ending("failed", error=error), {})

    def _other(self, kind: str, event: dict[str, Any]) -> None:
        """An event with no letter of ours: on as it is, under our indices and ids, while its item is open."""
        if not kind:
            self._assembly.note("event_without_type")
        if not self._same_dialect or not self._started or not kind:
            return
        if "type" not in event:
            event = {"type": kind, **event}
        if type(event.get("output_index")) is int:
            slot = self._by_index.get(event["output_index"])
            if slot is None or slot.index < 0 or slot.closed is not None:
                self._assembly.note("event_without_item", "a progress event for an item that is not open")
                return
            event = {**event, "output_index": slot.index}
            if "item_id" in event:
                event["item_id"] = slot.item["id"]
        self._assembly.out.append(Opaque(event))

    # ----------------------------------------------------------------------------------------------- finding things

    def _slot(self, event: dict[str, Any], types: tuple[str, ...]) -> Slot | None:
        """The open item that a delta or done event is about; opened here if nobody opened it. None if it is closed."""
        index, given = event.get("output_index"), event.get("item_id")
        item_id = given if isinstance(given, str) else ""
        slot = self._by_index.get(index) if type(index) is int else None
        if slot is None or slot.type not in types:
            slot = self._by_id.get(item_id, slot)
        if slot is None and type(index) is not int:
            slot = self._last_open(types)
        if slot is not None and slot.type in types:
            if slot.closed is not None or slot.waiting is not None:
                self._assembly.note("event_after_done", "an event for an item that was done")
                return None
            return slot
        self._assembly.note("item_implied", "an event for an item that was never added")
        self._forget()
        slot = Slot({"type": types[0], "id": item_id}, implied=True)
        self._enter(slot, index if type(index) is int else None)
        return slot

    def _last_open(self, types: tuple[str, ...]) -> Slot | None:
        unfinished = [*self._assembly.open_slots(), *(loose for loose in self._loose if loose.index < 0)]
        return next((slot for slot in reversed(unfinished) if slot.type in types and slot.waiting is None), None)

    def _enter(self, slot: Slot, index: int | None) -> None:
        """A new item: found by the upstream's index and id from now on, and opened as soon as it can be."""
        if index is not None:
            self._by_index[index] = slot
        given = slot.item.get("id")
        if self._assembly.nameable(slot):
            self._assembly.open(slot)
        else:
            self._loose.append(slot)
        if isinstance(given, str):
            self._by_id[given] = slot

    def _part(self, event: dict[str, Any], part_type: str) -> tuple[Slot, Part, int] | None:
        """The open part that an event is about, opened here if nobody opened it."""
        types, group, key = _HOMES[part_type]
        slot = self._slot(event, types)
        if slot is None:
            return None
        parts, given = slot.groups[group], event.get(key)
        index = given if type(given) is int else len(parts) - 1
        part = parts[index] if 0 <= index < len(parts) else None
        if part is None or part.skeleton["type"] != part_type or (part.closed is not None and type(given) is not int):
            part = self._assembly.open_part(slot, group, normal_part({"type": part_type}, part_type))
            index = len(parts) - 1
        elif part.closed is not None:
            self._assembly.note("event_after_done", "an event for a part that was done")
            return None
        return slot, part, index

    def _remember(self, event: dict[str, Any], text: Text, part_key: str) -> None:
        """The next event like this one takes the short way."""
        index = event.get("output_index")
        if type(index) is int and text.index >= 0:
            self._next_type, self._next_output = event.get("type", ""), index
            self._part_key, self._next_part = part_key, event.get(part_key)
            self._text = text

    def _forget(self) -> None:
        self._text = None

    # ---------------------------------------------------------------------------------------------------- handlers

    def _lifecycle(self, event: dict[str, Any], _: str) -> None:
        """created, queued, in_progress: `_start` took what they say."""

    def _item_added(self, event: dict[str, Any], _: str) -> None:
        item, index = event.get("item"), event.get("output_index")
        if not is_item(item):
            return self._assembly.note("item_invalid", "output_item.added without an item")
        assert isinstance(item, dict)
        self._forget()
        known = self._by_index.get(index) if type(index) is int else None
        if known is not None and known.closed is None and known.type == item["type"]:
            if known.index < 0:  # a delta came first: now it has its name
                known.item = {**known.item, **item}
                if self._assembly.nameable(known):
                    self._assembly.open(known)
            return None
        return self._enter(Slot(item), index if type(index) is int else None)

    def _item_done(self, event: dict[str, Any], _: str) -> None:
        item, index = event.get("item"), event.get("output_index")
        if not is_item(item):
            return self._assembly.note("item_invalid", "output_item.done without an item")
        assert isinstance(item, dict)
        self._forget()
        slot = self._by_index.get(index) if type(index) is int else None
        if slot is None or slot.type != item["type"]:
            slot = self._done_slot(item)
        if slot is None:
            slot = Slot(item)
            if type(index) is int:
                self._by_index[index] = slot
        if slot.closed is not None or slot.waiting is not None:
            return self._assembly.note("event_after_done", "a second output_item.done")
        if slot.implied and slot.index < 0:
            slot.item = {**slot.item, **item}
        return self._assembly.done(slot, item)

    def _done_slot(self, item: dict[str, Any]) -> Slot | None:
        """By its id, else the last open item of that type."""
        given = item.get("id")
        slot = self._by_id.get(given) if isinstance(given, str) else None
        if slot is not None and slot.type == item["type"]:
            return slot
        return self._last_open((item["type"],))

    def _part_added(self, event: dict[str, Any], summary: str) -> None:
        given = event.get("part")
        kind = given.get("type") if isinstance(given, dict) else None
        slot = self._slot(event, ("reasoning",) if summary or kind == "reasoning_text" else ("message", "reasoning"))
        if slot is None:
            return
        self._forget()
        group = "summary" if summary else "content"
        plain = summary or ("output_text" if slot.type == "message" else "reasoning_text")
        index = event.get("summary_index" if summary else "content_index")
        parts = slot.groups[group]
        if type(index) is int and index < len(parts) and parts[index].closed is None:
            return
        self._assembly.open_part(slot, group, normal_part(given, plain))

    def _part_done(self, event: dict[str, Any], summary: str) -> None:
        given = event.get("part")
        kind = given.get("type") if isinstance(given, dict) else None
        slot = self._slot(event, ("reasoning",) if summary or kind == "reasoning_text" else ("message", "reasoning"))
        if slot is None or not isinstance(given, dict):
            return
        self._forget()
        group = "summary" if summary else "content"
        whole = normal_part(given, summary or ("output_text" if slot.type == "message" else "reasoning_text"))
        index = event.get("summary_index" if summary else "content_index")
        parts = slot.groups[group]
        if type(index) is not int or not 0 <= index < len(parts):
            index = len(parts) if type(index) is int or not parts else len(parts) - 1
        if index == len(parts):
            self._assembly.open_part(slot, group, whole)
        self._assembly.close_part(parts[index], slot.index, index, whole)

    def _text_delta(self, event: dict[str, Any], part_type: str) -> None:
        delta = event.get("delta")
        if not isinstance(delta, str):
            return self._assembly.note("delta_invalid", "a delta that is no string")
        found = self._part(event, part_type)
        if found is None or found[1].text is None:
            return None
        self._assembly.add(found[1].text, delta, event.get("logprobs"))
        return self._remember(event, found[1].text, _HOMES[part_type][2])

    def _text_done(self, event: dict[str, Any], part_type: str) -> None:
        said = event.get("refusal" if part_type == "refusal" else "text")
        found = self._part(event, part_type) if isinstance(said, str) else None
        if found is not None and found[1].text is not None:
            self._forget()
            self._assembly.complete(found[1].text, whole_text(said))

    def _annotation(self, event: dict[str, Any], part_type: str) -> None:
        annotation = event.get("annotation")
        found = self._part(event, part_type) if isinstance(annotation, dict) else None
        if found is not None and isinstance(annotation, dict):
            self._assembly.annotate(found[1], found[0].index, found[2], normal_annotation(annotation))

    def _call_delta(self, event: dict[str, Any], item_type: str) -> None:
        delta = event.get("delta")
        if not isinstance(delta, str):
            return self._assembly.note("delta_invalid", "a delta that is no string")
        slot = self._slot(event, (item_type,))
        if slot is None or slot.text is None:
            return None
        self._assembly.add(slot.text, delta)
        return self._remember(event, slot.text, "output_index")

    def _call_done(self, event: dict[str, Any], item_type: str) -> None:
        slot = self._slot(event, (item_type,))
        if slot is None or slot.text is None:
            return
        self._forget()
        if slot.index < 0:
            slot.item = {**{key: event[key] for key in ("name", "call_id") if event.get(key)}, **slot.item}
            if self._assembly.nameable(slot):
                self._assembly.open(slot)
        self._assembly.complete(slot.text, called_with(event, CALLS[item_type][1]))


def _flat_error(event: dict[str, Any]) -> dict[str, Any]:
    """An `error` event in the flat form: its own type is no type of error."""
    return {key: event[key] for key in ("code", "message", "param") if key in event}


_INVALID_EVENT: Final = "upstream_invalid_event"
_ENDS: Final = {
    "response.completed": "completed",
    "response.done": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
"""Terminal events -> the status that they mean where their object gives none."""
_HOMES: Final[dict[str, tuple[tuple[str, ...], str, str]]] = {
    "output_text": (("message",), "content", "content_index"),
    "refusal": (("message",), "content", "content_index"),
    "reasoning_text": (("reasoning",), "content", "content_index"),
    "summary_text": (("reasoning",), "summary", "summary_index"),
}
"""Part type -> the items it lives in, its group there, and the key of its index in events."""
_Handler = Callable[[ResponsesReader, dict[str, Any], str], None]
_READ = ResponsesReader
_HANDLERS: Final[dict[str, tuple[_Handler, str]]] = {
    "response.created": (_READ._lifecycle, ""),
    "response.queued": (_READ._lifecycle, ""),
    "response.in_progress": (_READ._lifecycle, ""),
    "response.output_item.added": (_READ._item_added, ""),
    "response.output_item.done": (_READ._item_done, ""),
    "response.content_part.added": (_READ._part_added, ""),
    "response.content_part.done": (_READ._part_done, ""),
    "response.reasoning_summary_part.added": (_READ._part_added, "summary_text"),
    "response.reasoning_summary_part.done": (_READ._part_done, "summary_text"),
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


def stream_reader(exchange: Exchange, *, ids: Ids = derived_token, clock: Clock = no_clock) -> ResponsesReader:
    """A fresh machine for one upstream stream."""
    return ResponsesReader(exchange, ids=ids, clock=clock)
