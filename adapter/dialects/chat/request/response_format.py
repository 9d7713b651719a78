"""`text.format` -> `response_format`, or the instruction that stands in for it."""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.checks import json_object, json_text, string, wrong_value
from adapter.dialects.writing import Writing
from adapter.hub.losses import Action

_OF_SCHEMAS: Final = frozenset({"type", "name", "description", "schema", "strict"})
_OF_OTHERS: Final = frozenset({"type"})
_ONLY_JSON: Final = "Answer with one JSON object and nothing else: no prose around it and no code fence."


def write_format(writing: Writing, form: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """(`response_format`, an instruction); either may be absent.

    A server that knows less than was asked gets the most that it knows, and is told the rest in words, a loss.
    """
    most = writing.profile.response_format
    kind = string(form.get("type"), "text.format.type")
    writing.lose_unknown("text.format", form, _OF_SCHEMAS if kind == "json_schema" else _OF_OTHERS)
    match kind:
        case "text":
            return None, None
        case "json_object":
            if most != "none":
                return {"type": "json_object"}, None
            _report(writing)
            return None, _ONLY_JSON
        case "json_schema":
            schema = form.get("schema")
            schema = {} if schema is None else json_object(schema, "text.format.schema")
            name = string(form.get("name"), "text.format.name")
            if most == "json_schema":
                return {"type": "json_schema", "json_schema": _nested(form, name, schema)}, None
            _report(writing)
            told = f"{_ONLY_JSON} It must be valid against this JSON schema:\n{json_text(schema, 'text.format.schema')}"
            return ({"type": "json_object"} if most == "json_object" else None), told
        case _:
            raise wrong_value("text.format.type", "text, json_object or json_schema")


def _nested(form: dict[str, Any], name: str, schema: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name}
    if form.get("description") is not None:
        made["description"] = string(form["description"], "text.format.description")
    made["schema"] = schema
    made["strict"] = form.get("strict") is True
    return made


def _report(writing: Writing) -> None:
    reason = "The upstream cannot be held to this format; it is told in the instructions."
    writing.lose("text.format", "response_format", reason, Action.EMULATED)
