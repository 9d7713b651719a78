"""`adapter codex-config`: what a user puts into Codex's configuration so that it asks the running adapter."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from adapter import listening
from adapter.access.sections import is_loopback
from adapter.codex import KEY_VARIABLE, config_block
from adapter.errors import ConfigError
from adapter.files import write_whole
from adapter.sections import Server, Settings, Upstream
from adapter.upstream.checks import checked_url

_PATIENCE: Final = 10
"""Seconds for the adapter's list of models; it gives its own upstreams five."""
_STARTING: Final = 3
"""Seconds that an adapter may take from its start until it listens."""
_READABLE: Final = 0o644
"""Codex may run as somebody else, and there is no secret in a catalog."""
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses to listen on that nobody can connect to, and what this machine calls them."""


def codex_config(settings: Settings, url: str | None, model: str | None, catalog: Path | None = None) -> str:
    """The block; the model is the first that the adapter lists, unless it is given. `catalog`: the file that Codex is to find the
    adapter's catalog in, as it is now.

    Raises:
        ConfigError: no adapter answers what has to be known, or the file cannot be written.
    """
    base_url = _base_url(url) if url is not None else f"{address(settings.server)}/v1"
    whose = [upstream.keys is None for upstream in settings.upstreams]
    key, known = settings.keyed or any(whose), _are_openais(settings.upstreams)
    if catalog is not None:
        catalog = catalog.absolute()
        entries = _asked(base_url, _CATALOG)
        try:
            write_whole(catalog, json.dumps({"models": entries}, indent=1) + "\n", _READABLE)
        except OSError as refused:
            raise ConfigError(f"--catalog: {catalog}: {refused.strerror}") from None
        model = model or entries[0]["slug"]
    return config_block(base_url, model or _asked(base_url, _LIST)[0]["id"], key=key, known=known, catalog=catalog)


def address(server: Server) -> str:
    """Where an adapter of this configuration is reached from this machine."""
    return listening.url(_ANYWHERE.get(server.host, server.host), server.port)


def _are_openais(upstreams: Sequence[Upstream]) -> bool:
    """Whether all models are OpenAI's under their own names, and the operator has nothing to tell Codex of them."""
    return bool(upstreams) and all(
        upstream.dialect == "responses"
        and upstream.resolved_profile().stateful
        and not upstream.aliases
        and not upstream.codex
        for upstream in upstreams
    )


def _base_url(url: str) -> str:
    url = checked_url("--url", url, KEY_VARIABLE)
    if "?" in url:
        raise ConfigError("--url: no query belongs here")
    return url if url.endswith("/v1") else f"{url}/v1"


class _Wanted(NamedTuple):
    """What of the adapter's answer is wanted."""

    member: str
    name: str
    """The member that each entry has."""
    otherwise: str
    """What may be done where it cannot be had."""
    instead: str
    """What may be done where it is empty."""


_LIST: Final = _Wanted("data", "id", "give --model or --url", "give --model")
_CATALOG: Final = _Wanted("models", "slug", "give --url", "there is no catalog of none")


def _asked(base_url: str, wanted: _Wanted) -> list[dict[str, Any]]:
    """At least one entry.

    Raises:
        ConfigError: there is none to be had.
    """
    key = os.environ.get(KEY_VARIABLE)
    request = Request(f"{base_url}/models", headers={"authorization": f"Bearer {key}"} if key else {})
    try:
        entries = json.loads(_read(request))[wanted.member]
        named = all(isinstance(entry[wanted.name], str) for entry in entries)
    except URLError as refused:
        raise ConfigError(f"no model list at {base_url}/models ({refused.reason}): {wanted.otherwise}") from None
    except (OSError, HTTPException, ValueError, LookupError, TypeError):
        named = False
    if not named:
        raise ConfigError(f"what answers at {base_url}/models is no adapter: {wanted.otherwise}")
    if not entries:
        raise ConfigError(f"the adapter lists no models: {wanted.instead}")
    found: list[dict[str, Any]] = entries
    return found


def _read(request: Request) -> bytes:
    here = is_loopback(urlsplit(request.full_url).hostname or "")  # where no proxy can reach
    opener = build_opener(*[ProxyHandler({})] if here else [])
    deadline = time.monotonic() + _STARTING
    while True:
        try:
            with opener.open(request, timeout=_PATIENCE) as answer:
                data: bytes = answer.read()
                return data
        except URLError as refused:
            if not isinstance(refused.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
