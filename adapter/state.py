"""Where this server keeps what it makes by itself: the user's state directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def state_directory(environ: Mapping[str, str]) -> Path | None:
    """`$XDG_STATE_HOME/adapter`, else `~/.local/state/adapter`; None where neither variable is there, as in a bare
    container."""
    state = environ.get("XDG_STATE_HOME", "")
    if Path(state).is_absolute():  # the base directory specification: relative paths are to be ignored
        return Path(state) / "adapter"
    home = environ.get("HOME", "")
    return Path(home) / ".local" / "state" / "adapter" if Path(home).is_absolute() else None
