"""A history in pieces that fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapter.compaction.pieces import SEPARATOR_BYTES, Pieces
from adapter.compaction.sizes import utf8_length

texts = st.lists(st.text(st.characters(exclude_categories=[]), min_size=1, max_size=40), max_size=12)


@given(blocks=texts, limit=st.integers(8, 80), returns=st.lists(st.booleans(), max_size=20))
def test_every_piece_fits_and_together_they_are_the_history(blocks: list[str], limit: int, returns: list[bool]) -> None:
    pieces, seen = Pieces(blocks), ""
    while not pieces.exhausted:
        piece = pieces.take(limit)
        assert piece
        assert len(piece) == 1 or sum(utf8_length(b) + SEPARATOR_BYTES for b in piece) <= limit
        assert len(piece[0]) == 1 or utf8_length(piece[0]) <= limit
        if returns and returns.pop():
            pieces.give_back(piece)
            limit = max(limit // 2, 8)
        else:
            seen += "".join(piece)

    assert seen == "".join(blocks)
    assert pieces.take(limit) == []


def test_blocks_stay_whole_where_they_can() -> None:
    pieces = Pieces(["aaaa", "bbbb", "cccc"])

    assert [pieces.take(12), pieces.take(12)] == [["aaaa", "bbbb"], ["cccc"]]


def test_blocks_are_made_only_when_they_are_taken() -> None:
    made: list[int] = []
    pieces = Pieces(made.append(n) or "x" * 10 for n in range(100))  # type: ignore[func-returns-value]

    pieces.take(30)

    assert len(made) <= 4
