"""The schema of a function's arguments, as a server takes it that wants an object spelled out.

Codex Desktop and MCP servers say `type: null`, no type, no properties, nothing at all, or a union of objects at the top, which many
servers refuse. Arguments are an object whatever is said of them, so that can be said. Of a union each argument is told with
all that it may be, and which of them go together is not told any more. Schemas of something else, or that stand elsewhere (`$ref`),
are the upstream's to judge.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final

from adapter.dialects.functions.schemas import no_parameters
from adapter.wire.jsonio import dumps

Schema = dict[str, Any]

UNITED: Final = "The upstream takes one object of arguments, not a choice among some."
"""What is lost of a union."""
_UNIONS: Final = ("oneOf", "anyOf", "allOf")
_DEFINED: Final = re.compile(r"#/(\$defs|definitions)/([^/]+)")
"""Where generators of schemas put the forms of a union. Others are not looked up: one within another would be sent many times."""


def object_schema(said: Schema | None) -> tuple[Schema, bool]:
    """The schema as that of an object, itself where it is one; and whether something of it is told only about so."""
    if not said:
        return no_parameters(), False
    kind, properties = said.get("type"), said.get("properties")
    if (kind is not None and kind != "object") or "$ref" in said:
        return said, False
    if kind is None and not properties and (one := _united(said)) is not None:
        return one, True
    if kind is not None and properties is not None:
        return said, False
    return {**said, "type": "object", "properties": {} if properties is None else properties}, False


def _united(union: Schema) -> Schema | None:
    """One object with the properties of all branches; None where they are not all objects, or deeper than can be sent."""
    every: list[Schema] = []
    required = dict.fromkeys(_required(union))
    for word in _UNIONS:
        branches = _branches(union, word)
        if branches is None:
            return None
        every += branches
        demands = Counter(name for branch in branches for name in dict.fromkeys(_required(branch)))
        least = 1 if word == "allOf" else len(branches)
        required |= dict.fromkeys(name for name, times in demands.items() if times >= least)
    if not every:
        return None
    try:
        properties = _properties(every)
    except ValueError:
        return None
    rest = {key: value for key, value in union.items() if key not in _UNIONS}
    return {**rest, "type": "object", "properties": properties, **({"required": [*required]} if required else {})}


def _properties(branches: list[Schema]) -> Schema:
    """What each property may be in one of them or another.

    Raises:
        ValueError: one is nested deeper than JSON is written.
    """
    found: dict[str, dict[bytes, Any]] = {}
    for branch in branches:
        for name, schema in (branch.get("properties") or {}).items():
            found.setdefault(name, {}).setdefault(dumps(schema), schema)
    listed = {name: [*schemas.values()] for name, schemas in found.items()}
    return {name: schemas[0] if len(schemas) == 1 else {"anyOf": schemas} for name, schemas in listed.items()}


def _branches(union: Schema, word: str) -> list[Schema] | None:
    """Those that the union has under this word, each once; None where one is no object."""
    listed = union.get(word) or []
    if not isinstance(listed, list):
        return None
    branches = [_resolved(branch, union) for branch in listed]
    return list({id(branch): branch for branch in branches}.values()) if all(map(_is_object, branches)) else None


def _resolved(branch: Any, union: Schema) -> Any:
    """A branch itself, or the definition that it refers to."""
    reference = branch.get("$ref") if isinstance(branch, dict) else None
    place = _DEFINED.fullmatch(reference) if isinstance(reference, str) else None
    if place is None:
        return branch
    definitions = union.get(place[1])
    return definitions.get(place[2]) if isinstance(definitions, dict) else None


def _is_object(branch: Any) -> bool:
    """What says that it is one, or says it by its properties, and is no union itself."""
    if not isinstance(branch, dict) or "$ref" in branch or not branch.keys().isdisjoint(_UNIONS):
        return False
    properties = branch.get("properties")
    return isinstance(properties, dict) or (properties is None and branch.get("type") == "object")


def _required(schema: Schema) -> list[str]:
    names = schema.get("required")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
