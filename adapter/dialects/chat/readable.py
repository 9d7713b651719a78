"""What of a reasoning item can be read."""

from __future__ import annotations

from typing import Any

from adapter.hub.events import Item


def readable_reasoning(item: Item) -> str:
    """The reasoning's own text (`content`), else its summary; "" where all of it is encrypted.

    Reasoning is a hint: parts that are malformed are passed over, they are no reason to refuse a request.
    """
    return _joined(item.get("content"), "") or _joined(item.get("summary"), "\n\n")


def _joined(parts: Any, glue: str) -> str:
    if not parts or not isinstance(parts, list):
        return ""
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return glue.join([text for text in texts if isinstance(text, str)])
