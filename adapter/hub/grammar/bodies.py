"""What happens between `output_item.added` and `output_item.done`, by item type: parts, strings and phases, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from adapter.hub.grammar.violation import shown

Broken: TypeAlias = list[tuple[str, str]]
"""(code, message) pairs; the checker adds the place."""

TEXT_OF_PART: Final = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text", "summary_text": "text"}
"""Part type -> the field of it (and of its text done event) that deltas add up to."""
PARTS_OF_ITEM: Final = {"message": ("output_text", "refusal"), "reasoning": ("reasoning_text",)}
STRING_OF_ITEM: Final = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
    "mcp_call": ("response.mcp_call_arguments", "arguments"),
    "code_interpreter_call": ("response.code_interpreter_call_code", "code"),
}
"""Item type -> (the events `<prefix>.delta` and `<prefix>.done`, the item's field)."""
PHASES: Final = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "image_generation_call": ("in_progress", "generating", "partial_image", "completed"),
    "mcp_call": ("in_progress", "completed", "failed"),
    "mcp_list_tools": ("in_progress", "completed", "failed"),
    "compaction": ("compacting",),
}
"""Progress events `response.<item type>.<phase>`; each may be left out, none may go backwards."""
OPEN_STATUSES: Final = ("in_progress", "searching", "interpreting", "generating")
MUST_OPEN: Final = ("message", "function_call")
"""Items whose status is required and `in_progress` when added, `completed` or `incomplete` when done."""
MODEL_ITEMS: Final = ("message", "function_call", "custom_tool_call", "reasoning")
FIXED_FIELDS: Final = ("call_id", "name", "role", "namespace")


class Part:
    """One content or summary part so far."""

    __slots__ = ("annotations", "done", "logprobs", "text", "text_done", "type")

    def __init__(self, type_: Any) -> None:
        self.type = type_
        self.text = ""
        self.text_done: Any = None
        self.done: dict[str, Any] | None = None
        self.annotations: list[Any] = []
        self.logprobs = 0

    @property
    def field(self) -> str:
        return TEXT_OF_PART.get(self.type, "text") if isinstance(self.type, str) else "text"


class ItemBody:
    """One output item so far."""

    __slots__ = (
        "added",
        "content",
        "deltas",
        "done",
        "id",
        "index",
        "phase",
        "string",
        "string_done",
        "summary",
        "type",
    )

    def __init__(self, item: dict[str, Any], index: Any) -> None:
        self.added = item
        self.index = index
        self.id = item.get("id")
        self.type = item.get("type") if isinstance(item.get("type"), str) else None
        self.done: dict[str, Any] | None = None
        self.content: list[Part] = []
        self.summary: list[Part] = []
        self.string, self.string_done, self.deltas = "", None, 0
        self.phase = -1

    @property
    def status(self) -> Any:
        return self.done.get("status") if self.done is not None else None

    def opened(self, earlier: Iterable[dict[str, Any]]) -> Broken:
        """Rules of `output_item.added`: the snapshot that clients append deltas to is empty, and named."""
        item, broken = self.added, Broken()
        if (self.type in MUST_OPEN and item.get("status") not in OPEN_STATUSES) or not _may_be(item.get("status"), str):
            broken.append(("added.status", f"{self.type} added with status {shown(item.get('status'))}"))
        if self.type == "message" and item.get("content") != []:
            broken.append(("added.content", f"message added with content {shown(item.get('content'))}, expected []"))
        if self.type == "message" and item.get("role") != "assistant":
            broken.append(("added.role", f"message added with role {shown(item.get('role'))}, expected 'assistant'"))
        if self.type == "reasoning" and (item.get("summary") != [] or item.get("content")):
            broken.append(("added.content", "reasoning added with summary or content"))
        if self.type in ("function_call", "custom_tool_call"):
            field = STRING_OF_ITEM[self.type][1]
            if item.get(field) != "":
                broken.append(("added.content", f"{self.type} added with {field} {shown(item.get(field))}"))
            if not item.get("call_id"):
                broken.append(("item.call_id", f"{self.type} without call_id"))
            if not item.get("name"):
                broken.append(("item.name", f"{self.type} added without a name"))
            if any(e.get("type") == self.type and e.get("call_id") == item.get("call_id") for e in earlier):
                broken.append(("item.call_id_dup", f"call_id {shown(item.get('call_id'))} used twice"))
        return broken

    def closed(self, item: dict[str, Any]) -> Broken:
        """Rules of `output_item.done`: the whole item, equal to what was streamed."""
        self.done = item
        broken = Broken()
        if item.get("id") != self.id:
            broken.append(("item.id_mismatch", f"done with id {shown(item.get('id'))}, added as {shown(self.id)}"))
        if item.get("type") != self.added.get("type"):
            broken.append(("item.type_changed", f"{self.type!r} became {shown(item.get('type'))}"))
        if self.type != "tool_search_call":  # OpenAI gives it a new call_id at done
            broken += [
                ("item.field_changed", f"{key} {shown(item.get(key))}, was {shown(self.added[key])}")
                for key in FIXED_FIELDS
                if key in self.added and item.get(key) != self.added[key]
            ]
        status = item.get("status")
        if (self.type in MODEL_ITEMS and status in OPEN_STATUSES) or (
            self.type in MUST_OPEN and status not in ("completed", "incomplete")
        ):
            broken.append(("done.status", f"output_item.done with status {shown(status)}"))
        if self.type in PARTS_OF_ITEM:
            broken += self._closed_content(item)
        if self.type == "reasoning":
            broken += _closed_parts(self.summary, item.get("summary"), "summary")
        if self.type in STRING_OF_ITEM:
            broken += self._closed_string(item)
        return broken

    def _closed_content(self, item: dict[str, Any]) -> Broken:
        if self.type == "reasoning" and not self.content:  # raw reasoning that was never streamed is no fault
            return []
        return _closed_parts(self.content, item.get("content"), "content")

    def _closed_string(self, item: dict[str, Any]) -> Broken:
        events, field = STRING_OF_ITEM[self.type or ""]
        broken, value = Broken(), item.get(field)
        if self.string_done is None:
            if self.type in ("function_call", "custom_tool_call"):
                broken.append(("str.no_done", f"output_item.done without {events}.done"))
            if self.deltas and value != self.string:
                broken.append(("str.mismatch", f"{field} of output_item.done differs from the deltas"))
        elif value != self.string_done:
            broken.append(("str.mismatch", f"{field} of output_item.done differs from {events}.done"))
        return broken


def _closed_parts(parts: list[Part], given: Any, group: str) -> Broken:
    broken, final = Broken(), given if isinstance(given, list) else []
    code = "part" if group == "content" else "summary"
    broken += [
        (f"{code}.open_at_done", f"output_item.done while {group} part {k} is open")
        for k, p in enumerate(parts)
        if p.done is None
    ]
    if len(final) != len(parts):
        broken.append((f"done.{group}_count", f"{len(final)} {group} parts at done, {len(parts)} streamed"))
    broken += [
        (f"done.{group}", f"{group}[{k}] differs from its part done event")
        for k, (part, whole) in enumerate(zip(parts, final, strict=False))
        if part.done is not None and whole != part.done
    ]
    return broken


# ------------------------------------------------------------------------------------------------------- body events

Check: TypeAlias = Callable[[ItemBody, str, dict[str, Any]], Broken]
"""The rule for an event inside an item: the item, the event's type, the event."""


def _part_added(body: ItemBody, kind: str, event: dict[str, Any]) -> Broken:
    summary = kind == "response.reasoning_summary_part.added"
    wanted = ("reasoning",) if summary else tuple(PARTS_OF_ITEM)
    if body.type not in wanted:
        return [("item.wrong_type", f"{kind} on a {body.type!r} item")]
    part = event.get("part")
    if not isinstance(part, dict):
        return [("malformed", f"{kind} without a part object")]
    group, index = (body.summary, event.get("summary_index")) if summary else (body.content, event.get("content_index"))
    code, broken = "summary" if summary else "part", Broken()
    if index != len(group):
        broken.append((f"{code}.index", f"{code} index {shown(index)}, expected {len(group)}"))
    if any(other.done is None for other in group):
        broken.append((f"{code}.overlap", f"{code} {shown(index)} added while another is open"))
    added = Part("summary_text" if summary else part.get("type"))
    if part.get("type") not in (("summary_text",) if summary else PARTS_OF_ITEM[body.type or ""]):
        broken.append(("part.type", f"a part of type {shown(part.get('type'))} in a {body.type} item"))
    empty = {added.field: "", **({"annotations": []} if added.type == "output_text" else {})}
    broken += [
        ("part.nonempty", f"{key} of {kind} is {shown(part.get(key))}, expected {value!r}")
        for key, value in empty.items()
        if part.get(key) != value
    ]
    broken += _no_logprobs(kind, part.get("logprobs"))
    group.append(added)
    return broken


def _find(body: ItemBody, kind: str, event: dict[str, Any], type_: str | None) -> tuple[Part | None, Broken]:
    """The part that an event is about; `type_` is the part type that the event belongs to, None for any."""
    summary = kind.startswith("response.reasoning_summary_")
    homes = [home for home, types in PARTS_OF_ITEM.items() if type_ is None or type_ in types]
    if body.type not in (("reasoning",) if summary else homes):
        return None, [("item.wrong_type", f"{kind} on a {body.type!r} item")]
    group, index = (body.summary, event.get("summary_index")) if summary else (body.content, event.get("content_index"))
    code = "summary" if summary else "part"
    if not summary and not isinstance(index, int):
        return None, [("malformed", f"{kind} without content_index")]
    if not isinstance(index, int) or not 0 <= index < len(group):
        return None, [(f"{code}.unknown", f"{kind} for {code} {shown(index)}, which was never added")]
    part = group[index]
    broken = [(f"{code}.after_done", f"{kind} after the {code} was done")] if part.done is not None else []
    if not summary and type_ is not None and part.type != type_:
        return None, [*broken, ("part.wrong_type", f"{kind} on a {shown(part.type)} part")]
    return part, broken


def _no_text(kind: str, delta: Any) -> Broken:
    return [] if isinstance(delta, str) else [("malformed", f"delta of {kind} is {shown(delta)}, expected a string")]


def _may_be(value: Any, kind: type) -> bool:
    return value is None or isinstance(value, kind)


def _no_logprobs(kind: str, logprobs: Any) -> Broken:
    good = _may_be(logprobs, list)
    return [] if good else [("malformed", f"logprobs of {kind} is {shown(logprobs)}, expected a list")]


def _text_delta(type_: str) -> Check:
    def check(body: ItemBody, kind: str, event: dict[str, Any]) -> Broken:
        part, broken = _find(body, kind, event, type_)
        if part is not None:
            if part.text_done is not None:
                broken.append(("text.after_done", f"{kind} after its text was done"))
            delta, logprobs = event.get("delta"), event.get("logprobs")
            broken += [*_no_text(kind, delta), *_no_logprobs(kind, logprobs)]
            part.text += delta if isinstance(delta, str) else ""
            part.logprobs += len(logprobs) if isinstance(logprobs, list) else 0
        return broken

    return check


def _text_done(type_: str) -> Check:
    def check(body: ItemBody, kind: str, event: dict[str, Any]) -> Broken:
        part, broken = _find(body, kind, event, type_)
        if part is not None:
            if part.text_done is not None:
                broken.append(("text.done_repeat", f"a second {kind}"))
            part.text_done = event.get(part.field)
            if part.text_done != part.text:
                broken.append(("text.mismatch", f"{kind} differs from the concatenated deltas"))
            logprobs = event.get("logprobs")
            broken += _no_logprobs(kind, logprobs)
            if isinstance(logprobs, list) and len(logprobs) != part.logprobs:
                broken.append(
                    ("logprobs.mismatch", f"{len(logprobs)} logprobs at {kind}, {part.logprobs} in the deltas")
                )
        return broken

    return check


def _part_done(body: ItemBody, kind: str, event: dict[str, Any]) -> Broken:
    part, broken = _find(body, kind, event, None)
    whole = event.get("part")
    if part is None or not isinstance(whole, dict):
        return broken or [("malformed", f"{kind} without a part object")]
    if part.done is not None:
        return broken
    part.done = whole
    summary = kind.startswith("response.reasoning_summary_")
    if not summary and whole.get("type") != part.type:
        broken.append(("part.type_changed", f"{shown(part.type)} became {shown(whole.get('type'))}"))
    if part.text_done is None:
        broken.append(("text.no_done", f"{kind} without the text's own done event"))
    if whole.get(part.field) != (part.text if part.text_done is None else part.text_done):
        broken.append(("text.mismatch", f"{kind} differs from the streamed text"))
    annotations = whole.get("annotations") or []
    if not summary and annotations != part.annotations:
        same_length = isinstance(annotations, list) and len(annotations) == len(part.annotations)
        broken.append(
            ("annotation.mismatch" if same_length else "annotation.count", "annotations differ from the streamed ones")
        )
    return broken


def _annotation_added(body: ItemBody, kind: str, event: dict[str, Any]) -> Broken:
    part, broken = _find(body, kind, event, "output_text")
    if part is not None:
        if event.get("annotation_index") != len(part.annotations):
            broken.append(
                (
                    "annotation.index",
                    f"annotation_index {shown(event.get('annotation_index'))}, expected {len(part.annotations)}",
                )
            )
        part.annotations.append(event.get("annotation"))
    return broken


def _string(body: ItemBody, kind: str, event: dict[str, Any]) -> Broken:
    events, field = STRING_OF_ITEM.get(body.type or "", ("", ""))
    if not events or not kind.startswith(events + "."):
        return [("item.wrong_type", f"{kind} on a {body.type!r} item")]
    broken = Broken()
    if kind.endswith(".delta"):
        if body.string_done is not None:
            broken.append(("str.after_done", f"{kind} after its done event"))
        delta = event.get("delta")
        body.string += delta if isinstance(delta, str) else ""
        body.deltas += 1
        return broken + _no_text(kind, delta)
    if body.string_done is not None:
        broken.append(("str.done_repeat", f"a second {kind}"))
    body.string_done = event.get(field)
    if body.string_done != body.string:
        broken.append(("str.mismatch", f"{field} of {kind} differs from the concatenated deltas"))
    if body.type == "function_call" and "name" in event and event["name"] != body.added.get("name"):
        broken.append(
            ("item.field_changed", f"{kind} names {shown(event['name'])}, not {shown(body.added.get('name'))}")
        )
    return broken


def _phase(body: ItemBody, kind: str, event: dict[str, Any]) -> Broken:
    item, _, phase = kind.removeprefix("response.").rpartition(".")
    if body.type != item:
        return [("item.wrong_type", f"{kind} on a {body.type!r} item")]
    order = PHASES[item].index(phase)
    backwards = order < body.phase
    body.phase = max(body.phase, order)
    return [("phase.order", f"{kind} after a later phase")] if backwards else []


def _shell(body: ItemBody, kind: str, event: dict[str, Any]) -> Broken:
    wanted = "shell_call" if kind.startswith("response.shell_call_command.") else "shell_call_output"
    return [] if body.type == wanted else [("item.wrong_type", f"{kind} on a {body.type!r} item")]


def named_after(body: ItemBody, kind: str, event: dict[str, Any]) -> Broken:
    """The rule for events that the API did not have yet when this was written: they begin as their item's type."""
    own = body.type is not None and body.type not in MODEL_ITEMS and kind.startswith(f"response.{body.type}")
    return [] if own else [("event.unknown", f"{kind} is no event of the API for a {body.type!r} item")]


BODY_EVENTS: Final[dict[str, Check]] = {
    "response.content_part.added": _part_added,
    "response.content_part.done": _part_done,
    "response.output_text.delta": _text_delta("output_text"),
    "response.output_text.done": _text_done("output_text"),
    "response.output_text.annotation.added": _annotation_added,
    "response.refusal.delta": _text_delta("refusal"),
    "response.refusal.done": _text_done("refusal"),
    "response.reasoning_text.delta": _text_delta("reasoning_text"),
    "response.reasoning_text.done": _text_done("reasoning_text"),
    "response.reasoning_summary_part.added": _part_added,
    "response.reasoning_summary_part.done": _part_done,
    "response.reasoning_summary_text.delta": _text_delta("summary_text"),
    "response.reasoning_summary_text.done": _text_done("summary_text"),
    **{f"{events}.{end}": _string for events, _ in STRING_OF_ITEM.values() for end in ("delta", "done")},
    **{f"response.{item}.{phase}": _phase for item, phases in PHASES.items() for phase in phases},
    **{f"response.shell_call_command.{end}": _shell for end in ("added", "delta", "done")},
    **{f"response.shell_call_output_content.{end}": _shell for end in ("delta", "done")},
}
