"""`compact = "auto"`: what an upstream can do is found out by asking it, and remembered."""

from __future__ import annotations

import pytest

from adapter.conform.compactors import CompactPeer
from tests.server.compacting import COMPACT, FACTS, WAYS, asked, continued, peered, told
from tests.server.harness import adapter, play, upstream
from tests.server.scripted import Upstream, json_reply, response, responses_stream

CALL = WAYS["openai"].body


def test_auto_tries_the_endpoint_once_and_then_summarises() -> None:
    async def scenario() -> None:
        peer = CompactPeer("none_responses")
        async with peered(peer, compact="auto") as section, adapter(section) as client:
            for _ in range(2):
                answer = await client.post(COMPACT, CALL)
                assert answer.status == 200
                assert told(await continued(client, answer.json, WAYS["openai"])) == FACTS
        assert peer.paths == ["/responses"] * 4, "the endpoint that is not there never saw a request"
        assert len(peer.problems) == 1, "and was asked once"

    play(scenario)


def test_auto_finds_the_endpoint_that_is_there() -> None:
    async def scenario() -> None:
        peer = CompactPeer("compaction")
        async with peered(peer, compact="auto") as section, adapter(section) as client:
            assert (await client.post(COMPACT, CALL)).status == 200
        assert peer.paths == ["/responses/compact"]

    play(scenario)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_any_way_to_say_that_there_is_no_endpoint_is_understood(status: int) -> None:
    async def scenario() -> None:
        absent = [json_reply(b"<html>no</html>", status)]
        async with (
            Upstream(absent, responses_stream("the summary")) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            answer = await client.post(COMPACT, CALL)
            assert answer.status == 200, answer.body
            assert [seen.line.split()[1] for seen in up.seen] == ["/v1/responses/compact", "/v1/responses"]

    play(scenario)


LITELLM = {
    "message": "litellm.APIConnectionError: COMPACT responses is not supported for gemini",
    "type": "internal_server_error",
    "param": None,
    "code": "500",
}


def test_a_gateway_that_compacts_for_one_model_and_not_for_another_is_asked_for_each_once() -> None:
    async def scenario() -> None:
        sealed = {"object": "response.compaction", "output": [{"type": "compaction", "encrypted_content": "gAAAAABo"}]}
        scripts = [[json_reply({"error": LITELLM}, 500)], *[responses_stream("the summary")] * 2, [json_reply(sealed)]]
        async with Upstream(*scripts) as up, adapter(upstream(up.url, "responses")) as client:
            for model in ("gemini", "gemini", "gpt"):
                answer = await client.post(COMPACT, CALL | {"model": model})
                assert answer.status == 200, answer.body
            assert [(seen.line.split()[1], seen.json["model"]) for seen in up.seen] == [
                ("/v1/responses/compact", "gemini"),
                ("/v1/responses", "gemini"),
                ("/v1/responses", "gemini"),
                ("/v1/responses/compact", "gpt"),
            ]

    play(scenario)


def test_a_server_that_answers_200_for_what_it_has_not_is_understood() -> None:
    async def scenario() -> None:
        lm_studio = {"error": "Unexpected endpoint or method. (POST /v1/responses/compact)"}
        async with (
            Upstream([json_reply(lm_studio)], responses_stream("the summary")) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            for _ in range(2):
                assert (await client.post(COMPACT, CALL)).status == 200
            assert len(up.seen) == 3

    play(scenario)


def test_a_failure_of_an_endpoint_that_is_there_is_told_and_not_taken_for_its_absence() -> None:
    async def scenario() -> None:
        boom = json_reply({"error": LITELLM | {"message": "litellm.InternalServerError: OpenAIException - boom"}}, 500)
        async with Upstream([boom]) as up, adapter(upstream(up.url, "responses")) as client:
            for _ in range(2):
                assert (await client.post(COMPACT, CALL)).status == 500
            assert {seen.line.split()[1] for seen in up.seen} == {"/v1/responses/compact"}

    play(scenario)


RETAINED = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"} | {
    "content": [{"type": "output_text", "text": "It runs."}]
}
SHELL = {"object": "response.compaction", "provider": "openai"} | {
    "output": [RETAINED, {"id": "cmp_001", "type": "compaction"}],
    "usage": {"input_tokens": 42897, "output_tokens": 12000, "total_tokens": 54912},
}


def test_a_compaction_whose_content_a_gateway_dropped_is_a_summary_of_ours_and_never_its_retained_messages() -> None:
    async def scenario() -> None:
        scripts = [[json_reply(SHELL)], *[responses_stream("the summary")] * 2]
        async with Upstream(*scripts) as up, adapter(upstream(up.url, "responses")) as client:
            for _ in range(2):
                answer = await client.post(COMPACT, CALL)
                assert answer.status == 200, answer.body
                assert answer.json["output"][-1]["encrypted_content"].startswith("adapter:")
            assert len(up.seen) == 3
        async with (
            Upstream([json_reply(SHELL)]) as up,
            adapter(upstream(up.url, "responses", compact="compaction")) as client,
        ):
            answer = await client.post(COMPACT, CALL)
            assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_invalid")

    play(scenario)


def test_an_item_that_the_upstream_does_not_keep_is_no_missing_endpoint() -> None:
    async def scenario() -> None:
        error = {"message": "Item with id 'rs_1' not found.", "type": "invalid_request_error", "param": "input"}
        sealed = {"object": "response.compaction", "output": [{"type": "compaction", "encrypted_content": "gAAAAABo"}]}
        async with (
            Upstream([json_reply({"error": error}, 404)], [json_reply(sealed)]) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            answer = await client.post(COMPACT, CALL)
            assert (answer.status, answer.json["error"]["param"]) == (404, "input")
            again = await client.post(COMPACT, CALL)
            assert again.status == 200, again.body
            assert [seen.line.split()[1] for seen in up.seen] == ["/v1/responses/compact"] * 2

    play(scenario)


def test_an_unknown_model_is_no_missing_endpoint() -> None:
    async def scenario() -> None:
        missing = json_reply({"error": {"message": "no such model", "code": "model_not_found"}}, 404)
        async with Upstream([missing]) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.post(COMPACT, CALL)
            assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
            assert len(up.seen) == 1

    play(scenario)


def test_an_upstream_with_openais_profile_gets_triggers_and_thresholds_as_they_are() -> None:
    async def scenario() -> None:
        section = {"profile": "openai", "api_key": "none"}
        async with (
            Upstream([json_reply(response())]) as up,
            adapter(upstream(up.url, "responses", **section)) as client,
        ):
            for name in ("trigger", "threshold"):
                answer = await asked(client, WAYS[name])
                assert answer.json["id"] == "resp_up1"
                assert up.seen[-1].json["input"] == WAYS[name].body["input"]
                assert up.seen[-1].json.get("context_management") == WAYS[name].body.get("context_management")

    play(scenario)
