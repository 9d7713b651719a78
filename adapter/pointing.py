"""`adapter codex-config`: what a user puts into Codex's configuration so that it asks the running adapter."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from http.client import HTTPException
from typing import Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from adapter import listening
from adapter.access.sections import is_loopback
from adapter.codex import KEY_VARIABLE, config_block
from adapter.errors import ConfigError
from adapter.sections import Server, Settings, Upstream
from adapter.upstream.checks import checked_url

_PATIENCE: Final = 10
"""Seconds for the adapter's list of models; it gives its own upstreams five."""
_STARTING: Final = 3
"""Seconds that an adapter may take from its start until it listens."""
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses to listen on that nobody can connect to, and what this machine calls them."""


def codex_config(settings: Settings, url: str | None, model: str | None) -> str:
    """The block; the model is the first that the adapter lists, unless it is given.

    Raises:
        ConfigError: no model is given, and no adapter answers, or it lists none.
    """
    base_url = _base_url(url) if url is not None else f"{address(settings.server)}/v1"
    whose = [upstream.keys is None for upstream in settings.upstreams]
    key, known = settings.keyed or any(whose), _are_openais(settings.upstreams)
    return config_block(base_url, model or _first_model(base_url), key=key, known=known)


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


def _first_model(base_url: str) -> str:
    key = os.environ.get(KEY_VARIABLE)
    request = Request(f"{base_url}/models", headers={"authorization": f"Bearer {key}"} if key else {})
    try:
        listed = [entry["id"] for entry in json.loads(_read(request))["data"]]
    except URLError as refused:
        raise ConfigError(f"no model list at {base_url}/models ({refused.reason}): give --model or --url") from None
    except (OSError, HTTPException, ValueError, LookupError, TypeError):
        raise ConfigError(f"what answers at {base_url}/models is no adapter: give --model or --url") from None
    if not listed:
        raise ConfigError("the adapter lists no models: give --model")
    first: str = listed[0]
    return first


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
