"""The text of a chunk that brings nothing else, as nearly all do."""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.refrain import Sole

CONTENT: Final = "content"
REASONING: Final = "reasoning"
"""Places of texts; a number is the call of that index, to whose arguments they belong."""
_REASONING_KEYS: Final = ("reasoning_content", "reasoning")
_SAYING: Final = frozenset(
    {
        CONTENT,
        *_REASONING_KEYS,
        "annotations",
        "refusal",
        "tool_calls",
        "function_call",
        "extra_content",
        "reasoning_details",
    }
)
"""What of a delta is looked at."""


def sole_text(chunk: Any) -> Sole | None:
    """The text, never empty, and its place; None where the chunk says anything else."""
    if type(chunk) is not dict:
        return None
    choices = chunk.get("choices")
    if type(choices) is not list or len(choices) != 1 or type(choice := choices[0]) is not dict:
        return None
    delta = choice.get("delta")
    if (
        type(delta) is not dict
        or choice.get("finish_reason") is not None
        or choice.get("logprobs")
        or choice.get("index")
        or "message" in choice
        or chunk.get("usage") is not None
        or chunk.get("error")
    ):
        return None
    said = [key for key in delta if key in _SAYING and delta[key]]
    if len(said) != 1:
        return None
    key, value = said[0], delta[said[0]]
    if type(value) is str:
        if key == CONTENT:
            return CONTENT, value
        return (REASONING, value) if key in _REASONING_KEYS else None
    return sole_arguments(value[0]) if key == "tool_calls" and type(value) is list and len(value) == 1 else None


def sole_arguments(fragment: Any) -> tuple[int, str] | None:
    """A fragment of a call that brings nothing but more arguments, and the call's index."""
    if type(fragment) is not dict or type(index := fragment.get("index")) is not int or fragment.get("id"):
        return None
    if "extra_content" in fragment:
        return None
    function = fragment.get("function")
    if type(function) is not dict or function.get("name"):
        return None
    text = function.get("arguments")
    return (index, text) if text and type(text) is str else None
