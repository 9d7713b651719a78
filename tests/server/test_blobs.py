"""Blobs that clients carry: reasoning of Chat upstreams, and what an upstream made and only it can read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from adapter.conform.compactors import CompactPeer
from tests.server.compacting import ASKS, FACTS, KEY, WAYS, asked, continued, final, peered, told
from tests.server.harness import Client, adapter, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    Close,
    Script,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    json_reply,
    response,
    responses_events,
)

INCLUDE = {"include": ["reasoning.encrypted_content"]}
SEALING = {"keys": [KEY]}
OTHER_SEALING = {"keys": ["B" * 42 + "A="]}
BLOB = "gAAAAABsomething"
REASONING = {"type": "reasoning", "id": "rs_up1", "summary": [], "encrypted_content": BLOB}


def thinking_chat(stream: bool) -> Script:
    """A Chat answer with reasoning."""
    if not stream:
        whole = chat_reply("Hello")
        whole["choices"][0]["message"]["reasoning_content"] = "because FACT-path"
        return [json_reply(whole)]
    return [SSE, event(chunk({"reasoning_content": "because FACT-path"})), *chat_stream("Hello")[1:]]


def thinking_responses(stream: bool) -> Script:
    """A Responses answer with a reasoning item that only its maker can read."""
    whole = response()
    whole["output"].insert(0, REASONING)
    if not stream:
        return [json_reply(whole)]
    added = {"type": "response.output_item.added", "output_index": 0, "item": REASONING}
    done = {"type": "response.output_item.done", "output_index": 0, "item": REASONING}
    created, progress, *rest, completed = responses_events()
    rest = [one | {"output_index": 1} for one in rest]
    events = [created, progress, added, done, *rest, completed | {"response": whole}]
    return [SSE, *(event(one, one["type"]) for one in events), END]


async def ask(client: Client, stream: bool, **extra: Any) -> Any:
    answer = await client.ask("responses", stream=stream, **extra)
    assert answer.status == 200, answer.body
    return final(answer)


def reasoning_of(answer: Any) -> dict[str, Any]:
    (item,) = [item for item in answer["output"] if item["type"] == "reasoning"]
    found: dict[str, Any] = item
    return found


def given_back(item: dict[str, Any]) -> list[dict[str, Any]]:
    """The input of a next turn whose reasoning is the blob of `item` only, behind it a call that was answered."""
    silent = {key: value for key, value in item.items() if key != "content"} | {"summary": []}
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    return [ASKS, silent, call, {"type": "function_call_output", "call_id": "call_1", "output": "ok"}]


# ------------------------------------------------------------------------------------- reasoning of Chat upstreams


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_of_a_chat_upstream_is_sealed_and_given_back_as_text(stream: bool) -> None:
    async def scenario() -> None:
        section = {"profile": "deepseek", "api_key": "none"}
        async with (
            Upstream(thinking_chat(stream), thinking_chat(False)) as up,
            adapter(upstream(up.url, "chat", **section)) as client,
        ):
            answer = await ask(client, stream, **INCLUDE)
            item = reasoning_of(answer)
            assert item["encrypted_content"].startswith("adapter:1:reasoning:up:")
            assert "FACT-path" not in item["encrypted_content"]

            await ask(client, False, input=given_back(item))
            (turn,) = [m for m in up.seen[1].json["messages"] if m["role"] == "assistant"]
            assert turn["reasoning_content"] == "because FACT-path"

    play(scenario)


SIGNED = {"google": {"thought_signature": "EjQK"}}


def signed_chat(stream: bool) -> Script:
    """A Chat answer with two calls, the first of which is signed, as Gemini does it."""
    calls: list[dict[str, Any]] = [
        {"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ("call_1", "call_2")
    ]
    calls[0]["extra_content"] = SIGNED
    if stream:
        return [SSE, *(event(chunk({"tool_calls": [call]})) for call in calls), *chat_stream()[2:]]
    whole = chat_reply()
    whole["choices"][0]["message"] |= {"content": None, "tool_calls": calls}
    return [json_reply(whole)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_signature_comes_back_by_a_client_that_drops_unknown_keys(stream: bool) -> None:
    """Codex keeps calls without keys that it does not know, and reasoning with its `encrypted_content`."""

    async def scenario() -> None:
        async with (
            Upstream(signed_chat(stream), [json_reply(chat_reply())], [json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", profile="gemini", api_key="none")) as client,
        ):
            answer = await ask(client, stream, **INCLUDE)
            assert [item["type"] for item in answer["output"]] == ["function_call", "function_call", "reasoning"]
            assert reasoning_of(answer)["encrypted_content"].startswith("adapter:1:signed:up:")
            kept = [{k: v for k, v in item.items() if k != "extra_content"} for item in answer["output"]]
            outputs = [{"type": "function_call_output", "call_id": one, "output": "ok"} for one in ("call_1", "call_2")]
            await ask(client, False, input=[ASKS, *kept, *outputs])
            (turn,) = [m for m in up.seen[1].json["messages"] if m["role"] == "assistant"]
            assert [call.get("extra_content") for call in turn["tool_calls"]] == [SIGNED, None]

            await ask(client, False, input=[ASKS, *answer["output"], *outputs])  # as an SDK does it
            (turn,) = [m for m in up.seen[2].json["messages"] if m["role"] == "assistant"]
            assert [call.get("extra_content") for call in turn["tool_calls"]] == [SIGNED, None]

    play(scenario)


DETAILS = [
    {"type": "reasoning.text", "text": "because FACT-path", "signature": "EsQB", "format": "f", "index": 0},
    {"type": "reasoning.encrypted", "data": "gAAA", "id": "rs_1", "format": "f", "index": 1},
]


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_details_come_back_by_a_client_that_drops_unknown_keys(stream: bool) -> None:
    async def scenario() -> None:
        whole = chat_reply("Hello")
        whole["choices"][0]["message"]["reasoning_details"] = DETAILS
        pieces = [event(chunk({"reasoning_details": [one]})) for one in DETAILS]
        script = [SSE, *pieces, *chat_stream("Hello")[1:]] if stream else [json_reply(whole)]
        async with (
            Upstream(script, [json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", profile="openrouter", api_key="none")) as client,
        ):
            answer = await ask(client, stream, **INCLUDE)
            kept = [{k: v for k, v in item.items() if k != "extra_content"} for item in answer["output"]]
            assert [item["type"] for item in kept] == ["reasoning", "message", "reasoning"]
            await ask(client, False, input=[ASKS, *kept, ASKS])
            assert up.seen[1].json["messages"][1] == {
                "role": "assistant",
                "content": "Hello",
                "reasoning_details": DETAILS,
            }

    play(scenario)


@pytest.mark.parametrize("broken", [False, True])
def test_the_signature_of_a_call_that_was_run_is_sealed_before_an_answer_ends_badly(broken: bool) -> None:
    """Codex runs a call as soon as it is whole, keeps it when the rest breaks off, and asks again with it."""

    async def scenario() -> None:
        called = [*signed_chat(True)[:2], event(chunk({"content": "and"}))]
        rest: Script = [Close()] if broken else [event(chunk({}, "length")), *chat_stream()[-2:]]
        async with (
            Upstream([*called, *rest]) as up,
            adapter(upstream(up.url, "chat", profile="gemini")) as client,
        ):
            found = await client.ask("responses", stream=True, **INCLUDE)
            done = [e["item"] for e in found.events if e["type"] == "response.output_item.done"]
            assert [item["type"] for item in done[:2]] == ["function_call", "reasoning"]
            assert done[1]["encrypted_content"].startswith("adapter:1:signed:up:")
            assert found.events[-1]["type"] == ("response.failed" if broken else "response.incomplete")

    play(scenario)


def test_codex_that_does_not_ask_for_blobs_is_given_signatures_all_the_same() -> None:
    """Codex 0.120.0 asks for them only where it knows that the model reasons; it gives back all that it was given."""

    async def scenario() -> None:
        async with (
            Upstream(signed_chat(True), thinking_chat(True)) as up,
            adapter(upstream(up.url, "chat", profile="gemini")) as client,
        ):
            for codex in (True, False):
                headers = {"user_agent": "codex_exec/0.120.0 (Linux)"} if codex else {}
                found = await client.ask("responses", stream=True, headers=headers)
                sealed = [item for item in final(found)["output"] if "encrypted_content" in item]
                assert len(sealed) == codex

    play(scenario)


@pytest.mark.parametrize("other", [[json_reply(chat_reply())], [json_reply(response())]])
def test_a_sealed_signature_is_not_sent_to_another_kind_of_upstream_and_that_is_told(other: Script) -> None:
    async def scenario() -> None:
        dialect = "chat" if b"chat.completion" in repr(other).encode() else "responses"
        async with (
            Upstream(signed_chat(False)) as one,
            Upstream(other) as two,
            adapter(
                upstream(one.url, "chat", "one", models=["m"], profile="gemini"),
                upstream(two.url, dialect, "two", models=["n"]),
            ) as client,
        ):
            answer = await ask(client, False, **INCLUDE)
            kept = [{k: v for k, v in item.items() if k != "extra_content"} for item in answer["output"]]
            outputs = [{"type": "function_call_output", "call_id": one, "output": "ok"} for one in ("call_1", "call_2")]
            found = await client.ask("responses", model="n", input=[ASKS, *kept, *outputs])
            assert found.status == 200, found.body
            assert found.headers["x-adapter-losses"] == "input;dropped"
            assert "extra_content" not in str(two.seen[0].json)
            assert "adapter:1" not in str(two.seen[0].json)

    play(scenario)


def test_without_being_asked_nothing_is_sealed() -> None:
    async def scenario() -> None:
        async with Upstream(thinking_chat(False)) as up, adapter(upstream(up.url, "chat")) as client:
            assert "encrypted_content" not in reasoning_of(await ask(client, False))

    play(scenario)


def test_sealed_reasoning_is_left_out_for_an_upstream_that_reads_no_others() -> None:
    async def scenario() -> None:
        async with (
            Upstream(thinking_chat(False)) as one,
            Upstream([json_reply(response())]) as two,
            adapter(
                upstream(one.url, "chat", "one", models=["m"]), upstream(two.url, "responses", "two", models=["n"])
            ) as client,
        ):
            item = reasoning_of(await ask(client, False, **INCLUDE))
            await ask(client, False, model="n", input=[ASKS, item])
            assert [each["type"] for each in two.seen[0].json["input"]] == ["message"]

    play(scenario)


@pytest.mark.parametrize("broken", ["adapter:1:reasoning:up:x:y", "cut", "flipped", "as_compaction"])
def test_a_blob_that_is_not_whole_is_refused(broken: str) -> None:
    async def scenario() -> None:
        async with Upstream(thinking_chat(False)) as up, adapter(upstream(up.url, "chat")) as client:
            item = reasoning_of(await ask(client, False, **INCLUDE))
            sealed = item["encrypted_content"]
            forged = {
                "cut": item | {"encrypted_content": sealed[:-4]},
                "flipped": item
                | {"encrypted_content": sealed[:-9] + ("A" if sealed[-9] != "A" else "B") + sealed[-8:]},
                "as_compaction": {"type": "compaction", "id": "cmp_1", "encrypted_content": sealed},
            }.get(broken, item | {"encrypted_content": broken})
            answer = await client.ask("responses", input=[ASKS, forged])
            assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_encrypted_content")
            assert answer.json["error"]["param"] == "input[1].encrypted_content"

    play(scenario)


# ------------------------------------------------------------------------------------------------- upstreams' own


@pytest.mark.parametrize("stream", [False, True])
def test_with_one_upstream_blobs_pass_untouched_on_the_raw_lane(stream: bool) -> None:
    async def scenario() -> None:
        async with Upstream(thinking_responses(stream)) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await ask(client, stream, **INCLUDE)
            assert reasoning_of(answer)["encrypted_content"] == BLOB
            await ask(client, stream, input=[ASKS, REASONING, {"type": "compaction", "encrypted_content": BLOB}])
            assert up.seen[1].json["input"][1:] == [REASONING, {"type": "compaction", "encrypted_content": BLOB}]

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_with_several_upstreams_a_blob_finds_its_maker_again(stream: bool) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(response())]) as other, Upstream(thinking_responses(stream)) as maker:
            one, two = upstream(maker.url, "responses", "maker"), upstream(other.url, "responses", "other")
            async with adapter(one, two, sealing=SEALING) as client:
                item = reasoning_of(await ask(client, stream, **INCLUDE))
                assert item["encrypted_content"].startswith("adapter:1:wrapped:maker:")
            async with adapter(two, one, sealing=SEALING) as client:  # now the other one would be first
                await ask(client, stream, input=[ASKS, item])
            assert other.seen == []
            assert maker.seen[1].json["input"][1] == REASONING

    play(scenario)


@pytest.mark.parametrize("spare", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_what_an_adapter_behind_this_one_sealed_goes_back_to_it(stream: bool, spare: bool) -> None:
    async def scenario() -> None:
        section = {"profile": "deepseek", "api_key": "none"}
        async with (
            Upstream(thinking_chat(stream), thinking_chat(False)) as up,
            Upstream([json_reply(response())]) as other,
            adapter(upstream(up.url, "chat", **section), sealing=OTHER_SEALING) as behind,
        ):
            sections = [upstream(f"http://127.0.0.1:{behind.port}/v1", "responses", "behind")]
            sections += [upstream(other.url, "responses", "other")] * spare
            async with adapter(*sections, sealing=SEALING) as client:
                item = reasoning_of(await ask(client, stream, **INCLUDE))
                await ask(client, False, input=given_back(item))
            (turn,) = [m for m in up.seen[1].json["messages"] if m["role"] == "assistant"]
            assert turn["reasoning_content"] == "because FACT-path"

    play(scenario)


@pytest.mark.parametrize("name", ["openai", "trigger", "threshold"])
def test_what_an_adapter_behind_this_one_compacted_is_read_by_it(name: str) -> None:
    async def scenario() -> None:
        peer = CompactPeer("none_chat")
        async with peered(peer, "up") as section, adapter(section, sealing=OTHER_SEALING) as behind:
            over = upstream(f"http://127.0.0.1:{behind.port}/v1", "responses", "behind", compact="compaction")
            async with adapter(over, sealing=SEALING) as client:
                answer = final(await asked(client, WAYS[name]))
                assert told(await continued(client, answer, WAYS[name])) == FACTS
        assert peer.problems == []

    play(scenario)


@pytest.mark.parametrize("losses", ["report", "reject"])
def test_reasoning_that_stays_behind_when_its_maker_fails_is_a_loss(losses: str) -> None:
    async def scenario() -> None:
        failing: Script = [json_reply({"error": {"message": "out of order"}}, 500)]
        async with (
            Upstream(thinking_responses(False), failing) as maker,
            Upstream([json_reply(response())]) as other,
            adapter(
                upstream(maker.url, "responses", "maker"),
                upstream(other.url, "responses", "other"),
                losses=losses,
                sealing=SEALING,
            ) as client,
        ):
            first = await ask(client, False, **INCLUDE)
            found = await client.ask("responses", input=[*first["output"], ASKS])
            if losses == "reject":
                assert (found.status, len(other.seen)) == (500, 0)
            else:
                assert (found.status, len(other.seen)) == (200, 1)
                assert found.headers["x-adapter-losses"] == "input;dropped"

    play(scenario)


@pytest.mark.parametrize("name", ["openai", "trigger", "threshold"])
def test_of_two_upstreams_the_maker_of_the_compaction_goes_on(name: str) -> None:
    async def scenario() -> None:
        one, two = CompactPeer("compaction"), CompactPeer("none_responses")
        async with peered(one, "one") as first, peered(two, "two") as second:
            async with adapter(first, second, sealing=SEALING) as client:
                answer = final(await asked(client, WAYS[name]))
                assert "peer:" not in json.dumps(answer)
            async with adapter(second, first, sealing=SEALING) as client:  # now the other one would be first
                assert told(await continued(client, answer, WAYS[name])) == FACTS
        assert two.seen == []
        assert one.problems == []

    play(scenario)


@pytest.mark.parametrize("name", ["openai", "trigger", "threshold"])
@pytest.mark.parametrize("hint", [{"provider": "one"}, {"model": "one/m"}])
def test_a_compaction_by_an_upstream_that_was_named_finds_it_again_without_the_name(
    name: str, hint: dict[str, str]
) -> None:
    async def scenario() -> None:
        one, two = CompactPeer("compaction"), CompactPeer("none_responses")
        way = replace(WAYS[name], body=WAYS[name].body | hint)
        async with peered(one, "one") as first, peered(two, "two") as second:
            async with adapter(second, first, sealing=SEALING) as client:
                answer = final(await asked(client, way))
                assert "peer:" not in json.dumps(answer)
                assert told(await continued(client, answer, WAYS[name])) == FACTS
        assert two.seen == []
        assert one.problems == []

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_a_blob_of_an_upstream_that_was_named_finds_it_again_without_the_name(stream: bool) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(response())]) as other, Upstream(thinking_responses(stream)) as maker:
            sections = upstream(other.url, "responses", "other"), upstream(maker.url, "responses", "maker")
            async with adapter(*sections, sealing=SEALING) as client:
                item = reasoning_of(await ask(client, stream, provider="maker", **INCLUDE))
                await ask(client, stream, input=[ASKS, item])
            assert other.seen == []
            assert maker.seen[1].json["input"][1] == REASONING

    play(scenario)


def test_a_conversation_whose_maker_is_gone_is_refused() -> None:
    async def scenario() -> None:
        one, two = CompactPeer("compaction"), CompactPeer("none_responses")
        async with peered(one, "one") as first, peered(two, "two") as second:
            async with adapter(first, second, sealing=SEALING) as client:
                answer = final(await asked(client, WAYS["openai"]))
            async with adapter(second, sealing=SEALING) as client:
                refused = await client.post("/v1/responses", {"model": "m", "input": [*answer["output"], ASKS]})
                assert (refused.status, refused.json["error"]["code"]) == (400, "invalid_encrypted_content")

    play(scenario)


@pytest.mark.parametrize("lane", ["raw", "hub"])
@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_that_the_upstream_cannot_open_is_left_out_and_asked_again_once(lane: str, stream: bool) -> None:
    async def scenario() -> None:
        refused = json_reply({"error": {"message": "no", "code": "invalid_encrypted_content"}}, 400)
        async with Upstream([refused], thinking_responses(stream)) as up, Upstream([refused]) as spare:
            sections = [upstream(up.url, "responses", "up")]
            sections += [upstream(spare.url, "responses", "spare")] * (lane == "hub")
            async with adapter(*sections) as client:
                await ask(client, stream, input=[ASKS, REASONING], **INCLUDE)
                assert [len(seen.json["input"]) for seen in up.seen] == [2, 1]

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_in_plain_words_is_left_out_for_a_server_that_takes_none(stream: bool) -> None:
    """OpenAI's, for a conversation that began with another model: `content` must be empty there."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    said = {**thought, "content": [{"type": "reasoning_text", "text": "Hm."}]}

    async def scenario() -> None:
        error = {"message": "too long", "code": "array_above_max_length", "param": "input[1].content"}
        refused = json_reply({"error": error}, 400)
        async with (
            Upstream([refused], thinking_responses(stream)) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            await ask(client, stream, input=[ASKS, said, thought])
            assert [seen.json["input"][1:] for seen in up.seen] == [[said, thought], [thought]]

    play(scenario)


@pytest.mark.parametrize(
    ("param", "items"), [("tools", 2), ("input[1].summary", 2), (None, 2), ("input[0].content", 1)]
)
def test_what_is_too_long_elsewhere_is_no_reasoning(param: str | None, items: int) -> None:
    """Nor is it left out where nothing else would be left."""
    said = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}

    async def scenario() -> None:
        error = {"message": "too long", "code": "array_above_max_length", "param": param}
        async with Upstream([json_reply({"error": error}, 400)]) as up:
            async with adapter(upstream(up.url, "responses")) as client:
                answer = await client.ask("responses", input=[said, ASKS][:items])
                assert (answer.status, answer.json["error"]["message"]) == (400, "too long")
                assert "x-adapter-losses" not in answer.headers
            assert len(up.seen) == 1

    play(scenario)


@pytest.mark.parametrize("code", ["invalid_encrypted_content", "array_above_max_length"])
def test_without_reasoning_to_leave_out_the_refusal_stands(code: str) -> None:
    async def scenario() -> None:
        refused = json_reply({"error": {"message": "no", "code": code}}, 400)
        async with Upstream([refused]) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("responses", input=[ASKS, {"type": "compaction", "encrypted_content": BLOB}])
            assert (answer.status, answer.json["error"]["code"]) == (400, code)
            assert len(up.seen) == 1

    play(scenario)
