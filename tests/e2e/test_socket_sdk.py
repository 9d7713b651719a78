"""The official SDK's `client.responses.connect()`, sync and async, over an upstream of each dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.validator import load

# the SDK opens its sync connection in the way that websockets 17.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context manager:DeprecationWarning")

validator = load()

MODELS = ["demo-chat", "demo-responses"]
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": False,
}
ENDS = {"response.completed", "response.incomplete", "response.failed", "error"}


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="sk-test", max_retries=0, timeout=30) as client:
        yield client


def answer(connection: Iterable[Any]) -> list[Any]:
    """The events of one response."""
    events = []
    for event in connection:
        events.append(event)
        if event.type in ENDS:
            break
    return events


def valid(events: list[BaseModel]) -> None:
    """The events hold to the official schema (checked where the reference validator is at hand)."""
    if validator is not None:
        dumped = [event.model_dump(exclude_unset=True, mode="json") for event in events]
        problems = validator.errors(validator.check_responses_events(dumped))
        assert not problems, validator.fmt(problems)


@pytest.mark.parametrize("model", MODELS)
class TestConnect:
    def test_events_are_those_of_a_stream(self, client: openai.OpenAI, model: str) -> None:
        with client.responses.connect() as connection:
            connection.response.create(model=model, input="Say hello")
            events = answer(connection)

        streamed = list(client.responses.create(model=model, input="Say hello", stream=True))
        valid(events)
        assert [event.type for event in events] == [event.type for event in streamed]
        assert events[-1].response.output_text == streamed[-1].response.output_text != ""  # type: ignore[union-attr]

    def test_a_conversation_of_turns_that_are_not_stored(self, client: openai.OpenAI, model: str) -> None:
        with client.responses.connect() as connection:
            connection.response.create(
                model=model, input="What is the weather in Paris?", tools=[TOOL], tool_choice="required", store=False
            )
            first = answer(connection)
            valid(first)
            (call,) = [item for item in first[-1].response.output if item.type == "function_call"]
            connection.response.create(
                model=model,
                previous_response_id=first[-1].response.id,
                input=[
                    {"type": "function_call_output", "call_id": call.call_id, "output": "11 degrees, raining frogs"}
                ],
                tools=[TOOL],
                store=False,
            )
            second = answer(connection)

        valid(second)
        assert "raining frogs" in second[-1].response.output_text

    def test_prepared_turn(self, client: openai.OpenAI, model: str) -> None:
        with client.responses.connect() as connection:
            connection.response.create(model=model, input="Be kind.", generate=False, store=False)
            ready = answer(connection)
            valid(ready)
            assert ready[-1].response.output == []
            assert ready[-1].response.usage.total_tokens == 0
            connection.response.create(
                model=model, previous_response_id=ready[-1].response.id, input="Say hello", store=False
            )
            assert answer(connection)[-1].response.output_text

    def test_two_lanes_of_one_connection(self, client: openai.OpenAI, model: str) -> None:
        said: dict[str, str] = {}
        with client.responses.connect() as connection:
            for name in ("Ada", "Bob"):
                connection.response.create(model=model, input=f"Say hello to {name}", stream_id=name)
            for event in connection:
                if event.type == "response.completed":
                    said[event.to_dict()["stream_id"]] = event.response.output_text  # type: ignore[assignment,index]
                    if len(said) == 2:
                        break

        assert said["Ada"]
        assert said["Bob"]
        assert said["Ada"] != said["Bob"]

    def test_errors_are_events_with_a_status(self, client: openai.OpenAI, model: str) -> None:
        with client.responses.connect() as connection:
            connection.response.create(model=model, input="Hi", previous_response_id="resp_of_nobody")
            (error,) = answer(connection)
            connection.response.create(model=model, input="Hi")
            assert answer(connection)[-1].type == "response.completed"

        assert (error.type, error.status) == ("error", 400)
        assert error.error.code == "previous_response_not_found"

    def test_two_connections_at_once(self, base_url: str, model: str) -> None:
        async def one(client: openai.AsyncOpenAI, text: str) -> str:
            async with client.responses.connect() as connection:
                await connection.response.create(model=model, input=text)
                async for event in connection:
                    if event.type == "response.completed":
                        return str(event.response.output_text)
            raise AssertionError("the connection ended before the response")

        async def run() -> list[str]:
            async with openai.AsyncOpenAI(base_url=base_url, api_key="sk-test", max_retries=0) as client:
                return await asyncio.gather(*(one(client, f"Say hello to {name}") for name in ("Ada", "Bob")))

        ada, bob = asyncio.run(run())
        assert ada
        assert bob
        assert ada != bob
