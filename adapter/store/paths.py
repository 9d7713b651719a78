"""Where the embedded store lies when the operator did not say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from adapter.errors import ConfigError
from adapter.sections import Settings
from adapter.state import state_directory


def default_path(environ: Mapping[str, str]) -> Path:
    """`store.db` in the user's state directory: `$XDG_STATE_HOME/adapter`, else `~/.local/state/adapter`.

    Raises:
        ConfigError: neither variable is there, as in a bare container.
    """
    state = state_directory(environ)
    if state is None:
        raise ConfigError(
            "store.url: no HOME and no XDG_STATE_HOME to keep the store under; "
            'say where, as "sqlite:////var/lib/adapter/store.db" or "postgresql://user@host/database", or set store.mode = "off"'
        )
    return state / "store.db"


def begins_at_once(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Whether there is a store to look after: the operator wrote of one, or it is an earlier run's.

    Raises:
        ConfigError: as `default_path`.
    """
    return "store" in settings.written or os.path.exists(default_path(environ))
