"""Arguments of emulated tools into the items that clients asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.dialects.functions.structured import facts_of
from adapter.hub.request import ToolKind
from adapter.wire.jsonio import dumps
from tests.validator import load

STRUCTURED = [ToolKind.TOOL_SEARCH, ToolKind.LOCAL_SHELL, ToolKind.SHELL, ToolKind.APPLY_PATCH]
SCHEMAS = {
    ToolKind.TOOL_SEARCH: "ToolSearchCall",
    ToolKind.LOCAL_SHELL: "LocalShellToolCall",
    ToolKind.SHELL: "FunctionShellCall",
    ToolKind.APPLY_PATCH: "ApplyPatchToolCall",
}

ACCEPTED: list[tuple[ToolKind, Any, Any]] = [
    (ToolKind.TOOL_SEARCH, {}, {"arguments": {}, "execution": "client"}),
    (ToolKind.TOOL_SEARCH, {"query": "x", "limit": 3}, {"arguments": {"query": "x", "limit": 3}}),
    (
        ToolKind.LOCAL_SHELL,
        {"command": ["ls", "-l"], "env": {"A": "b", "C": 1}, "timeout_ms": 5, "working_directory": "/", "user": None},
        {
            "action": {
                "type": "exec",
                "command": ["ls", "-l"],
                "env": {"A": "b"},
                "timeout_ms": 5,
                "working_directory": "/",
            }
        },
    ),
    (ToolKind.LOCAL_SHELL, {"command": "ls"}, {"action": {"type": "exec", "command": ["ls"], "env": {}}}),
    (
        ToolKind.SHELL,
        {"action": {"commands": ["ls"], "timeout_ms": 9}},
        {"action": {"commands": ["ls"], "timeout_ms": 9, "max_output_length": None}},
    ),
    (
        ToolKind.APPLY_PATCH,
        {"type": "update_file", "path": "p", "diff": "d"},
        {"operation": {"type": "update_file", "path": "p", "diff": "d"}},
    ),
    (
        ToolKind.APPLY_PATCH,
        {"operation": {"type": "delete_file", "path": "p", "diff": "ignored"}},
        {"operation": {"type": "delete_file", "path": "p"}},
    ),
]


@pytest.mark.parametrize(("kind", "arguments", "expected"), ACCEPTED)
def test_arguments_become_the_items_own_fields(kind: ToolKind, arguments: Any, expected: dict[str, Any]) -> None:
    facts = facts_of(kind, dumps(arguments).decode())

    assert facts is not None
    assert {key: facts[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (ToolKind.TOOL_SEARCH, "[]"),
        (ToolKind.TOOL_SEARCH, "{"),
        (ToolKind.TOOL_SEARCH, '{"x":' + "[" * 400 + "]" * 400 + "}"),
        (ToolKind.LOCAL_SHELL, "{}"),
        (ToolKind.LOCAL_SHELL, '{"command":[1]}'),
        (ToolKind.LOCAL_SHELL, '{"command":[]}'),
        (ToolKind.SHELL, ""),
        (ToolKind.SHELL, '{"commands":{}}'),
        (ToolKind.APPLY_PATCH, '{"type":"rename_file","path":"p"}'),
        (ToolKind.APPLY_PATCH, '{"type":"create_file","diff":"d"}'),
        (ToolKind.APPLY_PATCH, '{"type":"create_file","path":"p"}'),
    ],
)
def test_arguments_that_make_no_such_item_are_refused(kind: ToolKind, arguments: str) -> None:
    assert facts_of(kind, arguments) is None


values = st.recursive(
    st.none()
    | st.text(max_size=3)
    | st.integers(-1, 9)
    | st.sampled_from(["create_file", "update_file", "delete_file"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["action", "operation", "command", "commands", "env", "type", "path", "diff", "timeout_ms"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(STRUCTURED), values)
def test_whatever_comes_out_is_a_valid_item(kind: ToolKind, arguments: Any) -> None:
    facts = facts_of(kind, dumps(arguments).decode())
    if facts is None:
        return
    item = {"id": "x_1", "call_id": "a", "status": "completed", **facts}
    validator = load()
    if validator is not None:
        assert validator.errors(validator.check(item, SCHEMAS[kind])) == []
