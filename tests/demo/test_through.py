"""The demo behind the translation: what each client asks of it, it gets, over an upstream of the other dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapter import translate
from adapter.conform.laws import essence, folded
from adapter.hub.grammar import check_chat, check_responses
from tests.demo.asgi import call
from tests.demo.test_demo import CHAT, RESPONSES

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}


@pytest.mark.parametrize("body", CHAT.values(), ids=CHAT)
def test_a_chat_client_over_the_responses_demo(body: dict[str, Any]) -> None:
    """Plain and streamed say the same, and what the Chat demo itself would have said but for ids."""

    plain, streamed = through(body, "chat", "responses")
    assert plain == streamed
    direct = essence(json.loads(call(PATHS["chat"], body)[1]), "chat")
    if (
        body.get("stop") is None and "max_tokens" not in body
    ):  # stop is the adapter's work, and limits under 16 are raised
        assert (plain["content"], plain["refusal"]) == (direct["content"], direct["refusal"])
        assert plain["finish_reason"] == direct["finish_reason"]
        assert [call[1:] for call in plain["calls"]] == [call[1:] for call in direct["calls"]]


@pytest.mark.parametrize(
    "body", [b for k, b in RESPONSES.items() if k != "compaction"], ids=[k for k in RESPONSES if k != "compaction"]
)
def test_a_responses_client_over_the_chat_demo(body: dict[str, Any]) -> None:
    """The same the other way: item types and names restored."""

    plain, streamed = through(body, "responses", "chat")
    assert plain == streamed
    direct = json.loads(call(PATHS["responses"], body)[1])
    assert [(i["type"], i.get("name"), i.get("namespace")) for i in plain["output"]] == [
        (i["type"], i.get("name"), i.get("namespace")) for i in direct["output"]
    ]
    assert plain["status"] == direct["status"]


def through(body: dict[str, Any], client: Any, upstream: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the client hears, plain and folded from the stream."""
    asked = translate.request(body, client, upstream, profile="openai")
    status, reply = call(PATHS[upstream], asked.value)
    assert status == 200, reply
    plain = translate.reply(json.loads(reply), upstream, client, exchange=asked.exchange).value
    asked = translate.request({**body, "stream": True}, client, upstream, profile="openai")
    status, raw = call(PATHS[upstream], asked.value)
    assert status == 200, raw
    out = b"".join(translate.stream([raw], upstream, client, exchange=asked.exchange))
    assert (check_chat(out) if client == "chat" else check_responses(out)) == []
    return essence(plain, client), folded(out, client)
