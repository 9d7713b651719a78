"""Tools that Responses has item types of their own for, and that the client runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Native:
    """How such a tool is called and answered."""

    item: str
    output: str
    prefix: str
    schema: dict[str, Any]
    """What the model fills, as if it were a function."""
    fields: Callable[[dict[str, Any]], dict[str, Any]]
    """The item's own fields, from what was filled."""


def _shape(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


NATIVE: Final[dict[str, Native]] = {
    "tool_search": Native(
        "tool_search_call",
        "tool_search_output",
        "tsc",
        _shape(query={"type": "string"}),
        lambda filled: {"execution": "client", "arguments": filled},
    ),
    "local_shell": Native(
        "local_shell_call",
        "local_shell_call_output",
        "lsh",
        _shape(command={"const": ["echo", "demo"]}),
        lambda filled: {"action": {"type": "exec", "env": {}, **filled}},
    ),
    "shell": Native(
        "shell_call",
        "shell_call_output",
        "sh",
        _shape(commands={"const": ["echo demo"]}),
        lambda filled: {
            "action": {"timeout_ms": None, "max_output_length": None, **filled},
            "environment": {"type": "local"},
        },
    ),
    "apply_patch": Native(
        "apply_patch_call",
        "apply_patch_call_output",
        "apc",
        _shape(type={"const": "create_file"}, path={"const": "demo.txt"}, diff={"const": "+demo\n"}),
        lambda filled: {"operation": filled},
    ),
}
