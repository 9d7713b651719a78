"""The raw lane, for both dialects: bytes pass, whole events only, one end, whatever the cut."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapter import translate
from adapter.dialects import raw
from adapter.dialects.intake import Intake
from adapter.dialects.registry import DIALECTS
from adapter.errors import UpstreamTruncated
from adapter.hub.events import Failed
from adapter.hub.fold import fold
from adapter.hub.grammar import check_chat
from adapter.hub.request import DialectName, Exchange
from adapter.wire.jsonio import dumps, loads

CHAT = (
    b': hello\n\ndata: {"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}\n\n'
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"h\xc3\xbc"},"finish_reason":null}]}\r\n\r\n'
    b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\r\r'
    b"data: [DONE]\n\n"
)
RESPONSES = (
    b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1"}}\n\n'
    b'event: response.output_text.delta\r\ndata: {"type":"response.output_text.delta","delta":"h"}\r\n\r\n'
    b'data: {"type":"response.completed","sequence_number":2,"response":{"id":"resp_1","status":"completed"}}\n\n'
)
STREAMS: list[tuple[DialectName, bytes]] = [("chat", CHAT), ("responses", RESPONSES)]


def passed(dialect: DialectName, *parts: bytes) -> bytes:
    stream = DIALECTS[dialect].raw_stream(Exchange.unasked(dialect))
    return b"".join(stream.feed(part) for part in parts) + stream.close()


@pytest.mark.parametrize(("dialect", "stream"), STREAMS)
def test_a_whole_stream_passes_byte_for_byte(dialect: DialectName, stream: bytes) -> None:
    assert passed(dialect, stream) == stream


def test_an_error_behind_the_finish_of_a_chat_stream_is_an_anomaly() -> None:
    stream = DIALECTS["chat"].raw_stream(Exchange.unasked("chat"))
    stream.feed(CHAT.partition(b'data: {"id":"c","choices":[],"usage"')[0] + b'data: {"error":{"message":"late"}}\n\n')
    stream.close()

    assert [anomaly.kind for anomaly in stream.anomalies] == ["error_after_finish", "done_missing"]
    assert stream.answer.status == "completed"


@pytest.mark.parametrize("given", [b"[" * 1000 + b"]" * 1000, b'{"a":1}', b"0", b"null"])
@pytest.mark.parametrize(("dialect", "stream"), STREAMS)
def test_an_id_that_is_none_names_nothing_and_passes(dialect: DialectName, stream: bytes, given: bytes) -> None:
    """JSON is read deeper than Python looks into it."""

    stream = re.sub(rb'"(c|m|resp_1)"', given, stream)
    observer = DIALECTS[dialect].raw_stream(Exchange.unasked(dialect))

    assert observer.feed(stream) + observer.close() == stream
    assert (observer.answer.id, observer.answer.model, observer.answer.status) == ("", "", "completed")


def test_an_id_that_is_a_number_names_the_answer() -> None:
    observer = DIALECTS["chat"].raw_stream(Exchange.unasked("chat"))
    observer.feed(CHAT.replace(b'"c"', b"7"))

    assert observer.answer.id == "7"


@pytest.mark.parametrize("blank", [b"\n\r\n", b"\n\r", b"\r\n\n", b"\r\n\r", b"\r\r\n"])
@pytest.mark.parametrize(("dialect", "stream"), STREAMS)
def test_a_blank_line_that_ends_otherwise_than_the_line_before_it_ends_its_event(
    dialect: DialectName, stream: bytes, blank: bytes
) -> None:
    stream = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n\n", blank)
    assert passed(dialect, stream) == stream
    assert passed(dialect, *(bytes([byte]) for byte in stream)).rstrip() == stream.rstrip()


@pytest.mark.parametrize(("dialect", "stream"), STREAMS)
def test_byte_by_byte_is_the_same(dialect: DialectName, stream: bytes) -> None:
    assert passed(dialect, *(bytes([byte]) for byte in stream)) == stream


@given(st.sampled_from(STREAMS), st.lists(st.integers(1, 600), max_size=8), st.integers(0, 700))
@example(STREAMS[1], [199], 200)  # in the CRLF of a blank line
def test_any_cut_and_any_end_say_the_same(case: tuple[DialectName, bytes], cuts: list[int], length: int) -> None:
    """A stream that breaks anywhere gives the same bytes, its end included, however it was cut before."""
    dialect, stream = case
    stream = stream[:length]
    points = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    parts = [stream[a:b] for a, b in pairwise(points)]

    assert passed(dialect, *parts) == passed(dialect, stream)


@pytest.mark.parametrize(("dialect", "stream"), STREAMS)
def test_a_byte_order_mark_hides_nothing_of_the_first_event(dialect: DialectName, stream: bytes) -> None:
    stream = b"\xef\xbb\xbf" + stream[stream.index(b'data: {"id"') if dialect == "chat" else 0 :]
    observer = DIALECTS[dialect].raw_stream(Exchange.unasked(dialect))
    first = stream.index(b"\n\n") + 2

    assert observer.feed(stream[:first]) == stream[:first]
    assert observer.answer.id
    assert observer.feed(stream[first:]) == stream[first:]
    assert observer.answered


@pytest.mark.parametrize("name", ["é", "é.delta", "\u2028", "\ufffd"])
@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_the_name_of_an_event_may_be_any_text(dialect: DialectName, name: str) -> None:
    texts = {
        "chat": b'{"id":"c","choices":[{"index":0,"delta":{"content":"h%d"},"finish_reason":null}]}',
        "responses": b'{"type":"response.output_text.delta","delta":"h%d"}',
    }
    whole = dict(STREAMS)[dialect].replace(b"\r\n", b"\n")
    events = b"".join(b"event: %b\ndata: %b\n\n" % (name.encode(), texts[dialect] % i) for i in range(30))
    first = whole.index(b"\n\n", 10) + 2
    stream = whole[:first] + events + whole[first:]

    assert passed(dialect, *stream.splitlines(keepends=True)) == stream


@pytest.mark.parametrize("reason", ["error", "insufficient_system_resource"])
def test_a_finish_that_is_a_failure_does_not_end_like_an_answer(reason: str) -> None:
    observer = DIALECTS["chat"].raw_stream(Exchange.unasked("chat"))
    stream = observer.feed(CHAT.replace(b'"stop"', b'"%b"' % reason.encode())) + observer.close()

    assert b"[DONE]" not in stream
    assert b'"error":{"message":"The upstream broke its answer off."' in stream
    assert observer.answer.status == "failed"
    assert observer.answer.error is not None


def test_what_follows_the_terminal_event_is_cut() -> None:
    assert passed("chat", CHAT + b"data: [DONE]\n\ndata: more\n\n") == CHAT
    assert passed("responses", RESPONSES + b"data: [DONE]\n\ndata: more\n\n") == RESPONSES + b"data: [DONE]\n\n"


def test_unfinished_tail_is_dropped_when_the_transport_breaks() -> None:
    stream = DIALECTS["chat"].raw_stream(Exchange.unasked("chat"))
    stream.feed(CHAT[:100])

    ending = stream.fail(UpstreamTruncated("broken"))

    assert b"upstream_truncated" in ending
    assert b"[DONE]" not in ending


@pytest.mark.parametrize("reads", [1, 2])
def test_a_failure_behind_comments_goes_on_with_the_numbers_of_the_events(reads: int) -> None:
    """Keep-alives of an upstream that then falls silent: each counted as what passed last."""
    events = b'data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1"}}\n\n' + b"".join(
        b'data: {"type":"response.output_text.delta","sequence_number":%d,"delta":"h"}\n\n' % n for n in (1, 2)
    )
    stream = DIALECTS["responses"].raw_stream(Exchange.unasked("responses"))
    for part in (events + b": ping\n\n",) if reads == 1 else (events, b": ping\n\n"):
        stream.feed(part)

    out = stream.fail(UpstreamTruncated("gone"))

    assert [n in out for n in (b'"sequence_number":3', b'"sequence_number":4')] == [True, True]


def test_missing_done_is_added_behind_a_finish() -> None:
    assert passed("chat", CHAT.removesuffix(b"data: [DONE]\n\n")) == CHAT


def chunk(delta: str, finish: str = "null") -> bytes:
    return (
        b'data: {"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":%b,"finish_reason":%b}]}\n\n'
        % (
            delta.encode(),
            finish.encode(),
        )
    )


DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("delta", "reason"),
    [
        ('{"content":"hi"}', "stop"),
        (
            '{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}',
            "tool_calls",
        ),
    ],
)
def test_done_without_a_finish_gets_the_finish_that_clients_ask_for(delta: str, reason: str) -> None:
    said = chunk('{"role":"assistant"}') + chunk(delta)

    out = passed("chat", said + DONE)

    assert out.startswith(said)
    assert check_chat(out) == []
    assert f'"finish_reason":"{reason}"'.encode() in out
    assert out.endswith(DONE)
    assert out.count(DONE) == 1


def called(*arguments: str) -> bytes:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": arguments[0]}}
    more = [{"index": 0, "function": {"arguments": piece}} for piece in arguments[1:]]
    return b"".join(chunk(dumps({"tool_calls": [call]}).decode()) for call in [first, *more])


@pytest.mark.parametrize(
    ("arguments", "whole"),
    [
        (['{"path": "/srv/old'], False),
        (["", '{"path": "/srv/ol', "d"], False),
        (["", *['{"path": "/srv'], *["/old"] * 20], False),
        (["", '{"path": "/srv/ol', "d", '"}'], True),
        (["", '{"a":{}', "} \n"], True),
        ([""], True),
        (["", " "], True),
    ],
)
def test_done_without_a_finish_amid_a_call_is_truncated(arguments: list[str], whole: bool) -> None:
    """A client would run it with half of its arguments."""
    said = called(*arguments)
    exchange = Exchange.unasked("chat")
    stream, intake = DIALECTS["chat"].raw_stream(exchange), Intake(DIALECTS["chat"], exchange)

    out = stream.feed(said) + stream.feed(DONE)

    assert (stream.answer.error is None) is whole
    assert stream.answer.status == fold(intake.feed(said) + intake.feed(DONE)).status
    assert out.startswith(said)
    if whole:
        assert b'"finish_reason":"tool_calls"' in out
    else:
        assert out[len(said) :].count(b"data: ") == 1
        assert b"upstream_truncated" in out


@pytest.mark.parametrize(
    "last",
    [
        '{"tool_calls":[{"index":0,"type":"custom","custom":{"input":"half a"}}]}',
        '{"tool_calls":[null]}',
        '{"tool_calls":{"0":1}}',
        '{"tool_calls":[{"function":7}]}',
        '{"content":"said behind it"}',
        "7",
    ],
)
def test_done_without_a_finish_behind_what_are_no_arguments_gets_it(last: str) -> None:
    said = called("{}") + chunk(last)

    assert passed("chat", said + DONE).startswith(said)
    assert b'"finish_reason":"tool_calls"' in passed("chat", said + DONE)


def test_an_error_behind_the_finish_leaves_the_answer_standing() -> None:
    said = chunk('{"role":"assistant"}') + chunk("{}", '"stop"')

    assert passed("chat", said + b'data: {"error":{"message":"late"}}\n\n') == said + DONE


def test_done_in_the_place_of_a_terminal_event_is_a_failure_that_clients_see() -> None:
    """They stop reading at `[DONE]`: what comes behind it does not exist for them."""

    said = RESPONSES[: RESPONSES.rindex(b"data: {")]

    out = passed("responses", said + DONE)

    assert out.startswith(said)
    assert DONE not in out[: out.index(b"event: response.failed")]
    assert out.count(b"event: response.failed") == 1
    assert passed("responses", said, DONE) == out


def test_event_over_the_bound_fails_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "MAX_EVENT", 100)

    assert b"upstream_event_too_large" in passed("chat", b"data: " + b"x" * 60, b"x" * 60)


@pytest.mark.parametrize("finish", ["[1]", '""', '"null"'])
def test_a_finish_that_says_nothing_is_none(finish: str) -> None:
    """As on the hub lane: the answer goes on, and `[DONE]` alone gets the finish that was left out."""
    said = chunk('{"role":"assistant"}') + chunk('{"content":"h"}', finish)

    out = passed("chat", said + DONE)

    assert out.startswith(said)
    assert out.count(b'"finish_reason":"stop"') == 1
    assert b"upstream_truncated" in passed("chat", said)


@pytest.mark.parametrize(
    ("frame", "passes"),
    [
        (b'data: {"object":"error","message":"boom","type":"InternalServerError","code":500}\n\n', False),
        (b'data: {"code":"InternalError","message":"boom"}\n\n', True),
        (b'event: error\ndata: {"message":"boom"}\n\n', False),
    ],
)
@pytest.mark.parametrize("done", [b"", DONE])
def test_an_error_without_its_envelope_gets_it_and_ends_the_stream(frame: bytes, passes: bool, done: bytes) -> None:
    """vLLM sends `[DONE]` behind its errors: the answer would look like a good one. Forms that nobody looks for are known
    when they are the last that was said."""
    said = chunk('{"role":"assistant"}') + chunk('{"content":"h"}')
    stream = DIALECTS["chat"].raw_stream(Exchange.unasked("chat"))

    out = stream.feed(said) + stream.feed(frame + done) + stream.close()

    error = out.removeprefix(said + frame if passes else said)
    assert error.startswith(b'data: {"error":{"message":"boom"')
    assert error.count(b"\n\n") == 1
    assert stream.answer.status == "failed"


@pytest.mark.parametrize("data", ['{"message":"no: %s"}', '{"detail":"no: %s"}', "no: %s", '"no: %s"'])
def test_an_error_that_only_its_name_tells_tells_no_key(data: str) -> None:
    said, key = chunk('{"role":"assistant"}') + chunk('{"content":"h"}'), f"sk-proj-{'a1' * 12}"
    out = passed("chat", said + f"event: error\ndata: {data % key}\n\n".encode() + DONE)

    assert out.startswith(said + b'data: {"error":{"message":')
    assert key.encode() not in out


@pytest.mark.parametrize(
    "said", [b"", b": ping\n\n", b'data: {"choices":[]}\n\n', b'data: {"queue":1}\n\n', b"data: x\n\n"]
)
def test_done_behind_what_holds_no_answer_is_a_failure(said: bytes) -> None:
    """It gets no finish: clients would take it for an answer that says nothing."""
    stream = DIALECTS["chat"].raw_stream(Exchange.unasked("chat"))

    out = stream.feed(said + DONE)

    assert not stream.answered
    assert out.startswith(said)
    assert b'"code":"upstream_empty"' in out[len(said) :]
    assert DONE not in out


def test_an_error_without_its_envelope_is_no_answer() -> None:
    """Where nothing was sent yet it is the HTTP status that tells."""
    stream = DIALECTS["chat"].raw_stream(Exchange.unasked("chat"))

    stream.feed(b'data: {"object":"error","message":"boom","code":400}\n\n' + DONE)

    assert stream.ended
    assert not stream.answered
    assert stream.answer.error is not None
    assert stream.answer.error.http_status == 400


def test_an_error_by_its_name_alone_is_what_a_responses_stream_failed_of() -> None:
    said = RESPONSES[: RESPONSES.rindex(b"data: {")] + b'event: error\ndata: {"message":"boom"}\n\n'
    stream = DIALECTS["responses"].raw_stream(Exchange.unasked("responses"))

    out = stream.feed(said[:200]) + stream.feed(said[200:]) + stream.close()

    assert out.startswith(said)
    assert out.count(b"event: error") == 1
    assert b'"code":"server_error","message":"boom"' in out[len(said) :]


@pytest.mark.parametrize("data", ['{"message":"no: %s"}', "no: %s", '"no: %s"'])
def test_an_error_by_its_name_alone_tells_no_key_and_the_failure_behind_it_goes_on_with_the_numbers(data: str) -> None:
    said, key = RESPONSES[: RESPONSES.index(b"event: response.output_text")], f"sk-proj-{'a1' * 12}"
    out = passed("responses", said + f"event: error\ndata: {data % key}\n\n".encode())

    assert out.startswith(said)
    assert key.encode() not in out
    numbers = [loads(line[6:]).get("sequence_number") for line in out.split(b"\n") if line.startswith(b"data: {")]
    assert [number for number in numbers if number is not None] == list(range(len(numbers) - numbers.count(None)))
    assert out.count(b"event: error") == out.count(b"event: response.failed") == 1


def test_a_failure_that_tells_why_beside_its_response_ends_the_stream_once() -> None:
    said = RESPONSES[: RESPONSES.rindex(b"data: {")]
    end = b'event: response.failed\ndata: {"type":"response.failed","error":{"message":"boom"}}\n\n'
    stream = DIALECTS["responses"].raw_stream(Exchange.unasked("responses"))

    assert stream.feed(said + end) + stream.close() == said + end
    assert str(stream.answer.error) == "boom"
    assert b'"message":"boom"' in b"".join(translate.stream([said, end], "responses", "chat"))


FINISHES = st.sampled_from(["null", "null", '""', '"null"', '"stop"', '"length"', '"content_filter"', '"odd"', "[1]"])
EVENTS = st.one_of(
    st.builds(chunk, st.sampled_from(["{}", '{"content":"h"}']), FINISHES),
    st.sampled_from(
        [
            b": ping\n\n",
            b'data: {"type":"ping"}\n\n',
            b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
            b'data: {"error":{"message":"boom","code":429}}\n\n',
            b'data: {"error":"boom"}\n\n',
            b'data: {"object":"error","message":"boom","code":400}\n\n',
            b'event: error\ndata: {"message":"boom"}\n\n',
            DONE,
        ]
    ),
)


@given(st.lists(EVENTS, max_size=7))
def test_the_raw_lane_ends_as_the_hub_lane_does(events: list[bytes]) -> None:
    """What is a failure does not depend on whether somebody had to read the answer."""
    exchange = Exchange.unasked("chat")
    stream, intake = DIALECTS["chat"].raw_stream(exchange), Intake(DIALECTS["chat"], exchange)
    out = b"".join(map(stream.feed, events)) + stream.close()
    told = [event for data in events for event in intake.feed(data)] + intake.close()
    read = fold(told)

    assert stream.answered is not isinstance(told[0], Failed)
    assert stream.answer.status == read.status
    assert str(stream.answer.error) == str(read.error)
    assert out.count(DONE) == (0 if read.error else 1)
