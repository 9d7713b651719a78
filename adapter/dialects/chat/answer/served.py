"""Calls that the server made and answered itself, as agents behind a Responses API do: nothing for a Chat client to run.

Such an answer holds a call, its output and what came of them. Chat has calls only that the client runs, so they are left out, as
hosted tools are. A stream tells a call long before its output: calls of tools that the client did not offer wait until then, and
those behind them, so that calls keep their order. A client that offered the tool gets the call as it comes.
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
    """The ids of the calls of a whole answer that its server made and then answered."""
    items = list(items)
    names = offered(exchange) if any(item.get("type") in CALL_OUTPUTS for item in items) else None
    if names is None:
        return frozenset()
    calls: list[str] = []
    answered: list[str] = []
    for item in items:
        if item.get("type") in CALL_OUTPUTS:
            answered += [call_id for call_id in calls if call_id == item.get("call_id")]
        elif item.get("type") in CALL_TYPES and item.get("name") not in names:
            calls.append(item["call_id"])
    return frozenset(answered)
