"""JSON is read four times as deep as it is written: a client's nest that goes to no upstream is refused all the same."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.server.harness import ASK, PATH, adapter, play, upstream
from tests.server.scripted import Upstream, chat_reply, chat_stream, json_reply

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
