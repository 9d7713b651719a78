"""Responses over a WebSocket: the real server, the `websockets` client, a scripted upstream of either dialect."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import PerMessageDeflate

from adapter.server.history import NoHistory
from adapter.server.recent import Recent
from tests.server.harness import Client, adapter, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    USAGE,
    Script,
    Sleep,
    Stall,
    Upstream,
    chunk,
    event,
    json_reply,
    piece,
    response,
    responses_events,
    responses_stream,
)

DIALECTS = ("chat", "responses")
dialects = pytest.mark.parametrize("speaks", DIALECTS)
ENDS = {"response.completed", "response.incomplete", "response.failed"}


@asynccontextmanager
async def opened(client: Client, path: str = "/v1/responses", **headers: str) -> AsyncIterator[ClientConnection]:
    """A socket at the adapter."""
    fields = {name if name == "session_id" else name.replace("_", "-"): value for name, value in headers.items()}
    url = f"ws://127.0.0.1:{client.port}{path}"
    async with connect(url, additional_headers=fields, proxy=None, max_size=None, close_timeout=1) as ws:
        yield ws


async def say(ws: ClientConnection, **fields: Any) -> None:
    """One `response.create`."""
    await ws.send(orjson.dumps({"type": "response.create", "model": "m", **fields}).decode())


async def told(ws: ClientConnection) -> Any:
    """The next message; every one of them is text."""
    message = await ws.recv()
    assert isinstance(message, str)
    return orjson.loads(message)


async def answer(ws: ClientConnection) -> list[Any]:
    """The messages of one answer."""
    events = []
    while True:
        events.append(await told(ws))
        if events[-1]["type"] in ENDS or "status" in events[-1]:
            return events


async def ask(ws: ClientConnection, **fields: Any) -> list[Any]:
    await say(ws, **{"input": "Hi", "store": False, **fields})
    return await answer(ws)


def refused(events: list[Any]) -> tuple[int, str]:
    """Status and code of an answer that is one error."""
    (error,) = events
    assert error["type"] == "error"
    assert set(error["error"]) == {"message", "type", "param", "code"}
    return error["status"], error["error"]["code"]


def good(speaks: str, *texts: str) -> list[Script]:
    """One good stream for each text; each with an id of its own."""
    if speaks == "responses":
        return [responses_stream(text, f"resp_up{number}") for number, text in enumerate(texts)]
    scripts: list[Script] = []
    for number, text in enumerate(texts):
        name = f"chatcmpl-{number}"
        chunks = [
            chunk({"content": text}, id=name),
            chunk({}, "stop", id=name),
            {**chunk(id=name), "choices": [], "usage": USAGE},
        ]
        scripts.append([SSE, *map(event, chunks), event(b"[DONE]"), END])
    return scripts


def begun(speaks: str) -> Script:
    """A stream that has begun to answer."""
    if speaks == "chat":
        return [SSE, event(chunk({"role": "assistant", "content": "Hel"}))]
    return [SSE, *(event(e, e["type"]) for e in responses_events()[:5])]


def history(seen: Any) -> list[str]:
    """The texts of a conversation as an upstream of either dialect was sent it."""
    texts = []
    turns = seen.json.get("messages") or seen.json["input"]
    for turn in [{"content": turns}] if isinstance(turns, str) else turns:
        content = turn.get("content")
        texts.append(content if isinstance(content, str) else "".join(part["text"] for part in content))
    return texts


def only_text(events: list[Any]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


# ---------------------------------------------------------------------------------------------- what the protocol says


@dialects
def test_websocket_response(speaks: str) -> None:
    """The events of a stream, one JSON object a message, nothing else."""

    async def scenario() -> None:
        async with (
            Upstream(*good(speaks, "Hello")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            events = await ask(ws)
            assert [e["sequence_number"] for e in events] == list(range(len(events)))
            assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
            assert only_text(events) == "Hello"
            assert up.seen[0].json["stream"] is True
            assert not {"type", "generate", "stream_id"} & up.seen[0].json.keys()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.1)

    play(scenario)


@pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/v1/v1/responses"])
def test_the_paths_of_http_are_those_of_sockets(path: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client, path) as ws,
        ):
            assert (await ask(ws))[-1]["type"] == "response.completed"

    play(scenario)


@dialects
def test_websocket_sequential_responses(speaks: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good(speaks, "One", "Two")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            answers = [await ask(ws, input="A"), await ask(ws, input="B")]
            assert [only_text(events) for events in answers] == ["One", "Two"]
            assert [history(seen) for seen in up.seen] == [["A"], ["B"]]

    play(scenario)


@dialects
def test_websocket_continuation(speaks: str) -> None:
    """With `store: false`, turn after turn, each with its new input only."""

    async def scenario() -> None:
        async with (
            Upstream(*good(speaks, "One", "Two", "Three")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            previous = None
            for said in ("A", "B", "C"):
                events = await ask(ws, input=said, **({"previous_response_id": previous} if previous else {}))
                previous = events[-1]["response"]["id"]
            assert history(up.seen[2]) == ["A", "One", "B", "Two", "C"]
            assert "previous_response_id" not in up.seen[2].json

    play(scenario)


def test_an_earlier_turn_can_be_continued_twice() -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "One", "Two", "Other")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            first = (await ask(ws, input="A"))[-1]["response"]["id"]
            await ask(ws, input="B", previous_response_id=first)
            await ask(ws, input="C", previous_response_id=first)
            assert history(up.seen[2]) == ["A", "One", "C"]

    play(scenario)


@dialects
def test_instructions_and_tools_are_not_inherited(speaks: str) -> None:
    async def scenario() -> None:
        tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
        async with (
            Upstream(*good(speaks, "One", "Two")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            first = await ask(ws, instructions="Be kind.", tools=[tool])
            await ask(ws, previous_response_id=first[-1]["response"]["id"])
            assert b"Be kind." in up.seen[0].body
            assert b"Be kind." not in up.seen[1].body
            assert not up.seen[1].json.get("tools")

    play(scenario)


def test_the_call_that_the_model_made_stands_before_its_output() -> None:
    """Codex sends the output alone: nothing that the server itself said is said again."""

    async def scenario() -> None:
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        calling: Script = [
            SSE,
            event(chunk({"tool_calls": [call]})),
            event(chunk({}, "tool_calls")),
            event(b"[DONE]"),
            END,
        ]
        tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
        async with (
            Upstream(calling, *good("chat", "Done")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            first = await ask(ws, input="Do it", tools=[tool])
            output = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
            previous = first[-1]["response"]["id"]
            assert only_text(await ask(ws, input=[output], tools=[tool], previous_response_id=previous)) == "Done"
            user, assistant, result = up.seen[1].json["messages"]
            assert user["content"] == "Do it"
            assert assistant["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
            assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", "call_1", "42")

    play(scenario)


@dialects
def test_websocket_reconnect_store_false_recovery(speaks: str) -> None:
    """What one connection remembers, no other knows; the refusal costs nothing but itself."""

    async def scenario() -> None:
        async with Upstream(*good(speaks, "One", "Two")) as up, adapter(upstream(up.url, speaks)) as client:
            async with opened(client) as ws:
                previous = (await ask(ws))[-1]["response"]["id"]
            async with opened(client) as ws:
                assert refused(await ask(ws, previous_response_id=previous)) == (400, "previous_response_not_found")
                assert only_text(await ask(ws)) == "Two"

    play(scenario)


@dialects
def test_websocket_previous_response_not_found(speaks: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream([Stall()]) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            events = await ask(ws, previous_response_id="resp_unknown")
            assert refused(events) == (400, "previous_response_not_found")
            assert events[0]["error"]["param"] == "previous_response_id"
            assert not up.seen

    play(scenario)


@dialects
def test_websocket_failed_continuation_evicts_cache(speaks: str) -> None:
    """An output for a call that nobody made fails the turn, and with it goes what it went on from."""

    async def scenario() -> None:
        output = {"type": "function_call_output", "call_id": "call_nobody_made", "output": "x"}
        async with (
            Upstream(*good(speaks, "One", "Two")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            previous = (await ask(ws))[-1]["response"]["id"]
            failed = await ask(ws, input=[output], previous_response_id=previous)
            assert refused(failed)[0] == 400
            assert failed[0]["error"]["param"] == "input[0].call_id"
            assert refused(await ask(ws, previous_response_id=previous)) == (400, "previous_response_not_found")
            assert len(up.seen) == 1

    play(scenario)


@pytest.mark.parametrize("when", ["before_the_answer", "in_the_middle"])
@dialects
def test_an_upstream_that_fails_a_continuation_evicts_too(speaks: str, when: str) -> None:
    async def scenario() -> None:
        bad: Script = (
            [json_reply({"error": {"message": "no"}}, 500)] if when == "before_the_answer" else [*begun(speaks), END]
        )
        async with (
            Upstream(*good(speaks, "One"), bad) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            previous = (await ask(ws))[-1]["response"]["id"]
            failed = await ask(ws, previous_response_id=previous)
            if when == "before_the_answer":
                assert refused(failed)[0] >= 500
            else:
                assert [e["type"] for e in failed[-2:]] == ["error", "response.failed"]
            assert refused(await ask(ws, previous_response_id=previous))[1] == "previous_response_not_found"

    play(scenario)


def test_websocket_compact_new_chain() -> None:
    """Items that came from elsewhere begin a chain like any input."""

    async def scenario() -> None:
        kept = [
            {
                "type": "message",
                "id": "msg_1",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_text", "text": "A"}],
            }
        ]
        async with (
            Upstream(*good("chat", "One", "Two")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            first = await ask(ws, input=[*kept, {"role": "user", "content": "B"}])
            await ask(ws, input="C", previous_response_id=first[-1]["response"]["id"])
            assert history(up.seen[1]) == ["A", "B", "One", "C"]

    play(scenario)


# -------------------------------------------------------------------------------------------------------------- prewarm


@pytest.mark.parametrize("said", [[{"type": "message", "role": "developer", "content": "Be kind."}], []])
@dialects
def test_prewarm_answers_by_itself_and_can_be_continued(speaks: str, said: list[Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good(speaks, "Hello")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client, originator="codex_exec") as ws,
        ):
            warm = await ask(ws, input=said, generate=False, tools=[])
            assert [e["type"] for e in warm] == ["response.created", "response.in_progress", "response.completed"]
            ready = warm[-1]["response"]
            assert (ready["output"], ready["usage"]["total_tokens"], ready["status"]) == ([], 0, "completed")
            assert warm[0]["response"]["id"] == ready["id"]
            assert not up.seen
            assert (
                only_text(await ask(ws, input=[{"role": "user", "content": "Hi"}], previous_response_id=ready["id"]))
                == "Hello"
            )
            assert history(up.seen[0]) == ["Be kind.", "Hi"][-len(said) - 1 :]

    play(scenario)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model": "nobody"}, "model_not_found"),
        ({"previous_response_id": "resp_x"}, "previous_response_not_found"),
        ({"tools": [{"type": "function"}]}, None),
    ],
)
def test_prewarm_tells_what_the_turn_would_be_told(fields: dict[str, Any], code: str | None) -> None:
    async def scenario() -> None:
        async with (
            Upstream([Stall()]) as up,
            adapter(upstream(up.url, "chat", models=["m"])) as client,
            opened(client) as ws,
        ):
            status, found = refused(await ask(ws, generate=False, **fields))
            assert status in (400, 404)
            assert code is None or found == code

    play(scenario)


def test_state_of_an_upstream_that_keeps_it_is_asked_for_there() -> None:
    """An id that is not of this connection goes on to a stateful upstream; one that is, does not."""

    async def scenario() -> None:
        async with (
            Upstream(*good("responses", "One", "Two", "Three")) as up,
            adapter(upstream(up.url, "responses", profile="openai")) as client,
            opened(client) as ws,
        ):
            await ask(ws, previous_response_id="resp_theirs")
            assert up.seen[0].json["previous_response_id"] == "resp_theirs"
            previous = (await ask(ws, input="A"))[-1]["response"]["id"]
            await ask(ws, input="B", previous_response_id=previous)
            assert "previous_response_id" not in up.seen[2].json
            assert history(up.seen[2]) == ["A", "Two", "B"]

    play(scenario)


# --------------------------------------------------------------------------------------------------------------- frames

BAD_FRAMES: dict[str, Any] = {
    "no_json": "{",
    "no_object": "[]",
    "empty": "",
    "binary": b'{"type":"response.create"}',
    "no_type": "{}",
    "other_type": '{"type":"response.steer","input":"x","previous_response_id":"resp_1"}',
    "type_is_no_string": '{"type":[]}',
    "no_model": '{"type":"response.create","input":"Hi"}',
    "no_input": '{"type":"response.create","model":"m"}',
    "input_is_a_number": '{"type":"response.create","model":"m","input":5}',
    "background": '{"type":"response.create","model":"m","input":"Hi","background":true}',
    "generate_is_a_word": '{"type":"response.create","model":"m","input":"Hi","generate":"no"}',
    "previous_is_a_number": '{"type":"response.create","model":"m","input":"Hi","previous_response_id":5}',
    "lane_is_a_list": '{"type":"response.create","model":"m","input":"Hi","stream_id":[]}',
    "huge_number": '{"type":"response.create","model":"m","input":"Hi","seed":99999999999999999999999}',
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_bad_frame_is_an_error_and_the_connection_stays(name: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await ws.send(BAD_FRAMES[name])
            assert refused(await answer(ws))[0] == 400
            assert not up.seen
            assert only_text(await ask(ws)) == "Hello"

    play(scenario)


def test_fields_may_stand_in_response() -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await ws.send(orjson.dumps({"type": "response.create", "response": {"model": "m", "input": "Hi"}}).decode())
            assert only_text(await answer(ws)) == "Hello"
            assert history(up.seen[0]) == ["Hi"]

    play(scenario)


@pytest.mark.parametrize(
    "fields", [{"stream": True}, {"stream": False}, {"stream_options": {"include_obfuscation": False}}]
)
def test_what_a_socket_implies_may_be_said(fields: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            assert only_text(await ask(ws, **fields)) == "Hello"

    play(scenario)


@dialects
def test_a_lane_is_repeated_by_every_event(speaks: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good(speaks, "Hello")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            assert {e["stream_id"] for e in await ask(ws, stream_id='a"b')} == {'a"b'}
            assert (await ask(ws, stream_id="c", model="m", previous_response_id="no"))[0]["stream_id"] == "c"
            assert "stream_id" not in up.seen[0].json

    play(scenario)


def test_one_response_at_a_time() -> None:
    async def scenario() -> None:
        slow: Script = [*begun("chat"), Sleep(0.3), event(chunk({"content": "lo"})), event(chunk({}, "stop")), END]
        async with (
            Upstream(slow) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await say(ws, input="Hi")
            while (await told(ws))["type"] != "response.output_text.delta":
                pass
            await say(ws, input="Me too", stream_id="b")
            busy = await told(ws)
            assert refused([busy]) == (400, "response_in_progress")
            assert busy["stream_id"] == "b"
            assert (await answer(ws))[-1]["type"] == "response.completed"
            assert len(up.seen) == 1
            assert (await ask(ws))[-1]["type"] == "response.completed"

    play(scenario)


def test_the_next_turn_need_not_wait_for_the_last_ones_upstream() -> None:
    """The client may ask again as soon as it has seen the terminal event, although the upstream dawdles."""

    async def scenario() -> None:
        lingering: Script = [*good("chat", "One")[0][:-1], Sleep(0.8), END]
        async with (
            Upstream(lingering, *good("chat", "Two")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            previous = (await ask(ws))[-1]["response"]["id"]
            asked = time.monotonic()
            assert only_text(await ask(ws, previous_response_id=previous)) == "Two"
            assert time.monotonic() - asked < 0.5

    play(scenario)


def test_every_event_of_one_read_is_a_message() -> None:
    async def scenario() -> None:
        many = b"".join(
            b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"%d,"}}]}\n\n' % n for n in range(1000)
        )
        script: Script = [*begun("chat"), piece(many), event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            assert only_text(await ask(ws)) == "Hel" + "".join(f"{n}," for n in range(1000))

    play(scenario)


def test_on_the_raw_lane_what_nobody_knows_survives() -> None:
    async def scenario() -> None:
        events = [{**e, "x_note": "kept"} for e in responses_events()]
        events.insert(3, {"type": "vendor:thought", "sequence_number": 2, "depth": {"a": [1]}})
        script: Script = [SSE, piece(b": hello\n\n"), *(event(e, e["type"]) for e in events), event(b"[DONE]"), END]
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, "responses")) as client,
            opened(client) as ws,
        ):
            assert await ask(ws) == events

    play(scenario)


def test_an_answer_whose_items_come_only_with_its_end_can_be_continued() -> None:
    async def scenario() -> None:
        events = responses_events()
        script: Script = [SSE, event(events[0]), event(events[-1]), END]
        async with (
            Upstream(script, *good("responses", "Two")) as up,
            adapter(upstream(up.url, "responses")) as client,
            opened(client) as ws,
        ):
            previous = (await ask(ws))[-1]["response"]["id"]
            await ask(ws, input="B", previous_response_id=previous)
            assert history(up.seen[1]) == ["Hi", "Hello", "B"]

    play(scenario)


def test_a_plain_reply_is_streamed() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(response())]) as up,
            adapter(upstream(up.url, "responses")) as client,
            opened(client) as ws,
        ):
            assert only_text(await ask(ws)) == "Hello"

    play(scenario)


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(("originator", "status"), [("codex_exec", 400), ("someone", 404)])
def test_statuses_are_those_that_the_client_would_get_over_http(originator: str, status: int) -> None:
    async def scenario() -> None:
        error = json_reply({"error": {"message": "gone", "type": "x", "code": None, "param": None}}, 404)
        async with (
            Upstream([error]) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client, originator=originator) as ws,
        ):
            assert refused(await ask(ws))[0] == status

    play(scenario)


def test_the_wait_after_a_429_stands_in_the_message() -> None:
    """Codex reads headers there; without one it would not try again."""

    async def scenario() -> None:
        error = json_reply(
            {"error": {"message": "slow", "type": "requests", "code": "rate_limit_exceeded"}}, 429, "retry-after: 7"
        )
        async with (
            Upstream([error]) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client, originator="codex_exec") as ws,
        ):
            events = await ask(ws)
            assert refused(events) == (429, "rate_limit_exceeded")
            assert events[0]["headers"] == {"retry-after": "7"}

    play(scenario)


def test_an_early_codex_is_told_inside_the_stream() -> None:
    """Its sockets name no agent; from the status of an error message it would not learn what to do."""

    async def scenario() -> None:
        error = json_reply({"error": {"message": "slow", "type": "requests", "code": "rate_limit_exceeded"}}, 429)
        async with (
            Upstream([error]) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client, originator="codex_exec", session_id="a") as ws,
        ):
            events = await ask(ws)
            assert [e["type"] for e in events] == ["response.created", "error", "response.failed"]
            assert "try again in" in events[-1]["response"]["error"]["message"]

    play(scenario)


def test_an_error_keeps_its_status_however_late_it_comes() -> None:
    """There is no status to be committed, so a slow refusal is a refusal still."""

    async def scenario() -> None:
        error = json_reply({"error": {"message": "no"}}, 429)
        async with (
            Upstream([Sleep(0.4), error]) as up,
            adapter(upstream(up.url, "chat"), commit_after=0.1, keepalive=0.1) as client,
            opened(client) as ws,
        ):
            assert refused(await ask(ws))[0] == 429

    play(scenario)


@dialects
def test_a_stream_that_breaks_ends_in_one_failure(speaks: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream([*begun(speaks), END]) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            events = await ask(ws)
            assert [e["type"] for e in events[-2:]] == ["error", "response.failed"]
            assert [e["sequence_number"] for e in events] == list(range(len(events)))

    play(scenario)


# ---------------------------------------------------------------------------------------------------- time, and leaving


@pytest.mark.parametrize("phase", ["before_the_head", "behind_the_head", "in_the_middle"])
@dialects
def test_e3_a_client_that_leaves_closes_its_upstream(speaks: str, phase: str) -> None:
    script: Script = {
        "before_the_head": [Stall()],
        "behind_the_head": [SSE, Stall()],
        "in_the_middle": [*begun(speaks), Stall()],
    }[phase]

    async def scenario() -> None:
        async with Upstream(script) as up, adapter(upstream(up.url, speaks)) as client, opened(client) as ws:
            await say(ws, input="Hi")
            await up.arrived.wait()
            await asyncio.sleep(0.05)
            left = time.monotonic()
            ws.transport.abort()
            await asyncio.wait_for(up.seen[0].finished.wait(), 2)
            assert up.seen[0].closed is not None
            assert up.seen[0].closed - left < 1

    play(scenario)


def test_a_client_that_closes_properly_closes_its_upstream_too() -> None:
    async def scenario() -> None:
        async with Upstream([*begun("chat"), Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            async with opened(client) as ws:
                await say(ws, input="Hi")
                await up.arrived.wait()
            await asyncio.wait_for(up.seen[0].finished.wait(), 1)

    play(scenario)


def test_b3_a_client_that_does_not_read_is_given_up() -> None:
    async def scenario() -> None:
        flood: Script = [SSE, *[event(chunk({"content": os.urandom(30_000).hex()}))] * 1500, Stall()]
        async with (
            Upstream(flood) as up,
            adapter(upstream(up.url, "chat"), keepalive=0.1, write_timeout=0.3) as client,
            opened(client) as ws,
        ):
            ws.transport.pause_reading()
            await say(ws, input="Hi")
            async with asyncio.timeout(5):
                while not (up.seen and up.seen[0].closed):
                    await asyncio.sleep(0.05)
            ws.transport.abort()

    play(scenario)


@pytest.mark.parametrize(("originator", "pinged"), [("codex_exec", True), ("someone", False)])
def test_only_codex_gets_pings_with_data(originator: str, pinged: bool) -> None:
    async def scenario() -> None:
        script: Script = [*begun("chat"), Sleep(0.35), event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, "chat"), keepalive=0.05, ping_after=0.15) as client,
            opened(client, originator=originator) as ws,
        ):
            events = await ask(ws)
            assert ("adapter:ping" in [e["type"] for e in events]) is pinged
            assert [e["sequence_number"] for e in events] == list(range(len(events)))

    play(scenario)


def test_websocket_connection_limit_reached() -> None:
    async def scenario() -> None:
        async with (
            Upstream([Stall()]) as up,
            adapter(upstream(up.url, "chat"), websocket_limit=0.2) as client,
            opened(client) as ws,
        ):
            assert refused([await told(ws)]) == (400, "websocket_connection_limit_reached")
            with pytest.raises(ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    play(scenario)


def test_the_running_answer_outlives_the_limit() -> None:
    async def scenario() -> None:
        slow: Script = [*begun("chat"), Sleep(0.4), event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with (
            Upstream(slow) as up,
            adapter(upstream(up.url, "chat"), websocket_limit=0.2) as client,
            opened(client) as ws,
        ):
            assert (await ask(ws))[-1]["type"] == "response.completed"
            assert refused([await told(ws)]) == (400, "websocket_connection_limit_reached")

    play(scenario)


# --------------------------------------------------------------------------------------------------------------- bounds


def test_a_conversation_over_the_bound_is_not_kept() -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "One", "Two", "Three")) as up,
            adapter(upstream(up.url, "chat"), websocket_history=2000) as client,
            opened(client) as ws,
        ):
            small = (await ask(ws))[-1]["response"]["id"]
            assert only_text(await ask(ws, previous_response_id=small)) == "Two"
            large = (await ask(ws, input="x" * 3000))[-1]["response"]["id"]
            assert refused(await ask(ws, previous_response_id=large))[1] == "previous_response_not_found"

    play(scenario)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.lists(st.binary(max_size=300), max_size=4))))
def test_what_is_remembered_never_passes_its_bound(turns: list[tuple[str, list[bytes]]]) -> None:
    recent = Recent(1000, NoHistory())
    for name, pieces in turns:
        recent.keep(name, tuple(pieces))
        kept = [found for each in "abcd" if (found := recent.find(each)) is not None]
        assert sum(len(piece) for found in kept for piece in found) <= 1000
        whole = sum(map(len, pieces)) + 64 * (len(pieces) + 1) + 1
        assert recent.find(name) == (tuple(pieces) if whole <= 1000 else None)


def test_a_frame_over_the_bound_ends_the_connection() -> None:
    async def scenario() -> None:
        async with (
            Upstream([Stall()]) as up,
            adapter(upstream(up.url, "chat"), body_limit=1000) as client,
            opened(client) as ws,
        ):
            await say(ws, input="x" * 2000)
            with pytest.raises(ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
            assert not up.seen

    play(scenario)


def test_a_caller_has_so_many_connections_at_once() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat"), websocket_connections=2) as client:
            async with opened(client), opened(client):
                with pytest.raises(InvalidStatus) as denied:
                    async with opened(client):
                        pass
                assert denied.value.response.status_code == 429
                assert denied.value.response.headers["retry-after"].isdigit()
            await asyncio.sleep(0.05)
            async with opened(client):
                pass

    play(scenario)


def test_messages_are_compressed() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat")) as client, opened(client) as ws:
            assert any(isinstance(extension, PerMessageDeflate) for extension in ws.protocol.extensions)

    play(scenario)


# ------------------------------------------------------------------------------------------------------------ handshakes


async def denied(client: Client, path: str = "/v1/responses", **headers: str) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as raised:
        async with opened(client, path, **headers):
            pass
    return raised.value


def test_without_sockets_the_handshake_gets_426() -> None:
    """Codex goes on over HTTP without a word."""

    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat"), websocket=False) as client,
        ):
            refusal = (await denied(client)).response
            assert refusal.status_code == 426
            assert orjson.loads(refusal.body or b"")["error"]["code"] == "websocket_unavailable"
            assert (await client.ask("responses")).status == 200

    play(scenario)


@pytest.mark.parametrize(("origin", "taken"), [("https://elsewhere.example", False), ("null", False), (None, True)])
def test_a_page_of_another_origin_opens_no_socket(origin: str | None, taken: bool) -> None:
    """Browsers ask nobody before they open a socket to this machine; only its own pages may."""

    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            if taken:
                async with opened(client, origin=f"http://127.0.0.1:{client.port}"):
                    pass
            else:
                assert (await denied(client, origin=origin or "")).response.status_code == 403

    play(scenario)


def test_two_credentials_are_refused_at_the_handshake() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            refusal = (await denied(client, authorization="Bearer a", x_api_key="b")).response
            assert refusal.status_code == 400

    play(scenario)


def test_other_paths_have_no_sockets() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            for path in ("/v1/chat/completions", "/v1/models", "/"):
                assert (await denied(client, path)).response.status_code in (403, 404)

    play(scenario)


def test_every_turn_carries_the_callers_key_and_its_own_request_id() -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "One", "Two")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(
                client, authorization="Bearer sk-1", openai_beta="responses_websockets=2026-02-06", x_request_id="r1"
            ) as ws,
        ):
            await ask(ws)
            await ask(ws)
            assert [seen.headers["authorization"] for seen in up.seen] == ["Bearer sk-1"] * 2
            assert [seen.headers["x-request-id"] for seen in up.seen] == ["r1.1", "r1.2"]
            assert "openai-beta" not in up.seen[0].headers

    play(scenario)


# ------------------------------------------------------------------------------------------------------------- the drain


@asynccontextmanager
async def served(url: str, **options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Client]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTER_")} | {"PYTHONUNBUFFERED": "1"}
    environment |= {f"ADAPTER_SERVER__{name.upper()}": value for name, value in options.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "adapter", "serve", "--upstream", url, "--dialect", "chat", "--port", "0",
        cwd=Path(__file__).parents[2], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+)", (await process.stdout.readline()).decode())
        assert found is not None
        yield process, Client(int(found[1]))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def closed_with(ws: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        await ws.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_e1_a_running_answer_finishes_while_the_server_drains() -> None:
    async def scenario() -> None:
        slow: Script = [*begun("chat"), Sleep(1.0), event(chunk({"content": "lo"})), event(chunk({}, "stop")), END]
        async with (
            Upstream(slow) as up,
            served(up.url) as (process, client),
            opened(client) as ws,
            opened(client) as idle,
        ):
            await say(ws, input="Hi")
            while (await told(ws))["type"] != "response.output_text.delta":
                pass
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(closed_with(idle), 0.8) == 1012
            assert (await answer(ws))[-1]["type"] == "response.completed"
            assert await closed_with(ws) == 1012
            assert await asyncio.wait_for(process.wait(), 10) in (0, -signal.SIGTERM)
            assert process.stderr is not None
            assert await process.stderr.read() == b""

    play(scenario, 40)


def test_e1_what_still_runs_at_the_deadline_fails_explicitly() -> None:
    async def scenario() -> None:
        async with (
            Upstream([*begun("chat"), Stall()], [Stall()]) as up,
            served(up.url, drain_timeout="0.5") as (process, client),
            opened(client) as ws,
            opened(client) as waiting,
        ):
            await say(ws, input="Hi")
            while (await told(ws))["type"] != "response.output_text.delta":
                pass
            await say(waiting, input="Hi")
            await asyncio.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            events = await answer(ws)
            assert [e["type"] for e in events[-2:]] == ["error", "response.failed"]
            assert events[-2]["error"]["code"] == "server_shutting_down"
            assert refused(await answer(waiting)) == (503, "server_shutting_down")
            assert [await closed_with(ws), await closed_with(waiting)] == [1012, 1012]
            assert await asyncio.wait_for(process.wait(), 10) in (0, -signal.SIGTERM)

    play(scenario, 40)
