"""The raw lane, for both dialects: bytes pass, whole events only, one end, whatever the cut."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter import translate
from adapter.dialects import raw
from adapter.dialects.registry import DIALECTS
from adapter.errors import UpstreamTruncated
from adapter.hub.grammar import check_chat
from adapter.hub.request import DialectName, Exchange

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


@pytest.mark.parametrize(("dialect", "stream"), STREAMS)
def test_byte_by_byte_is_the_same(dialect: DialectName, stream: bytes) -> None:
    assert passed(dialect, *(bytes([byte]) for byte in stream)) == stream


@given(st.sampled_from(STREAMS), st.lists(st.integers(1, 600), max_size=8), st.integers(0, 700))
def test_any_cut_and_any_end_say_the_same(case: tuple[DialectName, bytes], cuts: list[int], length: int) -> None:
    """A stream that breaks anywhere gives the same bytes, its end included, however it was cut before."""
    dialect, stream = case
    stream = stream[:length]
    points = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    parts = [stream[a:b] for a, b in pairwise(points)]

    assert passed(dialect, *parts) == passed(dialect, stream)


def test_what_follows_the_terminal_event_is_cut() -> None:
    assert passed("chat", CHAT + b"data: [DONE]\n\ndata: more\n\n") == CHAT
    assert passed("responses", RESPONSES + b"data: [DONE]\n\ndata: more\n\n") == RESPONSES + b"data: [DONE]\n\n"


def test_unfinished_tail_is_dropped_when_the_transport_breaks() -> None:
    stream = DIALECTS["chat"].raw_stream(Exchange.unasked("chat"))
    stream.feed(CHAT[:100])

    ending = stream.fail(UpstreamTruncated("broken"))

    assert b"upstream_truncated" in ending
    assert b"[DONE]" not in ending


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


def test_an_inferred_finish_is_given_to_every_choice_that_was_asked() -> None:
    asked = translate.request({"model": "m", "n": 2, "messages": [{"role": "user", "content": "x"}]}, "chat", "chat")
    exchange = replace(asked.exchange, request=replace(asked.exchange.request, body={"model": "m", "n": 2}))
    stream = DIALECTS["chat"].raw_stream(exchange)

    out = stream.feed(chunk('{"role":"assistant"}') + DONE)

    assert out.count(b'"finish_reason":"stop"') == 2


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


def test_a_finish_that_is_no_string_breaks_nothing() -> None:
    said = chunk('{"role":"assistant"}', "[1]") + DONE

    assert passed("chat", said) == said
