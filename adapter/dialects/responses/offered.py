"""The tools of a Responses body, wherever they are offered, in words that a server takes which is particular about them.

Named edits of the raw lane, and the last ones of what the hub writes: each where the profile wants it, and where nothing is to be
said otherwise the body is the client's own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import is_
from typing import Any, Final, TypeAlias

from adapter.dialects.functions.parameters import UNITED, object_schema
from adapter.dialects.functions.toolbox import BRINGS_TOOLS, Tool
from adapter.hub.losses import Action, Loss
from adapter.hub.request import DialectName
from adapter.upstream.profiles import GENERIC, SCHEMAS, Profile, without

Edit: TypeAlias = Callable[[Tool, str], Tool]
"""Gives the tool at a path: itself, or another one to be sent for it."""

_DESCRIBED: Final = ("namespace",)
"""Kinds of tools that must have a description."""
_PLACES: Final[dict[DialectName, str]] = {"chat": "function.parameters", "responses": "parameters"}
"""Where in a client's own tool the schema stands."""
_OF_OBJECTS: Final = without(GENERIC, frozenset({SCHEMAS}))


def retold(
    body: dict[str, Any], profile: Profile, losses: list[Loss], dialect: DialectName = "responses"
) -> dict[str, Any]:
    """`tools` and `input` as the server takes them, where it does not take the body's own; `losses` gets what is lost by that, in
    the words of the client's dialect."""
    edits: list[Edit] = []
    if not profile.empty_descriptions:
        edits.append(_described)
    if SCHEMAS in profile.responses_unknown:
        edits.append(partial(_of_object, losses, _PLACES[dialect]))
    if not edits:
        return {}
    retelling = _Retelling(edits)
    made = {"tools": _each(body.get("tools"), "tools", retelling.tool), "input": retelling.items(body.get("input"))}
    return {field: told for field, told in made.items() if told is not body.get(field)}


def is_loose(body: dict[str, Any]) -> bool:
    """Whether the schema of some function does not say that it is of an object."""
    return bool(retold(body, _OF_OBJECTS, []))


class _Retelling:
    """All edits that one server needs."""

    __slots__ = ("_edits",)

    def __init__(self, edits: list[Edit]) -> None:
        self._edits = edits

    def items(self, items: Any) -> Any:
        if not isinstance(items, list):
            return items
        made = [
            _holding(item, f"input[{index}]", self.tool) if _brings(item) else item for index, item in enumerate(items)
        ]
        return items if all(map(is_, made, items)) else made

    def tool(self, tool: Tool, path: str) -> Tool:
        """One tool, and those in it where it is a namespace."""
        return _holding(self._alone(tool, path), path, self._alone)

    def _alone(self, tool: Tool, path: str) -> Tool:
        for edit in self._edits:
            tool = edit(tool, path)
        return tool


def _brings(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") in BRINGS_TOOLS


def _holding(holder: dict[str, Any], path: str, edit: Edit) -> dict[str, Any]:
    """The same item or namespace with its tools edited."""
    tools = holder.get("tools")
    made = _each(tools, f"{path}.tools", edit)
    return holder if made is tools else {**holder, "tools": made}


def _each(tools: Any, path: str, edit: Edit) -> Any:
    if not isinstance(tools, list):
        return tools
    made = [edit(tool, f"{path}[{index}]") if isinstance(tool, dict) else tool for index, tool in enumerate(tools)]
    return tools if all(map(is_, made, tools)) else made


def _described(tool: Tool, _: str) -> Tool:
    """A tool whose description is not empty: absent, or where it must be there, its name."""
    if tool.get("description") != "":
        return tool
    if tool.get("type") in _DESCRIBED:
        return {**tool, "description": tool.get("name")}
    return {key: value for key, value in tool.items() if key != "description"}


def _of_object(losses: list[Loss], place: str, tool: Tool, path: str) -> Tool:
    """A function whose schema says that it is of an object."""
    said = tool.get("parameters")
    if tool.get("type") != "function" or not isinstance(said, (dict, type(None))):
        return tool
    told, united = object_schema(said)
    if united:
        losses.append(Loss(f"{path}.{place}", Action.APPROXIMATED, "parameters", UNITED))
    return tool if told is said else {**tool, "parameters": told}
