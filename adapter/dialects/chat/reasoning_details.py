"""`reasoning_details`, OpenRouter's list beside or instead of the reasoning's one string."""

from __future__ import annotations

from typing import Any, Final

_TEXTS: Final = {"reasoning.text": "text", "reasoning.summary": "summary"}


def text_of_details(details: Any) -> str:
    """What of it can be read: texts and summaries; "" where all of it is encrypted."""
    if not details or type(details) is not list:
        return ""
    said = [one.get(_TEXTS.get(str(one.get("type")), "")) for one in details if type(one) is dict]
    return "".join(text for text in said if type(text) is str)


def has_encrypted(details: Any) -> bool:
    """Whether something of it is for its maker only."""
    return type(details) is list and any(
        type(one) is dict and one.get("type") == "reasoning.encrypted" for one in details
    )
