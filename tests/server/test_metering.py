"""Tokens under a limit are the upstream's own count, also of Chat streams that pass as bytes: it is asked for where the client
did not, and the client gets what it asked for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.server.harness import adapter, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    USAGE,
    Script,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    json_reply,
)
from tests.server.test_access import ALICE, OWN, ask, limited, remaining

DAY = limited(owner_limits={"tokens_per_day": 10_000})
BOTH = limited(owner_limits={"requests_per_minute": 10, "tokens_per_day": 10_000})
REQUESTS = limited(owner_limits={"requests_per_minute": 10})
ASKED = {"include_usage": True}


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_obfuscation": False}])
def test_d35_usage_that_a_limit_needs_is_asked_for_and_kept_from_a_client_that_did_not_ask(options: Any) -> None:
    async def scenario() -> None:
        async with (
            Upstream(chat_stream("Hello")) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=DAY) as client,
        ):
            extra = {} if options is None else {"stream_options": options}
            answer = await ask(client, ALICE, stream=True, **extra)
            assert up.seen[0].json["stream_options"] == {**(options or {}), **ASKED}
            assert b'"choices":[]' not in answer.body
            assert answer.body.endswith(b"data: [DONE]\n\n")
            assert await remaining(client) == 10_000 - 5

    play(scenario)


def test_d35_usage_is_asked_for_though_another_limit_counts_requests() -> None:
    async def scenario() -> None:
        async with (
            Upstream(chat_stream("Hello")) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=BOTH) as client,
        ):
            await ask(client, ALICE, stream=True)
            assert up.seen[0].json["stream_options"] == ASKED
            assert await remaining(client) == 10_000 - 5

    play(scenario)


def test_an_error_that_tells_what_it_cost_reaches_a_client_that_did_not_ask() -> None:
    script: Script = [SSE, event(chunk({"content": "Hel"}))]
    script.append(event({**chunk(), "choices": [], "usage": USAGE, "error": {"message": "no"}}))

    async def scenario() -> None:
        async with (
            Upstream([*script, END]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=DAY) as client,
        ):
            answer = await ask(client, ALICE, stream=True)
            assert answer.events[-1]["error"] == {"message": "no"}

    play(scenario)


def test_usage_that_the_client_asked_for_reaches_it() -> None:
    async def scenario() -> None:
        async with (
            Upstream(chat_stream("Hello")) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=DAY) as client,
        ):
            answer = await ask(client, ALICE, stream=True, stream_options=ASKED)
            assert orjson.loads(answer.body.split(b"data: ")[-2])["usage"] == USAGE
            assert await remaining(client) == 10_000 - 5

    play(scenario)


@pytest.mark.parametrize(
    ("more", "keys"),
    [({"stream": True}, {"capabilities": {"stream_options": False}}), ({}, {})],
    ids=["a server that does not take the option", "a plain answer"],
)
def test_usage_is_not_asked_for_where_that_would_be_refused(more: dict[str, Any], keys: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(chat_stream("Hello")) as up,
            adapter(upstream(up.url, "chat", api_key=OWN, **keys), access=DAY) as client,
        ):
            await ask(client, ALICE, **more)
            assert "stream_options" not in up.seen[0].json

    play(scenario)


def test_without_a_limit_on_tokens_the_request_goes_on_as_it_came() -> None:
    async def scenario() -> None:
        async with (
            Upstream(chat_stream("Hello")) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=REQUESTS) as client,
        ):
            answer = await ask(client, ALICE, stream=True)
            assert "stream_options" not in up.seen[0].json
            assert b'"choices":[]' in answer.body

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("usage", "counted"), [("estimate", True), ("omit", False)])
def test_usage_that_nobody_reports_is_estimated_in_the_access_line_of_bytes_that_pass_too(
    stream: bool, usage: str, counted: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [event(chunk({"content": "word "}))] * 20
    plain = {key: value for key, value in chat_reply("word " * 20).items() if key != "usage"}
    script: Script = [SSE, *words, event(chunk({}, "stop")), event(b"[DONE]"), END] if stream else [json_reply(plain)]

    async def scenario() -> None:
        async with Upstream(script) as up, adapter(upstream(up.url, "chat"), usage=usage) as client:
            asked = [{"role": "user", "content": "x" * 400}]
            assert b"usage" not in (await client.ask("chat", stream=stream, messages=asked)).body

    play(scenario)
    (line,) = (orjson.loads(text) for text in capfd.readouterr().out.splitlines() if '"event":"request"' in text)
    assert ("usage_estimated" in line.get("anomalies", [])) is counted
    if counted:
        assert line["tokens_in"] > 100
        assert line["tokens_out"] >= 20
    else:
        assert "tokens_in" not in line
