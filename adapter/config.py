"""The configuration, checked: what was read holds together, secrets are there, names are what they should be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from os.path import isfile
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

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
from adapter.secret_values import secret
from adapter.sections import Sealing, Settings, Store, Upstream, in_environment
from adapter.upstream.checks import checked_upstreams

KEYS_FILE: Final = "keys.toml"
"""Where keys are kept that `adapter keys` makes, beside the configuration."""
AT_START: Final = ("server", "store", "limits", "metrics")
"""The sections of which a process that runs takes nothing anew."""

_ORIGIN: Final = re.compile(r"\*\Z|[a-z][a-z0-9+.-]*://[^/*\s]+\Z")


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
    for origin in settings.server.cors_origins:
        if _ORIGIN.match(origin) is None:
            raise ConfigError(f"server.cors_origins: {origin!r} is no origin, such as https://chat.example, nor *")
    return _access(
        replace(
            settings,
            sealing=_sealing(settings.sealing),
            store=_store(settings.store),
            upstreams=checked_upstreams(settings.upstreams),
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
    value = secret(f"keys.{section.id}.key", section.key.get_secret_value())
    return replace(section, key=Secret(value))


def _resolved_store(store: LimitStore) -> LimitStore:
    return replace(store, storage=Secret(secret("limits.storage", store.storage.get_secret_value())))


def _sealing(sealing: Sealing) -> Sealing:
    keys = tuple(Secret(secret("sealing.keys", key.get_secret_value())) for key in sealing.keys)
    checked = replace(sealing, keys=keys)
    checked.ring()
    return checked


def _store(store: Store) -> Store:
    """An empty URL is none: so a variable of the environment is unset."""
    if store.url is None:
        return store
    url = secret("store.url", store.url.get_secret_value())
    return replace(store, url=Secret(url) if url else None)
