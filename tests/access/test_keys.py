"""Keys: found by their hash, kept without their secret, read again when the file changes."""

from __future__ import annotations

import os
import stat
from multiprocessing import get_context
from pathlib import Path

import pytest

from adapter.access.keys import Key, KeyFile, Keys, all_keys, digest_of, new_secret
from adapter.errors import ConfigError

SECRET = "ak-" + "s" * 40


def key(id: str = "a", secret: str = SECRET, owner: str = "alice", **more: object) -> Key:
    return Key(id, digest_of(secret), owner, ("default",), **more)  # type: ignore[arg-type]


def test_a_secret_finds_its_key_and_nothing_else_does() -> None:
    keys = Keys([key()], None, clock=lambda: 0, monotonic=lambda: 0)
    found = keys.find(SECRET)
    assert found is not None
    assert found.id == "a"
    assert [keys.find(guess) for guess in ("", SECRET[:-1], SECRET + "s", digest_of(SECRET))] == [None] * 4


def test_new_secrets_are_long_and_never_the_same() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
    assert all(len(new_secret()) >= 43 for _ in range(10))


def test_the_file_holds_hashes_only_and_is_its_users_alone(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.toml")
    made = key(created="2026-11-26")
    file.add(made)
    text = file.path.read_text()
    assert SECRET not in text
    assert digest_of(SECRET) in text
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.read() == (made,)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".keys.toml.lock", "keys.toml"]


def test_a_rotated_key_opens_until_its_overlap_ends(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.toml")
    file.add(key())
    other = new_secret()
    file.rotate("a", digest_of(other), previous_until=100)
    now = [50.0]
    keys = Keys((), file, clock=lambda: now[0], monotonic=lambda: 0)
    assert [keys.find(secret) is not None for secret in (SECRET, other)] == [True, True]
    now[0] = 100
    assert [keys.find(secret) is not None for secret in (SECRET, other)] == [False, True]


def test_a_running_server_takes_changes_within_a_second(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.toml")
    now = [0.0]
    told: list[str] = []
    keys = Keys([], file, clock=lambda: 0, monotonic=lambda: now[0], refused=told.append)
    file.add(key())
    assert keys.find(SECRET) is None
    now[0] += 1
    assert keys.find(SECRET) is not None
    file.path.write_text("[[keys]]\nid = 1\n")
    now[0] += 1
    assert keys.find(SECRET) is not None, "what cannot be read changes nothing"
    now[0] += 1
    assert keys.find(SECRET) is not None
    assert len(told) == 1, "once, not with every look"
    file.path.write_text("")
    now[0] += 1
    assert keys.find(SECRET) is None
    file.path.unlink()
    now[0] += 1
    assert keys.find(SECRET) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[keys]\n", "keys.toml"),
        ("# \xfc\n", "keys.toml"),
        (f"[[keys]]\nprevious_until = {'1' * 5000}\n", "keys.toml"),
        ("keys = " + "[" * 9000, "keys.toml"),
        ("keys = ['a']\n", "needs id, sha256"),
        ("[[keyz]]\nid = 'a'\n", "something else"),
        ("keys = 3\n", "something else"),
        ("[[keys]]\nid = 'a'\n", "needs id, sha256"),
        ("[[keys]]\nid = 'a'\nsha256 = 'ff'\nowner = 'o'\ngroups = []\n", "needs id, sha256"),
        (f"[[keys]]\nid = 'a b'\nsha256 = '{'0' * 64}'\nowner = 'o'\ngroups = []\n", "needs id, sha256"),
        (f"[[keys]]\nid = 'a'\nsha256 = '{'0' * 64}'\nowner = 'o o'\ngroups = []\n", "needs id, sha256"),
        (f"[[keys]]\nid = 'a'\nsha256 = '{'0' * 64}'\nowner = 'o'\ngroups = [1]\n", "needs id, sha256"),
        (f"[[keys]]\nid = 'a'\nsha256 = '{'0' * 64}'\nowner = 'o'\ngroups = []\nprevious = []\n", "needs id, sha256"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=says) as refused:
        KeyFile(path).read()
    assert "\n" not in str(refused.value).strip()


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text("")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="0600"):
        KeyFile(path).read()


def test_a_place_where_no_file_can_be_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "keys.toml").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        KeyFile(tmp_path / "keys.toml").read()
    with pytest.raises(ConfigError, match="No such file"):
        KeyFile(tmp_path / "gone" / "keys.toml").add(key())


def test_two_keys_of_one_name_or_one_secret_are_refused(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.toml")
    file.add(key())
    with pytest.raises(ConfigError, match="already"):
        file.add(key(secret=new_secret()))
    for twin, says in ((key(secret=new_secret()), "two are named"), (key(id="b"), "same key")):
        with pytest.raises(ConfigError, match=says):
            Keys([twin], file, clock=lambda: 0, monotonic=lambda: 0)
    for missing in (lambda: file.revoke("z"), lambda: file.rotate("z", "0" * 64, 0)):
        with pytest.raises(ConfigError, match="no key 'z'"):
            missing()


def test_a_key_is_not_compared_with_all_others() -> None:
    """Ten thousand of them kept a server from answering for a second, each time that they were read."""
    compared: list[str] = []

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            compared.append(self)
            return str.__eq__(self, other)

    keys = [key(id=Name(f"k{number}"), secret=f"{SECRET}{number}") for number in range(300)]
    assert len(all_keys(keys, ())) == 300
    assert len(compared) < 300


def _add(path: Path, number: int) -> None:
    KeyFile(path).add(key(id=f"k{number}", secret=f"{SECRET}{number}"))


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    workers = [get_context("fork").Process(target=_add, args=(path, number)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert {found.id for found in KeyFile(path).read()} == {f"k{number}" for number in range(6)}
    assert not [name for name in os.listdir(tmp_path) if str(os.getpid()) in name]
