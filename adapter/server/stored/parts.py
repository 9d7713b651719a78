"""The stored half of the application, put together; started and stopped with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from adapter.errors import StoreUnavailable
from adapter.sections import Store as Section
from adapter.server.pipeline import Pipeline
from adapter.server.stored.background import Background
from adapter.server.stored.completions import StoredCompletions
from adapter.server.stored.conversing import StoredConversations
from adapter.server.stored.keeper import Keeper
from adapter.server.stored.retrieval import StoredResponses
from adapter.server.tasks import Tasks
from adapter.store.opening import opened
from adapter.store.store import Store
from adapter.telemetry.log import log

_PURGE_EVERY: Final = 600.0
_SWEEP_EVERY: Final = 60.0
_ABANDONED: Final = {
    "code": "server_error",
    "message": "The server that made this response stopped before it was complete.",
}


@dataclass(slots=True, kw_only=True)
class Stored:
    """What `[store]` adds."""

    store: Store
    keeping: Keeper
    background: Background
    responses: StoredResponses
    conversations: StoredConversations
    completions: StoredCompletions
    _tasks: Tasks = field(default_factory=Tasks)

    @classmethod
    def of(cls, section: Section, pipeline: Pipeline, leaving: Callable[[], bool]) -> Stored:
        """From the configuration; nothing is opened yet. `leaving`: see `Background`.

        Raises:
            ConfigError: it cannot be served.
        """
        assert section.mode != "off"
        store = opened(section)
        background = Background(store=store, pipeline=pipeline, leaving=leaving)
        return cls(
            store=store,
            keeping=Keeper(store=store, mode=section.mode, background=background),
            background=background,
            responses=StoredResponses(store=store, background=background, pipeline=pipeline),
            conversations=StoredConversations(store=store),
            completions=StoredCompletions(store=store, idempotency=pipeline.idempotency),
        )

    def start(self) -> None:
        """Look after what is stored, for as long as the process lives."""
        self._tasks.start(self.background.watch())
        self._tasks.start(self._upkeep())

    async def close(self, within: float) -> None:
        """Finish within so many seconds what cannot be given back, give back the rest, finish what is being written, let go."""
        await self._tasks.close()
        await self.background.close(within)
        await self.keeping.afterwards.finish()
        await self.store.close()

    async def _upkeep(self) -> None:
        clock = asyncio.get_running_loop().time
        purge_at = 0.0
        while True:
            try:
                if failed := await self.store.fail_abandoned(_ABANDONED):
                    log.warning("responses_abandoned", count=failed)
                if clock() >= purge_at:
                    purge_at = clock() + _PURGE_EVERY
                    await self.store.purge_expired()
            except StoreUnavailable as fault:
                log.warning("store_unavailable", reason=fault.reason)
            await asyncio.sleep(_SWEEP_EVERY)
