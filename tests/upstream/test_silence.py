"""Comments and blank lines are no data, however they are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.upstream.silence import Ear


@pytest.mark.parametrize(
    "quiet", [b": ping\n\n", b":\r\n\r\n", b"\n\n", b" ", b": a\n: data: not this\n\n", b": \r: \r"]
)
def test_keep_alives_are_silence_in_any_cut(quiet: bytes) -> None:
    for size in range(1, len(quiet) + 1):
        ear = Ear()
        stream = quiet * 3
        assert not any(ear.hears_data(stream[i : i + size]) for i in range(0, len(stream), size))


LINES = st.lists(
    st.sampled_from(["data: {}", 'data: {"e":":d"}', "event: d", ": e", ": data: {d}", ":d e\r", "", "\r"]), max_size=8
)


@given(LINES, st.data())
def test_each_read_is_heard_if_it_holds_a_part_of_a_line_that_says_something(
    lines: list[str], data: st.DataObject
) -> None:
    stream = "".join(f"{line}\n" for line in lines).encode()
    says = b"".join((b"." if line.strip() and line[0] != ":" else b" ") * len(line) + b" " for line in lines)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))) | {0, len(stream)})
    ear = Ear()
    for start, end in pairwise(cuts):
        heard = ear.hears_data(stream[start:end])
        if stream[start : start + 1] != b"\n":  # the end of a line that was heard may count as a part of it
            assert heard == bool(says[start:end].strip())


@given(
    st.integers(1, 30), st.sampled_from([b"data: x\n\n", b"event: a\ndata: b\n\n", b'{"a": 1}', b": c\n\ndata: x\n\n"])
)
def test_data_is_heard_in_any_cut(size: int, loud: bytes) -> None:
    ear = Ear()
    stream = b": ping\n\n" + loud
    heard = [ear.hears_data(stream[i : i + size]) for i in range(0, len(stream), size)]
    assert any(heard)


def test_the_middle_of_a_long_event_is_data() -> None:
    ear = Ear()
    assert ear.hears_data(b"data: begin")
    assert ear.hears_data(b" : middle")
    ear.hears_data(b"end\n\n")
    assert not ear.hears_data(b": ping\n\n")
