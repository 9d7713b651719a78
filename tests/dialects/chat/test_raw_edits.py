"""What is changed in a Chat client's own request for a server that refuses some of it, and that nothing else is."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter import translate
from adapter.conform import strategies
from adapter.conform.strict_chat import problems
from adapter.dialects.chat.raw_edits import meet_demands
from adapter.hub.extra_content import UNSIGNED
from adapter.hub.names import fitted_call_id
from adapter.upstream.profiles import CallIdRule, Profile, profile, profile_names
from tests.dialects.chat.writing import bot, chat_call, generic, tool

USER: Final = {"role": "user", "content": "hi"}
TOOLS: Final = [{"type": "function", "function": {"name": "f"}}]
NINE: Final = CallIdRule(max=9, alphabet="alnum")
ONE: Final = CallIdRule(max=1, alphabet="alnum")
ALL: Final = generic(
    role_demanded=True,
    limit_demanded=True,
    reasoning_demanded=True,
    reasoning_replay="all",
    signatures_demanded=True,
    extra_content=True,
    call_id=NINE,
)
"""A server that demands all there is."""


def edited(body: dict[str, Any], to: Profile) -> dict[str, Any]:
    """The body as the server gets it; what the client sent is as it was."""
    before, sent = deepcopy(body), dict(body)
    meet_demands(sent, to)
    assert body == before
    return sent


def messages(*given: dict[str, Any], to: Profile, **more: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = edited({"messages": list(given), **more}, to)["messages"]
    return sent


# ----------------------------------------------------------------------------------------------------------- reasoning

ROUND: Final = (USER, bot(None, chat_call("call_1")), tool("call_1"))
DEEPSEEK, MOONSHOT, GEMINI = profile("deepseek"), profile("moonshot"), profile("gemini")


@pytest.mark.parametrize("to", [DEEPSEEK, MOONSHOT])
@pytest.mark.parametrize("said", [{}, {"reasoning_content": None}, {"reasoning_content": ""}])
def test_a_turn_with_calls_and_no_thought_gets_one_that_says_nothing(to: Profile, said: dict[str, Any]) -> None:
    given = (USER, bot(None, chat_call("call_1"), **said), tool("call_1"))
    assert messages(*given, to=to) == [USER, bot(None, chat_call("call_1"), reasoning_content=" "), tool("call_1")]


@pytest.mark.parametrize("to", [DEEPSEEK, MOONSHOT])
def test_a_clients_own_thought_stays(to: Profile) -> None:
    given = (USER, bot(None, chat_call("call_1"), reasoning_content="hm"), tool("call_1"))
    assert messages(*given, to=to, tools=TOOLS) == list(given)


@pytest.mark.parametrize("to", [DEEPSEEK, MOONSHOT])
def test_a_clients_own_thought_under_another_name_gets_the_servers_too(to: Profile) -> None:
    """As clients of vLLM and OpenRouter say it; a thought that says nothing beside it would hide it."""
    given = (USER, bot(None, chat_call("call_1"), reasoning="hm"), tool("call_1"))
    told = bot(None, chat_call("call_1"), reasoning="hm", reasoning_content="hm")
    assert messages(*given, to=to) == [USER, told, tool("call_1")]


def test_answers_without_calls_get_a_thought_where_all_are_to_have_one_and_there_are_tools() -> None:
    given = (USER, bot("yes"), USER)

    assert messages(*given, to=DEEPSEEK, tools=TOOLS) == [USER, bot("yes", reasoning_content=" "), USER]
    assert messages(*ROUND, *given, to=DEEPSEEK)[4] == bot("yes", reasoning_content=" ")
    assert messages(*given, to=MOONSHOT, tools=TOOLS) == list(given)
    for none in ({}, {"tools": []}, {"tools": None}):
        assert messages(*given, to=DEEPSEEK, **none) == list(given)


# ---------------------------------------------------------------------------------------------------------- signatures

SIGNED: Final = {"google": {"thought_signature": "s1"}}


@pytest.mark.parametrize("said", [{}, {"extra_content": None}, {"extra_content": {}}])
def test_the_first_call_of_a_turn_without_a_signature_is_marked(said: dict[str, Any]) -> None:
    first, second = chat_call("call_1") | said, chat_call("call_2")
    given = (USER, bot(None, first, second), tool("call_1"), tool("call_2"))

    marked = bot(None, first | {"extra_content": UNSIGNED}, second)
    assert messages(*given, to=GEMINI) == [USER, marked, tool("call_1"), tool("call_2")]


def test_a_clients_own_signature_stays_and_is_enough_for_its_turn() -> None:
    signed = chat_call("call_1") | {"extra_content": SIGNED}
    given = (USER, bot(None, signed, chat_call("call_2")), tool("call_1"), tool("call_2"))
    assert messages(*given, to=GEMINI) == list(given)

    later = (bot("yes"), bot(None, chat_call("call_3")), tool("call_3"))
    made = messages(*given, *later, to=GEMINI)
    assert made[: len(given) + 1] == [*given, later[0]]
    assert made[len(given) + 1]["tool_calls"][0]["extra_content"] == UNSIGNED


# ----------------------------------------------------------------------------------------------------------------- ids


def test_ids_of_parallel_calls_are_changed_with_their_outputs() -> None:
    calls = [chat_call(call_id) for call_id in ("call_1", "abcDEF123", "call_2")]
    given = (USER, bot(None, *calls), tool("call_2"), tool("abcDEF123"), tool("call_1"))

    one, two = fitted_call_id("call_1", NINE), fitted_call_id("call_2", NINE)
    assert messages(*given, to=profile("mistral")) == [
        USER,
        bot(None, chat_call(one), chat_call("abcDEF123"), chat_call(two)),
        tool(two),
        tool("abcDEF123"),
        tool(one),
    ]


def test_ids_are_those_that_the_hub_gives_to_the_same_conversation() -> None:
    body = {"model": "m", "messages": [*ROUND, *ROUND]}
    written = translate.request(body, "chat", "chat", profile="mistral").value
    raw = messages(*body["messages"], to=profile("mistral"))

    assert [message.get("tool_call_id") for message in raw] == [
        message.get("tool_call_id") for message in written["messages"]
    ]


def test_words_pass_where_only_other_signs_are_refused() -> None:
    odd = fitted_call_id("call:1", profile("anthropic").call_id)
    given = (USER, bot(None, chat_call("toolu_1-a"), chat_call("call:1")), tool("toolu_1-a"), tool("call:1"))
    assert messages(*given, to=profile("anthropic")) == [
        USER,
        bot(None, chat_call("toolu_1-a"), chat_call(odd)),
        tool("toolu_1-a"),
        tool(odd),
    ]


MEETING: Final = fitted_call_id("call_1", ONE)
MET_BY: Final = [f"call_{n}" for n in range(999) if fitted_call_id(f"call_{n}", ONE) == MEETING][:3]
"""Ids that would all be sent as the same."""


@pytest.mark.parametrize("ids", [MET_BY, [*MET_BY, MEETING]])
def test_ids_that_would_meet_are_kept_apart(ids: list[str]) -> None:
    """The one that passes keeps its own, wherever it stands."""

    given = (USER, bot(None, *map(chat_call, ids)), *map(tool, ids))
    _, turn, *outputs = messages(*given, to=generic(call_id=ONE))

    sent = [call["id"] for call in turn["tool_calls"]]
    assert len(set(sent)) == len(ids)
    assert sent[ids.index(MEETING) if MEETING in ids else 0] == MEETING
    assert [message["tool_call_id"] for message in outputs] == sent


def test_an_output_behind_another_turn_is_still_that_of_its_call() -> None:
    given = (bot(None, chat_call("call_1")), bot(None, chat_call("call_2")), tool("call_2"), tool("call_1"))
    one, two = fitted_call_id("call_1", NINE), fitted_call_id("call_2", NINE)
    assert messages(*given, to=profile("mistral")) == [
        bot(None, chat_call(one)),
        bot(None, chat_call(two)),
        tool(two),
        tool(one),
    ]


def test_an_id_that_is_used_again_is_paired_turn_by_turn() -> None:
    """Here with a neighbour that takes what it was sent as before."""

    fitted = fitted_call_id("call_1", ONE)
    again = (bot(None, chat_call("call_1"), chat_call(fitted)), tool("call_1"), tool(fitted))

    made = messages(*ROUND, *again, *ROUND, to=generic(call_id=ONE))
    assert [made[1]["tool_calls"][0]["id"], made[2]["tool_call_id"]] == [fitted] * 2
    assert made[4]["tool_call_id"] == made[3]["tool_calls"][0]["id"] != fitted
    assert made[5]["tool_call_id"] == made[3]["tool_calls"][1]["id"] == fitted
    assert [made[7]["tool_calls"][0]["id"], made[8]["tool_call_id"]] == [fitted] * 2


def test_an_output_of_no_call_is_for_the_server_to_judge() -> None:
    assert messages(USER, tool("call_1"), to=profile("mistral")) == [USER, tool("call_1")]


# --------------------------------------------------------------------------------------------------- roles and limits


def test_developer_messages_are_said_by_the_system_where_they_stand() -> None:
    first, late = ({"role": "developer", "content": text, "name": "ann"} for text in ("Be brief.", "Be kind."))
    given = (first, USER, late, {"role": "system", "content": "x"}, USER)
    assert messages(*given, to=DEEPSEEK) == [
        first | {"role": "system"},
        USER,
        late | {"role": "system"},
        {"role": "system", "content": "x"},
        USER,
    ]


def test_a_server_that_knows_the_other_role_only_gets_that() -> None:
    given = ({"role": "system", "content": "x"}, USER)
    to = replace(profile("openai"), role_demanded=True)
    assert messages(*given, to=to) == [{"role": "developer", "content": "x"}, USER]


OLDER, NEWER = generic(limit_demanded=True), replace(profile("openai"), limit_demanded=True)


@pytest.mark.parametrize(
    ("given", "older", "newer"),
    [
        ({}, {}, {}),
        ({"max_tokens": 7}, {"max_tokens": 7}, {"max_completion_tokens": 7}),
        ({"max_completion_tokens": 7}, {"max_tokens": 7}, {"max_completion_tokens": 7}),
        ({"max_tokens": 7, "max_completion_tokens": 9}, {"max_tokens": 9}, {"max_completion_tokens": 9}),
        ({"max_tokens": 7, "max_completion_tokens": None}, {"max_tokens": 7}, {"max_completion_tokens": 7}),
        ({"max_tokens": None, "max_completion_tokens": 9}, {"max_tokens": 9}, {"max_completion_tokens": 9}),
        ({"max_tokens": None, "max_completion_tokens": None}, {}, {}),
        ({"max_completion_tokens": None}, {}, {"max_completion_tokens": None}),
        ({"max_tokens": 7, "max_completion_tokens": 0}, {"max_tokens": 0}, {"max_completion_tokens": 0}),
    ],
)
def test_the_limit_has_the_servers_name(given: dict[str, Any], older: dict[str, Any], newer: dict[str, Any]) -> None:
    """As in the hub, the newer name wins where both are given."""

    for to, expected in ((OLDER, older), (NEWER, newer)):
        assert edited({"messages": [USER], **given}, to) == {"messages": [USER], **expected}


# ---------------------------------------------------------------------------------------------------------------- laws

IDS: Final = st.sampled_from(["call_1", "call_2", "call:3", "abcDEF123", "toolu_1", "", "x" * 90])


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """A good request, with what servers may demand said in any way."""
    body = draw(strategies.chat_requests())
    renamed: dict[str, str] = {}
    for message in body["messages"]:
        if message["role"] == "system":
            message["role"] = draw(st.sampled_from(["system", "developer"]))
        elif message["role"] == "assistant":
            message |= draw(st.sampled_from([{}, {"reasoning_content": "hm"}, {"reasoning_content": None}]))
            calls = message.get("tool_calls", [])
            ids = draw(st.lists(IDS, min_size=len(calls), max_size=len(calls), unique=True))
            renamed |= dict(zip([call["id"] for call in calls], ids, strict=True))
            for call in calls:
                call["id"] = renamed[call["id"]]
                call |= draw(st.sampled_from([{}, {"extra_content": SIGNED}]))
        elif message["role"] == "tool":
            message["tool_call_id"] = renamed[message["tool_call_id"]]
    return body | draw(st.sampled_from([{}, {"max_tokens": 7}, {"max_completion_tokens": None}]))


KINDS: Final = st.sampled_from([ALL, generic(call_id=ONE), *map(profile, profile_names())])
MET: Final = ("call id", "the reasoning is missing", "two calls of one id", "answers no call", ": developer")


@given(body=conversations(), to=KINDS)
def test_a_good_request_breaks_no_demand_afterwards_and_needs_no_further_edit(
    body: dict[str, Any], to: Profile
) -> None:
    sent = edited(body, to)
    assert edited(sent, to) == sent

    found = problems(sent, replace(to, instructions_role="developer") if not to.role_demanded else to)
    if to.call_id.alphabet == "any":
        found = [problem for problem in found if "call id" not in problem]
    if not ("tools" in body or any("tool_calls" in message for message in body["messages"])):
        found = [problem for problem in found if "the reasoning is missing" not in problem]
    assert [problem for problem in found if any(demand in problem for demand in MET)] == []
    if to.signatures_demanded:
        calling = [message["tool_calls"] for message in sent["messages"] if "tool_calls" in message]
        assert all(any(call.get("extra_content") for call in calls) for calls in calling)
    if to.limit_demanded:
        assert {"max_tokens", "max_completion_tokens"} & set(sent) <= {to.max_tokens_field}


@given(body=conversations(), to=KINDS)
def test_a_server_that_demands_nothing_gets_what_was_sent(body: dict[str, Any], to: Profile) -> None:
    if not to.demands:
        assert edited(body, to) == body


@pytest.mark.parametrize("name", ["generic", "openai", "azure", "openrouter", "litellm", "xai", "groq"])
def test_these_demand_nothing(name: str) -> None:
    assert not profile(name).demands


DEMANDS: Final[dict[str, dict[str, Any]]] = {
    "role_demanded": {"messages": [{"role": "developer", "content": "x"}]},
    "reasoning_demanded": {"messages": [bot(None, chat_call("c"))]},
    "signatures_demanded": {"messages": [bot(None, chat_call("c"))]},
    "limit_demanded": {"messages": [USER], "max_completion_tokens": 7},
    "call_id": {"messages": [bot(None, chat_call("c"))]},
}


@pytest.mark.parametrize("demand", DEMANDS)
def test_each_demand_is_one(demand: str) -> None:
    """The one look tells of all of them."""

    one = generic(reasoning_replay="all", **{demand: getattr(ALL, demand)})
    assert one.demands
    assert edited(DEMANDS[demand], one) != DEMANDS[demand]


@pytest.mark.parametrize("calls", ["call_1", {"id": "call_1"}, 1, ["call_1"], [chat_call("call_1"), None], [], None])
def test_calls_that_are_none_are_for_the_server_to_judge(calls: Any) -> None:
    turn = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": calls}
    assert messages(USER, turn, tool("call_1"), to=ALL) == [USER, turn, tool("call_1")]


@pytest.mark.parametrize("call_id", [None, 1, ["call_1"], {}])
def test_an_id_that_is_none_is_for_the_server_to_judge(call_id: Any) -> None:
    given = (USER, bot(None, chat_call("call_1") | {"id": call_id}), tool("call_1") | {"tool_call_id": call_id})
    assert messages(*given, to=profile("mistral")) == list(given)


MEMBERS: Final = ["role", "content", "tool_calls", "tool_call_id", "reasoning_content", "extra_content"]
ROLES: Final = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])


@given(
    given=st.lists(st.tuples(ROLES, strategies.wrong(MEMBERS)), min_size=1, max_size=4),
    call=strategies.wrong(["id", "type", "function", "extra_content"]),
    to=KINDS,
)
def test_what_is_no_conversation_is_for_the_server_to_judge(
    given: list[tuple[str, dict[str, Any]]], call: dict[str, Any], to: Profile
) -> None:
    """Nothing raises, and what was edited once is edited."""

    said = [message | {"role": role} for role, message in given]
    for body in ({"messages": said}, {"messages": [*said, {"role": "assistant", "tool_calls": [call, call]}]}):
        sent = edited(body, to)
        assert edited(sent, to) == sent
