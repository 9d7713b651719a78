"""`adapter store stats` and `adapter store purge`, as functions that return the text to print."""

from __future__ import annotations

import asyncio

from adapter.store.store import Store
from adapter.store.values import Purged, Stats


def stats(url: str | None) -> str:
    """What the store at `url` holds.

    Raises:
        ConfigError: it cannot be opened, ever.
        StoreUnavailable: it cannot be reached now.
    """
    found = asyncio.run(_stats(url))
    lines = [
        f"backend    {found.backend}, schema {found.schema}",
        f"size       {found.bytes / (1 << 20):.1f} MiB",
        f"tenants    {found.tenants}",
        f"expired    {found.expired}",
        *(f"{table:<20} {rows}" for table, rows in sorted(found.rows.items())),
        *(f"responses {status:<10} {rows}" for status, rows in sorted(found.statuses.items())),
    ]
    return "\n".join(lines)


def purge(url: str | None) -> str:
    """Remove what has expired from the store at `url`.

    Raises:
        ConfigError: it cannot be opened, ever.
        StoreUnavailable: it cannot be reached now.
    """
    removed = asyncio.run(_purge(url))
    return f"removed {removed.responses} responses and {removed.completions} chat completions"


async def _stats(url: str | None) -> Stats:
    store = Store(url)
    try:
        await store.open()
        return await store.stats()
    finally:
        await store.close()


async def _purge(url: str | None) -> Purged:
    store = Store(url)
    try:
        await store.open()
        return await store.purge_expired()
    finally:
        await store.close()
