"""Answers that are this server's own, in whole or in part: known beforehand, or an upstream's with something changed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from adapter.errors import AdapterError
from adapter.hub.events import Event
from adapter.hub.losses import Anomaly
from adapter.hub.request import Exchange
from adapter.server.calls.lanes import Answering, Batch, InBatches


class Said(InBatches):
    """An answer that is known before it is given: what a compaction says in the form of a stream."""

    choices = 1

    def __init__(self, events: list[Event], exchange: Exchange) -> None:
        self._events = events
        self.headers: Mapping[str, str] = {}
        self.exchange = exchange
        self.anomalies: list[Anomaly] = []
        self.ended = False

    async def batch(self) -> Batch:
        self.ended = True
        return 0, self._events

    async def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


class Changed:
    """An answer whose first choice passes through a function from one event to the events that take its place."""

    def __init__(
        self,
        answering: Answering,
        change: Callable[[Event], list[Event]],
        *,
        only: frozenset[type[Event]] | None = None,
    ) -> None:
        """`only` names the events that `change` looks at; batches without any pass as they are."""
        self.answering = answering
        self._change = change
        self._only = only
        self.headers = answering.headers
        self.exchange = answering.exchange
        self.choices = answering.choices

    @property
    def anomalies(self) -> list[Anomaly]:
        return self.answering.anomalies

    @property
    def ended(self) -> bool:
        return self.answering.ended

    async def pass_on(self, write: Callable[[list[Event]], None], ready: Callable[[], bool]) -> None:
        def changed(events: list[Event]) -> None:
            if events := self._changed(events):
                write(events)

        await self.answering.pass_on(changed, ready)

    async def batch(self) -> Batch:
        return self._changed_batch(*await self.answering.batch())

    def _changed_batch(self, choice: int, events: list[Event]) -> Batch:
        return choice, events if choice else self._changed(events)

    def _changed(self, events: list[Event]) -> list[Event]:
        change, only = self._change, self._only
        if only is None or any(type(event) in only for event in events):
            return [made for event in events for made in change(event)]
        return events

    def fail(self, error: AdapterError) -> Batch:
        return self._changed_batch(*self.answering.fail(error))

    async def finish(self) -> None:
        await self.answering.finish()

    def close(self) -> None:
        self.answering.close()


class Document:
    """A whole JSON body of our own making."""

    error = None

    def __init__(self, body: bytes, usage: dict[str, Any] | None = None) -> None:
        self.body = body
        self.usage = usage
        self.headers: Mapping[str, str] = {}

    async def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing is open."""


class Written(ABC):
    """A stream that was written before, or is being written elsewhere: its bytes pass."""

    ended = False
    """Its last piece has been given."""

    @property
    def headers(self) -> Mapping[str, str]:
        """None are an upstream's."""
        return {}

    @abstractmethod
    async def piece(self) -> bytes:
        """The next bytes; to be asked for until `ended`."""

    async def finish(self) -> None:
        """Nothing is left to do."""
        return

    def close(self) -> None:
        """Nothing is open."""
        return
