"""Requests that their clients name, and what becomes of them."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from tests.server.harness import ASK, PATH, Client, Response, request_bytes
from tests.server.scripted import (
    Script,
    Upstream,
    chat_reply,
    chat_stream,
    json_reply,
    response,
    responses_stream,
)
from tests.server.test_access import bearer

DIALECTS = ("chat", "responses")
KEY = "canary-key-of-a-request"
REPLAYED = "idempotent-replayed"
IN_USE, NOT_KEPT, REUSED = "idempotency_key_in_use", "idempotency_answer_not_kept", "idempotency_key_reused"


def good(dialect: str, text: str = "Hello") -> Script:
    return [json_reply(chat_reply(text) if dialect == "chat" else response(text))]


def streamed(dialect: str) -> Script:
    return chat_stream("Hello") if dialect == "chat" else responses_stream()


def named(key: str = KEY, secret: str | None = None) -> dict[str, str]:
    return {"idempotency_key": key} | ({} if secret is None else bearer(secret))


class Held(Upstream):
    """Answers when it is let."""

    def __init__(self, *scripts: Script) -> None:
        super().__init__(*scripts)
        self.go = asyncio.Event()

    async def _play(self, *playing: Any) -> bool:
        await self.go.wait()
        return await super()._play(*playing)


async def ask(
    client: Client, dialect: str = "chat", *, key: str = KEY, secret: str | None = None, **extra: Any
) -> Response:
    return await client.ask(dialect, headers=named(key, secret), **extra)


def ask_bytes(dialect: str, **extra: Any) -> bytes:
    body = orjson.dumps(ASK[dialect] | extra)
    return request_bytes("POST", PATH[dialect], body, content_type="application/json", **named())


def asked(answer: Response) -> None:
    """It is an answer of its own."""
    assert (answer.status, answer.whole) == (200, True), answer.body
    assert REPLAYED not in answer.headers


def replayed(answer: Response, first: Response) -> None:
    """It is the first answer again."""
    assert (answer.status, answer.body) == (200, first.body), answer.body
    assert answer.headers[REPLAYED] == "true"
    assert answer.headers["content-type"] == "application/json"


def refused(answer: Response, status: int, code: str) -> None:
    assert (answer.status, answer.whole) == (status, True), answer.body
    error = answer.json["error"]
    assert (set(error), error["code"]) == ({"message", "type", "param", "code"}, code)
    assert KEY not in answer.body.decode() + str(answer.headers)
    assert REPLAYED not in answer.headers


async def until_over(client: Client, dialect: str = "chat", **extra: Any) -> Response:
    """The answer to the request once the one before it is over: a turn lets go of its upstream behind its answer's end."""
    while True:
        answer = await ask(client, dialect, **extra)
        if answer.status != 409 or answer.json["error"]["code"] != IN_USE:
            return answer
        await asyncio.sleep(0.01)
