"""Compactions that meet trouble and come to a good end: blobs refused late, histories too long, turns that go on from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapter.compaction.anatomy import PREFACE
from adapter.conform.compactors import KINDS, CompactPeer, Kind, facts
from adapter.hub.names import fitted_call_id
from adapter.upstream.profiles import CallIdRule
from tests.server.compacting import ASKS, COMPACT, FACTS, HISTORY, WAYS, continued, peered, told
from tests.server.harness import adapter, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    Script,
    Upstream,
    chat_reply,
    chat_stream,
    event,
    json_reply,
    response,
    responses_stream,
)
from tests.server.sockets import answer, good, opened, say

CALL = WAYS["openai"].body
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABo"}

# ---------------------------------------------------------------------------------------------- blobs refused in a 200

_CODE = "invalid_encrypted_content"
_FAILED = response(status="failed") | {"output": [], "error": {"code": _CODE, "message": "no"}}
REFUSALS: dict[str, Script] = {
    "error": [SSE, event({"type": "error", "code": _CODE, "message": "no", "param": None}, "error"), END],
    "failed": [SSE, event({"type": "response.failed", "response": _FAILED, "sequence_number": 0}), END],
    "json": [json_reply({"error": {"message": "no", "code": _CODE}})],
}


@pytest.mark.parametrize("upstreams", [1, 2], ids=["raw", "hub"])
@pytest.mark.parametrize("how", REFUSALS)
def test_a_blob_that_is_refused_by_the_first_event_is_left_out_and_asked_again_once(how: str, upstreams: int) -> None:
    async def scenario() -> None:
        async with Upstream(REFUSALS[how], responses_stream("Good")) as up:
            sections = [upstream(up.url, "responses", f"up{number}") for number in range(upstreams)]
            async with adapter(*sections) as client:
                found = await client.ask("responses", stream=True, input=[ASKS, REASONING])
                assert found.status == 200, found.body
                assert found.types[-1] == "response.completed"
                assert [len(seen.json["input"]) for seen in up.seen] == [2, 1]
                assert found.headers["x-adapter-losses"] == "input;dropped"

    play(scenario)


def test_a_blob_that_is_refused_is_not_left_out_where_nothing_may_be_lost() -> None:
    async def scenario() -> None:
        async with (
            Upstream(REFUSALS["json"], responses_stream("Good")) as up,
            adapter(upstream(up.url, "responses"), losses="reject") as client,
        ):
            found = await client.ask("responses", stream=True, input=[ASKS, REASONING])
            assert (found.status, found.json["error"]["param"]) == (400, "input")
            assert len(up.seen) == 1

    play(scenario)


@pytest.mark.parametrize("how", REFUSALS)
def test_without_reasoning_to_leave_out_a_refusal_in_a_stream_is_a_400(how: str) -> None:
    async def scenario() -> None:
        async with Upstream(REFUSALS[how]) as up, adapter(upstream(up.url, "responses")) as client:
            found = await client.ask("responses", stream=True)
            assert (found.status, found.json["error"]["code"]) == (400, _CODE)
            assert len(up.seen) == 1

    play(scenario)


# ---------------------------------------------------------------------------------------------------- far too long

TOO_LONG: dict[str, tuple[int, dict[str, Any]]] = {
    "openai": (400, {"error": {"message": "too long", "code": "context_length_exceeded"}}),
    "anthropic": (
        400,
        {"error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}},
    ),
    "llama.cpp": (
        400,
        {"error": {"type": "exceed_context_size_error", "message": "exceeds the available context size"}},
    ),
    "gemini": (
        400,
        {"error": {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."}},
    ),
    "groq": (413, {"error": {"message": "Request too large for model `m` on tokens per minute", "type": "tokens"}}),
}


@pytest.mark.parametrize("vendor", TOO_LONG)
def test_a_history_too_long_is_summarised_in_pieces_however_the_server_words_it(vendor: str) -> None:
    async def scenario() -> None:
        status, body = TOO_LONG[vendor]
        scripts: list[Script] = [[json_reply(body, status)], *(chat_stream(f"part {number}") for number in range(9))]
        async with Upstream(*scripts) as up, adapter(upstream(up.url, "chat")) as client:
            found = await client.post(COMPACT, CALL | {"input": [*HISTORY * 4, ASKS]})
            assert found.status == 200, found.body
            assert max(len(seen.body) for seen in up.seen[1:]) < len(up.seen[0].body)

    play(scenario)


@pytest.mark.parametrize("vendor", ["openai", "groq"])
@pytest.mark.parametrize("kind", ["compaction", "response", "trigger"])
def test_a_history_too_long_for_the_upstreams_own_compaction_is_summarised(kind: str, vendor: str) -> None:
    async def scenario() -> None:
        status, body = TOO_LONG[vendor]
        async with (
            Upstream([json_reply(body, status)], responses_stream("the summary")) as up,
            adapter(upstream(up.url, "responses", compact=kind)) as client,
        ):
            found = await client.post(COMPACT, CALL)
            assert found.status == 200, found.body
            assert found.json["output"][-1]["type"] == "compaction"
            assert len(up.seen) == 2

    play(scenario)


_HALF = response("half", status="failed")
FAILED = [
    (_HALF | {"error": {"code": "rate_limit_exceeded", "message": "no"}}, 429),
    (_HALF, 502),
    (_HALF | {"status": "cancelled"}, 502),
    (chat_reply("half") | {"choices": [chat_reply("half")["choices"][0] | {"finish_reason": "error"}]}, 502),
]


@pytest.mark.parametrize(("failed", "status"), FAILED)
def test_a_compaction_of_the_upstream_that_failed_is_no_summary_whatever_it_had_said_by_then(
    failed: dict[str, Any], status: int
) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(failed)]) as up,
            adapter(upstream(up.url, "responses", compact="response")) as client,
        ):
            assert (await client.post(COMPACT, CALL)).status == status

    play(scenario)


@pytest.mark.parametrize("kind", ["compaction", "trigger"])
def test_a_history_that_only_the_upstream_knows_is_not_cut_by_rules_when_its_own_compaction_fails(kind: str) -> None:
    async def scenario() -> None:
        section = {"profile": "openai", "compact": kind}
        async with (
            Upstream([json_reply({"error": {"message": "out of order"}}, 500)]) as up,
            adapter(upstream(up.url, "responses", **section), compaction={"on_failure": "trim"}) as client,
        ):
            found = await client.post(COMPACT, {"model": "m", "previous_response_id": "resp_up1", "input": [ASKS]})
            assert found.status >= 500, found.body
            assert up.seen[0].json["previous_response_id"] == "resp_up1"

    play(scenario)


def test_a_conversation_that_the_upstream_keeps_is_not_left_out_of_what_its_endpoint_compacts() -> None:
    async def scenario() -> None:
        section = {"profile": "openai", "compact": "response"}
        async with (
            Upstream([json_reply(response("the summary"))]) as up,
            adapter(upstream(up.url, "responses", **section)) as client,
        ):
            found = await client.ask("responses", conversation="conv_up", input=[ASKS, {"type": "compaction_trigger"}])
            assert (found.status, found.json["error"]["param"]) == (400, "conversation"), found.body
            assert up.seen == []

    play(scenario)


@pytest.mark.parametrize("speaks", ["chat", "responses"])
def test_items_that_a_history_only_refers_to_are_compacted_with_it(speaks: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good(speaks, "the summary")) as up,
            adapter(
                upstream(up.url, speaks, compact="none"), store={"url": f"sqlite:///{tmp_path}/store.db"}
            ) as client,
        ):
            told = {"role": "assistant", "content": "FACT-path"}
            made = (await client.post("/v1/conversations", {"items": [told]})).json
            listed = (await client.get(f"/v1/conversations/{made['id']}/items")).json["data"]
            found = await client.post(COMPACT, {"model": "m", "input": [{"id": listed[0]["id"]}, ASKS]})
            assert found.status == 200, found.body
            assert b"FACT-path" in up.seen[0].body

    play(scenario)


@pytest.mark.parametrize("section", [{"compact": "none"}, {"compact": "none", "profile": "openai"}])
@pytest.mark.parametrize("speaks", ["chat", "responses"])
def test_items_that_nobody_here_knows_are_not_left_out_of_a_summary(speaks: str, section: dict[str, str]) -> None:
    async def scenario() -> None:
        async with Upstream(*good(speaks, "the summary")) as up, adapter(upstream(up.url, speaks, **section)) as client:
            found = await client.post(
                COMPACT, {"model": "m", "input": [ASKS, {"type": "item_reference", "id": "msg_1"}]}
            )
            assert (found.status, found.json["error"]["param"]) == (400, "input[1]"), found.body
            assert up.seen == []

    play(scenario)


# ---------------------------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize("kind", KINDS)
def test_a_socket_goes_on_from_a_trigger_by_its_response_id(kind: Kind) -> None:
    async def scenario() -> None:
        peer = CompactPeer(kind)
        async with peered(peer) as section, adapter(section) as client, opened(client) as ws:
            (*_, done) = await answer_to(ws, input=[*HISTORY, {"type": "compaction_trigger"}], store=False)
            (*_, last) = await answer_to(ws, input=[ASKS], previous_response_id=done["response"]["id"], store=False)
            assert last["type"] == "response.completed", last
            assert told(last["response"]) == FACTS
        assert peer.problems == []

    play(scenario)


async def answer_to(ws: Any, **fields: Any) -> list[Any]:
    await say(ws, **fields)
    return await answer(ws)


# ---------------------------------------------------------------------------------------------- a Chat client's own words

OWN: list[dict[str, Any]] = [
    {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
    {"role": "developer", "content": "Be polite."},
    {"role": "user", "content": "Set up the project.", "name": "ann"},
    {"role": "assistant", "content": "I put it under FACT-path. " + "more " * 6_000},
    {"role": "system", "content": "The user is in a hurry."},
    {"role": "user", "name": "bob", "content": "What do you know?"},
    {
        "role": "assistant",
        "reasoning_content": "look first",
        "content": None,
        "tool_calls": [{"id": "call_9", "type": "function", "function": {"name": "shell", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_9", "content": "the open exchange"},
]
SETTINGS = {"top_k": 5, "temperature": 0.5, "user": "u", "chat_template_kwargs": {"thinking": True}, "max_tokens": 7}


@pytest.mark.parametrize("stream", [False, True])
def test_over_a_chat_upstream_what_stays_of_a_chat_conversation_is_the_clients_own_key_for_key(stream: bool) -> None:
    async def scenario() -> None:
        async with (
            Upstream(chat_stream("the summary"), chat_stream("Good")) as up,
            adapter(upstream(up.url, "chat"), losses="reject") as client,
        ):
            found = await client.post(COMPACT, {"model": "m", "messages": OWN, "stream": stream, **SETTINGS})
            assert found.status == 200, found.body
            sent = up.seen[1].json
        summary = sent["messages"].pop(4)
        assert sent["messages"] == [*OWN[:3], *OWN[4:]]
        assert (summary["role"], "the summary" in summary["content"]) == ("user", True)
        rest = {
            key: value for key, value in sent.items() if key not in ("model", "messages", "stream", "stream_options")
        }
        assert rest == SETTINGS

    play(scenario)


def test_what_goes_on_of_a_chat_conversation_is_as_its_server_demands() -> None:
    async def scenario() -> None:
        section = {"profile": "moonshot", "capabilities": {"call_id": {"max": 9, "alphabet": "alnum"}}}
        called = {key: value for key, value in OWN[6].items() if key != "reasoning_content"}
        async with (
            Upstream(chat_stream("the summary"), [json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", **section), losses="reject") as client,
        ):
            asked = {"model": "m", "messages": [*OWN[:6], called, OWN[7]], "max_completion_tokens": 7}
            found = await client.post(COMPACT, asked)
            assert found.status == 200, found.body
            sent = up.seen[1].json
        wire_id = fitted_call_id("call_9", CallIdRule(max=9, alphabet="alnum"))
        turn = called | {"tool_calls": [called["tool_calls"][0] | {"id": wire_id}], "reasoning_content": " "}
        assert sent["messages"][:3] == [OWN[0], OWN[1] | {"role": "system"}, OWN[2]]
        assert sent["messages"][-2:] == [turn, OWN[7] | {"tool_call_id": wire_id}]
        assert (sent["max_tokens"], "max_completion_tokens" in sent) == (7, False)

    play(scenario)


@pytest.mark.parametrize("name", ["visioncoder", "threshold"])
def test_what_the_turn_would_lose_is_refused_before_the_summary_is_paid_for(name: str) -> None:
    async def scenario() -> None:
        way = WAYS[name]
        dialect, lost = {"visioncoder": ("responses", {"seed": 4}), "threshold": ("chat", {"truncation": "auto"})}[name]
        async with Upstream(chat_stream("-")) as up, adapter(upstream(up.url, dialect), losses="reject") as client:
            found = await client.post(way.path, way.body | lost)
            assert (found.status, found.json["error"]["param"]) == (400, next(iter(lost))), found.body
            assert up.seen == []

    play(scenario)


def test_losses_of_a_turn_that_goes_on_name_the_items_of_the_client_once_and_none_that_were_summarised() -> None:
    async def scenario() -> None:
        file = {"type": "input_file", "file_id": "file_1"}
        old, new = (
            {"type": "message", "role": "user", "content": [file, {"type": "input_text", "text": text}]}
            for text in ("x" * 9_000, "now")
        )
        way = WAYS["threshold"]
        async with peered(CompactPeer("none_chat")) as section, adapter(section) as client:
            found = await client.post(way.path, way.body | {"input": [*HISTORY, old, *HISTORY[2:], new]})
            assert found.status == 200, found.body
            assert found.headers["x-adapter-losses"] == "input[11].content[0];dropped"

    play(scenario)


def test_a_loss_is_told_once() -> None:
    async def scenario() -> None:
        messages = [{"role": "user", "name": "ann", "content": "Hi"}]
        async with Upstream([json_reply(response())]) as up, adapter(upstream(up.url, "responses")) as client:
            found = await client.ask("chat", messages=messages)
            assert found.headers["x-adapter-losses"] == "messages;dropped"

    play(scenario)


THOUGHT = {"type": "reasoning", "summary": [], "encrypted_content": "peer:"}
UNFINISHED = [
    THOUGHT,
    {"type": "function_call", "call_id": "done", "name": "shell", "arguments": "{}"},
    {"type": "message", "role": "assistant", "content": "FACT-said"},
    THOUGHT,
    {"type": "function_call", "call_id": "interrupted", "name": "shell", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "done", "output": "FACT-done"},
]


@pytest.mark.parametrize("kind", ["compaction", "response", "trigger"])
def test_a_call_that_nobody_answered_is_told_as_lost_to_an_upstreams_own_compaction_and_what_was_finished_is_not(
    kind: Kind,
) -> None:
    """A strict server takes no call without an output. A summary of ours tells it, which is not the same: it cannot be answered."""

    async def scenario() -> None:
        way = WAYS["threshold"]
        body = way.body | {"input": [*HISTORY, *UNFINISHED, ASKS]}
        peer = CompactPeer(kind)
        async with peered(peer) as section, adapter(section) as client:
            found = await client.post(way.path, body)
            assert found.status == 200, found.body
            assert found.headers["x-adapter-losses"] == "input[9];dropped, input[10];dropped"
        assert facts(peer.seen[0][1]["input"]) == "FACT-done FACT-path FACT-port FACT-said"
        assert peer.problems == []
        async with peered(CompactPeer("none_responses")) as section, adapter(section) as client:
            assert (await client.post(way.path, body)).headers["x-adapter-losses"] == "input[10];approximated"

    play(scenario)


@pytest.mark.parametrize("kind", ["compaction", "trigger"])
def test_what_a_tool_says_that_nobody_called_is_told_to_an_upstreams_own_compaction(kind: Kind) -> None:
    """So Codex tells its goals: an output with a name and no call."""

    async def scenario() -> None:
        way = WAYS["threshold"]
        goal = {"type": "function_call_output", "name": "goal", "output": "FACT-goal"}
        peer = CompactPeer(kind)
        async with peered(peer) as section, adapter(section) as client:
            found = await client.post(way.path, way.body | {"input": [goal, *HISTORY, ASKS]})
            assert found.status == 200, found.body
            assert "x-adapter-losses" not in found.headers
        assert "FACT-goal" in str(peer.seen[0][1])

    play(scenario)


STAYS: list[tuple[str, Kind]] = [
    *((name, kind) for name in ("openai", "trigger") for kind in ("none_chat", "none_responses")),
    *(("threshold", kind) for kind in ("none_chat", "none_responses", "compaction", "trigger")),
]
"""Elsewhere it is the upstream that says what stays of a call."""


@pytest.mark.parametrize(("name", "kind"), STAYS)
def test_a_call_that_runs_beside_the_conversation_is_answered_after_any_number_of_compactions(
    name: str, kind: Kind
) -> None:
    async def scenario() -> None:
        peer = CompactPeer(kind)
        slow = {"type": "function_call", "call_id": "slow", "name": "shell", "arguments": "{}", "async": True}
        began = [*HISTORY, slow, {"type": "message", "role": "assistant", "content": "It runs beside."}]
        async with peered(peer) as section, adapter(section) as client:
            history = [*began, ASKS]
            for way in (WAYS[name], WAYS["threshold"], WAYS[name]):
                rest = way.body["input"][len(HISTORY) :]
                found = await client.post(way.path, way.body | {"input": history + rest})
                assert found.status == 200, found.body
                history = [*found.json["output"], *HISTORY[1:], ASKS]
            late = {"type": "function_call_output", "call_id": "slow", "output": "FACT-late"}
            answer = await client.post("/v1/responses", {"model": "m", "input": [*history, late, ASKS]})
            assert answer.status == 200, answer.body
            assert "FACT-late" in str(answer.json["output"])
            assert peer.problems == []

    play(scenario)


def test_an_earlier_summary_does_not_stay_beside_an_upstreams_own_compaction_that_was_told_it() -> None:
    """Such an upstream keeps what users said, and takes it for that."""

    async def scenario() -> None:
        ours, own = CompactPeer("none_responses"), CompactPeer("compaction")
        async with peered(ours, "ours", models=["o"]) as one, peered(own, models=["m"]) as two:
            async with adapter(one, two) as client:
                first = await client.post(COMPACT, WAYS["openai"].body | {"model": "o"})
                second = await client.post(COMPACT, {"model": "m", "input": [*first.json["output"], ASKS]})
                assert PREFACE not in str(second.json["output"])
                assert told(await continued(client, second.json, WAYS["openai"])) == FACTS

    play(scenario)


@pytest.mark.parametrize("compaction", [{}, {"strategy": "trim"}], ids=["summary", "trim"])
@pytest.mark.parametrize("name", ["endpoint", "trigger"])
def test_a_compacted_history_fits_the_window_that_it_was_made_for(name: str, compaction: dict[str, Any]) -> None:
    """What users said stays word for word, but not beyond what the model could ever go on from."""
    window = 8_000
    said = [{"type": "message", "role": "user", "content": f"{number} {'word ' * 400}"} for number in range(50)]

    async def scenario() -> None:
        async with (
            Upstream(chat_stream("the summary")) as up,
            adapter(upstream(up.url, "chat", window=window), compaction=compaction) as client,
        ):
            if name == "endpoint":
                made = await client.post(COMPACT, {"model": "m", "input": said})
            else:
                made = await client.post(
                    "/v1/responses", {"model": "m", "input": [*said, {"type": "compaction_trigger"}]}
                )
            found = await client.post("/v1/responses", {"model": "m", "input": [*made.json["output"], ASKS]})
            assert found.status == 200, found.body
            assert len(up.seen[-1].body) < window * 4
            assert said[-1]["content"] in str(up.seen[-1].json)

    play(scenario)
