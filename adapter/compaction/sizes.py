"""How large things are, without copying them: bytes of UTF-8 and the documented estimate of four bytes a token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from adapter.hub.usage import BYTES_PER_TOKEN

MEDIA_BYTES: Final = 4_096
"""An image in a data URL counts as some thousand tokens, whatever its encoding weighs: models bill by tiles."""

_SLICE: Final = 1 << 16
_SCALAR_BYTES: Final = 5


def utf8_length(text: str) -> int:
    """Bytes of `text` in UTF-8 (a lone surrogate is three), in constant memory."""
    if text.isascii():
        return len(text)
    return sum(
        len(text[start : start + _SLICE].encode("utf-8", "surrogatepass")) for start in range(0, len(text), _SLICE)
    )


def weight(value: Any) -> int:
    """Bytes that a JSON value means to a model: keys, texts and scalars; never recurses, whatever the depth."""
    total = 0
    todo = [value]
    while todo:
        here = todo.pop()
        if isinstance(here, str):
            total += MEDIA_BYTES if here.startswith("data:image/") else utf8_length(here)
        elif isinstance(here, dict):
            total += sum(map(len, here))
            todo.extend(here.values())
        elif isinstance(here, list):
            todo.extend(here)
        else:
            total += _SCALAR_BYTES
    return total


def total_tokens(values: Iterable[Any]) -> int:
    """The estimate for several JSON values together, rounded up."""
    return -(-sum(map(weight, values)) // BYTES_PER_TOKEN)
