from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapter.wire.counting import counted


@given(st.integers(0, 10**18), st.integers(0, 600))
def test_numbers_are_those_from_the_first_on(first: int, count: int) -> None:
    expected = [str(number).encode() for number in range(first, first + count)]

    assert expected == counted(first, count)


def test_what_was_given_is_nobody_elses() -> None:
    counted(512, 3).clear()

    assert counted(512, 3) == [b"512", b"513", b"514"]
