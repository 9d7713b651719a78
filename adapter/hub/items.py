"""Small questions about items that more than one room asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from adapter.hub.events import Item

_TEXT_KEYS: Final = ("text", "refusal", "arguments", "input", "output", "content", "summary")
"""Where an item or a part keeps what was said: a string, or a list of parts that have these keys again."""


def texts(item: Item) -> Iterator[str]:
    """Everything in an item that a model wrote or will read as text, in order; images and ciphertext are none."""
    for key in _TEXT_KEYS:
        value: Any = item.get(key)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, dict):
                    yield from texts(part)


def text_bytes(item: Item) -> int:
    """The size of `texts(item)` in UTF-8: what the token estimate counts."""
    return sum(len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")) for text in texts(item))
