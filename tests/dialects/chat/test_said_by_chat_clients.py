"""What a Chat client says that Responses has no place for: carried to a Chat server, else told, once a kind."""

from __future__ import annotations

from typing import Any

import pytest

from adapter import translate
from adapter.errors import BadRequest

MARK = {"cache_control": {"type": "ephemeral"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOLD = {"role": "tool", "tool_call_id": "c1", "content": "1"}


def asked(*messages: dict[str, Any], to: Any = "chat", **more: Any) -> tuple[dict[str, Any], list[str]]:
    profile = more.pop("profile", "generic")
    made = translate.request({"model": "m", "messages": list(messages), **more}, "chat", to, profile=profile)
    return made.value, [loss.path for loss in made.losses]


@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("content", ["x", [{"type": "text", "text": "x"}]])
def test_the_name_of_a_speaker_goes_to_a_chat_server(role: str, content: Any) -> None:
    body, losses = asked({"role": "user", "content": "a"}, {"role": role, "content": content, "name": "ann"})
    assert body["messages"][1] == {"role": role, "content": "x", "name": "ann"}
    assert losses == []


def test_the_name_of_a_speaker_stays_with_a_message_of_several_things() -> None:
    said = {"role": "assistant", "content": "x", "refusal": "no", "name": "ann"}
    assert asked(said)[0]["messages"] == [said]
    calling = {"role": "assistant", "content": "x", "name": "ann", "tool_calls": [CALL]}
    assert asked(calling, TOLD)[0]["messages"][0] == calling


def test_the_name_of_a_merged_instruction_is_told_as_lost() -> None:
    lead = {"role": "system", "content": "s", "name": "ann"}
    body, losses = asked(lead, lead, {"role": "user", "content": "x"})
    assert body["messages"][0] == {"role": "system", "content": "s\n\ns"}
    assert losses == ["messages"]
    assert asked(lead, profile="openai")[0]["messages"] == [{"role": "system", "content": "s", "name": "ann"}]


def test_the_name_of_a_speaker_is_lost_where_the_server_has_no_place_for_it() -> None:
    said = {"role": "user", "content": "x", "name": "ann"}
    body, losses = asked(said, said, to="responses")
    assert body["input"] == [{"type": "message", "role": "user", "content": "x"}] * 2
    assert losses == ["messages"]
    body, losses = asked(said, profile="mistral")
    assert body["messages"] == [{"role": "user", "content": "x"}]
    assert losses == ["messages"]


def test_a_search_that_the_server_has_not_is_told_where_the_client_asked_for_it() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    body, losses = asked({"role": "user", "content": "x"}, tools=[tool], web_search_options={})
    assert "web_search_options" not in body
    assert losses == ["web_search_options"]


def test_a_strictness_that_the_server_has_not_is_told_where_the_client_asked_for_it() -> None:
    schema = {"type": "object", "properties": {}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}
    assert asked({"role": "user", "content": "x"}, tools=[tool])[1] == ["tools[0].function.strict"]


@pytest.mark.parametrize("turns", [[TOLD], [{"role": "assistant", "content": None, "tool_calls": [CALL]}]])
def test_a_call_or_an_output_without_the_other_is_refused_by_the_clients_own_field(turns: list[dict[str, Any]]) -> None:
    with pytest.raises(BadRequest) as refused:
        asked({"role": "user", "content": "x"}, *turns, {"role": "user", "content": "y"})
    assert refused.value.param == "messages"


def test_unknown_keys_of_parts_are_told_once() -> None:
    part = {"type": "text", "text": "x", **MARK}
    _, losses = asked({"role": "user", "content": [part, part]}, {"role": "user", "content": [part]})
    assert losses == ["messages[0].content[0].cache_control"]


@pytest.mark.parametrize(
    ("call", "path"),
    [(CALL | MARK, "cache_control"), (CALL | {"function": CALL["function"] | MARK}, "function.cache_control")],
)
def test_unknown_keys_of_tool_calls_are_told_once(call: dict[str, Any], path: str) -> None:
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    body, losses = asked(turn, TOLD, turn, TOLD)
    assert body["messages"][0]["tool_calls"] == [CALL]
    assert losses == [f"messages[0].tool_calls[0].{path}"]


def test_the_index_of_a_streamed_call_that_comes_back_is_no_loss() -> None:
    turn = {"role": "assistant", "content": None, "tool_calls": [CALL | {"index": 0}]}
    assert asked(turn, TOLD)[1] == []


@pytest.mark.parametrize("known", [{}, {"strict": True}, {"description": "d"}, {"description": "d", "strict": None}])
def test_unknown_keys_of_tools_are_told_once(known: dict[str, Any]) -> None:
    function = {"name": "f", "parameters": {"type": "object", "properties": {}}, **known}
    plain = {"type": "function", "function": function}
    say = {"role": "user", "content": "x"}
    assert asked(say, tools=[plain], profile="openai")[1] == []
    assert asked(say, tools=[plain | MARK], profile="openai")[1] == ["tools[0].cache_control"]
    inside = {"type": "function", "function": function | MARK}
    other = {"type": "function", "function": function | MARK | {"name": "g"}}
    assert asked(say, tools=[inside, other], profile="openai")[1] == ["tools[0].function.cache_control"]


@pytest.mark.parametrize("profile", ["openai", "ollama", "generic", "xai"])
def test_an_effort_said_as_responses_has_it_comes_to_a_chat_server_as_any(profile: str) -> None:
    said = {"role": "user", "content": "x"}
    borrowed = {"reasoning": {"effort": "max", "summary": "auto"}, "text": {"verbosity": "low"}}
    assert asked(said, profile=profile, **borrowed) == asked(
        said, profile=profile, reasoning_effort="max", verbosity="low"
    )
