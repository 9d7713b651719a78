"""Call items and their outputs -> Chat tool calls and the texts of tool messages.

Everything that a client runs itself is a call to Chat: a function of the same name, whose arguments are what the item says is to
be done. `tools` offers these functions and the reader of answers turns them back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from adapter.dialects.chat.request.checks import array, json_object, json_text, name, no_string, string
from adapter.dialects.chat.request.tools import Toolbox
from adapter.dialects.chat.request.write_content import Part, write_part
from adapter.dialects.chat.request.writing import Writing
from adapter.hub.events import Item
from adapter.hub.losses import Action
from adapter.wire.jsonio import is_object

ToolCall = dict[str, Any]

Output = tuple[str | list[Part], Sequence[Part]]
"""(content of the tool message, media that have to follow in a user message)."""


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


def _said(item: Item, index: int, writing: Writing, _box: Toolbox) -> Output:
    """The output of a function or custom tool: text, or a list of parts."""
    output = item.get("output")
    if isinstance(output, str):
        return output, ()
    if output is None:
        return "", ()
    texts: list[str] = []
    parts: list[Part] = []
    media: list[Part] = []
    for j, part in enumerate(array(output, writing.at(index, ".output"))):
        made = write_part(part, j, writing, index, "output")
        if made is None:
            continue
        parts.append(made)
        if made["type"] == "text":
            texts.append(made["text"])
        else:
            media.append(made)
            texts.append(f"[{_NOUNS[made['type']]}: it follows in the next user message]")
    if not media:
        return "\n".join(texts), ()
    if writing.profile.tool_media:
        return parts, ()
    reason = "The upstream takes only text from tools; what is more follows in a user message."
    writing.lose(writing.at(index, ".output"), "tool_media", reason, Action.APPROXIMATED)
    return "\n".join(texts), media


_NOUNS: Final = {"image_url": "image", "file": "file"}


def _shell(item: Item, index: int, writing: Writing, _box: Toolbox) -> Output:
    """stdout, stderr and outcome of each command, as JSON."""
    path = writing.at(index, ".output")
    return json_text(array(item.get("output"), path), path), ()


def _patched(item: Item, index: int, writing: Writing, _box: Toolbox) -> Output:
    output = item.get("output")
    status = string(item.get("status", "completed"), writing.at(index, ".status"))
    if output is None or string(output, writing.at(index, ".output")) == "":
        return status, ()
    return (f"failed\n{output}" if status == "failed" else output), ()


def _found(item: Item, index: int, writing: Writing, box: Toolbox) -> Output:
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
    return json_text({"tools": found}, writing.at(index, ".tools")), ()


OUTPUTS: Final[dict[str, Callable[[Item, int, Writing, Toolbox], Output]]] = {
    "function_call_output": _said,
    "custom_tool_call_output": _said,
    "tool_search_output": _found,
    "local_shell_call_output": _said,
    "shell_call_output": _shell,
    "apply_patch_call_output": _patched,
}
