"""A table of the configuration: a frozen dataclass, read from what TOML, JSON or the environment holds.

Fields are read by their annotations: text becomes a number or a truth value where one is wanted, as in the environment
there is nothing but text. All mistakes are found; one line tells of them. A library for this (Pydantic) was half of the
time, and of the memory beyond the server's own, that a start cost: 0.11 s of CPU and 15 MB.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from adapter.errors import ConfigError


class Section:
    """Base of the tables; each is a `dataclass(frozen=True, kw_only=True)`."""

    given: frozenset[str] = frozenset()
    """The keys that were written; the others have their defaults."""

    def but(self, **changes: Any) -> Self:
        """The same table with other values."""
        changed: Self = dataclasses.replace(self, **changes)  # type: ignore[type-var]
        return _given(changed, self.given)


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that no log, error or representation shows."""

    value: str = field(repr=False)


class Bound(NamedTuple):
    """What a number must be, in the words of the error."""

    says: str
    holds: Callable[[float], bool]


_POSITIVE: Final = Bound("greater than 0", lambda number: number > 0)
PositiveInt = Annotated[int, _POSITIVE]
PositiveFloat = Annotated[float, _POSITIVE]


def at_least(least: int) -> Bound:
    """Not below `least`."""
    return Bound(f"greater than or equal to {least}", lambda number: number >= least)


def at_most(most: int) -> Bound:
    """Not above `most`."""
    return Bound(f"less than or equal to {most}", lambda number: number <= most)


Port = Annotated[int, at_least(0), at_most(65535)]

S = TypeVar("S", bound=Section)
T = TypeVar("T")


def read(kind: type[S], table: Mapping[str, Any]) -> S:
    """`table` as a `kind`.

    Raises:
        ConfigError: one line that names the key and what would be taken; it never repeats a value.
    """
    mistakes: list[_Mistake] = []
    found: S = _section(kind)(table, "", mistakes)
    if mistakes:
        # a misspelt key comes before the required one that it leaves missing
        first = min(mistakes, key=lambda mistake: not mistake.unknown)
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        raise ConfigError(f"{first.path}: {first.text}{more}")
    return found


def is_text(kind: type[Section], path: list[str]) -> bool:
    """Whether what stands at `path` is written as it is in the environment; tables and arrays are written as JSON."""
    wanted = hints(kind).get(path[0], str)
    if isinstance(wanted, type) and issubclass(wanted, Section):
        return len(path) > 1 and is_text(wanted, path[1:])
    return len(path) > 1 or get_origin(wanted) not in (tuple, dict)


def hints(kind: type[Section]) -> dict[str, Any]:
    """The keys of a table and what they hold, in order."""
    found = get_type_hints(kind, include_extras=True)
    return {each.name: found[each.name] for each in dataclasses.fields(kind)}  # type: ignore[arg-type]


def hint(word: str, kind: type[Section]) -> str:
    """What could have been meant by `word`, the end of an error's line."""
    near = get_close_matches(word, hints(kind), n=1)
    return f", did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(hints(kind)))}"


class _Mistake(NamedTuple):
    path: str
    text: str
    unknown: bool = False


class _Wrong(Exception):
    """Not what is wanted; the text says what is."""


_Reader = Callable[[Any, str, list[_Mistake]], Any]
"""Value, path, and the list that takes its mistakes; what it returns after one does not matter."""


def _section(kind: type[Section]) -> _Reader:
    readers = {name: _reader(each) for name, each in hints(kind).items()}
    required = [
        each.name
        for each in dataclasses.fields(kind)  # type: ignore[arg-type]
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    ]

    def read(value: Any, path: str, mistakes: list[_Mistake]) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            mistakes.append(_Mistake(path, f"input should be a valid dictionary or instance of {kind.__name__}"))
            return None
        before, dot = len(mistakes), "." if path else ""
        taken = {}
        for name, reader in readers.items():
            if name in value:
                taken[name] = reader(value[name], f"{path}{dot}{name}", mistakes)
            elif name in required:
                mistakes.append(_Mistake(f"{path}{dot}{name}", "field required"))
        mistakes += [
            _Mistake(f"{path}{dot}{name}", f"unknown key{hint(name, kind)}", unknown=True)
            for name in value
            if name not in readers
        ]
        return _given(kind(**taken), frozenset(taken)) if len(mistakes) == before else None

    return read


def _given(section: S, keys: frozenset[str]) -> S:
    object.__setattr__(section, "given", keys)
    return section


def _reader(wanted: Any) -> _Reader:
    """How a value of this type is read."""
    origin, args = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return _leaf(_bounded(_LEAVES[args[0]], args[1:]))
    if origin is Literal:
        return _leaf(_word(args))
    if origin is tuple:
        return _tuple(_reader(args[0]))
    if origin is dict:
        return _dict(_reader(args[1]))
    if origin in (Union, types.UnionType):
        (other,) = (arg for arg in args if arg is not type(None))
        return _optional(_reader(other))
    return _section(wanted) if issubclass(wanted, Section) else _leaf(_LEAVES[wanted])


def _leaf(parse: Callable[[Any], Any]) -> _Reader:
    def read(value: Any, path: str, mistakes: list[_Mistake]) -> Any:
        try:
            return parse(value)
        except _Wrong as wrong:
            mistakes.append(_Mistake(path, f"input {wrong}"))

    return read


def _optional(reader: _Reader) -> _Reader:
    return lambda value, path, mistakes: None if value is None else reader(value, path, mistakes)


def _tuple(reader: _Reader) -> _Reader:
    def read(value: Any, path: str, mistakes: list[_Mistake]) -> Any:
        if not isinstance(value, list | tuple):
            mistakes.append(_Mistake(path, "input should be a valid tuple"))
            return None
        return tuple(reader(item, f"{path}[{index}]", mistakes) for index, item in enumerate(value))

    return read


def _dict(reader: _Reader) -> _Reader:
    def read(value: Any, path: str, mistakes: list[_Mistake]) -> Any:
        if not isinstance(value, Mapping):
            mistakes.append(_Mistake(path, "input should be a valid dictionary"))
            return None
        return {key: reader(item, f"{path}.{key}", mistakes) for key, item in value.items()}

    return read


def _bounded(parse: Callable[[Any], Any], bounds: tuple[Bound, ...]) -> Callable[[Any], Any]:
    def within(value: Any) -> Any:
        number = parse(value)
        for bound in bounds:
            if not bound.holds(number):
                raise _Wrong(f"should be {bound.says}")
        return number

    return within


def _word(words: tuple[str, ...]) -> Callable[[Any], Any]:
    *most, last = map(repr, words)

    def one(value: Any) -> Any:
        if value not in words:
            raise _Wrong(f"should be {', '.join(most)} or {last}")
        return value

    return one


def _int(value: Any) -> int:
    if isinstance(value, str):
        return _parsed(int, value, "a valid integer, unable to parse string as an integer")
    if isinstance(value, float) and not value.is_integer():
        raise _Wrong("should be a valid integer, got a number with a fractional part")
    if not isinstance(value, int | float):
        raise _Wrong("should be a valid integer")
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, str):
        return _parsed(float, value, "a valid number, unable to parse string as a number")
    if not isinstance(value, int | float):
        raise _Wrong("should be a valid number")
    return float(value)


def _parsed(parse: Callable[[str], T], text: str, wanted: str) -> T:
    try:
        return parse(text)
    except ValueError:
        raise _Wrong(f"should be {wanted}") from None


_TRUTH: Final = dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True) | dict.fromkeys(
    ("0", "false", "f", "no", "n", "off"), False
)


def _bool(value: Any) -> bool:
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    if not isinstance(value, str | int):
        raise _Wrong("should be a valid boolean")
    found = _TRUTH.get(str(value).lower())
    if found is None:
        raise _Wrong("should be a valid boolean, unable to interpret input")
    return found


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong("should be a valid string")
    return value


def _secret(value: Any) -> Secret:
    return value if isinstance(value, Secret) else Secret(_str(value))


def _path(value: Any) -> Path:
    if not isinstance(value, str | Path):
        raise _Wrong("is not a valid path")
    return Path(value)


_LEAVES: Final[dict[Any, Callable[[Any], Any]]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    Secret: _secret,
    Path: _path,
    Any: lambda value: value,
}
