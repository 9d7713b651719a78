"""What a server wants back with its answers, where the answers are stored here: it goes back, and stands in what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.server.harness import adapter, play, upstream
from tests.server.scripted import SSE, Script, Upstream, chat_reply, chat_stream, chunk, event, json_reply

DETAILS = [
    {"type": "reasoning.text", "text": "because", "signature": "EsQB", "format": "f", "index": 0},
    {"type": "reasoning.encrypted", "data": "gAAA", "id": "rs_1", "format": "f", "index": 1},
]
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOLS = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}


def signed(stream: bool, **more: Any) -> Script:
    """OpenRouter's answer, with `more` in its message."""
    if stream:
        pieces = [event(chunk({"reasoning_details": [one]})) for one in DETAILS]
        return [SSE, *pieces, event(chunk({"content": "Hello", **more})), *chat_stream("")[2:]]
    whole = chat_reply("Hello")
    whole["choices"][0]["message"] |= {"reasoning_details": DETAILS, **more}
    return [json_reply(whole)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("include", [[], ["reasoning.encrypted_content"]])
def test_a_turn_that_goes_on_from_a_stored_response_brings_its_reasoning_details_back(
    stream: bool, include: list[str], tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with (
            Upstream(signed(stream, tool_calls=[CALL]), [json_reply(chat_reply())]) as up,
            adapter(
                upstream(up.url, "chat", profile="openrouter", api_key="none"),
                store={"url": f"sqlite:///{tmp_path}/store.db"},
            ) as client,
        ):
            kept: dict[str, Any] = {"store": True, "tools": TOOLS, "include": include}
            first = await client.ask("responses", stream=stream, **kept)
            known = (first.events[-1]["response"] if stream else first.json)["id"]
            again = await client.ask("responses", previous_response_id=known, input=[OUTPUT], **kept)
            assert again.status == 200, again.body
            _, said, told = up.seen[1].json["messages"]
            assert (said["content"], said["tool_calls"][0]["id"], said["reasoning_details"]) == ("Hello", "c1", DETAILS)
            assert told["role"] == "tool"

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [1, 2])
def test_a_stored_completion_has_the_reasoning_details_of_each_choice(stream: bool, n: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*[signed(stream)] * n) as up,
            adapter(
                upstream(up.url, "chat", profile="openrouter", api_key="none"),
                store={"url": f"sqlite:///{tmp_path}/store.db"},
            ) as client,
        ):
            asked = await client.ask("chat", stream=stream, store=True, n=n)
            known = (asked.events[0] if stream else asked.json)["id"]
            found = await client.get(f"/v1/chat/completions/{known}")
            assert [one["message"]["reasoning_details"] for one in found.json["choices"]] == [DETAILS] * n

    play(scenario)
