"""Calls of tools that the server does not know, sent as functions and given back as the items they were asked as.

The arguments of the function are the item's own JSON: `tool_search` its arguments, `local_shell` and `shell` their action,
`apply_patch` its operation. They come whole, at the end of the call, because the item has no form for half of them.
Arguments that cannot be read as such an item make a plain `function_call`: the client refuses it by its call id, and the
model reads why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapter.hub.events import Item
from adapter.hub.request import ToolKind
from adapter.hub.usage import count
from adapter.wire.jsonio import dumps, loads


def facts_of(kind: ToolKind, arguments: str) -> Item | None:
    """The type and the own fields of a structured item, from the arguments of its call; None where they do not make one."""
    try:
        value = loads(arguments.encode("utf-8", "replace")) if arguments.strip() else {}
        dumps(value)  # what cannot be written again makes no item
    except ValueError:
        return None
    return _FACTS[kind](value) if isinstance(value, dict) else None


def _tool_search(value: dict[str, Any]) -> Item | None:
    return {"type": "tool_search_call", "execution": "client", "arguments": value}


def _local_shell(value: dict[str, Any]) -> Item | None:
    action = _inner(value, "action")
    command, env = _strings(action.get("command")), action.get("env")
    if not command:
        return None
    env = {key: text for key, text in env.items() if isinstance(text, str)} if isinstance(env, dict) else {}
    kept = {"type": "exec", "command": command, "env": env}
    kept |= _counts(action, "timeout_ms")
    kept |= {key: action[key] for key in ("working_directory", "user") if isinstance(action.get(key), str)}
    return {"type": "local_shell_call", "action": kept}


def _shell(value: dict[str, Any]) -> Item | None:
    action = _inner(value, "action")
    commands = _strings(action.get("commands"))
    if not commands:
        return None
    limits = {"timeout_ms": None, "max_output_length": None} | _counts(action, "timeout_ms", "max_output_length")
    return {"type": "shell_call", "action": {"commands": commands, **limits}, "environment": {"type": "local"}}


def _apply_patch(value: dict[str, Any]) -> Item | None:
    operation = _inner(value, "operation")
    kind, path, diff = operation.get("type"), operation.get("path"), operation.get("diff")
    if kind not in ("create_file", "update_file", "delete_file") or not isinstance(path, str):
        return None
    kept = {"type": kind, "path": path}
    if kind != "delete_file":
        if not isinstance(diff, str):
            return None
        kept["diff"] = diff
    return {"type": "apply_patch_call", "operation": kept}


_FACTS: Final[dict[ToolKind, Callable[[dict[str, Any]], Item | None]]] = {
    ToolKind.TOOL_SEARCH: _tool_search,
    ToolKind.LOCAL_SHELL: _local_shell,
    ToolKind.SHELL: _shell,
    ToolKind.APPLY_PATCH: _apply_patch,
}


def _inner(value: dict[str, Any], key: str) -> dict[str, Any]:
    """Models often wrap the fields once more in an object of the field's name."""
    inner = value.get(key)
    return inner if isinstance(inner, dict) else value


def _strings(value: Any) -> list[str] | None:
    """A list of strings; a lone string is a list of one."""
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) and all(isinstance(text, str) for text in value) else None


def _counts(action: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: given for key in keys if (given := count(action.get(key))) is not None}
