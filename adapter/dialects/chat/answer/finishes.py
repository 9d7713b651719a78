"""How an answer ended, in the words of both dialects."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from adapter.hub.events import Reason


class Outcome(Enum):
    """What a `finish_reason` amounts to."""

    COMPLETED = "completed", None
    LENGTH = "length", "max_output_tokens"
    FILTER = "filter", "content_filter"
    FAILED = "failed", None

    def __init__(self, _: str, reason: Reason | None) -> None:
        self.reason = reason
        """`incomplete_details.reason`, where the answer was cut."""


_OFFICIAL: Final = {
    "stop": Outcome.COMPLETED,
    "tool_calls": Outcome.COMPLETED,
    "function_call": Outcome.COMPLETED,
    "length": Outcome.LENGTH,
    "content_filter": Outcome.FILTER,
}
_VENDORS: Final = {
    "max_tokens": Outcome.LENGTH,
    "model_length": Outcome.LENGTH,
    "max_output_tokens": Outcome.LENGTH,
    "sensitive": Outcome.FILTER,
    "safety": Outcome.FILTER,
    "error": Outcome.FAILED,
    "insufficient_system_resource": Outcome.FAILED,
    "network_error": Outcome.FAILED,
    "abort": Outcome.FAILED,
}
"""Words of servers for the same things: Mistral, Zhipu, DeepSeek, OpenRouter, SGLang."""
_NOT_YET: Final = frozenset({"", "null", "None"})
"""What some servers send for null while the answer goes on: SGLang, Ollama, KoboldCpp, Azure with data of one's own."""


def outcome_of(finish_reason: Any) -> tuple[Outcome, bool] | None:
    """The outcome, and whether the word is the API's own; None where the answer goes on. Unknown words mean stop."""
    if type(finish_reason) is not str:
        return None
    official = _OFFICIAL.get(finish_reason)
    if official is not None:
        return official, True
    if finish_reason in _NOT_YET:
        return None
    return _VENDORS.get(finish_reason.lower(), Outcome.COMPLETED), False


def is_failure(finish_reason: Any) -> bool:
    """Whether it says that the answer was broken off."""
    return type(finish_reason) is str and _VENDORS.get(finish_reason.lower()) is Outcome.FAILED


CALL_TYPES: Final = frozenset({"function_call", "custom_tool_call"})
"""Items that a Chat client must run."""


def finish_reason(reason: str | None, *, calls: bool, legacy: bool) -> str:
    """Chat's word for how a finished answer ended."""
    if reason is not None:
        return "content_filter" if reason == "content_filter" else "length"
    if calls:
        return "function_call" if legacy else "tool_calls"
    return "stop"
