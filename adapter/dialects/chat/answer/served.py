"""Calls that the server made and answered itself, as agents behind a Responses API do: nothing for a Chat client to run.

Such an answer holds a call, its output and what came of them. Chat has calls only that the client runs, so they are left out, as
hosted tools are. A stream tells a call long before its output: calls of tools that the client did not offer wait until then, and
a client that offered the tool gets the call as it comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from adapter.dialects.chat.answer.finishes import CALL_TYPES
from adapter.hub.events import Item
from adapter.hub.losses import Action, Loss
from adapter.hub.request import Exchange

CALL_OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
SERVED_CALL: Final = Loss("output", Action.DROPPED, "function_call", "The server made this call and answered it.")


def offered(exchange: Exchange) -> frozenset[str] | None:
    """The names of the tools that the client runs; None where nobody knows its request."""
    request = exchange.request
    if not request.model:
        return None
    return frozenset(tool["name"] for tool in request.body.get("tools") or () if type(tool.get("name")) is str)


def served(items: Iterable[Item], exchange: Exchange) -> frozenset[str]:
    """The ids of the calls of a whole answer that its server made and answered."""
    items = list(items)
    answered = {item.get("call_id") for item in items if item.get("type") in CALL_OUTPUTS}
    names = offered(exchange) if answered else None
    if names is None:
        return frozenset()
    calls = [item for item in items if item.get("type") in CALL_TYPES and item.get("name") not in names]
    return frozenset(call["call_id"] for call in calls if call["call_id"] in answered)
