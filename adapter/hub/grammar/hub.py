"""The grammar of hub events, as `adapter.hub.events` states it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from adapter.errors import AdapterError
from adapter.hub.events import (
    NO_PART,
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
from adapter.hub.grammar.violation import Violation, shown

STRING_OF_KIND: Final = {
    DeltaKind.ARGUMENTS: ("function_call", "arguments"),
    DeltaKind.INPUT: ("custom_tool_call", "input"),
}
"""Kinds that add to the item itself -> (item type, field)."""
STRING_OF_TYPE: Final = dict(STRING_OF_KIND.values())
GROUP_OF_PART: Final = {"summary_text": "summary"}
"""Part types outside `content`."""
MAIN_GROUP: Final[dict[Any, str]] = {"message": "content", "reasoning": "summary"}
"""The group that is never without its parts being streamed; a reasoning item may close with `content` nobody saw."""
SAME_FROM_OPEN_TO_CLOSE: Final = ("id", "type", "role", "call_id", "name", "namespace")
USAGE_COUNTS: Final = ("input_tokens", "output_tokens", "total_tokens")


class _Part:
    __slots__ = ("annotations", "closed", "logprobs", "text", "type")

    def __init__(self, type_: Any) -> None:
        self.type = type_
        self.text = ""
        self.annotations: list[dict[str, Any]] = []
        self.logprobs = 0
        self.closed: dict[str, Any] | None = None


class _Item:
    __slots__ = ("closed", "groups", "opened", "text")

    def __init__(self, opened: dict[str, Any]) -> None:
        self.opened = opened
        self.closed: dict[str, Any] | None = None
        self.groups: dict[str, list[_Part]] = {"content": [], "summary": []}
        self.text = ""


class HubChecker:
    """The hub events of one answer, in order."""

    def __init__(self) -> None:
        self._n = 0
        self._found: list[Violation] = []
        self._started = False
        self._ended = False
        self._items: dict[int, _Item] = {}

    def feed(self, event: Event) -> list[Violation]:
        """What this event breaks."""
        if type(event) is Deltas:
            return [violation for one in singly([event]) for violation in self.feed(one)]
        self._found = []
        if self._ended:
            self._broken("after_terminal", f"{type(event).__name__} after the terminal event")
        elif not self._started and not isinstance(event, (Started, Failed)):
            self._broken("first_event", f"the first event is {type(event).__name__}, expected Started")
            self._started = True
        match event:
            case Started():
                self._on_started(event)
            case ItemOpened():
                self._on_opened(event)
            case PartOpened():
                self._on_part_opened(event)
            case Delta():
                self._on_delta(event)
            case Annotated():
                self._on_annotated(event)
            case PartClosed():
                self._on_part_closed(event)
            case ItemClosed():
                self._on_closed(event)
            case Opaque():
                self._on_opaque(event)
            case Usage():
                self._on_usage(event)
            case Finished():
                self._on_finished(event)
            case Failed():
                self._on_failed(event)
        self._n += 1
        return self._found

    def end(self) -> list[Violation]:
        """What the end of the stream breaks."""
        return [] if self._ended else [Violation("no_terminal", "end", "neither Finished nor Failed")]

    def _broken(self, code: str, message: str) -> None:
        self._found.append(Violation(code, f"event[{self._n}]", message))

    # ------------------------------------------------------------------------------------------- start, usage, end

    def _on_started(self, event: Started) -> None:
        if self._started:
            self._broken("started.repeat", "a second Started")
        self._started = True
        if not event.id.startswith("resp_"):
            self._broken("started.id", f"the answer's id is {event.id!r}, expected resp_…")

    def _on_usage(self, event: Usage) -> None:
        usage = event.usage
        details = (usage.get("input_tokens_details"), usage.get("output_tokens_details"))
        counts = [usage.get(key) for key in USAGE_COUNTS]
        for detail in details:
            counts += detail.values() if isinstance(detail, dict) and detail else [None]
        if not all(type(count) is int for count in counts):
            self._broken("usage.form", f"usage is not in the normal form: {shown(usage)}")

    def _on_finished(self, event: Finished) -> None:
        self._ended = True
        if (event.status == "incomplete") != (event.reason is not None):
            self._broken("finished.reason", f"status {event.status} with reason {event.reason}")
        still_open = [index for index, item in self._items.items() if item.closed is None]
        if still_open:
            self._broken("item.open_at_end", f"Finished while items {still_open} are open")
        if event.status == "completed" and any(self._incomplete(item) for item in self._items.values()):
            self._broken("completed.incomplete_item", "Finished completed, but an item is incomplete")

    def _on_failed(self, event: Failed) -> None:
        self._ended = True
        if not isinstance(event.error, AdapterError):
            self._broken("failed.error", "Failed without an error of ours")

    @staticmethod
    def _incomplete(item: _Item) -> bool:
        return item.closed is not None and item.closed.get("status") == "incomplete"

    # ------------------------------------------------------------------------------------------------------- items

    def _on_opened(self, event: ItemOpened) -> None:
        if event.index in self._items:
            self._broken("item.reused_index", f"item {event.index} opened twice")
        elif event.index != len(self._items):
            self._broken("item.index", f"item {event.index} opened, expected {len(self._items)}")
        if any(self._incomplete(item) for item in self._items.values()):
            self._broken("item.after_incomplete", f"item {event.index} opened after an incomplete one")
        skeleton = event.item
        if not isinstance(skeleton.get("id"), str) or not skeleton["id"]:
            self._broken("item.id", f"a {shown(skeleton.get('type'))} item without an id")
        elif any(item.opened.get("id") == skeleton["id"] for item in self._items.values()):
            self._broken("item.id_dup", f"item id {skeleton['id']!r} used twice")
        self._check_skeleton(skeleton)
        self._items[event.index] = _Item(skeleton)

    def _check_skeleton(self, skeleton: dict[str, Any]) -> None:
        type_ = skeleton.get("type")
        if type_ in ("message", *STRING_OF_TYPE) and skeleton.get("status") != "in_progress":
            self._broken("added.status", f"{type_} opened with status {shown(skeleton.get('status'))}")
        if type_ == "message" and (skeleton.get("content") != [] or skeleton.get("role") != "assistant"):
            self._broken("added.content", "message opened with content, or without its role")
        if type_ == "reasoning" and (skeleton.get("summary") != [] or skeleton.get("content")):
            self._broken("added.content", "reasoning opened with summary or content")
        if type_ in STRING_OF_TYPE:
            if skeleton.get(STRING_OF_TYPE[type_]) != "":
                self._broken("added.content", f"{type_} opened with {STRING_OF_TYPE[type_]}")
            if not skeleton.get("call_id"):
                self._broken("item.call_id", f"{type_} without call_id")
            if not skeleton.get("name"):
                self._broken("item.name", f"{type_} without a name")

    def _open_item(self, what: str, index: int) -> _Item | None:
        item = self._items.get(index)
        if item is None:
            self._broken("item.unknown", f"{what} for item {index}, which was never opened")
        elif item.closed is not None:
            self._broken("item.after_done", f"{what} after item {index} was closed")
        return item

    def _on_opaque(self, event: Opaque) -> None:
        kind, index = event.event.get("type"), event.event.get("output_index")
        if not isinstance(kind, str):
            self._broken("opaque.type", "an opaque event without a type")
        elif isinstance(index, int) and ":" not in kind:
            self._open_item(kind, index)

    def _on_closed(self, event: ItemClosed) -> None:
        item = self._open_item("ItemClosed", event.index)
        if item is None or item.closed is not None:
            return
        item.closed = whole = event.item
        for key in SAME_FROM_OPEN_TO_CLOSE:
            if key in item.opened and whole.get(key) != item.opened[key]:
                self._broken("item.field_changed", f"{key} {shown(whole.get(key))}, was {shown(item.opened[key])}")
        type_ = whole.get("type")
        if type_ in ("message", *STRING_OF_TYPE) and whole.get("status") not in ("completed", "incomplete"):
            self._broken("done.status", f"{type_} closed with status {shown(whole.get('status'))}")
        if type_ in STRING_OF_TYPE and whole.get(STRING_OF_TYPE[type_]) != item.text:
            self._broken("str.mismatch", f"{STRING_OF_TYPE[type_]} of the closed item differs from its deltas")
        for group, parts in item.groups.items():
            if any(part.closed is None for part in parts):
                self._broken("part.open_at_done", f"item {event.index} closed while a {group} part is open")
            streamed = [part.closed for part in parts]
            if (parts or MAIN_GROUP.get(type_) == group) and (whole.get(group) or []) != streamed:
                self._broken(f"done.{group}", f"{group} of the closed item differs from its closed parts")

    # ------------------------------------------------------------------------------------------------------- parts

    def _on_part_opened(self, event: PartOpened) -> None:
        item = self._open_item("PartOpened", event.index)
        if item is None:
            return
        parts = item.groups[GROUP_OF_PART.get(event.part.get("type", ""), "content")]
        if event.part_index != len(parts):
            self._broken("part.index", f"part {event.part_index} opened, expected {len(parts)}")
        if any(part.closed is None for part in parts):
            self._broken("part.overlap", f"part {event.part_index} opened while another is open")
        if any(event.part.get(key) for key in ("text", "refusal", "annotations", "logprobs")):
            self._broken("part.nonempty", "a part opened with text, annotations or logprobs")
        parts.append(_Part(event.part.get("type")))

    def _part(self, what: str, index: int, part_index: int, type_: Any) -> _Part | None:
        item = self._open_item(what, index)
        if item is None:
            return None
        parts = item.groups[GROUP_OF_PART.get(type_, "content")]
        if not 0 <= part_index < len(parts):
            self._broken("part.unknown", f"{what} for part {part_index}, which was never opened")
            return None
        part = parts[part_index]
        if part.closed is not None:
            self._broken("part.after_done", f"{what} after part {part_index} was closed")
        if part.type != type_:
            self._broken("part.wrong_type", f"{what} of {shown(type_)} on a {shown(part.type)} part")
        return part

    def _on_delta(self, event: Delta) -> None:
        if event.kind in STRING_OF_KIND:
            item = self._open_item("Delta", event.index)
            if item is not None:
                if item.opened.get("type") != STRING_OF_KIND[event.kind][0] or event.part_index != NO_PART:
                    self._broken(
                        "item.wrong_type", f"a delta of {event.kind.value} on a {shown(item.opened.get('type'))} item"
                    )
                item.text += event.text
            return
        part = self._part("Delta", event.index, event.part_index, event.kind.value)
        if part is not None:
            part.text += event.text
            part.logprobs += len(event.logprobs or ())

    def _on_annotated(self, event: Annotated) -> None:
        part = self._part("Annotated", event.index, event.part_index, "output_text")
        if part is not None:
            if event.annotation_index != len(part.annotations):
                self._broken(
                    "annotation.index", f"annotation {event.annotation_index}, expected {len(part.annotations)}"
                )
            part.annotations.append(event.annotation)

    def _on_part_closed(self, event: PartClosed) -> None:
        whole = event.part
        part = self._part("PartClosed", event.index, event.part_index, whole.get("type"))
        if part is None or part.closed is not None:
            return
        part.closed = whole
        text = whole.get("refusal" if part.type == "refusal" else "text", "")
        if text != part.text:
            self._broken("text.mismatch", f"the closed part says {shown(text)}, its deltas {shown(part.text)}")
        if (whole.get("annotations") or []) != part.annotations:
            self._broken("annotation.mismatch", "the closed part's annotations differ from the announced ones")
        if len(whole.get("logprobs") or ()) != part.logprobs:
            self._broken("logprobs.mismatch", "the closed part's logprobs differ from those of its deltas")


def check_hub(events: Iterable[Event]) -> list[Violation]:
    """What the hub events of a whole answer break."""
    checker = HubChecker()
    violations = [violation for event in events for violation in checker.feed(event)]
    return violations + checker.end()
