"""Call items and their outputs -> Chat tool calls and the texts of tool messages.

Everything that a client runs itself is a call to Chat: a function of the same name, whose arguments are what the item says is to
be done. `tools` offers these functions and the reader of answers turns them back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from adapter.dialects.chat.checks import array, json_object, json_text, name, string
from adapter.dialects.chat.tools import Toolbox
from adapter.dialects.chat.write_content import Part, Place, write_part
from adapter.dialects.chat.writing import Writing
from adapter.hub.events import Item
from adapter.hub.losses import Action
from adapter.hub.request import ToolKind

Rendered = tuple[str, str, bool]
"""(wire name, arguments or input, whether it is a native custom call)."""

Output = tuple[str | list[Part], list[Part]]
"""(content of the tool message, media that have to follow in a user message)."""


def _function(item: Item, index: int, writing: Writing, box: Toolbox) -> Rendered:
    called = item.get("name")
    if not isinstance(called, str) or not called:
        name(called, writing.at(index, ".name"))
    arguments = item.get("arguments")
    if not isinstance(arguments, str):
        string(arguments, writing.at(index, ".arguments"))
    return box.wire(ToolKind.FUNCTION, called, _namespace(item, index, writing)), arguments or "{}", False


def _custom(item: Item, index: int, writing: Writing, box: Toolbox) -> Rendered:
    called = name(item.get("name"), writing.at(index, ".name"))
    wire = box.wire(ToolKind.CUSTOM, called, _namespace(item, index, writing))
    text = string(item.get("input"), writing.at(index, ".input"))
    if writing.profile.custom_tools:
        return wire, text, True
    return wire, json_text({"input": text}, writing.at(index, ".input")), False


def _namespace(item: Item, index: int, writing: Writing) -> str | None:
    namespace = item.get("namespace")
    return None if namespace is None else string(namespace, writing.at(index, ".namespace"))


def _emulated(kind: ToolKind, field: str) -> Callable[[Item, int, Writing, Toolbox], Rendered]:
    """A call whose arguments are the object in `field`; an action's constant `type` is left out."""

    def render(item: Item, index: int, writing: Writing, box: Toolbox) -> Rendered:
        path = writing.at(index, f".{field}")
        said = item.get(field)
        if isinstance(said, str) and kind is ToolKind.TOOL_SEARCH:
            return box.wire(kind, kind.value), said or "{}", False
        meant = {
            key: value
            for key, value in json_object(said, path).items()
            if value is not None and (key != "type" or kind is not ToolKind.LOCAL_SHELL)
        }
        return box.wire(kind, kind.value), json_text(meant, path), False

    return render


CALLS: Final[dict[str, Callable[[Item, int, Writing, Toolbox], Rendered]]] = {
    "function_call": _function,
    "custom_tool_call": _custom,
    "tool_search_call": _emulated(ToolKind.TOOL_SEARCH, "arguments"),
    "local_shell_call": _emulated(ToolKind.LOCAL_SHELL, "action"),
    "shell_call": _emulated(ToolKind.SHELL, "action"),
    "apply_patch_call": _emulated(ToolKind.APPLY_PATCH, "operation"),
}


def _said(item: Item, index: int, writing: Writing, _box: Toolbox) -> Output:
    """The output of a function or custom tool: text, or a list of parts."""
    output = item.get("output")
    if isinstance(output, str):
        return output, []
    if output is None:
        return "", []
    place = Place(writing, index, "output")
    texts: list[str] = []
    parts: list[Part] = []
    media: list[Part] = []
    for j, part in enumerate(array(output, place.path())):
        made = write_part(part, j, writing, place)
        if made is None:
            continue
        parts.append(made)
        if made["type"] == "text":
            texts.append(made["text"])
        else:
            media.append(made)
            texts.append(f"[{_NOUNS[made['type']]}: it follows in the next user message]")
    if not media:
        return "\n".join(texts), []
    if writing.profile.tool_media:
        return parts, []
    reason = "The upstream takes only text from tools; what is more follows in a user message."
    writing.lose(place.path(), "tool_media", reason, Action.APPROXIMATED)
    return "\n".join(texts), media


_NOUNS: Final = {"image_url": "image", "file": "file"}


def _shell(item: Item, index: int, writing: Writing, _box: Toolbox) -> Output:
    """stdout, stderr and outcome of each command, as JSON."""
    path = writing.at(index, ".output")
    return json_text(array(item.get("output"), path), path), []


def _patched(item: Item, index: int, writing: Writing, _box: Toolbox) -> Output:
    output = item.get("output")
    status = string(item.get("status", "completed"), writing.at(index, ".status"))
    if output is None or string(output, writing.at(index, ".output")) == "":
        return status, []
    return (f"failed\n{output}" if status == "failed" else output), []


def _found(item: Item, index: int, writing: Writing, box: Toolbox) -> Output:
    """The names under which the tools that were found can be called."""
    found: list[str] = []
    for tool in array(item.get("tools") or [], writing.at(index, ".tools")):
        space = tool.get("name") if tool.get("type") == "namespace" else None
        for inner in tool["tools"] if tool.get("type") == "namespace" else (tool,):
            called = inner.get("name")
            kind = ToolKind.CUSTOM if inner.get("type") == "custom" else ToolKind.FUNCTION
            wire = box.find(kind, called, space) if isinstance(called, str) else None
            if wire is not None:
                found.append(wire)
    return json_text({"tools": found}, writing.at(index, ".tools")), []


OUTPUTS: Final[dict[str, Callable[[Item, int, Writing, Toolbox], Output]]] = {
    "function_call_output": _said,
    "custom_tool_call_output": _said,
    "tool_search_output": _found,
    "local_shell_call_output": _said,
    "shell_call_output": _shell,
    "apply_patch_call_output": _patched,
}
