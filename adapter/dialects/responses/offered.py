"""The tools of a Responses body, wherever they are offered, in words that a server takes which is particular about them.

Named edits of the raw lane, and the last ones of what the hub writes: each where the profile wants it, and where nothing is to be
said otherwise the body is the client's own.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any, Final

from adapter.dialects.functions.toolbox import BRINGS_TOOLS, Tool
from adapter.upstream.profiles import Profile

_DESCRIBED: Final = ("namespace",)
"""Kinds of tools that must have a description."""


def retold(body: dict[str, Any], profile: Profile) -> dict[str, Any]:
    """`tools` and `input` as the server takes them, where it does not take the body's own."""
    if profile.empty_descriptions:
        return {}
    made = {"tools": _each(body.get("tools"), _tool), "input": _items(body.get("input"))}
    return {field: told for field, told in made.items() if told is not body.get(field)}


def _items(items: Any) -> Any:
    if not isinstance(items, list):
        return items
    made = [_holding(item, _tool) if _brings(item) else item for item in items]
    return items if all(map(is_, made, items)) else made


def _brings(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") in BRINGS_TOOLS


def _tool(tool: Tool) -> Tool:
    """One tool, and those in it."""
    return _holding(_described(tool), _described)


def _holding(holder: dict[str, Any], edit: Callable[[Tool], Tool]) -> dict[str, Any]:
    """The same item or namespace with its tools edited."""
    tools = holder.get("tools")
    made = _each(tools, edit)
    return holder if made is tools else {**holder, "tools": made}


def _each(tools: Any, edit: Callable[[Tool], Tool]) -> Any:
    if not isinstance(tools, list):
        return tools
    made = [edit(tool) if isinstance(tool, dict) else tool for tool in tools]
    return tools if all(map(is_, made, tools)) else made


def _described(tool: Tool) -> Tool:
    """A tool whose description is not empty: absent, or where it must be there, its name."""
    if tool.get("description") != "":
        return tool
    if tool.get("type") in _DESCRIBED:
        return {**tool, "description": tool.get("name")}
    return {key: value for key, value in tool.items() if key != "description"}
