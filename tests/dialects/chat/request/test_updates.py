"""`configuration_update` items: settings that hold from there on (LangChain, pydantic-ai, the AI SDK and Codex send them)."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.errors import InvalidType
from tests.dialects.chat.writing import OPENAI, call, chat_call, generic, lost, output, said, user, written

FORMAT = {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {}}, "strict": True}


def update(**settings: Any) -> dict[str, Any]:
    return {"type": "configuration_update", **settings}


@pytest.mark.parametrize(
    ("updates", "effort", "form"),
    [
        ([{"reasoning": {"effort": "high"}}], "high", "json_object"),
        ([{"text": {"format": FORMAT}}], "low", "json_schema"),
        (
            [{"reasoning": {"effort": "high"}, "text": {"format": FORMAT}}, {"reasoning": {"effort": "max"}}],
            "max",
            "json_schema",
        ),
        ([{"text": {"format": FORMAT}}, {"text": {"format": {"type": "text"}}}], "low", None),
        ([{"reasoning": {"effort": None}, "text": None}], "low", "json_object"),
    ],
)
def test_each_setting_is_the_last_that_was_said(updates: list[Any], effort: str, form: str | None) -> None:
    """The request's own settings are those with which the conversation began."""

    items = [item for settings in updates for item in (user(), update(**settings), said("yo"))]
    own = {"reasoning": {"effort": "low"}, "text": {"format": {"type": "json_object"}}}
    made = written(*items, user(), to=OPENAI, **own)

    assert made.body["reasoning_effort"] == effort
    assert made.body.get("response_format", {}).get("type") == form
    assert lost(made) == []


def test_a_server_that_takes_less_gets_what_it_takes_of_an_update() -> None:
    """What it does not take is told as if the request itself had said it."""

    made = written(
        update(reasoning={"effort": "high"}, text={"format": FORMAT}), user(), to=generic(response_format="none")
    )

    assert made.body["messages"][0]["role"] == "system"
    assert lost(made) == [
        ("reasoning.effort", "dropped", "reasoning.effort"),
        ("text.format", "emulated", "response_format"),
    ]


def test_an_update_amid_a_turn_leaves_the_turn_whole() -> None:
    """It is no message: the calls around it stay in one, and their outputs behind it."""

    items = [user(), call("1"), update(reasoning={"effort": "high"}), call("2"), output("1"), output("2")]

    assert [message.get("tool_calls") for message in written(*items, to=OPENAI).body["messages"]] == [
        None,
        [chat_call("1"), chat_call("2")],
        None,
        None,
    ]


def test_what_an_update_says_beyond_both_settings_is_a_loss() -> None:
    made = written(update(id="cu_1", reasoning={"effort": "low", "summary": "auto"}, tools=[]), user(), to=OPENAI)

    assert lost(made) == [
        ("input[0].reasoning.summary", "dropped", "unknown_field"),
        ("input[0].tools", "dropped", "unknown_field"),
    ]


def test_an_update_that_is_no_object_is_refused_where_it_stands() -> None:
    with pytest.raises(InvalidType) as refused:
        written(user(), update(text="json"))

    assert refused.value.param == "input[1].text"
