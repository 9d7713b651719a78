"""Notices that the client leaves, and ends its turn."""

from __future__ import annotations

from adapter.server.turn import Outcome, Turn


async def watch(turn: Turn) -> None:
    """Wait for it. The body has been read: nothing else takes from `receive`."""
    while (await turn.receive())["type"] != "http.disconnect":
        continue
    if not turn.outlet.ended:
        turn.cut(Outcome.CLIENT_GONE)
