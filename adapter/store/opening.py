"""The store of a configuration: made, and looked at before there are clients. Apart from what serves, so that the parent of
several workers can look without it."""

from __future__ import annotations

from adapter.errors import StoreUnavailable
from adapter.sections import Store as Section
from adapter.store.store import Store


def opened(section: Section) -> Store:
    """The store of a configuration, which opens itself when it is asked.

    Raises:
        ConfigError: such a store cannot be served.
    """
    url = None if section.url is None else section.url.get_secret_value()
    return Store(url, ttl=section.ttl or None)


async def check(section: Section) -> None:
    """Look at the store once, before there are clients.

    Raises:
        ConfigError: it can never be used as it is.
        StoreUnavailable: it cannot be reached now.
    """
    store = opened(section)
    try:
        await store.open()
    finally:
        await store.close()


def why(fault: StoreUnavailable) -> str:
    """A line for the operator, who sees no trace: what the database or the system says."""
    said = getattr(fault.__cause__, "orig", None) or fault.__cause__
    return fault.message if said is None else f"{fault.message} {' '.join(str(said).split())}"
