"""The items of a whole message, made at once: a plain reply that nobody streams needs none of the steps between.

A third of what the `Assembly` costs, for the messages that servers send as the API has them. It is the `Assembly` that says
what a message means; tests hold the two together.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.chat.answer.assembly import reasoning_kind
from adapter.hub.events import DeltaKind, Item
from adapter.hub.items import ENCRYPTED_ARGUMENTS, ID_PREFIXES
from adapter.hub.names import LONGEST_CALL_ID
from adapter.hub.request import Exchange, ToolKind
from adapter.hub.surrogates import mended

_LONGEST: Final = LONGEST_CALL_ID.max
_FUNCTION: Final = ToolKind.FUNCTION
_PREFIX: Final = ID_PREFIXES["function_call"]
_SUMMARY: Final = DeltaKind.SUMMARY
_READ: Final = frozenset({"role", "content", "tool_calls", "reasoning_content", "reasoning"})
_CALL: Final = frozenset({"index", "id", "type", "function"})


def plain_items(message: dict[str, Any], exchange: Exchange, token: str, status: str) -> dict[int, Item] | None:
    """Text, reasoning and function calls as closed items, the last one with `status`. None where there is anything else, or
    something to be mended."""
    get = message.get
    content, calls = get("content"), get("tool_calls")
    reasoning = get("reasoning_content") or get("reasoning")
    for key, value in message.items():
        if value and key not in _READ:
            return None
    if type(content or "") is not str or type(reasoning or "") is not str or type(calls or []) is not list:
        return None
    items: dict[int, Item] = {}
    if reasoning:
        items[0] = _reasoning(reasoning, f"rs_{token}_0", exchange)
    if content or not (reasoning or calls):  # an answer that says nothing is one empty message
        index = len(items)
        items[index] = {
            "id": f"msg_{token}_{index}",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": mended(content or ""), "annotations": [], "logprobs": []}],
        }
    if calls and not _add_calls(calls, exchange, token, items):
        return None
    items[len(items) - 1]["status"] = status
    return items


def _reasoning(text: str, id: str, exchange: Exchange) -> Item:
    kind = reasoning_kind(exchange)
    parts = [{"type": kind.value, "text": mended(text)}]
    if kind is _SUMMARY:
        return {"id": id, "type": "reasoning", "status": "completed", "summary": parts}
    return {"id": id, "type": "reasoning", "status": "completed", "summary": [], "content": parts}


def _add_calls(calls: list[Any], exchange: Exchange, token: str, items: dict[int, Item]) -> bool:
    """Adds the function calls, where they are all whole, and for functions of the client's."""
    given: set[str] = set()
    for index, call in enumerate(calls, len(items)):
        if type(call) is not dict or not _CALL.issuperset(call):
            return False
        call_id, function = call.get("id"), call.get("function")
        if type(call_id) is not str or not 0 < len(call_id) <= _LONGEST or type(function) is not dict:
            return False
        name, arguments = function.get("name"), function.get("arguments")
        if type(name) is not str or not name or type(arguments) is not str or len(function) > 2 or call_id in given:
            return False
        if not (name.isascii() and call_id.isascii()):
            return False
        given.add(call_id)
        item: Item = {"id": f"{_PREFIX}{token}_{index}", "type": "function_call", "status": "completed"}
        item["call_id"] = call_id
        ref = exchange.tools.get(name)
        if ref is not None and (ref.kind is not _FUNCTION or ref.found is not None):
            return False
        item["name"] = name if ref is None else ref.name
        item["arguments"] = mended(arguments) if arguments.strip() else arguments + "{}"
        if ref is not None and ref.namespace is not None:
            item["namespace"] = ref.namespace
        if ref is not None and ref.beside:
            item["async"] = True
        if ref is not None and ref.plain:
            item[ENCRYPTED_ARGUMENTS] = []
        items[index] = item
    return True
