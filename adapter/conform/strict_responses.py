"""What a Responses server without a store says about a request: nothing may lean on what it does not keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from adapter.hub.items import UPDATE
from adapter.upstream.profiles import GENERIC, Profile

_OUTPUTS: Final = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "tool_search_call": "tool_search_output",
}


def problems(body: dict[str, Any], profile: Profile = GENERIC) -> list[str]:
    """Everything that is wrong with `body`; nothing for a request that such a server takes."""
    try:
        return [*_problems(body), *(_unknown(body, profile) if profile.responses_tools else ())]
    except (AttributeError, KeyError, TypeError) as malformed:  # not even the shape of a request
        return [f"malformed: {malformed!r}"]


def _problems(body: dict[str, Any]) -> Iterator[str]:
    if not isinstance(body.get("model"), str):
        yield "no model"
    if body.get("store") is not False:
        yield "store must be false"
    yield from (f"{key}: nothing is stored here" for key in ("previous_response_id", "conversation") if body.get(key))
    items = body["input"]
    if isinstance(items, str):
        return
    waiting: dict[str, str] = {}
    answered: set[str] = set()
    beside: set[str] = set()
    for i, item in enumerate(items):
        kind = item.get("type", "message")
        if kind in _OUTPUTS:
            if item["call_id"] in waiting:
                yield f"input[{i}]: two calls of one id"
            waiting[item["call_id"]] = _OUTPUTS[kind]
            if item.get("async"):
                beside.add(item["call_id"])
        elif kind == "function_call_output" and item.get("call_id") is None and isinstance(item.get("name"), str):
            pass  # what a tool says that nobody called
        elif kind in _OUTPUTS.values():
            if waiting.pop(item["call_id"], None) == kind:
                answered.add(item["call_id"])
            elif not (item["call_id"] in answered and isinstance(item.get("name"), str)):  # so Codex's scripts notify
                yield f"input[{i}]: answers no call that waits"
        if kind == UPDATE and i and items[i - 1].get("type") == UPDATE:
            yield f"input[{i}]: two updates of settings side by side"
        if kind == "reasoning" and not item.get("encrypted_content") and "id" in item and not item.get("content"):
            yield f"input[{i}]: a reasoning item without its encrypted content"
    yield from (f"the call {call_id} has no output" for call_id in waiting if call_id not in beside)


def _unknown(body: dict[str, Any], profile: Profile) -> Iterator[str]:
    """What a server refuses or drops that knows few kinds of tools."""
    tools, late = profile.responses_tools, profile.late_system == "keep"
    yield from (f"tools: no {tool['type']} here" for tool in body.get("tools") or () if tool["type"] not in tools)
    for i, item in enumerate(body["input"] if isinstance(body["input"], list) else ()):
        role, behind = item.get("role"), i or body.get("instructions")
        if not late and (role == "developer" or (role == "system" and behind)):
            yield f"input[{i}]: System message must be at the beginning"  # as templates say it
        if item.get("type", "message") not in _OF_FUNCTIONS or "namespace" in item:
            yield f"input[{i}]: no {item['type']} here"
        if item.get("type") == "function_call_output" and not isinstance(item.get("call_id"), str):
            yield f"input[{i}]: answers no call"


_OF_FUNCTIONS: Final = frozenset({"message", "reasoning", "function_call", "function_call_output"})
