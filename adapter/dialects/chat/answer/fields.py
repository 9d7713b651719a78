"""The fields of a Chat server's answer that are read, or say what is known without them. All others are told as losses."""

from __future__ import annotations

from typing import Final

from adapter.hub.extra_content import EXTRA_CONTENT
from adapter.hub.losses import Action, Fields, Loss
from adapter.hub.reasoning_details import REASONING_DETAILS

_CALLED: Final[Fields] = dict.fromkeys(("name", "arguments", "input"))
_CITATION: Final[Fields] = dict.fromkeys(("type", "url", "title", "start_index", "end_index"))
RARE: Final = frozenset({EXTRA_CONTENT, "audio", "images", REASONING_DETAILS})
"""What only some servers say in a message."""
MESSAGE: Final[Fields] = {
    **dict.fromkeys(("role", "reasoning_content", "reasoning", "refusal", *sorted(RARE))),
    "content": dict.fromkeys(("type", "text", "thinking", "refusal")),
    "annotations": {**_CITATION, "url_citation": _CITATION},
    "function_call": _CALLED,
    "tool_calls": {
        **dict.fromkeys(("index", "id", "type", EXTRA_CONTENT)),
        "function": _CALLED,
        "custom": _CALLED,
    },
}
CHOICE: Final[Fields] = {
    **dict.fromkeys(("index", "finish_reason", "text", "usage", "error")),
    "logprobs": dict.fromkeys(("content", "refusal")),
    "message": MESSAGE,
    "delta": MESSAGE,
}
ANSWER: Final[Fields] = {
    **dict.fromkeys(("id", "object", "created", "model", "usage", "service_tier", "system_fingerprint", "moderation")),
    **dict.fromkeys(("citations", "error", "message", "metadata", "obfuscation", "x_groq")),
    "choices": CHOICE,
}
"""Of a whole answer, or of a chunk of one."""
FURTHER_CHOICES: Final = Loss(
    "choices", Action.DROPPED, "choices", "One choice of an answer is read: none asks for more."
)
