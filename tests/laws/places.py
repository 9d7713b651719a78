"""Every place of the official file's objects: each field, form and value that a schema knows, in a small instance that has it.

A place is shown twice, with what stands there and without. Whoever takes the instance and leaves nothing of the difference in
what comes out, nor in what is reported, has lost it in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent.parent.parent.parent / "shared" / "spec" / "openapi.json"
ABSENT: Any = object()
"""What stands for a value that is left out."""
UNKNOWN = "vendor_key"
"""A key that no schema knows."""
DEEPEST = 14
SCARCE = {
    "InputImageContent": {"image_url": "https://x/y.png"},
    "InputFileContent": {"file_data": "data:text/plain;base64,QQ=="},
    "InputFileContentParam": {"file_data": "data:text/plain;base64,QQ=="},
    "InputImageContentParamAutoParam": {"image_url": "https://x/y.png"},
    "FunctionCallOutputItemParam": {"call_id": "c"},
    "ToolSearchCallItemParam": {"call_id": "c", "execution": "client"},
    "ChatCompletionMessageToolCallChunk": {"id": "c", "function": {"name": "f", "arguments": "{}"}},
}
"""What objects need that the file calls optional, by the name of their schema."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place of an instance."""

    path: str
    """As losses and refusals write it."""
    value: Any
    """What stands there: a mark that stands nowhere else, a word, a number; of a form, its type."""
    whole: Any
    without: Any
    """`whole` without the value, or with another one where there must be one."""

    @property
    def marked(self) -> bool:
        """The value stands nowhere else."""
        return isinstance(self.value, str) and self.value.startswith("mark")

    def inside(self, wrap: Any) -> Place:
        """The same place in what `wrap` makes of its instances."""
        return replace(self, whole=wrap(self.whole), without=wrap(self.without))


@cache
def schemas() -> dict[str, Any]:
    """The schemas of the official file, by name."""
    found: dict[str, Any] = json.loads(PATH.read_bytes())["components"]["schemas"]
    return found


def flat(schema: dict[str, Any]) -> dict[str, Any]:
    """References followed, `allOf` merged."""
    if "$ref" in schema:
        target = flat(schemas()[schema["$ref"].rsplit("/", 1)[-1]])
        return {**target, "name": target.get("name") or schema["$ref"].rsplit("/", 1)[-1]}
    if "allOf" not in schema:
        return schema
    merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for part in [*schema["allOf"], {key: schema[key] for key in ("properties", "required") if key in schema}]:
        found = flat(part)
        merged["properties"] |= found.get("properties", {})
        merged["required"] += found.get("required", [])
    return merged


def forms(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What an instance may be: the leaves of its unions, but null."""
    found = flat(schema)
    if not found:
        return [{"type": "object"}]
    union = found.get("oneOf") or found.get("anyOf")
    if union and "properties" not in found:
        return [leaf for one in union for leaf in forms(one)]
    kinds = found.get("type")
    if isinstance(kinds, list):
        return [{**found, "type": kind} for kind in kinds if kind != "null"]
    return [] if kinds == "null" else [found]


def smallest(schema: dict[str, Any], depth: int = 0) -> Any:
    """The smallest instance of the first form."""
    found = forms(schema)
    if not found or depth > DEEPEST:
        return None
    form = found[0]
    if "enum" in form:
        return next(word for word in form["enum"] if word is not None)
    match form.get("type"):
        case "array":
            return [smallest(form["items"], depth + 1)]
        case "integer" | "number":
            return max(form.get("minimum", 1), 1)
        case "boolean":
            return False
        case "string":
            return "data:image/png;base64,AAAA" if form.get("format") == "uri" else "some"
        case _:
            return least(form, depth)


def least(form: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """The smallest instance of an object."""
    known = form.get("properties", {})
    made = {key: smallest(known[key], depth + 1) for key in form.get("required", ()) if key in known}
    return made | SCARCE.get(form.get("name", ""), {})


def places(name: str) -> list[Place]:
    """Every place of the schema of that name."""
    return [place for place in _places({"$ref": name}, "", (), count(1)) if place.whole != place.without]


def _places(schema: dict[str, Any], path: str, outer: tuple[str, ...], numbers: Iterator[int]) -> Iterator[Place]:
    if len(outer) > DEEPEST:
        return
    for form in forms(schema):
        if "enum" in form:
            words = [word for word in form["enum"] if word is not None]
            for word in words:
                yield Place(path, word, word, words[0] if word != words[0] else ABSENT)
            continue
        match form.get("type"):
            case "array":
                for place in _places(form["items"], f"{path}[0]", outer, numbers):
                    yield place.inside(lambda value: ABSENT if value is ABSENT else [value])
            case "integer" | "number":
                number = form.get("maximum", 137) if form["type"] == "integer" else 0.125
                yield Place(path, number, number, ABSENT)
            case "boolean":
                yield Place(path, True, True, ABSENT)
                yield Place(path, False, False, ABSENT)
            case "string":
                mark = f"mark{next(numbers)}x"
                yield Place(path, mark, mark, ABSENT)
            case _:
                yield from _object(form, path, outer, numbers)


def _object(form: dict[str, Any], path: str, outer: tuple[str, ...], numbers: Iterator[int]) -> Iterator[Place]:
    known = form.get("properties", {})
    mark = f"mark{next(numbers)}x"
    if not known:
        yield Place(path, mark, {mark: mark}, ABSENT)
        return
    name = form.get("name", path)
    if name in outer:
        return
    base = least(form)
    tag = next((key for key in ("type", "role", "object") if "enum" in flat(known.get(key, {}))), None)
    if tag is not None:
        yield Place(path, base.get(tag, tag), base, ABSENT)
    yield Place(f"{path}.{UNKNOWN}".lstrip("."), mark, {**base, UNKNOWN: mark}, base)
    for key, schema in known.items():
        if key == tag and len(flat(schema)["enum"]) == 1:
            continue
        for place in _places(schema, f"{path}.{key}".lstrip("."), (*outer, name), numbers):
            yield place.inside(
                lambda value, key=key: (
                    {k: v for k, v in base.items() if k != key or k in form.get("required", ())}
                    if value is ABSENT
                    else {**base, key: value}
                )
            )
