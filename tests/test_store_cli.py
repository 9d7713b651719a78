"""The store on the command line and at start."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy.exc import OperationalError

from adapter import serving
from adapter.cli import main
from adapter.config import load
from adapter.errors import ConfigError, StoreUnavailable
from adapter.store import paths
from adapter.store.opening import check, opened, why
from tests.configuring import loaded
from tests.store.samples import response, user


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
    settings = loaded(store={"url": f"sqlite:///{tmp_path}/store.db"})

    with pytest.raises(ConfigError, match="damaged"):
        serving.with_store(settings, {})


def test_why_a_store_cannot_be_used_is_told_at_start(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store.db").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "store.db")
    settings = loaded(store={"url": f"sqlite:///{tmp_path}/store.db"})

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
    settings = loaded(store={"url": "postgresql://nobody@127.0.0.1:1/x"})

    assert serving.with_store(settings, {}) is settings
    assert "not available" in capsys.readouterr().err


@pytest.mark.parametrize(("configured", "kept"), [({}, 30 * 86_400), ({"ttl": 60}, 60), ({"ttl": 0}, None)])
async def test_what_is_stored_is_kept_as_long_as_configured(
    tmp_path: Path, configured: dict[str, Any], kept: int | None
) -> None:
    store = opened(loaded(store={"url": f"sqlite:///{tmp_path}/store.db", **configured}).store)
    before = int(time.time())
    await store.save_response("t", response("resp_1"), input=[user("q")])
    await store.close()

    with closing(sqlite3.connect(tmp_path / "store.db")) as database:
        ((expires,),) = database.execute("SELECT expires_at FROM responses").fetchall()
    assert expires is None if kept is None else before + kept <= expires <= time.time() + kept + 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what a process has open is seen under /proc only")
async def test_a_look_at_the_store_lets_go_of_it(tmp_path: Path) -> None:
    """Several workers are children of the process that looked."""
    await check(loaded(store={"url": f"sqlite:///{tmp_path}/store.db"}).store)

    links = [
        os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if Path(f"/proc/self/fd/{fd}").exists()
    ]
    assert [link for link in links if link.startswith(str(tmp_path))] == []


def test_what_the_database_says_is_one_line_without_the_statement() -> None:
    plain, told = StoreUnavailable("gone"), StoreUnavailable("gone")
    told.__cause__ = OperationalError("SELECT 1", {}, OSError("no route\nto host"))

    assert why(plain) == plain.message
    assert why(told) == f"{plain.message} no route to host"


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
