"""What upstreams turned out not to have or know, learnt from their refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic
from typing import Final

from adapter.errors import AdapterError, UpstreamRefused, UpstreamUnwell
from adapter.upstream.refusals import POLICIES
from adapter.upstream.router import Target
from adapter.upstream.wordings import Meaning

_ABSENT: Final = frozenset({404, 405, 501})
_UNSUPPORTED: Final = r"\bis not supported (?:for|by) |\bUnexpected endpoint or method\b"
"""LiteLLM says "COMPACT responses is not supported for gemini" with a 500, LM Studio the other with a 200."""
_INVALID: Final = frozenset({400, 422})
_ELSE: Final = POLICIES - {"invalid_prompt"} | {Meaning.CONTEXT.value, "invalid_encrypted_content"}
"""Codes of refusals for what is said, and not for how; OpenRouter says `invalid_prompt` of tools that it does not know."""
_REFUSED_ALL_THE_SAME: Final = (
    r"invalid_request_error|BadRequestError|\bJinja\b|[Ss]ystem message must be at the beginning"
)
"""What a 500 says that is a refusal: LiteLLM's of what the server behind it answered, llama.cpp's and LM Studio's of a template that
takes instructions only as its first message."""
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


def may_mean_form(refused: AdapterError) -> bool:
    """Whether a refusal may mean that the server knows a kind of tool or item not which the request has, or instructions not where
    it has them: most say that of its type, and some nothing but that it is invalid (llama.cpp #20156, LM Studio #1810 and #2298,
    vLLM #42475, OpenRouter, LiteLLM #36182)."""
    if isinstance(refused, UpstreamUnwell):
        return re.search(_REFUSED_ALL_THE_SAME, refused.message) is not None
    return isinstance(refused, UpstreamRefused) and refused.http_status in _INVALID and refused.code not in _ELSE


class Lacking:
    """Who lacks one thing, by model: a gateway has it for one model and not for another. It is tried again after an hour: a proxy
    in front of a server says 404, too, while that is replaced."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}

    def __contains__(self, target: Target) -> bool:
        return bool(self._until) and self._until.get((target.upstream.name, target.model), 0.0) > self._clock()

    def add(self, target: Target) -> None:
        """This one does."""
        if len(self._until) >= _MOST:
            self._until.clear()
        self._until[target.upstream.name, target.model] = self._clock() + _REMEMBERED

    def discard(self, target: Target) -> None:
        """This one does not, or nobody knows."""
        self._until.pop((target.upstream.name, target.model), None)
