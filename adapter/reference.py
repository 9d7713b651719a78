"""Every key of the configuration, with what it means, what it takes and its default: `adapter settings`.

All of it comes from the sections: their annotations, their defaults, and the texts under their fields, which only their
source holds.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import dedent, wrap
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from adapter.kinds import Bounds, Secret
from adapter.sections import Settings, Upstream
from adapter.upstream.profiles import Profile, profile_names

_WIDTH: Final = 110
_COLUMN: Final = 28
"""How wide a key and its default stand before what it takes."""
_INTRODUCTION: Final = """\
Every key that a configuration can have. A line that begins with #name is a key and its default: take the mark off and say
something else. Keys outside arrays of tables are environment variables, too: ADAPTER_SERVER__PORT=9000."""
_NO_KEYS: Final = {Settings: {"written"}, Profile: {"name"}}
"""Fields that nobody writes."""
_KINDS: Final[dict[tuple[type, str], Any]] = {
    (Upstream, "capabilities"): Profile,
    (Upstream, "profile"): Literal[tuple(profile_names())],
}
"""What is held to more than its annotation says."""
_BOUNDS: Final = {"gt": " above {}", "ge": " from {}", "le": " up to {}", "min_length": "; at least {}"}


def settings() -> str:
    """A TOML file in which everything is a comment."""
    return "\n".join([*_comment(_INTRODUCTION), "", *_keys(Settings, "")]) + "\n"


def _keys(of: type, name: str) -> Iterator[str]:
    """The keys of the section of this name, and behind them the tables in it."""
    kinds, told = get_type_hints(of, include_extras=True), _told(of)
    tables: list[str] = []
    for field in fields(of):
        if field.name in _NO_KEYS.get(of, ()):
            continue
        kind = _KINDS.get((of, field.name), _without_none(kinds[field.name]))
        path = f"{name}.{field.name}" if name else field.name
        many = get_origin(kind) is tuple
        section = get_args(kind)[0] if many else kind
        if isinstance(section, type) and is_dataclass(section):
            header = f"[[{path}]]" if many else f"[{path}]"
            about = told.get(field.name) or section.__doc__ or ""
            tables += ["", *_comment(about), f"#{header}", *_keys(section, path)]
        else:
            yield from _comment(told.get(field.name, ""))
            yield _key(field, kind)
    yield from tables


def _key(field: Field[Any], kind: Any) -> str:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    said = "" if default is None or default is MISSING else _toml(default)
    takes = _takes(kind) + ("; has to be there" if default is MISSING else "")
    return f"#{field.name} = {said}".ljust(_COLUMN) + f"  # {takes}"


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        (kind,) = [each for each in get_args(kind) if each is not NoneType]
    return kind


def _takes(kind: Any) -> str:
    """What a key of this type takes, in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _takes(arguments[0]) + "".join(map(_bounded, arguments[1:]))
    if origin is Literal:
        return " | ".join(_toml(word) for word in arguments if word is not None)
    if origin is dict:
        return f"a table, each value {_takes(arguments[1])}"
    if origin in (tuple, frozenset):
        return f"a list, each {_takes(arguments[0])}"
    if hasattr(kind, "_fields"):
        return f"a table of {', '.join(kind._fields)}"
    return _WORDS[kind]


_WORDS: Final[dict[Any, str]] = {
    Any: "anything",
    bool: "true | false",
    int: "an integer",
    float: "a number",
    str: "text",
    Path: "the path of a file",
    Secret: 'text, "$NAME" (an environment variable) or "file:PATH"',
}


def _bounded(bounds: Bounds) -> str:
    return "".join(_BOUNDS[name].format(limit) for name, limit in bounds.said.items())


def _toml(value: Any) -> str:
    """A default, as it would be written."""
    if isinstance(value, Secret):
        value = value.get_secret_value()
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, frozenset):
        value = sorted(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _told(of: type) -> dict[str, str]:
    """What stands under each field."""
    (section,) = ast.parse(dedent(inspect.getsource(of))).body
    assert isinstance(section, ast.ClassDef)
    told: dict[str, str] = {}
    for field, below in pairwise(section.body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            told[field.target.id] = inspect.cleandoc(str(below.value.value))
    return told


def _comment(text: str) -> list[str]:
    """A docstring as a comment; what is None in Python is a key that is not there."""
    said = " ".join(re.sub(r"(^|\. )None\b", r"\1Absent", text).replace("None", "absent").split())
    return [f"# {line}" for line in wrap(said, _WIDTH)]
