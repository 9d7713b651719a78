"""Tools of every kind, their names on the wire, and the choice among them."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.errors import BadRequest, InvalidType, InvalidValue, MissingParameter, UnsupportedParameter
from adapter.hub.request import ToolKind, ToolRef
from adapter.upstream.profiles import profile
from tests.dialects.chat.writing import OPENAI, call, generic, lost, output, user, written

EMPTY: dict[str, Any] = {"type": "object", "properties": {}}


def function(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "name": name, **more}


def custom(name: str = "c", **more: Any) -> dict[str, Any]:
    return {"type": "custom", "name": name, **more}


def names(made: Any) -> list[str]:
    return [tool[tool["type"]]["name"] for tool in made.body.get("tools", [])]


def test_a_function_is_nested_and_absent_parameters_are_an_empty_object() -> None:
    made = written(user(), tools=[function(description="d", parameters=None, strict=False)])

    assert made.body["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": EMPTY}}
    ]
    assert (dict(made.exchange.tools), made.losses) == ({}, [])


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ({"type": None, "properties": {}}, EMPTY),
        ({"type": "object"}, EMPTY),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        ({"type": "string"}, {"type": "string"}),
    ],
)
def test_a_schema_says_that_it_is_of_an_object(said: Any, sent: Any) -> None:
    """As those of Codex Desktop and of many MCP servers do not (codex#36441, cc-switch#4705, litellm#38792)."""

    inside = {"type": "namespace", "name": "mcp__x", "tools": [function("g", parameters=said)]}
    made = written(user(), tools=[function(parameters=said), inside])

    assert [tool["function"]["parameters"] for tool in made.body["tools"]] == [sent, sent]
    assert made.losses == []


def test_a_choice_among_objects_is_told_as_one_of_them_all() -> None:
    union = {"type": None, "anyOf": [CLOSED, {"type": "object", "properties": {"b": {}}, "required": ["a", "b"]}]}
    tools = [function(parameters=union), {"type": "tool_search", "execution": "client", "parameters": union}]
    made = written(user(), tools=[*tools, tools[0]])

    one = {"type": "object", "properties": {**CLOSED["properties"], "b": {}}, "required": ["a"]}
    assert [tool["function"]["parameters"] for tool in made.body["tools"]] == [one, one]
    assert lost(made) == [
        ("tools[0].parameters", "approximated", "parameters"),
        ("tools[1].parameters", "approximated", "parameters"),
    ]


@pytest.mark.parametrize(
    ("strict", "parameters", "expected"),
    [
        (True, EMPTY, True),
        (False, CLOSED, False),
        (None, CLOSED, True),
        (None, EMPTY, False),
        (None, None, False),
    ],
)
def test_strict_is_made_explicit_where_the_server_knows_it(strict: Any, parameters: Any, expected: bool) -> None:
    made = written(user(), tools=[function(strict=strict, parameters=parameters)], to=OPENAI)
    assert made.body["tools"][0]["function"]["strict"] is expected


def test_a_strict_that_was_asked_for_and_cannot_be_had_is_reported() -> None:
    assert lost(written(user(), tools=[function(strict=True)])) == [("tools[0].strict", "dropped", "strict")]
    assert lost(written(user(), tools=[function(strict=None, parameters=CLOSED)])) == []


def test_a_custom_tool_becomes_a_function_with_one_input_and_its_grammar_in_words() -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "start: X"}
    made = written(user(), tools=[custom(description="Edit.", format=form)])

    sent = made.body["tools"][0]["function"]
    assert sent["name"] == "c"
    assert sent["description"].startswith("Edit.\n\n")
    assert sent["description"].endswith("lark grammar:\nstart: X")
    assert (list(sent["parameters"]["properties"]), sent["parameters"]["required"]) == (["input"], ["input"])
    assert made.exchange.tools == {"c": ToolRef(ToolKind.CUSTOM, "c")}


@pytest.mark.parametrize("beside", [False, True])
def test_a_custom_tool_that_takes_patches_is_known_as_one_where_it_goes_as_a_function(beside: bool) -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch" LF'}
    tool = custom("ApplyPatch", format=form, **{"async": True} if beside else {})

    ref = ToolRef(ToolKind.CUSTOM, "ApplyPatch", beside=beside)
    assert written(user(), tools=[tool]).exchange.tools == {"ApplyPatch": ref._replace(patch=True)}
    assert written(user(), tools=[tool], to=OPENAI).exchange.tools == ({"ApplyPatch": ref} if beside else {})


@pytest.mark.parametrize("patches", [True, False])
def test_whether_a_tool_takes_patches_says_the_one_that_is_offered(patches: bool) -> None:
    """Not the one of the same name that came too late."""
    first, second = (
        ('start: "*** Begin Patch" LF', "start: X") if patches else ("start: X", 'start: "*** Begin Patch" LF')
    )
    tools = [
        custom("ap", format={"type": "grammar", "syntax": "lark", "definition": definition})
        for definition in (first, second)
    ]
    made = written({"type": "additional_tools", "tools": tools[1:]}, user(), tools=tools[:1])

    assert made.exchange.tools == {"ap": ToolRef(ToolKind.CUSTOM, "ap", patch=patches)}
    assert [word for _, _, word in lost(made)] == ["duplicate_tool"]


@pytest.mark.parametrize("type", ["function", "custom"])
def test_what_chat_tools_have_no_field_for_is_a_loss(type: str) -> None:
    made = written(user(), tools=[{"type": type, "name": "f", "allowed_callers": ["programmatic"]}])

    assert lost(made) == [("tools[0].allowed_callers", "dropped", "allowed_callers")]


def test_a_custom_tool_stays_custom_where_the_server_has_such() -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "start: X"}
    made = written(user(), tools=[custom(format=form), custom("d", description="D")], to=OPENAI)

    assert made.body["tools"] == [
        {
            "type": "custom",
            "custom": {
                "name": "c",
                "format": {"type": "grammar", "grammar": {"definition": "start: X", "syntax": "lark"}},
            },
        },
        {"type": "custom", "custom": {"name": "d", "description": "D"}},
    ]
    assert made.exchange.tools == {}


def test_namespaces_are_flattened_and_remembered() -> None:
    tools = [
        {"type": "namespace", "name": "mcp__echo", "description": "Echoes.", "tools": [function("say"), custom("raw")]},
        {"type": "namespace", "name": "functions", "description": "", "tools": [function("top")]},
    ]
    made = written(call("a", "say", namespace="mcp__echo"), output("a"), tools=tools)

    assert names(made) == ["mcp__echo__say", "mcp__echo__raw", "top"]
    assert made.exchange.tools == {
        "mcp__echo__say": ToolRef(ToolKind.FUNCTION, "say", "mcp__echo"),
        "mcp__echo__raw": ToolRef(ToolKind.CUSTOM, "raw", "mcp__echo"),
    }
    assert made.body["messages"][0]["tool_calls"][0]["function"]["name"] == "mcp__echo__say"
    assert lost(made) == [("tools[0].description", "emulated", "namespace")]


def test_what_is_said_of_a_namespace_is_told_with_its_first_tool() -> None:
    """An MCP server's instructions come to Codex's models as this."""
    echo = [function("say", description="Says."), custom("raw")]
    tools = [
        {"type": "namespace", "name": "mcp__echo", "description": "Ask first.", "tools": echo},
        {"type": "namespace", "name": "bare", "description": "No more.", "tools": [{"type": "function", "name": "f"}]},
        {"type": "namespace", "name": "empty", "description": "Of nothing.", "tools": []},
        {"type": "namespace", "name": "functions", "description": "Of the top.", "tools": [function("top")]},
    ]
    told = [tool["function"].get("description", "") for tool in written(user(), tools=tools).body["tools"]]

    assert told[0] == "Says.\n\nOf all tools of mcp__echo: Ask first."
    assert "Ask first." not in told[1]
    assert told[2] == "Of all tools of bare: No more."
    assert "Of the top." not in told[3]


def test_tools_come_from_three_places_in_order_and_each_once() -> None:
    made = written(
        {"type": "additional_tools", "role": "developer", "tools": [function("f"), function("g")]},
        user(),
        {"type": "tool_search_call", "call_id": "s", "execution": "client", "arguments": {}},
        {"type": "tool_search_output", "call_id": "s", "tools": [function("g"), function("h")]},
        tools=[function("f", description="first")],
    )
    assert names(made) == ["f", "g", "h"]
    assert made.body["tools"][0]["function"]["description"] == "first"


HOSTED_SEARCH = {"type": "tool_search"}
LATER = function("later", parameters=EMPTY, strict=False, defer_loading=True)
CRM = {"type": "namespace", "name": "crm", "description": "", "tools": [function("now"), {**LATER, "name": "orders"}]}


def test_deferred_tools_are_offered_at_once_and_hold_what_the_servers_search_would_tell() -> None:
    raw = custom("raw", defer_loading=True)
    made = written(user(), tools=[HOSTED_SEARCH, LATER, CRM, raw, function("f")])

    assert names(made) == ["later", "crm__now", "crm__orders", "raw", "f"]
    assert made.exchange.tools == {
        "later": ToolRef(ToolKind.FUNCTION, "later", "later", found=LATER),
        "crm__now": ToolRef(ToolKind.FUNCTION, "now", "crm"),
        "crm__orders": ToolRef(ToolKind.FUNCTION, "orders", "crm", found={**CRM, "tools": [CRM["tools"][1]]}),
        "raw": ToolRef(ToolKind.CUSTOM, "raw", found={**raw, "format": {"type": "text"}}),
    }
    assert lost(made) == [("tools[0]", "dropped", "tool_search")]


@pytest.mark.parametrize("search", [[], [{"type": "tool_search", "execution": "client"}]])
def test_deferred_tools_are_as_any_where_no_server_was_to_search_for_them(search: list[Any]) -> None:
    made = written(user(), tools=[LATER, *search])
    assert "later" not in made.exchange.tools


def test_what_a_search_has_found_is_not_told_again_and_its_calls_keep_their_form() -> None:
    made = written(
        user(),
        {"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {"paths": ["later"]}},
        {"type": "tool_search_output", "call_id": None, "execution": "server", "tools": [LATER]},
        call("a", "later", namespace="later"),
        output("a"),
        tools=[HOSTED_SEARCH, LATER],
    )
    assert made.body["messages"][1]["tool_calls"][0]["function"]["name"] == "later"
    assert made.exchange.tools == {"later": ToolRef(ToolKind.FUNCTION, "later", "later")}


def test_a_namespace_that_is_called_as_its_function_stays_one() -> None:
    tools = [function("f"), {"type": "namespace", "name": "f", "description": "", "tools": [function("f")]}]
    made = written(call("a", "f", namespace="f"), output("a"), tools=tools)
    assert made.body["messages"][0]["tool_calls"][0]["function"]["name"] == "f__f"


def test_names_that_collide_are_told_apart_in_the_order_of_the_offer() -> None:
    tools = [
        {"type": "namespace", "name": "a", "tools": [function("b")]},
        function("a__b"),
        custom("a__b"),
        function("a__b"),
    ]
    made = written(user(), tools=tools)

    assert names(made) == ["a__b", "a__b_2", "a__b_3"]
    assert made.exchange.tools == {
        "a__b": ToolRef(ToolKind.FUNCTION, "b", "a"),
        "a__b_2": ToolRef(ToolKind.FUNCTION, "a__b"),
        "a__b_3": ToolRef(ToolKind.CUSTOM, "a__b"),
    }


def test_long_and_odd_names_are_fitted_in_the_offer_in_history_and_in_the_choice() -> None:
    long, odd = "x" * 100, "größe.in mm"
    made = written(
        call("a", long),
        call("b", odd),
        output("a"),
        output("b"),
        tools=[function(long), function(odd)],
        tool_choice={"type": "function", "name": odd},
    )
    sent = names(made)
    assert [call["function"]["name"] for call in made.body["messages"][0]["tool_calls"]] == sent
    assert [made.exchange.tools[name] for name in sent] == [
        ToolRef(ToolKind.FUNCTION, long),
        ToolRef(ToolKind.FUNCTION, odd),
    ]
    assert made.body["tool_choice"] == {"type": "function", "function": {"name": sent[1]}}


def test_tools_that_the_client_runs_become_functions() -> None:
    made = written(
        user(),
        tools=[
            {"type": "tool_search", "execution": "client", "description": "Find.", "parameters": CLOSED},
            {"type": "local_shell"},
            {"type": "shell", "environment": {"type": "local"}},
            {"type": "apply_patch"},
        ],
    )
    assert names(made) == ["tool_search", "local_shell", "shell", "apply_patch"]
    assert {name: ref.kind.value for name, ref in made.exchange.tools.items()} == {name: name for name in names(made)}
    assert made.body["tools"][0]["function"] == {"name": "tool_search", "description": "Find.", "parameters": CLOSED}
    assert made.losses == []


def test_tools_that_the_server_would_run_are_dropped_and_reported() -> None:
    made = written(
        user(),
        tools=[
            {"type": "web_search"},
            {"type": "mcp", "server_label": "x"},
            {"type": "tool_search"},
            {"type": "shell", "environment": {"type": "container_auto"}},
            {"type": "acme:tool"},
        ],
        tool_choice="auto",
        parallel_tool_calls=True,
    )
    assert "tools" not in made.body
    assert [kind for _, _, kind in lost(made)] == ["web_search", "mcp", "tool_search", "shell", "unknown_tool"]


def test_web_search_becomes_web_search_options_where_the_server_has_them() -> None:
    tool = {
        "type": "web_search",
        "user_location": {"type": "approximate", "city": "Bern", "region": None},
        "search_context_size": "low",
        "filters": {"allowed_domains": ["x.org"]},
        "external_web_access": False,
    }
    made = written(user(), tools=[tool], to=profile("openai", {"web_search_options": True}))

    assert made.body["web_search_options"] == {
        "user_location": {"type": "approximate", "approximate": {"city": "Bern"}},
        "search_context_size": "low",
    }
    assert lost(made) == [
        ("tools[0].filters", "dropped", "web_search"),
        ("tools[0].external_web_access", "dropped", "web_search"),
    ]


@pytest.mark.parametrize(
    ("choice", "searches"),
    [
        (None, True),
        ("auto", True),
        ("required", True),
        ("none", False),
        ({"type": "function", "name": "f"}, False),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}, False),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, True),
    ],
)
def test_a_server_that_searches_whatever_the_tool_choice_is_not_told_to_where_that_forbids_it(
    choice: Any, searches: bool
) -> None:
    tools = [{"type": "function", "name": "f"}, {"type": "web_search"}]
    made = written(user(), tools=tools, tool_choice=choice, to=profile("openai", {"web_search_options": True}))

    assert ("web_search_options" in made.body) is searches


# ------------------------------------------------------------------------------------------------------------ choices

F, G, C = function("f"), function("g"), custom("c")


@pytest.mark.parametrize("choice", ["none", "auto", "required"])
def test_plain_choices_pass(choice: str) -> None:
    assert written(user(), tools=[F], tool_choice=choice).body["tool_choice"] == choice


def test_a_named_choice_is_nested_and_follows_the_tool_that_was_sent() -> None:
    choice = {"type": "custom", "name": "c"}
    as_function = written(user(), tools=[F, C], tool_choice=choice).body
    as_custom = written(user(), tools=[F, C], tool_choice=choice, to=OPENAI).body

    assert as_function["tool_choice"] == {"type": "function", "function": {"name": "c"}}
    assert as_custom["tool_choice"] == {"type": "custom", "custom": {"name": "c"}}


def test_a_named_choice_leaves_one_tool_where_servers_cannot_be_told_a_name() -> None:
    made = written(user(), tools=[F, G], tool_choice={"type": "function", "name": "g"}, to=generic(tool_choice="words"))
    assert (names(made), made.body["tool_choice"], made.losses) == (["g"], "required", [])


def test_a_server_that_hears_no_choice_gets_no_tools_where_none_may_be_called() -> None:
    deaf = generic(tool_choice="ignored")
    none, auto = (written(user(), tools=[F, G], tool_choice=choice, to=deaf) for choice in ("none", "auto"))

    assert ("tools" in none.body, "tool_choice" in none.body, none.losses) == (False, False, [])
    assert (names(auto), auto.losses) == (["f", "g"], [])
    assert "tools" not in written(user(), tools=[F, G], tool_choice="none", to=profile("zhipu")).body


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "function", "name": "g"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]},
    ],
)
def test_a_demand_of_a_server_that_hears_no_choice_is_a_loss(choice: Any) -> None:
    made = written(user(), tools=[F, G], tool_choice=choice, to=generic(tool_choice="ignored"))

    assert names(made) == (["f", "g"] if choice == "required" else ["g"])
    assert lost(made) == [("tool_choice", "approximated", "tool_choice")]


def test_a_choice_of_an_emulated_tool_names_its_function() -> None:
    made = written(user(), tools=[{"type": "shell"}], tool_choice={"type": "shell"})
    assert made.body["tool_choice"] == {"type": "function", "function": {"name": "shell"}}


def test_a_choice_in_a_namespace_finds_its_tool() -> None:
    tools = [{"type": "namespace", "name": "n", "tools": [F]}]
    made = written(user(), tools=tools, tool_choice={"type": "function", "name": "f", "namespace": "n"})
    assert made.body["tool_choice"] == {"type": "function", "function": {"name": "n__f"}}


ALLOWED = {
    "type": "allowed_tools",
    "mode": "required",
    "tools": [{"type": "function", "name": "g"}, {"type": "web_search"}],
}


def test_allowed_tools_are_nested_twice_where_the_server_knows_them() -> None:
    made = written(user(), tools=[F, G], tool_choice=ALLOWED, to=OPENAI)

    assert names(made) == ["f", "g"]
    assert made.body["tool_choice"] == {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]},
    }


def test_allowed_tools_are_the_only_tools_elsewhere() -> None:
    made = written(user(), tools=[F, G], tool_choice=ALLOWED)
    assert (names(made), made.body["tool_choice"]) == (["g"], "required")


def test_parallel_calls_are_spoken_of_only_beside_tools_and_where_the_server_knows_them() -> None:
    deaf = generic(parallel_tool_calls=False)

    assert "parallel_tool_calls" not in written(user(), parallel_tool_calls=False).body
    assert written(user(), tools=[F], parallel_tool_calls=False).body["parallel_tool_calls"] is False
    assert lost(written(user(), tools=[F], parallel_tool_calls=True, to=deaf)) == []
    assert lost(written(user(), tools=[F], parallel_tool_calls=False, to=deaf)) == [
        ("parallel_tool_calls", "dropped", "parallel_tool_calls")
    ]


WRONG: list[tuple[dict[str, Any], str, type[BadRequest]]] = [
    ({"tool_choice": "required"}, "tool_choice", InvalidValue),
    ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice", InvalidValue),
    ({"tools": [F], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice", InvalidValue),
    (
        {"tools": [F], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice.name",
        MissingParameter,
    ),
    ({"tools": [F], "tool_choice": "maybe"}, "tool_choice", InvalidValue),
    ({"tools": [F], "tool_choice": 5}, "tool_choice", InvalidType),
    ({"tools": [F], "tool_choice": {"type": "x"}}, "tool_choice.type", InvalidValue),
    ({"tools": [F], "tool_choice": ALLOWED | {"mode": "x"}}, "tool_choice.mode", InvalidValue),
    (
        {"tools": [F], "tool_choice": {"type": "function", "name": "f", "namespace": []}},
        "tool_choice.namespace",
        InvalidType,
    ),
    (
        {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}},
        "tool_choice",
        UnsupportedParameter,
    ),
    ({"tools": [{"type": "mcp"}], "tool_choice": "required"}, "tool_choice", UnsupportedParameter),
    (
        {"tools": [F], "tool_choice": ALLOWED | {"tools": [{"type": "mcp"}]}},
        "tool_choice.tools",
        UnsupportedParameter,
    ),
    ({"tools": 5}, "tools", InvalidType),
    ({"tools": [5]}, "tools[0]", InvalidType),
    ({"tools": [{}]}, "tools[0].type", MissingParameter),
    ({"tools": [{"type": "function"}]}, "tools[0].name", MissingParameter),
    ({"tools": [{"type": "function", "name": "f", "parameters": 5}]}, "tools[0].parameters", InvalidType),
    ({"tools": [{"type": "namespace", "name": "n"}]}, "tools[0].tools", MissingParameter),
    ({"tools": [F], "parallel_tool_calls": "no"}, "parallel_tool_calls", InvalidType),
]


@pytest.mark.parametrize(("body", "param", "error"), WRONG)
def test_wrong_tools_and_impossible_choices_are_refused(
    body: dict[str, Any], param: str, error: type[BadRequest]
) -> None:
    with pytest.raises(error) as refused:
        written(user(), **body)

    assert refused.value.param == param


@pytest.mark.parametrize(
    ("again", "losses"),
    [
        (function(description="d", parameters=CLOSED), []),
        (function(description="d", parameters=CLOSED, defer_loading=True), []),
        (function(description="another", parameters=CLOSED), [("tools[1]", "dropped", "duplicate_tool")]),
        (function(description="d", parameters={"type": "object"}), [("tools[1]", "dropped", "duplicate_tool")]),
    ],
)
def test_a_second_tool_of_one_name_is_reported_unless_it_says_the_same(again: Any, losses: Any) -> None:
    first = function(description="d", parameters=CLOSED)
    made = written(user(), tools=[first, again])

    assert made.body["tools"] == written(user(), tools=[first]).body["tools"]
    assert lost(made) == losses


def test_a_tool_that_is_brought_again_is_offered_as_it_is_brought_last() -> None:
    """Codex brings tools again that have changed; those of the request itself are of today."""

    def brought(*tools: Any) -> Any:
        return {"type": "additional_tools", "role": "developer", "tools": [*tools]}

    first, changed = function("f", description="1"), function("f", description="2")
    made = written(brought(first, custom("c", description="old")), user(), brought(changed, custom("c")), user())
    kept = written(brought(function("g"), changed), user(), tools=[first])

    assert made.body["tools"] == written(user(), tools=[changed, custom("c")]).body["tools"]
    assert lost(made) == []
    assert kept.body["tools"][0]["function"]["description"] == "1"
    assert lost(kept) == [("input[0].tools[1]", "dropped", "duplicate_tool")]


def test_a_second_tool_of_another_kind_is_reported_unless_it_says_the_same() -> None:
    shells = [{"type": "shell"}, {"type": "shell"}]
    customs = [custom(), custom(description="another")]
    searches = [{"type": "web_search"}, {"type": "web_search", "search_context_size": "high"}, {"type": "web_search"}]
    made = written(user(), tools=shells + customs + searches, to=generic(web_search_options=True))

    assert names(made) == ["shell", "c"]
    assert made.body["web_search_options"] == {}
    assert lost(made) == [("tools[3]", "dropped", "duplicate_tool"), ("tools[5]", "dropped", "duplicate_tool")]


def test_a_search_without_parameters_has_those_of_every_search() -> None:
    search = {"type": "tool_search", "execution": "client"}
    assert written(user(), tools=[search | {"parameters": {}}]).body == written(user(), tools=[search]).body
