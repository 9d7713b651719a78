"""The configuration: a TOML file and the environment, validated into one immutable snapshot.

The environment wins over the file: `ADAPTER_SERVER__PORT=9000`; an array as one JSON value (`ADAPTER_UPSTREAMS='[…]'`).
Secrets are written as `"$NAME"` and read from the environment. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from adapter.access.keys import KeyFile, all_keys
from adapter.access.sections import (
    EVERYONE,
    GroupSection,
    KeySection,
    LimitsSection,
    LimitStore,
    check_groups,
    check_store,
    checked_keys,
    configured_keys,
    is_loopback,
)
from adapter.errors import ConfigError
from adapter.sections import Compaction as Compaction
from adapter.sections import Metrics as Metrics
from adapter.sections import Sealing as Sealing
from adapter.sections import Server as Server
from adapter.sections import Store as Store
from adapter.sections import Upstream as Upstream
from adapter.tables import Secret, Section, hint, hints, is_text, read

ENV_PREFIX: Final = "ADAPTER_"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_SECRET: Final = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?\Z")


@dataclass(frozen=True, kw_only=True)
class Access(Section):
    """The part of the configuration that is about keys."""

    keys: tuple[KeySection, ...] = ()
    groups: tuple[GroupSection, ...] = ()
    keys_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Settings(Section):
    """The whole configuration."""

    server: Server = field(default_factory=Server)
    compaction: Compaction = field(default_factory=Compaction)
    sealing: Sealing = field(default_factory=Sealing)
    store: Store = field(default_factory=Store)
    upstreams: tuple[Upstream, ...] = ()
    keys: tuple[KeySection, ...] = ()
    groups: tuple[GroupSection, ...] = ()
    limits: LimitStore = field(default_factory=LimitStore)
    metrics: Metrics = field(default_factory=Metrics)
    keys_file: Path | None = None
    """Where `adapter keys` writes; None: `keys.toml` beside the configuration."""

    @property
    def keyed(self) -> bool:
        """Callers must have a key. A `keys.toml` without any keys lets nobody in: the last one was revoked."""
        return bool(self.keys) or (self.keys_file is not None and self.keys_file.exists())

    @property
    def access_groups(self) -> tuple[GroupSection, ...]:
        """The groups there are; without any, the one that reaches everything."""
        return self.groups or (GroupSection(name=EVERYONE),)


def load(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The configuration of `path`, the environment and `overrides` (what the command line says; they win).

    Raises:
        ConfigError: one line that names the key and what would be taken.
    """
    settings = read(Settings, _merged(_read(path) if path else {}, _environment(), overrides or {}))
    settings.compaction.options()
    return _access(
        settings.but(
            sealing=_sealing(settings.sealing),
            store=_store(settings.store),
            upstreams=_checked(settings.upstreams),
            keys=checked_keys([_resolved(section) for section in settings.keys]),
            limits=_resolved_store(settings.limits),
            keys_file=settings.keys_file or (path.parent / "keys.toml" if path is not None else None),
        )
    )


def _access(settings: Settings) -> Settings:
    """That what was said about access holds together."""
    filed = KeyFile(settings.keys_file).read() if settings.keys_file is not None else ()
    keys = all_keys(configured_keys(settings.keys), filed)
    server = settings.server
    check_groups(settings.groups, keys, [upstream.name for upstream in settings.upstreams])
    limited = any(group.limited for group in settings.groups)
    limited = limited or any(key.limits != LimitsSection() for key in settings.keys)
    check_store(settings.limits, server.workers, limited=limited)
    if settings.keyed:
        for upstream in settings.upstreams:
            if upstream.keys is None:
                raise ConfigError(
                    f"upstreams.{upstream.name}.api_key: with [[keys]], callers' keys stay here; "
                    'give the upstream\'s own key, or "none"'
                )
    elif not server.open and not is_loopback(server.host):
        raise ConfigError(
            f"server.host: other machines reach {server.host}, and there are no keys: add some (adapter keys add), "
            "or say --open"
        )
    if settings.metrics.port and (settings.metrics.port, settings.metrics.host) == (server.port, server.host):
        raise ConfigError("metrics.port: is the port that clients use; metrics have a listener of their own")
    return settings


def _resolved(section: KeySection) -> KeySection:
    if section.key is None:
        return section
    value = _secret(f"keys.{section.id}.key", section.key.value)
    return section.but(key=Secret(value))


def _resolved_store(store: LimitStore) -> LimitStore:
    return store.but(storage=Secret(_secret("limits.storage", store.storage.value)))


def keys_place(path: Path) -> tuple[KeyFile, tuple[KeySection, ...], tuple[GroupSection, ...]]:
    """Where the keys of the configuration at `path` are kept, and what it says itself of keys and groups. The rest is not
    looked at: a key may be what is missing to make it a good one.

    Raises:
        ConfigError: the file cannot be read, or these parts of it are none.
    """
    table = _read(path)
    part = read(Access, {name: table[name] for name in hints(Access) if name in table})
    return KeyFile(part.keys_file or path.parent / "keys.toml"), part.keys, part.groups


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as refused:
        raise ConfigError(f"{path}: {refused.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as refused:
        raise ConfigError(f"{path}: {refused}") from None


def _merged(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """The later ones over the earlier ones, key by key; an array replaces."""
    merged: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            below = merged.get(key)
            nested = isinstance(below, Mapping) and isinstance(value, Mapping)
            merged[key] = _merged(below or {}, value) if nested else value
    return merged


def _environment() -> dict[str, Any]:
    """What the environment says, as a table. Other programs' variables may begin like ours: one that names no section is
    an error only if it is written as nested."""
    found: dict[str, Any] = {}
    for name, value in sorted(os.environ.items(), key=lambda variable: variable[0].count("__")):
        if not name.upper().startswith(ENV_PREFIX):
            continue
        path = name[len(ENV_PREFIX) :].lower().split("__")
        if path[0] in hints(Settings):
            said: Any = value if is_text(Settings, path) else _json(name, value)
            for key in reversed(path):
                said = {key: said}
            found = _merged(found, said)
        elif len(path) > 1:
            raise ConfigError(f"environment variable {name}: unknown section{hint(path[0], Settings)}")
    return found


def _json(name: str, value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise ConfigError(f"environment variable {name}: must be JSON") from None


def _checked(upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
    names = [upstream.name for upstream in upstreams]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"upstreams: two are named {name!r}")
    return tuple(_checked_upstream(upstream) for upstream in upstreams)


def _checked_upstream(upstream: Upstream) -> Upstream:
    where = f"upstreams.{upstream.name}"
    if _NAME.match(upstream.name) is None:
        raise ConfigError(f"upstreams: the name {upstream.name!r} must be letters, digits, '.', '_' or '-'")
    try:
        upstream.resolved_profile()
    except ConfigError as refused:
        raise ConfigError(f"{where}: {refused}") from None
    if upstream.dialect == "chat" and upstream.compact in ("compaction", "trigger"):
        raise ConfigError(f"{where}.compact: a {upstream.compact} blob is read by upstreams that speak responses only")
    if upstream.api_key is not None and upstream.api_keys:
        raise ConfigError(f"{where}: give api_key or api_keys, one of them")
    several = tuple(_own_key(where, key) for key in upstream.api_keys)
    if len({key.value for key in several}) < len(several):
        raise ConfigError(f"{where}.api_keys: the same key twice")
    return upstream.but(
        base_url=_base_url(where, upstream.base_url), api_key=_key(where, upstream.api_key), api_keys=several
    )


def _base_url(where: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        port_is_one = parts.port != 0  # the property raises for what is no port
    except ValueError:
        raise ConfigError(f"{where}.base_url: not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_one:
        raise ConfigError(f"{where}.base_url: must begin with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"{where}.base_url: no user, query or fragment belongs here; the key is api_key")
    url = url.rstrip("/")
    for tail in ("/responses", "/chat/completions"):
        if url.endswith(tail):
            raise ConfigError(f"{where}.base_url: ends where {tail} begins, so leave that off")
    return url


def _own_key(where: str, key: Secret) -> Secret:
    found = _key(where, key)
    if found is None or not found.value:
        raise ConfigError(f'{where}.api_keys: each is a key of its own; "client" and "none" belong to api_key')
    return found


def _key(where: str, key: Secret | None) -> Secret | None:
    value = None if key is None else key.value
    if value is None or value == "client":
        return None
    if value == "none":
        return Secret("")
    value = _secret(f"{where}.api_key", value)
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{where}.api_key: not a key (empty, or with characters that no header may carry)")
    return Secret(value)


def _secret(where: str, value: str) -> str:
    """`value`, or what the environment holds for `$NAME`."""
    named = _SECRET.match(value)
    if named is None:
        return value
    found = os.environ.get(named[1], "")
    if not found:
        raise ConfigError(f"{where}: environment variable {named[1]} is not set")
    return found


def _sealing(sealing: Sealing) -> Sealing:
    keys = tuple(Secret(_secret("sealing.keys", key.value)) for key in sealing.keys)
    checked = sealing.but(keys=keys)
    checked.ring()
    return checked


def _store(store: Store) -> Store:
    if store.url is None:
        return store
    return store.but(url=Secret(_secret("store.url", store.url.value)))
