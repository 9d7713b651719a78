"""Agents behind a Responses API run tools of their own, and tell the call and its output: nothing for a Chat client to run."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter import translate
from adapter.hub.losses import Loss
from adapter.hub.request import Exchange
from adapter.wire.sse import framed
from tests.corpus import case

NAME = "responses/hermes_agent_ran_its_own_tool"
STREAM, REPLY = case(f"streams/{NAME}.sse").data, case(f"replies/{NAME}.json").json
ANSWER = "function_call_output"
ARGUMENTS = REPLY["output"][0]["arguments"]
OFFERED = {"type": "function", "function": {"name": "patch", "parameters": {}}}
OTHER = {"type": "function", "function": {"name": "weather", "parameters": {}}}


def asked(**body: Any) -> Exchange:
    said = [{"role": "user", "content": "call patch"}]
    return translate.request({"model": "m", "messages": said, **body}, "chat", "responses").exchange


def streamed(data: bytes, exchange: Exchange | None) -> tuple[list[dict[str, Any]], list[Loss]]:
    """The choices of a Chat client's stream, and what was lost."""
    stream = translate.stream([data], "responses", "chat", exchange=exchange)
    chunks = [orjson.loads(line[6:]) for line in b"".join(stream).split(b"\n\n") if line.startswith(b"data: {")]
    return [chunk["choices"][0] for chunk in chunks if chunk["choices"]], stream.losses


def calls(choices: list[dict[str, Any]]) -> list[Any]:
    """Name, place and arguments of each fragment of a call, with where it stands."""
    return [
        (call["index"], call["function"].get("name"), call["function"]["arguments"])
        for choice in choices
        for call in choice["delta"].get("tool_calls") or ()
    ]


def without_its_output() -> bytes:
    """The same stream, but that the server does not answer its call."""
    data = [orjson.loads(line[6:]) for line in STREAM.splitlines() if line.startswith(b"data: ")]
    data[-1]["response"]["output"] = [item for item in data[-1]["response"]["output"] if item["type"] != ANSWER]
    return b"".join(framed(one["type"], orjson.dumps(one)) for one in data if one.get("item", {}).get("type") != ANSWER)


def events_of(reply: dict[str, Any]) -> bytes:
    """A stream of this answer, which consists of calls and outputs."""
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {**reply, "output": []}}]
    for place, item in enumerate(reply["output"]):
        begun = {**item, "arguments": ""} if "arguments" in item else item
        events.append({"type": "response.output_item.added", "output_index": place, "item": begun})
        events.append({"type": "response.output_item.done", "output_index": place, "item": item})
    events.append({"type": "response.completed", "response": reply})
    return b"".join(framed(one["type"], orjson.dumps(one)) for one in events)


@pytest.mark.parametrize("tools", [{}, {"tools": [OTHER]}, {"functions": [OTHER["function"]]}])
def test_a_call_that_its_server_answered_is_a_loss(tools: dict[str, Any]) -> None:
    choices, losses = streamed(STREAM, asked(**tools))
    told = translate.reply(REPLY, "responses", "chat", exchange=asked(**tools))

    assert calls(choices) == []
    assert choices[-1]["finish_reason"] == "stop"
    assert [loss.kind for loss in losses].count("function_call") == 1
    message = told.value["choices"][0]["message"]
    assert "tool_calls" not in message
    assert "function_call" not in message
    assert told.value["choices"][0]["finish_reason"] == "stop"
    assert [loss.kind for loss in told.losses].count("function_call") == 1


@pytest.mark.parametrize("exchange", [asked(tools=[OFFERED]), None], ids=["offered", "request unknown"])
def test_a_call_of_what_the_client_may_have_offered_comes_at_once(exchange: Exchange | None) -> None:
    choices, _ = streamed(STREAM, exchange)
    told = translate.reply(REPLY, "responses", "chat", exchange=exchange)

    assert calls(choices) == [(0, "patch", ""), (0, None, ARGUMENTS)]
    assert choices[1]["delta"]["tool_calls"]
    assert choices[-1]["finish_reason"] == "tool_calls"
    assert told.value["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "patch", "arguments": ARGUMENTS}


@pytest.mark.parametrize("tools", [{}, {"tools": [OTHER]}])
def test_a_call_of_what_nobody_offered_that_nobody_answers_is_told_in_the_end(tools: dict[str, Any]) -> None:
    choices, losses = streamed(without_its_output(), asked(**tools))
    reply = {**REPLY, "output": [REPLY["output"][0], REPLY["output"][2]]}
    told = translate.reply(reply, "responses", "chat", exchange=asked(**tools))

    assert calls(choices) == [(0, "patch", ""), (0, None, ARGUMENTS)]
    assert calls(choices[-3:-1]) == calls(choices)
    assert choices[-1]["finish_reason"] == "tool_calls"
    assert losses == []
    assert told.value["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "patch", "arguments": ARGUMENTS}


def test_the_deprecated_pair_is_told_what_nobody_answers_as_its_function_call() -> None:
    choices, _ = streamed(without_its_output(), asked(functions=[OTHER["function"]]))
    told = [choice["delta"]["function_call"] for choice in choices if "function_call" in choice["delta"]]

    assert told == [{"name": "patch", "arguments": ""}, {"arguments": ARGUMENTS}]
    assert choices[-1]["finish_reason"] == "function_call"


def test_calls_behind_one_of_what_nobody_offered_keep_their_places() -> None:
    """By its place the first call is the one that the deprecated pair holds, and clients run calls in their order."""
    ghost, offered = REPLY["output"][0], {**REPLY["output"][0], "id": "fc_2", "call_id": "call_2", "name": "weather"}
    reply = {**REPLY, "output": [ghost, offered]}
    data = events_of(reply)

    choices, losses = streamed(data, asked(tools=[OTHER]))
    told = translate.reply(reply, "responses", "chat", exchange=asked(tools=[OTHER]))
    names = [call["function"]["name"] for call in told.value["choices"][0]["message"]["tool_calls"]]
    assert [(place, name) for place, name, _ in calls(choices) if name] == [(0, "patch"), (1, "weather")]
    assert names == ["patch", "weather"]
    assert losses == told.losses == []

    exchange = asked(functions=[OTHER["function"]])
    choices, _ = streamed(data, exchange)
    told = translate.reply(reply, "responses", "chat", exchange=exchange)
    named = [choice["delta"]["function_call"].get("name") for choice in choices if "function_call" in choice["delta"]]
    assert named == ["patch", None]
    assert told.value["choices"][0]["message"]["function_call"]["name"] == "patch"


@pytest.mark.parametrize("call_id", [{}, [], None, 7])
def test_an_output_whose_call_id_is_none_answers_no_call(call_id: Any) -> None:
    reply = {**REPLY, "output": [REPLY["output"][0], {**REPLY["output"][1], "call_id": call_id}]}

    choices, _ = streamed(events_of(reply), asked())
    told = translate.reply(reply, "responses", "chat", exchange=asked())

    assert calls(choices) == [(0, "patch", ""), (0, None, ARGUMENTS)]
    assert told.value["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "patch", "arguments": ARGUMENTS}


def test_an_output_before_its_call_answers_no_call() -> None:
    reply = {**REPLY, "output": [REPLY["output"][1], REPLY["output"][0]]}

    choices, losses = streamed(events_of(reply), asked())
    told = translate.reply(reply, "responses", "chat", exchange=asked())

    assert calls(choices) == [(0, "patch", ""), (0, None, ARGUMENTS)]
    assert "tool_calls" in told.value["choices"][0]["message"]
    assert losses == told.losses
