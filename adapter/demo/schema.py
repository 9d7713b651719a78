"""The smallest honest instance of a JSON schema: what a model with structured output would be held to."""

from __future__ import annotations

import re
from typing import Any, Final

DEPTH: Final = 6
"""Below this depth optional properties are left out and the simplest branch is taken, so that recursive schemas end."""
FORMATS: Final = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "demo@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
CANDIDATES: Final = (
    "demo",
    "Demo",
    "DEMO",
    "a",
    "A",
    "1",
    "42",
    "2026",
    "00000",
    "demo-1",
    "a1",
    "A1",
    "AB-123",
    "#ffffff",
)
"""Tried in turn against a `pattern`; a schema author who needs more than these tests with a real model."""


def instance(schema: Any, hint: str = "demo") -> Any:
    """A value that is valid under `schema` for the usual keywords; `hint` is the text of strings that are free."""
    return _value(schema, schema, hint, 0)


def _value(schema: Any, root: Any, hint: str, depth: int) -> Any:
    schema = _resolved(schema, root)
    if not isinstance(schema, dict):
        return hint
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    for key in ("anyOf", "oneOf"):
        branches = schema.get(key)
        if isinstance(branches, list) and branches:
            branch = _resolved(_branch(branches, root, depth), root)
            return _value(_merged([_without(schema, key), branch]), root, hint, depth)
    match _type(schema):
        case "object":
            return _object(schema, root, depth)
        case "array":
            return _array(schema, root, hint, depth)
        case "string":
            return _string(schema, hint)
        case "integer" | "number" as kind:
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return hint


def _resolved(schema: Any, root: Any) -> Any:
    """`schema` with `$ref` followed and `allOf` folded in."""
    for _ in range(16):
        if not isinstance(schema, dict):
            return schema
        if isinstance(schema.get("$ref"), str):
            target = _pointed(root, schema["$ref"])
            schema = _merged([target if isinstance(target, dict) else {}, _without(schema, "$ref")])
        elif isinstance(schema.get("allOf"), list):
            schema = _merged([_without(schema, "allOf"), *(_resolved(part, root) for part in schema["allOf"])])
        else:
            return schema
    return {}


def _pointed(root: Any, reference: str) -> Any:
    value = root
    for step in reference.removeprefix("#").split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(step, {})
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return {}
    return value


def _without(schema: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in schema.items() if k != key}


def _merged(schemas: list[Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for schema in schemas:
        for key, value in schema.items() if isinstance(schema, dict) else ():
            if key == "properties" and isinstance(value, dict):
                whole[key] = {**whole.get(key, {}), **value}
            elif key == "required" and isinstance(value, list):
                whole[key] = [*whole.get(key, []), *value]
            else:
                whole[key] = value
    return whole


def _branch(branches: list[Any], root: Any, depth: int) -> Any:
    """The first branch; deep down the one that cannot go deeper."""
    if depth >= DEPTH:
        for branch in branches:
            if _type(_resolved(branch, root)) not in ("object", "array", ""):
                return branch
    return branches[0]


def _type(schema: Any) -> str:
    kind = schema.get("type") if isinstance(schema, dict) else ""
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if isinstance(kind, str) and kind:
        return kind
    if isinstance(schema, dict):
        for word, implied in (
            ("properties", "object"),
            ("items", "array"),
            ("pattern", "string"),
            ("minimum", "number"),
        ):
            if word in schema:
                return implied
    return ""


def _object(schema: dict[str, Any], root: Any, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    required = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    names = [name for name in properties if depth < DEPTH or name in required]
    names += [name for name in required if name not in properties]
    extra = schema.get("additionalProperties")
    made = {name: _value(properties.get(name, extra), root, name, depth + 1) for name in names}
    least = schema.get("minProperties")
    while isinstance(least, int) and len(made) < least:
        made[f"key_{len(made)}"] = _value(extra, root, "demo", depth + 1)
    return made


def _array(schema: dict[str, Any], root: Any, hint: str, depth: int) -> list[Any]:
    first = schema.get("prefixItems")
    made = [_value(item, root, hint, depth + 1) for item in first] if isinstance(first, list) else []
    least, most = schema.get("minItems"), schema.get("maxItems")
    wanted = max(least if isinstance(least, int) else 0, 1 if depth < DEPTH and schema.get("items") is not False else 0)
    if isinstance(most, int):
        wanted = min(wanted, most)
    items = _resolved(schema.get("items"), root)
    choices = items.get("enum") if isinstance(items, dict) else None
    while len(made) < wanted:
        value = _value(items, root, hint, depth + 1)
        if schema.get("uniqueItems") and value in made:
            value = _another(value, made, choices)
        made.append(value)
    return made


def _another(value: Any, taken: list[Any], choices: Any) -> Any:
    if isinstance(choices, list):
        return next((choice for choice in choices if choice not in taken), value)
    if isinstance(value, str):
        return f"{value}{len(taken)}"
    return value + len(taken) if isinstance(value, int) and not isinstance(value, bool) else value


def _string(schema: dict[str, Any], hint: str) -> str:
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        return next((text for text in (hint, *CANDIDATES) if _matches(pattern, text)), hint)
    text = FORMATS.get(schema.get("format", ""), hint) if isinstance(schema.get("format", ""), str) else hint
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int) and len(text) < least:
        text = (text or "x") * -(-least // max(len(text), 1))
        text = text[:least]
    return text[:most] if isinstance(most, int) else text


def _matches(pattern: str, text: str) -> bool:
    """Patterns come from the one user of this demo; they are tried on short texts only."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False


def _number(schema: dict[str, Any], *, whole: bool) -> int | float:
    """The first of a few plain candidates that keeps every bound."""
    low, above = _bound(schema, "minimum"), _bound(schema, "exclusiveMinimum")
    high, below = _bound(schema, "maximum"), _bound(schema, "exclusiveMaximum")
    step = _bound(schema, "multipleOf") or 1
    candidates: list[int | float] = [step, 0]
    candidates += [-(-bound // step) * step for bound in (low,) if bound is not None]
    candidates += [(bound // step + 1) * step for bound in (above,) if bound is not None]
    candidates += [bound // step * step for bound in (high,) if bound is not None]
    candidates += [(-(-bound // step) - 1) * step for bound in (below,) if bound is not None]
    bottom, top = low if low is not None else above, high if high is not None else below
    candidates += [] if bottom is None or top is None or whole else [(bottom + top) / 2]
    for value in candidates:
        if (
            (low is None or value >= low)
            and (above is None or value > above)
            and (high is None or value <= high)
            and (below is None or value < below)
        ):
            return int(value) if whole else value
    return 1


def _bound(schema: dict[str, Any], key: str) -> int | float | None:
    value = schema.get(key)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
