"""The tools that `tool_choice` names, by the names under which the upstream knows them."""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.checks import json_object, name, string, wrong_value
from adapter.dialects.functions.toolbox import HOSTED, Toolbox
from adapter.dialects.writing import Writing
from adapter.errors import UnsupportedParameter

_FIELDS: Final = frozenset({"type", "name", "namespace"})


def named(choice: Any, path: str, writing: Writing, box: Toolbox) -> str | None:
    """The wire name of the tool that is named at `path`; None for one that the server would have to run.

    Raises:
        BadRequest: it is none of those that are offered.
    """
    kind = string(json_object(choice, path).get("type"), f"{path}.type")
    match kind:
        case "function" | "custom":
            called = name(choice.get("name"), f"{path}.name")
        case "tool_search" | "local_shell" | "shell" | "apply_patch":
            called = kind
        case _ if kind in HOSTED:
            return None
        case _:
            raise wrong_value(f"{path}.type", "the type of a tool")
    namespace = choice.get("namespace")
    if namespace is not None:
        string(namespace, f"{path}.namespace")
    wire = box.find(kind, called, namespace)
    if wire is None:
        if kind in HOSTED:
            return None
        raise wrong_value(path, "a tool that is among the tools")
    writing.lose_unknown(path, choice, _FIELDS)
    return wire


def cannot_force(box: Toolbox, param: str, hosted: bool = False) -> Exception:
    """What a choice at `param` is refused with where nothing is left to choose; `hosted`: what the server itself runs was."""
    if hosted or box.dropped or box.web_search_options is not None:
        return UnsupportedParameter("A tool is forced that this upstream cannot have.", param=param)
    return wrong_value(param, "to force a tool only where tools are given")
