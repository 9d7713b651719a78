"""Whether a JSON schema already meets the rules of strict mode.

Responses turns strict mode on by itself where `strict` is left out and the schema fits; Chat has to be told. What a Chat server
is told and what a Response echoes are decided here, with no wherever it is not sure: strictness that was not asked for must never
make a request fail.
"""

from __future__ import annotations

from typing import Any, Final

_NOT_STRICT: Final = frozenset(
    {
        *("allOf", "oneOf", "not", "if", "then", "else", "default", "contains", "prefixItems"),
        *("dependentRequired", "dependentSchemas", "patternProperties", "propertyNames"),
        *("unevaluatedProperties", "unevaluatedItems"),
    }
)
"""Keywords that strict mode refuses, or may refuse."""


def meets_strict_rules(schema: Any) -> bool:
    """Every object is closed and requires all its properties, and no keyword is out of bounds."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return False
    stack: list[Any] = [schema]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if not _NOT_STRICT.isdisjoint(node) or (_is_object(node) and not _is_closed(node)):
                return False
            stack.extend(node.values())
    return True


def _is_object(node: dict[str, Any]) -> bool:
    kind = node.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _is_closed(node: dict[str, Any]) -> bool:
    properties, required = node.get("properties", {}), node.get("required", [])
    return (
        node.get("additionalProperties") is False
        and isinstance(properties, dict)
        and isinstance(required, list)
        and all(key in required for key in properties)
    )


def explicit_tool(tool: Any) -> Any:
    """A tool with what its type leaves to defaults written out, as a Response echoes it."""
    match tool:
        case {"type": "function"}:
            parameters, strict = tool.get("parameters"), tool.get("strict")
            if type(strict) is not bool:
                strict = meets_strict_rules(parameters)
            return {**tool, "parameters": parameters, "strict": strict}
        case {"type": "namespace", "tools": list(inner)}:
            return {**tool, "tools": [explicit_tool(one) for one in inner]}
        case {"type": "custom"} if tool.get("format") is None:
            return {**tool, "format": {"type": "text"}}
        case _:
            return tool
