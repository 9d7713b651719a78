"""The official SDK, both of its APIs, over the running adapter, over an upstream of each dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.validator import load

validator = load()

MODELS = ["demo-chat", "demo-responses"]
"""One name per upstream dialect."""

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT_TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather", "parameters": WEATHER},
}
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather",
    "parameters": WEATHER,
    "strict": False,
}
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="sk-test", max_retries=0, timeout=30) as client:
        yield client


def valid(value: BaseModel, kind: str) -> None:
    """The object holds to the official schema (checked where the reference validator is at hand)."""
    if validator is not None:
        problems = validator.errors(validator.check(value.model_dump(exclude_unset=True, mode="json"), kind))
        assert not problems, validator.fmt(problems)


def valid_events(events: list[BaseModel]) -> None:
    if validator is not None:
        dumped = [event.model_dump(exclude_unset=True, mode="json") for event in events]
        problems = validator.errors(validator.check_responses_events(dumped))
        assert not problems, validator.fmt(problems)


def valid_chunks(chunks: list[BaseModel]) -> None:
    if validator is not None:
        dumped = [chunk.model_dump(exclude_unset=True, mode="json") for chunk in chunks]
        problems = validator.errors(validator.check_chat_chunks(dumped))
        assert not problems, validator.fmt(problems)


# ------------------------------------------------------------------------------------------------- Chat Completions


@pytest.mark.parametrize("model", MODELS)
class TestChat:
    def test_plain_text(self, client: openai.OpenAI, model: str) -> None:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Say hello"}])

        valid(answer, "chat.response")
        assert answer.choices[0].message.content
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.total_tokens > 0

    def test_streamed_text_with_usage(self, client: openai.OpenAI, model: str) -> None:
        plain = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Say hello"}])
        chunks = list(
            client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": "Say hello"}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )

        valid_chunks(list(chunks))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == plain.choices[0].message.content
        assert chunks[-1].usage is not None

    def test_tool_call_and_its_answer(self, client: openai.OpenAI, model: str) -> None:
        messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
        answer = client.chat.completions.create(
            model=model, messages=messages, tools=[CHAT_TOOL], tool_choice="required"
        )
        valid(answer, "chat.response")
        assert answer.choices[0].finish_reason == "tool_calls"
        (call,) = answer.choices[0].message.tool_calls or []
        assert call.type == "function"
        assert call.function.name == "get_weather"

        messages += [
            answer.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "11 degrees and raining frogs"},
        ]
        final = client.chat.completions.create(model=model, messages=messages, tools=[CHAT_TOOL])
        assert "raining frogs" in (final.choices[0].message.content or "")

    def test_streamed_tool_call_through_the_helper(self, client: openai.OpenAI, model: str) -> None:
        with client.chat.completions.stream(
            model=model,
            messages=[{"role": "user", "content": "What is the weather in Paris?"}],
            tools=[CHAT_TOOL],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
        ) as stream:
            final = stream.get_final_completion()

        (call,) = final.choices[0].message.tool_calls or []
        assert call.function.name == "get_weather"
        assert call.function.arguments.startswith("{")
        assert final.choices[0].finish_reason == "tool_calls"

    def test_structured_output_is_parsed(self, client: openai.OpenAI, model: str) -> None:
        answer = client.chat.completions.parse(
            model=model, messages=[{"role": "user", "content": "Ada is 36"}], response_format=Person
        )

        assert isinstance(answer.choices[0].message.parsed, Person)

    def test_image_is_seen(self, client: openai.OpenAI, model: str) -> None:
        answer = client.chat.completions.create(
            model=model,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is in the picture?"},
                        {"type": "image_url", "image_url": {"url": PIXEL}},
                    ],
                }
            ],
        )

        assert "image/png" in (answer.choices[0].message.content or "")

    def test_reasoning_comes_as_reasoning_content(self, client: openai.OpenAI, model: str) -> None:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Think about it"}], reasoning_effort="high"
        )

        assert getattr(answer.choices[0].message, "reasoning_content", None)

    def test_several_choices(self, client: openai.OpenAI, model: str) -> None:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Say hello"}], n=2)

        valid(answer, "chat.response")
        assert [choice.index for choice in answer.choices] == [0, 1]

    def test_stop_sequence_cuts_the_answer(self, client: openai.OpenAI, model: str) -> None:
        whole = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Say hello to Bob"}])
        text = whole.choices[0].message.content or ""
        word = text.split()[1]

        cut = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Say hello to Bob"}], stop=[word]
        )
        assert cut.choices[0].message.content == text[: text.index(word)]
        assert cut.choices[0].finish_reason == "stop"

    def test_length_is_reported(self, client: openai.OpenAI, model: str) -> None:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "word " * 200}], max_completion_tokens=16
        )

        assert answer.choices[0].finish_reason == "length"

    def test_bad_request_raises_with_param(self, client: openai.OpenAI, model: str) -> None:
        with pytest.raises(openai.BadRequestError) as raised:
            client.chat.completions.create(model=model, messages=[{"role": "wizard", "content": "hi"}])  # type: ignore[list-item,misc]

        assert raised.value.param == "messages[0].role"

    def test_async_stream(self, client: openai.OpenAI, base_url: str, model: str) -> None:
        key = client.api_key

        async def run() -> str:
            async with openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
                stream = await client.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": "Say hello"}], stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

        assert asyncio.run(run())


# -------------------------------------------------------------------------------------------------------- Responses


@pytest.mark.parametrize("model", MODELS)
class TestResponses:
    def test_plain_text(self, client: openai.OpenAI, model: str) -> None:
        answer = client.responses.create(model=model, input="Say hello")

        valid(answer, "response")
        assert answer.output_text
        assert answer.status == "completed"
        assert answer.usage is not None
        assert answer.usage.total_tokens > 0

    def test_streamed_events_and_final_answer(self, client: openai.OpenAI, model: str) -> None:
        plain = client.responses.create(model=model, input="Say hello", instructions="Be kind.")
        events = list(client.responses.create(model=model, input="Say hello", instructions="Be kind.", stream=True))

        valid_events(list(events))
        assert events[0].type == "response.created"
        assert events[-1].type == "response.completed"
        assert events[-1].response.output_text == plain.output_text

    def test_stream_helper(self, client: openai.OpenAI, model: str) -> None:
        with client.responses.stream(model=model, input="Say hello") as stream:
            deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            final = stream.get_final_response()

        assert deltas == final.output_text != ""

    def test_tool_call_and_its_answer(self, client: openai.OpenAI, model: str) -> None:
        items: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
        answer = client.responses.create(model=model, input=items, tools=[TOOL], tool_choice="required")
        valid(answer, "response")
        (call,) = [item for item in answer.output if item.type == "function_call"]
        assert call.name == "get_weather"

        items += [item.model_dump(exclude_none=True) for item in answer.output]
        items.append(
            {"type": "function_call_output", "call_id": call.call_id, "output": "11 degrees and raining frogs"}
        )
        final = client.responses.create(model=model, input=items, tools=[TOOL])
        assert "raining frogs" in final.output_text

    def test_streamed_tool_call_through_the_helper(self, client: openai.OpenAI, model: str) -> None:
        with client.responses.stream(
            model=model,
            input="What is the weather in Paris?",
            tools=[TOOL],
            tool_choice={"type": "function", "name": "get_weather"},
        ) as stream:
            final = stream.get_final_response()

        (call,) = [item for item in final.output if item.type == "function_call"]
        assert call.arguments.startswith("{")

    def test_structured_output_is_parsed(self, client: openai.OpenAI, model: str) -> None:
        answer = client.responses.parse(model=model, input="Ada is 36", text_format=Person)

        assert isinstance(answer.output_parsed, Person)

    def test_image_is_seen(self, client: openai.OpenAI, model: str) -> None:
        answer = client.responses.create(
            model=model,
            input=[
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is in the picture?"},
                        {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
                    ],
                }
            ],
        )

        assert "image/png" in answer.output_text

    def test_file_is_read(self, client: openai.OpenAI, model: str) -> None:
        answer = client.responses.create(
            model=model,
            input=[
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is in the file?"},
                        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
                    ],
                }
            ],
        )

        assert "1 file(s): a.pdf" in answer.output_text

    def test_reasoning_is_an_item_before_the_message(self, client: openai.OpenAI, model: str) -> None:
        answer = client.responses.create(
            model=model, input="Think about it", reasoning={"effort": "high", "summary": "auto"}
        )

        valid(answer, "response")
        assert [item.type for item in answer.output] == ["reasoning", "message"]

    def test_length_is_incomplete(self, client: openai.OpenAI, model: str) -> None:
        answer = client.responses.create(model=model, input="word " * 200, max_output_tokens=16)

        valid(answer, "response")
        assert answer.status == "incomplete"
        assert answer.incomplete_details is not None
        assert answer.incomplete_details.reason == "max_output_tokens"

    def test_custom_tool_comes_back_as_a_custom_call(self, client: openai.OpenAI, model: str) -> None:
        events = list(
            client.responses.create(
                model=model,
                input="Use the tool",
                tools=[{"type": "custom", "name": "apply_patch", "description": "Edit files"}],
                tool_choice={"type": "custom", "name": "apply_patch"},
                stream=True,
            )
        )

        valid_events(list(events))
        (call,) = [item for item in events[-1].response.output if item.type == "custom_tool_call"]
        deltas = "".join(event.delta for event in events if event.type == "response.custom_tool_call_input.delta")
        assert call.name == "apply_patch"
        assert call.input == deltas != ""

    def test_bad_request_raises_with_param(self, client: openai.OpenAI, model: str) -> None:
        with pytest.raises(openai.BadRequestError) as raised:
            client.responses.create(model=model, input=[{"role": "wizard", "content": "hi"}])  # type: ignore[list-item,misc]

        assert raised.value.param == "input[0].role"

    def test_async_stream(self, client: openai.OpenAI, base_url: str, model: str) -> None:
        key = client.api_key

        async def run() -> list[str]:
            async with openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
                return [
                    event.type async for event in await client.responses.create(model=model, input="Hi", stream=True)
                ]

        assert asyncio.run(run())[-1] == "response.completed"


# ------------------------------------------------------------------------------------------------------- both APIs


def test_models_are_listed_for_both_kinds_of_client(client: openai.OpenAI) -> None:
    """One answer serves OpenAI clients (`data`) and Codex (`models`)."""
    listed = client.models.list()

    assert set(MODELS) <= {model.id for model in listed.data}
    assert set(MODELS) <= {model["slug"] for model in (listed.model_extra or {})["models"]}
    assert client.models.retrieve("demo-chat").id == "demo-chat"


def test_unknown_model_is_model_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.responses.create(model="nobody-serves-this", input="hi")

    assert raised.value.code == "model_not_found"


@pytest.mark.parametrize("suffix", ["", "/v1"])
def test_base_url_joined_in_every_way(base_url: str, suffix: str) -> None:
    """Clients leave out /v1 or double it."""
    url = base_url.removesuffix("/v1") if not suffix else base_url + suffix
    with openai.OpenAI(base_url=url, api_key="sk-test", max_retries=0) as client:
        assert client.responses.create(model="demo-chat", input="hi").output_text
