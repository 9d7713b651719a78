"""What is written to a client arrives as it was written, whatever is joined on the way."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.server.joining import Joining

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
PIECES = st.sampled_from([HEAD, b"HTTP/1.1 100 Continue\r\n\r\n", b"{}", b"", b"HTTP", b"0\r\n\r\n"])


class Wire:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


async def written(turns: list[list[bytes]], *, close: bool, together: bool = False, answering: int = 1) -> Wire:
    wire = Wire()
    joining = Joining(cast(Any, wire), asyncio.get_running_loop(), range(answering))
    for turn in turns:
        with joining if together else nullcontext():
            for piece in turn:
                joining.write(piece)
        if turn is turns[-1] and close:
            joining.close()
        await asyncio.sleep(0)
    return wire


@given(
    turns=st.lists(st.lists(PIECES, max_size=4), min_size=1, max_size=4),
    close=st.booleans(),
    together=st.booleans(),
    answering=st.integers(1, 2),
)
def test_nothing_is_lost_added_or_moved(turns: list[list[bytes]], close: bool, together: bool, answering: int) -> None:
    wire = asyncio.run(written(turns, close=close, together=together, answering=answering))
    assert b"".join(wire.writes) == b"".join(piece for turn in turns for piece in turn)
    assert wire.closed is close


def test_what_is_not_written_together_is_written_as_it_comes() -> None:
    assert asyncio.run(written([[HEAD, b"{}"]], close=False)).writes == [HEAD, b"{}"]


@pytest.mark.parametrize("answering", [1, 2])
def test_what_is_written_together_waits_for_others_that_are_being_answered_only(answering: int) -> None:
    async def scenario() -> None:
        wire = Wire()
        joining = Joining(cast(Any, wire), asyncio.get_running_loop(), range(answering))
        with joining:
            joining.write(HEAD)
            await asyncio.sleep(0)
            joining.write(b"{}")
            assert wire.writes == []
        assert wire.writes == ([HEAD + b"{}"] if answering == 1 else [])
        await asyncio.sleep(0)
        assert wire.writes == [HEAD + b"{}"]

    asyncio.run(scenario())


def test_all_else_is_the_transports_own() -> None:
    async def scenario() -> None:
        assert Joining(cast(Any, Wire()), asyncio.get_running_loop(), ()).get_extra_info("socket") == "the socket"

    asyncio.run(scenario())
