"""Hub events into Chat chunks."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter.dialects import chat
from adapter.errors import RateLimited
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
from adapter.hub.grammar import check_chat
from adapter.hub.request import Exchange
from adapter.hub.usage import normal
from adapter.wire.sse import framed
from tests.dialects.chat.making import exchange
from tests.validator import load

USAGE = normal({"prompt_tokens": 3, "completion_tokens": 4}) or {}
STARTED = Started("resp_1", "m", 5)
EMPTY = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}


def text(*deltas: str, index: int = 0, kind: DeltaKind = DeltaKind.TEXT) -> list[Event]:
    """A message, or a reasoning item, of one part."""
    reasoning = kind in (DeltaKind.REASONING, DeltaKind.SUMMARY)
    item = {"id": f"i_{index}", "type": "reasoning" if reasoning else "message"}
    key = "refusal" if kind is DeltaKind.REFUSAL else "text"
    return [
        ItemOpened(index, item),
        PartOpened(index, 0, {"type": kind.value, key: ""}),
        *(Delta(index, 0, kind, delta) for delta in deltas),
        PartClosed(index, 0, {"type": kind.value, key: "".join(deltas)}),
        ItemClosed(index, item),
    ]


def called(*deltas: str, index: int = 0, type: str = "function_call", call_id: str = "a") -> list[Event]:
    item = {"id": "fc_1", "type": type, "call_id": call_id, "name": "f", "namespace": "n"}
    kind = DeltaKind.INPUT if type == "custom_tool_call" else DeltaKind.ARGUMENTS
    return [ItemOpened(index, item), *(Delta(index, -1, kind, delta) for delta in deltas), ItemClosed(index, item)]


def frames(*events: Event | list[Event], asked: Exchange | None = None, strict: bool = True) -> list[Any]:
    """The parsed data of the whole stream, checked by both grammars."""
    asked = asked or exchange("chat", include_usage=False)
    writer = chat.stream_writer(asked)
    flat = [event for given in events for event in (given if isinstance(given, list) else [given])]
    out = [frame for event in flat for frame in writer.feed(event)]
    raw = b"".join(framed(*frame) for frame in out)
    usage = asked.request.include_usage and any(isinstance(event, Usage) for event in flat)
    assert check_chat(raw, include_usage=usage) == []
    validator = load()
    if validator is not None and strict:
        assert validator.errors(validator.check_chat_sse(raw, include_usage=usage)) == []
    return [data.decode() if data == b"[DONE]" else orjson.loads(data) for _, data in out]


def deltas(parsed: list[Any]) -> list[Any]:
    return [choice["delta"] for chunk in parsed if chunk != "[DONE]" for choice in chunk["choices"]]


ROLE = {"role": "assistant", "content": "", "refusal": None}


def test_an_ordinary_stream_chunk_by_chunk() -> None:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m"}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    assert frames(STARTED, text("he", "llo"), Usage(USAGE), Finished("completed")) == [
        chunk(ROLE),
        chunk({"content": "he"}),
        chunk({"content": "llo"}),
        chunk({}, "stop"),
        "[DONE]",
    ]


def test_usage_is_a_chunk_of_its_own_where_asked_for() -> None:
    parsed = frames(STARTED, text("x"), Usage(USAGE), Finished("completed"), asked=exchange("chat"))

    assert [chunk["usage"] for chunk in parsed[:-2]] == [None] * 3
    assert parsed[-2]["choices"] == []
    assert parsed[-2]["usage"]["total_tokens"] == 7


def test_absent_usage_is_no_chunk() -> None:
    assert len(frames(STARTED, text("x"), Finished("completed"), asked=exchange("chat"))) == 4


def test_parallel_calls_have_their_own_index_and_plain_names() -> None:
    parsed = frames(
        STARTED,
        text("x"),
        called('{"a":', "1}", index=1),
        called("{}", index=2, call_id="b"),
        Finished("completed"),
    )

    def first(index: int, call_id: str) -> dict[str, Any]:
        return {"index": index, "id": call_id, "type": "function", "function": {"name": "f", "arguments": ""}}

    assert deltas(parsed) == [
        ROLE,
        {"content": "x"},
        {"tool_calls": [first(0, "a")]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        {"tool_calls": [first(1, "b")]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert parsed[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_custom_calls_stream_their_input() -> None:
    """The schema of chunks knows functions only; the wire has these."""
    parsed = frames(STARTED, called("in", type="custom_tool_call"), Finished("completed"), strict=False)

    assert deltas(parsed)[1:3] == [
        {"tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": ""}}]},
        {"tool_calls": [{"index": 0, "custom": {"input": "in"}}]},
    ]


def test_the_deprecated_pair_gets_function_call_and_only_one() -> None:
    asked = exchange("chat", carry={"functions": True}, include_usage=False)
    parsed = frames(STARTED, called("{}"), called("{}", index=1, call_id="b"), Finished("completed"), asked=asked)

    assert deltas(parsed)[1:] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        {},
    ]
    assert parsed[-2]["choices"][0]["finish_reason"] == "function_call"


def test_calls_that_the_deprecated_pair_has_no_place_for_are_losses() -> None:
    asked = exchange("chat", carry={"functions": True})
    calls = called("{}"), called("{}", index=1, call_id="b")
    writer = chat.stream_writer(asked)
    for event in (STARTED, *calls[0], *calls[1]):
        writer.feed(event)

    assert [loss.kind for loss in writer.losses] == [loss.kind for loss in chat.unsaid([writer.fold.answer], asked)]
    assert len(writer.losses) == 1


def test_reasoning_of_both_kinds_is_reasoning_content_with_paragraphs() -> None:
    parsed = frames(
        STARTED,
        text("a", kind=DeltaKind.SUMMARY),
        text("b", index=1, kind=DeltaKind.REASONING),
        text(index=2, kind=DeltaKind.REASONING),
        text("c", "d", index=3, kind=DeltaKind.REASONING),
        Finished("completed"),
    )

    assert [delta.get("reasoning_content") for delta in deltas(parsed)[1:-1]] == ["a", "\n\nb", "\n\nc", "d"]


def test_refusals_are_their_own_field() -> None:
    parsed = frames(STARTED, text("no", kind=DeltaKind.REFUSAL), Finished("completed"))

    assert deltas(parsed)[1] == {"refusal": "no"}


@pytest.mark.parametrize(("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")])
def test_a_cut_answer_has_its_finish(reason: Any, finish: str) -> None:
    parsed = frames(STARTED, text("x"), Finished("incomplete", reason))

    assert parsed[-2]["choices"][0]["finish_reason"] == finish


def test_a_failure_is_one_error_frame_and_no_done() -> None:
    parsed = frames(STARTED, text("x"), Failed(RateLimited("slow down")), Finished("completed"))

    error = {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    assert parsed[-1] == {"error": error}


def test_a_failure_before_anything_is_the_error_frame_alone() -> None:
    assert len(frames(Failed(RateLimited("slow down")))) == 1


def test_citations_come_before_the_finish_shifted_by_the_parts_before() -> None:
    citation = {"type": "url_citation", "start_index": 1, "end_index": 2, "url": "u", "title": "t"}
    second = text("def", index=1)
    second.insert(3, Annotated(1, 0, 0, citation))
    second.insert(4, Annotated(1, 0, 1, {"type": "file_citation"}))
    writer_frames = frames(STARTED, text("abc"), second, Finished("completed"))

    nested = {"type": "url_citation", "url_citation": {"start_index": 4, "end_index": 5, "url": "u", "title": "t"}}
    assert deltas(writer_frames)[-2:] == [{"annotations": [nested]}, {}]


def test_logprobs_stand_beside_their_delta() -> None:
    entry = {"token": "x", "logprob": -1.0, "top_logprobs": [{"token": "y", "logprob": -2.0}]}
    events: list[Event] = [
        STARTED,
        ItemOpened(0, {"type": "message"}),
        PartOpened(0, 0, EMPTY),
        Delta(0, 0, DeltaKind.TEXT, "x", [entry]),
        Finished("completed"),
    ]
    whole = {**entry, "bytes": None, "top_logprobs": [{"token": "y", "logprob": -2.0, "bytes": None}]}

    assert frames(events)[1]["choices"][0]["logprobs"] == {"content": [whole], "refusal": None}


@pytest.mark.parametrize(
    ("first", "content"),
    [
        (text("a"), ""),
        (text("a", kind=DeltaKind.REFUSAL), ""),
        ([], ""),
        (called("{}"), None),
        ([*text("why", kind=DeltaKind.REASONING), *called("{}", index=1)], None),
    ],
)
def test_the_role_comes_with_the_first_item_and_with_a_content_only_where_that_is_text(
    first: list[Event], content: str | None
) -> None:
    given = deltas(frames(STARTED, first, Finished("completed")))
    assert given[0] == {"role": "assistant", "content": content, "refusal": None}
    assert all("role" not in delta for delta in given[1:])


def test_hosted_items_and_opaque_events_are_losses() -> None:
    writer = chat.stream_writer(exchange("chat"))
    given: list[Event] = [
        STARTED,
        ItemOpened(0, {"type": "web_search_call"}),
        Opaque({"type": "response.web_search_call.searching"}),
        ItemClosed(0, {"type": "web_search_call"}),
    ]

    assert [len(writer.feed(event)) for event in given] == [0, 1, 0, 0]
    assert [loss.kind for loss in writer.losses] == ["web_search_call"]
    assert writer.ping() == []


def test_the_tier_that_was_given_stands_in_the_last_chunks() -> None:
    """Responses servers repeat at first what was asked for, and tell at the end what was done, as a plain reply does."""
    given: list[Event] = [
        Started("resp_1", "m", 5, {"service_tier": "auto"}),
        Usage(USAGE),
        Finished("completed", None, {"service_tier": "default"}),
    ]

    chunks = frames(given, asked=exchange("chat"))[:-1]

    assert [chunk["service_tier"] for chunk in chunks] == ["auto", "default", "default"]


def test_several_choices_finish_one_by_one_and_share_head_usage_and_done() -> None:
    writer = chat.stream_writer(exchange("chat", carry={"n": 2}))
    given = [
        (STARTED, 0),
        (Started("resp_2", "m2", 6), 1),
        *((event, 1) for event in text("b")),
        *((event, 0) for event in text("a")),
        (Usage(USAGE), 1),
        (Finished("completed"), 1),
        (Usage(USAGE), 0),
        (Finished("incomplete", "max_output_tokens"), 0),
    ]
    out = [frame for event, choice in given for frame in writer.feed(event, choice)]
    raw = b"".join(framed(*frame) for frame in out)

    assert check_chat(raw, include_usage=True) == []
    validator = load()
    if validator is not None:
        assert validator.errors(validator.check_chat_sse(raw, include_usage=True, n=2)) == []
    assert orjson.loads(out[-2][1])["usage"]["total_tokens"] == 14
    assert writer.fold.answer.id == "resp_1"
    assert writer.fold.answer.status == "incomplete"


def test_one_failing_choice_ends_the_whole_stream() -> None:
    writer = chat.stream_writer(exchange("chat", carry={"n": 2}))
    writer.feed(STARTED, 0)
    (error,) = writer.feed(Failed(RateLimited("x")), 1)

    assert b'"error"' in error[1]
    assert writer.feed(Finished("completed"), 0) == []


def test_tier_and_fingerprint_are_in_every_chunk() -> None:
    started = Started("resp_1", "m", 5, {"service_tier": "flex", "system_fingerprint": "fp", "moderation": {}})
    parsed = frames(started, text("x"), Finished("completed"))

    assert {(chunk["service_tier"], chunk["system_fingerprint"]) for chunk in parsed[:-1]} == {("flex", "fp")}


def test_text_that_json_escapes_comes_back_equal() -> None:
    odd = 'a"b\\c\n\u2028\U0001f600\x00'
    parsed = frames(STARTED, text(odd), Finished("completed"))

    assert deltas(parsed)[1] == {"content": odd}
