"""What upstreams turned out not to have, learnt from their refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic
from typing import Final

from adapter.errors import AdapterError, UpstreamUnwell
from adapter.upstream.router import Target

_ABSENT: Final = frozenset({404, 405, 501})
_UNSUPPORTED: Final = r"\bis not supported (?:for|by) |\bUnexpected endpoint or method\b"
"""LiteLLM says "COMPACT responses is not supported for gemini" with a 500, LM Studio the other with a 200."""
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


class Lacking:
    """Who lacks one endpoint, by model: a gateway has it for one model and not for another. It is tried again after an hour: a
    proxy in front of a server says 404, too, while that is replaced."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}

    def __contains__(self, target: Target) -> bool:
        return self._until.get((target.upstream.name, target.model), 0.0) > self._clock()

    def add(self, target: Target) -> None:
        """This one does."""
        if len(self._until) >= _MOST:
            self._until.clear()
        self._until[target.upstream.name, target.model] = self._clock() + _REMEMBERED
