"""What a Response repeats of its request: every key that a client may look for, defaults written out.

Three layers, the later ones win: the API's defaults, what the upstream said of the request that it got, what our client
asked for. The upstream knows better only where the answer decides (`service_tier`, whether it was stored).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from adapter.hub.request import Request
from adapter.hub.strict import explicit_tool

ANSWER_KEYS: Final = frozenset(
    [
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "model",
        "output",
        "output_text",
        "usage",
        "error",
        "incomplete_details",
    ]
)
"""Keys of a Response that say what was answered; all others are echo."""
_FOREIGN: Final = ANSWER_KEYS | {"system_fingerprint"}
"""What an upstream may say of its answer and a Response has no place for."""


_DEFAULTS: Final[Mapping[str, Any]] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
"""In their order; objects and lists are made anew for every answer, since callers may change what they get."""


BLANK: Final[Mapping[str, Any]] = {
    "id": "",
    "object": "response",
    "created_at": 0,
    "completed_at": None,
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "model": "",
    "output": [],
    "usage": None,
    **_DEFAULTS,
}
"""A Response before anything is said in it. Filling in a copy is a third of what it takes to put two halves together."""


def echo(request: Request, extra: dict[str, Any], onto: Mapping[str, Any] = _DEFAULTS) -> dict[str, Any]:
    """Every key of a Response but `ANSWER_KEYS`, those where `BLANK` has them if it is laid onto that; `extra` is what the
    upstream said beside its answer."""
    made = dict(onto)
    made["metadata"], made["tools"] = {}, []
    made["reasoning"] = {"effort": None, "summary": None}
    made["text"] = {"format": {"type": "text"}}
    for key, value in extra.items():
        if key not in _FOREIGN and (type(value) is type(made.get(key)) or _fits(made, key, value)):
            made[key] = value
    body = request.body
    for key, value in body.items():  # few of all that may be said
        if key in _ASKED and value is not None:
            shown = _ASKED[key]
            made[key] = value if shown is None else shown(value)
    if not _WITHOUT_DEFAULT.keys().isdisjoint(body):
        asked = [(key, shown, body.get(key)) for key, shown in _WITHOUT_DEFAULT.items()]
        made |= {key: shown(value) for key, shown, value in asked if value is not None}
    if request.previous is not None:
        made["previous_response_id"] = request.previous
    carry = request.carry
    if carry:
        for penalty in ("frequency_penalty", "presence_penalty"):
            value = carry.get(penalty)
            if value is not None:
                made[penalty] = value
    return made


def _fits(made: dict[str, Any], key: str, value: Any) -> bool:
    """An upstream's value may replace ours: of the type that clients rely on, and null only where null is usual."""
    default = made.get(key)
    return (
        default is None
        or (type(default) is float and type(value) is int)
        or (key == "tool_choice" and type(value) is dict)
    )


def _text(text: dict[str, Any]) -> dict[str, Any]:
    """Never `verbosity: null`, which strict clients refuse, and never without a format."""
    shown = {key: value for key, value in text.items() if value is not None}
    return shown if "format" in shown else {"format": {"type": "text"}, **shown}


def _reasoning(reasoning: dict[str, Any]) -> dict[str, Any]:
    return {"effort": None, "summary": reasoning.get("generate_summary"), **reasoning}


def _conversation(conversation: str | dict[str, Any]) -> dict[str, Any]:
    return {"id": conversation if isinstance(conversation, str) else conversation["id"]}


def _as_asked(value: Any) -> Any:
    return value


_ASKED: Final[dict[str, Callable[[Any], Any] | None]] = {
    "background": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": None,
    "parallel_tool_calls": None,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": _reasoning,
    "safety_identifier": None,
    "temperature": None,
    "text": _text,
    "tool_choice": None,
    "tools": lambda tools: [explicit_tool(tool) for tool in tools],
    "top_logprobs": None,
    "top_p": None,
    "truncation": None,
}
"""Request keys that are echoed -> how, None for as they are. `store` is not among them: what counts is what was done."""
_WITHOUT_DEFAULT: Final[dict[str, Callable[[Any], Any]]] = {
    "conversation": _conversation,
    "prompt": _as_asked,
    "prompt_cache_options": lambda options: {"ttl": "30m", "mode": "implicit", **options},
    "prompt_cache_retention": _as_asked,
    "user": _as_asked,
}
"""The same for those that are not there unless they were asked for, in the order in which they come."""
