"""What the strictest Chat server of a profile refuses, one fault at a time, and what it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapter.conform.strict_chat import problems
from adapter.upstream.profiles import GENERIC, CallIdRule, Profile

HELLO = {"role": "user", "content": "hi"}
FUNCTION: dict[str, Any] = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
}
CUSTOM = {"type": "custom", "custom": {"name": "p"}}
ALLOWED = {
    "type": "allowed_tools",
    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
}
NAMED = {"type": "function", "function": {"name": "f"}}
SCHEMA, OBJECT, TEXT = ({"type": kind} for kind in ("json_schema", "json_object", "text"))
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
FILE = {"type": "file", "file": {"file_data": "data:,"}}


def call(id: str = "c1", arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*made: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(made), **more}


def result(id: str = "c1", content: Any = "done") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def said(content: Any = "hello", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def accepts(*keys: str) -> dict[str, Any]:
    return {"accepts": GENERIC.accepts | {*keys}}


REQUESTS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    # what is asked; what the server of generic's profile has against it; which capabilities make it right
    ({"n": 2}, "unknown field n", accepts("n")),
    ({"max_completion_tokens": 5}, "unknown field max_completion_tokens", {"max_tokens_field": "max_completion_tokens"}),
    ({"messages": [calls(call(arguments="[1]")), result()]}, "arguments that are no JSON object", {"any_arguments": True}),
    ({"web_search_options": {}}, "unknown field web_search_options", {"web_search_options": True}),
    ({"reasoning_effort": "low"}, "unknown field reasoning_effort", {"reasoning_effort": True}),
    ({"tools": [CUSTOM]}, "tool of type custom", {"custom_tools": True}),
    ({"tools": [{**FUNCTION, "function": {**FUNCTION["function"], "strict": True}}]}, "function [", {"strict_tools": True}),
    ({"tools": [FUNCTION], "tool_choice": ALLOWED}, "allowed_tools", {"allowed_tools": True}),
]  # fmt: skip
REFUSED_BY: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    # what generic takes; what a server has against it; with which capabilities
    ({"max_tokens": 5}, "unknown field max_tokens", {"max_tokens_field": "max_completion_tokens"}),
    ({"tools": [FUNCTION], "parallel_tool_calls": False}, "unknown field parallel", {"parallel_tool_calls": False}),
    ({"stream": True, "stream_options": {}}, "unknown field stream_options", {"stream_options": False}),
    ({"response_format": SCHEMA}, "response_format json_schema", {"response_format": "json_object"}),
    ({"response_format": OBJECT}, "response_format json_object", {"response_format": "none"}),
    ({"tools": [FUNCTION], "tool_choice": NAMED}, "named tool_choice", {"tool_choice": "words"}),
    ({"tools": [FUNCTION], "tool_choice": "none"}, "tools that may be called though", {"tool_choice": "ignored"}),
    ({"messages": [said()]}, "messages[0]: the reasoning is missing", {"reasoning_demanded": True, "reasoning_replay": "all"}),
    ({"messages": [calls(call()), result()]}, "messages[0]: the reasoning is missing", {"reasoning_demanded": True}),
    ({"messages": [calls(call()), result()]}, "messages[0]: null content", {"assistant_null_content": False}),
    ({"messages": [said(content="")]}, "messages[0]: says nothing", {"empty_answers": False}),
    ({"messages": [said(content=" ")]}, "messages[0]: says nothing", {"empty_answers": False}),
    ({"messages": [calls(call("c.1")), result("c.1")]}, "call id 'c.1'", {"call_id": CallIdRule(alphabet="word")}),
    ({"messages": [calls(call("c-1")), result("c-1")]}, "call id 'c-1'", {"call_id": CallIdRule(9, "alnum")}),
    ({"messages": [calls(call("é")), result("é")]}, "call id", {"call_id": CallIdRule(9, "alnum")}),
    ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0]: part image_url", {"images": False}),
]  # fmt: skip
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "no model"),
    ({"stream_options": {}}, "stream_options without stream"),
    ({"tool_choice": "auto"}, "tool_choice without tools"),
    ({"parallel_tool_calls": True}, "parallel_tool_calls without tools"),
    ({"tools": []}, "empty tools"),
    ({"tools": [{"type": "x", "x": {"name": "x"}}]}, "tool of type x"),
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, "function ["),
    ({"tools": [{**FUNCTION, "strict": True}]}, "tool with further keys"),
    ({"tools": [FUNCTION, FUNCTION]}, "two tools of one name"),
    ({"tools": [{**FUNCTION, "function": {**FUNCTION["function"], "name": "a.b"}}]}, "tool name 'a.b'"),
    ({"tools": [{**FUNCTION, "function": {**FUNCTION["function"], "name": "f" * 65}}]}, "tool name"),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        "choice of a tool that is not there",
    ),
    ({"messages": []}, "no messages"),
    ({"messages": "hi"}, "no messages"),
    ({"messages": [{"role": "critic", "content": "x"}]}, "messages[0]: role 'critic'"),
    ({"messages": [{**HELLO, "name": "ann"}]}, "messages[0]: keys ["),
    ({"messages": [{"role": "assistant", "tool_calls": [call()]}, result()]}, "messages[0]: keys ["),
    *(
        ({"messages": [said(**{key: []})]}, "messages[0]: keys [")
        for key in ("reasoning_content", "extra_content", "reasoning_details")
    ),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0]: null content"),
    ({"messages": [said(None)]}, "messages[0]: null content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0]: content is no text"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0]: no parts"),
    ({"messages": [{"role": "user", "content": [FILE]}]}, "messages[0]: part file"),
    ({"messages": [{"role": "system", "content": [{"type": "text", "text": "x"}]}]}, "messages[0]: a list of parts"),
    ({"messages": [calls(call()), result(content=[{"type": "text", "text": "x"}])]}, "messages[1]: a list of parts"),
    ({"messages": [HELLO, {"role": "system", "content": "x"}]}, "messages[1]: late system message"),
    ({"messages": [{"role": "developer", "content": "x"}, HELLO]}, "messages[0]: developer"),
    ({"messages": [result()]}, "messages[0]: answers no call that waits here"),
    ({"messages": [calls(call()), result("c2")]}, "messages[1]: answers no call that waits here"),
    ({"messages": [calls(call()), HELLO, result()]}, "messages[1]: user message before the calls are answered"),
    ({"messages": [calls(call())]}, "calls without answers at the end"),
    ({"messages": [said(tool_calls=[])]}, "empty tool_calls"),
    ({"messages": [calls(call(), call()), result(), result()]}, "two calls of one id"),
    ({"messages": [calls(call("")), result("")]}, "call id ''"),
    ({"messages": [calls(call("c" * 65)), result("c" * 65)]}, "call id"),
    ({"messages": [calls(call(arguments="")), result()]}, "empty arguments"),
    ({"messages": [calls(call(name="a.b")), result()]}, "called name 'a.b'"),
    (
        {"messages": [calls({"id": "c1", "type": "custom", "custom": {"name": "p", "input": ""}}), result()]},
        "call of type custom",
    ),
    ({"response_format": 5}, "malformed: "),
    ({"tools": [{}]}, "malformed: "),
    ({"tools": [5]}, "malformed: "),
    ({"messages": [5]}, "malformed: "),
]
TAKEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"temperature": 1, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 5}, {}),
    *(({"response_format": TEXT}, {"response_format": most}) for most in ("none", "json_object")),
    ({"response_format": OBJECT}, {"response_format": "json_object"}),
    *(({"response_format": form}, {}) for form in (TEXT, OBJECT, SCHEMA)),
    ({"metadata": {"a": "b"}, "store": True}, accepts("metadata", "store")),
    ({"metadata": {}}, accepts("metadata", "store")),
    ({"metadata": {"a": "b"}}, accepts("metadata")),
    *(({"tools": [FUNCTION], "tool_choice": choice}, {}) for choice in ("none", "auto", "required", NAMED)),
    ({"tools": [{**FUNCTION, "function": {**FUNCTION["function"], "name": "f" * 64}}]}, {}),
    ({"tools": [FUNCTION, CUSTOM], "tool_choice": {"type": "custom", "custom": {"name": "p"}}}, {"custom_tools": True}),
    ({"messages": [{"role": "system", "content": "x"}, HELLO, said(), HELLO]}, {}),
    ({"messages": [HELLO, {"role": "system", "content": "x"}]}, {"late_system": "keep"}),
    ({"messages": [{"role": "developer", "content": "x"}, HELLO]}, {"instructions_role": "developer"}),
    ({"messages": [calls(call("a"), call("b")), result("a"), result("b"), HELLO]}, {}),
    ({"messages": [calls(call("c" * 64)), result("c" * 64)]}, {}),
    ({"messages": [calls(call("c12345678")), result("c12345678")]}, {"call_id": CallIdRule(9, "alnum")}),
    ({"tools": [FUNCTION], "tool_choice": "auto"}, {"tool_choice": "ignored"}),
    ({"messages": [HELLO, said(reasoning_content="hm")]}, {"reasoning_replay": "all", "reasoning_demanded": True}),
    *(
        ({"messages": [one]}, {"empty_answers": False})
        for one in (said(), said("", refusal="no"), {**HELLO, "content": ""})
    ),
    ({"messages": [said(reasoning="hm")]}, {"reasoning_replay": "all", "reasoning_field": "reasoning"}),
    ({"messages": [said()]}, {"reasoning_replay": "tool_turns", "reasoning_demanded": True}),
    ({"messages": [said(extra_content={})]}, {"extra_content": True}),
    ({"messages": [said(reasoning_details=[])]}, {"reasoning_details": True}),
    ({"messages": [said(refusal="no")]}, {}),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE]}]}, {}),
    ({"messages": [{"role": "user", "content": [FILE]}]}, {"files": True}),
    ({"messages": [calls(call()), result(content=[IMAGE])]}, {"tool_media": True}),
    (
        {"messages": [calls({"id": "c1", "type": "custom", "custom": {"name": "p", "input": ""}}), result()]},
        {"custom_tools": True},
    ),
]


def found(asked: dict[str, Any], capabilities: dict[str, Any] | None = None) -> list[str]:
    profile: Profile = replace(GENERIC, **capabilities or {})
    return problems({"model": "m", "messages": [HELLO], **asked}, profile)


@pytest.mark.parametrize(("asked", "fault", "capabilities"), REQUESTS)
def test_what_only_some_servers_take_is_refused_for_the_others(
    asked: dict[str, Any], fault: str, capabilities: dict[str, Any]
) -> None:
    assert [told.startswith(fault) for told in found(asked)] == [True]
    assert found(asked, capabilities) == []


@pytest.mark.parametrize(("asked", "fault", "capabilities"), REFUSED_BY)
def test_what_most_servers_take_is_refused_for_those_that_do_not(
    asked: dict[str, Any], fault: str, capabilities: dict[str, Any]
) -> None:
    assert found(asked) == []
    assert [told.startswith(fault) for told in found(asked, capabilities)] == [True]


@pytest.mark.parametrize(("asked", "fault"), REFUSED)
def test_what_no_server_takes_is_refused(asked: dict[str, Any], fault: str) -> None:
    assert [told.startswith(fault) for told in found(asked)] == [True]


@pytest.mark.parametrize(("asked", "capabilities"), TAKEN)
def test_a_good_request_is_taken(asked: dict[str, Any], capabilities: dict[str, Any]) -> None:
    assert found(asked, capabilities) == []


def test_an_effort_is_one_that_the_server_knows() -> None:
    capabilities = {"reasoning_effort": True, "reasoning_efforts": ("low", "high")}
    assert found({"reasoning_effort": "low"}, capabilities) == []
    assert found({"reasoning_effort": "none"}, capabilities) == []
    assert found({"reasoning_effort": "medium"}, capabilities) == ["reasoning_effort"]


def test_only_the_assistant_thinks() -> None:
    thoughtful = {"messages": [{**HELLO, "reasoning_content": "hm"}]}
    assert [told.startswith("messages[0]: keys [") for told in found(thoughtful, {"reasoning_replay": "all"})] == [True]


def test_a_developer_comes_no_later_than_the_system() -> None:
    late = {"messages": [HELLO, {"role": "developer", "content": "x"}]}
    assert found(late, {"instructions_role": "developer"}) == ["messages[1]: late developer message"]
    assert found(late, {"instructions_role": "developer", "late_system": "keep"}) == []


def test_metadata_are_kept_only_with_what_is_stored() -> None:
    for stored in ({}, {"store": False}):
        assert found({"metadata": {"a": "b"}, **stored}, accepts("metadata", "store")) == ["metadata without store"]
