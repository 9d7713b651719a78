"""`adapter keys`, as an operator uses it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapter.access.keys import KeyFile, digest_of
from adapter.cli import main

CONFIG = """
[[upstreams]]
name = "main"
base_url = "http://127.0.0.1:8000/v1"
dialect = "chat"
api_key = "none"

[[groups]]
name = "codex"
upstreams = ["main"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "adapter.toml"
    file.write_text(CONFIG)
    return file


def keys(config: Path, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["keys", *arguments, "--config", str(config)])
    return result.exit_code, result.stdout, result.stderr


def check(config: Path) -> str:
    result = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_a_key_is_made_listed_rotated_and_revoked(config: Path) -> None:
    assert "need no key" in check(config)
    code, secret, told = keys(config, "add", "alice-laptop", "--owner", "alice", "--group", "codex")
    assert (code, "made key 'alice-laptop'" in told, "next start" in told) == (0, True, True)
    assert "next start" not in keys(config, "add", "another", "--owner", "bob", "--group", "codex")[2]
    assert keys(config, "revoke", "another")[0] == 0
    file = KeyFile(config.with_name("keys.toml"))
    assert file.read()[0].digest == digest_of(secret.strip())
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert "need a key; groups: codex (*)" in check(config)

    listed = keys(config, "list")[1]
    assert listed.startswith("alice-laptop ")
    assert secret.strip() not in listed

    code, other, _ = keys(config, "rotate", "alice-laptop", "--overlap", "24")
    assert (code, other == secret) == (0, False)
    assert "the old one opens" in keys(config, "list")[1]

    assert keys(config, "rotate", "alice-laptop")[0] == 0
    assert "the old one opens" not in keys(config, "list")[1]

    assert keys(config, "revoke", "alice-laptop") == (0, "", "adapter: revoked key 'alice-laptop'\n")
    assert keys(config, "list")[1] == ""
    assert "need a key" in check(config), "with the last key revoked nobody gets in, instead of everybody"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "a b", "--owner", "alice", "--group", "codex"], "the id 'a b'"),
        (["add", "a", "--owner", "", "--group", "codex"], "the owner ''"),
        (["add", "a", "--owner", "alice", "--group", "codx"], "did you mean 'codex'"),
        (["add", "a", "--owner", "alice"], "no group 'default'"),
        (["add", "written", "--owner", "alice", "--group", "codex"], "itself has a key"),
        (["revoke", "nobody"], "no key 'nobody'"),
        (["revoke", "written"], "change it there"),
        (["rotate", "written"], "change it there"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(config: Path, arguments: list[str], says: str) -> None:
    config.write_text(CONFIG + f'[[keys]]\nid = "written"\nsha256 = "{"0" * 64}"\nowner = "bob"\ngroups = ["codex"]\n')
    code, out, told = keys(config, *arguments)
    assert (code, out) == (2, "")
    assert says in told
    assert told.count("\n") == 1
    assert keys(config, "list")[1].split() == ["written", "owner", "bob", "groups", "codex", "(configured)"]
    assert not config.with_name("keys.toml").exists() or KeyFile(config.with_name("keys.toml")).read() == ()


@pytest.mark.parametrize("hours", ["inf", "nan"])
def test_an_overlap_without_an_end_is_none_and_leaves_the_keys_as_they_are(config: Path, hours: str) -> None:
    assert keys(config, "add", "a", "--owner", "alice", "--group", "codex")[0] == 0
    before = config.with_name("keys.toml").read_bytes()
    assert keys(config, "rotate", "a", "--overlap", hours)[:2] == (2, "")
    assert config.with_name("keys.toml").read_bytes() == before


def test_a_key_can_be_made_for_a_configuration_that_only_lacks_one(config: Path) -> None:
    config.write_text('[server]\nhost = "0.0.0.0"\n' + CONFIG)
    assert CliRunner().invoke(main, ["check", "--config", str(config)]).exit_code == 2
    assert keys(config, "add", "a", "--owner", "alice", "--group", "codex")[0] == 0
    assert "0.0.0.0" in check(config)


def test_keys_are_kept_where_the_environment_says_too(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the server reads them: a key that is made beside the configuration would open nothing."""
    elsewhere = config.with_name("secrets.toml")
    monkeypatch.setenv("ADAPTER_KEYS_FILE", str(elsewhere))
    assert keys(config, "add", "a", "--owner", "alice", "--group", "codex")[0] == 0
    assert [key.id for key in KeyFile(elsewhere).read()] == ["a"]
    assert not config.with_name("keys.toml").exists()
    assert "need a key" in check(config)
    assert keys(config, "list")[1].startswith("a ")
