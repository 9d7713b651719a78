"""Paths as clients and proxies make them."""

from __future__ import annotations

import pytest

from tests.server.harness import ASK, adapter, play, upstream
from tests.server.scripted import Upstream, chat_reply, json_reply


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "//v1/chat/completions",
        "//v1///chat//completions//",
        "/openai//v1/chat/completions/",
    ],
)
def test_slashes_too_many_are_none(path: str) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            assert (await client.post(path, ASK["chat"])).status == 200

    play(scenario)


@pytest.mark.parametrize("path", ["/", "//", "///", "/v1/", "/v1//nothing/"])
def test_where_there_is_nothing_slashes_make_nothing(path: str) -> None:
    async def scenario() -> None:
        async with adapter() as client:
            assert (await client.post(path, ASK["chat"])).status == 404

    play(scenario)


@pytest.mark.parametrize("websocket", [False, True])
def test_a_handshake_whose_upgrade_a_proxy_kept_is_told_that_there_are_no_sockets(websocket: bool) -> None:
    """nginx without its WebSocket lines. Codex tries a 405 seven times before it goes on over HTTP, and a 426 once."""

    async def scenario() -> None:
        async with adapter(websocket=websocket) as client:
            handshake = {"sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==", "sec_websocket_version": "13"}
            for path in ("/v1/responses", "/responses", "/openai/v1/responses"):
                answer = await client.get(path, **handshake)
                assert (answer.status, answer.json["error"]["code"]) == (426, "websocket_unavailable")
            plain = await client.get("/v1/responses")
            assert (plain.status, plain.headers["allow"]) == (405, "POST")

    play(scenario)
