"""A request on the raw lane: what is checked, and the named edits. All else goes on as it came.

The upstream speaks the client's dialect, so it judges what its API allows. Checked here is what this server itself acts on,
and the types that any server of the dialect takes: a client gets one clear answer, and nothing crafted reaches an upstream's
type confusion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapter.dialects.chat.raw_edits import meet_demands
from adapter.errors import InvalidType, InvalidValue, MissingParameter, UnsupportedParameter
from adapter.hub.request import DialectName
from adapter.upstream.router import Target

_OBJECT_ONLY: Final = frozenset({dict})


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and _OBJECT_ONLY.issuperset(map(type, value))


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_stop(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(entry, str) for entry in value))


def _is_choice(value: Any) -> bool:
    return isinstance(value, (str, dict))


def _is_conversation(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("id"), str))


def _is_input(value: Any) -> bool:
    return isinstance(value, str) or _is_objects(value)


_Check = tuple[Callable[[Any], bool], str]
_BOOLEAN: Final[_Check] = (_is_bool, "a boolean")
_INTEGER: Final[_Check] = (_is_integer, "an integer")
_NUMBER: Final[_Check] = (_is_number, "a number")
_STRING: Final[_Check] = (_is_string, "a string")
_OBJECT: Final[_Check] = (_is_object, "an object")
_OBJECTS: Final[_Check] = (_is_objects, "a list of objects")

_BOTH: Final[dict[str, _Check]] = {
    "model": _STRING,
    "stream": _BOOLEAN,
    "stream_options": _OBJECT,
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "top_logprobs": _INTEGER,
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "parallel_tool_calls": _BOOLEAN,
    "tools": _OBJECTS,
    "tool_choice": (_is_choice, "a string or an object"),
    "metadata": _OBJECT,
    "store": _BOOLEAN,
    "service_tier": _STRING,
    "user": _STRING,
    "safety_identifier": _STRING,
    "prompt_cache_key": _STRING,
    "prompt_cache_options": _OBJECT,
}
_CHECKS: Final[dict[DialectName, dict[str, _Check]]] = {
    "chat": _BOTH
    | {
        "messages": _OBJECTS,
        "n": _INTEGER,
        "stop": (_is_stop, "a string or a list of strings"),
        "seed": _INTEGER,
        "logprobs": _BOOLEAN,
        "logit_bias": _OBJECT,
        "max_tokens": _INTEGER,
        "max_completion_tokens": _INTEGER,
        "response_format": _OBJECT,
        "reasoning_effort": _STRING,
        "verbosity": _STRING,
        "functions": _OBJECTS,
    },
    "responses": _BOTH
    | {
        "input": (_is_input, "a string or a list of objects"),
        "instructions": _STRING,
        "max_output_tokens": _INTEGER,
        "max_tool_calls": _INTEGER,
        "include": (_is_list, "a list"),
        "reasoning": _OBJECT,
        "text": _OBJECT,
        "previous_response_id": _STRING,
        "conversation": (_is_conversation, "an id or an object with an id"),
        "background": _BOOLEAN,
        "truncation": _STRING,
        "context_management": _OBJECTS,
    },
}
_TURNS: Final[dict[DialectName, str]] = {"chat": "messages", "responses": "input"}
_ROLES: Final[dict[DialectName, frozenset[str]]] = {
    "chat": frozenset({"system", "developer", "user", "assistant", "tool", "function"}),
    "responses": frozenset({"system", "developer", "user", "assistant"}),
}
_INSTEAD_OF_INPUT: Final = ("previous_response_id", "conversation", "prompt")
_STATE: Final = ("conversation", "background")


def checked(body: dict[str, Any], dialect: DialectName, target: Target) -> None:
    """Look over a body that is to go on as it is.

    Raises:
        BadRequest: what is wrong, with `param`.
    """
    checks = _CHECKS[dialect]
    for name, value in body.items():
        if value is not None and (check := checks.get(name)) is not None and not check[0](value):
            raise InvalidType(f"{name} must be {check[1]}.", param=name)
    turns_field = _TURNS[dialect]
    turns = body.get(turns_field)
    if not turns and not (dialect == "responses" and any(body.get(name) for name in _INSTEAD_OF_INPUT)):
        if turns is None:
            raise MissingParameter(f"{turns_field} is required.", param=turns_field)
        raise InvalidValue(f"{turns_field} must not be empty.", param=turns_field)
    if isinstance(turns, list):
        _check_roles(turns, turns_field, _ROLES[dialect], required=dialect == "chat")
    if dialect == "responses" and not target.upstream.stateful:
        _check_stateless(body)


def _check_roles(turns: list[dict[str, Any]], field: str, roles: frozenset[str], *, required: bool) -> None:
    try:  # all right, as nearly always: a third less time than a look at each
        seen = {turn.get("role") for turn in turns}
        if not required:
            seen.discard(None)
        if seen <= roles:
            return
    except TypeError:  # a role that is no string
        pass
    for index, turn in enumerate(turns):
        role = turn.get("role")
        if role is None and not required:
            continue
        if not isinstance(role, str) or (role not in roles and turn.get("type", "message") == "message"):
            raise InvalidValue(f"A role must be one of {', '.join(sorted(roles))}.", param=f"{field}[{index}].role")


def _check_stateless(body: dict[str, Any]) -> None:
    """What needs stored state has nobody who keeps it."""
    for name in _STATE:
        if body.get(name):
            raise UnsupportedParameter(f"{name} needs stored responses, which this server does not keep.", param=name)
    items = body.get("input")
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if item.get("type") == "item_reference":
            raise InvalidValue(
                "An item reference needs stored items, which this server does not keep; send the item itself.",
                param=f"input[{index}]",
            )


def edited(body: dict[str, Any], dialect: DialectName, target: Target, *, metered: bool) -> dict[str, Any]:
    """The body as the upstream gets it: its own model name, nothing stored by a server that keeps no state, and where tokens are
    `metered` the usage of a Chat stream asked for, which says nothing of it by itself; and what a Chat server demands of a history,
    of roles and of its limit's name (`raw_edits`)."""
    edits = dict(body)
    edits["model"] = target.model
    if dialect == "responses":
        if not target.upstream.stateful:
            edits["store"] = False
        return edits
    if metered and body.get("stream") is True and target.profile.stream_options:
        edits["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    if target.profile.demands:
        meet_demands(edits, target.profile)
    return edits
