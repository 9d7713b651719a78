"""`tool_choice` and its kin -> what a Chat upstream takes.

A choice is a constraint, so it is either kept or refused, never weakened in silence: what the upstream cannot say is said by
offering fewer tools, and of a server that hears no choice at all a demand is a loss.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.checks import array, boolean, string, wrong_type, wrong_value
from adapter.dialects.functions.choices import cannot_force, named
from adapter.dialects.functions.toolbox import WEB_SEARCHES, Tool, Toolbox
from adapter.dialects.writing import Writing
from adapter.hub.losses import Action


def write_tool_fields(writing: Writing, box: Toolbox) -> dict[str, Any]:
    """`tools`, `tool_choice`, `parallel_tool_calls` and `web_search_options`, those that are to be sent.

    Raises:
        UnsupportedParameter: a tool is forced that this upstream cannot have.
        BadRequest: a tool is forced that was not offered.
    """
    fields: dict[str, Any] = {}
    choice, offered = writing.request.body.get("tool_choice"), box.offered
    if choice is not None:
        choice, offered = _choice(choice, writing, box)
        if writing.profile.tool_choice == "ignored":
            offered = _unheard(choice, writing, offered)
    if offered:
        fields["tools"] = list(offered.values())
        if choice is not None:
            fields["tool_choice"] = choice
        _parallel(writing, fields)
    if box.web_search_options is not None and _may_search(writing):
        fields["web_search_options"] = box.web_search_options
    return fields


def _may_search(writing: Writing) -> bool:
    """Chat's choice is about functions only: a server with these options searches whatever it says. A Responses client's is
    about web search too."""
    choice = writing.request.body.get("tool_choice")
    if writing.request.dialect == "chat" or choice in (None, "auto", "required"):
        return True
    match choice:
        case {"type": "allowed_tools", "tools": tools}:
            return any(tool["type"] in WEB_SEARCHES for tool in tools)
        case _:
            return False


def _parallel(writing: Writing, fields: dict[str, Any]) -> None:
    parallel = writing.request.body.get("parallel_tool_calls")
    if parallel is None:
        return
    boolean(parallel, "parallel_tool_calls")
    if writing.profile.parallel_tool_calls:
        fields["parallel_tool_calls"] = parallel
    elif not parallel:
        reason = "The upstream may call several tools at once all the same."
        writing.lose("parallel_tool_calls", "parallel_tool_calls", reason)


def _choice(choice: Any, writing: Writing, box: Toolbox) -> tuple[Any, dict[str, Tool]]:
    """The Chat form of the choice, and the tools that are left to choose from."""
    match choice:
        case "none" | "auto":
            return choice, box.offered
        case "required":
            if not box.offered:
                raise cannot_force(box, "tool_choice")
            return choice, box.offered
        case str():
            raise wrong_value("tool_choice", "none, auto, required or an object")
        case {"type": "allowed_tools"}:
            return _allowed(choice, writing, box)
        case dict():
            wire = named(choice, "tool_choice", writing, box)
            if wire is None:
                raise cannot_force(box, "tool_choice", hosted=True)
            if writing.profile.tool_choice == "named":
                return _selected(wire, box), box.offered
            return "required", {wire: box.offered[wire]}
        case _:
            raise wrong_type("tool_choice", "a string or an object", choice)


def _unheard(choice: Any, writing: Writing, offered: dict[str, Tool]) -> dict[str, Tool]:
    """The tools for a server that calls whatever it likes of those it is sent."""
    if choice == "none":
        return {}
    if choice == "required":
        reason = "The upstream may answer without a call all the same."
        writing.lose("tool_choice", "tool_choice", reason, Action.APPROXIMATED)
    return offered


def _allowed(choice: dict[str, Any], writing: Writing, box: Toolbox) -> tuple[Any, dict[str, Tool]]:
    mode = string(choice.get("mode"), "tool_choice.mode")
    writing.lose_unknown("tool_choice", choice, _OF_ALLOWED)
    if mode not in ("auto", "required"):
        raise wrong_value("tool_choice.mode", "auto or required")
    wires: dict[str, None] = {}
    for i, tool in enumerate(array(choice.get("tools"), "tool_choice.tools")):
        wire = named(tool, f"tool_choice.tools[{i}]", writing, box)
        if wire is not None:
            wires[wire] = None
    if mode == "required" and not wires:
        raise cannot_force(box, "tool_choice.tools", hosted=bool(choice["tools"]))
    if writing.profile.allowed_tools and wires:
        tools = [_selected(wire, box) for wire in wires]
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}, box.offered
    return mode, {wire: tool for wire, tool in box.offered.items() if wire in wires}


_OF_ALLOWED: Final = frozenset({"type", "mode", "tools"})


def _selected(wire: str, box: Toolbox) -> dict[str, Any]:
    kind = box.offered[wire]["type"]
    return {"type": kind, kind: {"name": wire}}
