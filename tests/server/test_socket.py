"""Responses over a WebSocket: what the protocol says. The tests that the compliance suite has bear its names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.server.harness import adapter, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    Script,
    Stall,
    Upstream,
    chunk,
    event,
    json_reply,
)
from tests.server.sockets import ask, begun, dialects, good, history, only_text, opened, refused
from tests.server.test_lanes import access_lines

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
def test_the_paths_of_http_are_those_of_sockets(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client, path) as ws,
        ):
            assert (await ask(ws))[-1]["type"] == "response.completed"
            await client.get("/v1/models")

    play(scenario)
    assert [line.get("socket") for line in access_lines(capfd)] == [True, None]


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
                assert {e["response"].get("previous_response_id") for e in events if "response" in e} == {previous}
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
            words = "No tool call found for function call output with call_id call_nobody_made."
            assert (failed[0]["error"]["message"], failed[0]["error"]["param"]) == (words, "input")
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
    """What `/v1/responses/compact` made begins a chain like any input, and the chain goes on from it."""

    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "They spoke of frogs.", "One", "Two")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            said = [{"role": "user", "content": "Frogs?"}, {"role": "assistant", "content": "Frogs. " * 2000}]
            compacted = await client.post("/v1/responses/compact", {"model": "m", "input": said})
            first = await ask(ws, input=[*compacted.json["output"], {"role": "user", "content": "B"}])
            await ask(ws, input="C", previous_response_id=first[-1]["response"]["id"])
            assert [any("They spoke of frogs." in text for text in history(seen)) for seen in up.seen[1:]] == [True] * 2
            assert history(up.seen[2])[-3:] == ["B", "One", "C"]

    play(scenario)


# -------------------------------------------------------------------------------------------------------------- prewarm


@pytest.mark.parametrize("word", [{"generate": False}, {"generate": True, "prompt_cache_options": {"prewarm": True}}])
@pytest.mark.parametrize("said", [[{"type": "message", "role": "developer", "content": "Be kind."}], []])
@dialects
def test_prewarm_answers_by_itself_and_can_be_continued(speaks: str, said: list[Any], word: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good(speaks, "Hello")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client, originator="codex_exec") as ws,
        ):
            warm = await ask(ws, input=said, tools=[], **word)
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


# ------------------------------------------------------------------------------------------- what a header would tell


@pytest.mark.parametrize("lane", [{}, {"stream_id": "a"}, {"stream_id": ""}])
def test_the_first_message_tells_what_could_not_be_carried(lane: dict[str, str]) -> None:
    """In the member that an error's message has for header fields; other messages, and turns that lose nothing, have none."""

    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "One", "Two")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            created, *others = await ask(ws, truncation="auto", brand_new=1, **lane)
            assert created["type"] == "response.created"
            assert created["headers"] == {"x-adapter-losses": "truncation;dropped, brand_new;dropped"}
            assert created.get("stream_id") == others[-1].get("stream_id") == lane.get("stream_id")
            assert not any("headers" in event for event in [*others, *await ask(ws)])

    play(scenario)


def test_an_errors_message_tells_what_could_not_be_carried() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply({"error": {"message": "slow"}}, 429, "retry-after: 7")]) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            (error,) = await ask(ws, truncation="auto")
            assert error["headers"] == {"x-adapter-losses": "truncation;dropped", "retry-after": "7"}

    play(scenario)


@pytest.mark.parametrize("policy", ["ignore", "reject"])
def test_nothing_is_told_where_the_policy_is_another_one(policy: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat"), losses=policy) as client,
            opened(client) as ws,
        ):
            events = await ask(ws, truncation="auto")
            assert not any("headers" in event for event in events)
            assert (events[-1]["type"] == "error") is (policy == "reject")

    play(scenario)
