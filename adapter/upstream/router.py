"""Which upstream serves a model, under which name. Pure: configured names in, targets out.

The body chooses among configured names only, never a host or a key: `provider` and a `name/` prefix of the model name an
upstream; otherwise all that know the model may serve it, by priority, then in the order of the configuration. An alias
counts as a name that its upstream knows. Which of them a conversation goes to is for `affinity` to say.

A caller may be shown some of the upstreams only: the others do not exist for it, not even as a wrong `provider`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase, translate
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from adapter import sections
from adapter.codex import Codex
from adapter.compaction.plan import UpstreamKind
from adapter.errors import InvalidValue, ModelNotFound
from adapter.hub.request import DialectName
from adapter.kinds import WILDCARDS
from adapter.upstream.profiles import Profile
from adapter.wire.address import query_values
from adapter.wire.headers import lines

_MAX_MODEL: Final = 256
_A_SECRET: Final = 16
"""Letters of a key that is one; shorter ones (`ollama`, `EMPTY`) are placeholders, and words that an error may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A configured model server, ready for use."""

    name: str
    base_url: str = field(repr=False)
    """Its query, which goes with every call, may hold a secret."""
    dialect: DialectName
    profile: Profile
    api_keys: tuple[str, ...] | None = field(repr=False)
    """None: the caller's own key goes on; an empty one: none is sent."""
    headers: frozenset[str]
    """Names of fields, in small letters, that are the operator's and not the client's."""
    fields: str = field(repr=False)
    """The header lines of all its requests: those, and who we are."""
    secrets: tuple[str, ...] = field(repr=False)
    """What nobody may be told of an error that repeats it."""
    extra_body: dict[str, Any]
    """Members of the body where the client says nothing of them."""
    proxy: str | None = field(repr=False)
    """The URL of the HTTP proxy on the way to it; may hold a password."""
    models: tuple[str, ...]
    aliases: dict[str, str]
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    total_timeout: float | None
    weight: float
    priority: int
    max_concurrency: int | None
    compact: UpstreamKind | None
    """What it does for compaction by itself; None: to be found out."""
    window: int | None
    """Its context window in tokens, where that is known."""
    codex: tuple[Codex, ...]
    """What Codex is told of its models."""
    _globs: re.Pattern[str] = field(repr=False)

    @classmethod
    def of(cls, settings: sections.Upstream) -> Upstream:
        """From its section of the configuration."""
        api_keys = None if settings.keys is None else tuple(key.get_secret_value() for key in settings.keys)
        headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        secrets = (*(api_keys or ()), *query_values(settings.base_url), *headers.values())
        return cls(
            name=settings.name,
            base_url=settings.base_url,
            dialect=settings.dialect,
            profile=settings.resolved_profile(),
            api_keys=api_keys,
            headers=frozenset(map(str.lower, headers)),
            fields=lines(headers),
            secrets=tuple(secret for secret in secrets if len(secret) >= _A_SECRET),
            extra_body=settings.extra_body,
            proxy=None if settings.proxy is None else settings.proxy.get_secret_value(),
            models=settings.models,
            aliases=settings.aliases,
            connect_timeout=settings.connect_timeout,
            first_byte_timeout=settings.first_byte_timeout,
            idle_timeout=settings.idle_timeout,
            total_timeout=settings.total_timeout,
            weight=settings.weight,
            priority=settings.priority,
            max_concurrency=settings.max_concurrency,
            compact=None if settings.compact == "auto" else UpstreamKind(settings.compact),
            window=settings.window,
            codex=settings.codex,
            _globs=re.compile("|".join(map(translate, settings.models))),
        )

    @property
    def has_keys(self) -> bool:
        """Several, to choose among."""
        return self.api_keys is not None and len(self.api_keys) > 1

    @property
    def callers_key(self) -> bool:
        """It is asked with the caller's own key."""
        return self.api_keys is None

    def key_at(self, origin: str) -> int | None:
        """Which of its keys has access to what is kept at a target's `origin`; the first, if that one is none of them any
        more. None: another upstream has."""
        name, _, account = origin.partition("/")
        if name != self.name:
            return None
        return next((place for place, key in enumerate(self.api_keys or ()) if _account(key) == account), 0)

    @property
    def stateful(self) -> bool:
        """It keeps responses and conversations itself (a Chat upstream never does, whatever its profile says)."""
        return self.dialect == "responses" and self.profile.stateful

    @property
    def compacts_in_place(self) -> bool:
        """It takes `compaction_trigger` and `context_management` as OpenAI does: such requests go on as they came."""
        return self.stateful and self.compact in (None, UpstreamKind.COMPACTION, UpstreamKind.TRIGGER)

    def serves(self, model: str) -> bool:
        """Whether a client may ask it for `model`."""
        return self._alias(model) is not None or self._globs.match(model) is not None

    def own_name(self, model: str) -> str:
        """What the upstream itself calls `model`."""
        return self._alias(model) or model

    def _alias(self, model: str) -> str | None:
        if model in self.aliases:
            return self.aliases[model]
        patterns = ((alias, name) for alias, name in self.aliases.items() if not WILDCARDS.isdisjoint(alias))
        return next((name for pattern, name in patterns if fnmatchcase(model, pattern)), None)


@dataclass(frozen=True, slots=True)
class Target:
    """Where one call goes."""

    upstream: Upstream
    model: str
    """The upstream's own name for the model."""
    asked: str = ""
    """The client's name for it, without an upstream's name before it."""
    key: int = 0
    """Which of the upstream's own keys."""
    bound: bool = False
    """No other key will do: what the call goes on from is kept under this one."""
    named: bool = False
    """No other upstream will do: the client named this one by `provider`."""
    learnt: Profile | None = field(default=None, compare=False)
    """What it turned out to be able to do, where that is less than its configured profile says; it is the same target all the same."""

    @property
    def profile(self) -> Profile:
        """What it can do."""
        return self.learnt or self.upstream.profile

    @property
    def origin(self) -> str:
        """Where the upstream keeps what it is asked to keep: with several keys they may be several accounts', and an account
        knows its own responses only."""
        upstream = self.upstream
        if upstream.api_keys is None or not upstream.has_keys:
            return upstream.name
        return f"{upstream.name}/{_account(upstream.api_keys[self.key])}"

    @property
    def rank_name(self) -> str:
        """What it is known by where targets are ranked."""
        return self.upstream.name

    @property
    def weight(self) -> float:
        return self.upstream.weight

    @property
    def priority(self) -> int:
        return self.upstream.priority


class Router:
    """The routing table of one configuration."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self.upstreams = tuple(upstreams)
        self._by_name = {upstream.name: upstream for upstream in upstreams}
        self.route = lru_cache(maxsize=1024)(self._route)

    def _route(
        self, model: str, provider: str | None = None, visible: frozenset[str] | None = None
    ) -> tuple[Target, ...]:
        """The targets for a client's `model`, by priority; never empty. `visible`: the upstreams that there are for the
        caller; None: all.

        Raises:
            InvalidValue: `provider` names no upstream, or the model is no name at all.
            ModelNotFound: nothing serves the model.
        """
        if len(model) > _MAX_MODEL or not model.isprintable():
            raise InvalidValue("model must be a printable name of at most 256 characters.", param="model")
        there = self._by_name
        if visible is not None:
            there = {name: upstream for name, upstream in there.items() if name in visible}
        if provider is not None:
            upstream = there.get(provider)
            if upstream is None:
                raise InvalidValue(
                    f"provider must be one of the configured upstreams: {', '.join(there)}.", param="provider"
                )
            model = model.removeprefix(f"{provider}/")
            return _targets([upstream] if upstream.serves(model) else [], model, named=True)
        name, slash, rest = model.partition("/")
        if slash and rest and (named := there.get(name)) is not None and named.serves(rest):
            return _targets([named], rest)
        serving = [upstream for upstream in there.values() if upstream.serves(model)]
        return _targets(sorted(serving, key=lambda upstream: upstream.priority), model)


def _account(key: str) -> str:
    """What tells keys apart, and says nothing of them."""
    return blake2b(key.encode(), digest_size=6).hexdigest()


def _targets(upstreams: list[Upstream], model: str, *, named: bool = False) -> tuple[Target, ...]:
    if not upstreams:
        raise ModelNotFound(
            "No upstream serves this model; GET /v1/models lists those that can be asked for.", param="model"
        )
    return tuple(Target(upstream, upstream.own_name(model), model, named=named) for upstream in upstreams)
