"""`/v1/responses/compact` and its kin beside the table: what fails, what is refused, what it costs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
import pytest

from adapter.conform.compactors import KINDS, CompactPeer, Kind
from tests.server.compacting import (
    ASKS,
    COMPACT,
    FACTS,
    HISTORY,
    KEY,
    MESSAGES,
    WAYS,
    asked,
    continued,
    final,
    peered,
    told,
)
from tests.server.harness import adapter, play, request_bytes, upstream
from tests.server.scripted import (
    END,
    SSE,
    Script,
    Sleep,
    Stall,
    Upstream,
    chat_stream,
    chunk,
    event,
    json_reply,
    responses_stream,
)

CALL = WAYS["openai"].body


# ------------------------------------------------------------------------------------------------ replies and routes


@pytest.mark.parametrize("path", ["/v1/responses/compact", "/responses/compact", "/v1/v1/responses/compact"])
def test_every_spelling_of_the_path_is_there(path: str) -> None:
    async def scenario() -> None:
        async with peered(CompactPeer("none_chat")) as section, adapter(section) as client:
            assert (await client.post(path, CALL)).json["object"] == "response.compaction"

    play(scenario)


def test_the_configuration_chooses_the_reply_and_the_header_overrides_it() -> None:
    async def scenario() -> None:
        compaction = {"reply": "response", "replies": {"gpt-*": "gomodel"}}
        async with (
            peered(CompactPeer("none_chat")) as section,
            adapter(section, compaction=compaction) as client,
        ):
            plain = await client.post(COMPACT, CALL)
            gomodel = await client.post(COMPACT, CALL | {"model": "gpt-5.3-codex"})
            header = await client.post(COMPACT, CALL, x_adapter_compact_reply="compaction")
            assert "provider" not in plain.json
            assert plain.json["object"] == "response"
            assert gomodel.json["provider"] == "up"
            assert header.json["object"] == "response.compaction"
            wrong = await client.post(COMPACT, CALL, x_adapter_compact_reply="zip")
            assert (wrong.status, wrong.json["error"]["param"]) == (400, "x-adapter-compact-reply")

    play(scenario)


def keyed(*keys: tuple[str, str]) -> dict[str, Any]:
    """Configuration of keys: id and owner by one name, and a group of the same name."""
    return {
        "keys": [{"id": name, "key": secret, "owner": name, "groups": [name]} for name, secret in keys],
        "groups": [{"name": name, "upstreams": ["up"] if name == "bob" else ["*"]} for name, _ in keys],
    }


ALICE, BOB = "ak-alice-" + "a" * 30, "ak-bob-" + "b" * 30


def test_a_key_has_a_reply_of_its_own() -> None:
    async def scenario() -> None:
        compaction = {"replies": {"*": "gomodel"}, "key_replies": {"bob": "response"}}
        async with (
            peered(CompactPeer("none_chat"), api_key="none") as section,
            adapter(section, compaction=compaction, access=keyed(("alice", ALICE), ("bob", BOB))) as client,
        ):
            alice = await client.post(COMPACT, CALL, authorization=f"Bearer {ALICE}")
            bob = await client.post(COMPACT, CALL, authorization=f"Bearer {BOB}")
            header = await client.post(
                COMPACT, CALL, authorization=f"Bearer {BOB}", x_adapter_compact_reply="compaction"
            )
            assert alice.json["provider"] == "up"
            assert (bob.json["object"], "provider" in bob.json) == ("response", False)
            assert header.json["object"] == "response.compaction"

    play(scenario)


def test_a_compaction_opens_for_its_owner_and_for_nobody_else() -> None:
    async def scenario() -> None:
        async with (
            peered(CompactPeer("none_chat"), api_key="none") as section,
            adapter(section, access=keyed(("alice", ALICE), ("bob", BOB))) as client,
        ):
            made = await client.post(COMPACT, CALL, authorization=f"Bearer {ALICE}")
            going_on = {"model": "m", "input": [*made.json["output"], {"role": "user", "content": "go on"}]}
            hers = await client.post("/v1/responses", going_on, authorization=f"Bearer {ALICE}")
            his = await client.post("/v1/responses", going_on, authorization=f"Bearer {BOB}")
            assert hers.status == 200
            assert (his.status, his.json["error"]["code"]) == (400, "invalid_encrypted_content")

    play(scenario)


def test_a_history_is_summarised_by_no_upstream_that_its_caller_may_not_use() -> None:
    async def scenario() -> None:
        main, cheap = CompactPeer("none_responses"), CompactPeer("none_chat")
        async with (
            peered(main, "up", models=["m"], api_key="none") as one,
            peered(cheap, "cheap", models=["small"], api_key="none") as two,
            adapter(one, two, compaction={"model": "small"}, access=keyed(("alice", ALICE), ("bob", BOB))) as client,
        ):
            assert (await client.post(COMPACT, CALL, authorization=f"Bearer {BOB}")).status == 200
            assert ([body["model"] for _, body in main.seen], cheap.seen) == (["m"], [])
            assert (await client.post(COMPACT, CALL, authorization=f"Bearer {ALICE}")).status == 200
            assert [body["model"] for _, body in cheap.seen] == ["small"]

    play(scenario)


def test_another_model_may_summarise_even_on_another_upstream() -> None:
    async def scenario() -> None:
        main, cheap = CompactPeer("none_responses"), CompactPeer("none_chat")
        async with (
            peered(main, "main", models=["m"]) as one,
            peered(cheap, "cheap", models=["small"]) as two,
            adapter(one, two, compaction={"model": "small"}) as client,
        ):
            answer = await client.post(COMPACT, CALL)
            assert told(await continued(client, answer.json, WAYS["openai"])) == FACTS
        assert [body["model"] for _, body in cheap.seen] == ["small"]
        assert [body["model"] for _, body in main.seen] == ["m"]

    play(scenario)


@pytest.mark.parametrize(("status", "times"), [(429, 1), (401, 1), (402, 1), (500, 5)])
def test_a_summariser_that_fails_is_left_alone_and_who_answers_the_turn_is_not(status: int, times: int) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply({"error": {"message": "no"}}, status, "retry-after: 60")]) as small,
            Upstream(chat_stream("the summary")) as main,
            adapter(
                upstream(main.url, "chat", "main", models=["m"], api_key="k1"),
                upstream(small.url, "chat", "small", models=["small"], api_key="k2"),
                compaction={"model": "small"},
            ) as client,
        ):
            for _ in range(5):
                found = await client.post(COMPACT, CALL)
                assert found.status == 200, found.body
            assert (await client.ask("chat", stream=True)).status == 200
            assert (len(small.seen), len(main.seen)) == (times, 6)

    play(scenario)


def test_a_summarising_model_that_is_limited_does_not_keep_the_others_of_its_upstream_from_answering() -> None:
    async def scenario() -> None:
        limited = [json_reply({"error": {"message": "slow down"}}, 429, "retry-after: 60")]
        async with (
            Upstream(limited, chat_stream("the summary")) as up,
            adapter(upstream(up.url, "chat", api_key="k"), compaction={"model": "small"}) as client,
        ):
            assert (await client.post(COMPACT, CALL)).status == 200
            assert (await client.post(COMPACT, CALL)).status == 200
            assert [seen.json["model"] for seen in up.seen] == ["small", "m", "m"]

    play(scenario)


def test_a_short_history_is_forwarded_untouched() -> None:
    async def scenario() -> None:
        peer = CompactPeer("none_chat")
        body = {"model": "m", "messages": [*MESSAGES[:2], *MESSAGES[-2:]]}
        async with peered(peer) as section, adapter(section) as client:
            assert (await client.post(COMPACT, body)).status == 200
        ((path, sent),) = peer.seen
        assert (path, sent["messages"]) == ("/chat/completions", body["messages"])

    play(scenario)


def test_the_turn_that_goes_on_is_never_compacted() -> None:
    async def scenario() -> None:
        peer = CompactPeer("none_chat")
        open_turn = [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_9", "type": "function", "function": {"name": "shell", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "call_9", "content": "the open exchange"},
        ]
        async with peered(peer) as section, adapter(section) as client:
            answer = await client.post(COMPACT, {"model": "m", "messages": [*MESSAGES, *open_turn]})
            assert answer.status == 200
        assert peer.problems == []
        sent = peer.seen[-1][1]["messages"]
        assert sent[0] == MESSAGES[0]
        assert [message["role"] for message in sent[-3:]] == ["user", "assistant", "tool"]
        assert sent[-3]["content"] == MESSAGES[-1]["content"]
        assert sent[-1] == open_turn[-1]
        assert len(str(sent)) < len(str(MESSAGES)) / 5

    play(scenario)


def test_below_the_threshold_nothing_is_compacted() -> None:
    async def scenario() -> None:
        peer = CompactPeer("none_chat")
        way = WAYS["threshold"]
        body = way.body | {"context_management": [{"type": "compaction", "compact_threshold": 900_000}]}
        async with peered(peer) as section, adapter(section) as client:
            answer = await client.post(way.path, body)
            assert [item["type"] for item in answer.json["output"]] == ["message"]
            assert "x-adapter-losses" not in answer.headers
        assert len(peer.seen) == 1

    play(scenario)


# ------------------------------------------------------------------------------------------------------------- usage


def test_usage_is_the_sum_of_all_calls_and_the_header_says_where_it_comes_from() -> None:
    async def scenario() -> None:
        peer = CompactPeer("none_chat")
        async with peered(peer) as section, adapter(section) as client:
            for name, calls in (("openai", 1), ("visioncoder", 2), ("threshold", 2), ("trigger", 1)):
                answer = await asked(client, WAYS[name])
                usage = answer.json["usage"]
                assert usage.get("input_tokens", usage.get("prompt_tokens")) == 7 * calls, name
                assert usage["total_tokens"] == 12 * calls
                assert answer.headers["x-adapter-token-count"] == "usage"

    play(scenario)


def test_usage_that_no_upstream_reports_is_estimated_and_the_header_says_so() -> None:
    async def scenario() -> None:
        stream = [SSE, event(chunk({"content": "the summary"}, "stop")), event(b"[DONE]"), END]
        async with Upstream(stream) as up, adapter(upstream(up.url, "chat", compact="none")) as client:
            answer = await client.post(COMPACT, CALL)
            assert answer.headers["x-adapter-token-count"] == "estimate"
            assert answer.json["usage"]["input_tokens"] > 1000

    play(scenario)


def test_calls_for_a_summary_always_stream() -> None:
    async def scenario() -> None:
        async with Upstream(chat_stream("sum")) as up, adapter(upstream(up.url, "chat")) as client:
            assert (await client.post(COMPACT, CALL)).status == 200
            assert up.seen[0].json["stream"] is True

    play(scenario)


# ----------------------------------------------------------------------------------------------------------- failing


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_an_empty_summary_is_asked_for_twice_and_then_an_error(dialect: str) -> None:
    async def scenario() -> None:
        script = chat_stream("") if dialect == "chat" else responses_stream("")
        async with Upstream(script) as up, adapter(upstream(up.url, dialect, compact="none")) as client:
            answer = await client.post(COMPACT, CALL)
            assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_error")
            assert len(up.seen) == 2

    play(scenario)


@pytest.mark.parametrize("delta", [{"content": ""}, {"refusal": "No."}])
def test_histories_that_a_model_will_not_summarise_do_not_keep_its_upstream_from_everybody(
    delta: dict[str, Any],
) -> None:
    async def scenario() -> None:
        nothing = [SSE, event(chunk(delta)), event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with Upstream(nothing) as up, adapter(upstream(up.url, "chat")) as client:
            for _ in range(6):
                assert (await client.post(COMPACT, CALL)).status == 502
            assert len(up.seen) == 12
            assert (await client.ask("chat", stream=True)).status == 200

    play(scenario)


EMPTY: dict[str, Any] = {"object": "response.compaction", "output": []}
SHELL: dict[str, Any] = EMPTY | {"output": [{"id": "cmp_1", "type": "compaction"}]}


@pytest.mark.parametrize(
    ("kind", "script"),
    [("compaction", [json_reply(EMPTY)]), ("compaction", [json_reply(SHELL)]), ("trigger", responses_stream("Hello"))],
    ids=["empty", "without_content", "trigger_ignored"],
)
def test_compactions_that_an_upstream_answers_without_one_do_not_keep_it_from_everybody(
    kind: str, script: Script
) -> None:
    async def scenario() -> None:
        async with Upstream(script) as up, adapter(upstream(up.url, "responses", compact=kind)) as client:
            for _ in range(6):
                answer = await client.post(COMPACT, CALL)
                assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_invalid")
            up.scripts = [responses_stream("Hello")]
            assert (await client.ask("responses", stream=True)).status == 200

    play(scenario)


def test_a_summary_that_one_model_will_not_give_is_asked_of_the_next() -> None:
    async def scenario() -> None:
        async with (
            Upstream(chat_stream("")) as first,
            Upstream(chat_stream("the summary")) as second,
            adapter(upstream(first.url, "chat", "first"), upstream(second.url, "chat", "second")) as client,
        ):
            assert (await client.post(COMPACT, CALL)).status == 200
            assert (len(first.seen), len(second.seen)) == (2, 1)

    play(scenario)


def test_an_empty_answer_of_the_endpoint_is_asked_for_twice_and_then_an_error() -> None:
    async def scenario() -> None:
        empty = json_reply({"object": "response.compaction", "output": []})
        async with Upstream([empty]) as up, adapter(upstream(up.url, "responses", compact="compaction")) as client:
            answer = await client.post(COMPACT, CALL)
            assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_invalid")
            assert len(up.seen) == 2

    play(scenario)


@pytest.mark.parametrize("kind", ["none", "compaction", "trigger"])
def test_on_failure_trim_the_history_is_cut_by_rules(kind: str) -> None:
    async def scenario() -> None:
        broken = json_reply({"error": {"message": "out of order"}}, 500)
        compaction = {"on_failure": "trim", "trim_tokens": 2000}
        async with (
            Upstream([broken]) as up,
            adapter(upstream(up.url, "responses", compact=kind), compaction=compaction) as client,
        ):
            answer = await client.post(COMPACT, CALL)
            assert answer.status == 200, answer.body
            assert answer.json["output"][-1]["type"] == "compaction"
            assert len(up.seen) == 1

    play(scenario)


def test_the_strategy_trim_asks_nobody() -> None:
    async def scenario() -> None:
        peer = CompactPeer("compaction")
        async with peered(peer) as section, adapter(section, compaction={"strategy": "trim"}) as client:
            answer = await client.post(COMPACT, CALL)
            assert answer.status == 200
            assert peer.seen == []
            assert told(await continued(client, answer.json, WAYS["openai"])) == FACTS

    play(scenario)


def test_a_long_compaction_keeps_its_client_with_white_space_and_ends_in_json() -> None:
    async def scenario() -> None:
        slow = [SSE, event(chunk({"content": "the "})), Sleep(0.6), *chat_stream("summary")[1:]]
        async with (
            Upstream(slow) as up,
            adapter(upstream(up.url, "chat"), commit_after=0.1, keepalive=0.1) as client,
        ):
            answer = await client.post(COMPACT, CALL)
            assert answer.status == 200
            assert answer.whole
            assert answer.pieces[0] == b" "
            assert len(answer.pieces) > 3
            assert answer.json["output"][-1]["type"] == "compaction"

    play(scenario)


@pytest.mark.parametrize("kind", ["none", "compaction"])
def test_a_failure_after_the_commit_breaks_the_connection(kind: str) -> None:
    async def scenario() -> None:
        slow: list[Any] = [Sleep(0.4), json_reply({"error": {"message": "too late"}}, 500)]
        async with (
            Upstream(slow) as up,
            adapter(upstream(up.url, "responses", compact=kind), commit_after=0.1, keepalive=0.1) as client,
        ):
            answer = await client.post(COMPACT, CALL)
            assert answer.status == 200
            assert not answer.whole
            assert answer.body.strip() == b""

    play(scenario)


@pytest.mark.parametrize("name", ["trigger", "threshold", "visioncoder"])
def test_a_streamed_compaction_that_fails_late_is_one_failure_of_the_stream(name: str) -> None:
    async def scenario() -> None:
        slow: list[Any] = [Sleep(0.4), json_reply({"error": {"message": "too late"}}, 500)]
        async with (
            Upstream(slow) as up,
            adapter(upstream(up.url, "responses", compact="none"), commit_after=0.1, keepalive=0.1) as client,
        ):
            answer = await asked(client, WAYS[name], stream=True)
            assert answer.status == 200
            assert answer.whole
            if name == "visioncoder":
                assert "error" in answer.events[-1]
                assert b"[DONE]" not in answer.body
            else:
                assert answer.types == ["response.created", "error", "response.failed"]

    play(scenario)


@pytest.mark.parametrize("name", sorted(WAYS))
def test_an_early_failure_is_a_status(name: str) -> None:
    async def scenario() -> None:
        refused = json_reply({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, 429, "retry-after: 7")
        async with Upstream([refused]) as up, adapter(upstream(up.url, "responses", compact="none")) as client:
            answer = await asked(client, WAYS[name])
            assert (answer.status, answer.headers["retry-after"]) == (429, "7")

    play(scenario)


def test_an_overlong_history_is_summarised_in_pieces_that_fit() -> None:
    async def scenario() -> None:
        long = json_reply({"error": {"message": "x", "code": "context_length_exceeded"}}, 400)
        scripts = [[long], *(chat_stream(f"part {number}") for number in range(30))]
        async with Upstream(*scripts) as up, adapter(upstream(up.url, "chat", window=16_384)) as client:
            body = CALL | {"input": [*HISTORY * 4, ASKS]}
            answer = await client.post(COMPACT, body)
            assert answer.status == 200, answer.body
            sizes = [len(seen.body) for seen in up.seen[1:]]
            assert len(sizes) > 2
            assert max(sizes) < len(up.seen[0].body)

    play(scenario)


# --------------------------------------------------------------------------------------------------------- bad input


BAD: list[tuple[str, dict[str, Any], str]] = [
    (COMPACT, {"model": "m", "input": []}, "input"),
    (COMPACT, {"model": "m", "input": ""}, "input"),
    (COMPACT, {"model": "m"}, "input"),
    (COMPACT, {"input": "hi"}, "model"),
    (COMPACT, {"messages": MESSAGES}, "model"),
    (COMPACT, {"model": "m", "input": "hi", "messages": MESSAGES}, "input"),
    (COMPACT, {"model": "m", "input": "hi", "stream": True}, "stream"),
    (COMPACT, {"model": "m", "input": [1]}, "input[0]"),
    (COMPACT, {"model": "m", "previous_response_id": "resp_x"}, "previous_response_id"),
    (COMPACT, {"model": "m", "input": "hi", "conversation": "conv_1"}, "conversation"),
    (COMPACT, {"model": "m", "input": "hi", "provider": "nobody"}, "provider"),
    (COMPACT, {"model": "m", "input": [{"role": "user", "content": [{"input_audio": {}}]}]}, "input[0].content[0]"),
    ("/v1/responses", {"model": "m", "input": [{"type": "compaction_trigger"}]}, "input[0]"),
    ("/v1/responses", {"model": "m", "input": [ASKS, {"type": "compaction_trigger"}, ASKS]}, "input[1]"),
    ("/v1/responses", {"model": "m", "input": [ASKS, *[{"type": "compaction_trigger"}] * 2]}, "input[2]"),
    (
        "/v1/responses",
        {"model": "m", "input": "x", "context_management": [{"type": "compaction", "compact_threshold": 999}]},
        "context_management[0].compact_threshold",
    ),
]


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize(("path", "body", "param"), BAD)
def test_bad_input_is_refused_before_any_call(dialect: str, path: str, body: dict[str, Any], param: str) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({}, 500)]) as up, adapter(upstream(up.url, dialect)) as client:
            answer = await client.post(path, body)
            assert (answer.status, answer.json["error"]["param"]) == (400, param), answer.body
            assert up.seen == []

    play(scenario)


def test_of_two_compactions_the_newest_counts() -> None:
    async def scenario() -> None:
        peer = CompactPeer("none_chat")
        async with peered(peer) as section, adapter(section) as client:
            old = (await client.post(COMPACT, {"model": "m", "input": "I say FACT-old"})).json["output"]
            new = (await client.post(COMPACT, CALL)).json["output"]
            answer = await client.post("/v1/responses", {"model": "m", "input": [*old, *new, ASKS]})
            assert answer.status == 200
            assert told(answer.json) == FACTS
            assert b"FACT-old" not in answer.body

    play(scenario)


def test_a_compaction_survives_a_restart_and_the_rotation_of_keys_but_not_their_loss() -> None:
    async def scenario() -> None:
        async with peered(CompactPeer("none_chat")) as section:
            async with adapter(section, sealing={"keys": [KEY]}) as client:
                output = (await client.post(COMPACT, CALL)).json
            async with adapter(section, sealing={"keys": ["B" * 43 + "=", KEY]}) as client:
                assert told(await continued(client, output, WAYS["openai"])) == FACTS
            async with adapter(section, sealing={"keys": ["B" * 43 + "="]}) as client:
                refused = await client.post("/v1/responses", {"model": "m", "input": [*output["output"], ASKS]})
                assert (refused.status, refused.json["error"]["code"]) == (400, "invalid_encrypted_content")

    play(scenario)


def test_the_blob_of_someone_else_is_refused_over_chat() -> None:
    async def scenario() -> None:
        async with peered(CompactPeer("none_chat")) as section, adapter(section) as client:
            foreign = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAAABo"}
            answer = await client.post("/v1/responses", {"model": "m", "input": [foreign, ASKS]})
            assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_encrypted_content")
            assert answer.json["error"]["param"] == "input[0].encrypted_content"

    play(scenario)


def test_a_streamed_trigger_ends_as_the_plain_one() -> None:
    async def scenario() -> None:
        async with peered(CompactPeer("none_chat")) as section, adapter(section, sealing={"keys": [KEY]}) as client:
            plain = final(await asked(client, WAYS["trigger"]))
            streamed = final(await asked(client, WAYS["trigger"], stream=True))
            (one,), (other,) = plain["output"], streamed["output"]
            assert one["encrypted_content"] == other["encrypted_content"]
            assert plain["usage"] == streamed["usage"]

    play(scenario)


@pytest.mark.parametrize("kind", ["none", "compaction"])
def test_a_client_that_leaves_stops_the_compaction(kind: str) -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "responses", compact=kind)) as client:
            body = request_bytes("POST", COMPACT, orjson.dumps(CALL), content_type="application/json")
            _, writer = await client.open(body)
            await up.arrived.wait()
            writer.close()
            await asyncio.wait_for(up.seen[0].finished.wait(), 2)

    play(scenario)


def test_what_cannot_be_written_again_is_refused_not_a_defect() -> None:
    async def scenario() -> None:
        deep: Any = "x"
        for _ in range(400):
            deep = {"a": deep}
        item = {"type": "additional_tools", "role": "developer", "tools": [], "extra": deep}
        async with Upstream(chat_stream("sum")) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.post(COMPACT, json.dumps({"model": "m", "input": [item, ASKS]}).encode())
            assert answer.status == 400, answer.body

    play(scenario)


def test_a_setting_that_the_endpoint_does_not_take_is_a_reported_loss() -> None:
    async def scenario() -> None:
        async with peered(CompactPeer("compaction")) as section, adapter(section) as client:
            answer = await client.post(COMPACT, CALL | {"reasoning": {"effort": "low"}})
            assert answer.headers["x-adapter-losses"] == "reasoning;dropped"
        async with peered(CompactPeer("compaction")) as section, adapter(section, losses="reject") as client:
            answer = await client.post(COMPACT, CALL | {"reasoning": {"effort": "low"}})
            assert (answer.status, answer.json["error"]["param"]) == (400, "reasoning")

    play(scenario)


def test_metadata_is_a_reported_loss_where_the_reply_has_none() -> None:
    async def scenario() -> None:
        async with peered(CompactPeer("none_chat")) as section, adapter(section) as client:
            for reply, lost in (("compaction", "metadata;dropped"), ("response", None), ("gomodel", None)):
                asked = CALL | {"metadata": {"k": "v"}}
                answer = await client.post(COMPACT, asked, x_adapter_compact_reply=reply)
                assert answer.headers.get("x-adapter-losses") == lost
                assert (answer.json.get("metadata") == {"k": "v"}) is (lost is None)

    play(scenario)


def test_a_field_that_no_compaction_heeds_is_a_reported_loss() -> None:
    async def scenario() -> None:
        async with peered(CompactPeer("none_chat")) as section, adapter(section) as client:
            answer = await client.post(COMPACT, CALL | {"temperature": 0.5, "vendor": 1})
            assert answer.headers["x-adapter-losses"] == "temperature;dropped, vendor;dropped"
        async with peered(CompactPeer("none_chat")) as section, adapter(section, losses="reject") as client:
            answer = await client.post(COMPACT, CALL | {"temperature": 0.5})
            assert (answer.status, answer.json["error"]["param"]) == (400, "temperature")

    play(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trigger_is_one_compaction_also_where_the_history_passes_a_threshold(kind: Kind) -> None:
    both = WAYS["trigger"].body | {"context_management": WAYS["threshold"].body["context_management"]}

    async def scenario() -> None:
        peer = CompactPeer(kind)
        async with peered(peer) as section, adapter(section) as client:
            answer = await client.post("/v1/responses", both)
            assert answer.status == 200, answer.body
            assert [item["type"] for item in answer.json["output"]] == ["compaction"]
            assert told(await continued(client, answer.json, WAYS["trigger"])) == FACTS
            assert peer.problems == []

    play(scenario)
