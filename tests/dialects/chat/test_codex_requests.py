"""What the Codex CLI sends, translated for a careful Chat server and for a Responses-Lite model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapter.conform.strict_chat import problems
from adapter.dialects.chat.write_request import write_request
from adapter.dialects.functions.schemas import unencrypted
from adapter.hub.request import ClientTraits, Request, ToolKind, ToolRef, Written
from adapter.upstream.profiles import GENERIC, profile

FIXTURES = Path(__file__).parents[3] / "fixtures" / "requests" / "responses"


def translated(name: str, to: str = "generic") -> Written:
    body: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))
    return write_request(Request(body, stream=True), profile(to))


def tool_names(made: Written) -> list[str]:
    return [tool[tool["type"]]["name"] for tool in made.body["tools"]]


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in FIXTURES.glob("codex_*.json") if ".expect" not in path.name)
)
@pytest.mark.parametrize("to", ["generic", "openai", "deepseek", "mistral", "ollama", "vllm"])
def test_every_codex_request_becomes_one_that_strict_servers_take(name: str, to: str) -> None:
    assert problems(translated(name, to).body, profile(to)) == []


def test_an_unknown_model_gets_its_namespace_flattened_and_one_system_message() -> None:
    made = translated("codex_unknown_model")

    assert [message["role"] for message in made.body["messages"]] == ["system", "user", "user"]
    assert "multi_agent_v1__spawn_agent" in tool_names(made)
    assert [(loss.path, loss.kind) for loss in made.losses] == [
        ("tools[4].description", "namespace"),
        ("tools[8]", "web_search"),
    ]


def test_gpt_5_5_gets_its_custom_tool_and_tool_search_as_functions() -> None:
    made = translated("codex_gpt_5_5")

    assert made.exchange.tools == {
        "apply_patch": ToolRef(ToolKind.CUSTOM, "apply_patch", patch=True),
        "tool_search": ToolRef(ToolKind.TOOL_SEARCH, "tool_search"),
    }
    patch = next(tool for tool in made.body["tools"] if tool["function"]["name"] == "apply_patch")
    assert "*** Begin Patch" in patch["function"]["description"]


def test_tools_that_a_search_found_are_offered_and_callable() -> None:
    made = translated("codex_gpt_5_5_tool_search_turn")

    assert tool_names(made)[-1] == "multi_agent_v1__spawn_agent"
    assert made.body["messages"][-4:-2][1]["content"] == '{"tools":["multi_agent_v1__spawn_agent"]}'
    assert made.body["messages"][-2]["tool_calls"][0]["function"]["name"] == "multi_agent_v1__spawn_agent"


def test_responses_lite_tools_are_lifted_out_of_the_input() -> None:
    made = translated("codex_responses_lite_gpt_5_6")

    assert tool_names(made)[:4] == ["exec", "wait", "request_user_input", "collaboration__followup_task"]
    assert made.exchange.tools["exec"] == ToolRef(ToolKind.CUSTOM, "exec")
    assert made.body["parallel_tool_calls"] is False


@pytest.mark.parametrize("client", ClientTraits)
def test_what_codex_wants_encrypted_is_not_and_its_calls_say_so(client: ClientTraits) -> None:
    body: dict[str, Any] = json.loads((FIXTURES / "codex_0_171_0_gpt_5_6.json").read_text("utf-8"))
    made = write_request(Request(body, stream=True, client=client), GENERIC)

    plain = {name for name, ref in made.exchange.tools.items() if ref.plain}
    names = ("followup_task", "send_message", "spawn_agent") if client.codex else ()
    assert plain == {f"collaboration__{name}" for name in names}
    assert ('"encrypted"' in json.dumps(made.body["tools"])) is not client.codex
    sent = {tool["function"]["name"]: tool["function"]["parameters"] for tool in made.body["tools"]}
    message = sent["collaboration__send_message"]["properties"]["message"]
    assert (message["type"], message["description"]) == ("string", "Message text to queue on the target agent.")


def test_a_call_that_comes_back_with_what_it_says_of_its_arguments_loses_nothing() -> None:
    call = {"type": "function_call", "call_id": "a", "name": "send", "namespace": "agents", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "a", "output": ""}
    body = {"model": "m", "input": [call | {"encrypted_function_args": []}, output]}

    assert write_request(Request(body), GENERIC).losses == []


def test_the_reasoning_of_a_tool_turn_goes_back_where_it_is_wanted() -> None:
    made = translated("codex_responses_lite_tool_turn", "deepseek")
    assert made.body["messages"][3]["reasoning_content"] == "I should look at the files."


def test_the_warning_of_0_120_moves_behind_the_tool_message() -> None:
    made = translated("codex_0_120_warning_between_call_and_output")
    assert [message["role"] for message in made.body["messages"]] == ["system", "user", "assistant", "tool", "user"]


def test_compaction_requests_come_without_tools_and_lose_the_choice_among_them() -> None:
    body: dict[str, Any] = json.loads((FIXTURES / "codex_unknown_model.json").read_text("utf-8"))
    made = write_request(Request(body | {"tools": [], "parallel_tool_calls": False}, stream=True), GENERIC)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & made.body.keys()


def test_what_a_script_notifies_the_model_of_is_told_by_the_user() -> None:
    made = translated("codex_0_171_script_notifies")

    told = [message["content"] for message in made.body["messages"] if message["role"] == "user"]
    assert told == [
        "go",
        "Output of exec, beside that of the call call_n1:\nhalf-way",
        'Output of exec, beside that of the call call_n2:\n{"count":5}',
    ]


def test_a_tool_that_codex_has_changed_is_offered_as_it_is_now() -> None:
    """After a switch to a model that has fewer tools, the one that runs scripts no longer tells of them."""
    made = translated("codex_0_171_incremental_tools")

    assert tool_names(made) == ["exec", "wait", "request_user_input_async", "clock__sleep"]
    assert "clock__curr_time" not in made.body["tools"][0]["function"]["description"]


def test_the_effort_is_the_one_that_the_user_has_changed_to() -> None:
    """Codex leaves the field as it was, and says in the history what holds from there on."""
    assert translated("codex_0_171_effort_updates", "openai").body["reasoning_effort"] == "high"


def test_the_objective_of_a_goal_and_the_words_of_agents_are_told_by_the_user() -> None:
    made = translated("codex_0_169_goal_and_agents")

    told = [message["content"] for message in made.body["messages"] if message["role"] == "user"]
    assert told == [
        "go",
        "Output of agent.goal_objective:\ncount",
        "Message Type: NEW_TASK\nTask name: /agents/alpha\nSender: /agents\nPayload:\nSUBTASK alpha",
        "Message Type: FINAL_ANSWER\nTask name: /agents\nSender: /agents/alpha\nPayload:\nsub result 42",
    ]


@pytest.mark.parametrize("schema", [{"type": "object"}, {"properties": {"a": True, "encrypted": {"encrypted": False}}}])
def test_a_schema_that_wants_nothing_encrypted_is_told_as_it_is(schema: dict[str, Any]) -> None:
    assert unencrypted(schema) is schema
