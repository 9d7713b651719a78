"""`extra_content` of messages and tool calls: what a server wants back as it gave it, by the name of its maker.

    {"google": {"thought_signature": "…"}}

Gemini signs its tool calls so, and refuses a turn that brings one back without its signature. Hub items carry it under the same
name.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.hub.surrogates import mended

ExtraContent = dict[str, dict[str, Any]]

EXTRA_CONTENT = "extra_content"

UNSIGNED: Final[ExtraContent] = {"google": {"thought_signature": "skip_thought_signature_validator"}}
"""What Google's documentation of thought signatures has for calls that Gemini did not make: another model did, or whoever kept
them lost what they were signed with."""


def extra_of(given: Any) -> ExtraContent | None:
    """The texts of a server's `extra_content`, by maker and name; None where there are none. What else is in it is about the
    piece that it came with (`thought: true`)."""
    if not given or type(given) is not dict:
        return None
    extra: ExtraContent = {}
    for maker, facts in given.items():
        if type(facts) is dict:
            texts = {mended(key): mended(text) for key, text in facts.items() if type(text) is str and text}
            if texts:
                extra[mended(maker)] = texts
    return extra or None
