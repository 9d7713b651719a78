"""An upstream's `param` in the words of the client."""

from __future__ import annotations

import pytest

from adapter.dialects.params import for_client
from adapter.hub.request import DialectName


@pytest.mark.parametrize(
    ("said", "dialect", "told"),
    [
        ("messages[3].content", "responses", "input"),
        ("messages", "responses", "input"),
        ("max_tokens", "responses", "max_output_tokens"),
        ("response_format.json_schema.schema", "responses", "text.format"),
        ("reasoning_effort", "responses", "reasoning.effort"),
        ("input[1].content", "chat", "messages"),
        ("text.format.schema", "chat", "response_format"),
        ("text.verbosity", "chat", "verbosity"),
        ("reasoning.effort", "chat", "reasoning_effort"),
        ("max_output_tokens", "chat", "max_completion_tokens"),
        ("tools[2].function.parameters", "responses", "tools"),
        ("tools[0].custom.format", "responses", "tools"),
        ("tool_choice.function.name", "responses", "tool_choice"),
        ("tools[2].parameters", "chat", "tools"),
        ("tools[0].format.definition", "chat", "tools"),
        ("tool_choice.name", "chat", "tool_choice"),
    ],
)
def test_a_field_of_the_other_dialect_gets_its_name_here(said: str, dialect: DialectName, told: str) -> None:
    assert for_client(said, dialect) == told


@pytest.mark.parametrize(
    ("said", "dialect"),
    [
        ("messages[3].content", "chat"),
        ("max_tokens", "chat"),
        ("input[1].content", "responses"),
        ("text.format.schema", "responses"),
        ("temperature", "responses"),
        ("something.new[3]", "chat"),
        ("reasoning.summary", "chat"),
        ("tools[2].function.parameters", "chat"),
        ("tools[2].custom.format", "chat"),
        ("tools[2].type", "chat"),
        ("tools[2]", "chat"),
        ("tool_choice.allowed_tools.mode", "chat"),
        ("tools[2].parameters", "responses"),
        ("tools[2].type", "responses"),
        ("tool_choice.name", "responses"),
        ("", "chat"),
        (None, "responses"),
    ],
)
def test_what_the_client_can_know_stays(said: str | None, dialect: DialectName) -> None:
    assert for_client(said, dialect) == said
