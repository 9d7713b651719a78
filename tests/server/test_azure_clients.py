"""Azure's clients at our door: the SDK's own class for it, and whoever writes the same."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.server.harness import ASK, adapter, play, upstream
from tests.server.scripted import Script, Upstream, chat_reply, chat_stream, json_reply, response, responses_stream

GOOD: dict[str, Script] = {"chat": [json_reply(chat_reply())], "responses": [json_reply(response())]}
STREAMS: dict[str, Script] = {"chat": chat_stream("Hel", "lo"), "responses": responses_stream()}
BOTH = ("chat", "responses")


def azure(port: int, **more: Any) -> openai.AsyncAzureOpenAI:
    return openai.AsyncAzureOpenAI(
        azure_endpoint=f"http://127.0.0.1:{port}",
        api_key="sk-azure",
        api_version="2025-04-01-preview",
        max_retries=0,
        **more,
    )


@pytest.mark.parametrize("speaks", BOTH)
@pytest.mark.parametrize("named", ["by the body", "by the path"])
def test_its_chats_are_answered_by_the_model_that_they_call_a_deployment(speaks: str, named: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(GOOD[speaks]) as up,
            adapter(upstream(up.url, speaks, models=["org/m"])) as client,
            azure(client.port, **({"azure_deployment": "org/m"} if named == "by the path" else {})) as sdk,
        ):
            model = "org/m" if named == "by the body" else "whatever"
            made = await sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}])

        assert made.choices[0].message.content == "Hello"
        assert up.seen[0].json["model"] == "org/m"
        assert (up.seen[0].headers["authorization"], "api-key" in up.seen[0].headers) == ("Bearer sk-azure", False)

    play(scenario)


@pytest.mark.parametrize("speaks", BOTH)
def test_its_streams_come(speaks: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(STREAMS[speaks]) as up,
            adapter(upstream(up.url, speaks)) as client,
            azure(client.port) as sdk,
        ):
            said = ""
            stream = await sdk.chat.completions.create(**ASK["chat"], stream=True)
            async for chunk in stream:
                said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            assert said == "Hello"

    play(scenario)


@pytest.mark.parametrize("speaks", BOTH)
def test_its_responses_and_models_are_there(speaks: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(GOOD[speaks]) as up,
            adapter(upstream(up.url, speaks, models=["m"])) as client,
            azure(client.port) as sdk,
        ):
            assert (await sdk.responses.create(model="m", input="Hi")).output_text == "Hello"
            assert [model.id async for model in await sdk.models.list()] == ["m"]

    play(scenario)


@pytest.mark.parametrize("path", ["/openai/v1/responses", "/openai/v1/chat/completions", "/openai/responses/compact"])
def test_the_paths_of_its_later_api_are_there(path: str) -> None:
    async def scenario() -> None:
        async with Upstream(GOOD["chat"]) as up, adapter(upstream(up.url, "chat")) as client:
            asked = ASK["chat" if "chat" in path else "responses"]
            assert (await client.post(path, asked, api_key="sk-azure")).status == 200
            assert up.seen[0].headers["authorization"] == "Bearer sk-azure"

    play(scenario)


def test_what_is_not_there_is_a_404_that_says_so() -> None:
    async def scenario() -> None:
        async with Upstream(GOOD["chat"]) as up, adapter(upstream(up.url, "chat")) as client:
            for path in ("/openai/", "/openai/deployments/m/embeddings", "/openai/openai/v1/responses"):
                assert (await client.post(path, ASK["chat"])).status == 404
            assert (await client.get("/openai/deployments/m/chat/completions")).headers["allow"] == "POST"

    play(scenario)
