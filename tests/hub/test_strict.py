"""Strict mode where a request leaves it open: what a server is told of it, and what a client."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.dialects.chat.write_request import write_request
from adapter.dialects.responses.read_request import read_request
from adapter.hub.strict import explicit_tool, meets_strict_rules
from adapter.upstream.profiles import profile

EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
SCHEMAS: list[tuple[Any, bool]] = [
    (CLOSED, True),
    (None, False),
    ({"type": "string"}, False),
    (CLOSED | {"required": []}, False),
    (CLOSED | {"additionalProperties": True}, False),
    (CLOSED | {"properties": {"a": EMPTY}}, False),
    (CLOSED | {"properties": {"a": {"type": ["object", "null"]}}}, False),
    (CLOSED | {"properties": {"a": {"type": "string", "default": "b"}}}, False),
    (CLOSED | {"properties": {"a": {"anyOf": [CLOSED, {"type": "null"}]}}}, True),
    (CLOSED | {"properties": {"a": {"oneOf": [CLOSED]}}}, False),
    (CLOSED | {"properties": {"a": {"allOf": [CLOSED]}}}, False),
    (CLOSED | {"properties": {"a": {"type": "array", "items": EMPTY}}}, False),
    (CLOSED | {"$defs": {"x": EMPTY}}, False),
]


@pytest.mark.parametrize(("schema", "meets"), SCHEMAS)
def test_a_schema_meets_the_strict_rules_only_where_every_object_is_closed(schema: Any, meets: bool) -> None:
    assert meets_strict_rules(schema) is meets


@pytest.mark.parametrize(("schema", "meets"), SCHEMAS)
def test_a_client_is_told_of_strict_what_the_server_was_told(schema: Any, meets: bool) -> None:
    tool = {"type": "function", "name": "f", "parameters": schema}
    made = write_request(read_request({"model": "m", "input": "hi", "tools": [tool]}), profile("openai"))

    assert explicit_tool(tool)["strict"] is made.body["tools"][0]["function"]["strict"] is meets
