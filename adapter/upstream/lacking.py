"""What upstreams turned out not to have or know, learnt from their refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic
from typing import Final, Generic, TypeVar

from adapter.errors import AdapterError, UpstreamRefused, UpstreamUnwell
from adapter.upstream.profiles import INCLUDED
from adapter.upstream.router import Target
from adapter.upstream.wordings import Meaning

T = TypeVar("T")
_ABSENT: Final = frozenset({404, 405, 501})
_UNSUPPORTED: Final = r"\bis not supported (?:for|by) |\bUnexpected endpoint or method\b"
"""LiteLLM says "COMPACT responses is not supported for gemini" with a 500, LM Studio the other with a 200."""
_UNSEALED: Final = r"(?i)\bencrypted content is not supported\b"
"""LiteLLM quotes it."""
_REMEMBERED: Final = 3600.0
"""Seconds."""
_MOST: Final = 1024
"""Names of models come from clients: beyond that all is forgotten and learnt again."""


def is_absent(refused: AdapterError) -> bool:
    """Whether a refusal means that there is no such endpoint. An unknown model does not, nor a failure of one that is there, nor
    one that names a part of the request: OpenAI says 404 of an item that it does not keep."""
    if refused.http_status in _ABSENT:
        return refused.code != "model_not_found" and refused.param is None
    return isinstance(refused, UpstreamUnwell) and re.search(_UNSUPPORTED, refused.message) is not None


def gives_no_reasoning(refused: AdapterError) -> bool:
    """Whether a refusal means that a model has no reasoning which only its server can read, or that the server has none: OpenAI says
    "Encrypted content is not supported with this model.", of `include`."""
    if not isinstance(refused, UpstreamRefused) or refused.code == Meaning.SEALED.value:
        return False
    told = refused.message
    return (refused.param or "").startswith("include") or INCLUDED in told or re.search(_UNSEALED, told) is not None


class Learnt(Generic[T]):
    """What was learnt of targets, by model: a gateway has something for one model and not for another. It is forgotten after an
    hour, and tried again: a proxy in front of a server says 404, too, while that is replaced."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str, str], tuple[float, T]] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def of(self, target: Target, tenant: str = "") -> T | None:
        """What is known of this one, as that tenant met it."""
        until, what = self._known.get((target.upstream.name, target.model, tenant), (0.0, None))
        return what if until > self._clock() else None

    def learn(self, target: Target, what: T, tenant: str = "") -> None:
        """This is so of this one, for that tenant."""
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[target.upstream.name, target.model, tenant] = self._clock() + _REMEMBERED, what


class Lacking(Learnt[bool]):
    """Who lacks one endpoint."""

    def __contains__(self, target: Target) -> bool:
        return self.of(target) is not None

    def add(self, target: Target) -> None:
        """This one does."""
        self.learn(target, True)
