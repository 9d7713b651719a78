"""Tools and tool choices of the Responses API, checked."""

from __future__ import annotations

from operator import length_hint
from typing import Any, Final

from adapter.errors import InvalidType, InvalidValue, MissingParameter

_NAMED: Final = frozenset({"function", "custom", "namespace"})
_CHOICES: Final = frozenset({"none", "auto", "required"})


def check_tools(tools: Any, path: str) -> None:
    """`tools` is a list of tools, each with a type and, where its type wants one, a name.

    Raises:
        BadRequest: with the path of what is wrong.
    """
    if type(tools) is not list:
        raise InvalidType("tools must be a list.", param=path)
    rest, last = iter(tools), len(tools) - 1
    for tool in rest:
        try:  # a function in which nothing is wrong, as most tools are: half the time of the closer look
            if (
                tool["type"] == "function"
                and type(name := tool["name"]) is str
                and name
                and type(tool["parameters"]) is dict
                and ((strict := tool.get("strict")) is None or type(strict) is bool)
                and ((description := tool.get("description")) is None or type(description) is str)
            ):
                continue
        except (KeyError, TypeError):
            pass
        check_tool(tool, f"{path}[{last - length_hint(rest)}]")


def check_tool(tool: Any, path: str) -> None:
    """One tool of any kind.

    Raises:
        BadRequest: as `check_tools`.
    """
    if type(tool) is not dict:
        raise InvalidType("A tool must be an object.", param=path)
    kind = tool.get("type")
    if type(kind) is not str:
        error = MissingParameter if kind is None else InvalidType
        raise error("A tool needs a type, a string.", param=f"{path}.type")
    if kind in _NAMED:
        _check_named(tool, kind, path)


def _check_named(tool: dict[str, Any], kind: str, path: str) -> None:
    name = tool.get("name")
    if type(name) is not str or not name:
        if name is None:
            raise MissingParameter(f"A {kind} tool needs a name.", param=f"{path}.name")
        raise InvalidType("The name of a tool must be a string that is not empty.", param=f"{path}.name")
    if kind == "namespace":
        inner = tool.get("tools")
        if type(inner) is list and any(type(one) is dict and one.get("type") == "namespace" for one in inner):
            raise InvalidValue("A namespace cannot hold namespaces.", param=f"{path}.tools")
        check_tools(inner, f"{path}.tools")
        return
    for key, wanted, word in _TOOL_FIELDS[kind]:
        value = tool.get(key)
        if value is not None and type(value) is not wanted:
            raise InvalidType(f"{key} of a tool must be {word}.", param=f"{path}.{key}")


_TOOL_FIELDS: Final[dict[str, tuple[tuple[str, type, str], ...]]] = {
    "function": (
        ("parameters", dict, "a JSON schema object"),
        ("strict", bool, "true or false"),
        ("description", str, "a string"),
    ),
    "custom": (("format", dict, "an object"), ("description", str, "a string")),
}


def check_tool_choice(choice: Any, tools_known: bool) -> None:
    """`choice` is one of the forms of tool_choice; one that demands a tool needs some (`tools_known`).

    Raises:
        BadRequest: with the path of what is wrong.
    """
    if type(choice) is str:
        if choice not in _CHOICES:
            raise InvalidValue("tool_choice must be none, auto, required or an object.", param="tool_choice")
        demands = choice == "required"
    elif type(choice) is dict:
        _check_choice(choice)
        demands = choice["type"] in ("function", "custom")
    else:
        raise InvalidType("tool_choice must be a string or an object.", param="tool_choice")
    if demands and not tools_known:
        raise InvalidValue("tool_choice demands a tool, but the request has no tools.", param="tool_choice")


def _check_choice(choice: dict[str, Any]) -> None:
    kind = choice.get("type")
    if type(kind) is not str:
        error = MissingParameter if kind is None else InvalidType
        raise error("A tool_choice object needs a type, a string.", param="tool_choice.type")
    if kind in ("function", "custom") and type(choice.get("name")) is not str:
        raise MissingParameter(f"A tool_choice of type {kind} needs the tool's name.", param="tool_choice.name")
    if kind == "allowed_tools":
        if choice.get("mode") not in ("auto", "required"):
            raise InvalidValue("mode of allowed_tools must be auto or required.", param="tool_choice.mode")
        tools = choice.get("tools")
        if type(tools) is not list or not all(type(tool) is dict for tool in tools):
            raise InvalidType("tools of allowed_tools must be a list of objects.", param="tool_choice.tools")
