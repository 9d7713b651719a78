"""What a model does with the tools that it was offered: a call as the answer item that the server would give.

A script says `use(body, "say", {"text": "hi"}, namespace="mcp__echo")`; which name, kind and form the call has follows from the
request, in either dialect. A tool that was not offered cannot be called: that is the script's finding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

Offered: TypeAlias = dict[tuple[str, str], dict[str, Any]]
"""(namespace or "", name) -> the tool."""


class NotOffered(Exception):
    """The script calls a tool that the request does not offer."""


def offered(body: dict[str, Any]) -> Offered:
    """The tools of a request: of Chat's `tools`; of a Responses request from all three places that it has for them."""
    if "messages" in body:
        return {("", tool[tool["type"]]["name"]): tool for tool in body.get("tools") or ()}
    found = dict(_flat(body.get("tools") or ()))
    for item in body["input"] if isinstance(body["input"], list) else ():
        if item.get("type") in ("additional_tools", "tool_search_output"):
            found.update(_flat(item["tools"]))
    return found


def _flat(tools: Any, namespace: str = "") -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for tool in tools:
        if tool["type"] == "namespace":
            yield from _flat(tool["tools"], tool["name"])
        else:
            yield (namespace, tool.get("name", tool["type"])), tool


def use(
    body: dict[str, Any], name: str, arguments: dict[str, Any] | str, *, id: str, namespace: str = ""
) -> dict[str, Any]:
    """The call of a tool, as a finished Responses item; a string is custom input, or arguments just so.

    Raises:
        NotOffered: there is no such tool.
    """
    tools = offered(body)
    for space, called in ((namespace, name), ("", f"{namespace}__{name}"), ("functions", name), ("", name)):
        tool = tools.get((space, called))
        if tool is not None:
            return _call(tool, space, called, arguments, id)
    raise NotOffered(f"{namespace}/{name} is none of {sorted(tools)}")


def _call(tool: dict[str, Any], namespace: str, name: str, arguments: dict[str, Any] | str, id: str) -> dict[str, Any]:
    space = {"namespace": namespace} if namespace else {}
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call: dict[str, Any] = {"id": f"fc_{id}", "status": "completed", "call_id": f"call_{id}"}
    match tool["type"]:
        case "custom":
            return {**call, "type": "custom_tool_call", "name": name, **space, "input": written}
        case "tool_search":
            return {**call, "type": "tool_search_call", "execution": "client", "arguments": arguments}
        case _:
            if isinstance(arguments, str) and _one_input(tool):  # a custom tool, said as a function
                written = json.dumps({"input": arguments})
            return {**call, "type": "function_call", "name": name, **space, "arguments": written}


def _one_input(tool: dict[str, Any]) -> bool:
    schema = tool.get("function", tool).get("parameters") or {}
    return list(schema.get("properties") or ()) == ["input"]
