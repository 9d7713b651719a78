"""The store on the command line and at start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapter import serving
from adapter.cli import main
from adapter.config import load
from adapter.errors import ConfigError
from adapter.store import paths


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_stats_and_purge(tmp_path: Path) -> None:
    config = write(tmp_path / "a.toml", f'[store]\nurl = "sqlite:///{tmp_path}/store.db"\n')

    stats = CliRunner().invoke(main, ["store", "stats", "--config", config])
    purge = CliRunner().invoke(main, ["store", "purge", "--config", config])

    assert (stats.exit_code, purge.exit_code) == (0, 0)
    assert "backend    sqlite" in stats.output
    assert purge.output == "removed 0 responses and 0 chat completions\n"


def test_a_store_that_cannot_be_looked_at(tmp_path: Path) -> None:
    for text, code, says in (
        ('[store]\nmode = "off"\n', 2, "nothing is stored"),
        ('[store]\nurl = "mysql://x"\n', 2, "'mysql' is not supported"),
        ('[store]\nurl = "$NO_SUCH_VARIABLE"\n', 2, "NO_SUCH_VARIABLE is not set"),
        ('[store]\nurl = "postgresql://nobody@127.0.0.1:1/x"\n', 1, "(gone). [Errno 111] Connect call failed"),
        (f'[store]\nurl = "sqlite:///{tmp_path}"\n', 2, "is a directory; name a file in it"),
        ('[store]\nmode = "sometimes"\n', 2, "store.mode"),
        ("[store]\nttl = -1\n", 2, "store.ttl"),
        ('[store]\npath = "x"\n', 2, "store.path: unknown key"),
    ):
        told = CliRunner().invoke(main, ["store", "stats", "--config", write(tmp_path / "a.toml", text)])
        assert (told.exit_code, told.output.count("\n")) == (code, 1)
        assert says in told.output


def test_a_damaged_store_is_found_before_serving(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database " * 1000)
    settings = load(None, {"store": {"url": f"sqlite:///{tmp_path}/store.db"}})

    with pytest.raises(ConfigError, match="damaged"):
        serving.with_store(settings, {})


def test_why_a_store_cannot_be_used_is_told_at_start(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store.db").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "store.db")
    settings = load(None, {"store": {"url": f"sqlite:///{tmp_path}/store.db"}})

    assert serving.with_store(settings, {}) is settings

    assert capsys.readouterr().err.endswith(f"(gone). [Errno 13] Permission denied: '{tmp_path}/store.db'\n")


def test_without_a_place_for_the_default_nothing_is_stored(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for environ in ({}, {"HOME": "/proc/nowhere"}):
        assert serving.with_store(load(None), environ).store.mode == "off"
        assert "nothing is stored" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"store\.url"):
        paths.default_path({})


def test_the_default_store_is_not_made_before_something_is_stored(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert serving.with_store(load(None), environ).store.mode == "client"
    assert list((tmp_path / "adapter").iterdir()) == []


def test_the_default_store_of_an_earlier_run_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "store.db").write_bytes(b"no database " * 1000)

    with pytest.raises(ConfigError, match="damaged"):
        serving.with_store(load(None), {"XDG_STATE_HOME": str(tmp_path)})


def test_a_database_that_is_away_at_start_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    settings = load(None, {"store": {"url": "postgresql://nobody@127.0.0.1:1/x"}})

    assert serving.with_store(settings, {}) is settings
    assert "not available" in capsys.readouterr().err


def test_check_says_what_is_kept(tmp_path: Path) -> None:
    upstream = '[[upstreams]]\nname = "a"\nbase_url = "http://x/v1"\ndialect = "chat"\n'
    for text, says in (
        ("", "stores what clients ask for in a SQLite file in the state directory, for 2592000 s"),
        ('[store]\nurl = ""\n', "stores what clients ask for in a SQLite file in the state directory, for 2592000 s"),
        ('[store]\nmode = "off"\n', "nothing is stored"),
        ('[store]\nmode = "always"\nttl = 0\nurl = "postgresql://h/d"\n', "stores every answer in store.url, for ever"),
    ):
        told = CliRunner().invoke(main, ["check", "--config", write(tmp_path / "a.toml", text + upstream)])
        assert says in told.output
