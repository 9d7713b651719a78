"""The course of one turn: what is asked of whom until the answer begins. The pipeline begins it, when it has started the
clock of the held status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from adapter.hub.request import Exchange
from adapter.server.calls.lanes import Answering, RawStreaming, RawWhole
from adapter.server.calls.own import Document, Written
from adapter.server.turn import Turn

Lane: TypeAlias = Answering | RawStreaming | Written | RawWhole | Document


@dataclass(slots=True, kw_only=True)
class Course:
    """A turn, decided; not begun."""

    stream: bool
    exchange: Exchange
    """What a failure before the answer is written by."""
    begin: Callable[[], Awaitable[Lane]]
    raw: bool = False
    """A stream that nobody here writes: its bytes pass."""
    verbatim: bool = False
    """The request in `exchange` is all that an upstream is asked: nothing is compacted for it."""
    calls: int = 1
    """How many upstream calls it may have at once."""

    def begun(self) -> Awaitable[Lane]:
        """The answer, begun. With that the request of a stream is let go, which may run for long.

        Raises:
            AdapterError: there is none.
        """
        return self._streaming() if self.stream else self.begin()

    async def _streaming(self) -> Lane:
        lane = await self.begin()
        self.exchange.answered()
        return lane


def own_course(begin: Callable[[], Awaitable[Lane]], *, stream: bool = False) -> Course:
    """A course that no model is asked for."""
    return Course(stream=stream, exchange=Exchange.unasked("responses"), begin=begin, raw=True)


Decide: TypeAlias = Callable[[Turn, dict[str, Any]], Awaitable[Course]]
"""What finds the course of an admitted turn with this body."""
