"""Base URLs, whose query goes with every call: Azure's `api-version`, the key of an API management."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode


def joined(base_url: str, path: str) -> str:
    """`path` below `base_url`, with the queries of both; what that of the base says, no call says otherwise."""
    base, _, fixed = base_url.partition("?")
    path, _, asked = path.partition("?")
    if fixed and asked:
        said = {name.casefold() for name, _ in _parameters(fixed)}  # Azure reads names in any case
        asked = urlencode([(name, value) for name, value in _parameters(asked) if name.casefold() not in said])
    query = "&".join(filter(None, (fixed, asked)))
    return f"{base}{path}?{query}" if query else base + path


def shown(base_url: str) -> str:
    """It as anybody may read it: the values of its query may be secrets."""
    base, mark, query = base_url.partition("?")
    return base + mark + "&".join([f"{name}=…" for name, _ in _parameters(query)])


def without_user(url: str) -> str:
    """The URL of a server that asks for a user's name and password, without them."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.rpartition("@")[2]


def query_values(base_url: str) -> set[str]:
    """What its query says, as it is written and as it is read."""
    query = base_url.partition("?")[2]
    written = {parameter.partition("=")[2] for parameter in query.split("&")}
    return written | {value for _, value in _parameters(query)}


def _parameters(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)
