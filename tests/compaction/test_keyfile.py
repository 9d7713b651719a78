"""The generated sealing key: made once, for its user only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from adapter.compaction.keyfile import load_or_make_key_file
from adapter.config import load
from adapter.errors import ConfigError
from adapter.serving import with_sealing_key
from tests.configuring import loaded


def test_the_first_call_makes_a_private_file_and_later_ones_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "sealing.key"

    made, read = load_or_make_key_file(path), load_or_make_key_file(path)

    assert made == read
    assert made.warning is None
    assert len(made.secret) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["sealing.key"]


def test_of_two_processes_that_make_it_at_once_the_first_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sealing.key"
    first = load_or_make_key_file(path)
    monkeypatch.setattr(Path, "exists", lambda self: False)

    assert load_or_make_key_file(path).secret == first.secret
    assert os.listdir(tmp_path) == ["sealing.key"]


def test_where_nothing_can_be_written_the_key_lives_in_memory_and_the_caller_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    key = load_or_make_key_file(tmp_path / "file" / "sealing.key")

    assert len(key.secret) == 32
    assert key.warning is not None
    assert "memory" in key.warning
    assert repr(key.secret) not in repr(key)


def test_a_file_that_others_can_read_is_used_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "sealing.key"
    made = load_or_make_key_file(path)
    path.chmod(0o644)

    key = load_or_make_key_file(path)

    assert key.secret == made.secret
    assert key.warning is not None
    assert "0600" in key.warning


def test_a_file_with_something_else_in_it_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "sealing.key"
    path.write_text("my notes, é")

    with pytest.raises(ConfigError, match="does not hold a sealing key"):
        load_or_make_key_file(path)
    assert path.read_text() == "my notes, é"


def test_without_a_place_the_key_lives_in_memory_only() -> None:
    made = load_or_make_key_file(None)

    assert "will not survive a restart" in (made.warning or "")


def test_the_server_makes_its_key_before_anything_else_and_takes_the_same_again(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}

    one, other = (with_sealing_key(load(), environ).sealing.keys for _ in range(2))

    assert one == other
    assert len(one) == 1
    assert (tmp_path / "adapter" / "sealing.key").exists()


def test_configured_keys_need_no_file(tmp_path: Path) -> None:
    settings = loaded(sealing={"keys": ["A" * 43 + "="]})

    assert with_sealing_key(settings, {"XDG_STATE_HOME": str(tmp_path)}) is settings
    assert list(tmp_path.iterdir()) == []
