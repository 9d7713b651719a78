"""Cursor over either kind of upstream."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter.conform import speaking
from adapter.hub.grammar import check_chat
from tests.server.harness import PATH, adapter, play, upstream
from tests.server.scripted import END, SSE, Script, Upstream, json_reply, piece

Json = dict[str, Any]
PATCH: Json = {"type": "custom", "name": "ApplyPatch"}
TEXT = '*** Begin Patch\n"quoted" ü'
BODIES: dict[str, Json] = {
    "agent": {"input": [{"role": "user", "content": "Hi"}]},
    "ask": {"messages": [{"role": "user", "content": "Hi"}]},
}


def patches(dialect: str, *, stream: bool) -> Script:
    """A model that patches, by a function where its server speaks Chat."""
    call: Json = {
        "id": "ctc_1",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "ApplyPatch",
    }
    if dialect == "chat":
        arguments = orjson.dumps({"input": TEXT}).decode()
        spoken = speaking.Spoken([{**call, "type": "function_call", "id": "fc_1", "arguments": arguments}], width=3)
        whole, events = speaking.chat_completion(spoken), speaking.chat_stream(spoken)
    else:
        spoken = speaking.Spoken([{**call, "input": TEXT}], width=3)
        whole, events = speaking.response(spoken), speaking.responses_stream(spoken)
    return [SSE, piece(events), END] if stream else [json_reply(whole)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("mode", BODIES)
def test_a_patch_is_a_call_of_a_function_with_its_text_for_arguments(mode: str, dialect: str, stream: bool) -> None:
    async def scenario() -> None:
        async with (
            Upstream(patches(dialect, stream=stream)) as up,
            adapter(upstream(up.url, dialect, profile="generic")) as client,
        ):
            answer = await client.post(PATH["chat"], {"model": "m", "tools": [PATCH], "stream": stream, **BODIES[mode]})
            sent = orjson.loads(up.seen[0].body)

        tool = sent["tools"][0]
        assert (tool["function"] if dialect == "chat" else tool)["name"] == "ApplyPatch"
        if stream:
            assert check_chat(answer.body) == []
            chunks = [orjson.loads(line[6:]) for line in answer.body.split(b"\n\n")[:-2]]
            calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
            assert {call.get("type", "function") for call in calls} == {"function"}
            assert calls[0]["function"]["name"] == "ApplyPatch"
            assert "".join(call["function"]["arguments"] for call in calls) == TEXT
        else:
            (call,) = orjson.loads(answer.body)["choices"][0]["message"]["tool_calls"]
            assert call["function"] == {"name": "ApplyPatch", "arguments": TEXT}

    play(scenario)
