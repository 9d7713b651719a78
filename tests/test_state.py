"""Where the server keeps what it makes by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.state import state_directory


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/var/state", "HOME": "/home/a"}, "/var/state/adapter"),
        ({"XDG_STATE_HOME": "state", "HOME": "/home/a"}, "/home/a/.local/state/adapter"),
        ({"XDG_STATE_HOME": "", "HOME": "/home/a"}, "/home/a/.local/state/adapter"),
        ({"HOME": "/home/a"}, "/home/a/.local/state/adapter"),
        ({"HOME": "a"}, None),
        ({}, None),
    ],
)
def test_it_is_the_users_state_directory_where_there_is_one(environ: dict[str, str], expected: str | None) -> None:
    assert state_directory(environ) == (None if expected is None else Path(expected))
