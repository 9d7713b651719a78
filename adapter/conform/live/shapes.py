"""What an object must look like, written as an object.

    {"id": WORD, "object": "response", "output": [Kinds({"message": MESSAGE})], "error": (None, ERROR), "usage?": USAGE}

A type stands for its values, a string for itself, a number for itself, None for null, a tuple for any of its members, a list for
a list of its one member, a dict for an object with at least these keys (`?` behind those that may be absent).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from adapter.hub.grammar.violation import shown

Wanted: TypeAlias = Any
"""A shape, as above."""
_ROOT: Final = "the body"
_WORDS: Final = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    list: "a list",
    dict: "an object",
    None: "null",
}


@dataclass(frozen=True, slots=True)
class Kinds:
    """An object whose `type` says which shape it has; of types that are not named here nothing else is known."""

    shapes: Mapping[str, Wanted]


@dataclass(frozen=True, slots=True)
class Exactly:
    """A list that holds as many members as there are shapes, each as its own."""

    shapes: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Such:
    """Values of a type for which something holds."""

    type: type
    holds: Callable[[Any], bool]
    word: str
    """What they are called."""


_YEAR_5138: Final = 10**11
"""As seconds; as milliseconds it was in 1973."""
WORD: Final = Such(str, bool, "a string that is not empty")
SECONDS: Final = Such(int, lambda value: bool(value < _YEAR_5138), "whole seconds since 1970")
MOMENT: Final = Such(float, lambda value: bool(value < _YEAR_5138), "seconds since 1970")


def lacks(value: Any, wanted: Wanted, where: str = "") -> Iterator[str]:
    """Everything in which `value` is not as `wanted`, with its place."""
    match wanted:
        case Kinds():
            yield from lacks(value, {"type": str}, where)
            if isinstance(value, dict) and isinstance(value.get("type"), str):
                yield from lacks(value, wanted.shapes.get(value["type"], {}), where)
        case Exactly():
            if not isinstance(value, list):
                yield _is_not(value, list, where)
                return
            if len(value) != len(wanted.shapes):
                yield f"{where or _ROOT} has {len(value)} members, expected {len(wanted.shapes)}"
            for index, (member, shape) in enumerate(zip(value, wanted.shapes, strict=False)):
                yield from lacks(member, shape, f"{where}[{index}]")
        case dict():
            if not isinstance(value, dict):
                yield _is_not(value, dict, where)
                return
            for word, inner in wanted.items():
                key = word.removesuffix("?")
                place = f"{where}.{key}" if where else key
                if key in value:
                    yield from lacks(value[key], inner, place)
                elif key == word:
                    yield f"{place} is missing"
        case list():
            if not isinstance(value, list):
                yield _is_not(value, list, where)
                return
            for index, member in enumerate(value):
                yield from lacks(member, wanted[0], f"{where}[{index}]")
        case tuple():
            yield from _none_of(value, wanted, where)
        case _:
            if not _is(value, wanted):
                yield _is_not(value, wanted, where)


def _none_of(value: Any, members: tuple[Wanted, ...], where: str) -> Iterator[str]:
    found = [list(lacks(value, member, where)) for member in members]
    if all(found):
        inner = [member for member in members if isinstance(value, (dict, list)) and isinstance(member, type(value))]
        if inner:
            yield from lacks(value, inner[0], where)
        else:
            yield f"{where or _ROOT} is {shown(value)}, expected {' or '.join(_word(member) for member in members)}"


def _is(value: Any, wanted: Wanted) -> bool:
    if isinstance(wanted, Such):
        return _is(value, wanted.type) and wanted.holds(value)
    if isinstance(wanted, type):
        if isinstance(value, bool):
            return wanted is bool
        return isinstance(value, (int, float) if wanted is float else wanted)
    return bool(value == wanted) and isinstance(value, bool) is isinstance(wanted, bool)


def _is_not(value: Any, wanted: Wanted, where: str) -> str:
    return f"{where or _ROOT} is {shown(value)}, expected {_word(wanted)}"


def _word(wanted: Wanted) -> str:
    if isinstance(wanted, (dict, list)):
        wanted = type(wanted)
    if isinstance(wanted, Such):
        return wanted.word
    return repr(wanted) if isinstance(wanted, (str, int)) else _WORDS[wanted]
