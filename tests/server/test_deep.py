"""JSON is read four times as deep as it is written: a client's nest that goes to no upstream is refused all the same."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from tests.server.harness import ASK, PATH, adapter, play, upstream
from tests.server.scripted import Upstream, chat_reply, chat_stream, json_reply
from tests.server.sockets import answer, ask, good, opened, refused

UNSENT = b',"tools":[{"type":"file_search","vector_store_ids":%b}]}' % (b"[" * 300 + b"]" * 300)
"""A tool that the upstream cannot have: in no body that is sent, and in the Response."""


@pytest.mark.parametrize("stream", [False, True])
def test_depth_that_would_only_be_repeated_is_refused(stream: bool) -> None:
    async def scenario() -> None:
        async with Upstream(chat_stream("Hi") if stream else [json_reply(chat_reply())]) as up:
            async with adapter(upstream(up.url, "chat")) as client:
                body = orjson.dumps(ASK["responses"] | {"stream": stream})[:-1] + UNSENT
                answer = await client.post(PATH["responses"], body)
                assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_value")

    play(scenario)


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_two_tools_of_one_name_that_are_too_deep_to_be_compared_are_refused(dialect: str) -> None:
    nest = b'{"type":"object","properties":{"a":%b}}' % (b"[" * 1000 + b"]" * 1000)
    named = b'"name":"f","parameters":%b' % nest
    tool = b'{"type":"function","function":{%b}}' % named if dialect == "chat" else b'{"type":"function",%b}' % named

    async def scenario() -> None:
        other = "responses" if dialect == "chat" else "chat"
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, other)) as client:
            body = orjson.dumps(ASK[dialect])[:-1] + b',"tools":[%b,%b]}' % (tool, tool)
            answer = await client.post(PATH[dialect], body)
            assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_value")
            assert not up.seen

    play(scenario)


def test_a_model_that_is_a_deep_nest_is_refused_where_it_would_be_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = {"url": f"sqlite:///{tmp_path}/store.db"}
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            body = (
                b'{"store":true,"messages":[{"role":"user","content":"Hi"}],"model":' + b"[" * 1000 + b"]" * 1000 + b"}"
            )
            answer = await client.post(PATH["chat"], body)
            assert (answer.status, answer.json["error"]["param"]) == (400, "model")

    play(scenario)


def test_a_turn_that_cannot_be_remembered_comes_to_its_end() -> None:
    """On a socket; the next one cannot go on from it."""

    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat"), store={"mode": "off"}) as client,
            opened(client) as ws,
        ):
            unsent = {"type": "web_search_call", "id": "ws_1", "action": orjson.loads(b"[" * 300 + b"]" * 300)}
            given = [{"role": "user", "content": "Hi"}, unsent]
            await ws.send(json.dumps({"type": "response.create", "model": "m", "input": given}))
            events = await answer(ws)
            assert events[-1]["type"] == "response.completed"

            last = await ask(ws, input="more", previous_response_id=events[-1]["response"]["id"])
            assert refused(last) == (400, "previous_response_not_found")

    play(scenario)
