"""What an operator says of the upstreams, checked: names, URLs, keys, header fields and what is added to bodies."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from adapter.errors import ConfigError
from adapter.kinds import WILDCARDS, Secret
from adapter.secret_values import secret
from adapter.sections import Upstream
from adapter.wire.jsonio import dumps

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_CALLERS_KEY: Final = "client"
_NO_KEY: Final = "none"
_HOST: Final = re.compile(r"[0-9a-z_-]+(?:\.[0-9a-z_-]+)*\.?\Z|[0-9a-f]*:[0-9a-f:.%]+\Z")
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


def checked_upstreams(upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
    """What was read of `[[upstreams]]`, its secrets looked up.

    Raises:
        ConfigError: one line that names the key and what would be taken.
    """
    names = [upstream.name for upstream in upstreams]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"upstreams: two are named {name!r}")
    return tuple(_checked(upstream) for upstream in upstreams)


def _checked(upstream: Upstream) -> Upstream:
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
    for alias, model in upstream.aliases.items():
        if not WILDCARDS.isdisjoint(model):
            raise ConfigError(
                f"{where}.aliases.{alias}: {model!r} is no name of a model; only what stands before it may be a pattern"
            )
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
    keyless = upstream.keys is not None and all(key.get_secret_value() == _NO_KEY for key in upstream.keys)
    found: dict[str, Secret] = {}
    for name, value in upstream.headers.items():
        if name.lower() in _OF_KEYS and not keyless:
            raise ConfigError(f'{where}.headers.{name}: a key belongs in api_key; for anything else, api_key = "none"')
        found[name] = _field(f"{where}.headers.{name}", name, value)
    if len({name.lower() for name in found}) < len(found):
        raise ConfigError(f"{where}.headers: the same field twice")
    return found


def _field(where: str, name: str, value: Secret) -> Secret:
    said = secret(where, value.get_secret_value())
    carried = said.isascii() and said.isprintable() and said == said.strip() != ""
    if _FIELD.match(name) is None or not carried:
        raise ConfigError(f"{where}: not a header field (empty, or with characters that none may carry)")
    if name.lower() in _OURS:
        raise ConfigError(f"{where}: is said by this server itself")
    return Secret(said)


def _extra_body(where: str, extra: dict[str, Any]) -> dict[str, Any]:
    for name in extra:
        if name in _OF_TURNS:
            raise ConfigError(f"{where}.extra_body.{name}: is for clients to say, and for this server to translate")
    try:
        json.dumps(extra, allow_nan=False)
        dumps(extra)  # writes what the other refuses, and refuses integers of more than 64 bits
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{where}.extra_body: holds a value that JSON has no word for") from None
    return extra


def _proxy(where: str, proxy: Secret) -> Secret:
    url = secret(where, proxy.get_secret_value())
    try:
        parts = urlsplit(url)
        named = parts.hostname is not None and _HOST.match(parts.hostname) is not None
        whole = parts.scheme in ("http", "https") and named and parts.port != 0
    except ValueError:
        whole = False
    if (
        not whole
        or (parts.password and not parts.username)
        or parts.path not in ("", "/")
        or parts.query
        or "#" in url
        or " " in url
        or not url.isprintable()
    ):
        raise ConfigError(
            f"{where}: must be http://host:port, with user:password@ in front of the host where it asks for it"
        )
    if parts.username is not None and ":" in unquote(parts.username):
        raise ConfigError(f"{where}: the user's name holds a colon, which no proxy can be told")
    return Secret(url)


def _url(where: str, url: str) -> str:
    return checked_url(where, secret(where, url), "api_key")


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
    if value is None or value == _CALLERS_KEY:
        return None
    if value == _NO_KEY:
        return Secret("")
    value = secret(f"{where}.api_key", value)
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{where}.api_key: not a key (empty, or with characters that no header may carry)")
    return Secret(value)
