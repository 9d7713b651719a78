"""Which models can be asked for: what the upstreams list themselves, what is configured, and the aliases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, NamedTuple

from adapter.errors import AdapterError, UpstreamInvalid, UpstreamTimeout
from adapter.telemetry.log import log
from adapter.upstream.client import UpstreamClient
from adapter.upstream.credentials import call_headers
from adapter.upstream.router import Router, Upstream
from adapter.wire.headers import Headers
from adapter.wire.jsonio import NotJson, loads

_FRESH_FOR: Final = 60.0
_FAILED_FOR: Final = 10.0
"""Seconds; an upstream that has no list is not asked again at once."""
_WITHIN: Final = 5.0
_LIMIT: Final = 8 * 1024 * 1024
_CALLERS: Final = 256
"""Lists kept, one for each upstream and key: beyond that all are forgotten."""
_GLOB: Final = frozenset("*?[")


class Model(NamedTuple):
    """A name that a client may ask for."""

    id: str
    created: int
    owned_by: str
    upstream: Upstream


class Catalog:
    """The lists of all upstreams, kept for a minute."""

    def __init__(self, client: UpstreamClient, router: Router, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self._client = client
        self._router = router
        self._clock = clock
        self._kept: dict[tuple[str, bytes], tuple[float, list[dict[str, Any]]]] = {}

    async def models(
        self,
        headers: Headers,
        callers_key: str | None,
        request_id: str,
        visible: frozenset[str] | None = None,
        allows: Callable[[str, str], bool] = lambda model, upstream: True,
    ) -> list[Model]:
        """Every name once, served by the first upstream that has it; in the order of the configuration. `visible`: the
        upstreams that there are for the caller (None: all), of which each may do for some models only: `allows`."""
        upstreams = [one for one in self._router.upstreams if visible is None or one.name in visible]
        lists = await asyncio.gather(
            *(self._listed(upstream, headers, callers_key, request_id) for upstream in upstreams)
        )
        found: dict[str, Model] = {}
        for upstream, listed in zip(upstreams, lists, strict=True):
            models = [_model(entry, upstream) for entry in listed if upstream.serves(entry["id"])]
            names = (name for name in (*upstream.aliases, *upstream.models) if _GLOB.isdisjoint(name))
            for model in (*models, *(Model(name, 0, upstream.name, upstream) for name in names)):
                if allows(model.id, upstream.name):
                    found.setdefault(model.id, model)
        return list(found.values())

    async def _listed(
        self, upstream: Upstream, headers: Headers, callers_key: str | None, request_id: str
    ) -> list[dict[str, Any]]:
        # what one caller's key may see is not another's business
        whose = sha256((callers_key or "").encode()).digest() if upstream.callers_key else b""
        kept = self._kept.get((upstream.name, whose))
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        try:
            async with asyncio.timeout(_WITHIN):
                fields = call_headers(upstream, headers, callers_key, request_id)
                listed = _entries(await self._client.get(upstream, "/models", fields, limit=_LIMIT))
            until = self._clock() + _FRESH_FOR
        except (AdapterError, TimeoutError) as error:
            listed, until = [], self._clock() + _FAILED_FOR
            if kept is None or kept[1]:  # not again with every failure
                why = error.code if isinstance(error, AdapterError) else UpstreamTimeout.code
                log.warning("models_unlisted", upstream=upstream.name, error=why)
        if len(self._kept) >= _CALLERS:
            self._kept.clear()
        self._kept[upstream.name, whose] = (until, listed)
        return listed


def _entries(body: bytes) -> list[dict[str, Any]]:
    """What a list names.

    Raises:
        UpstreamInvalid: it is no JSON.
    """
    try:
        value = loads(body)
    except NotJson:
        raise UpstreamInvalid("The upstream's list of models is not JSON.") from None
    data = value.get("data") if isinstance(value, dict) else value  # Together's is a list by itself
    return [
        entry
        for entry in (data if isinstance(data, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"]
    ]


def _model(entry: dict[str, Any], upstream: Upstream) -> Model:
    created, owner = entry.get("created"), entry.get("owned_by")
    return Model(
        entry["id"],
        created if type(created) is int else 0,
        owner if isinstance(owner, str) else upstream.name,
        upstream,
    )
