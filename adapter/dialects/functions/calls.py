"""Call items and their outputs -> calls of functions, and what these return.

Everything that a client runs itself is a function of the same name, whose arguments are what the item says is to be done.
`toolbox` offers these functions, and `open_call` turns their calls back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapter.dialects.checks import array, json_object, json_text, name, no_string, string
from adapter.dialects.functions.toolbox import Toolbox
from adapter.dialects.writing import Writing
from adapter.hub.events import Item
from adapter.hub.losses import Action
from adapter.hub.names import fitted_call_id
from adapter.upstream.profiles import CallIdRule
from adapter.wire.jsonio import is_object

ToolCall = dict[str, Any]
"""As Chat has it: `{"id": …, "type": "function", "function": {"name": …, "arguments": …}}`, or the same of a custom tool."""


def _function(item: Item, index: int, writing: Writing, box: Toolbox, wire_id: str) -> ToolCall:
    called, arguments, namespace = item.get("name"), item.get("arguments"), item.get("namespace")
    if type(called) is not str or not called:
        called = name(called, writing.at(index, ".name"))
    if type(arguments) is not str:
        raise no_string(arguments, writing.at(index, ".arguments"))
    if namespace is None:
        wire = box.functions.get(called) or box.wire("function", called)
    else:
        wire = box.wire("function", called, string(namespace, writing.at(index, ".namespace")))
    arguments = _readable(arguments, writing.at(index, ".arguments"), writing)
    return {"id": wire_id, "type": "function", "function": {"name": wire, "arguments": arguments}}


def _readable(arguments: str, path: str, writing: Writing) -> str:
    """Arguments that the server can read: those that a model wrote wrong stay in the history for good, and would end it."""
    if not arguments:
        return "{}"
    if writing.profile.any_arguments or is_object(arguments):
        return arguments
    reason = "The upstream refuses calls whose arguments are no JSON object; these are the text in one."
    writing.lose(path, "arguments", reason, Action.APPROXIMATED)
    return json_text({"arguments": arguments}, path)


def _custom(item: Item, index: int, writing: Writing, box: Toolbox, wire_id: str) -> ToolCall:
    called = name(item.get("name"), writing.at(index, ".name"))
    namespace = item.get("namespace")
    if namespace is not None:
        string(namespace, writing.at(index, ".namespace"))
    wire = box.wire("custom", called, namespace)
    text = string(item.get("input"), writing.at(index, ".input"))
    if writing.profile.custom_tools:
        return {"id": wire_id, "type": "custom", "custom": {"name": wire, "input": text}}
    arguments = json_text({"input": text}, writing.at(index, ".input"))
    return {"id": wire_id, "type": "function", "function": {"name": wire, "arguments": arguments}}


def _emulated(kind: str, field: str, **implied: Any) -> Callable[[Item, int, Writing, Toolbox, str], ToolCall]:
    """A call whose arguments are the object in `field`, without the values that items must have and calls need not."""

    def render(item: Item, index: int, writing: Writing, box: Toolbox, wire_id: str) -> ToolCall:
        path = writing.at(index, f".{field}")
        said = item.get(field)
        if isinstance(said, str) and kind == "tool_search":
            arguments = _readable(said, path, writing)
        else:
            meant = {
                key: value
                for key, value in json_object(said, path).items()
                if value is not None and implied.get(key) != value
            }
            arguments = json_text(meant, path)
        return {"id": wire_id, "type": "function", "function": {"name": box.wire(kind, kind), "arguments": arguments}}

    return render


CALLS: Final[dict[str, Callable[[Item, int, Writing, Toolbox, str], ToolCall]]] = {
    "function_call": _function,
    "custom_tool_call": _custom,
    "tool_search_call": _emulated("tool_search", "arguments"),
    "local_shell_call": _emulated("local_shell", "action", type="exec", env={}),
    "shell_call": _emulated("shell", "action"),
    "apply_patch_call": _emulated("apply_patch", "operation"),
}


def _shell(item: Item, index: int, writing: Writing, _box: Toolbox) -> str:
    """stdout, stderr and outcome of each command, as JSON."""
    path = writing.at(index, ".output")
    return json_text(array(item.get("output"), path), path)


def _patched(item: Item, index: int, writing: Writing, _box: Toolbox) -> str:
    output = item.get("output")
    status = string(item.get("status", "completed"), writing.at(index, ".status"))
    if output is None or string(output, writing.at(index, ".output")) == "":
        return status
    return f"failed\n{output}" if status == "failed" else str(output)


def _found(item: Item, index: int, writing: Writing, box: Toolbox) -> str:
    """The names under which the tools that were found can be called."""
    found: list[str] = []
    for tool in array(item.get("tools") or [], writing.at(index, ".tools")):
        space = tool.get("name") if tool.get("type") == "namespace" else None
        for inner in tool["tools"] if tool.get("type") == "namespace" else (tool,):
            called = inner.get("name")
            kind = "custom" if inner.get("type") == "custom" else "function"
            wire = box.find(kind, called, space) if isinstance(called, str) else None
            if wire is not None:
                found.append(wire)
    return json_text({"tools": found}, writing.at(index, ".tools"))


TEXTS: Final[dict[str, Callable[[Item, int, Writing, Toolbox], str]]] = {
    "tool_search_output": _found,
    "shell_call_output": _shell,
    "apply_patch_call_output": _patched,
}
"""Outputs that say something in a form of their own -> the text that a function returns."""


def uncalled(item: Item, rule: CallIdRule) -> str:
    """Whose output it is that answers no call, or is not the first to answer it: what the user says before it."""
    called, space, call_id = item["name"], item.get("namespace"), item.get("call_id")
    words = f"Output of {space}.{called}" if space else f"Output of {called}"
    return f"{words}:" if call_id is None else f"{words}, beside that of the call {fitted_call_id(call_id, rule)}:"


def opened(content: Any) -> Any:
    """What an agent says. A payload that OpenAI would have sealed is what the model wrote, in one text with what it is about."""
    return list(map(_opened, content)) if isinstance(content, list) else content


def _opened(part: Any) -> Any:
    if isinstance(part, dict) and part.get("type") == "encrypted_content":
        return {"type": "input_text", "text": part.get("encrypted_content")}
    return part


def is_server_search(item: Item) -> bool:
    """Whether a server searched for the tools of this `tool_search_call` or `tool_search_output`."""
    return item.get("execution") == "server" or item.get("call_id") is None
