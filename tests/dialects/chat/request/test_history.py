"""Items into messages, repaired: map a3 by scenarios."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapter.dialects.chat.request.pending import PENDING
from adapter.errors import BadRequest, InvalidEncryptedContent, InvalidType, InvalidValue, UnsupportedParameter
from adapter.upstream.profiles import profile
from tests.dialects.chat.writing import (
    OPENAI,
    bot,
    call,
    chat_call,
    generic,
    lost,
    messages,
    output,
    said,
    tool,
    user,
    written,
)

HI = {"role": "user", "content": "hi"}


def developer(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": text}]}


# ------------------------------------------------------------------------------------------------------ instructions


def test_instructions_and_leading_messages_become_one_system_message() -> None:
    made = written(developer("b"), {"type": "message", "role": "system", "content": "c"}, user(), instructions="a")

    assert made.body["messages"] == [{"role": "system", "content": "a\n\nb\n\nc"}, HI]
    assert made.losses == []


def test_a_late_developer_message_stays_in_place_as_a_user_message_and_is_reported() -> None:
    made = written(user(), said("x"), developer("stop"), user("go"))

    assert made.body["messages"] == [
        HI,
        bot("x"),
        {"role": "user", "content": "stop"},
        {"role": "user", "content": "go"},
    ]
    assert lost(made) == [("input[2].role", "approximated", "late_system")]


def test_a_late_developer_message_moves_to_the_front_where_the_profile_says_so() -> None:
    made = written(user(), developer("stop"), instructions="a", to=generic(late_system="lead"))

    assert made.body["messages"] == [{"role": "system", "content": "a\n\nstop"}, HI]
    assert lost(made) == [("input[1].role", "approximated", "late_system")]


def test_roles_are_kept_in_place_where_the_profile_says_so() -> None:
    made = written(
        {"type": "message", "role": "system", "content": "b"}, user(), developer("c"), instructions="a", to=OPENAI
    )

    assert made.body["messages"] == [
        {"role": "developer", "content": "a"},
        {"role": "system", "content": "b"},
        HI,
        {"role": "developer", "content": "c"},
    ]
    assert made.losses == []


def test_instructions_in_place_have_the_role_that_the_server_knows() -> None:
    made = messages(user(), developer("c"), to=generic(late_system="keep"))

    assert made == [HI, {"role": "system", "content": "c"}]


# ---------------------------------------------------------------------------------------------- calls and outputs


def test_parallel_calls_merge_with_the_text_before_them() -> None:
    assert messages(user(), said("look"), call("a"), call("b"), output("b", "2"), output("a", "1")) == [
        HI,
        bot("look", chat_call("a"), chat_call("b")),
        tool("a", "1"),
        tool("b", "2"),
    ]


def test_a_user_message_between_call_and_output_moves_behind_the_group() -> None:
    assert messages(user(), call("a"), user("Warning"), output("a")) == [
        HI,
        bot(None, chat_call("a")),
        tool("a"),
        {"role": "user", "content": "Warning"},
    ]


def test_text_between_call_and_output_joins_the_same_assistant_message() -> None:
    assert messages(user(), said("x"), call("a"), said("y"), call("b"), output("a"), output("b")) == [
        HI,
        bot("xy", chat_call("a"), chat_call("b")),
        tool("a"),
        tool("b"),
    ]


def test_text_after_the_first_of_two_outputs_moves_behind_the_group() -> None:
    assert messages(user(), call("a"), call("b"), output("a"), said("y"), output("b")) == [
        HI,
        bot(None, chat_call("a"), chat_call("b")),
        tool("a"),
        tool("b"),
        bot("y"),
    ]


def test_separate_assistant_messages_stay_separate() -> None:
    assert messages(user(), said("x"), said("y")) == [HI, bot("x"), bot("y")]


def test_a_call_after_an_output_is_a_turn_of_its_own() -> None:
    assert messages(user(), call("a"), output("a"), call("b"), output("b")) == [
        HI,
        bot(None, chat_call("a")),
        tool("a"),
        bot(None, chat_call("b")),
        tool("b"),
    ]


def test_ids_that_a_server_reuses_in_every_turn_pair_up_within_their_turn() -> None:
    assert messages(call("0", "f"), output("0", "1"), user(), call("0", "g"), output("0", "2")) == [
        bot(None, chat_call("0", "f")),
        tool("0", "1"),
        HI,
        bot(None, chat_call("0", "g")),
        tool("0", "2"),
    ]


def test_two_different_calls_of_one_id_in_one_turn_get_ids_of_their_own() -> None:
    assert messages(call("x", "f"), call("x", "g"), output("x", "1"), output("x", "2")) == [
        bot(None, chat_call("x", "f"), chat_call("x_2", "g")),
        tool("x", "1"),
        tool("x_2", "2"),
    ]


OFFERED = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("f", "g")]


def test_an_id_that_another_call_of_the_turn_was_given_is_not_given_twice() -> None:
    calls = [call("x", "f"), call("x", "g"), call("x_2", "f", '{"a":1}')]
    made = messages(*calls, output("x"), output("x"), output("x_2"), tools=OFFERED)

    assert [call["id"] for call in made[0]["tool_calls"]] == ["x", "x_2", "x_2_3"]


def test_ids_that_calls_of_one_turn_were_given_are_free_again_in_the_next() -> None:
    made = messages(
        *(call("x", "f"), call("x", "g"), output("x"), output("x"), said("done")),
        *(call("x", "f"), call("x_2", "g"), output("x"), output("x_2")),
        tools=OFFERED,
    )

    assert [[call["id"] for call in message["tool_calls"]] for message in made if "tool_calls" in message] == [
        ["x", "x_2"],
        ["x", "x_2"],
    ]


def test_an_output_for_an_earlier_turn_does_not_end_the_current_one() -> None:
    items = [call("a"), user(), call("b"), output("a"), call("c", "g"), output("b"), output("c")]

    assert messages(*items, tools=OFFERED) == [
        bot(None, chat_call("a")),
        tool("a"),
        HI,
        bot(None, chat_call("b"), chat_call("c", "g")),
        tool("b"),
        tool("c"),
    ]


def test_a_call_that_stands_there_twice_is_said_once_and_a_second_output_is_dropped() -> None:
    made = written(call("x"), call("x"), output("x", "1"), output("x", "2"))

    assert made.body["messages"] == [bot(None, chat_call("x")), tool("x", "1")]
    assert lost(made) == [("input[1]", "dropped", "duplicate_call"), ("input[3]", "dropped", "duplicate_output")]


def test_a_second_output_that_names_its_tool_is_told_by_the_user() -> None:
    """So Codex says what a script notifies the model of, while it runs or when it has ended."""

    def notified(call_id: str, words: Any) -> dict[str, Any]:
        return {"type": "custom_tool_call_output", "call_id": call_id, "name": "exec", "output": words}

    made = written(call("x"), call("y"), output("x", "1"), notified("x", "more"), output("y", "2"), user())
    restrict = written(call("x"), output("x", "1"), notified("x", "more"), to=profile("mistral"))

    assert made.body["messages"] == [
        bot(None, chat_call("x"), chat_call("y")),
        tool("x", "1"),
        tool("y", "2"),
        {"role": "user", "content": "Output of exec, beside that of the call x:\nmore"},
        HI,
    ]
    assert lost(made) == [("input[3]", "emulated", "uncalled_output")]
    shown = restrict.body["messages"][1]["tool_call_id"]
    assert restrict.body["messages"][2]["content"] == f"Output of exec, beside that of the call {shown}:\nmore"
    with pytest.raises(BadRequest, match="No tool call found for custom tool call output with call_id z"):
        written(call("x"), output("x"), notified("z", "more"))


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([user(), output("X")], "No tool call found for function call output with call_id X."),
        ([output("X"), call("X")], "No tool call found for function call output with call_id X."),
        (
            [{"type": "custom_tool_call_output", "call_id": "X", "output": ""}],
            "No tool call found for custom tool call output with call_id X.",
        ),
        ([call("X"), user()], "No tool output found for function call X."),
        ([call("Y"), call("X"), output("Y")], "No tool output found for function call X."),
    ],
)
def test_orphans_are_refused_in_the_words_of_the_api(items: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        written(*items)

    assert (refused.value.message, refused.value.param, refused.value.code) == (text, "input", None)


def test_a_call_of_a_tool_that_does_not_run_beside_the_conversation_needs_its_output() -> None:
    begun = {"type": "custom_tool_call", "call_id": "X", "name": "f", "input": "{}"}
    with pytest.raises(BadRequest, match=r"^No tool output found for custom tool call X\.$"):
        written(begun, user(), tools=[{"type": "custom", "name": "f"}])


@pytest.mark.parametrize("known_by", ["the call", "its tool"])
@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call"])
def test_a_call_that_runs_beside_the_conversation_is_told_as_running_until_its_output_comes(
    kind: str, known_by: str
) -> None:
    """OpenAI's guide: the output of an `async` tool comes in a later request, under the call's own id."""
    said = {"arguments": "{}"} if kind == "function_call" else {"input": "{}"}
    begun = {"type": kind, "call_id": "X", "name": "f", **said}
    tools = [{"type": kind.removesuffix("_call").removesuffix("_tool"), "name": "f", "async": True}]
    if known_by == "the call":
        begun["async"], tools = True, []
    turns = [user("Go"), begun, user("And now?")]

    pending = written(*turns, tools=tools)
    answered = written(*turns, {"type": f"{kind}_output", "call_id": "X", "output": "42"}, tools=tools)

    assert [message["role"] for message in pending.body["messages"]] == ["user", "assistant", "tool", "user"]
    assert pending.body["messages"][2] == tool("X", PENDING)
    assert ("input[1]", "emulated", "pending_call") in lost(pending)
    assert answered.body["messages"] == [
        tool("X", "42") if message["role"] == "tool" else message for message in pending.body["messages"]
    ]
    assert lost(answered) == ([("tools[0].async", "dropped", "async_tool")] if tools else [])


@pytest.mark.parametrize("known_by", ["the call", "its tool"])
def test_an_output_that_comes_when_the_model_has_spoken_again_is_told_where_it_comes(known_by: str) -> None:
    """What the model knew when it spoke stays as it was, and it is asked about the output."""
    begun = call("X", "f", **({"async": True} if known_by == "the call" else {}))
    tools = [] if known_by == "the call" else [{"type": "function", "name": "f", "async": True}]
    asked = [user("Go"), begun, user("And now?"), said("Waiting.")]
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}

    waits = written(*asked, user("Well?"), tools=tools)
    told = written(*asked, output("X", "42"), tools=tools)
    result = output("X", [{"type": "input_text", "text": "See:"}, picture])
    shown = messages(*asked, result, tools=tools)
    at_once = messages(*asked, result, tools=tools, to=generic(tool_media=True))

    first = waits.body["messages"][:-1]
    assert first[2] == tool("X", PENDING)
    assert told.body["messages"] == [
        *first,
        {"role": "user", "content": "The call X of f has ended. Its output:\n42"},
    ]
    assert lost(told)[-1] == ("input[4]", "emulated", "late_output")
    assert [message["role"] for message in shown] == ["user", "assistant", "tool", "user", "assistant", "user"]
    for message in (shown[-1], at_once[-1]):
        assert [part["type"] for part in message["content"]] == ["text", "text", "image_url"]
        assert message["content"][0]["text"] == "The call X of f has ended. Its output:"
        assert message["content"][1]["text"].startswith("See:")


def test_of_two_calls_without_output_the_one_that_must_have_it_is_named() -> None:
    with pytest.raises(BadRequest, match=r"^No tool output found for function call Y\.$"):
        written(user(), {**call("X"), "async": True}, call("Y"))


def test_calls_of_one_id_may_all_be_running() -> None:
    running = {**call("X", "f"), "async": True}
    made = messages(user(), running, user(), {**running, "arguments": "[]"})

    assert [message["content"] for message in made if message["role"] == "tool"] == [PENDING, PENDING]


def test_an_output_without_call_id_finds_its_call_by_name() -> None:
    assert messages(call("a", "f"), call("b", "g"), output("a"), {"type": "function_call_output", "name": "g"})[2:] == [
        tool("b", "")
    ]


def test_an_output_does_not_find_a_call_of_its_name_that_comes_behind_it() -> None:
    early = {"type": "function_call_output", "name": "f", "output": "1"}
    made = messages(user(), early, call("a", "f"), output("a"))

    assert made == [HI, {"role": "user", "content": "Output of f:\n1"}, bot(None, chat_call("a")), tool("a")]


def test_an_output_that_answers_no_call_is_told_by_the_user_behind_the_outputs_of_the_turn() -> None:
    """As Codex 0.171 tells the objective of a goal."""
    told = {"type": "function_call_output", "name": "goal", "namespace": "agent", "output": "count"}
    made = written(user(), call("a"), call("b"), told, output("a"), output("b"))

    goal = {"role": "user", "content": "Output of agent.goal:\ncount"}
    calls = [chat_call("a"), chat_call("b")]
    assert made.body["messages"] == [HI, bot(None, *calls), tool("a"), tool("b"), goal]
    assert lost(made) == [("input[3]", "emulated", "uncalled_output")]


def test_the_media_of_an_output_that_answers_no_call_stand_beside_its_text() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    told = {"type": "function_call_output", "call_id": None, "name": "screen", "output": [image]}
    (made,) = messages(told)

    assert [part["type"] for part in made["content"]] == ["text", "text", "image_url"]
    assert made["content"][0]["text"] == "Output of screen:"


def test_an_output_that_says_neither_its_call_nor_its_tool_is_refused() -> None:
    with pytest.raises(BadRequest) as refused:
        written(user(), {"type": "function_call_output", "output": "1"})

    assert refused.value.param == "input[1].call_id"


def test_an_id_that_two_calls_of_a_turn_had_comes_again_in_the_next() -> None:
    turn = [call("a", "f"), call("a", "g"), output("a", "1"), output("a", "2")]
    made = messages(user(), *turn, call("a", "f"), output("a", "3"))

    assert [one["content"] for one in made if one["role"] == "tool"] == ["1", "2", "3"]


def test_call_ids_that_do_not_fit_are_hashed_in_the_call_and_its_output() -> None:
    long = "x" * 65
    made = messages(call(long), output(long))

    assert made[0]["tool_calls"][0]["id"] == made[1]["tool_call_id"]
    assert made == messages(call(long), output(long))
    assert written(call("call_1"), output("call_1"), to=generic(call_id=OPENAI.call_id)).body["messages"][1] == tool(
        "call_1"
    )


def test_empty_arguments_become_an_empty_object() -> None:
    assert messages(call("a", arguments=""), output("a"))[0] == bot(None, chat_call("a"))


def test_null_content_beside_calls_is_an_empty_string_where_the_profile_says_so() -> None:
    assert messages(call("a"), output("a"), to=generic(assistant_null_content=False))[0]["content"] == ""


def test_calls_of_every_kind_that_a_client_runs_become_function_calls() -> None:
    made = messages(
        {"type": "custom_tool_call", "call_id": "a", "name": "exec", "input": 'say "x"'},
        {"type": "tool_search_call", "call_id": "b", "execution": "client", "arguments": {"query": "q"}},
        {
            "type": "local_shell_call",
            "id": "lsh_1",
            "call_id": "c",
            "action": {"type": "exec", "command": ["ls"], "env": {}, "user": None},
        },
        {"type": "shell_call", "call_id": "d", "action": {"commands": ["ls"], "timeout_ms": None}},
        {"type": "apply_patch_call", "call_id": "e", "operation": {"type": "delete_file", "path": "p"}},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "1"},
        {"type": "tool_search_output", "call_id": "b", "tools": [{"type": "function", "name": "found"}]},
        {"type": "local_shell_call_output", "id": "lsh_1", "output": "3"},
        {"type": "shell_call_output", "call_id": "d", "output": [{"stdout": "4", "stderr": ""}]},
        {"type": "apply_patch_call_output", "call_id": "e", "status": "failed", "output": "no such file"},
    )
    assert made == [
        bot(
            None,
            chat_call("a", "exec", '{"input":"say \\"x\\""}'),
            chat_call("b", "tool_search", '{"query":"q"}'),
            chat_call("c", "local_shell", '{"command":["ls"]}'),
            chat_call("d", "shell", '{"commands":["ls"]}'),
            chat_call("e", "apply_patch", '{"type":"delete_file","path":"p"}'),
        ),
        tool("a", "1"),
        tool("b", '{"tools":["found"]}'),
        tool("c", "3"),
        tool("d", '[{"stdout":"4","stderr":""}]'),
        tool("e", "failed\nno such file"),
    ]


def test_custom_calls_stay_custom_where_the_server_has_custom_tools() -> None:
    made = messages(
        {"type": "custom_tool_call", "call_id": "a", "name": "exec", "input": "raw"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "1"},
        to=OPENAI,
    )
    assert made[0]["tool_calls"] == [{"id": "a", "type": "custom", "custom": {"name": "exec", "input": "raw"}}]


def test_a_search_that_the_server_ran_is_not_a_call() -> None:
    made = written(
        user(),
        {"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {}},
        {"type": "tool_search_output", "call_id": None, "tools": [{"type": "function", "name": "found"}]},
    )
    assert made.body["messages"] == [HI]
    assert [tool["function"]["name"] for tool in made.body["tools"]] == ["found"]
    assert lost(made) == [("input[1]", "dropped", "tool_search_call")]


# ------------------------------------------------------------------------------------------------- media in outputs

PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "high"}
CHAT_PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "high"}}


def test_images_in_outputs_follow_in_one_user_message_after_all_tool_messages() -> None:
    made = written(
        call("a"), call("b"), output("a", [{"type": "input_text", "text": "see"}, PICTURE]), output("b", [PICTURE])
    )

    marker = "[image: it follows in the next user message]"
    assert made.body["messages"][1:] == [
        tool("a", f"see\n{marker}"),
        tool("b", marker),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "[output of tool call a]"},
                CHAT_PICTURE,
                {"type": "text", "text": "[output of tool call b]"},
                CHAT_PICTURE,
            ],
        },
    ]
    assert lost(made) == [
        ("input[2].output", "approximated", "tool_media"),
        ("input[3].output", "approximated", "tool_media"),
    ]


def test_images_of_a_turn_come_before_what_is_said_next() -> None:
    made = messages(call("a"), output("a", [PICTURE]), user(), said("x"))

    assert [message["role"] for message in made] == ["assistant", "tool", "user", "user", "assistant"]
    assert made[2]["content"] == [{"type": "text", "text": "[output of tool call a]"}, CHAT_PICTURE]


def test_images_stay_in_tool_messages_where_the_server_takes_them() -> None:
    made = written(call("a"), output("a", [PICTURE]), to=generic(tool_media=True))

    assert made.body["messages"][1] == tool("a", [CHAT_PICTURE])
    assert made.losses == []


def test_images_leave_a_note_where_the_server_takes_none() -> None:
    made = written(call("a"), output("a", [PICTURE]), to=generic(images=False))

    assert made.body["messages"][1] == tool("a", "[image omitted: this model takes no images]")
    assert lost(made) == [("input[1].output[0]", "dropped", "input_image")]


# --------------------------------------------------------------------------------------------------------- reasoning


def reasoning(text: str = "hm", **more: Any) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
        **more,
    }


def test_reasoning_goes_back_on_every_turn_with_calls() -> None:
    """A client may speak in the middle of a turn (Codex 0.120 warns there), and a server that wants reasoning refuses a
    history without it for good."""
    made = written(
        reasoning("old"),
        call("a"),
        output("a"),
        user(),
        reasoning("x"),
        said("look"),
        reasoning("y"),
        call("b"),
        output("b"),
        reasoning("z"),
        said("done"),
        to=generic(reasoning_replay="tool_turns"),
    )
    assert made.body["messages"] == [
        bot(None, chat_call("a")) | {"reasoning_content": "old"},
        tool("a"),
        HI,
        bot("look", reasoning_content="xy") | {"tool_calls": [chat_call("b")]},
        tool("b"),
        bot("done"),
    ]
    assert lost(made) == [("input[9]", "dropped", "reasoning")]


def test_reasoning_goes_back_everywhere_under_the_field_of_the_server() -> None:
    made = written(
        reasoning(content=None, summary=[{"type": "summary_text", "text": "short"}]),
        said("done"),
        to=generic(reasoning_replay="all", reasoning_field="reasoning"),
    )
    assert made.body["messages"] == [bot("done", reasoning="short")]
    assert made.losses == []


@pytest.mark.parametrize(("to", "on_texts"), [("moonshot", False), ("deepseek", True)])
def test_what_was_said_without_a_thought_gets_one_where_the_server_refuses_it_without(to: str, on_texts: bool) -> None:
    """As after a switch of models; Moonshot takes an empty one for none."""
    history = user(), call("a"), output("a"), reasoning("y"), call("b"), output("b"), said("done"), user()
    empty = {"reasoning_content": " "}
    assert messages(*history, to=profile(to)) == [
        HI,
        bot(None, chat_call("a")) | empty,
        tool("a"),
        bot(None, chat_call("b")) | {"reasoning_content": "y"},
        tool("b"),
        bot("done") | (empty if on_texts else {}),
        HI,
    ]


@pytest.mark.parametrize("to", ["moonshot", "mistral", "anthropic"])
@pytest.mark.parametrize("content", ["", [], None, " \n"])
def test_an_answer_that_says_nothing_is_left_out_where_the_server_refuses_it(to: str, content: Any) -> None:
    """As of a model that only thought, or was stopped at once: one of them would end the conversation for good."""
    silent = {"type": "message", "role": "assistant", "content": content}

    made = written(user(), silent, user("well?"), said("yes"), call("a12345678"), output("a12345678"), to=profile(to))

    assert [message["role"] for message in made.body["messages"]] == ["user", "user", "assistant", "tool"]
    assert made.losses == []
    assert messages(user(), silent, user())[1] == bot(content or "")


def test_blanks_before_calls_are_no_text_where_the_server_refuses_one_without() -> None:
    """ "text content blocks must contain non-whitespace text", as models write it before they call."""
    history = user(), said("\n\n"), call("a"), output("a")

    assert messages(*history, to=profile("anthropic")) == [HI, bot(None, chat_call("a")), tool("a")]
    assert messages(*history) == [HI, bot("\n\n", chat_call("a")), tool("a")]


def test_ids_of_other_servers_are_words_where_the_server_takes_no_other() -> None:
    """Moonshot's are `functions.f:0`; Anthropic's own are left as they are."""
    history = user(), call("functions.f:0"), output("functions.f:0"), call("toolu_01-a"), output("toolu_01-a")
    made = messages(*history, to=profile("anthropic"))

    other, own = (message["tool_calls"][0]["id"] for message in made if message["role"] == "assistant")
    assert (other.replace("_", "").isalnum(), own) == (True, "toolu_01-a")
    assert [message["tool_call_id"] for message in made if message["role"] == "tool"] == [other, own]


def test_an_answer_of_nothing_but_thoughts_is_kept_where_the_server_is_given_them() -> None:
    to = generic(empty_answers=False, reasoning_replay="all")
    assert messages(user(), reasoning("hm"), said(""), to=to)[1] == bot("", reasoning_content="hm")


def test_reasoning_behind_the_last_call_of_a_turn_goes_back_with_the_turn() -> None:
    """As the adapter tells it where a model thinks between calls whose arguments come interleaved."""
    history = (
        reasoning("a"),
        call("1"),
        call("2"),
        reasoning("b"),
        output("1"),
        reasoning("c"),
        output("2"),
        reasoning("d"),
    )
    made = written(*history, said("e"), reasoning("f"), user(), to=generic(reasoning_replay="all"))
    assert made.body["messages"] == [
        bot(None, chat_call("1"), chat_call("2")) | {"reasoning_content": "ab"},
        tool("1"),
        tool("2"),
        bot("e", reasoning_content="cdf"),
        HI,
    ]
    assert made.losses == []


def test_reasoning_that_is_not_given_back_is_reported_once() -> None:
    made = written(reasoning(), said("x"), reasoning(), said("y"), reasoning())

    assert made.body["messages"] == [bot("x"), bot("y")]
    assert [loss.kind for loss in made.losses] == ["reasoning"]


def test_reasoning_that_nothing_follows_is_reported() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}

    assert lost(written(user(), thought)) == [("input[1]", "dropped", "reasoning")]


def test_reasoning_that_nobody_can_read_is_passed_over_in_silence() -> None:
    assert written(reasoning(content=[], encrypted_content="gAAA"), said("x")).losses == []


# ------------------------------------------------------------------------------------------------------- other items


@pytest.mark.parametrize("marker", [{}, {"encrypted_content": None}])
def test_codex_bare_marker_of_a_compaction_says_nothing(marker: dict[str, Any]) -> None:
    made = written(user("a"), {"type": "context_compaction", **marker}, said("b"))
    assert (made.body["messages"], made.losses) == ([{"role": "user", "content": "a"}, bot("b")], [])


@pytest.mark.parametrize(
    ("item", "error", "param"),
    [
        ({"type": "compaction", "encrypted_content": "x"}, InvalidEncryptedContent, "input[1].encrypted_content"),
        ({"type": "compaction_trigger"}, UnsupportedParameter, "input[1]"),
        ({"type": "item_reference", "id": "msg_1"}, BadRequest, "input[1].id"),
        ({"type": "mcp_approval_response", "approve": True}, UnsupportedParameter, "input[1]"),
        ({"type": "message", "role": "critic", "content": "x"}, InvalidValue, "input[1].role"),
        ({"type": "message", "role": "user", "content": 5}, InvalidType, "input[1].content"),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_audio"}]},
            UnsupportedParameter,
            "input[1].content[0]",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_image", "file_id": "f"}]},
            UnsupportedParameter,
            "input[1].content[0].file_id",
        ),
        ({"type": "function_call", "call_id": "a", "name": "f", "arguments": {}}, InvalidType, "input[1].arguments"),
        ({"type": "agent_message", "content": 5}, InvalidType, "input[1].content"),
    ],
)
def test_what_cannot_be_left_out_is_refused(item: dict[str, Any], error: type[BadRequest], param: str) -> None:
    with pytest.raises(error) as refused:
        written(user(), item)

    assert refused.value.param == param


@pytest.mark.parametrize("bad", ['{"cmd": "ec', "not json", '"a string"', "[1]", "null", '{"a": NaN}'])
def test_arguments_that_are_no_object_go_back_as_the_text_in_one(bad: str) -> None:
    """Servers that read them would refuse this history, and every later one of the session."""
    made = written(
        user(), call("a", arguments=bad), call("b", arguments='{"x":1}'), output("a", "no JSON"), output("b")
    )

    wrapped = json.dumps({"arguments": bad}, separators=(",", ":"), ensure_ascii=False)
    calls = [chat_call("a", arguments=wrapped), chat_call("b", arguments='{"x":1}')]
    assert made.body["messages"] == [HI, bot(None, *calls), tool("a", "no JSON"), tool("b")]
    assert lost(made) == [("input[1].arguments", "approximated", "arguments")]


def test_such_arguments_of_a_tool_search_do_as_well() -> None:
    search = {"type": "tool_search_call", "call_id": "s", "execution": "client", "arguments": '{"query'}
    found = {"type": "tool_search_output", "call_id": "s", "execution": "client", "tools": []}

    (asked, _) = messages(search, found)
    assert asked["tool_calls"] == [chat_call("s", "tool_search", '{"arguments":"{\\"query"}')]


def test_a_server_that_takes_any_arguments_gets_them_as_they_were() -> None:
    made = written(user(), call("a", arguments="not json"), output("a"), to=OPENAI)

    assert made.body["messages"][1] == bot(None, chat_call("a", arguments="not json"))
    assert made.losses == []


def test_what_another_agent_says_is_told_by_the_user() -> None:
    """A task as Codex gives it to a sub-agent: sealed for those who seal, as the model wrote it here. And its result."""
    head = "Message Type: NEW_TASK\nPayload:\n"
    sealed = {"type": "encrypted_content", "encrypted_content": "count the plums"}
    task = {"author": "/agents", "recipient": "/agents/a", "content": [{"type": "input_text", "text": head}, sealed]}
    result = {"author": "/agents/a", "recipient": "/agents", "content": [{"type": "input_text", "text": "five"}]}
    kind = {"type": "agent_message", "id": "amsg_1"}
    made = written(user(), call("a"), {**kind, **task}, output("a"), {**kind, **result})

    told = [{"role": "user", "content": text} for text in (head + "count the plums", "five")]
    assert made.body["messages"] == [HI, bot(None, chat_call("a")), tool("a"), *told]
    assert lost(made) == [("input[2]", "emulated", "agent_message"), ("input[4]", "emulated", "agent_message")]


def test_an_image_of_another_agent_stands_beside_its_words() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    (made,) = messages({"type": "agent_message", "content": [{"type": "input_text", "text": "see"}, image]})

    assert [part["type"] for part in made["content"]] == ["text", "image_url"]


def test_what_servers_ran_and_what_nobody_knows_is_dropped_and_reported() -> None:
    made = written(
        user(),
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "mcp_call", "id": "mcp_1"},
        {"type": "acme:thing"},
        {"type": "additional_tools", "role": "developer", "tools": []},
    )
    assert made.body["messages"] == [HI]
    assert lost(made) == [
        ("input[1]", "dropped", "web_search_call"),
        ("input[2]", "dropped", "mcp_call"),
        ("input[3]", "dropped", "unknown_item"),
    ]


def test_empty_instructions_alone_are_still_something_to_say() -> None:
    assert messages(developer("")) == [{"role": "system", "content": ""}]
    assert messages(developer(""), user()) == [HI]
    assert written(instructions="", to=OPENAI).body["messages"] == [{"role": "developer", "content": ""}]


def test_a_request_without_anything_to_say_is_refused() -> None:
    with pytest.raises(InvalidValue) as refused:
        written()

    assert refused.value.param == "input"
