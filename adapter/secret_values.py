"""Secrets as operators write them: `"$NAME"`, which the environment holds, or `"file:PATH"`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from adapter.errors import ConfigError

_VARIABLE: Final = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?\Z")
_FILE: Final = "file:"


def secret(where: str, value: str) -> str:
    """`value`, what the environment holds for `$NAME`, or what stands in the file of `file:PATH`, but for the end of its line.

    Raises:
        ConfigError: there is no such variable or file, or nothing in it. `where` says what was read.
    """
    if value.startswith(_FILE):
        return _filed(where, Path(value.removeprefix(_FILE)))
    named = _VARIABLE.match(value)
    if named is None:
        return value
    found = os.environ.get(named[1])
    if not found:
        raise ConfigError(f"{where}: environment variable {named[1]} is not set")
    return found


def _filed(where: str, path: Path) -> str:
    try:
        found = path.read_text("utf-8").rstrip("\r\n")
    except OSError as refused:
        raise ConfigError(f"{where}: {path}: {refused.strerror}") from None
    except ValueError:  # also of a path that can be none
        raise ConfigError(f"{where}: {path}: no text") from None
    if not found:
        raise ConfigError(f"{where}: {path}: is empty")
    return found
