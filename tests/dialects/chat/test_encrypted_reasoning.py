"""Reasoning that only a Responses upstream can read, carried by a Chat client from turn to turn in `reasoning_details`."""

from __future__ import annotations

from typing import Any

import pytest

from adapter import translate
from adapter.conform.speaking import Spoken, response, responses_stream
from adapter.hub.reasoning_details import as_item, spread
from adapter.upstream.profiles import profile, profile_names
from tests.laws.carried import CARRYING, TOOLS, chunks, round_trip, thought

INCLUDE = ["reasoning.encrypted_content"]
USER = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = [{"role": "assistant", "content": None, "tool_calls": [CALL]}]
CALLED += [{"role": "tool", "tool_call_id": "call_1", "content": "1"}]
SAID = {"type": "output_text", "text": "Well.", "annotations": [], "logprobs": []}
MESSAGE = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [SAID]}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}}


def call(number: int) -> dict[str, Any]:
    """A call of an answer."""
    named = {"call_id": f"call_{number}", "name": "f", "arguments": "{}"}
    return {"id": f"fc_{number}", "type": "function_call", "status": "completed", **named}


def asked(to: str = "openai", *messages: dict[str, Any], **more: Any) -> Any:
    body = {"model": "m", "messages": [USER, *messages], **more}
    return translate.request(body, "chat", "responses", profile=to)


def entry(number: int, index: int | None = None, **more: Any) -> dict[str, Any]:
    told = {"type": "reasoning.encrypted", "data": f"gAAA{number}", "id": f"rs_{number}"}
    return {**told, "format": "openai-responses-v1", "index": number if index is None else index, **more}


def items(sent: Any) -> list[str]:
    """What the upstream is sent of a turn, in short."""
    return [item.get("id") or item.get("call_id") or item["content"] for item in sent.value["input"][1:]]


# ---------------------------------------------------------------------------------------------------------- asking


def test_those_that_give_reasoning_back_are_these() -> None:
    assert {name for name in profile_names() if profile(name).carries_reasoning} == set(CARRYING)


@pytest.mark.parametrize("to", CARRYING)
@pytest.mark.parametrize("more", [{"tools": TOOLS}, {"functions": [TOOLS[0]["function"]]}, {}])
def test_reasoning_is_asked_for_where_there_are_tools_or_calls(to: str, more: dict[str, Any]) -> None:
    assert asked(to, *([] if more else CALLED), **more).value["include"] == INCLUDE


@pytest.mark.parametrize("more", [{}, {"web_search_options": {}}])
def test_without_tools_and_calls_nothing_is_asked_for(more: dict[str, Any]) -> None:
    assert "include" not in asked(**more).value


def test_servers_of_which_nobody_knows_that_they_have_it_are_not_asked() -> None:
    assert "include" not in asked("generic", tools=TOOLS).value


def test_logprobs_are_asked_for_beside_it_where_the_server_has_those() -> None:
    assert asked(tools=TOOLS, logprobs=True).value["include"] == ["message.output_text.logprobs", *INCLUDE]
    assert asked("xai", tools=TOOLS, logprobs=True).value["include"] == INCLUDE


def test_a_body_that_asks_for_it_asks_once() -> None:
    """Cursor's, which is that of a Responses request."""
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    body = {"model": "m", "input": [USER], "tools": [tool], "include": INCLUDE}
    assert translate.request(body, "chat", "responses", profile="openai").value["include"] == INCLUDE


def test_a_responses_client_asks_for_itself() -> None:
    tool = {"type": "function", "name": "f", "parameters": None, "strict": None}
    body = {"model": "m", "input": "Hi", "tools": [tool]}
    assert "include" not in translate.request(body, "responses", "responses", profile="openai").value


# --------------------------------------------------------------------------------------------------------- answers


def test_what_is_told_is_openrouters_and_comes_when_the_item_is_whole() -> None:
    exchange = asked(tools=TOOLS).exchange
    spoken = Spoken([thought(0), call(1)], width=2)
    reply = translate.reply(response(spoken), "responses", "chat", exchange=exchange).value
    assert reply["choices"][0]["message"]["reasoning_details"] == [entry(0)]
    deltas = chunks(b"".join(translate.stream([responses_stream(spoken)], "responses", "chat", exchange=exchange)))
    assert [list(delta) for delta in deltas][:2] == [["role", "content", "refusal"], ["reasoning_details"]]
    assert deltas[1]["reasoning_details"] == [entry(0)]


def test_a_summary_is_told_as_before() -> None:
    part = {"type": "summary_text", "text": "Hm."}
    spoken = Spoken([thought(0) | {"summary": [part]}, MESSAGE])
    reply = translate.reply(response(spoken), "responses", "chat", exchange=asked(tools=TOOLS).exchange).value
    message = reply["choices"][0]["message"]
    assert (message["reasoning_content"], message["reasoning_details"]) == ("Hm.", [entry(0)])


@pytest.mark.parametrize(
    ("to", "item"),
    [
        ("generic", thought(0)),
        ("openai", {**thought(0), "encrypted_content": ""}),
        ("openai", {"id": "rs_0", "type": "reasoning", "summary": []}),
        ("openrouter", thought(0) | {"format": "anthropic-claude-v1"}),
    ],
)
def test_what_nobody_takes_back_is_not_told(to: str, item: dict[str, Any]) -> None:
    exchange = asked(to, tools=TOOLS).exchange
    reply = translate.reply(response(Spoken([item, MESSAGE])), "responses", "chat", exchange=exchange)
    assert "reasoning_details" not in reply.value["choices"][0]["message"]


def test_what_openrouter_had_of_azure_is_told_as_the_same() -> None:
    item = thought(0) | {"format": "azure-openai-responses-v1"}
    exchange = asked("openrouter", tools=TOOLS).exchange
    reply = translate.reply(response(Spoken([item, MESSAGE])), "responses", "chat", exchange=exchange)
    assert reply.value["choices"][0]["message"]["reasoning_details"] == [entry(0)]


# ---------------------------------------------------------------------------------------------------------- turns


@pytest.mark.parametrize(
    "output",
    [
        [thought(0), call(1)],
        [thought(0), MESSAGE],
        [thought(0), thought(1), call(2), call(3)],
        [thought(0), MESSAGE, thought(2), call(3), call(4)],
        [MESSAGE, call(1), thought(2), call(3)],
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_goes_back_to_its_place(output: list[dict[str, Any]], stream: bool) -> None:
    sent = round_trip(output, stream=stream)
    assert items(sent)[: len(output)] == [i["content"][0]["text"] if i is MESSAGE else i.get("call_id") or i["id"] for i in output]  # fmt: skip
    assert sent.losses == []


def test_what_the_server_did_itself_takes_no_place() -> None:
    sent = round_trip([thought(0), SEARCH, thought(2), call(3), call(4)])
    assert items(sent)[:4] == ["rs_0", "rs_2", "call_3", "call_4"]


def test_something_follows_all_reasoning() -> None:
    """Two texts of an answer are one in Chat, and servers refuse reasoning with nothing behind it."""
    sent = round_trip([thought(0), MESSAGE, thought(2), MESSAGE | {"id": "msg_3"}])
    assert items(sent) == ["rs_0", "rs_2", "Well.Well.", "Go on."]


def test_two_texts_and_one_that_is_empty_take_the_place_of_what_the_client_has_of_them() -> None:
    again = MESSAGE | {"id": "msg_2"}
    sent = round_trip([MESSAGE, thought(1), again, thought(3), call(4), call(5)])
    assert items(sent)[:5] == ["Well.Well.", "rs_1", "rs_3", "call_4", "call_5"]
    sent = round_trip([MESSAGE | {"content": [SAID | {"text": ""}]}, thought(1), call(2), call(3)])
    assert items(sent)[:3] == ["rs_1", "call_2", "call_3"]


def test_the_item_is_what_the_server_gave_without_what_was_said_of_it() -> None:
    turn = {"role": "assistant", "content": "Well.", "reasoning_details": [entry(0), entry(1, id=None)]}
    assert asked("openai", turn).value["input"][1:] == [
        {"id": "rs_0", "type": "reasoning", "summary": [], "encrypted_content": "gAAA0"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAA1"},
        {"type": "message", "role": "assistant", "content": "Well."},
    ]


@pytest.mark.parametrize("index", [None, "0", 2.5, True, -7, 10**30])
def test_an_index_that_says_nothing_leaves_them_in_front(index: Any) -> None:
    turn = CALLED[0] | {"reasoning_details": [entry(0) | {"index": index}]}
    assert items(asked("openai", turn, CALLED[1])) == ["rs_0", "call_1", "call_1"]


def test_what_a_client_keeps_with_every_call_is_sent_once() -> None:
    turn = {**CALLED[0], "reasoning_details": [entry(0), entry(0)]}
    again = {"role": "assistant", "content": "Well.", "reasoning_details": [entry(0)]}
    sent = asked("openai", turn, CALLED[1], again)
    assert items(sent) == ["rs_0", "call_1", "call_1", "Well."]
    assert sent.losses == []


OTHERS = [
    {"type": "reasoning.text", "text": "Hm.", "signature": "Es", "format": "anthropic-claude-v1", "index": 0},
    entry(1, format="google-gemini-v1"),
    entry(2, data=""),
    "what",
]


def test_what_other_servers_signed_is_lost_as_before_and_that_is_told() -> None:
    turn = {"role": "assistant", "content": "Well.", "reasoning_details": [*OTHERS, entry(0)]}
    sent = asked("openai", turn)
    assert items(sent) == ["rs_0", "Well."]
    assert [(loss.path, loss.kind) for loss in sent.losses] == [("messages", "extra_content")]


def test_what_stands_beside_them_is_lost_as_before() -> None:
    signed = {"extra_content": {"google": {"thought_signature": "Ej"}}}
    turn = {"role": "assistant", "content": "Well.", "reasoning_details": [entry(0)], **signed}
    sent = asked("openai", turn)
    assert items(sent) == ["rs_0", "Well."]
    assert [loss.kind for loss in sent.losses] == ["extra_content"]


@pytest.mark.parametrize(("dialect", "to"), [("responses", "generic"), ("chat", "generic"), ("chat", "openai")])
def test_who_does_not_take_them_is_not_sent_them_and_that_is_told(dialect: Any, to: str) -> None:
    turn = {"role": "assistant", "content": "Well.", "reasoning_details": [entry(0)]}
    body = {"model": "m", "messages": [USER, turn, USER]}
    sent = translate.request(body, "chat", dialect, profile=to)
    assert "gAAA0" not in str(sent.value)
    assert [loss.kind for loss in sent.losses] == ["extra_content"]


def test_openrouters_chat_gets_all_of_them_as_they_are() -> None:
    """Wherever they would stand among the items."""
    details = [OTHERS[0], entry(0), OTHERS[1], entry(3), entry(1), OTHERS[3]]
    turn = {**CALLED[0], "content": "Well.", "reasoning_details": details}
    sent = translate.request({"model": "m", "messages": [USER, turn, CALLED[1]]}, "chat", "chat", profile="openrouter")
    assert sent.value["messages"][1] == turn
    assert sent.losses == []


def test_reasoning_stands_where_calls_are_said_in_other_words() -> None:
    """A server that knows functions only, and a custom tool."""
    custom = {"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": "x"}}
    turn = {"role": "assistant", "content": None, "tool_calls": [custom], "reasoning_details": [entry(0)]}
    tools = [{"type": "custom", "custom": {"name": "patch"}}]
    sent = asked("xai", turn, CALLED[1], tools=tools)
    assert [item["type"] for item in sent.value["input"][1:3]] == ["reasoning", "function_call"]
    assert sent.value["include"] == INCLUDE


def test_details_are_spread_in_their_order() -> None:
    assert spread([entry(0), "a", entry(2), "b"], 2) == [[entry(0), "a"], [entry(2), "b"]]
    assert spread([entry(1), entry(0)], 2) == [[], [entry(1), entry(0)]]
    assert as_item("a") is None
