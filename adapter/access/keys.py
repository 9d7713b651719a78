"""Keys: a name, a hash, an owner, groups. The secret itself is known to its client only.

Two sources: `[[keys]]` of the configuration, which this program never writes, and `keys.toml` beside it, which `adapter
keys` writes and a running server reads again when it changes. Keys are high in entropy, so one SHA-256 and one look-up in a
dict tell everything: no salt, nothing to compare byte by byte, no timing that says how near a guess was.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any, Final

import orjson

from adapter.errors import ConfigError
from adapter.files import write_whole

SHORTEST: Final = 16
"""Characters of a key that an operator chose: below this it could be guessed."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
_LOOK_EVERY: Final = 1.0
"""Seconds between looks at the file."""
_WRITABLE_BY_OTHERS: Final = 0o022
_MADE: Final = "ak-"
_HEAD: Final = "# Written by `adapter keys`. Hashes only: a lost key cannot be shown again, only rotated.\n"


@dataclass(frozen=True, slots=True)
class Key:
    """One key, without its secret."""

    id: str
    digest: str
    """SHA-256 of the secret, in hex."""
    owner: str
    groups: tuple[str, ...]
    created: str = ""
    previous: str | None = None
    """The digest before the last rotation."""
    previous_until: float = 0
    """Unix seconds until which that one still opens."""


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return sha256(secret.encode()).hexdigest()


def is_digest(text: str) -> bool:
    """Whether this is what `digest_of` gives."""
    return _DIGEST.match(text) is not None


def new_secret() -> str:
    """256 bits; the prefix is one that scanners of repositories, and our own errors, take for a secret."""
    return _MADE + secrets.token_urlsafe(32)


class Keys:
    """The keys of the configuration and of the file, the file's as they are now."""

    def __init__(
        self,
        configured: Sequence[Key],
        file: KeyFile | None,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`clock` gives Unix seconds. `refused` is told when a changed file cannot be read; the keys before the change go on.

        Raises:
            ConfigError: the file cannot be read now.
        """
        self._configured = tuple(configured)
        self._file = file
        self._clock = clock
        self._monotonic = monotonic
        self._refused = refused
        self._look_at = monotonic() + _LOOK_EVERY
        self._state = file.state() if file is not None else None
        self._opening = self._read()
        """By digest, the key that it opens, and until when."""

    def find(self, secret: str) -> Key | None:
        """The key behind a secret, by the file as it was at most a second ago."""
        if self._file is not None and self._monotonic() >= self._look_at:
            self._look(self._file)
        key, until = self._opening.get(digest_of(secret), (None, 0))
        return key if self._clock() < until else None

    def _look(self, file: KeyFile) -> None:
        self._look_at = self._monotonic() + _LOOK_EVERY
        state = file.state()
        if state == self._state:
            return
        self._state = state
        try:
            self._opening = self._read()
        except ConfigError as refused:
            self._refused(str(refused))

    def _read(self) -> dict[str, tuple[Key, float]]:
        keys = all_keys(self._configured, () if self._file is None else self._file.read())
        rotated = {key.previous: (key, key.previous_until) for key in reversed(keys) if key.previous is not None}
        return rotated | {key.digest: (key, inf) for key in keys}


def all_keys(configured: Sequence[Key], filed: Sequence[Key]) -> tuple[Key, ...]:
    """Both sources as one.

    Raises:
        ConfigError: two keys have one id, or one secret.
    """
    keys = (*configured, *filed)
    named, seen = set[str](), dict[str, str]()
    for key in keys:
        if key.id in named:
            raise ConfigError(f"keys: two are named {key.id!r}")
        named.add(key.id)
        if key.digest in seen:
            raise ConfigError(f"keys: {seen[key.digest]!r} and {key.id!r} are the same key")
        seen[key.digest] = key.id
    return keys


class KeyFile:
    """`keys.toml`: written whole, by rename, under a lock, readable by its user only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def state(self) -> tuple[int, int, int] | None:
        """Something that changes when the file does; None without one."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def read(self) -> tuple[Key, ...]:
        """The keys in it; none where there is no file.

        Raises:
            ConfigError: it cannot be read, is no such file, or others may write it.
        """
        import tomllib  # as in `adapter.reading`

        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                table = tomllib.load(file)
        except FileNotFoundError:
            return ()
        except OSError as refused:
            raise ConfigError(f"{self.path}: {refused.strerror}") from None
        except (ValueError, RecursionError) as refused:  # as in `adapter.reading`
            raise ConfigError(f"{self.path}: {refused}") from None
        if mode & _WRITABLE_BY_OTHERS:
            raise ConfigError(f"{self.path}: others may write it; its mode should be 0600")
        entries = table.get("keys", [])
        if set(table) - {"keys"} or not isinstance(entries, list):
            raise ConfigError(f"{self.path}: holds something else than [[keys]]")
        return tuple(self._key(entry) for entry in entries)

    def _key(self, entry: Any) -> Key:
        try:
            key = Key(
                id=entry["id"],
                digest=entry["sha256"],
                owner=entry["owner"],
                groups=tuple(entry["groups"]),
                created=entry.get("created", ""),
                previous=entry.get("previous"),
                previous_until=entry.get("previous_until", 0),
            )
            fits = all(NAME.match(name) for name in (key.id, key.owner, *key.groups))
            fits = fits and is_digest(key.digest) and (key.previous is None or is_digest(key.previous))
            fits = fits and float(key.previous_until) >= 0
        except (TypeError, KeyError, ValueError):
            fits = False
        if not fits:
            raise ConfigError(f"{self.path}: a key needs id, sha256 (64 hex digits), owner and groups")
        return key

    def add(self, key: Key) -> None:
        """Put one in.

        Raises:
            ConfigError: there is one of its name, or the file cannot be written.
        """
        with self._changing() as keys:
            if any(each.id == key.id for each in keys):
                raise ConfigError(f"keys: there is a key {key.id!r} already; rotate it, or choose another id")
            keys.append(key)

    def revoke(self, id: str) -> None:
        """Take one out.

        Raises:
            ConfigError: there is none of this name, or the file cannot be written.
        """
        with self._changing() as keys:
            del keys[self._place(keys, id)]

    def rotate(self, id: str, digest: str, previous_until: float) -> None:
        """Give one another secret; the one before it opens until `previous_until`.

        Raises:
            ConfigError: there is none of this name, or the file cannot be written.
        """
        with self._changing() as keys:
            place = self._place(keys, id)
            old = keys[place]
            keys[place] = replace(old, digest=digest, previous=old.digest, previous_until=previous_until)

    def _place(self, keys: Sequence[Key], id: str) -> int:
        for place, key in enumerate(keys):
            if key.id == id:
                return place
        raise ConfigError(f"{self.path}: there is no key {id!r} in it")

    @contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        """The keys to be changed; written back behind it. One process at a time."""
        try:
            lock = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as refused:
            raise ConfigError(f"{self.path}: {refused.strerror}") from None
        try:
            flock(lock, LOCK_EX)
            keys = list(self.read())
            yield keys
            write_whole(self.path, _HEAD + "".join(map(_written, keys)))
        except OSError as refused:
            raise ConfigError(f"{self.path}: {refused.strerror}") from None
        finally:
            os.close(lock)


def _written(key: Key) -> str:
    values: dict[str, Any] = {
        "id": key.id,
        "sha256": key.digest,
        "owner": key.owner,
        "groups": list(key.groups),
        "created": key.created,
    }
    if key.previous is not None:
        values |= {"previous": key.previous, "previous_until": float(key.previous_until)}
    # names have a grammar, so that JSON's way to write a string or an array is TOML's too
    return "\n[[keys]]\n" + "".join(f"{name} = {orjson.dumps(value).decode()}\n" for name, value in values.items())


def today(seconds: float) -> str:
    """A date, for people."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
