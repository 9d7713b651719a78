"""Hub events as the stream that Responses clients get."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter.dialects.responses import read_request, stream_writer
from adapter.errors import InvalidValue, UpstreamError, UpstreamTruncated
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
from adapter.hub.grammar import check_responses
from adapter.hub.request import ClientTraits, Exchange
from adapter.wire.sse import framed
from tests.validator import load, needs_validator

BODY = {
    "model": "asked",
    "input": "hi",
    "instructions": "Be brief.",
    "metadata": {"a": "b"},
    "tools": [{"type": "function", "name": "f", "parameters": None}, {"type": "custom", "name": "g"}],
    "reasoning": {"effort": "low"},
    "text": {"verbosity": "low"},
    "previous_response_id": "resp_0",
}
STARTED = Started("resp_1", "m", 7)
USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 3,
}
TEXT: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
MESSAGE: dict[str, Any] = {
    "type": "message",
    "id": "msg_1",
    "status": "in_progress",
    "role": "assistant",
    "content": [],
}
LOGPROB = {"token": "e", "logprob": -0.1, "bytes": [101], "top_logprobs": []}
CITATION = {"type": "url_citation", "url": "https://e.org", "title": "E", "start_index": 0, "end_index": 1}


def message(*parts: tuple[str, str]) -> list[Event]:
    """A message whose parts came in one delta each."""
    events: list[Event] = [ItemOpened(0, MESSAGE)]
    content = []
    for k, (kind, said) in enumerate(parts):
        field = "refusal" if kind == "refusal" else "text"
        empty = TEXT if kind == "output_text" else {"type": kind, field: ""}
        whole = {**empty, field: said}
        events += [PartOpened(0, k, empty), Delta(0, k, DeltaKind(kind), said), PartClosed(0, k, whole)]
        content.append(whole)
    return [*events, ItemClosed(0, {**MESSAGE, "status": "completed", "content": content})]


def every_kind() -> list[Event]:
    """An answer with one of everything that streams."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    summary, raw = {"type": "summary_text", "text": "s"}, {"type": "reasoning_text", "text": "r"}
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c",
        "name": "f",
        "arguments": "",
        "status": "in_progress",
    }
    custom = {
        "type": "custom_tool_call",
        "id": "ctc_1",
        "call_id": "d",
        "name": "g",
        "input": "",
        "status": "in_progress",
    }
    annotated = {**TEXT, "text": "Hey", "annotations": [CITATION], "logprobs": [LOGPROB]}
    return [
        STARTED,
        ItemOpened(0, thought),
        PartOpened(0, 0, {**summary, "text": ""}),
        Delta(0, 0, DeltaKind.SUMMARY, "s"),
        PartClosed(0, 0, summary),
        PartOpened(0, 0, {**raw, "text": ""}),
        Delta(0, 0, DeltaKind.REASONING, "r"),
        PartClosed(0, 0, raw),
        ItemClosed(0, {**thought, "summary": [summary], "content": [raw]}),
        ItemOpened(1, MESSAGE),
        PartOpened(1, 0, TEXT),
        Delta(1, 0, DeltaKind.TEXT, "H"),
        Delta(1, 0, DeltaKind.TEXT, "e", [LOGPROB]),
        Annotated(1, 0, 0, CITATION),
        Delta(1, 0, DeltaKind.TEXT, "y"),
        PartClosed(1, 0, annotated),
        ItemClosed(1, {**MESSAGE, "status": "completed", "content": [annotated]}),
        ItemOpened(2, call),
        Delta(2, -1, DeltaKind.ARGUMENTS, "{"),
        Delta(2, -1, DeltaKind.ARGUMENTS, "}"),
        ItemClosed(2, {**call, "arguments": "{}", "status": "completed"}),
        ItemOpened(3, custom),
        Delta(3, -1, DeltaKind.INPUT, "x"),
        ItemClosed(3, {**custom, "input": "x", "status": "completed"}),
        Opaque({"type": "acme:ping", "sequence_number": 99, "x": 1}),
        Usage(USAGE),
        Finished("completed"),
    ]


def written(events: list[Event], client: ClientTraits = ClientTraits.GENERIC) -> bytes:
    writer = stream_writer(Exchange(request=read_request(BODY, client)), clock=lambda: 9)
    return b"".join(framed(*frame) for event in events for frame in writer.feed(event))


def parsed(raw: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in raw.split(b"\n") if line.startswith(b"data: ")]


def test_the_whole_life_cycle_in_order() -> None:
    raw = written([STARTED, *message(("output_text", "Hey")), Usage(USAGE), Finished("completed")])

    assert [event["type"].removeprefix("response.") for event in parsed(raw)] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


@pytest.mark.parametrize("client", list(ClientTraits))
def test_an_answer_with_everything_is_grammatical(client: ClientTraits) -> None:
    assert check_responses(written(every_kind(), client)) == []


@needs_validator
def test_the_reference_agrees() -> None:
    validate = load()
    assert validate is not None

    for events in (every_kind(), [STARTED, Failed(UpstreamTruncated("cut"))], [Failed(UpstreamTruncated("cut"))]):
        raw = written(events)
        assert validate.errors(validate.check_responses_sse(raw, done="forbid")) == []


def test_the_response_repeats_the_request_with_its_defaults() -> None:
    created = parsed(written([STARTED]))[0]["response"]

    assert created["previous_response_id"] == "resp_0"
    assert created["store"] is False
    assert created["reasoning"] == {"effort": "low", "summary": None}
    assert created["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert created["tools"] == [
        {"type": "function", "name": "f", "parameters": None, "strict": False},
        {"type": "custom", "name": "g", "format": {"type": "text"}},
    ]
    assert (created["temperature"], created["truncation"], created["service_tier"]) == (1.0, "disabled", "default")
    assert (created["status"], created["output"], created["usage"]) == ("in_progress", [], None)


def test_what_only_the_end_knows_stands_in_the_terminal_event() -> None:
    last = parsed(written([STARTED, Usage(USAGE), Finished("completed", None, {"service_tier": "flex"})]))[-1][
        "response"
    ]

    assert (last["service_tier"], last["usage"], last["completed_at"]) == ("flex", USAGE, 9)


def test_a_failure_is_an_error_event_in_both_forms_and_then_failed() -> None:
    *_, error, failed = parsed(written([STARTED, Failed(UpstreamTruncated("cut short"))]))

    assert (error["code"], error["message"], error["param"]) == ("upstream_truncated", "cut short", None)
    assert error["error"] == {
        "type": "server_error",
        "code": "upstream_truncated",
        "message": "cut short",
        "param": None,
    }
    assert failed["response"]["error"] == {"code": "server_error", "message": "cut short"}
    assert (failed["response"]["status"], failed["sequence_number"]) == ("failed", 3)


def test_what_a_failure_says_beside_itself_stands_in_its_response() -> None:
    *_, failed = parsed(written([STARTED, Failed(UpstreamTruncated("cut short"), extra={"store": False})]))

    assert failed["response"]["store"] is False


def test_a_failure_before_anything_else_is_created_first() -> None:
    events = parsed(written([Failed(UpstreamError("no", code="context_length_exceeded"))]))

    assert [event["type"] for event in events] == ["response.created", "error", "response.failed"]
    assert events[0]["response"]["error"] is None
    assert events[0]["response"]["model"] == "asked"
    assert events[2]["response"]["error"]["code"] == "context_length_exceeded"


def test_incomplete_says_why() -> None:
    last = parsed(written([STARTED, Finished("incomplete", "content_filter")]))[-1]

    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "content_filter"}
    assert last["response"]["completed_at"] is None


def test_codex_reads_a_refusal_as_text() -> None:
    events = [STARTED, *message(("output_text", "a"), ("refusal", "b")), Usage(USAGE), Finished("completed")]
    raw = written(events, ClientTraits.CODEX)

    assert b"refusal" not in raw
    assert [part["text"] for part in parsed(raw)[-1]["response"]["output"][0]["content"]] == ["a", "b"]
    assert check_responses(raw) == []
    assert b"response.refusal.delta" in written(events)
    left = {**MESSAGE, "status": "incomplete", "content": [{"type": "refusal", "refusal": "b"}]}
    assert b"refusal" not in written([STARTED, Failed(UpstreamTruncated(""), [left])], ClientTraits.CODEX)


@pytest.mark.parametrize("end", [Finished("completed"), Failed(UpstreamTruncated(""))])
def test_only_codex_is_pinged_and_only_before_the_end(end: Event) -> None:
    codex = stream_writer(Exchange(request=read_request(BODY, ClientTraits.CODEX)))
    assert codex.ping() == [("adapter:ping", b'{"type":"adapter:ping","sequence_number":0}')]
    codex.feed(STARTED)
    assert codex.ping() == [("adapter:ping", b'{"type":"adapter:ping","sequence_number":3}')]
    codex.feed(end)
    assert codex.ping() == []
    generic = stream_writer(Exchange(request=read_request(BODY)))
    generic.feed(STARTED)
    assert generic.ping() == []


def test_a_request_that_cannot_be_repeated_fails_its_answer_which_repeats_nothing() -> None:
    """A client's nest, in what its upstream was not sent: JSON is read deeper than it is written."""

    deep = orjson.loads(b"[" * 300 + b"]" * 300)
    tools = [{"type": "file_search", "vector_store_ids": deep}]
    writer = stream_writer(Exchange(request=read_request({**BODY, "tools": tools})), clock=lambda: 9)

    with pytest.raises(InvalidValue) as refused:
        writer.feed(STARTED)
    frames = writer.feed(Failed(refused.value))

    assert [name for name, _ in frames] == ["response.created", "error", "response.failed"]
    assert check_responses(b"".join(framed(*frame) for frame in frames)) == []
    assert orjson.loads(frames[-1][1])["response"]["tools"] == []
