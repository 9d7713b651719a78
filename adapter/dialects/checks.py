"""Refusals of wrong input, worded alike: what is wrong, where, what would be taken; never the value itself.

The functions make errors and are called only when something is wrong, so that paths cost nothing on the good way.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.errors import InvalidType, InvalidValue, MissingParameter
from adapter.wire.jsonio import dumps

_TYPES: Final = {
    bool: "a boolean",
    dict: "an object",
    float: "a number",
    int: "an integer",
    list: "an array",
    str: "a string",
    type(None): "null",
}


def wrong_type(path: str, expected: str, value: Any) -> InvalidType:
    """`value` at `path` has the wrong JSON type."""
    got = _TYPES.get(type(value), "something else")
    return InvalidType(f"Invalid type for '{path}': expected {expected}, but got {got} instead.", param=path)


def wrong_value(path: str, expected: str) -> InvalidValue:
    """The value at `path` has the right type and is not among those that are taken."""
    return InvalidValue(f"Invalid value for '{path}': expected {expected}.", param=path)


def missing(path: str) -> MissingParameter:
    """`path` is required."""
    return MissingParameter(f"Missing required parameter: '{path}'.", param=path)


def no_string(value: Any, path: str) -> MissingParameter | InvalidType:
    """`value` at `path` had to be a string and is not."""
    return missing(path) if value is None else wrong_type(path, "a string", value)


def string(value: Any, path: str) -> str:
    """`value`, which must be a string and must be there."""
    if isinstance(value, str):
        return value
    raise no_string(value, path)


def name(value: Any, path: str) -> str:
    """`value`, which must be a string and not empty."""
    if string(value, path):
        text: str = value
        return text
    raise wrong_value(path, "a non-empty string")


def boolean(value: Any, path: str) -> bool:
    """`value`, which must be true or false."""
    if isinstance(value, bool):
        return value
    raise wrong_type(path, "a boolean", value)


def json_object(value: Any, path: str) -> dict[str, Any]:
    """`value`, which must be an object and must be there."""
    if isinstance(value, dict):
        return value
    raise missing(path) if value is None else wrong_type(path, "an object", value)


def array(value: Any, path: str) -> list[Any]:
    """`value`, which must be an array and must be there."""
    if isinstance(value, list):
        return value
    raise missing(path) if value is None else wrong_type(path, "an array", value)


def json_text(value: Any, path: str) -> str:
    """`value` as compact JSON text, for the places where one API holds JSON inside a string."""
    try:
        return dumps(value).decode()
    except ValueError:
        raise wrong_value(path, "JSON that is nested less deeply") from None
