"""Clients that speak HTTP/1.0, as nginx does to its upstreams by default: no chunks, and a connection that is closed is an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from adapter.server.http.joining import DirectWriter
from tests.server.harness import Client, Response, adapter, ask_bytes, play, request_bytes, upstream
from tests.server.scripted import (
    END,
    SSE,
    Reset,
    Script,
    Sleep,
    Upstream,
    chat_reply,
    chunk,
    event,
    json_reply,
)

lanes = pytest.mark.parametrize("client_speaks", ["chat", "responses"])
"""Over a Chat upstream: as bytes, and translated."""

WORDS: Script = [SSE, event(chunk({"role": "assistant", "content": ""}))]
for number in range(4):
    WORDS += [Sleep(0.02), event(chunk({"content": f" word{number}"}))]
GOOD: Script = [*WORDS, event(chunk({}, "stop")), event(b"[DONE]"), END]


async def old(client: Client, raw: bytes, *fields: bytes) -> Response:
    """The answer to a request made HTTP/1.0; its body is everything until the connection is closed."""
    fields = (b"HTTP/1.0", *fields)
    reader, writer = await client.open(raw.replace(b"HTTP/1.1", b"\r\n".join(fields), 1))
    try:
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    assert "transfer-encoding" not in headers
    assert headers["connection"] == "close"
    return Response(int(lines[0].split()[1]), headers, body)


def ended(client_speaks: str, answer: Response) -> bool:
    return answer.events[-1] == "[DONE]" if client_speaks == "chat" else answer.types[-1] == "response.completed"


@lanes
@pytest.mark.parametrize("fields", [[], [b"connection: keep-alive"]])
def test_a_plain_answer_has_its_length(client_speaks: str, fields: list[bytes]) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await old(client, ask_bytes(client_speaks), *fields)
            assert answer.status == 200
            assert len(answer.body) == int(answer.headers["content-length"])
            assert "Hello" in str(answer.json)

    play(scenario)


@lanes
@pytest.mark.parametrize("directly", [True, False])
def test_a_stream_is_its_events_and_nothing_else(
    client_speaks: str, directly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[bytes] = []
    real: Callable[[DirectWriter, bytes], None] = DirectWriter.put
    monkeypatch.setattr(DirectWriter, "put", lambda hand, data: (put.append(data), real(hand, data))[1])
    if not directly:
        monkeypatch.setattr("adapter.server.http.outlet.direct_writer", lambda send: None)

    async def scenario() -> None:
        async with Upstream(GOOD) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await old(client, ask_bytes(client_speaks, stream=True), b"connection: keep-alive")
            assert answer.status == 200
            assert "content-length" not in answer.headers
            assert ended(client_speaks, answer)
            known = (b"event: ", b"data: ")
            assert [line for line in answer.body.split(b"\n") if line and not line.startswith(known)] == []
            assert all(b'" word%d"' % number in answer.body for number in range(4))

    play(scenario)
    assert (sum(b" word" in data for data in put) >= 3) is directly


@lanes
@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal_before_the_answer_has_its_status_and_its_length(client_speaks: str, stream: bool) -> None:
    async def scenario() -> None:
        error = {"error": {"message": "no", "type": "server_error", "code": None, "param": None}}
        async with Upstream([json_reply(error, 400)]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await old(client, ask_bytes(client_speaks, stream=stream))
            assert answer.status == 400
            assert len(answer.body) == int(answer.headers["content-length"])
            assert answer.json["error"]["message"] == "no"

    play(scenario)


@lanes
@pytest.mark.parametrize("directly", [True, False])
def test_a_failure_inside_a_stream_is_told_before_the_end(
    client_speaks: str, directly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not directly:
        monkeypatch.setattr("adapter.server.http.outlet.direct_writer", lambda send: None)

    async def scenario() -> None:
        async with Upstream([*WORDS, Sleep(0.02), Reset()]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await old(client, ask_bytes(client_speaks, stream=True))
            assert answer.body.endswith(b"\n\n")
            assert " word3" in str(answer.events)
            if client_speaks == "chat":
                assert set(answer.events[-1]) == {"error"}
            else:
                assert answer.types[-2:] == ["error", "response.failed"]

    play(scenario)


@lanes
def test_a_plain_answer_that_takes_long_is_kept_alive_and_ends_with_its_connection(client_speaks: str) -> None:
    async def scenario() -> None:
        script: Script = [Sleep(0.3), json_reply(chat_reply())]
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, "chat"), commit_after=0.05, keepalive=0.05) as client,
        ):
            answer = await old(client, ask_bytes(client_speaks))
            assert answer.body.startswith(b" ")
            assert "Hello" in str(orjson.loads(answer.body))

    play(scenario)


@lanes
def test_an_answer_without_a_good_end_is_a_connection_that_breaks(client_speaks: str) -> None:
    """To be closed is the good end here."""

    async def scenario() -> None:
        script: Script = [Sleep(0.2), json_reply({"error": {"message": "no"}}, 500)]
        async with Upstream(script) as up, adapter(upstream(up.url, "chat"), commit_after=0.05) as client:
            with pytest.raises(ConnectionResetError):
                await old(client, ask_bytes(client_speaks))

    play(scenario)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_little_answers_are_as_they_are(method: str) -> None:
    async def scenario() -> None:
        async with adapter() as client:
            answer = await old(client, request_bytes(method, "/livez"))
            assert answer.headers["content-length"] == "15"
            expected: Any = b'{"status":"ok"}' if method == "GET" else b""
            assert answer.body == expected

    play(scenario)
