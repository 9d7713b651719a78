"""The sections of the configuration about access, as they are written: `[[keys]]`, `[[groups]]`, `[limits]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

from adapter.access.groups import Group, globs
from adapter.access.keys import NAME, SHORTEST, Key, digest_of, is_digest
from adapter.access.limits import NO_LIMITS, Limits
from adapter.access.shared import SCHEMES
from adapter.errors import ConfigError
from adapter.hints import hint
from adapter.kinds import Secret, Section

EVERYONE = "default"
"""The group of keys that name none; without any `[[groups]]` it reaches everything."""


@dataclass(frozen=True, slots=True)
class KeySection(Section):
    """One of `[[keys]]`: what a caller is known by."""

    id: str
    """A name for logs and limits; never the key."""
    owner: str
    """Whose data, limits and stored responses these are: the tenant."""
    key: Secret | None = None
    """`"$NAME"`, read from the environment, or `"file:PATH"`; or `sha256`."""
    sha256: str | None = None
    """The key's hash in hex, where the key itself is not to be here."""
    groups: tuple[str, ...] = (EVERYONE,)
    """What it may reach."""
    limits: Limits = NO_LIMITS
    """Of this key."""


_MEMORY: Final = Secret("memory")


@dataclass(frozen=True, slots=True)
class LimitStore(Section):
    """`[limits]`: where limits are counted."""

    storage: Secret = _MEMORY
    """`memory`: in each process; `redis://…`: in one place for all workers and machines."""
    unavailable: Literal["refuse", "allow"] = "refuse"
    """What happens to requests while that place does not answer."""

    @property
    def url(self) -> str | None:
        """None: memory."""
        found = self.storage.get_secret_value()
        return None if found == "memory" else found


def checked_keys(sections: Sequence[KeySection]) -> tuple[KeySection, ...]:
    """The configured keys, their secrets hashed and gone.

    Raises:
        ConfigError: a name, a secret or a hash is none.
    """
    return tuple(_checked_key(section) for section in sections)


def _checked_key(section: KeySection) -> KeySection:
    where = f"keys.{section.id}"
    _check_name("keys: the id", section.id)
    _check_name(f"{where}.owner: the name", section.owner)
    if (section.key is None) == (section.sha256 is None):
        raise ConfigError(f"{where}: give key or sha256, one of them")
    if section.sha256 is not None:
        if not is_digest(section.sha256):
            raise ConfigError(f"{where}.sha256: must be 64 lower-case hex digits")
        return section
    assert section.key is not None
    secret = section.key.get_secret_value()
    if len(secret) < SHORTEST or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigError(f"{where}.key: at least {SHORTEST} printable characters without spaces")
    return replace(section, key=None, sha256=digest_of(secret))


def configured_keys(sections: Sequence[KeySection]) -> tuple[Key, ...]:
    """The keys of checked sections."""
    return tuple(
        Key(section.id, section.sha256, section.owner, section.groups)
        for section in sections
        if section.sha256 is not None
    )


def check_groups(groups: Sequence[Group], keys: Sequence[Key], upstreams: Sequence[str]) -> None:
    """That names mean something.

    Raises:
        ConfigError: they do not.
    """
    names = [group.name for group in groups]
    for group in groups:
        where = f"groups.{group.name}"
        _check_name("groups: the name", group.name)
        if names.count(group.name) > 1:
            raise ConfigError(f"groups: two are named {group.name!r}")
        for pattern in group.upstreams:
            if not any(map(globs((pattern,)).match, upstreams)):
                raise ConfigError(f"{where}.upstreams: {pattern!r} is no upstream{hint(pattern, upstreams)}")
    known = names or [EVERYONE]
    for key in keys:
        if not key.groups:
            raise ConfigError(f"keys.{key.id}.groups: a key of no group reaches nothing")
        for name in key.groups:
            if name not in known:
                raise ConfigError(f"keys.{key.id}.groups: there is no group {name!r}{hint(name, known)}")


def check_store(store: LimitStore, workers: int, *, limited: bool) -> None:
    """That limits can be counted.

    Raises:
        ConfigError: they cannot, or each worker would count for itself.
    """
    if store.url is None:
        if limited and workers > 1:
            raise ConfigError(
                f"limits.storage: {workers} workers would each count for themselves; name a redis:// URL, or use one worker"
            )
        return
    try:
        parts = urlsplit(store.url)
        is_one = parts.scheme in SCHEMES and bool(parts.hostname or parts.path)
    except ValueError:
        is_one = False
    if not is_one:
        raise ConfigError(f"limits.storage: must be 'memory' or a URL that begins with {'://, '.join(SCHEMES)}://")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a listener there."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _check_name(what: str, name: str) -> None:
    if NAME.match(name) is None:
        raise ConfigError(f"{what} {name!r} must be letters, digits, '.', '_', '@' or '-'")
