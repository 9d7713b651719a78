"""The configuration, checked: what was read holds together, secrets are there, URLs and names are what they should be.

Secrets are written as `"$NAME"`, which the environment holds, or as `"file:PATH"`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from os.path import isfile
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from adapter.access.keys import KeyFile, all_keys
from adapter.access.limits import NO_LIMITS
from adapter.access.sections import (
    KeySection,
    LimitStore,
    check_groups,
    check_store,
    checked_keys,
    configured_keys,
    is_loopback,
)
from adapter.compaction.options import Options
from adapter.errors import ConfigError
from adapter.kinds import Secret
from adapter.sections import Sealing, Settings, Store, Upstream, in_environment

KEYS_FILE: Final = "keys.toml"
"""Where keys are kept that `adapter keys` makes, beside the configuration."""
AT_START: Final = ("server", "store", "limits", "metrics")
"""The sections of which a process that runs takes nothing anew."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_VARIABLE: Final = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?\Z")
_FILE: Final = "file:"
_FIELD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_OF_KEYS: Final = frozenset({"authorization", "api-key"})
_OURS: Final = frozenset(
    {
        *("host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"),
        *("accept", "accept-encoding", "content-encoding", "content-length", "content-type"),
        *("proxy-authorization", "x-request-id", "traceparent", "tracestate"),
    }
)
"""Header fields that no operator says: of connections, of what is sent and wanted, and of this request alone."""
_OF_TURNS: Final = frozenset(
    {
        *("model", "messages", "input", "instructions", "prompt", "tools", "tool_choice", "functions", "function_call"),
        *("stream", "stream_options", "n", "store", "background", "conversation", "previous_response_id"),
        "context_management",
    }
)
"""Members of a body that decide what is asked, how it is read, and where it is kept."""


def load(
    path: Path | None = None,
    server: Mapping[str, Any] = MappingProxyType({}),
    upstreams: tuple[Upstream, ...] = (),
    where: Callable[[Callable[[], Settings]], Settings] = lambda work: work(),
) -> Settings:
    """The configuration of `path`, of the environment, and of the command line, which wins: keys of `[server]`, and upstreams in
    place of all that were written. `where` does the reading, if there is something to read: what serves leaves that to a process
    of its own, because Pydantic is 11 MB, a fifth of what it has at rest, and a third of its start.

    Raises:
        ConfigError: one line that names the key and what would be taken.
        OSError: there is no such process.
    """
    written = Settings() if path is None and not in_environment(os.environ) else where(partial(_read, path))
    said: dict[str, Any] = {}
    if server:
        said["server"] = replace(written.server, **server)
    if upstreams:
        said["upstreams"] = upstreams
    return checked(replace(written, **said, written=written.written | said.keys()), path)


def renewed(running: Settings, settings: Settings) -> Settings:
    """`settings` as a process can take them that was started with `running`: some of its sections count from the next start on,
    and the sealing key stays where none is configured. The generated one may be nowhere else.

    Raises:
        ConfigError: with those it would be open to whom it is not to be; one line that names the key.
    """
    if running.keyed and not settings.keyed:
        raise ConfigError(
            "keys: callers are asked for one, and there are none any more; a server that asks nobody has to be started as such"
        )
    sealing = settings.sealing if settings.sealing.keys else replace(settings.sealing, keys=running.sealing.keys)
    return _access(replace(settings, sealing=sealing, **{name: getattr(running, name) for name in AT_START}))


def _read(path: Path | None) -> Settings:
    from adapter.reading import read

    return read(path)


def checked(settings: Settings, path: Path | None = None) -> Settings:
    """What was read (from the file at `path`), its secrets looked up.

    Raises:
        ConfigError: as `load`.
    """
    if settings.keys_file is not None and not isfile(settings.keys_file):  # nobody would be let in
        raise ConfigError(f"keys_file: {settings.keys_file} is no file; `adapter keys add` makes one")
    Options.of(settings.compaction)
    return _access(
        replace(
            settings,
            sealing=_sealing(settings.sealing),
            store=_store(settings.store),
            upstreams=_upstreams(settings.upstreams),
            keys=checked_keys([_resolved(section) for section in settings.keys]),
            limits=_resolved_store(settings.limits),
            keys_file=settings.keys_file or _beside(path),
        )
    )


def _beside(path: Path | None) -> Path | None:
    """The keys that `adapter keys` made for the configuration at `path`; None only where there are none, and nobody is asked."""
    if path is None:
        return None
    made = path.parent / KEYS_FILE
    try:
        made.lstat()
    except FileNotFoundError:
        return None
    except OSError:
        pass  # who reads it says why
    return made


def _access(settings: Settings) -> Settings:
    """That what was said about access holds together."""
    filed = KeyFile(settings.keys_file).read() if settings.keys_file is not None else ()
    keys = all_keys(configured_keys(settings.keys), filed)
    server = settings.server
    check_groups(settings.groups, keys, [upstream.name for upstream in settings.upstreams])
    limited = any(group.limited for group in settings.groups)
    limited = limited or any(key.limits != NO_LIMITS for key in settings.keys)
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
    return replace(section, key=Secret(value))


def _resolved_store(store: LimitStore) -> LimitStore:
    return replace(store, storage=Secret(_secret("limits.storage", store.storage.get_secret_value())))


def _upstreams(upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
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
    return replace(
        upstream,
        base_url=_url(f"{where}.base_url", upstream.base_url),
        api_key=_key(where, upstream.api_key),
        api_keys=several,
        headers=_headers(where, upstream),
        extra_body=_extra_body(where, upstream.extra_body),
        proxy=None if upstream.proxy is None else _proxy(f"{where}.proxy", upstream.proxy),
    )


def _headers(where: str, upstream: Upstream) -> dict[str, Secret]:
    found: dict[str, Secret] = {}
    for name, value in upstream.headers.items():
        said = _secret(f"{where}.headers.{name}", value.get_secret_value())
        if (
            _FIELD.match(name) is None
            or not said
            or not said.isascii()
            or not said.isprintable()
            or said != said.strip()
        ):
            raise ConfigError(
                f"{where}.headers.{name}: not a header field (empty, or with characters that none may carry)"
            )
        if name.lower() in _OURS:
            raise ConfigError(f"{where}.headers.{name}: is said by this server itself")
        if name.lower() in _OF_KEYS and (
            upstream.keys is None or any(key.get_secret_value() != "none" for key in upstream.keys)
        ):
            raise ConfigError(
                f'{where}.headers.{name}: a key belongs in api_key; where this is another, api_key = "none"'
            )
        found[name] = Secret(said)
    if len({name.lower() for name in found}) < len(found):
        raise ConfigError(f"{where}.headers: the same field twice")
    return found


def _extra_body(where: str, extra: dict[str, Any]) -> dict[str, Any]:
    for name in extra:
        if name in _OF_TURNS:
            raise ConfigError(f"{where}.extra_body.{name}: is for clients to say, and for this server to translate")
    try:
        json.dumps(extra, allow_nan=False)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}.extra_body: holds a value that JSON has no word for") from None
    return extra


def _proxy(where: str, proxy: Secret) -> Secret:
    url = _secret(where, proxy.get_secret_value())
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.path not in ("", "/") or parts.query or "#" in url or " " in url or not url.isprintable():
        raise ConfigError(
            f"{where}: must be http://host:port, with user:password@ in front of the host where it asks for it"
        )
    if parts.username is not None and ":" in unquote(parts.username):
        raise ConfigError(f"{where}: the user's name holds a colon, which no proxy can be told")
    return Secret(url)


def _url(where: str, url: str) -> str:
    return checked_url(where, _secret(where, url), "api_key")


def checked_url(where: str, url: str, key: str) -> str:
    """The base URL of a server, its path without a slash at its end.

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
    if parts.username or parts.password or "#" in url:
        raise ConfigError(f"{where}: no user or fragment belongs here; the key belongs in {key}")
    base, _, query = url.partition("?")
    base = base.rstrip("/")
    for tail in ("/responses", "/chat/completions"):
        if base.endswith(tail):
            raise ConfigError(f"{where}: ends where {tail} begins, so leave that off")
    return f"{base}?{query}" if query else base


def _own_key(where: str, key: Secret) -> Secret:
    found = _key(where, key)
    if found is None or not found.get_secret_value():
        raise ConfigError(f'{where}.api_keys: each is a key of its own; "client" and "none" belong to api_key')
    return found


def _key(where: str, key: Secret | None) -> Secret | None:
    value = None if key is None else key.get_secret_value()
    if value is None or value == "client":
        return None
    if value == "none":
        return Secret("")
    value = _secret(f"{where}.api_key", value)
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{where}.api_key: not a key (empty, or with characters that no header may carry)")
    return Secret(value)


def _secret(where: str, value: str) -> str:
    """`value`, what the environment holds for `$NAME`, or what stands in the file of `file:PATH`, but for the end of its line."""
    if value.startswith(_FILE):
        return _filed(where, Path(value.removeprefix(_FILE)))
    named = _VARIABLE.match(value)
    if named is None:
        return value
    found = os.environ.get(named[1])
    if not found:
        raise ConfigError(f"{where}: environment variable {named[1]} is not set")
    return found


def _filed(where: str, path: Path) -> str:
    try:
        found = path.read_text("utf-8").rstrip("\r\n")
    except OSError as refused:
        raise ConfigError(f"{where}: {path}: {refused.strerror}") from None
    except ValueError:  # also of a path that can be none
        raise ConfigError(f"{where}: {path}: no text") from None
    if not found:
        raise ConfigError(f"{where}: {path}: is empty")
    return found


def _sealing(sealing: Sealing) -> Sealing:
    keys = tuple(Secret(_secret("sealing.keys", key.get_secret_value())) for key in sealing.keys)
    checked = replace(sealing, keys=keys)
    checked.ring()
    return checked


def _store(store: Store) -> Store:
    """An empty URL is none: so a variable of the environment is unset."""
    if store.url is None:
        return store
    url = _secret("store.url", store.url.get_secret_value())
    return replace(store, url=Secret(url) if url else None)
