"""Keys that no API knows, at every level: told once, as losses; what clients only send back as they got it is none."""

from __future__ import annotations

from typing import Any

import pytest

from adapter import translate
from adapter.hub.request import DialectName
from tests.dialects.chat.writing import OPENAI, bot, call, chat_call, lost, output, said, tool, user, written

VENDOR = {"vendor_key": {"a": 1}}


def paths(body: dict[str, Any], source: DialectName, target: DialectName) -> list[str]:
    return [loss.path for loss in translate.request({"model": "m"} | body, source, target).losses]


@pytest.mark.parametrize("place", range(4))
def test_a_key_of_a_plain_item_is_told(place: int) -> None:
    """In a message, an answer, a call and an output, which are written at sight."""
    items = [user(), said("x"), call("a"), output("a")]
    items[place] |= VENDOR

    made = written(*items)

    assert lost(made) == [(f"input[{place}].vendor_key", "dropped", "unknown_field")]
    assert made.body == written(user(), said("x"), call("a"), output("a")).body


def test_a_key_that_stands_on_every_item_is_told_once() -> None:
    made = written(*({**item, **VENDOR} for item in (user(), said("x"), call("a"), output("a"), user())))

    assert lost(made) == [("input[0].vendor_key", "dropped", "unknown_field")]


def test_a_key_of_a_part_is_told() -> None:
    text = {"type": "input_text", "text": "x"}
    image = {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"}
    made = written(user() | {"content": [text, image | {"crop": 1}]}, user() | {"content": [text | VENDOR]})

    assert lost(made) == [
        ("input[0].content[1].crop", "dropped", "unknown_field"),
        ("input[1].content[0].vendor_key", "dropped", "unknown_field"),
    ]


def test_a_participants_name_which_responses_does_not_know_is_told() -> None:
    assert lost(written(user() | {"name": "Ann"})) == [("input[0].name", "dropped", "unknown_field")]


def test_keys_of_tools_formats_choices_and_options_are_told() -> None:
    body = {
        "input": "hi",
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "text": {"format": {"type": "json_object", "schema": {}}},
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object"}, "cache_control": {}},
            {"type": "function", "name": "g", "parameters": {"type": "object"}, "cache_control": {}},
            {"type": "shell", "environment": {"type": "local", "skills": [{"name": "s"}]}},
        ],
        "tool_choice": {"type": "function", "name": "f", "why": "so"},
    }
    body["tools"].append({"type": "custom", "name": "c", "format": {"type": "text", "strict": True}})
    assert sorted(paths(body, "responses", "chat")) == [
        "stream_options.continuous_usage_stats",
        "text.format.schema",
        "tool_choice.why",
        "tools[0].cache_control",
        "tools[2].environment.skills",
        "tools[3].format.strict",
    ]


def test_the_same_of_a_chat_client() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x/y.png", "crop": 1}}
    made = {"id": "a", "type": "custom", "custom": {"name": "c", "input": "x", "syntax": "s"}}
    body = {
        "messages": [{"role": "user", "content": [image]}, bot(None, made), tool("a")],
        "stream": True,
        "stream_options": {"continuous_usage_stats": True},
        "response_format": {"type": "json_object", "schema": {}},
        "tools": [{"type": "custom", "custom": {"name": "c", "format": {"type": "text", "strict": True}}}],
        "tool_choice": {"type": "custom", "custom": {"name": "c", "why": "so"}},
        "web_search_options": {"max_uses": 3},
    }
    assert sorted(paths(body, "chat", "responses")) == [
        "messages[0].content[0].image_url.crop",
        "messages[1].tool_calls[0].custom.syntax",
        "response_format.schema",
        "stream_options.continuous_usage_stats",
        "tool_choice.custom.why",
        "tools[0].custom.format.strict",
        "web_search_options.max_uses",
    ]


def test_keys_of_parts_in_the_words_of_responses_are_told_and_those_of_an_answer_are_not() -> None:
    parts = [
        {"type": "input_text", "text": "a", **VENDOR},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low", "crop": 1},
        {"type": "output_text", "text": "b", "annotations": [], "logprobs": []},
    ]
    assert paths({"messages": [{"role": "user", "content": parts}]}, "chat", "responses") == [
        "messages[0].content[0].vendor_key",
        "messages[0].content[1].crop",
    ]


def test_the_deprecated_functions_tell_as_tools_do() -> None:
    body = {
        "messages": [{"role": "user", "content": "hi"}],
        "functions": [{"name": "f", "cache_control": {}}, {"name": "g", "cache_control": {}}],
        "function_call": {"name": "f", "why": "so"},
    }
    assert sorted(paths(body, "chat", "responses")) == ["function_call.why", "functions[0].cache_control"]


def test_a_schema_of_a_chat_client_tells_of_what_stands_in_it_and_beside_it() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "examples": []}, "regex": "x"}
    body = {"messages": [{"role": "user", "content": "hi"}], "response_format": form}
    assert sorted(paths(body, "chat", "responses")) == ["response_format.json_schema.examples", "response_format.regex"]


def test_a_name_on_calls_alone_is_told() -> None:
    made = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = {"messages": [{**bot(None, made), "name": "Ann"}, tool("a")]}
    assert paths(body, "chat", "responses") == ["messages[0].name"]


def test_null_says_nothing() -> None:
    assert lost(written(user() | {"vendor_key": None})) == []


def test_items_that_come_back_as_they_were_given_lose_nothing() -> None:
    """SDKs send back all that an item has, and what they made of it themselves."""
    citation = {"type": "url_citation", "url": "https://x", "title": "", "start_index": 0, "end_index": 1}
    text = {"type": "output_text", "text": "{}", "annotations": [citation], "logprobs": [], "parsed": {}}
    passed = {"internal_chat_message_metadata_passthrough": {"turn_id": "t"}}
    made = written(
        user() | {"id": "msg_0", "status": "completed"} | passed,
        said("x") | {"content": [text], "created_by": "assistant"},
        call("a", parsed_arguments={}, status="completed", caller={"type": "direct"}) | {"async": False},
        output("a", status="completed", created_by="x", name="f") | {"id": "fco_1"},
        {"type": "shell_call", "call_id": "s", "action": {"commands": ["ls"]}, "environment": {"type": "local"}},
        {"type": "shell_call_output", "call_id": "s", "output": [], "max_output_length": 5, "status": "completed"},
    )
    assert lost(made) == []


def test_what_an_sdk_parsed_of_a_chat_answer_loses_nothing() -> None:
    parsed = chat_call("a")
    parsed["function"]["parsed_arguments"] = {}
    body = {"messages": [{"role": "user", "content": "hi"}, bot("{}", parsed, parsed={}), tool("a")]}

    assert paths(body, "chat", "responses") == []


@pytest.mark.parametrize("target", ["chat", "responses"])
def test_the_functions_name_on_a_tool_message_loses_nothing(target: DialectName) -> None:
    """LangChain.js, CrewAI and others write it there; the call that is answered has it."""
    body = {"messages": [{"role": "user", "content": "hi"}, bot(None, chat_call("a")), tool("a") | {"name": "f"}]}

    assert paths(body, "chat", target) == []


def test_a_tool_that_only_the_model_may_call_loses_nothing() -> None:
    function = {"type": "function", "name": "f", "parameters": {}, "allowed_callers": ["direct"], "defer_loading": True}

    assert (
        lost(written(user(), to=OPENAI, tools=[function, {"type": "apply_patch", "allowed_callers": ["direct"]}])) == []
    )


def test_a_second_output_that_nobody_reads_may_have_any_shape() -> None:
    action = {"type": "exec", "command": ["ls"], "env": {}}
    answered = {"type": "local_shell_call_output", "id": "a", "output": "1"}
    made = written({"type": "local_shell_call", "call_id": "a", "action": action}, answered, answered | {"output": [1]})

    assert lost(made) == [("input[2]", "dropped", "duplicate_output")]
