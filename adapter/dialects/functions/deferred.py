"""Deferred tools where the server was to search for them (`tool_search` without `execution: "client"`).

Few servers search, and a tool that need not be known before it is searched for may be offered at once. Clients hold to
the order, though: both of OpenAI's Agents SDKs refuse the call of a deferred function that no search has found. So the
reference of such a tool holds what the search for it would tell, and the reader of the answer tells that before the first
call, unless a `tool_search_output` in the conversation has brought the tool already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from adapter.hub.request import Request, ToolKind, ToolRef
from adapter.hub.strict import explicit_tool

Tool = dict[str, Any]


def find_deferred(
    offered_as: Callable[[str, str, str | None], str | None], refs: dict[str, ToolRef], request: Request
) -> None:
    """Let the references of the deferred tools say what a search for them tells. `offered_as`: kind, name and namespace of a tool
    -> the upstream's name of it, which is what `refs` go by; None: it is not offered.

    The call of a function that is in no namespace names the function itself as its namespace, as OpenAI does.
    """
    found = {
        offered_as(tool["type"], tool["name"], space)
        for tool, space, _ in _one_by_one(_brought(request, "tool_search_output"))
    }
    offered = (request.body.get("tools") or []) + _brought(request, "additional_tools")
    for tool, space, whole in _one_by_one(offered):
        kind, called = tool["type"], tool["name"]
        wire = offered_as(kind, called, space)
        if wire is None or not tool.get("defer_loading"):
            continue
        ref = refs.get(wire) or ToolRef(ToolKind(kind), called)
        if ref.namespace is None and kind == "function":
            ref = ref._replace(namespace=called)
        refs[wire] = ref if wire in found else ref._replace(found=explicit_tool(whole))


def _brought(request: Request, kind: str) -> list[Tool]:
    """The tools of the items of this kind."""
    items = [request.items[index] for index in request.others]
    return [tool for item in items if item.get("type") == kind for tool in item.get("tools") or []]


def _one_by_one(tools: list[Tool]) -> Iterator[tuple[Tool, str | None, Tool]]:
    """Each function and custom tool, its namespace, and the two of them as one tool."""
    for tool in tools:
        if tool["type"] == "namespace":
            for inner in tool["tools"]:
                if inner["type"] in ("function", "custom"):
                    yield inner, tool.get("name"), {**tool, "tools": [inner]}
        elif tool["type"] in ("function", "custom"):
            yield tool, None, tool
