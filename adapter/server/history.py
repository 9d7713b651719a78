"""Where earlier turns come from when a request only names them."""

from __future__ import annotations

from typing import Protocol

from adapter.errors import PreviousResponseNotFound
from adapter.hub.events import Item
from adapter.server.caller import Caller


class History(Protocol):
    """Stored responses, seen from the pipeline."""

    async def resolve(self, caller: Caller, previous_response_id: str) -> list[Item]:
        """The items of that response and all before it, oldest first, input and output.

        Raises:
            PreviousResponseNotFound: this caller has none of that id.
        """


class NoHistory:
    """Nothing is stored here."""

    async def resolve(self, caller: Caller, previous_response_id: str) -> list[Item]:
        """Never found."""
        raise PreviousResponseNotFound(
            "No response with this id is stored here; send the whole conversation as input.",
            param="previous_response_id",
        )
