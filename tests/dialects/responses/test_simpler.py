"""Requests for servers whose Responses endpoint knows few kinds of tools."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from adapter.conform import strict_responses
from adapter.dialects import chat
from adapter.dialects.responses import read_request, write_request
from adapter.dialects.responses.simpler import OF_CLIENTS, fits, kinds
from adapter.errors import BadRequest, UnsupportedParameter
from adapter.hub.losses import Action
from adapter.hub.request import ClientTraits, ToolKind, ToolRef, Written
from adapter.upstream.profiles import GENERIC, LATE, SYSTEM, Profile, profile, profile_names, without

Json = dict[str, Any]
FEW = profile("generic", {"responses_tools": ["function"]})
KEEP = profile("generic", {"responses_tools": ["function"], "late_system": "keep"})
SEARCHES = profile("generic", {"responses_tools": ["function", "web_search"]})
USER: Json = {"type": "message", "role": "user", "content": "hi"}
NOTHING: Json = {"type": "object", "properties": {}}
PLAIN: Json = {"type": "function", "name": "plain", "parameters": NOTHING, "strict": None, "brand_new": 1}
PATCH: Json = {"type": "custom", "name": "apply_patch", "description": "Edit.", "format": {"type": "text"}}
ECHO: Json = {
    "type": "namespace",
    "name": "mcp__echo",
    "tools": [{"type": "function", "name": "say", "parameters": {}}],
}
SEARCH: Json = {"type": "tool_search", "execution": "client"}


def asked(tools: list[Json], items: list[Json] | None = None, **body: Any) -> Json:
    return {"model": "m", "tools": tools, "input": [USER] if items is None else items, **body}


def written(body: Json, known: Any = FEW) -> Written:
    before = copy.deepcopy(body)
    made = write_request(read_request(body), known)
    assert body == before
    return made


def lost(made: Written) -> list[tuple[str, Action, str]]:
    return [(loss.path, loss.action, loss.kind) for loss in made.losses]


def test_a_function_goes_on_with_all_that_it_says() -> None:
    made = written(asked([PLAIN, PATCH]))

    assert made.body["tools"][0] == PLAIN
    assert [tool["type"] for tool in made.body["tools"]] == ["function", "function"]
    assert made.exchange.tools == {"apply_patch": ToolRef(ToolKind.CUSTOM, "apply_patch", patch=True)}
    assert made.losses == []


def test_a_function_is_neither_hidden_until_it_is_searched_for_nor_does_it_run_beside_the_conversation() -> None:
    made = written(asked([{**PLAIN, "defer_loading": True, "async": True}, {"type": "tool_search"}]))

    assert made.body["tools"] == [{**PLAIN, "strict": None}]
    ref = made.exchange.tools["plain"]
    assert (ref.beside, ref.namespace, ref.found is not None) == (True, "plain", True)
    assert lost(made) == [
        ("tools[0].async", Action.DROPPED, "async_tool"),
        ("tools[1]", Action.DROPPED, "tool_search"),
    ]


def test_a_function_has_a_schema_that_says_that_it_is_of_an_object() -> None:
    union = {"type": None, "oneOf": [NOTHING | {"properties": {"a": {}}}, NOTHING | {"properties": {"b": {}}}]}
    loose = {**PLAIN, "parameters": {"type": None, "properties": {}}}
    searches = {**SEARCH, "parameters": {"type": None, "properties": {"query": {}}}}
    made = written(asked([loose, {**PLAIN, "name": "either", "parameters": union}, searches]))

    assert [tool["parameters"] for tool in made.body["tools"]] == [
        NOTHING,
        NOTHING | {"properties": {"a": {}, "b": {}}},
        NOTHING | {"properties": {"query": {}}},
    ]
    assert lost(made) == [("tools[1].parameters", Action.APPROXIMATED, "parameters")]


def test_a_namespace_is_flattened_and_its_names_are_free() -> None:
    clash = {"type": "function", "name": "mcp__echo__say", "parameters": {}}
    made = written(asked([clash, ECHO]))

    assert [tool["name"] for tool in made.body["tools"]] == ["mcp__echo__say", "mcp__echo__say_2"]
    assert made.exchange.tools == {"mcp__echo__say_2": ToolRef(ToolKind.FUNCTION, "say", "mcp__echo")}


def test_what_codex_wants_encrypted_is_not_and_no_call_of_the_history_tells_the_server_of_it() -> None:
    secret = {"type": "object", "properties": {"text": {"type": "string", "encrypted": True}}}
    tool = {"type": "function", "name": "send", "parameters": secret}
    call = {"type": "function_call", "call_id": "a", "name": "send", "namespace": "agents", "arguments": "{}"}
    history = [call | {"encrypted_function_args": []}, {"type": "function_call_output", "call_id": "a", "output": ""}]
    request = read_request(asked([{"type": "namespace", "name": "agents", "tools": [tool]}], history))
    request.client = ClientTraits.CODEX
    made = write_request(request, FEW)

    assert made.body["tools"][0]["parameters"]["properties"] == {"text": {"type": "string"}}
    assert made.exchange.tools == {"agents__send": ToolRef(ToolKind.FUNCTION, "send", "agents", plain=True)}
    assert "encrypted_function_args" not in made.body["input"][0]


def test_what_the_server_runs_goes_on_where_it_is_known_and_is_a_loss_elsewhere() -> None:
    tools = [{"type": "web_search"}, PATCH]

    assert written(asked(tools), SEARCHES).body["tools"][-1] == {"type": "web_search"}
    assert written(asked(tools), SEARCHES).losses == []
    assert lost(written(asked(tools))) == [("tools[0]", Action.DROPPED, "web_search")]


def test_tools_that_come_later_are_offered_with_the_others() -> None:
    brought = {"type": "additional_tools", "role": "developer", "tools": [ECHO]}
    made = written(asked([PLAIN], [USER, brought, USER]))

    assert [tool["name"] for tool in made.body["tools"]] == ["plain", "mcp__echo__say"]
    assert made.body["input"] == [USER, USER]


def test_tools_that_are_brought_again_are_offered_once() -> None:
    brought = {"type": "additional_tools", "role": "developer", "tools": [PLAIN, {"type": "web_search"}, ECHO]}
    other = {"type": "web_search", "search_context_size": "low"}
    made = written(asked([PLAIN, {"type": "web_search"}, other], [brought, USER, brought]), SEARCHES)

    assert [tool.get("name", tool["type"]) for tool in made.body["tools"]] == [
        "plain",
        "mcp__echo__say",
        "web_search",
        "web_search",
    ]
    assert made.losses == []


def test_a_search_of_the_client_and_what_it_found_are_a_call_and_its_output() -> None:
    call = {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"query": "q"}}
    found = {
        "type": "tool_search_output",
        "call_id": "c",
        "execution": "client",
        "status": "completed",
        "tools": [ECHO],
    }
    made = written(asked([SEARCH], [USER, call, found]))

    assert made.body["input"][1:] == [
        {"type": "function_call", "call_id": "c", "name": "tool_search", "arguments": '{"query":"q"}'},
        {
            "type": "function_call_output",
            "call_id": "c",
            "status": "completed",
            "output": '{"tools":["mcp__echo__say"]}',
        },
    ]


def test_a_search_of_another_server_is_a_loss_and_its_tools_are_offered() -> None:
    call = {"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {"paths": ["mcp__echo"]}}
    found = {"type": "tool_search_output", "call_id": None, "execution": "server", "tools": [ECHO]}
    made = written(asked([PLAIN], [USER, call, found]))

    assert made.body["input"] == [USER]
    assert [tool["name"] for tool in made.body["tools"]] == ["plain", "mcp__echo__say"]
    assert lost(made) == [("input[1]", Action.DROPPED, "tool_search_call")]


CALLS: list[tuple[Json, Json, str, str]] = [
    (
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "apply_patch", "input": 'a "b"'},
        {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "ok"}]},
        '{"input":"a \\"b\\""}',
        "apply_patch",
    ),
    (
        {
            "type": "local_shell_call",
            "id": "lsh_1",
            "call_id": "c",
            "action": {"type": "exec", "command": ["ls"], "env": {}},
        },
        {"type": "local_shell_call_output", "id": "lsh_1", "output": "ok"},
        '{"command":["ls"]}',
        "local_shell",
    ),
    (
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "ok"}], "max_output_length": 9},
        '{"commands":["ls"]}',
        "shell",
    ),
    (
        {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": "no"},
        '{"type":"delete_file","path":"a"}',
        "apply_patch",
    ),
    (
        {"type": "function_call", "call_id": "c", "name": "say", "namespace": "mcp__echo", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "ok"},
        "{}",
        "mcp__echo__say",
    ),
]


@pytest.mark.parametrize(("call", "output", "arguments", "name"), CALLS, ids=lambda value: str(value)[:24])
def test_calls_of_the_history_are_calls_of_functions(call: Json, output: Json, arguments: str, name: str) -> None:
    made = written(asked([PATCH, ECHO], [USER, call, output]))

    assert strict_responses.problems(made.body, FEW) == []
    sent, answered = made.body["input"][1:]
    assert (sent["type"], sent["name"], sent["arguments"]) == ("function_call", name, arguments)
    assert (answered["type"], answered["call_id"]) == ("function_call_output", "c")
    assert answered["output"] == {
        "shell": '[{"stdout":"ok"}]',
        "apply_patch_call_output": "failed\nno",
    }.get(name if name == "shell" else output["type"], output.get("output"))


@pytest.mark.parametrize(
    "item",
    [
        {"type": "tool_search_output", "execution": "client", "call_id": [], "tools": []},
        {"type": "local_shell_call_output", "id": {}, "output": "o"},
        {"type": "local_shell_call_output", "id": "i", "output": 7},
        {"type": "local_shell_call_output", "id": "i", "output": ["o"]},
        {"type": "shell_call_output", "call_id": True, "output": []},
        {"type": "agent_message", "content": 7},
    ],
)
def test_what_says_nothing_that_can_be_read_is_refused(item: Json) -> None:
    with pytest.raises(BadRequest) as refused:
        written(asked([], [USER, item]))
    assert str(refused.value.param).startswith("input[1].")


def test_what_another_server_ran_is_a_loss_where_the_tool_is_not_known() -> None:
    ran = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
    made = written(asked([PLAIN], [USER, ran]))

    assert made.body["input"] == [USER]
    assert lost(made) == [("input[1]", Action.DROPPED, "web_search_call")]
    assert fits(asked([PLAIN], [USER, ran]), SEARCHES)


def test_arguments_that_a_model_wrote_wrong_do_not_end_the_conversation() -> None:
    wrong = {"type": "function_call", "call_id": "c", "name": "local_shell", "arguments": '{"comm'}
    empty = {"type": "function_call", "call_id": "d", "name": "plain", "arguments": ""}
    outputs = [{"type": "function_call_output", "call_id": call_id, "output": "no"} for call_id in "cd"]
    made = written(asked([{"type": "local_shell"}, PLAIN], [USER, wrong, empty, *outputs]))

    assert [call["arguments"] for call in made.body["input"][1:3]] == ['{"arguments":"{\\"comm"}', "{}"]
    assert lost(made) == [("input[1].arguments", Action.APPROXIMATED, "arguments")]


def test_unknown_fields_of_a_call_ride_along() -> None:
    call = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "", "brand_new": {"a": 1}}
    made = written(asked([PATCH], [USER, call, {"type": "custom_tool_call_output", "call_id": "c", "output": ""}]))

    assert made.body["input"][1]["brand_new"] == {"a": 1}


def test_what_a_tool_says_that_nobody_called_is_told_by_the_user() -> None:
    parts = [{"type": "input_text", "text": "two"}]
    items = [
        {"type": "function_call_output", "name": "goal", "namespace": "codex", "output": "count"},
        {"type": "custom_tool_call", "call_id": "c", "name": "exec", "input": "x"},
        {"type": "custom_tool_call_output", "name": "exec", "output": "by name"},
        {"type": "custom_tool_call_output", "call_id": "c", "name": "exec", "output": parts},
    ]
    made = written(asked([], items))

    assert made.body["input"][0] == {"type": "message", "role": "user", "content": "Output of codex.goal:\ncount"}
    assert made.body["input"][2]["call_id"] == "c"
    assert made.body["input"][3]["content"] == [
        {"type": "input_text", "text": "Output of exec, beside that of the call c:"},
        *parts,
    ]
    assert lost(made) == [
        ("input[0]", Action.EMULATED, "uncalled_output"),
        ("input[3]", Action.EMULATED, "uncalled_output"),
    ]


def test_outputs_answer_the_calls_of_their_id_or_name_in_turn() -> None:
    call = {"type": "custom_tool_call", "call_id": "c", "name": "exec", "input": "x"}
    output = {"type": "custom_tool_call_output", "call_id": "c", "name": "exec", "output": "o"}
    unnamed = {"type": "custom_tool_call_output", "name": "exec", "output": "o"}
    made = written(asked([], [call, call, {**call, "call_id": "d"}, output, output, unnamed, unnamed]))

    answered = made.body["input"][3:]
    assert [item.get("call_id") for item in answered] == ["c", "c", "d", None]
    assert lost(made) == [("input[6]", Action.EMULATED, "uncalled_output")]


def test_what_an_agent_says_is_told_by_the_user() -> None:
    said = {"type": "agent_message", "content": [{"type": "encrypted_content", "encrypted_content": "TASK"}]}
    made = written(asked([], [said]))

    assert made.body["input"] == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "TASK"}]}
    ]
    assert lost(made) == [("input[0]", Action.EMULATED, "agent_message")]


def said(role: str, content: Any) -> Json:
    return {"type": "message", "role": role, "content": content}


PARTS = [{"type": "input_text", "text": "three "}, {"type": "input_text", "text": "four"}]


def test_instructions_stand_at_the_beginning_and_late_ones_where_the_profile_has_them() -> None:
    items = [said("developer", "two"), said("system", PARTS), USER, said("developer", PARTS), USER]
    lead = profile("generic", {"responses_tools": ["function"], "late_system": "lead"})
    body = asked([], items, instructions="one")

    assert written(body).body["instructions"] == "one\n\ntwo\n\nthree four"
    assert written(body).body["input"] == [USER, said("user", PARTS), USER]
    assert written(body, lead).body["instructions"] == "one\n\ntwo\n\nthree four\n\nthree four"
    assert written(body, lead).body["input"] == [USER, USER]
    assert lost(written(body)) == lost(written(body, lead)) == [("input[3].role", Action.APPROXIMATED, "late_system")]
    assert written(body, KEEP).body["input"] == items


def test_instructions_alone_are_a_message() -> None:
    made = written(asked([], [said("developer", "two")], instructions=[said("developer", "one")]))

    assert made.body["input"] == [said("system", "one\n\ntwo")]
    assert made.body["instructions"] is None


def test_one_system_message_at_the_beginning_is_understood() -> None:
    assert fits(asked([], [said("system", "one"), USER]), FEW)
    assert not fits(asked([], [said("system", "one"), USER], instructions="zero"), FEW)
    assert not fits(asked([], [USER, {"role": "system", "content": "late"}]), FEW)
    assert not fits(asked([], [said("developer", "one"), USER]), FEW)


def test_the_name_of_instructions_is_lost_and_told() -> None:
    messages = [{"role": "system", "name": "boss", "content": "one"}, {"role": "user", "content": "hi"}]
    tools = [{"type": "custom", "custom": {"name": "c"}}]
    made = write_request(chat.read_request({"model": "m", "messages": messages, "tools": tools}), FEW)

    assert (made.body["instructions"], made.body["input"]) == ("one", [USER])
    assert ("messages", Action.DROPPED, "name") in lost(made)


def test_an_image_is_no_instruction() -> None:
    image = [{"type": "input_image", "image_url": "https://e.org/a.png", "detail": "auto"}]
    made = written(asked([], [said("developer", image), USER]))

    assert made.body["input"] == [said("user", image), USER]
    assert lost(made) == [("input[0].role", Action.APPROXIMATED, "late_system")]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ({"type": "custom", "name": "apply_patch"}, {"type": "function", "name": "apply_patch"}),
        (
            {"type": "function", "name": "say", "namespace": "mcp__echo"},
            {"type": "function", "name": "mcp__echo__say"},
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "apply_patch"}]},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "apply_patch"}]},
        ),
    ],
)
def test_a_choice_names_what_is_offered(choice: Any, sent: Any) -> None:
    assert written(asked([PATCH, ECHO], tool_choice=choice)).body["tool_choice"] == sent


def test_what_is_forced_and_cannot_be_had_is_refused() -> None:
    hosted = {"type": "web_search"}
    for choice in ("required", hosted, {"type": "allowed_tools", "mode": "required", "tools": [hosted]}):
        with pytest.raises(UnsupportedParameter):
            written(asked([hosted], tool_choice=choice))
    assert written(asked([hosted, PATCH], tool_choice=hosted), SEARCHES).body["tool_choice"] == hosted
    for nobody in ({"type": "custom", "name": "other"}, {}, {"type": []}, {"type": "function"}):
        with pytest.raises(BadRequest):
            written(asked([PATCH], tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [nobody]}))


def test_a_history_of_which_nothing_is_left_is_refused() -> None:
    brought = {"type": "additional_tools", "role": "developer", "tools": [PATCH]}
    with pytest.raises(BadRequest) as refused:
        written(asked([], [brought]))
    assert refused.value.param == "input"
    assert written(asked([], [brought], instructions="one")).body["input"] == [said("system", "one")]


def test_a_choice_that_is_not_heeded_is_said_by_the_tools_that_are_offered() -> None:
    words, ignored = (
        profile("generic", {"responses_tools": ["function"], "tool_choice": heeded}) for heeded in ("words", "ignored")
    )
    body = asked([PATCH, ECHO], tool_choice={"type": "custom", "name": "apply_patch"})

    for known in (words, ignored):
        made = written(body, known)
        assert [tool["name"] for tool in made.body["tools"]] == ["apply_patch"]
        assert made.body["tool_choice"] == "required"
    assert lost(written(body, words)) == []
    assert lost(written(body, ignored)) == [("tool_choice", Action.APPROXIMATED, "tool_choice")]
    assert "tools" not in written({**body, "tool_choice": "none"}, ignored).body


def test_where_no_tool_is_left_that_may_be_called_none_may() -> None:
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}
    assert written(asked([PATCH, {"type": "web_search"}], tool_choice=choice)).body["tool_choice"] == "none"


def test_without_any_tool_left_nothing_is_said_of_tools() -> None:
    made = written(asked([{"type": "web_search"}], tool_choice="auto", parallel_tool_calls=True))

    assert not {"tools", "tool_choice", "parallel_tool_calls"} & made.body.keys()


def test_a_chat_client_has_its_custom_tools_there_too() -> None:
    custom = {"type": "custom", "custom": {"name": "apply_patch", "description": "Edit."}}
    call = {"id": "c", "type": "custom", "custom": {"name": "apply_patch", "input": "x"}}
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "ok"},
        ],
        "tools": [custom],
        "tool_choice": {"type": "custom", "custom": {"name": "apply_patch"}},
    }
    made = write_request(chat.read_request(body), FEW)

    assert strict_responses.problems(made.body, FEW) == []
    assert made.exchange.tools == {"apply_patch": ToolRef(ToolKind.CUSTOM, "apply_patch", patch=True)}
    assert made.body["tool_choice"] == {"type": "function", "name": "apply_patch"}


@st.composite
def requests(draw: Any) -> Json:
    """Tools of all kinds, and a history that uses some."""
    hosted = [{"type": "web_search"}, {"type": "tool_search"}, {"type": "image_generation"}]
    deep = {**ECHO, "name": "mcp__deep", "tools": [{"type": "custom", "name": "paste"}]}
    some = st.lists(
        st.sampled_from([PLAIN, PATCH, ECHO, deep, SEARCH, {"type": "local_shell"}, *hosted]), unique_by=str
    )
    tools = draw(some)
    items = [said(draw(st.sampled_from(["user", "developer", "system"])), "hi"), USER]
    if draw(st.booleans()):
        items.insert(0, {"type": "additional_tools", "role": "developer", "tools": draw(some)})
    if draw(st.booleans()):
        searched = {"call_id": "s", "execution": "client"}
        items.append({"type": "tool_search_call", **searched, "arguments": {"query": "q"}})
        items.append({"type": "tool_search_output", **searched, "tools": draw(some)})
    for number, (call, output, _, _) in enumerate(draw(st.lists(st.sampled_from(CALLS), max_size=4))):
        again = {"call_id": f"c{number}", **({"id": f"i{number}"} if "id" in call else {})}
        items.append({**call, **again})
        items.append(
            {**output, **(again if output["type"] == "local_shell_call_output" else {"call_id": f"c{number}"})}
        )
    return {"model": "m", "input": items, "tools": tools}


@settings(max_examples=150)
@given(requests(), st.sampled_from([FEW, KEEP]))
def test_such_a_server_takes_whatever_is_written(body: Json, known: Profile) -> None:
    made = written(body, known)

    assert strict_responses.problems(made.body, known) == []
    names = [tool["name"] for tool in made.body.get("tools", [])]
    assert len(names) == len(set(names))
    assert made.exchange.tools.keys() <= set(names)


@settings(max_examples=150)
@given(requests())
def test_its_tools_and_calls_have_the_names_that_a_chat_server_is_told(body: Json) -> None:
    made, chats = written(body), chat.write_request(read_request(body), GENERIC)
    calls = [call["function"] for message in chats.body["messages"] for call in message.get("tool_calls", ())]

    assert [tool["name"] for tool in made.body.get("tools", ())] == [
        tool["function"]["name"] for tool in chats.body.get("tools", ())
    ]
    assert made.exchange.tools == chats.exchange.tools
    assert [
        {key: item[key] for key in ("name", "arguments")}
        for item in made.body["input"]
        if item["type"] == "function_call"
    ] == calls


@settings(max_examples=150)
@given(requests())
def test_what_fits_is_sent_as_it_is(body: Json) -> None:
    assert fits(body, GENERIC)
    if fits(body, FEW):
        assert write_request(read_request(body), FEW).body == write_request(read_request(body), GENERIC).body
    else:
        assert strict_responses.problems({**body, "store": False}, FEW) != []


@settings(max_examples=150)
@given(requests(), st.sets(st.sampled_from([*OF_CLIENTS, "web_search", "image_generation", LATE, SYSTEM])))
def test_what_is_said_otherwise_is_what_is_not_known(body: Json, unknown: set[str]) -> None:
    knows = without(GENERIC, frozenset(unknown))

    assert fits(body, knows) == (not unknown & kinds(body))


@settings(max_examples=150)
@given(requests())
def test_who_knows_nothing_that_is_said_is_told_of_functions_only(body: Json) -> None:
    knows = without(GENERIC, frozenset(kinds(body)))
    try:
        made = write_request(read_request(body), knows)
    except BadRequest:
        reject()

    assert strict_responses.problems(made.body, FEW) == []


def test_who_does_not_know_custom_tools_is_told_instructions_where_they_stand() -> None:
    body = {"model": "m", "input": [USER, said("developer", "hi"), USER], "tools": [PATCH, {"type": "web_search"}]}
    made = written(body, without(GENERIC, frozenset({"custom"})))

    assert [item["role"] for item in made.body["input"]] == ["user", "developer", "user"]
    assert [tool["type"] for tool in made.body["tools"]] == ["function", "web_search"]
    assert made.losses == []


def test_who_does_not_know_late_instructions_is_told_custom_tools() -> None:
    body = {"model": "m", "input": [said("developer", "hi"), USER], "tools": [PATCH]}
    made = written(body, without(GENERIC, frozenset({LATE})))

    assert (made.body["instructions"], [item["role"] for item in made.body["input"]]) == ("hi", ["user"])
    assert [tool["type"] for tool in made.body["tools"]] == ["custom"]


@pytest.mark.parametrize(
    "body", [{}, {"tools": 7, "input": "hi"}, {"tools": [None], "input": [None, {}, {"type": []}]}]
)
def test_what_is_no_request_is_for_others_to_refuse(body: Json) -> None:
    assert fits(body, FEW)


def test_every_profile_with_few_tools_names_functions() -> None:
    few = [profile(name).responses_tools for name in profile_names() if profile(name).responses_tools]

    assert few
    assert all("function" in tools for tools in few)
