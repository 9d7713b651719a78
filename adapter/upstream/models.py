"""Which models can be asked for: what the upstreams list themselves, what is configured, and the aliases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

from adapter.errors import AdapterError, UpstreamTimeout
from adapter.kinds import WILDCARDS
from adapter.telemetry.log import log
from adapter.upstream.client import UpstreamClient
from adapter.upstream.credentials import call_headers
from adapter.upstream.lists import UNLISTED, Document, Listed, listed, read
from adapter.upstream.router import Router, Upstream
from adapter.wire.headers import Headers

_FRESH_FOR: Final = 60.0
_FAILED_FOR: Final = 10.0
"""Seconds; an upstream that has no list is not asked again at once."""
_WITHIN: Final = 5.0
_LIMIT: Final = 8 * 1024 * 1024
_CALLERS: Final = 256
"""Lists kept, one for each upstream, key and version of Codex: beyond that all are forgotten."""
_ROOM: Final = 64 * 1024 * 1024
"""Bytes of lists kept: one with Codex's prompts in it has a million."""
_GLOB: Final = frozenset("*?[")


class Model(NamedTuple):
    """A name that a client may ask for."""

    id: str
    created: int
    owned_by: str
    upstream: Upstream
    told: Listed
    """What the upstream says of it."""


class _Kept(NamedTuple):
    """The list of one upstream."""

    until: float
    models: dict[str, Listed]
    size: int
    """Bytes of the answers that it stood in."""


class Catalog:
    """The lists of all upstreams, kept for a minute."""

    def __init__(self, client: UpstreamClient, router: Router, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self._client = client
        self._router = router
        self._clock = clock
        self._kept: dict[tuple[str, bytes, str], _Kept] = {}

    async def models(
        self,
        headers: Headers,
        callers_key: str | None,
        request_id: str,
        codex: str = "",
        visible: frozenset[str] | None = None,
        allows: Callable[[str, str], bool] = lambda model, upstream: True,
    ) -> list[Model]:
        """Every name once, served by the first upstream that has it; in the order of the configuration. `codex`: the version
        of the Codex that asks. `visible`: the upstreams that there are for the caller (None: all), of which each may do for some
        models only: `allows`."""
        upstreams = [one for one in self._router.upstreams if visible is None or one.name in visible]
        lists = await asyncio.gather(
            *(self._listed(upstream, headers, callers_key, request_id, codex) for upstream in upstreams)
        )
        found: dict[str, Model] = {}
        for upstream, models in zip(upstreams, lists, strict=True):
            written = (*filter(WILDCARDS.isdisjoint, upstream.aliases), *filter(_GLOB.isdisjoint, upstream.models))
            for name in (*filter(upstream.serves, models), *written):
                if allows(name, upstream.name):
                    found.setdefault(name, _model(name, upstream, models))
        return list(found.values())

    async def _listed(
        self, upstream: Upstream, headers: Headers, callers_key: str | None, request_id: str, codex: str
    ) -> dict[str, Listed]:
        if upstream.dialect != "responses":
            codex = ""
        # what one caller's key may see is not another's business
        whose = sha256((callers_key or "").encode()).digest() if upstream.callers_key else b""
        key = upstream.name, whose, codex
        kept = self._kept.get(key)
        if kept is not None and self._clock() < kept.until:
            return kept.models
        try:
            async with asyncio.timeout(_WITHIN):
                fields = call_headers(upstream, headers, callers_key, request_id)
                documents = await self._documents(upstream, fields, codex)
            fresh = _Kept(self._clock() + _FRESH_FOR, listed(documents), sum(one.size for one in documents))
        except (AdapterError, TimeoutError) as error:
            fresh = _Kept(self._clock() + _FAILED_FOR, {}, 0)
            if kept is None or kept.models:  # not again with every failure
                why = error.code if isinstance(error, AdapterError) else UpstreamTimeout.code
                log.warning("models_unlisted", upstream=upstream.name, error=why)
        if len(self._kept) >= _CALLERS or fresh.size + sum(each.size for each in self._kept.values()) > _ROOM:
            self._kept.clear()
        self._kept[key] = fresh
        return fresh.models

    async def _documents(self, upstream: Upstream, fields: dict[str, str], codex: str) -> list[Document]:
        """What there is; for Codex also what is there for nobody else, as at CLIProxyAPI and sub2api.

        Raises:
            AdapterError: there is nothing.
        """
        paths = ("/models", f"/models?client_version={codex}") if codex else ("/models",)
        answers = await asyncio.gather(*(self._answer(upstream, path, fields) for path in paths))
        documents = [answer for answer in answers if isinstance(answer, Document)]
        for failure in answers:
            if isinstance(failure, AdapterError) and not documents:
                raise failure
        return documents

    async def _answer(self, upstream: Upstream, path: str, fields: dict[str, str]) -> Document | AdapterError:
        try:
            return read(await self._client.get(upstream, path, fields, limit=_LIMIT))
        except AdapterError as error:
            return error


def _model(name: str, upstream: Upstream, models: dict[str, Listed]) -> Model:
    by_name = models.get(name, UNLISTED)
    told = models.get(upstream.own_name(name), UNLISTED)
    return Model(name, by_name.created, by_name.owned_by or upstream.name, upstream, told)
