"""The decoder of server-sent events: the standard's own examples, real servers' habits, and one law."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import UpstreamEventTooLarge
from adapter.wire import sse
from adapter.wire.sse import Decoder, SseEvent, comment, framed


def decoded(*parts: bytes, limit: int = 1 << 20) -> list[SseEvent]:
    decoder = Decoder(limit)
    events = [event for part in parts for event in decoder.feed(part)]
    return events + decoder.close()


def test_whatwg_example_1_multi_line_data() -> None:
    assert decoded(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [(None, b"YHOO\n+2\n10")]


def test_whatwg_example_2_comments_ids_and_missing_spaces() -> None:
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"

    assert decoded(stream) == [(None, b"first event"), (None, b"second event"), (None, b" third event\n".rstrip())]


def test_whatwg_example_3_data_without_a_value_is_an_event_with_empty_data() -> None:
    assert decoded(b"data\n\ndata\ndata\n\ndata:") == [(None, b""), (None, b"\n"), (None, b"")]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["lf", "cr", "crlf"])
def test_every_line_end_gives_the_same_events(end: bytes) -> None:
    stream = end.join([b"event: a", b"data: 1", b"", b"data: 2", b"", b""])

    assert decoded(stream) == [("a", b"1"), (None, b"2")]


def test_crlf_cut_between_its_two_bytes() -> None:
    assert decoded(b"data: 1\r", b"\n\r", b"\ndata: 2\r\n\r\n") == [(None, b"1"), (None, b"2")]


def test_leading_bom_is_taken_once() -> None:
    assert decoded(b"\xef", b"\xbb\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\n") == [(None, b"1")]


def test_unterminated_last_event_is_given_at_close() -> None:
    assert decoded(b"data: 1\n\ndata: [DONE]") == [(None, b"1"), (None, b"[DONE]")]


def test_utf8_character_cut_between_reads() -> None:
    whole = "data: ü\n\n".encode()

    assert decoded(whole[:7], whole[7:]) == [(None, "ü".encode())]


def test_line_separator_inside_data_is_no_line_end() -> None:
    assert decoded("data: a\u2028b\n\n".encode()) == [(None, "a\u2028b".encode())]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b"data: " + b"x" * 200 + b"\n\n"], ids=["open", "closed"])
def test_event_over_the_bound_is_refused(stream: bytes) -> None:
    with pytest.raises(UpstreamEventTooLarge):
        decoded(stream, limit=100)


LINES = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data",
        b": c",
        b"event: e",
        b"id: 1",
        b"",
        b"",
        b'data: {"x":1}',
        b"junk",
        "data: é".encode(),
    ]
)


@given(
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=30),
    st.booleans(),
    st.lists(st.integers(0, 300), max_size=12),
)
def test_any_byte_split_gives_the_same_events(lines: list[tuple[bytes, bytes]], bom: bool, cuts: list[int]) -> None:
    stream = (b"\xef\xbb\xbf" if bom else b"") + b"".join(line + end for line, end in lines)
    points = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    parts = [stream[a:b] for a, b in itertools.pairwise(points)]

    assert decoded(*parts) == decoded(stream)
    assert decoded(*(bytes([byte]) for byte in stream)) == decoded(stream)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "response.created", "ping"]), st.binary().filter(lambda b: not set(b) & {10, 13})
        )
    )
)
def test_what_is_framed_is_decoded_again(events: list[SseEvent]) -> None:
    assert decoded(b"".join(framed(*event) + comment("ping") for event in events)) == events


@given(
    st.lists(
        st.sampled_from([b"data: a", b"data: b", b"data:c", b"data", b"event: x", b"event: y", b"event:", b":", b""])
    )
)
def test_usual_events_are_read_as_any_event_is(lines: list[bytes]) -> None:
    whole = b"".join(line + b"\n" for line in lines) + b"\n\n"
    *blocks, _ = whole.split(b"\n\n")
    assert decoded(whole) == [event for block in blocks if (event := sse._parsed(block)) is not None]
