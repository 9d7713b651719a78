"""What reaches the upstream and what comes back: the raw lane's bytes, n choices, stop words, aliases and hints."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from adapter.hub.grammar import check_chat, check_responses
from tests.server.harness import ASK, PATH, adapter, ask_bytes, play, read_head, upstream
from tests.server.scripted import (
    END,
    SSE,
    Close,
    Script,
    Sleep,
    Stall,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    json_reply,
    piece,
    response,
    responses_events,
    responses_stream,
)


def access_lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [orjson.loads(text) for text in capfd.readouterr().out.splitlines() if '"event":"request"' in text]


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_the_raw_lane_sends_the_request_as_it_came(dialect: str) -> None:
    async def scenario() -> None:
        reply = chat_reply() if dialect == "chat" else response()
        async with Upstream([json_reply(reply)]) as up, adapter(upstream(up.url, dialect, profile="openai")) as client:
            asked = {"zeta": {"b": 1, "a": [1.5, None]}, **ASK[dialect], "temperature": 0.1, "brand_new": "ü"}
            answer = await client.post(PATH[dialect], asked)
            assert up.seen[0].body == orjson.dumps(asked)
            assert answer.body == orjson.dumps(reply)

    play(scenario)


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_a_plain_answer_whose_id_is_a_deep_nest_passes_as_one_without_an_id(dialect: str) -> None:
    async def scenario() -> None:
        nest = b"[" * 1000 + b"]" * 1000
        reply = chat_reply() if dialect == "chat" else response()
        body = orjson.dumps(reply | {"id": "here"}).replace(b'"here"', nest)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        async with Upstream([head + body]) as up, adapter(upstream(up.url, dialect)) as client:
            answer = await client.ask(dialect, store=False)
            assert (answer.status, answer.body) == (200, body)

    play(scenario)


def test_the_raw_lanes_named_edits() -> None:
    async def scenario() -> None:
        section = {"aliases": {"gpt-5.5": "qwen3-coder"}}
        async with (
            Upstream([json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", **section)) as client,
        ):
            await client.ask("responses", model="gpt-5.5", provider="up", store=True)
            assert up.seen[0].json == {"model": "qwen3-coder", "input": "Hi", "store": False}

    play(scenario)


def test_what_is_in_beta_is_asked_for_as_the_client_does() -> None:
    """`client.beta.responses` of OpenAI's SDKs."""

    async def scenario() -> None:
        async with (
            Upstream([json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", profile="openai")) as client,
        ):
            for query in ("?beta=true", "?other=1&beta=true", "?beta=false", ""):
                await client.post(PATH["responses"] + query, {**ASK["responses"], "store": False})
        assert [seen.line.split()[1] for seen in up.seen] == [
            "/v1/responses?beta=true",
            "/v1/responses?beta=true",
            "/v1/responses",
            "/v1/responses",
        ]

    play(scenario)


def test_a_stateful_upstream_keeps_its_own_state() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", profile="openai")) as client,
        ):
            asked = {"previous_response_id": "resp_1", "store": True, "background": False}
            assert (await client.ask("responses", **asked)).status == 200
            assert up.seen[0].json == ASK["responses"] | asked

    play(scenario)


def test_an_object_under_provider_is_the_upstreams_own_parameter() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            await client.ask("chat", provider={"order": ["x"]})
            assert up.seen[0].json["provider"] == {"order": ["x"]}

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_provider_and_prefix_pick_a_configured_upstream(client_speaks: str) -> None:
    async def scenario() -> None:
        good: Script = [json_reply(chat_reply())]
        async with (
            Upstream(good) as one,
            Upstream(good) as two,
            adapter(upstream(one.url, "chat", "one"), upstream(two.url, "chat", "two")) as client,
        ):
            await client.ask(client_speaks, provider="two")
            await client.ask(client_speaks, model="two/m")
            assert (len(one.seen), len(two.seen)) == (0, 2)
            for seen in two.seen:
                assert seen.json["model"] == "m"
                assert "provider" not in seen.json
            refused = await client.ask(client_speaks, provider="three")
            assert (refused.status, refused.json["error"]["param"]) == (400, "provider")

    play(scenario)


def test_the_raw_stream_passes_bytes_whole_events_only_and_cuts_behind_the_end() -> None:
    async def scenario() -> None:
        odd = b'event: response.created\r\ndata: {"type":"response.created","response":{"id":"resp_x","status":"in_progress","model":"m","output":[]},"sequence_number":0,"own":  1}\r\n\r\n: hi\n\n'
        rest = [event(e, e["type"]) for e in responses_events()[1:]]
        script: Script = [SSE, piece(odd), *rest, event({"type": "response.output_text.delta", "delta": "LATE"}), END]
        async with Upstream(script) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("responses", stream=True)
            assert answer.body.startswith(odd)
            assert b"LATE" not in answer.body
            assert answer.types[-1] == "response.completed"

    play(scenario)


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_the_raw_lane_drops_an_unfinished_event_and_says_that_the_stream_failed(dialect: str) -> None:
    async def scenario() -> None:
        begun: Script = (
            [SSE, event(chunk({"content": "Hel"}))]
            if dialect == "chat"
            else [SSE, *(event(e, e["type"]) for e in responses_events()[:5])]
        )
        script = [*begun, piece(b'data: {"half": "HALF'), Sleep(0.05), Close()]
        async with Upstream(script) as up, adapter(upstream(up.url, dialect)) as client:
            answer = await client.ask(dialect, stream=True)
            assert b"HALF" not in answer.body
            if dialect == "chat":
                assert answer.events[-1]["error"]["code"] == "upstream_truncated"
            else:
                assert answer.types[-2:] == ["error", "response.failed"]
                assert [e["sequence_number"] for e in answer.events[-2:]] == [5, 6]
                assert answer.events[-1]["response"]["id"] == "resp_up1"

    play(scenario)


def test_n_choices_over_responses_are_n_calls_with_summed_usage() -> None:
    async def scenario() -> None:
        scripts = [[json_reply(response(text, f"resp_{text}"))] for text in ("one", "two", "three")]
        async with Upstream(*scripts) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("chat", n=3)
            assert answer.headers["x-adapter-losses"] == "n;emulated"
            choices = answer.json["choices"]
            assert [choice["index"] for choice in choices] == [0, 1, 2]
            assert {choice["message"]["content"] for choice in choices} == {"one", "two", "three"}
            assert answer.json["usage"]["total_tokens"] == 15
            assert len(up.seen) == 3

    play(scenario)


def test_n_choices_stream_side_by_side() -> None:
    async def scenario() -> None:
        scripts = [responses_stream(text, f"resp_{text}") for text in ("one", "two", "three")]
        async with Upstream(*scripts) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("chat", n=3, stream=True, stream_options={"include_usage": True})
            *chunks, usage, done = answer.events
            assert done == "[DONE]"
            assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 15)
            texts = {0: "", 1: "", 2: ""}
            for entry in chunks:
                for choice in entry["choices"]:
                    texts[choice["index"]] += choice["delta"].get("content") or ""
            assert set(texts.values()) == {"one", "two", "three"}
            assert len({entry["id"] for entry in chunks}) == 1

    play(scenario)


@pytest.mark.parametrize("begun", [0, 1])
def test_one_refused_call_of_n_refuses_them_all_and_stops_the_others(begun: int) -> None:
    async def scenario() -> None:
        error = {"error": {"message": "no", "type": "invalid_request_error", "code": None, "param": None}}
        began = [event(e, e["type"]) for e in responses_events()[:begun]]
        scripts: list[Script] = [[SSE, *began, Stall()], [Sleep(0.1), json_reply(error, 400)]]
        async with Upstream(*scripts) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("chat", n=2, stream=True)
            assert answer.status == 400
            await asyncio.wait_for(up.seen[0].finished.wait(), 1)

    play(scenario)


def test_one_broken_choice_of_n_breaks_the_stream_once() -> None:
    async def scenario() -> None:
        broken: Script = [SSE, *(event(e, e["type"]) for e in responses_events()[:5]), Sleep(0.1), Close()]
        async with Upstream(responses_stream("one"), broken) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("chat", n=2, stream=True)
            assert (answer.status, answer.whole) == (200, True)
            assert [set(e) for e in answer.events if "error" in e] == [{"error"}]
            assert "[DONE]" not in answer.events

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_n_choices_are_booked_with_what_all_of_their_calls_cost(
    stream: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        good = responses_stream() if stream else [json_reply(response())]
        async with Upstream(good) as up, adapter(upstream(up.url, "responses")) as client:
            assert (await client.ask("chat", n=3, stream=stream)).status == 200

    play(scenario)
    (line,) = access_lines(capfd)
    assert (line["tokens_in"], line["tokens_out"]) == (9, 6)


def test_any_broken_choice_of_n_is_booked_as_a_failure(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        broken: Script = [SSE, *(event(e, e["type"]) for e in responses_events()[:5]), Sleep(0.1), Close()]
        for scripts in ([responses_stream(), broken], [broken, responses_stream()]):
            async with Upstream(*scripts) as up, adapter(upstream(up.url, "responses")) as client:
                assert (await client.ask("chat", n=2, stream=True)).status == 200

    play(scenario)
    assert [(line["outcome"], line["error"]) for line in access_lines(capfd)] == [("failed", "upstream_truncated")] * 2


@pytest.mark.parametrize("stream", [False, True])
def test_what_chat_has_no_words_for_is_told_in_the_access_line(stream: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """A hosted tool's item and a file citation, of a plain answer as of a streamed one; beside what the request lost."""

    async def scenario() -> None:
        answer = response()
        cited = {"type": "file_citation", "file_id": "file-1", "filename": "a", "index": 0}
        answer["output"][0]["content"][0]["annotations"] = [cited]
        answer["output"].append({"type": "web_search_call", "id": "ws_1", "status": "completed"})
        async with Upstream([json_reply(answer)]) as up, adapter(upstream(up.url, "responses")) as client:
            assert (await client.ask("chat", stream=stream, seed=7)).status == 200

    play(scenario)
    (line,) = access_lines(capfd)
    assert line["losses"] == ["annotation", "seed", "web_search_call"]


VENDORS: dict[str, dict[str, Any]] = {
    "chat": {
        "messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}]}],
        "tools": [{"type": "builtin_function", "function": {"name": "$web_search"}}],
    },
    "responses": {"include": ["vendor.thing"], "input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
}
"""What an upstream may take and this server knows nothing of."""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_an_answer_in_the_other_form_than_was_asked_for_needs_nothing_of_the_request(
    dialect: str, stream: bool
) -> None:
    """The upstream has answered: what it was asked is its business."""
    whole = json_reply(chat_reply() if dialect == "chat" else response())

    async def scenario() -> None:
        script = [whole] if stream else chat_stream("Hel", "lo") if dialect == "chat" else responses_stream()
        async with Upstream(script) as up, adapter(upstream(up.url, dialect)) as client:
            answer = await client.ask(dialect, stream=stream, **VENDORS[dialect])
            assert answer.status == 200, answer.body
            if stream:
                assert (check_chat if dialect == "chat" else check_responses)(answer.body) == []
            assert b"Hel" in answer.body

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_n_choices_in_the_other_form_than_was_asked_for_are_refused_and_not_cut_to_one(stream: bool) -> None:
    reply = chat_reply("A")
    reply["choices"] += [reply["choices"][0] | {"index": 1}]
    script: Script = [json_reply(reply)] if stream else chat_stream("A")

    async def scenario() -> None:
        async with Upstream(script) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.ask("chat", stream=stream, n=2)
            assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_invalid")

    play(scenario)


def test_a_stop_word_cuts_the_answer_and_closes_the_upstream() -> None:
    async def scenario() -> None:
        events = responses_events("Hello")
        script: Script = [SSE, *(event(e, e["type"]) for e in events[:5]), Stall()]
        async with Upstream(script) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("chat", stop="ll", stream=True)
            text = "".join(c["delta"].get("content") or "" for e in answer.events[:-1] for c in e["choices"])
            assert (text, answer.events[-1]) == ("He", "[DONE]")
            await up.seen[0].finished.wait()

    play(scenario)


def test_missing_usage_is_estimated_unless_it_is_to_be_left_out() -> None:
    async def scenario() -> None:
        script: Script = [SSE, event(chunk({"content": "x" * 40})), event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with Upstream(script) as up:
            async with adapter(upstream(up.url, "chat")) as client:
                usage = (await client.ask("responses", stream=True)).events[-1]["response"]["usage"]
                assert usage["output_tokens"] == 10
                assert usage["input_tokens"] == -(-len(up.seen[0].body) // 4)
            async with adapter(upstream(up.url, "chat"), usage="omit") as client:
                assert (await client.ask("responses", stream=True)).events[-1]["response"]["usage"] is None

    play(scenario)


@pytest.mark.parametrize("upstream_speaks", ["chat", "responses"])
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_streams_are_grammatical(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        script = chat_stream("Hel", "lo") if upstream_speaks == "chat" else responses_stream()
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            answer = await client.ask(client_speaks, stream=True)
            check = check_chat if client_speaks == "chat" else check_responses
            assert check(answer.body) == []

    play(scenario)


def test_an_answer_has_one_id_in_all_its_events_and_a_new_one_each_time() -> None:
    async def scenario() -> None:
        async with Upstream(chat_stream("Hello")) as up, adapter(upstream(up.url, "chat")) as client:
            answers = [(await client.ask("responses", stream=True)).events for _ in range(2)]
            ids = [{e["response"]["id"] for e in events if "response" in e} for events in answers]
            assert [len(each) for each in ids] == [1, 1]
            assert ids[0] != ids[1]

    play(scenario)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply("one"))], [json_reply(chat_reply("two"))]) as up,
            adapter(upstream(up.url, "chat")) as client,
        ):
            reader, _ = await client.open(ask_bytes("chat") + ask_bytes("chat"))
            for text in (b"one", b"two"):
                answer = await read_head(reader)
                assert text in await reader.readexactly(int(answer.headers["content-length"]))

    play(scenario)
