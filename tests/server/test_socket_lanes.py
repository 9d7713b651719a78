"""Several turns on one WebSocket: lanes beside each other, the turns of a lane one after the other, and `response.steer`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openai.types.beta import BetaResponseSteerRequiredInput
from openai.types.responses import ResponsesServerEvent
from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection

from adapter.dialects.chat.request.pending import PENDING
from adapter.server.socket.steering import Steer, required
from tests.server.harness import adapter, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    Script,
    Stall,
    Until,
    Upstream,
    chunk,
    event,
    json_reply,
    responses_events,
)
from tests.server.sockets import (
    answer,
    ask,
    begun,
    dialects,
    good,
    held,
    history,
    only_text,
    opened,
    refused,
    say,
    steer,
    told,
    until_text,
)

_SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(ResponsesServerEvent)
_ANSWER: TypeAdapter[Any] = TypeAdapter(BetaResponseSteerRequiredInput)


def as_the_sdk_reads_it(message: dict[str, Any]) -> dict[str, Any]:
    """The event, which is one of the official SDK's."""
    read: dict[str, Any] = _SERVER_EVENT.validate_python(message).to_dict()
    return read


# ----------------------------------------------------------------------------------------------------------------- lanes


@dialects
def test_lanes_are_answered_beside_each_other(speaks: str) -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        async with (
            Upstream(held(speaks, "Slow", go), *good(speaks, "Quick")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A", stream_id="a")
            await until_text(ws)
            quick = await ask(ws, input="B", stream_id="b")
            assert {message["stream_id"] for message in quick} == {"b"}
            assert only_text(quick) == "Quick"
            go.set()
            slow = await answer(ws)
            assert {message["stream_id"] for message in slow} == {"a"}
            assert slow[-1]["type"] == "response.completed"

    play(scenario)


@pytest.mark.parametrize("lane", [{}, {"stream_id": "a"}])
def test_the_turns_of_a_lane_wait_for_each_other(lane: dict[str, str]) -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        async with (
            Upstream(held("chat", "One", go), *good("chat", "Two", "Three")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            for text in ("A", "B", "C"):
                await say(ws, input=text, **lane)
            await until_text(ws)
            assert len(up.seen) == 1
            go.set()
            assert (await answer(ws))[-1]["type"] == "response.completed"
            assert [only_text(await answer(ws)) for _ in "BC"] == ["Two", "Three"]
            assert [history(seen) for seen in up.seen] == [["A"], ["B"], ["C"]]

    play(scenario)


def test_a_lane_may_go_on_from_a_response_of_another() -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello", "Again")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            first = (await ask(ws, input="A", stream_id="a"))[-1]["response"]["id"]
            await ask(ws, input="B", stream_id="b", previous_response_id=first)
            assert history(up.seen[1]) == ["A", "Hello", "B"]

    play(scenario)


@pytest.mark.parametrize("lanes", [1, 40])
def test_a_connection_has_so_many_turns_and_the_others_are_refused(lanes: int) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*([Stall()] for _ in range(40))) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            for number in range(33):
                await say(ws, input="A", stream_id=f"{number % lanes}")
            over = await told(ws)
            assert refused([over]) == (400, "response_in_progress")
            assert over["stream_id"] == f"{32 % lanes}"

    play(scenario)


def test_turns_that_wait_are_refused_where_the_connection_is_to_end() -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        async with (
            Upstream(held("chat", "One", go)) as up,
            adapter(upstream(up.url, "chat"), websocket_limit=0.5) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A")
            await say(ws, input="B")
            response = await until_text(ws)
            await steer(ws, response, "Shorter!")
            assert (await told(ws))["type"] == "response.steer.accepted"
            assert refused([await told(ws)]) == (400, "websocket_connection_limit_reached")
            go.set()
            assert (await answer(ws))[-1]["type"] == "response.completed"
            failed = await told(ws)
            assert (failed["type"], failed["error"]["code"]) == ("response.steer.failed", "successor_creation_failed")
            assert refused([await told(ws)]) == (400, "websocket_connection_limit_reached")
            assert len(up.seen) == 1

    play(scenario)


# -------------------------------------------------------------------------------------------------------------- steering

SAID = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Shorter!"}]}]


@pytest.mark.parametrize("lane", [{}, {"stream_id": "a"}])
@dialects
def test_what_the_user_says_meanwhile_is_the_next_turn(speaks: str, lane: dict[str, str]) -> None:
    """With the settings of the turn that it steers, and before what waits in its lane."""

    async def scenario() -> None:
        go = asyncio.Event()
        async with (
            Upstream(held(speaks, "Hello", go), *good(speaks, "Hi", "More")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A", temperature=0.5, store=False, **lane)
            response = await until_text(ws)
            await say(ws, input="B", **lane)
            await steer(ws, response, SAID)
            await steer(ws, response, "In French.")
            taken = [as_the_sdk_reads_it(await told(ws)) for _ in range(2)]
            assert [message["type"] for message in taken] == ["response.steer.accepted"] * 2
            assert {message["steer"]["previous_response_id"] for message in taken} == {response}
            assert len({message["steer"]["id"] for message in taken}) == 2
            assert all(message.get("stream_id") == lane.get("stream_id") for message in taken)
            go.set()
            assert (await answer(ws))[-1]["response"]["id"] == response
            steered = await answer(ws)
            assert (steered[0]["type"], only_text(steered)) == ("response.created", "Hi")
            assert steered[-1]["response"]["previous_response_id"] == response
            assert all(message.get("stream_id") == lane.get("stream_id") for message in steered)
            assert history(up.seen[1]) == ["A", "Hello", "Shorter!", "In French."]
            assert up.seen[1].json["temperature"] == 0.5
            assert only_text(await answer(ws)) == "More"
            assert history(up.seen[2]) == ["B"]

    play(scenario)


CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def calling(until: asyncio.Event) -> Script:
    """A stream that ends in a call once that has happened."""
    return [
        SSE,
        event(chunk({"content": "Let me see."})),
        Until(until),
        event(chunk({"tool_calls": [CALL]})),
        event(chunk({}, "tool_calls")),
        event(b"[DONE]"),
        END,
    ]


def test_where_the_client_has_to_answer_first_what_the_user_said_stands_before_its_answer() -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
        async with (
            Upstream(calling(go), *good("chat", "Done")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A", tools=tools, store=False)
            response = await until_text(ws)
            await steer(ws, response, SAID)
            accepted = await told(ws)
            go.set()
            assert (await answer(ws))[-1]["type"] == "response.completed"
            pending = as_the_sdk_reads_it(await told(ws))
            assert (pending["type"], pending["reason"]) == ("response.steer.pending", "waiting_for_required_input")
            assert pending["steer"] == accepted["steer"]
            assert pending["required_input"] == [{"type": "function_call_output", "call_id": "call_1", "name": "look"}]
            result = {**pending["required_input"][0], "output": "42"}
            await ask(ws, input=[result], previous_response_id=response, tools=tools)
            said = [(m["role"], m.get("content")) for m in up.seen[1].json["messages"]]
            assert said == [("user", "A"), ("assistant", "Let me see."), ("tool", "42"), ("user", "Shorter!")]

    play(scenario)


def test_a_call_that_runs_beside_the_conversation_is_not_waited_for() -> None:
    """Neither by what the user said nor by a later turn that does not offer its tool again."""

    async def scenario() -> None:
        go = asyncio.Event()
        tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}, "async": True}]
        async with (
            Upstream(calling(go), *good("chat", "Well", "Done")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A", tools=tools, store=False)
            response = await until_text(ws)
            await steer(ws, response, SAID)
            assert (await told(ws))["type"] == "response.steer.accepted"
            go.set()
            assert (await answer(ws))[-1]["type"] == "response.completed"
            steered = await answer(ws)
            assert only_text(steered) == "Well"
            late = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
            last = steered[-1]["response"]["id"]
            assert only_text(await ask(ws, input="And?", previous_response_id=last)) == "Done"
            await ask(ws, input=[late], previous_response_id=last)
            tells = [[m["content"] for m in seen.json["messages"] if m["role"] == "tool"] for seen in up.seen[1:]]
            assert tells == [[PENDING]] * 3
            assert up.seen[3].json["messages"][-1]["content"].endswith("Its output:\n42")

    play(scenario)


@pytest.mark.parametrize(
    ("item", "stub"),
    [
        ({"type": "function_call", "call_id": "c", "name": "f"}, {"type": "function_call_output", "name": "f"}),
        ({"type": "custom_tool_call", "call_id": "c", "name": "f"}, {"type": "custom_tool_call_output"}),
        ({"type": "computer_call", "call_id": "c"}, {"type": "computer_call_output"}),
        ({"type": "shell_call", "call_id": "c"}, {"type": "shell_call_output"}),
        ({"type": "apply_patch_call", "call_id": "c"}, {"type": "apply_patch_call_output"}),
        (
            {"type": "tool_search_call", "call_id": "c", "execution": "client"},
            {"type": "tool_search_output", "execution": "client"},
        ),
    ],
)
def test_each_call_that_the_client_runs_has_the_answer_that_the_sdk_knows(item: Any, stub: Any) -> None:
    told = required([{"type": ["odd"]}, item, {"type": "web_search_call", "id": "ws_1"}])
    assert told == [{**stub, "call_id": "c"}]
    assert _ANSWER.validate_python(told[0]).to_dict() == told[0]


def test_an_approval_is_asked_for_by_the_id_of_its_request_and_a_search_of_the_servers_own_by_none() -> None:
    search = {"type": "tool_search_call", "call_id": None, "execution": "server"}
    told = required([search, {"type": "mcp_approval_request", "id": "mcpr_1", "name": "f"}])
    assert told == [{"type": "mcp_approval_response", "approval_request_id": "mcpr_1"}]
    assert _ANSWER.validate_python(told[0]).to_dict() == told[0]


@pytest.mark.parametrize(
    ("said", "asked", "code"),
    [
        pytest.param([{"role": "developer", "content": "x"}], {}, "invalid_input", id="another role"),
        pytest.param([{"role": "user", "content": "x", "id": "msg_1"}], {}, "invalid_input", id="another key"),
        pytest.param([{"role": "user", "content": []}], {}, "invalid_input", id="nothing"),
        pytest.param([{"role": "user", "content": [{"type": "refusal"}]}], {}, "invalid_input", id="another part"),
        pytest.param([{"type": "function_call_output", "output": "x"}], {}, "invalid_input", id="an output"),
        pytest.param([{"type": "reasoning", "role": "user", "content": "x"}], {}, "invalid_input", id="another type"),
        pytest.param([{"role": "user", "content": [7]}], {}, "invalid_input", id="no part"),
        pytest.param([{"role": "user", "content": 7}], {}, "invalid_input", id="no text"),
        pytest.param([*SAID, {"role": "developer", "content": "x"}], {}, "invalid_input", id="another role, too"),
        pytest.param(
            [{"role": "user", "content": [{"type": "input_text", "text": "x"}, {"type": "refusal"}]}],
            {},
            "invalid_input",
            id="another part, too",
        ),
        pytest.param(["x"], {}, "invalid_input", id="no message"),
        pytest.param(7, {}, "invalid_input", id="a number"),
        pytest.param({"role": "user", "content": "x"}, {}, "invalid_input", id="no list"),
        pytest.param(
            SAID,
            {"context_management": [{"type": "compaction", "compact_threshold": 100_000}]},
            "steering_not_supported",
            id="compacts",
        ),
    ],
)
def test_input_that_is_not_taken_in_comes_back_as_it_was(said: Any, asked: dict[str, Any], code: str) -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        async with (
            Upstream(held("chat", "Hello", go)) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A", stream_id="a", **asked)
            response = await until_text(ws)
            await steer(ws, response, said)
            failed = await told(ws)
            assert (failed["type"], failed["error"]["code"]) == ("response.steer.failed", code)
            assert failed["steer"] == {"previous_response_id": response, "input": said}
            assert failed["stream_id"] == "a"
            go.set()
            assert (await answer(ws))[-1]["type"] == "response.completed"
            assert await told_soon(ws) is None
            assert len(up.seen) == 1

    play(scenario)


async def told_soon(ws: ClientConnection) -> Any:
    """The next message, None where there is none."""
    try:
        return await asyncio.wait_for(told(ws), 0.1)
    except TimeoutError:
        return None


def test_a_response_is_steered_by_text_images_and_files() -> None:
    parts = [
        {"type": "input_text", "text": "This one."},
        {"type": "input_image", "image_url": "data:image/png;base64,"},
        {"type": "input_file", "file_id": "file_1"},
    ]

    assert Steer("resp_1", [{"role": "user", "content": parts}, {"role": "user", "content": "x"}], 10).fits


def test_a_response_that_is_over_or_unknown_is_not_steered() -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            over = (await ask(ws))[-1]["response"]["id"]
            for response, code in ((over, "response_already_completed"), ("resp_x", "response_not_found")):
                await steer(ws, response, SAID)
                failed = as_the_sdk_reads_it(await told(ws))
                assert (failed["error"]["code"], failed["steer"]["input"]) == (code, SAID)
                assert "stream_id" not in failed

    play(scenario)


def test_so_many_inputs_wait_on_a_connection() -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        async with (
            Upstream(held("chat", "Hello", go)) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A")
            response = await until_text(ws)
            for _ in range(33):
                await steer(ws, response, "More!")
            answers = [await told(ws) for _ in range(33)]
            assert [one["type"] for one in answers] == ["response.steer.accepted"] * 32 + ["response.steer.failed"]
            assert answers[-1]["error"]["code"] == "too_many_pending_steers"

    play(scenario)


def test_what_was_said_to_a_response_that_fails_comes_back() -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        broken: Script = [SSE, event(chunk({"content": "Hel"})), Until(go), event({"error": {"message": "no"}}), END]
        async with (
            Upstream(broken) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A")
            response = await until_text(ws)
            await steer(ws, response, SAID)
            taken = (await told(ws))["steer"]["id"]
            go.set()
            assert (await answer(ws))[-1]["type"] == "response.failed"
            failed = await told(ws)
            assert failed["error"]["code"] == "response_not_active"
            assert failed["steer"] == {"id": taken, "previous_response_id": response, "input": SAID}

    play(scenario)


def test_what_a_turn_that_never_began_was_to_say_comes_back() -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        no = {"error": {"message": "no", "type": "invalid_request_error", "code": None, "param": None}}
        async with (
            Upstream(held("chat", "Hello", go), [json_reply(no, 400)]) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A")
            response = await until_text(ws)
            await steer(ws, response, SAID)
            taken = (await told(ws))["steer"]["id"]
            go.set()
            assert (await answer(ws))[-1]["type"] == "response.completed"
            assert refused(await answer(ws))[0] == 400
            failed = await told(ws)
            assert failed["error"]["code"] == "successor_creation_failed"
            assert failed["steer"] == {"id": taken, "previous_response_id": response, "input": SAID}

    play(scenario)


@dialects
def test_what_is_told_of_a_steer_has_numbers_of_its_own(speaks: str) -> None:
    """Those behind it move on, so that every number of an answer is given once and in order."""

    async def scenario() -> None:
        go = asyncio.Event()
        async with (
            Upstream(held(speaks, "Hello", go), *good(speaks, "Hi")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A")
            heard = [await told(ws)]
            while heard[-1]["type"] != "response.output_text.delta":
                heard.append(await told(ws))
            for said in (SAID, "In French.", [{"role": "developer", "content": "x"}]):
                await steer(ws, heard[0]["response"]["id"], said)
            heard += [await told(ws) for _ in range(3)]
            go.set()
            heard += await answer(ws)
            assert [one["sequence_number"] for one in heard] == list(range(len(heard)))
            assert [one["sequence_number"] for one in await answer(ws)][:2] == [0, 1]

    play(scenario)


def test_what_waits_behind_a_response_is_told_of_in_its_numbers() -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
        async with (
            Upstream(calling(go)) as up,
            adapter(upstream(up.url, "chat"), websocket_limit=1) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A", tools=tools, store=False)
            response = await until_text(ws)
            for said in (SAID, "In French."):
                await steer(ws, response, said)
            first = (await told(ws))["sequence_number"]
            await told(ws)
            go.set()
            heard = [*await answer(ws), *[await told(ws) for _ in range(4)]]
            kinds = ["response.completed", *["response.steer.pending"] * 2, *["response.steer.failed"] * 2]
            assert [one["type"] for one in heard[-5:]] == kinds
            numbers = [one["sequence_number"] for one in heard]
            assert numbers == list(range(first + 2, first + 2 + len(heard)))

    play(scenario)


def test_a_turn_that_never_began_by_itself_leaves_what_it_was_to_go_on_from() -> None:
    """The client did not ask for it, and can say what it was to say again."""

    async def scenario() -> None:
        go = asyncio.Event()
        no = {"error": {"message": "no", "type": "invalid_request_error", "code": None, "param": None}}
        async with (
            Upstream(held("chat", "Hello", go), [json_reply(no, 400)], *good("chat", "Hi")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A", store=False)
            response = await until_text(ws)
            await steer(ws, response, SAID)
            assert (await told(ws))["type"] == "response.steer.accepted"
            go.set()
            assert (await answer(ws))[-1]["type"] == "response.completed"
            assert refused(await answer(ws))[0] == 400
            back = (await told(ws))["steer"]
            again = await ask(ws, input=back["input"], previous_response_id=back["previous_response_id"])
            assert only_text(again) == "Hi"
            assert history(up.seen[2]) == ["A", "Hello", "Shorter!"]

    play(scenario)


def test_a_response_that_has_failed_is_not_steered() -> None:
    async def scenario() -> None:
        broken: Script = [SSE, event(chunk({"content": "Hel"})), event({"error": {"message": "no"}}), END]
        async with (
            Upstream(broken) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            over = (await ask(ws))[-1]
            assert over["type"] == "response.failed"
            await steer(ws, over["response"]["id"], SAID)
            failed = as_the_sdk_reads_it(await told(ws))
            assert (failed["error"]["code"], failed["steer"]["input"]) == ("response_not_active", SAID)

    play(scenario)


# ------------------------------------------------------------------------------------------------------------- trouble


def test_what_waits_for_the_clients_answer_comes_back_where_the_connection_is_to_end() -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
        async with (
            Upstream(calling(go)) as up,
            adapter(upstream(up.url, "chat"), websocket_limit=1) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A", tools=tools, store=False, stream_id="a")
            response = await until_text(ws)
            await steer(ws, response, SAID)
            taken = (await told(ws))["steer"]
            go.set()
            assert (await answer(ws))[-1]["type"] == "response.completed"
            assert (await told(ws))["type"] == "response.steer.pending"
            failed = as_the_sdk_reads_it(await told(ws))
            assert (failed["type"], failed["error"]["code"]) == ("response.steer.failed", "successor_creation_failed")
            assert failed["steer"] == {**taken, "input": SAID}
            assert failed["stream_id"] == "a"
            assert refused([await told(ws)]) == (400, "websocket_connection_limit_reached")

    play(scenario)


@pytest.mark.parametrize("junk", [b"no JSON", b"[1, 2]"])
def test_a_response_that_says_something_odd_can_be_steered(junk: bytes) -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        whole = [event(e, e["type"]) for e in responses_events("Hello", "resp_up0")]
        script: Script = [SSE, *whole[:5], event(junk), Until(go), *whole[5:], END]
        async with (
            Upstream(script, *good("responses", "", "Again")[1:]) as up,
            adapter(upstream(up.url, "responses")) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A")
            response = await until_text(ws)
            assert await ws.recv() == junk.decode()
            await steer(ws, response, SAID)
            accepted = await told(ws)
            assert (accepted["type"], accepted["sequence_number"]) == ("response.steer.accepted", 0)
            go.set()
            assert only_text(await answer(ws)) == ""
            assert only_text(await answer(ws)) == "Again"

    play(scenario)


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(["odd"], id="no item"),
        pytest.param({"odd": True}, id="no list"),
        pytest.param(
            [
                {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "action": {"commands": ["ls"]}},
                {"type": "shell_call_output", "id": "sho_1", "call_id": "call_1", "output": []},
            ],
            id="a call that the server ran itself",
        ),
    ],
)
def test_behind_a_response_that_leaves_the_client_nothing_to_answer_its_lane_goes_on(output: Any) -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        told_whole = responses_events("Hello", "resp_up0")
        told_whole[-1]["response"]["output"] = output
        whole = [event(e, e["type"]) for e in told_whole if e["type"] != "response.output_item.done"]
        async with (
            Upstream([SSE, *whole[:5], Until(go), *whole[5:], END], *good("responses", "", "Again", "More")[1:]) as up,
            adapter(upstream(up.url, "responses")) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A")
            response = await until_text(ws)
            await say(ws, input="B")
            await steer(ws, response, SAID)
            assert (await told(ws))["type"] == "response.steer.accepted"
            go.set()
            assert (await answer(ws))[-1]["type"] == "response.completed"
            assert [only_text(await answer(ws)) for _ in range(2)] == ["Again", "More"]

    play(scenario)


def test_what_waits_on_a_connection_is_all_together_as_long_as_one_request() -> None:
    async def scenario() -> None:
        async with (
            Upstream([*begun("chat"), Stall()]) as up,
            adapter(upstream(up.url, "chat"), body_limit=10_000) as client,
            opened(client) as ws,
        ):
            await say(ws, input="A")
            response = await until_text(ws)
            for _ in range(2):
                await steer(ws, response, "x" * 5_000)
            assert (await told(ws))["type"] == "response.steer.accepted"
            assert (await told(ws))["error"]["code"] == "too_many_pending_steers"
            for _ in range(2):
                await say(ws, input="x" * 6_000)
            assert refused([await told(ws)]) == (400, "response_in_progress")
            await say(ws, input="x" * 3_000)
            assert await told_soon(ws) is None

    play(scenario)
