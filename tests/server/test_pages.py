"""Web pages: a browser lets their scripts ask and read where `cors_origins` says so, and nothing goes past it where it does not."""

from __future__ import annotations

import orjson
import pytest

from tests.server.harness import ASK, PATH, adapter, play, upstream
from tests.server.scripted import Upstream, chat_reply, chat_stream, json_reply
from tests.server.sockets import opened, say

PAGE = "https://chat.example"
ASKS = {"origin": PAGE, "access_control_request_method": "POST", "access_control_request_headers": "authorization,x-a"}


@pytest.mark.parametrize("origins", [[PAGE], ["*"], ["https://other.example", PAGE]])
@pytest.mark.parametrize("path", [PATH["chat"], PATH["responses"], "/v1/models", "/v1/responses/compact"])
def test_a_browser_is_told_that_the_page_may_ask(origins: list[str], path: str) -> None:
    async def scenario() -> None:
        async with adapter(cors_origins=origins) as client:
            told = await client.request("OPTIONS", path, **ASKS)
            assert told.status == 200
            assert told.headers["access-control-allow-origin"] in (PAGE, "*")
            near = await client.request("OPTIONS", path, **ASKS, access_control_request_private_network="true")
            assert (near.status, near.headers["access-control-allow-private-network"]) == (200, "true")
            assert "POST" in told.headers["access-control-allow-methods"]
            assert "x-a" in told.headers["access-control-allow-headers"]

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_the_page_may_read_answers_and_refusals(stream: bool) -> None:
    async def scenario() -> None:
        script = chat_stream("Hello") if stream else [json_reply(chat_reply())]
        async with Upstream(script) as up, adapter(upstream(up.url, "chat"), cors_origins=[PAGE]) as client:
            plain = await client.ask("chat", stream=stream)
            asked = await client.ask("chat", headers={"origin": PAGE}, stream=stream)
            assert (asked.status, asked.body) == (200, plain.body)
            refused = await client.post(PATH["chat"], b"{", origin=PAGE)
            assert refused.status == 400
            for answer in (asked, refused):
                assert answer.headers["access-control-allow-origin"] == PAGE
                assert answer.headers["access-control-expose-headers"] == "*"
            assert "access-control-allow-origin" not in plain.headers

    play(scenario)


@pytest.mark.parametrize("origins", [[], ["https://other.example"]])
def test_other_pages_may_not(origins: list[str]) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), cors_origins=origins) as client,
        ):
            told = await client.request("OPTIONS", PATH["chat"], **ASKS)
            assert told.status in (400, 405)
            asked = await client.ask("chat", headers={"origin": PAGE})
            for answer in (told, asked):
                assert "access-control-allow-origin" not in answer.headers

    play(scenario)


def test_what_a_browser_would_send_unasked_is_not_taken() -> None:
    """A body without a content type, from a page: nobody could read the answer, and somebody would pay for it."""

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            body = orjson.dumps(ASK["chat"])
            answer = await client.request("POST", PATH["chat"], body, origin=PAGE)
            assert (answer.status, answer.json["error"]["code"]) == (415, "unsupported_media_type")
            assert not up.seen

    play(scenario)


@pytest.mark.parametrize(
    ("origins", "opens"), [([], False), ([PAGE], True), (["*"], True), (["https://o.example"], False)]
)
def test_a_page_opens_sockets_where_it_may_ask(origins: list[str], opens: bool) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), cors_origins=origins) as client,
        ):
            try:
                async with opened(client, origin=PAGE) as ws:
                    await say(ws, input="Hi")
            except Exception as refused:  # as the socket library tells a 403
                assert "403" in str(refused)
                assert not opens
            else:
                assert opens

    play(scenario)
