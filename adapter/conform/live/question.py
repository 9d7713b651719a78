"""A question to a live server, and what is asked because of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from adapter.conform.live.case import Case, Law

SHORT: Final = 256
"""Most tokens of an answer in words; it takes ten, unless the model thinks before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row: a request and what its answer must keep."""

    name: str
    body: Mapping[str, Any] | bytes
    """An object to be completed, or bytes to be sent as they are."""
    laws: tuple[Law, ...]
    path: str | None = None
    """Another path than the dialect's."""
    limit: int | None = SHORT
    """Tokens at most, under the name that the server takes."""
    lacking: tuple[str, ...] = ()
    """A server may refuse this request if it names one of these: it says that it lacks the feature."""
    method: str = "POST"
    absent: bool = False
    """A server may have no such path: 404, 405 and 501 say that it lacks the feature."""
    then: tuple[Next, ...] = ()
    """What is asked in turn after a good answer."""


@dataclass(frozen=True, slots=True)
class Next:
    """What is asked because of an answer."""

    name: str
    laws: tuple[Law, ...]
    asks: Callable[[Case], Mapping[str, Any] | None]
    """The fields of the question; None where the answer gives no reason for one."""
    gate: bool = False
    """Where this is lacking or broken, nothing more is asked."""
    then: tuple[Next, ...] = ()
    """As of a question."""

    def question(self, before: str, case: Case) -> Question | None:
        """As a question; `before` is the name of the one that was answered."""
        fields = self.asks(case)
        return (
            None
            if fields is None
            else Question(name=f"{before}, then {self.name}", laws=self.laws, then=self.then, **fields)
        )
