"""Requests that Hypothesis draws, and the smallest of those that a server answers badly.

Answers are remembered by their requests, so that a model that says something else each time cannot confuse the search, and a
request that is looked at twice costs once. The search for a smaller one is bounded, since every step of it costs tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Final

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.strategies import DrawFn

from adapter.conform import strategies
from adapter.conform.laws import Findings, Name
from adapter.conform.live.questions import TINY
from adapter.wire import jsonio

_STEPS: Final = 60
"""Requests beyond those that were asked for that the way to the smallest one may take."""
_NOT_SPOILT: Final = {
    *("model", "messages", "input", "stream", "stream_options"),  # what the answer is judged by
    *("n", "store", "modalities", "audio", "web_search_options"),  # what costs, or leaves traces
    *("max_tokens", "max_completion_tokens", "max_output_tokens"),
}
_SPOILT: Final = [key for key in strategies.REQUEST_KEYS if key not in _NOT_SPOILT]
"""Parameters that a drawn request may hold with any JSON behind them."""


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest request that was answered badly, and what was wrong with the answer."""

    body: dict[str, Any]
    findings: Findings


class _Broken(Exception):
    """Tells Hypothesis that a request is one to make smaller."""


class _Enough(BaseException):
    """Ends a search: Hypothesis takes no notice of it, as of a signal."""


@st.composite
def requests(draw: DrawFn, name: Name, model: str, limit_key: str) -> dict[str, Any]:
    """A small, cheap request: a good one, or one that is good but for some parameters."""
    body = draw(strategies.chat_requests() if name == "chat" else strategies.responses_requests())
    if draw(st.booleans()):
        body |= draw(strategies.wrong(_SPOILT))
    if name == "responses":
        return body | {"model": model, limit_key: TINY, "store": False}
    if body.get("stream") and draw(st.booleans()):
        body["stream_options"] = {"include_usage": draw(st.booleans())}
    return body | {"model": model, limit_key: TINY}


def search(
    judge: Callable[[dict[str, Any]], Findings], name: Name, model: str, limit_key: str, *, examples: int, seed: int
) -> tuple[int, Smallest | None]:
    """How many requests were asked, and the smallest that `judge` finds something about."""
    asked: set[bytes] = set()
    broken: dict[bytes, Smallest] = {}

    @seeded(seed)
    @settings(
        max_examples=examples,
        phases=(Phase.generate, Phase.shrink),
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(requests(name, model, limit_key))
    def look(body: dict[str, Any]) -> None:
        key = jsonio.dumps(body)
        if key not in asked:
            if len(asked) == examples + _STEPS:
                raise _Enough
            asked.add(key)
            if findings := judge(body):
                broken[key] = Smallest(body, findings)
        if key in broken:
            raise _Broken

    with TemporaryDirectory() as home:  # Hypothesis keeps tables; they have no place where the user happens to be
        set_hypothesis_home_dir(home)
        try:
            with suppress(_Broken, _Enough):
                look()
        finally:
            set_hypothesis_home_dir(None)
    return len(asked), broken[min(broken, key=lambda key: (len(key), key))] if broken else None
