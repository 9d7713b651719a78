"""The configuration: a TOML file and the environment, validated into one immutable snapshot.

The environment wins over the file: `ADAPTER_SERVER__PORT=9000`; an array as one JSON value (`ADAPTER_UPSTREAMS='[…]'`).
Secrets are written as `"$NAME"` and read from the environment. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from adapter.access.keys import KeyFile, all_keys
from adapter.access.sections import (
    EVERYONE,
    GroupSection,
    KeySection,
    LimitsSection,
    LimitStore,
    Section,
    check_groups,
    check_store,
    checked_keys,
    configured_keys,
    is_loopback,
)
from adapter.codex import Codex
from adapter.errors import ConfigError
from adapter.hints import hint
from adapter.sections import Compaction as Compaction
from adapter.sections import Metrics as Metrics
from adapter.sections import Sealing as Sealing
from adapter.sections import Server as Server
from adapter.sections import Store as Store
from adapter.sections import Upstream as Upstream

ENV_PREFIX: Final = "ADAPTER_"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_SECRET: Final = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?\Z")


class Access(Section):
    """The part of the configuration that is about keys."""

    keys: tuple[KeySection, ...] = ()
    groups: tuple[GroupSection, ...] = ()
    keys_file: Path | None = None


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
    )
    server: Server = Server()
    compaction: Compaction = Compaction()
    sealing: Sealing = Sealing()
    store: Store = Store()
    upstreams: tuple[Upstream, ...] = ()
    keys: tuple[KeySection, ...] = ()
    groups: tuple[GroupSection, ...] = ()
    limits: LimitStore = LimitStore()
    metrics: Metrics = Metrics()
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

    file: ClassVar[dict[str, Any]] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line, then the environment, then the file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, cls.file)


def load(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The configuration of `path`, the environment and `overrides` (what the command line says; they win).

    Raises:
        ConfigError: one line that names the key and what would be taken.
    """
    _check_environment()
    loaded = type("FileSettings", (Settings,), {"file": _read(path) if path else {}, "__annotations__": {}})
    try:
        settings: Settings = loaded(**(overrides or {}))
    except ValidationError as refused:
        raise ConfigError(_one_line(refused)) from None
    except SettingsError as refused:
        said = str(refused).partition(" from source ")[0]
        raise ConfigError(f"environment: {said}: arrays and tables are written as JSON there") from None
    if settings.keys_file is not None and not settings.keys_file.exists():  # nobody would be asked for a key
        raise ConfigError(f"keys_file: {settings.keys_file} is not there; `adapter keys add` makes it")
    # of the plain class, so that it can be handed to worker processes
    settings.compaction.options()
    return _access(
        Settings.model_construct(
            server=settings.server,
            compaction=settings.compaction,
            sealing=_sealing(settings.sealing),
            store=_store(settings.store),
            upstreams=_checked(settings.upstreams),
            keys=checked_keys([_resolved(section) for section in settings.keys]),
            groups=settings.groups,
            limits=_resolved_store(settings.limits),
            metrics=settings.metrics,
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
    value = _secret(f"keys.{section.id}.key", section.key.get_secret_value())
    return section.model_copy(update={"key": SecretStr(value)})


def _resolved_store(store: LimitStore) -> LimitStore:
    return store.model_copy(update={"storage": SecretStr(_secret("limits.storage", store.storage.get_secret_value()))})


def keys_place(path: Path) -> tuple[KeyFile, tuple[KeySection, ...], tuple[GroupSection, ...]]:
    """Where the keys of the configuration at `path` are kept, and what it says itself of keys and groups. The rest is not
    looked at: a key may be what is missing to make it a good one.

    Raises:
        ConfigError: the file cannot be read, or these parts of it are none.
    """
    table = _read(path)
    try:
        part = Access(**{name: table[name] for name in Access.model_fields if name in table})
    except ValidationError as refused:
        raise ConfigError(_one_line(refused)) from None
    return KeyFile(part.keys_file or path.parent / "keys.toml"), part.keys, part.groups


def _read(path: Path) -> dict[str, Any]:
    import tomllib  # 1 % of a start that reads no file

    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # Windows' editors begin it with a mark
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as refused:
        raise ConfigError(f"{path}: {refused.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as refused:
        raise ConfigError(f"{path}: {refused}") from None


def _check_environment() -> None:
    """A nested variable whose section does not exist would be ignored by the loader: it is an error here."""
    for name in os.environ:
        if name.upper().startswith(ENV_PREFIX) and "__" in name:
            section = name[len(ENV_PREFIX) :].split("__")[0].lower()
            if section not in Settings.model_fields:
                raise ConfigError(f"environment variable {name}: unknown section{hint(section, Settings.model_fields)}")


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
    if len({key.get_secret_value() for key in several}) < len(several):
        raise ConfigError(f"{where}.api_keys: the same key twice")
    return upstream.model_copy(
        update={
            "base_url": checked_url(f"{where}.base_url", upstream.base_url, "api_key"),
            "api_key": _key(where, upstream.api_key),
            "api_keys": several,
        }
    )


def checked_url(where: str, url: str, key: str) -> str:
    """The base URL of a server without a slash at its end.

    Raises:
        ConfigError: it is none. `where` says what was read, `key` where a key would belong.
    """
    try:
        parts = urlsplit(url)
        port_is_one = parts.port != 0  # the property raises for what is no port
    except ValueError:
        raise ConfigError(f"{where}: not a URL") from None
    if " " in url or not url.isprintable():  # which the parser drops
        raise ConfigError(f"{where}: holds a blank or a line break")
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_one:
        raise ConfigError(f"{where}: must begin with http:// or https:// and name a host")
    if parts.username or parts.password or "?" in url or "#" in url:
        raise ConfigError(f"{where}: no user, query or fragment belongs here; the key belongs in {key}")
    url = url.rstrip("/")
    for tail in ("/responses", "/chat/completions"):
        if url.endswith(tail):
            raise ConfigError(f"{where}: ends where {tail} begins, so leave that off")
    return url


def _own_key(where: str, key: SecretStr) -> SecretStr:
    found = _key(where, key)
    if found is None or not found.get_secret_value():
        raise ConfigError(f'{where}.api_keys: each is a key of its own; "client" and "none" belong to api_key')
    return found


def _key(where: str, key: SecretStr | None) -> SecretStr | None:
    value = None if key is None else key.get_secret_value()
    if value is None or value == "client":
        return None
    if value == "none":
        return SecretStr("")
    value = _secret(f"{where}.api_key", value)
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{where}.api_key: not a key (empty, or with characters that no header may carry)")
    return SecretStr(value)


def _secret(where: str, value: str) -> str:
    """`value`, or what the environment holds for `$NAME`."""
    named = _SECRET.match(value)
    if named is None:
        return value
    found = os.environ.get(named[1])
    if not found:
        raise ConfigError(f"{where}: environment variable {named[1]} is not set")
    return found


def _sealing(sealing: Sealing) -> Sealing:
    keys = tuple(SecretStr(_secret("sealing.keys", key.get_secret_value())) for key in sealing.keys)
    checked = sealing.model_copy(update={"keys": keys})
    checked.ring()
    return checked


def _store(store: Store) -> Store:
    """An empty URL is none: so a variable of the environment is unset."""
    if store.url is None:
        return store
    url = _secret("store.url", store.url.get_secret_value())
    return store.model_copy(update={"url": SecretStr(url) if url else None})


_SHAPES: Final = {
    "tuple_type": "must be an array: […], or [[…]] above each table",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "path_type": "must be the path of a file",
    "too_short": "an empty list allows nothing; leave it out for what is usual",
}
"""What is meant, in the words of TOML."""


def _one_line(refused: ValidationError) -> str:
    # a misspelt key comes before the required one that it leaves missing
    errors = sorted(
        refused.errors(include_url=False, include_input=False), key=lambda e: e["type"] != "extra_forbidden"
    )
    first, *others = errors
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    text = f"unknown key{hint(str(first['loc'][-1]), _model_at(first['loc'][:-1]).model_fields)}"
    if first["type"] != "extra_forbidden":
        text = _SHAPES.get(first["type"]) or first["msg"][:1].lower() + first["msg"][1:]
    more = f" (and {len(others)} more)" if others else ""
    return f"{path}: {text}{more}"


def _model_at(path: tuple[int | str, ...]) -> type[BaseModel]:
    sections: dict[str, type[BaseModel]] = {
        "server": Server,
        "compaction": Compaction,
        "sealing": Sealing,
        "store": Store,
        "upstreams": Upstream,
        "keys": KeySection,
        "groups": GroupSection,
        "limits": LimitStore,
        "metrics": Metrics,
    }
    if "codex" in path:
        return Codex
    if path and str(path[-1]).endswith("limits") and len(path) > 1:
        return LimitsSection
    return sections.get(str(path[0]), Settings) if path else Settings
