"""Responses streams that begin without `response.created`: no client's SDK reads them as they are."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.server.harness import adapter, play, upstream
from tests.server.scripted import END, SSE, Script, Sleep, Upstream, event

PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
TEXT = {"type": "output_text", "text": "Hello", "annotations": []}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": [TEXT]}
DELTAS = [{"type": "response.output_text.delta", **PLACE, "delta": piece} for piece in ("Hel", "lo")]
DONE = {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE}


def agent(*events: Any, done: bool = True) -> Script:
    """As MLflow's agents (Databricks) answer: in data lines only, behind which there may be a `[DONE]`."""
    return [SSE, *map(event, events), *([event(b"[DONE]")] if done else []), END]


@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_a_stream_without_a_beginning_is_given_one_and_an_end(pause: float) -> None:
    async def scenario() -> None:
        script = agent(*DELTAS, DONE)
        script[2:2] = [Sleep(pause)]
        async with Upstream(script) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("responses", stream=True, store=False)

        assert answer.types[0] == "response.created"
        assert answer.types.count("response.output_text.delta") == 2
        assert answer.types[-1] == "response.completed"
        assert [item["content"][0]["text"] for item in answer.events[-1]["response"]["output"]] == ["Hello"]

    play(scenario)


@pytest.mark.parametrize(
    "script",
    [
        agent(*DELTAS),
        agent(*DELTAS, done=False),
        agent(*DELTAS, DONE, done=False),
        agent(*DELTAS, {"error": "boom"}),
        agent(*DELTAS, DONE, {"type": "response.error", "message": "boom"}),
    ],
)
def test_one_that_breaks_off_has_failed(script: Script) -> None:
    async def scenario() -> None:
        async with Upstream(script) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("responses", stream=True, store=False)

        assert answer.types[-2:] == ["error", "response.failed"]

    play(scenario)


def test_the_sdk_reads_it_to_its_end() -> None:
    async def scenario() -> None:
        async with Upstream(agent(*DELTAS, DONE)) as up, adapter(upstream(up.url, "responses")) as client:
            base = f"http://127.0.0.1:{client.port}/v1"
            async with openai.AsyncOpenAI(base_url=base, api_key="sk-x", max_retries=0) as sdk:
                async with sdk.responses.stream(model="m", input="Hi", store=False) as stream:
                    final = await stream.get_final_response()
        assert (final.output_text, final.status) == ("Hello", "completed")

    play(scenario)


def test_the_same_is_said_where_the_answer_is_stored() -> None:
    async def scenario() -> None:
        scripts = [agent(*DELTAS, DONE)] * 2
        async with Upstream(*scripts) as up, adapter(upstream(up.url, "responses"), store={"mode": "client"}) as client:
            answers = [await client.ask("responses", stream=True, store=kept) for kept in (False, True)]
        assert answers[0].types == answers[1].types

    play(scenario)
