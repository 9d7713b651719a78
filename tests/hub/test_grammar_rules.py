"""Each rule of the two wire grammars, by a stream that breaks it and is right otherwise."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from adapter.hub.grammar import check_chat, check_responses

Json = dict[str, Any]
Edit = Callable[[list[Json]], None]

# ----------------------------------------------------------------------------------------------- a Responses stream

SUMMARY = {"type": "summary_text", "text": "hm"}
NOTE = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
TEXT = {"type": "output_text", "text": "Hi", "annotations": [NOTE], "logprobs": []}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [SUMMARY]}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [TEXT]}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c",
    "name": "f",
    "status": "completed",
    "arguments": "{}",
}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
OUTPUT: list[Json] = [THOUGHT, MESSAGE, CALL, SEARCH]
RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1, "error": None, "incomplete_details": None}


def whole(status: str, output: list[Json], **more: Any) -> Json:
    return {"response": {**RESPONSE, "status": status, "output": output, **more}}


def at(index: int, part: str = "") -> Json:
    place: Json = {"item_id": OUTPUT[index]["id"], "output_index": index}
    return {**place, part: 0} if part else place


RESPONSES: list[tuple[str, Json]] = [
    ("created", whole("in_progress", [])),
    ("in_progress", whole("in_progress", [])),
    ("output_item.added", {"output_index": 0, "item": {**THOUGHT, "summary": []}}),
    ("reasoning_summary_part.added", {**at(0, "summary_index"), "part": {**SUMMARY, "text": ""}}),
    ("reasoning_summary_text.delta", {**at(0, "summary_index"), "delta": "hm"}),
    ("reasoning_summary_text.done", {**at(0, "summary_index"), "text": "hm"}),
    ("reasoning_summary_part.done", {**at(0, "summary_index"), "part": SUMMARY}),
    ("output_item.done", {"output_index": 0, "item": THOUGHT}),
    ("output_item.added", {"output_index": 1, "item": {**MESSAGE, "status": "in_progress", "content": []}}),
    ("content_part.added", {**at(1, "content_index"), "part": {**TEXT, "text": "", "annotations": []}}),
    ("output_text.delta", {**at(1, "content_index"), "delta": "Hi"}),
    ("output_text.annotation.added", {**at(1, "content_index"), "annotation_index": 0, "annotation": NOTE}),
    ("output_text.done", {**at(1, "content_index"), "text": "Hi", "logprobs": []}),
    ("content_part.done", {**at(1, "content_index"), "part": TEXT}),
    ("output_item.done", {"output_index": 1, "item": MESSAGE}),
    ("output_item.added", {"output_index": 2, "item": {**CALL, "status": "in_progress", "arguments": ""}}),
    ("function_call_arguments.delta", {**at(2), "delta": "{}"}),
    ("function_call_arguments.done", {**at(2), "name": "f", "arguments": "{}"}),
    ("output_item.done", {"output_index": 2, "item": CALL}),
    ("output_item.added", {"output_index": 3, "item": {**SEARCH, "status": "in_progress"}}),
    ("web_search_call.in_progress", at(3)),
    ("web_search_call.searching", at(3)),
    ("output_item.done", {"output_index": 3, "item": SEARCH}),
    ("completed", whole("completed", OUTPUT)),
]
SECOND: Json = {
    "type": "response.output_item.added",
    "output_index": 4,
    "item": {**THOUGHT, "id": "rs_2", "summary": []},
}


def _find(events: list[Json], kind: str, index: int | None) -> int:
    kinds = [(event.get("type"), event.get("output_index")) for event in events]
    return next(n for n, (of, at) in enumerate(kinds) if of == f"response.{kind}" and index in (None, at))


def without(kind: str, index: int | None = None) -> Edit:
    return lambda events: events.__delitem__(_find(events, kind, index))


def twice(kind: str, index: int | None = None) -> Edit:
    def edit(events: list[Json]) -> None:
        n = _find(events, kind, index)
        events.insert(n + 1, copy.deepcopy(events[n]))

    return edit


def behind(kind: str, event: Json, index: int | None = None) -> Edit:
    return lambda events: events.insert(_find(events, kind, index) + 1, event)


def otherwise(kind: str, index: int | None = None, within: str = "", **fields: Any) -> Edit:
    def edit(events: list[Json]) -> None:
        event = events[_find(events, kind, index)]
        (event[within] if within else event).update(fields)

    return edit


def late(kind: str, behind_kind: str) -> Edit:
    """That event comes behind the other one."""

    def edit(events: list[Json]) -> None:
        event = events.pop(_find(events, kind, None))
        events.insert(_find(events, behind_kind, None) + 1, event)

    return edit


DELTA: Json = {"type": "response.output_text.delta", **at(1, "content_index"), "delta": ""}
ARGUMENTS: Json = {"type": "response.function_call_arguments.delta", **at(2), "delta": ""}
FAILED: Json = {"type": "response.failed", **whole("failed", [])}
ERROR: Json = {"type": "error", "code": None, "message": "x", "param": None}


def told(events: list[Any]) -> set[str]:
    return {violation.code for violation in check_responses(events)}


def streamed() -> list[Json]:
    return [{"type": f"response.{kind}", **copy.deepcopy(said)} for kind, said in RESPONSES]


def numbered(events: list[Json]) -> list[Json]:
    return [{"sequence_number": number} | event for number, event in enumerate(events)]


@pytest.mark.parametrize(
    ("code", "edit"),
    [
        ("first_event", without("created")),
        ("created.repeat", twice("created")),
        ("in_progress.repeat", twice("in_progress")),
        ("queued.late", behind("in_progress", {"type": "response.queued", **whole("queued", [])})),
        ("lifecycle.late", late("in_progress", "output_item.added")),
        ("error.early", otherwise("in_progress", within="response", error={"code": "x"})),
        ("output.early", otherwise("created", within="response", output=OUTPUT)),
        ("response.id", otherwise("completed", within="response", id="resp_2")),
        ("response.unstable", otherwise("completed", within="response", created_at=2)),
        ("response.status", otherwise("completed", within="response", status="in_progress")),
        ("malformed", otherwise("completed", response=None)),
        ("malformed", otherwise("created", within="response", id=None)),
        ("seq", otherwise("in_progress", sequence_number=7)),
        ("seq", otherwise("in_progress", sequence_number=None)),
        ("event.unknown", behind("created", {"type": "response.new"})),
        ("event.unknown", behind("created", {"type": None})),
        ("after_terminal", twice("completed")),
        ("after_error", behind("output_item.done", ERROR)),
        ("no_terminal", without("completed")),
        ("completed.error", otherwise("completed", within="response", error={"code": "x"})),
        ("completed.incomplete", otherwise("completed", within="response", incomplete_details={"reason": "x"})),
        ("completed.incomplete_item", otherwise("output_item.done", 2, within="item", status="incomplete")),
        ("incomplete.reason", otherwise("completed", type="response.incomplete")),
        ("failed.error", otherwise("completed", type="response.failed")),
        ("output.count", otherwise("completed", within="response", output=OUTPUT[:-1])),
        ("output.mismatch", otherwise("completed", within="response", output=[*OUTPUT[:-1], {**SEARCH, "id": "x"}])),
        ("item.open_at_end", without("output_item.done", 3)),
        ("item.index", otherwise("output_item.added", 3, output_index=7)),
        ("item.reused_index", otherwise("output_item.added", 3, output_index=2)),
        ("item.after_incomplete", otherwise("output_item.done", 2, within="item", status="incomplete")),
        ("item.id", otherwise("output_item.added", 3, within="item", id="")),
        ("item.id_dup", otherwise("output_item.added", 3, within="item", id="fc_1")),
        ("item.id_mismatch", otherwise("output_item.done", 3, within="item", id="ws_2")),
        ("item.id_mismatch", otherwise("function_call_arguments.delta", item_id="fc_2")),
        ("item.type_changed", otherwise("output_item.done", 3, within="item", type="file_search_call")),
        ("item.field_changed", otherwise("output_item.done", 2, within="item", name="g")),
        ("item.field_changed", otherwise("function_call_arguments.done", name="g")),
        ("item.call_id", otherwise("output_item.added", 2, within="item", call_id="")),
        ("item.call_id_dup", behind("output_item.done", {**SECOND, "item": {**CALL, "id": "fc_2"}}, 2)),
        ("item.name", otherwise("output_item.added", 2, within="item", name="")),
        ("item.unknown", without("output_item.added", 3)),
        ("item.after_done", behind("output_item.done", ARGUMENTS, 2)),
        ("item.wrong_type", otherwise("function_call_arguments.delta", **at(1))),
        ("item.wrong_type", otherwise("web_search_call.searching", **at(2))),
        ("item.wrong_type", otherwise("web_search_call.searching", type="response.shell_call_command.delta")),
        ("malformed", otherwise("web_search_call.searching", output_index=None)),
        ("malformed", otherwise("output_item.added", 3, item=None)),
        ("malformed", otherwise("output_item.done", 3, item=None)),
        ("added.status", otherwise("output_item.added", 1, within="item", status="completed")),
        ("added.content", otherwise("output_item.added", 0, within="item", summary=[SUMMARY])),
        ("added.content", otherwise("output_item.added", 1, within="item", content=[TEXT])),
        ("added.content", otherwise("output_item.added", 2, within="item", arguments="{}")),
        ("added.role", otherwise("output_item.added", 1, within="item", role=None)),
        ("added.status", otherwise("output_item.added", 3, within="item", status=5)),
        ("done.status", otherwise("output_item.done", 1, within="item", status="in_progress")),
        ("done.content", otherwise("output_item.done", 1, within="item", content=[{**TEXT, "text": "Ho"}])),
        ("done.content_count", otherwise("output_item.done", 1, within="item", content=[])),
        ("done.summary", otherwise("output_item.done", 0, within="item", summary=[{**SUMMARY, "text": "x"}])),
        ("done.summary_count", otherwise("output_item.done", 0, within="item", summary=[])),
        ("part.index", otherwise("content_part.added", content_index=1)),
        ("part.overlap", twice("content_part.added")),
        ("part.type", otherwise("content_part.added", within="part", type="reasoning_text")),
        ("part.type", otherwise("reasoning_summary_part.added", within="part", type="text")),
        ("malformed", otherwise("content_part.added", within="part", logprobs={})),
        ("part.type_changed", otherwise("content_part.done", within="part", type="refusal")),
        ("part.nonempty", otherwise("content_part.added", within="part", text="Hi")),
        ("part.nonempty", otherwise("content_part.added", within="part", annotations=[NOTE])),
        ("part.nonempty", otherwise("content_part.added", within="part", annotations=None)),
        ("part.unknown", otherwise("output_text.delta", content_index=1)),
        ("part.after_done", behind("content_part.done", DELTA)),
        ("part.wrong_type", otherwise("output_text.delta", type="response.refusal.delta")),
        ("part.open_at_done", without("content_part.done")),
        ("summary.overlap", twice("reasoning_summary_part.added")),
        ("summary.open_at_done", without("reasoning_summary_part.done")),
        ("malformed", otherwise("content_part.added", part=None)),
        ("malformed", otherwise("content_part.done", part=None)),
        ("malformed", otherwise("output_text.delta", content_index=None)),
        ("malformed", otherwise("output_text.delta", delta=None)),
        ("malformed", otherwise("output_text.delta", logprobs={})),
        ("malformed", otherwise("output_text.done", logprobs={})),
        ("text.after_done", behind("output_text.done", DELTA)),
        ("text.done_repeat", twice("output_text.done")),
        ("text.no_done", without("output_text.done")),
        ("text.mismatch", otherwise("output_text.done", text="Ho")),
        ("text.mismatch", otherwise("content_part.done", within="part", text="Ho")),
        ("logprobs.mismatch", otherwise("output_text.delta", logprobs=[{}])),
        ("annotation.index", otherwise("output_text.annotation.added", annotation_index=1)),
        ("annotation.count", without("output_text.annotation.added")),
        ("annotation.mismatch", otherwise("output_text.annotation.added", annotation={**NOTE, "url": "v"})),
        ("str.after_done", behind("function_call_arguments.done", ARGUMENTS)),
        ("str.done_repeat", twice("function_call_arguments.done")),
        ("str.no_done", without("function_call_arguments.done")),
        ("str.mismatch", otherwise("function_call_arguments.done", arguments="{ }")),
        ("str.mismatch", otherwise("output_item.done", 2, within="item", arguments="{ }")),
        ("phase.order", late("web_search_call.in_progress", "web_search_call.searching")),
    ],
)
def test_a_broken_rule_of_responses_is_named(code: str, edit: Edit) -> None:
    events = streamed()
    edit(events)

    assert code in told(numbered(events))


def test_a_compaction_may_tell_that_it_compacts() -> None:
    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "e"}
    events: list[Json] = [
        {"type": "response.created", **whole("in_progress", [])},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.compaction.compacting", "output_index": 0, "item_id": "cmp_1"},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", **whole("completed", [item])},
    ]

    assert told(numbered(events)) == set()


def test_what_breaks_no_rule_of_responses_is_silent() -> None:
    events = streamed()
    incomplete = [*events[:-1], {"type": "response.incomplete", **whole("incomplete", OUTPUT)}]
    incomplete[-1]["response"]["incomplete_details"] = {"reason": "max_output_tokens"}
    failed = [*events[:9], ERROR, FAILED | whole("failed", [], error={"code": "x"})]

    for stream in (events, incomplete, failed, [*events[:1], {"type": "acme:event"}, *events[1:]]):
        assert told(numbered(stream)) == set()
    assert "event.not_object" in told(["x"])


# ---------------------------------------------------------------------------------------------------- a Chat stream

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
FIRST = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
MORE = {"index": 0, "function": {"arguments": "{}"}}


def chunk(delta: Json, finish: str | None = None, index: int = 0, **more: Any) -> Json:
    return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": finish}], **more}


SAID = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"})]
CALLED = [chunk({"tool_calls": [FIRST]}), chunk({"tool_calls": [MORE]})]
END = chunk({}, "tool_calls")
USAGE: Json = {**HEAD, "choices": [], "usage": {"prompt_tokens": 1}}


def called(fragment: Json, *further: Json) -> list[Json]:
    return [*SAID, chunk({"tool_calls": [fragment, *further]}), END, USAGE]


@pytest.mark.parametrize(
    ("code", "chunks"),
    [
        ("chunk.not_object", ["x"]),
        ("empty", []),
        ("no_choices", [USAGE]),
        ("malformed", [{**SAID[0], "object": "chat.completion"}]),
        ("malformed", [{**HEAD, "choices": None}]),
        ("malformed", [{**HEAD, "choices": [{"index": 0}]}]),
        ("malformed", [{**HEAD, "choices": [{"delta": {"role": "assistant"}}]}]),
        ("head.unstable", [*SAID, {**END, "id": "d"}]),
        ("role.first", [chunk({"content": "Hi"})]),
        ("role.changed", [*SAID, chunk({"role": "tool"})]),
        ("malformed", [*SAID, chunk({}, "")]),
        ("malformed", [*SAID, chunk({"tool_calls": FIRST})]),
        ("malformed", [*SAID, chunk({"tool_calls": ["f"]})]),
        ("choice.after_finish", [*SAID, chunk({}, "stop"), SAID[1]]),
        ("choice.index", [*SAID, chunk({"role": "assistant"}, "stop", index=2)]),
        ("choice.count", [*SAID, chunk({}, "stop"), chunk({"role": "assistant"}, "stop", index=1)]),
        ("finish.missing", SAID),
        ("finish.tools_without_calls", [*SAID, END]),
        ("finish.fcall_without", [*SAID, chunk({}, "function_call")]),
        ("after_error", [*SAID, {"error": {"message": "x"}}, END]),
        ("usage.missing", [*SAID, *CALLED, END]),
        ("usage.early", [*SAID, *CALLED, USAGE, END]),
        ("usage.not_last", [*SAID, *CALLED, END, USAGE, {**USAGE, "usage": None}]),
        ("usage.repeat", [*SAID, *CALLED, END, USAGE, USAGE]),
        ("usage.choices", [*SAID, *CALLED, {**END, "usage": {}}]),
        ("tool.index", called({**FIRST, "index": 1})),
        ("tool.no_id", called({**FIRST, "id": None})),
        ("tool.no_type", called({**FIRST, "type": None})),
        ("tool.no_name", called({**FIRST, "function": {"arguments": ""}})),
        ("tool.id_dup", called(FIRST, {**FIRST, "index": 1})),
        ("tool.id_repeat", called(FIRST, {**MORE, "id": "b"})),
        ("tool.name_repeat", called(FIRST, {**MORE, "function": {"name": "f"}})),
    ],
)
def test_a_broken_rule_of_chat_is_named(code: str, chunks: list[Any]) -> None:
    assert code in {violation.code for violation in check_chat(chunks, include_usage=True, n=1)}


@pytest.mark.parametrize(
    "chunks",
    [
        [*SAID, *CALLED, END, USAGE],
        [*SAID, chunk({"function_call": {"name": "f", "arguments": "{}"}}), chunk({}, "function_call"), USAGE],
        called(FIRST, {**FIRST, "index": 1, "id": "b"}, {**MORE, "id": "a"}),
        called({"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}),
        [*SAID, {"error": {"message": "x"}}],
    ],
)
def test_what_breaks_no_rule_of_chat_is_silent(chunks: list[Json]) -> None:
    assert check_chat(chunks, include_usage=True, n=1) == []
