"""The grammar checkers: silent on grammatical streams, of one mind with the reference about every other."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.conform import strategies
from adapter.conform.speaking import Spoken, chat_chunks, hub_events, responses_events
from adapter.errors import UpstreamTruncated
from adapter.hub.events import (
    Annotated,
    Delta,
    DeltaKind,
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
)
from adapter.hub.grammar import ChatChecker, HubChecker, ResponsesChecker, check_chat, check_hub, check_responses
from tests import validator
from tests.validator import needs_validator

WORDS = ["resp_x", "msg_0", "in_progress", "completed", "incomplete", "assistant", "stop", "tool_calls", ""]


def changed(draw: Any, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A stream with one event lost, doubled, moved, or with one of its fields gone or different."""
    events = copy.deepcopy(events)
    at = draw(st.integers(0, len(events) - 1))
    match draw(st.sampled_from(["drop", "double", "move", "field", "field", "field"])):
        case "drop":
            del events[at]
        case "double":
            events.insert(at, copy.deepcopy(events[at]))
        case "move":
            events.insert(draw(st.integers(0, len(events) - 1)), events.pop(at))
        case _:
            holder: Any = events[at]
            while True:
                key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
                deeper = holder[key]
                if not isinstance(deeper, (dict, list)) or not deeper or draw(st.booleans()):
                    break
                holder = deeper
            if isinstance(holder, dict) and draw(st.booleans()):
                del holder[key]
            elif isinstance(deeper, int) and not isinstance(deeper, bool):
                holder[key] = deeper + draw(st.integers(-1, 2))
            elif isinstance(deeper, str):
                holder[key] = draw(st.sampled_from(WORDS))
    return events


@needs_validator
@given(spoken=strategies.spoken(), data=st.data())
def test_the_responses_checker_agrees_with_the_reference(spoken: Spoken, data: st.DataObject) -> None:
    """Code for code, on streams that are nearly right."""

    v = validator.load()
    assert v is not None
    events = changed(data.draw, changed(data.draw, responses_events(spoken)))
    ours = {violation.code for violation in check_responses(events)}
    theirs = {problem.code for problem in v.errors(v.check_responses_events(events, schema=False))}
    if "first_event" in ours & theirs:  # without created the reference knows no first response; ours takes any
        ours -= {"response.unstable", "response.id"}
        theirs -= {"response.unstable", "response.id"}
    if "malformed" not in ours | theirs:  # wrong types are the schema's to find; what follows from them may differ
        assert ours == theirs


def test_an_event_that_nobody_knows_of_an_item_that_is_not_there_is_unknown() -> None:
    events = responses_events(Spoken([]))
    events.insert(1, {"type": "resp_x", "sequence_number": 1, "output_index": 0, "item_id": "fc_0"})
    for number, event in enumerate(events):
        event["sequence_number"] = number
    assert {violation.code for violation in check_responses(events)} == {"event.unknown"}


@needs_validator
@given(spoken=strategies.spoken(), data=st.data())
def test_the_chat_checker_agrees_with_the_reference(spoken: Spoken, data: st.DataObject) -> None:
    """The same of chunks."""

    v = validator.load()
    assert v is not None
    chunks = changed(data.draw, changed(data.draw, chat_chunks(spoken)))
    ours = {violation.code for violation in check_chat(chunks)}
    theirs = {problem.code for problem in v.errors(v.check_chat_chunks(chunks, schema=False))}
    if "malformed" not in ours | theirs:
        assert ours == theirs


@given(spoken=strategies.spoken(), data=st.data())
def test_no_hub_event_can_be_left_out(spoken: Spoken, data: st.DataObject) -> None:
    """Every event of an answer is needed by the grammar; usage alone may be missing."""

    events = hub_events(spoken)
    at = data.draw(st.integers(0, len(events) - 1))
    left_out = events.pop(at)
    assert (check_hub(events) == []) == isinstance(left_out, Usage)


@given(
    events=st.lists(
        st.one_of(
            strategies.json_values, strategies.wrong(["type", "item", "output_index", "response", "part", "delta"])
        )
    )
)
def test_checkers_never_raise(events: list[Any]) -> None:
    """Nonsense is a violation."""

    chat, responses = ChatChecker(), ResponsesChecker()
    for event in events:
        chat.feed(event)
        responses.feed(event)
    assert chat.end() != [] or events
    assert responses.end() != [] or events


PART = {"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}
OPEN = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
DONE = {**OPEN, "status": "completed", "content": [PART]}
CALL = {"type": "function_call", "id": "fc_1", "status": "in_progress", "call_id": "c", "name": "f", "arguments": ""}
FRAGMENT = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
START = Started("resp_1", "m", 0)
TEXT: list[Event] = [
    ItemOpened(0, OPEN),
    PartOpened(0, 0, {**PART, "text": ""}),
    Delta(0, 0, DeltaKind.TEXT, "hi"),
    PartClosed(0, 0, PART),
    ItemClosed(0, DONE),
]
NOTE = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
END = Finished("completed")


@pytest.mark.parametrize(
    ("code", "events"),
    [
        ("first_event", [END]),
        ("started.repeat", [START, START, END]),
        ("started.id", [Started("chatcmpl-1", "m", 0), END]),
        ("after_terminal", [START, END, END]),
        ("no_terminal", [START]),
        ("usage.form", [START, Usage({"input_tokens": None}), END]),
        ("finished.reason", [START, Finished("incomplete")]),
        ("item.open_at_end", [START, ItemOpened(0, OPEN), END]),
        ("item.index", [START, ItemOpened(1, OPEN), END]),
        ("item.reused_index", [START, *TEXT, *TEXT, END]),
        ("item.id_dup", [START, *TEXT, ItemOpened(1, OPEN), END]),
        ("item.id", [START, ItemOpened(0, {**OPEN, "id": ""}), END]),
        ("item.name", [START, ItemOpened(0, {**CALL, "name": ""}), END]),
        ("item.call_id", [START, ItemOpened(0, {**CALL, "call_id": ""}), END]),
        ("added.content", [START, ItemOpened(0, DONE), END]),
        ("added.status", [START, ItemOpened(0, {**OPEN, "status": "completed"}), END]),
        ("item.unknown", [START, Delta(3, 0, DeltaKind.TEXT, "x"), END]),
        ("item.after_done", [START, *TEXT, Opaque({"type": "response.x", "output_index": 0}), END]),
        ("item.field_changed", [START, *TEXT[:-1], ItemClosed(0, {**DONE, "id": "msg_2"}), END]),
        (
            "item.after_incomplete",
            [START, *TEXT[:-1], ItemClosed(0, {**DONE, "status": "incomplete"}), ItemOpened(1, CALL)],
        ),
        ("completed.incomplete_item", [START, *TEXT[:-1], ItemClosed(0, {**DONE, "status": "incomplete"}), END]),
        ("done.status", [START, *TEXT[:-1], ItemClosed(0, {**DONE, "status": "in_progress"}), END]),
        ("done.content", [START, *TEXT[:-1], ItemClosed(0, {**DONE, "content": []}), END]),
        ("part.index", [START, ItemOpened(0, OPEN), PartOpened(0, 1, {**PART, "text": ""}), END]),
        ("part.overlap", [START, *TEXT[:2], PartOpened(0, 1, {**PART, "text": ""}), END]),
        ("part.nonempty", [START, ItemOpened(0, OPEN), PartOpened(0, 0, PART), END]),
        ("part.unknown", [START, ItemOpened(0, OPEN), Delta(0, 0, DeltaKind.TEXT, "x"), END]),
        ("part.after_done", [START, *TEXT[:4], Delta(0, 0, DeltaKind.TEXT, "x"), END]),
        ("part.open_at_done", [START, *TEXT[:2], ItemClosed(0, {**DONE, "content": []}), END]),
        ("part.wrong_type", [START, *TEXT[:2], Delta(0, 0, DeltaKind.REFUSAL, "x"), END]),
        ("text.mismatch", [START, *TEXT[:2], PartClosed(0, 0, PART), END]),
        ("logprobs.mismatch", [START, *TEXT[:2], Delta(0, 0, DeltaKind.TEXT, "hi", [{}]), PartClosed(0, 0, PART), END]),
        ("annotation.mismatch", [START, *TEXT[:3], Annotated(0, 0, 0, NOTE), PartClosed(0, 0, PART), END]),
        ("annotation.index", [START, *TEXT[:3], Annotated(0, 0, 1, NOTE), END]),
        (
            "str.mismatch",
            [START, ItemOpened(0, CALL), ItemClosed(0, {**CALL, "status": "completed", "arguments": "{}"}), END],
        ),
        ("item.wrong_type", [START, ItemOpened(0, OPEN), Delta(0, -1, DeltaKind.ARGUMENTS, "{}"), END]),
        ("opaque.type", [START, Opaque({}), END]),
        ("failed.error", [Failed(ValueError())]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_rule_of_the_hub_is_named(code: str, events: list[Event]) -> None:
    """One rule, one stream that breaks it."""

    assert code in {violation.code for violation in check_hub(events)}


def test_a_failure_may_come_at_any_time() -> None:
    """Before anything, and with items open."""

    error = UpstreamTruncated("cut")
    assert check_hub([Failed(error)]) == []
    assert check_hub([START, *TEXT[:3], Failed(error, [OPEN])]) == []


def test_overlapping_items_are_grammatical() -> None:
    """The upstream may overlap them; the hub follows."""

    other = {**CALL, "id": "fc_2", "call_id": "d"}
    closed = [{**item, "status": "completed"} for item in (CALL, other)]
    events = [START, ItemOpened(0, CALL), ItemOpened(1, other), ItemClosed(0, closed[0]), ItemClosed(1, closed[1]), END]
    assert check_hub(events) == []


def test_violations_come_with_the_event_that_shows_them() -> None:
    """Incremental: nothing is saved up for the end."""

    checker = HubChecker()
    assert checker.feed(START) == []
    assert [str(violation) for violation in checker.feed(START)] == ["started.repeat at event[1]: a second Started"]


@pytest.mark.parametrize(
    ("code", "raw"),
    [
        ("empty", b""),
        ("sse.event_missing", b'data: {"type":"error","message":"x","sequence_number":0}\n\n'),
        ("sse.event_mismatch", b'event: x\ndata: {"type":"error","message":"x","sequence_number":0}\n\n'),
        ("sse.unterminated", b'event: error\ndata: {"type":"error"}'),
        ("sse.utf8", b"event: error\ndata: \xff\n\n"),
        ("json", b"event: error\ndata: {\n\n"),
        ("done.repeat", b"data: [DONE]\n\ndata: [DONE]\n\n"),
        ("done.not_last", b"data: [DONE]\n\nevent: error\ndata: {}\n\n"),
        ("error.nested_only", b'event: error\ndata: {"type":"error","error":{}}\n\n'),
    ],
)
def test_bytes_show_what_events_cannot(code: str, raw: bytes) -> None:
    """Framing is part of the grammar of a stream that is given as bytes."""

    assert code in {violation.code for violation in check_responses(raw)}


def test_a_chat_stream_of_bytes_must_say_done() -> None:
    """Parsed chunks need not, and a failed stream must not."""

    assert [violation.code for violation in check_chat(b'data: {"error":{"message":"x"}}\n\n')] == []
    assert "done.missing" in {violation.code for violation in check_chat(b'data: {"choices":[]}\n\n')}
    assert "done.missing" not in {violation.code for violation in check_chat([{"choices": []}])}
    for code, raw in (("done.repeat", b"data: [DONE]\n\n"), ("done.not_last", b'data: {"choices":[]}\n\n')):
        assert code in {violation.code for violation in check_chat(b"data: [DONE]\n\n" + raw)}


def test_events_inside_an_item_say_its_id_where_the_api_has_them_say_it() -> None:
    """Those of a shell call's commands say the item's place only."""

    for kind, item, told in (
        ("response.function_call_arguments.delta", CALL, ["malformed"]),
        ("response.shell_call_command.added", {"type": "shell_call", "id": "sh_1", "status": "in_progress"}, []),
    ):
        checker = ResponsesChecker()
        checker.feed(
            {"type": "response.created", "sequence_number": 0, "response": {"id": "r", "status": "in_progress"}}
        )
        assert (
            checker.feed({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item})
            == []
        )
        event = {"type": kind, "sequence_number": 2, "output_index": 0, "delta": "", "command_index": 0}
        assert [violation.code for violation in checker.feed(event)] == told


def test_an_event_that_the_api_did_not_have_yet_is_named_after_its_item() -> None:
    future = {"type": "future_call", "id": "f_1"}
    for kind, item, told in (
        ("response.future_call.begun", future, []),
        ("response.other_call.begun", future, ["event.unknown"]),
        ("response.function_call.begun", CALL, ["event.unknown"]),
    ):
        checker = ResponsesChecker()
        checker.feed(
            {"type": "response.created", "sequence_number": 0, "response": {"id": "r", "status": "in_progress"}}
        )
        checker.feed({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item})
        event = {"type": kind, "sequence_number": 2, "output_index": 0, "item_id": item["id"]}
        assert [violation.code for violation in checker.feed(event)] == told


def test_texts_of_deltas_are_strings() -> None:
    """What the API does not define (`reasoning`) may be anything."""

    head = {"id": "c", "created": 1, "model": "m", "object": "chat.completion.chunk"}
    for delta, told in (
        ({"content": [{"type": "text", "text": "hi"}]}, ["malformed"]),
        ({"refusal": 5}, ["malformed"]),
        ({"tool_calls": [{**FRAGMENT, "function": {"name": "f", "arguments": {}}}]}, ["malformed"]),
        ({"content": None, "refusal": None, "tool_calls": [FRAGMENT], "reasoning": {"text": "hm"}}, []),
    ):
        chunk = {**head, "choices": [{"index": 0, "delta": {"role": "assistant", **delta}}]}
        assert [violation.code for violation in ChatChecker().feed(chunk)] == told
