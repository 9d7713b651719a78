"""Comments and blank lines are no data, however they are cut."""

from __future__ import annotations

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
