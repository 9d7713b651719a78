"""What the operator wrote, held to the sections by Pydantic: a TOML file, and the environment, which wins.

An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from adapter.errors import ConfigError
from adapter.hints import hint
from adapter.sections import ENV_PREFIX, Settings, in_environment

_NO_TABLE: Final = "written"
_ACCESS: Final = ("keys", "groups", "keys_file")
_KINDS: Final = get_type_hints(Settings)
_TABLES: Final[dict[str, Any]] = {f.name: (_KINDS[f.name], f.default) for f in fields(Settings) if f.name != _NO_TABLE}
"""Key of the configuration -> its type and its default."""


def read(path: Path | None = None) -> Settings:
    """What the file at `path` and the environment say, each key of its type.

    Raises:
        ConfigError: one line that names the key and what would be taken.
    """
    return held(_table(path) if path else {})


def held(table: Mapping[str, Any]) -> Settings:
    """As `read`, with what a file would hold."""
    _check_environment()
    return _held(_with_environment(table, _TABLES))


def read_access(path: Path) -> Settings:
    """What the file at `path` and the environment say of keys and groups. The rest is not looked at: a key may be what is
    missing to make it a good one.

    Raises:
        ConfigError: the file cannot be read, or these parts of it are none.
    """
    written = {name: value for name, value in _table(path).items() if name in _ACCESS}
    return _held(_with_environment(written, {name: _TABLES[name] for name in _ACCESS}))


def _with_environment(table: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    """What `table` says, under what the environment says of `tables`."""
    said = _saying(table)
    if in_environment(os.environ):
        from adapter.environment import environment  # 4 % of a start for which a file says everything

        said = _over(said, _saying(environment(tables)))
    return said


class _Written(BaseModel):
    """The keys of a configuration that say something: the others need no schema."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


def _held(said: Mapping[str, Any]) -> Settings:
    known = create_model("_Known", __base__=_Written, **{name: _TABLES[name] for name in said if name in _TABLES})
    try:
        found = known.model_validate(said)
    except ValidationError as refused:
        raise ConfigError(_one_line(refused)) from None
    return Settings(**{name: getattr(found, name) for name in said}, written=frozenset(said))


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both; `above` wins, key by key of their tables."""
    both = dict(below)
    for name, value in above.items():
        there = both.get(name)
        both[name] = _over(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return both


def _saying(table: Mapping[str, Any]) -> dict[str, Any]:
    """Without the sections that are empty: those say nothing."""
    return {name: value for name, value in table.items() if value != {} or name not in _TABLES}


def _table(path: Path) -> dict[str, Any]:
    import tomllib  # 1 % of a start that reads no file

    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # Windows' editors begin it with a mark
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as refused:
        raise ConfigError(f"{path}: {refused.strerror}") from None
    except (ValueError, RecursionError) as refused:  # no TOML, no UTF-8, a number without end, too deep
        raise ConfigError(f"{path}: {refused}") from None


def _check_environment() -> None:
    """A nested variable whose section does not exist would be ignored by the loader: it is an error here."""
    for name in os.environ:
        if name.upper().startswith(ENV_PREFIX) and "__" in name:
            section = name[len(ENV_PREFIX) :].split("__")[0].lower()
            if section not in _TABLES:
                raise ConfigError(f"environment variable {name}: unknown section{hint(section, _TABLES)}")


_SHAPES: Final = {
    "tuple_type": "must be an array: […], or [[…]] above each table",
    "dict_type": "must be a table",
    "dataclass_type": "must be a table",
    "path_type": "must be the path of a file",
    "too_short": "an empty list allows nothing; leave it out for what is usual",
}
"""What is meant, in the words of TOML."""
_UNKNOWN: Final = ("extra_forbidden", "unexpected_keyword_argument")


def _one_line(refused: ValidationError) -> str:
    # a misspelt key comes before the required one that it leaves missing
    errors = sorted(refused.errors(include_url=False, include_input=False), key=lambda e: e["type"] not in _UNKNOWN)
    first, *others = errors
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    text = _SHAPES.get(first["type"]) or first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] in _UNKNOWN:
        text = f"unknown key{hint(str(first['loc'][-1]), _keys_at(first['loc'][:-1]))}"
    more = f" (and {len(others)} more)" if others else ""
    return f"{path}: {text}{more}"


def _keys_at(path: Sequence[int | str]) -> list[str]:
    """The keys that the table at `path` may have."""
    table: Any = Settings
    for part in path:
        table = get_args(table)[0] if isinstance(part, int) else get_type_hints(table)[part]
    return [f.name for f in fields(table) if f.name != _NO_TABLE]
