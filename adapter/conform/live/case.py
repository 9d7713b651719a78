"""What laws are asked about: one request and its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

from adapter.conform.laws import Findings
from adapter.conform.live.dialect import Dialect
from adapter.conform.report import excerpt, quoted
from adapter.wire import jsonio

STREAM_TYPE: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request."""

    status: int
    media_type: str
    """Of the content type, without its parameters, in lower case."""
    raw: bytes
    fault: str = ""
    """Why the answer did not come to its end; empty where it did."""
    retry_after: int | None = None
    """Seconds after which the server wants to be asked again, where it says so."""

    @property
    def excerpt(self) -> str:
        """Its beginning, for people, in one line. What is no answer of a model says which fault it is."""
        return self.excerpt_from(0)

    def excerpt_from(self, byte: int) -> str:
        """The same of what begins there."""
        raw = self.raw[byte:]
        return quoted(raw) if self.status == 200 else excerpt(raw)


@dataclass(frozen=True)
class Case:
    """One request of a dialect and its answer."""

    dialect: Dialect
    body: dict[str, Any]
    """Empty where what was sent is no JSON object."""
    answer: Answer
    before: Case | None = None
    """What was answered before, where this question follows from it."""

    @cached_property
    def value(self) -> Any:
        """The answer's JSON; of a stream the answer that it adds up to. None where there is none, as of a stream that failed."""
        try:
            if self.answer.media_type == STREAM_TYPE:
                failed = not {*self.ends} <= {*self.dialect.good_ends}
                return None if failed else self.dialect.folded(self.answer.raw)
            return jsonio.loads(self.answer.raw)
        except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError):
            return None

    @cached_property
    def ends(self) -> list[str]:
        """Everything in a stream that says that it is over."""
        return self.dialect.ends(self.answer.raw)


Law: TypeAlias = Callable[[Case], Findings]


def named(law: Callable[..., Findings]) -> str:
    """A law's name in reports and on the command line."""
    return law.__name__.replace("_", "-")
