"""The store: what the rest of the adapter holds.

    store = Store(url, ttl=30 * 86_400)         # no file, no connection yet
    await store.open()                          # optional: finds what can never work before the first client does
    history = await store.resolve(tenant, previous_response_id)
    await store.save_response(tenant, response, input=items)
    await store.close()

Laws, for every method:
* It takes the tenant first. Unknown ids, expired ones and another tenant's answer alike: None, False, or an absent key.
* When a writing method returns, its transaction is committed: what the caller sends then is an acknowledgement.
* Only `StoreUnavailable` (503) tells of the database's trouble; drivers' exceptions do not leave this package.
* Nothing here queries unless it is called; there is no background task.
* A caller that is cancelled does not stop a call half-way.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from adapter.store.background import Background
from adapter.store.completions import Completions
from adapter.store.conversations import Conversations
from adapter.store.engine import Database, Limits, store_url
from adapter.store.events import Events
from adapter.store.responses import Responses
from adapter.store.upkeep import Upkeep

DEFAULT_TTL = 30 * 86_400
"""Seconds: thirty days, as the API keeps responses."""


class Store(Responses, Events, Background, Conversations, Completions, Upkeep):
    """Responses, their events, background work, conversations, chat completions, upkeep: each in its own module."""

    def __init__(
        self,
        url: str | None = None,
        *,
        ttl: int | None = DEFAULT_TTL,
        clock: Callable[[], float] = time.time,
        limits: Limits | None = None,
    ) -> None:
        """
        Args:
            url: `sqlite:////path` or `postgresql://…`; None is the SQLite file in the user's state directory.
            ttl: seconds that responses and chat completions are kept; None for ever.
            clock: Unix seconds.

        Raises:
            ConfigError: such a URL cannot be served.
        """
        super().__init__(Database(store_url(url), limits or Limits()), clock, ttl)

    async def open(self) -> None:
        """Connect, check and migrate now rather than at the first call.

        Raises:
            ConfigError: newer schema than this binary's, not a database, or damaged: refuse to start.
            StoreUnavailable: not reachable now; later calls try again.
        """
        await self.db.open()

    async def close(self) -> None:
        """Wait for calls that are running and let the connections go."""
        await self.db.close()
