"""A small language for the scenarios of stream machines.

    Playbook(reader) >> chunk({...}) << [Started(...)] >> eof() << [Failed(...)]

`>>` gives the machine an input, `<<` says what it must have answered since the last input, event for event. Errors compare
by class and code. An input whose answer is never looked at is an error of the playbook, raised by `done()`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from adapter.dialects.base import StreamReader
from adapter.errors import AdapterError
from adapter.hub.events import Event, Failed

Input = Callable[[StreamReader], list[Event]]


def sse(name: str | None, data: Any) -> Input:
    """One SSE event; `data` is an object to be dumped, or raw text or bytes."""
    raw = data if isinstance(data, bytes) else data.encode() if isinstance(data, str) else orjson.dumps(data)
    return lambda reader: reader.feed(name, raw)


def chunk(data: Any) -> Input:
    """One nameless data event: a Chat chunk, or `[DONE]`."""
    return sse(None, data)


def eof() -> Input:
    """The upstream closed its stream."""
    return lambda reader: reader.close()


def broken(error: AdapterError) -> Input:
    """The transport failed."""
    return lambda reader: reader.fail(error)


class Playbook:
    """Drives one reader through one scenario."""

    def __init__(self, reader: StreamReader) -> None:
        self.reader = reader
        self.unseen: list[Event] | None = None

    def __rshift__(self, given: Input) -> Playbook:
        assert not self.unseen, f"the answer to the last input was not looked at: {self.unseen}"
        self.unseen = given(self.reader)
        return self

    def __lshift__(self, expected: list[Event]) -> Playbook:
        assert self.unseen is not None, "nothing was given yet"
        assert [_comparable(e) for e in self.unseen] == [_comparable(e) for e in expected]
        self.unseen = None
        return self

    def done(self) -> None:
        """The scenario is over and every answer was looked at."""
        assert not self.unseen, f"the answer to the last input was not looked at: {self.unseen}"


def _comparable(event: Event) -> Any:
    if isinstance(event, Failed):
        return ("failed", type(event.error).__name__, event.error.code, replace(event, error=None).items)  # type: ignore[arg-type]
    return event
