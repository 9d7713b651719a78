"""A rendered history cut into pieces that fit a context window, lazily, so that only one piece is held at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from adapter.compaction.sizes import utf8_length

SEPARATOR_BYTES: Final = 2


class Pieces:
    """Blocks in, pieces out. A piece that turned out too long is given back and taken again in halves."""

    __slots__ = ("_blocks", "_returned")

    def __init__(self, blocks: Iterable[str]) -> None:
        self._blocks: Iterator[str] = iter(blocks)
        self._returned: deque[str] = deque()

    def take(self, limit: int) -> list[str]:
        """The next blocks, together at most `limit` bytes; none at the end. A block that alone is longer is cut."""
        piece: list[str] = []
        room = limit
        while (block := self._next()) is not None:
            size = utf8_length(block) + SEPARATOR_BYTES
            if size <= room:
                piece.append(block)
                room -= size
                continue
            if piece:
                self._returned.appendleft(block)
            else:  # one block alone is too long: as many characters as certainly fit
                fits = _characters(block, limit)
                piece.append(block[:fits])
                if block[fits:]:
                    self._returned.appendleft(block[fits:])
            break
        return piece

    def give_back(self, piece: list[str]) -> None:
        """`piece` comes again with the next `take`."""
        self._returned.extendleft(reversed(piece))

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left."""
        block = self._next()
        if block is None:
            return True
        self._returned.appendleft(block)
        return False

    def _next(self) -> str | None:
        return self._returned.popleft() if self._returned else next(self._blocks, None)


def _characters(text: str, limit: int) -> int:
    """How many characters of `text` are at most `limit` bytes; at least one."""
    fits = min(len(text), limit)
    while fits > 1 and utf8_length(text[:fits]) > limit:
        fits = fits * 3 // 4
    return max(fits, 1)
