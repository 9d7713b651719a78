"""Waiting for a server that has no room for a request now, or is still loading its model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from adapter.conform.live.case import Answer

_FIRST: Final = 1.0
"""Seconds of the first pause; each is twice as long as the one before, or as long as `Retry-After` says."""


class Patient:
    """Asks again while the answer is "not now": a 429, and a 503 that says when, or that comes before any other answer."""

    def __init__(
        self,
        ask: Callable[[str, str, bytes], Answer],
        longest: float,
        sleep: Callable[[float], None],
        tell: Callable[[str], None],
    ) -> None:
        """`longest`: seconds of waiting from one other answer to the next; then "not now" is the answer."""
        self._ask = ask
        self._left = self._longest = longest
        self._sleep = sleep
        self._tell = tell
        self._answered = False

    def __call__(self, method: str, path: str, raw: bytes) -> Answer:
        """What the server answers when it has room."""
        pause = _FIRST
        while True:
            answer = self._ask(method, path, raw)
            if not self._not_now(answer):
                self._left, self._answered = self._longest, True
                return answer
            wait = max(pause, answer.retry_after or 0)
            if wait > self._left:
                return answer
            self._tell(f"wait  {wait:g} s: status {answer.status}")
            self._left -= wait
            self._sleep(wait)
            pause *= 2

    def _not_now(self, answer: Answer) -> bool:
        loading = answer.status == 503 and (answer.retry_after is not None or not self._answered)
        return answer.status == 429 or loading
