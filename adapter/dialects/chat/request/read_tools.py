"""Tools and tool choices of a Chat client -> Responses shape (map a4). Chat nests, Responses is flat."""

from __future__ import annotations

from operator import length_hint
from typing import Any, Final

from adapter.dialects.checks import (
    array,
    boolean,
    json_object,
    missing,
    name,
    string,
    wrong_type,
    wrong_value,
)
from adapter.dialects.functions.schemas import no_parameters
from adapter.dialects.functions.toolbox import SERVED
from adapter.hub.losses import Action, Loss, unknown_fields

Tool = dict[str, Any]

_OF_TOOLS: Final = frozenset({"type", "function", "custom"})
_OF_FUNCTIONS: Final = frozenset({"name", "description", "parameters", "strict"})
_OF_CUSTOMS: Final = frozenset({"name", "description", "format"})
_OF_FORMATS: Final = frozenset({"type", "grammar"})
_OF_GRAMMARS: Final = frozenset({"syntax", "definition"})
_OF_CHOICES: Final = frozenset({"type", "function", "custom", "allowed_tools"})
_OF_ALLOWED: Final = frozenset({"mode", "tools"})
_OF_NAMES: Final = frozenset({"name"})
_OF_OPTIONS: Final = frozenset({"user_location", "search_context_size"})
_OF_LOCATIONS: Final = frozenset({"type", "approximate"})


def read_tools(tools: Any, losses: list[Loss]) -> list[Tool]:
    """`tools`: functions with `strict` made explicit (the two APIs have opposite defaults), and custom tools.

    Functions in which nothing is wrong, as most tools are, are read at sight, in a third of the time of `read_tool` (the
    same result, a law in the tests).
    """
    read: list[Tool] = []
    unknown: list[Loss] = []
    rest, last = iter(array(tools, "tools")), len(tools) - 1
    for tool in rest:
        try:
            if tool["type"] == "function":
                function = tool["function"]
                called, description, parameters = function["name"], function["description"], function["parameters"]
                strict = function.get("strict")
                if (
                    type(called) is str
                    and called
                    and type(description) is str
                    and type(parameters) is dict
                    and (strict is None or type(strict) is bool)
                    and len(tool) == 2
                    and len(function) == (3 if strict is None else 4)
                ):
                    read.append(
                        {
                            "type": "function",
                            "name": called,
                            "description": description,
                            "parameters": parameters,
                            "strict": strict is True,
                        }
                    )
                    continue
        except (KeyError, TypeError):
            pass
        if (made := read_tool(tool, f"tools[{last - length_hint(rest)}]", unknown)) is not None:
            read.append(made)
    losses += _once_a_key(unknown)
    return read


def _once_a_key(unknown: list[Loss]) -> list[Loss]:
    """What stands on one tool stands on many: the first of each key."""
    first: dict[str, Loss] = {}
    for loss in unknown:
        first.setdefault(loss.path.rpartition(".")[2], loss)
    return list(first.values())


def read_functions(functions: Any, losses: list[Loss]) -> list[Tool]:
    """The deprecated `functions`, as function tools."""
    unknown: list[Loss] = []
    read = [_function(function, f"functions[{i}]", unknown) for i, function in enumerate(array(functions, "functions"))]
    losses += _once_a_key(unknown)
    return read


def read_function_call(choice: Any, losses: list[Loss]) -> Any:
    """The deprecated `function_call`, as a tool choice."""
    if isinstance(choice, str):
        if choice not in ("none", "auto"):
            raise wrong_value("function_call", "none, auto or an object with a name")
        return choice
    if not isinstance(choice, dict):
        raise wrong_type("function_call", "a string or an object", choice)
    losses += unknown_fields("function_call", choice, _OF_NAMES)
    return {"type": "function", "name": name(choice.get("name"), "function_call.name")}


def read_tool_choice(choice: Any, losses: list[Loss]) -> Any:
    """`tool_choice` in all its forms."""
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            raise wrong_value("tool_choice", "none, auto, required or an object")
        return choice
    if not isinstance(choice, dict):
        raise wrong_type("tool_choice", "a string or an object", choice)
    if choice.get("type") != "allowed_tools":
        return _named(choice, "tool_choice", losses)
    losses += unknown_fields("tool_choice", choice, _OF_CHOICES)
    allowed = json_object(choice.get("allowed_tools"), "tool_choice.allowed_tools")
    losses += unknown_fields("tool_choice.allowed_tools", allowed, _OF_ALLOWED)
    path = "tool_choice.allowed_tools.tools"
    tools = [_named(tool, f"{path}[{i}]", losses) for i, tool in enumerate(array(allowed.get("tools"), path))]
    mode = string(allowed.get("mode"), "tool_choice.allowed_tools.mode")
    if mode not in ("auto", "required"):
        raise wrong_value("tool_choice.allowed_tools.mode", "auto or required")
    return {"type": "allowed_tools", "mode": mode, "tools": tools}


def read_web_search_options(options: Any, losses: list[Loss]) -> Tool:
    """`web_search_options`, as the web_search tool; its location is flattened."""
    at = "web_search_options"
    tool: Tool = {"type": "web_search"}
    location = json_object(options, at).get("user_location")
    if location is not None:
        approximate = json_object(location, f"{at}.user_location").get("approximate")
        losses += unknown_fields(f"{at}.user_location", location, _OF_LOCATIONS)
        approximate = json_object(approximate, f"{at}.user_location.approximate")
        tool["user_location"] = {**approximate, "type": "approximate"}
    if options.get("search_context_size") is not None:
        tool["search_context_size"] = string(options["search_context_size"], f"{at}.search_context_size")
    losses += unknown_fields(at, options, _OF_OPTIONS)
    return tool


def read_tool(tool: Any, path: str, losses: list[Loss]) -> Tool | None:
    """One tool; None for one of a kind that neither API knows: what some server runs under such a name is its own. Those that
    Responses servers run are said as Responses has them, and stay as they are; where they hold an object of their own name (Zhipu's
    do), they are none."""
    kind = string(json_object(tool, path).get("type"), f"{path}.type")
    match kind:
        case "function":
            read = _function(tool.get("function"), f"{path}.function", losses)
        case "custom":
            read = _custom(json_object(tool.get("custom"), f"{path}.custom"), f"{path}.custom", losses)
        case _ if kind in SERVED and kind not in tool:
            return json_object(tool, path)
        case _:
            losses.append(Loss(path, Action.DROPPED, "unknown_tool", "Chat Completions has no such tool."))
            return None
    losses += unknown_fields(path, tool, _OF_TOOLS)
    return read


def _function(function: Any, path: str, losses: list[Loss]) -> Tool:
    called = name(json_object(function, path).get("name"), f"{path}.name")
    losses += unknown_fields(path, function, _OF_FUNCTIONS)
    read: Tool = {"type": "function", "name": called}
    if function.get("description") is not None:
        read["description"] = string(function["description"], f"{path}.description")
    parameters = function.get("parameters")
    read["parameters"] = json_object(parameters, f"{path}.parameters") if parameters is not None else no_parameters()
    strict = function.get("strict")
    read["strict"] = strict is not None and boolean(strict, f"{path}.strict")
    return read


def _custom(custom: dict[str, Any], path: str, losses: list[Loss]) -> Tool:
    read: Tool = {"type": "custom", "name": name(custom.get("name"), f"{path}.name")}
    losses += unknown_fields(path, custom, _OF_CUSTOMS)
    if custom.get("description") is not None:
        read["description"] = string(custom["description"], f"{path}.description")
    if custom.get("format") is None:
        return read
    form = json_object(custom["format"], f"{path}.format")
    losses += unknown_fields(f"{path}.format", form, _OF_FORMATS)
    match string(form.get("type"), f"{path}.format.type"):
        case "text":
            read["format"] = {"type": "text"}
        case "grammar":
            grammar = json_object(form.get("grammar"), f"{path}.format.grammar")
            losses += unknown_fields(f"{path}.format.grammar", grammar, _OF_GRAMMARS)
            read["format"] = {
                "type": "grammar",
                "syntax": string(grammar.get("syntax"), f"{path}.format.grammar.syntax"),
                "definition": string(grammar.get("definition"), f"{path}.format.grammar.definition"),
            }
        case _:
            raise wrong_value(f"{path}.format.type", "text or grammar")
    return read


def _named(choice: Any, path: str, losses: list[Loss]) -> dict[str, Any]:
    """`{type, <type>: {name}}` -> `{type, name}`; what a Responses server runs is named as Responses has it."""
    kind = string(json_object(choice, path).get("type"), f"{path}.type")
    if kind in SERVED:
        return json_object(choice, path)
    if kind not in ("function", "custom"):
        raise wrong_value(f"{path}.type", "function, custom or allowed_tools")
    if choice.get(kind) is None:
        raise missing(f"{path}.{kind}")
    called = name(json_object(choice[kind], f"{path}.{kind}").get("name"), f"{path}.{kind}.name")
    losses += unknown_fields(path, choice, _OF_CHOICES)
    losses += unknown_fields(f"{path}.{kind}", choice[kind], _OF_NAMES)
    return {"type": kind, "name": called}
