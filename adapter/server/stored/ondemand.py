"""The stored half of the application as the rest sees it: begun by the first request that is about it.

Its libraries are a third of the CPU of a start, and 28 MB, and who only passes turns on needs none of them. Where there is
something to look after, a database of an earlier run or a store that the operator wrote of, it begins with the process.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from adapter.access.caller import Caller
from adapter.hub.events import Item
from adapter.hub.request import DialectName
from adapter.sections import Settings
from adapter.server.courses.keeping import Keep
from adapter.server.courses.recall import Recalled
from adapter.server.pipeline import Pipeline
from adapter.server.stored.calls import Call, Endpoint
from adapter.server.stored.references import named
from adapter.server.stored.table import CHAT, RESPONSES, Entry
from adapter.server.turn import Turn
from adapter.store.paths import begins_at_once

if TYPE_CHECKING:
    from adapter.server.courses.course import Course
    from adapter.server.stored.parts import Stored

Observe = Callable[[str, float], None]


class OnDemand:
    """The `Keeping` of the pipeline, and the endpoints of what is stored."""

    def __init__(self, settings: Settings, observe: Observe | None, leaving: Callable[[], bool]) -> None:
        """`observe` is told of the store's operations; `leaving`: whether this process is on its way out."""
        self._settings = settings
        self._leaving = leaving
        self._observe = observe
        self._pipeline: Pipeline | None = None
        self._stored: Stored | None = None

    def endpoints(self, pipeline: Pipeline) -> dict[str, dict[str, ASGIApp]]:
        """Path -> method -> application.

        Raises:
            ConfigError: the store cannot be served, or there is no place for it.
        """
        self._pipeline = pipeline
        if begins_at_once(self._settings, os.environ):
            self._stored = self._made()
        return {
            path: {method: self._endpoint(entry, dialect) for method, entry in methods.items()}
            for dialect, path, methods in _all()
        }

    def start(self) -> None:
        """With the process."""
        if self._stored is not None:
            self._stored.start()

    async def ready(self) -> None:
        """What is not begun cannot be in trouble.

        Raises:
            StoreUnavailable: the store is.
        """
        if self._stored is not None:
            await self._stored.store.ready()

    async def close(self, within: float) -> None:
        """See `Stored.close`."""
        if self._stored is not None:
            await self._stored.close(within)

    # ------------------------------------------------------------------------------------------------- for the pipeline

    async def resolve(self, caller: Caller, previous_response_id: str) -> list[Item]:
        """See `History.resolve`."""
        return await (await self._begun()).keeping.resolve(caller, previous_response_id)

    async def kept_by(self, caller: Caller, response_id: str) -> str | None:
        """See `Keeping.kept_by`."""
        return await (await self._begun()).keeping.kept_by(caller, response_id)

    async def chat(self, turn: Turn, body: dict[str, Any]) -> Keep | None:
        """See `Keeping.chat`."""
        if body.get("store") is not True and self._settings.store.mode != "always":
            return None
        return (await self._begun()).keeping.chat(turn, body)

    async def responses(self, turn: Turn, body: dict[str, Any], recalled: Recalled) -> Keep | None:
        """See `Keeping.responses`."""
        if not self._concerns(body):
            return None
        return await (await self._begun()).keeping.responses(turn, body, recalled)

    def _concerns(self, body: dict[str, Any]) -> bool:
        """Whether a turn may be kept, or names what is stored."""
        items = body.get("input")
        return (
            body.get("store") is not False
            or self._settings.store.mode == "always"
            or body.get("background", False) not in (None, False)
            or body.get("conversation") is not None
            or (isinstance(items, list) and bool(named(items)))
        )

    # ------------------------------------------------------------------------------------------------------- beginning

    def _endpoint(self, entry: Entry, dialect: DialectName) -> ASGIApp:
        assert self._pipeline is not None

        async def handler(turn: Turn, call: Call) -> Course:
            return await entry.handler(await self._begun())(turn, call)

        return Endpoint(self._pipeline, handler, dialect, has_body=entry.has_body)

    async def _begun(self) -> Stored:
        if self._stored is None:
            await asyncio.to_thread(import_module, "adapter.server.stored.parts")  # other turns go on meanwhile
        if self._stored is None:
            self._stored = self._made()
            self._stored.start()
        return self._stored

    def _made(self) -> Stored:
        from adapter.server.stored.parts import Stored

        assert self._pipeline is not None
        stored = Stored.of(self._settings.store, self._pipeline, self._leaving)
        if self._observe is not None:
            stored.store.db.observe = self._observe
        return stored


def _all() -> Iterator[tuple[DialectName, str, Mapping[str, Entry]]]:
    for path, methods in RESPONSES.items():
        yield "responses", path, methods
    for path, methods in CHAT.items():
        yield "chat", path, methods
