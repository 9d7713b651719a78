"""`adapter store stats` and `adapter store purge`, as functions that return the text to print."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from adapter.sections import Store as Section
from adapter.store.opening import opened
from adapter.store.store import Store

T = TypeVar("T")


def stats(section: Section) -> str:
    """What the store of a configuration holds.

    Raises:
        ConfigError: it cannot be opened, ever.
        StoreUnavailable: it cannot be reached now.
    """
    found = asyncio.run(_told(section, Store.stats))
    lines = [
        f"backend    {found.backend}, schema {found.schema}",
        f"size       {found.bytes / (1 << 20):.1f} MiB",
        f"tenants    {found.tenants}",
        f"expired    {found.expired}",
        *(f"{table:<20} {rows}" for table, rows in sorted(found.rows.items())),
        *(f"responses {status:<10} {rows}" for status, rows in sorted(found.statuses.items())),
    ]
    return "\n".join(lines)


def purge(section: Section) -> str:
    """Remove what has expired from the store of a configuration.

    Raises:
        ConfigError: it cannot be opened, ever.
        StoreUnavailable: it cannot be reached now.
    """
    removed = asyncio.run(_told(section, Store.purge_expired))
    return f"removed {removed.responses} responses and {removed.completions} chat completions"


async def _told(section: Section, verb: Callable[[Store], Awaitable[T]]) -> T:
    store = opened(section)
    try:
        await store.open()
        return await verb(store)
    finally:
        await store.close()
