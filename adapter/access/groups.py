"""What a key may reach: its groups' models and upstreams, within their limits.

The first of a key's groups that allows the model on one of the upstreams that serve it decides: its upstreams, its limits.
A key of no group reaches nothing. Names of upstreams that none of its groups reach do not exist for a key, not even in an
error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

from adapter.access.limits import NO_LIMITS, Counter, Limits
from adapter.errors import Forbidden
from adapter.kinds import Globs, Section


@dataclass(frozen=True, slots=True)
class Group(Section):
    """One of `[[groups]]`: what keys may reach."""

    name: str
    """What keys call it."""
    models: Globs = ("*",)
    """Glob patterns over the names that clients use."""
    upstreams: Globs = ("*",)
    """Glob patterns over the names of upstreams."""
    limits: Limits = NO_LIMITS
    """For all that ask through the group, together."""
    owner_limits: Limits = NO_LIMITS
    """For each owner."""
    key_limits: Limits = NO_LIMITS
    """For each key."""

    @property
    def limited(self) -> bool:
        """Whether something is to be counted."""
        return any(limits != NO_LIMITS for limits in (self.limits, self.owner_limits, self.key_limits))

    def allows_model(self, model: str) -> bool:
        """Whether a client may ask for it by this name."""
        return globs(self.models).match(model) is not None

    def allows_upstream(self, name: str) -> bool:
        """Whether requests may go there."""
        return globs(self.upstreams).match(name) is not None


@lru_cache(maxsize=1024)
def globs(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all of them, one at least."""
    return re.compile("|".join(map(translate, patterns)))


class Access:
    """The groups of one configuration."""

    def __init__(self, groups: Sequence[Group], upstreams: Sequence[str], keys: Mapping[str, Limits]) -> None:
        """`upstreams`: the names of all; `keys`: limits of single keys by id."""
        self._groups = {group.name: group for group in groups}
        self._upstreams = tuple(upstreams)
        self._keys = keys
        self.visible = lru_cache(maxsize=1024)(self._visible)
        self.counters = lru_cache(maxsize=4096)(self._counters)

    def _visible(self, groups: tuple[str, ...]) -> frozenset[str]:
        """The upstreams that there are for a key of these groups."""
        mine = [self._groups[name] for name in groups if name in self._groups]
        return frozenset(name for name in self._upstreams if any(group.allows_upstream(name) for group in mine))

    def granting(self, groups: Sequence[str], model: str, upstreams: Sequence[str]) -> Group:
        """The group that decides about `model`, served by `upstreams`.

        Raises:
            Forbidden: none of them allows it.
        """
        if (group := self._first(groups, model, upstreams)) is not None:
            return group
        raise Forbidden(
            "This key may not use this model; GET /v1/models lists those it may. Ask whoever gave you the key to put it "
            "into a group that has the model.",
            param="model",
            code="model_not_allowed",
        )

    def allows(self, groups: Sequence[str], model: str, upstream: str) -> bool:
        """Whether a key of these groups may ask for `model` on this upstream."""
        return self._first(groups, model, (upstream,)) is not None

    def _first(self, groups: Sequence[str], model: str, upstreams: Sequence[str]) -> Group | None:
        """Of these the first that allows the model on one of the upstreams."""
        known = (self._groups[name] for name in groups if name in self._groups)
        able = (one for one in known if one.allows_model(model) and any(map(one.allows_upstream, upstreams)))
        return next(able, None)

    def _counters(self, group: Group, owner: str, key_id: str) -> tuple[Counter, ...]:
        """All bounds of a request through `group`, the narrowest subject first."""
        return (
            *self._keys.get(key_id, NO_LIMITS).counters(f"key:{key_id}"),
            *group.key_limits.counters(f"group:{group.name}:key:{key_id}"),
            *group.owner_limits.counters(f"group:{group.name}:owner:{owner}"),
            *group.limits.counters(f"group:{group.name}"),
        )
