"""Which models can be asked for: what the upstreams list themselves, what is configured, and the aliases."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from math import inf
from typing import Any, Final, NamedTuple

from adapter.errors import AdapterError, UpstreamInvalid, UpstreamTimeout
from adapter.telemetry.log import log
from adapter.upstream.client import UpstreamClient
from adapter.upstream.credentials import call_headers
from adapter.upstream.router import Router, Upstream
from adapter.wire.headers import Headers
from adapter.wire.jsonio import NotJson, dumps, loads

_FRESH_FOR: Final = 60.0
_FAILED_FOR: Final = 10.0
"""Seconds; an upstream that has no list is not asked again at once."""
_WITHIN: Final = 5.0
_LIMIT: Final = 8 * 1024 * 1024
_CALLERS: Final = 256
"""Lists kept, one for each upstream, key and version of Codex: beyond that all are forgotten."""
_ROOM: Final = 64 * 1024 * 1024
"""Bytes of lists kept: one with Codex's prompts in it has a million."""
_ENTRY: Final = 16 * 1024
"""Bytes of JSON: an entry that has more is passed on without its further members."""
_GLOB: Final = frozenset("*?[")
_OPENAIS: Final = frozenset({"id", "object", "created", "owned_by"})
_SECRET: Final = re.compile(r"(?:key|token|secret)$", re.IGNORECASE)
"""How the names of members end that nobody is told."""
_NOTHING: Final[dict[str, Any]] = {}


class Model(NamedTuple):
    """A name that a client may ask for."""

    id: str
    created: int
    owned_by: str
    upstream: Upstream
    native: dict[str, Any] | None = None
    """What Codex is told of it by the upstream itself."""
    further: dict[str, Any] = _NOTHING
    """What the upstream's list says of it beyond OpenAI's members: `max_model_len`, `supported_parameters`, …"""


class _Listed(NamedTuple):
    """What an upstream says of one of its models."""

    created: int = 0
    owned_by: str | None = None
    native: dict[str, Any] | None = None
    further: dict[str, Any] = _NOTHING


class _Document(NamedTuple):
    """An answer to GET /models."""

    members: dict[str, Any]
    size: int
    """In bytes."""


class _Kept(NamedTuple):
    """The list of one upstream."""

    until: float
    models: dict[str, _Listed]
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
        for upstream, listed in zip(upstreams, lists, strict=True):
            names = (*filter(upstream.serves, listed), *upstream.aliases, *filter(_GLOB.isdisjoint, upstream.models))
            for name in names:
                if allows(name, upstream.name):
                    found.setdefault(name, _model(name, upstream, listed))
        return list(found.values())

    async def _listed(
        self, upstream: Upstream, headers: Headers, callers_key: str | None, request_id: str, codex: str
    ) -> dict[str, _Listed]:
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
            fresh = _Kept(self._clock() + _FRESH_FOR, _entries(documents), sum(one.size for one in documents))
        except (AdapterError, TimeoutError) as error:
            fresh = _Kept(self._clock() + _FAILED_FOR, {}, 0)
            if kept is None or kept.models:  # not again with every failure
                why = error.code if isinstance(error, AdapterError) else UpstreamTimeout.code
                log.warning("models_unlisted", upstream=upstream.name, error=why)
        if len(self._kept) >= _CALLERS or fresh.size + sum(each.size for each in self._kept.values()) > _ROOM:
            self._kept.clear()
        self._kept[key] = fresh
        return fresh.models

    async def _documents(self, upstream: Upstream, fields: dict[str, str], codex: str) -> list[_Document]:
        """What there is; for Codex also what is there for nobody else, as at CLIProxyAPI and sub2api.

        Raises:
            AdapterError: there is nothing.
        """
        paths = ("/models", f"/models?client_version={codex}") if codex else ("/models",)
        answers = await asyncio.gather(*(self._answer(upstream, path, fields) for path in paths))
        documents = [answer for answer in answers if isinstance(answer, _Document)]
        for failure in answers:
            if isinstance(failure, AdapterError) and not documents:
                raise failure
        return documents

    async def _answer(self, upstream: Upstream, path: str, fields: dict[str, str]) -> _Document | AdapterError:
        try:
            body = await self._client.get(upstream, path, fields, limit=_LIMIT)
        except AdapterError as error:
            return error
        try:
            value = loads(body)
        except NotJson:
            return UpstreamInvalid("The upstream's list of models is not JSON.")
        members = value if isinstance(value, dict) else {"data": value}  # Together's is a list by itself
        return _Document(members, len(body))


def _entries(documents: Sequence[_Document]) -> dict[str, _Listed]:
    """What lists name: OpenAI's `data`, and behind it what Codex's own catalog has beyond it."""
    natives = {
        name: entry
        for document in documents
        for name, entry in _named(document.members.get("models"), "slug")
        if _size(entry) < inf
    }
    found: dict[str, _Listed] = {}
    for document in documents:
        for name, entry in _named(document.members.get("data"), "id"):
            found.setdefault(name, _listed(entry, natives.get(name)))
    return found | {name: _Listed(native=native) for name, native in natives.items() if name not in found}


def _named(entries: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries of a list that have a name."""
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get(key) if isinstance(entry, dict) else None
        if isinstance(name, str) and name:
            yield name, entry


def _size(entry: dict[str, Any]) -> float:
    """Of its JSON; infinite where it can be no part of an answer: JSON is read deeper than it is written."""
    try:
        return len(dumps([[[entry]]]))
    except ValueError:
        return inf


def _listed(entry: dict[str, Any], native: dict[str, Any] | None) -> _Listed:
    created, owner = entry.get("created"), entry.get("owned_by")
    further = {key: value for key, value in entry.items() if key not in _OPENAIS} if _size(entry) <= _ENTRY else {}
    return _Listed(
        created if type(created) is int else 0,
        owner if isinstance(owner, str) else None,
        native,
        _without_secrets(further),
    )


def _without_secrets(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_secrets(each) for key, each in value.items() if not _SECRET.search(key)}
        case list():
            return [_without_secrets(each) for each in value]
    return value


def _model(name: str, upstream: Upstream, listed: dict[str, _Listed]) -> Model:
    by_name, target = listed.get(name, _UNLISTED), listed.get(upstream.own_name(name), _UNLISTED)
    owner = by_name.owned_by or upstream.name
    return Model(name, by_name.created, owner, upstream, target.native, target.further)


_UNLISTED: Final = _Listed()
