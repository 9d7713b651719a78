"""What a Chat client hears of the reasoning of an upstream that tells it in summaries only, and of whom they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.server.compacting import COMPACT, MESSAGES
from tests.server.harness import PATH, Response, adapter, play, upstream
from tests.server.scripted import END, SSE, Script, Upstream, chat_reply, event, json_reply, response, responses_stream

GIVES = {"capabilities": {"reasoning_summary": "auto"}}
ASKED = {"summary": "auto"}
THOUGHTS = ("First this.", "Then that.")
TOLD = "First this.\n\nThen that."
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "f",
    "arguments": "{}",
    "status": "completed",
}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


def reasoned(*, stream: bool, calls: bool = False) -> Script:
    """An answer with a summary in two parts, and a text or a call behind it."""
    parts = [{"type": "summary_text", "text": text} for text in THOUGHTS]
    thought = {"type": "reasoning", "id": "rs_1", "summary": parts, "encrypted_content": "gAAA"}
    whole = response()
    said = CALL if calls else whole["output"][0]
    whole["output"] = [thought, said]
    if not stream:
        return [json_reply(whole)]
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": thought | {"summary": []}},
    ]
    for place, part in enumerate(parts):
        at = {"item_id": "rs_1", "output_index": 0, "summary_index": place}
        head, tail = part["text"][:3], part["text"][3:]
        events += [
            {"type": "response.reasoning_summary_part.added", **at, "part": part | {"text": ""}},
            {"type": "response.reasoning_summary_text.delta", **at, "delta": head},
            {"type": "response.reasoning_summary_text.delta", **at, "delta": tail},
            {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]},
            {"type": "response.reasoning_summary_part.done", **at, "part": part},
        ]
    events += [
        {"type": "response.output_item.done", "output_index": 0, "item": thought},
        {"type": "response.output_item.added", "output_index": 1, "item": said},
        {"type": "response.output_item.done", "output_index": 1, "item": said},
        {"type": "response.completed", "response": whole},
    ]
    numbered = (entry | {"sequence_number": number} for number, entry in enumerate(events))
    return [SSE, *(event(entry, entry["type"]) for entry in numbered), END]


def heard(answer: Response) -> tuple[str, str]:
    """The reasoning and the text of an answer."""
    assert answer.status == 200, answer.body
    if answer.headers["content-type"] == "application/json":
        said = [answer.json["choices"][0]["message"]]
    else:
        assert answer.events[-1] == "[DONE]"
        said = [chunk["choices"][0]["delta"] for chunk in answer.events[:-1] if chunk["choices"]]
    return tuple("".join(one.get(key) or "" for one in said) for key in ("reasoning_content", "content"))  # type: ignore[return-value]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_client_is_told_the_summary_that_was_asked_for_it(stream: bool, stored: bool, tmp_path: Path) -> None:
    async def scenario() -> None:
        store = {"url": f"sqlite:///{tmp_path}/store.db"}
        async with (
            Upstream(reasoned(stream=stream)) as up,
            adapter(upstream(up.url, "responses", **GIVES), store=store) as client,
        ):
            answer = await client.ask("chat", stream=stream, store=stored)
            assert heard(answer) == (TOLD, "Hello")
            assert up.seen[0].json["reasoning"] == ASKED
            if stored:
                known = answer.events[0]["id"] if stream else answer.json["id"]
                assert heard(await client.get(f"{PATH['chat']}/{known}")) == (TOLD, "Hello")

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_a_summary_stands_before_the_calls_and_goes_on_with_their_outputs(stream: bool) -> None:
    async def scenario() -> None:
        async with (
            Upstream(reasoned(stream=stream, calls=True), reasoned(stream=stream)) as up,
            adapter(upstream(up.url, "responses", **GIVES)) as client,
        ):
            first = await client.ask("chat", stream=stream, tools=TOOLS, reasoning_effort="high")
            assert heard(first) == (TOLD, "")
            function = {"name": "f", "arguments": "{}"}
            called = {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
            turns = [{"role": "assistant", "content": None, "reasoning_content": TOLD} | called]
            turns += [{"role": "tool", "tool_call_id": "call_1", "content": "done"}]
            messages = [{"role": "user", "content": "Hi"}, *turns]
            second = await client.ask("chat", stream=stream, tools=TOOLS, reasoning_effort="high", messages=messages)
            assert heard(second) == (TOLD, "Hello")
            assert [seen.json["reasoning"] for seen in up.seen] == [{"effort": "high"} | ASKED] * 2
            kinds = [item["type"] for item in up.seen[1].json["input"]]
            assert kinds == ["message", "function_call", "function_call_output"]  # it could not read its summary

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_client_that_asks_for_a_summary_itself_is_told_that_one(stream: bool) -> None:
    """Open WebUI and Kilo say it so, and all that know OpenRouter."""

    async def scenario() -> None:
        asked = {"effort": "high", "summary": "detailed"}
        for section in ({}, GIVES):
            async with (
                Upstream(reasoned(stream=stream)) as up,
                adapter(upstream(up.url, "responses", **section)) as client,
            ):
                answer = await client.ask("chat", stream=stream, reasoning=asked, text={"verbosity": "low"})
                assert heard(answer) == (TOLD, "Hello")
                assert "x-adapter-losses" not in answer.headers
                assert up.seen[0].json["reasoning"] == asked
                assert up.seen[0].json["text"]["verbosity"] == "low"

    play(scenario)


def test_over_a_chat_upstream_such_a_client_is_passed_on_as_it_came() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            said = {"reasoning": {"effort": "high", "exclude": True}, "text": {"verbosity": "low"}}
            assert (await client.ask("chat", **said)).status == 200
            assert {key: up.seen[0].json[key] for key in said} == said

    play(scenario)


def test_each_choice_has_its_summary() -> None:
    async def scenario() -> None:
        async with (
            Upstream(reasoned(stream=False)) as up,
            adapter(upstream(up.url, "responses", **GIVES)) as client,
        ):
            answer = await client.ask("chat", n=2)
            assert [one["message"]["reasoning_content"] for one in answer.json["choices"]] == [TOLD] * 2
            assert [seen.json["reasoning"] for seen in up.seen] == [ASKED] * 2

    play(scenario)


def test_a_responses_client_s_request_goes_on_as_it_came_and_is_counted_as_it_is() -> None:
    async def scenario() -> None:
        counted = json_reply({"object": "response.input_tokens", "input_tokens": 9})
        async with (
            Upstream([json_reply(response())], [counted]) as up,
            adapter(upstream(up.url, "responses", profile="openai", **GIVES)) as client,
        ):
            assert (await client.ask("responses")).status == 200
            assert (await client.post("/v1/responses/input_tokens", {"model": "m", "input": "Hi"})).json[
                "input_tokens"
            ] == 9
            assert [seen.json.get("reasoning") for seen in up.seen] == [None, None]

    play(scenario)


def test_a_model_that_summarises_the_conversation_thinks_for_nobody() -> None:
    async def scenario() -> None:
        async with (
            Upstream(responses_stream("the summary"), reasoned(stream=False)) as up,
            adapter(upstream(up.url, "responses", compact="none", **GIVES)) as client,
        ):
            answer = await client.post(COMPACT, {"model": "m", "messages": MESSAGES})
            assert heard(answer) == (TOLD, "Hello")
            assert [seen.json.get("reasoning") for seen in up.seen] == [None, ASKED]

    play(scenario)
