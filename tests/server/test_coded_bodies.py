"""Compressed request bodies: Codex sends them in zstd to a provider of the name OpenAI once somebody has logged in there."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InvalidContentEncoding, PayloadTooLarge
from adapter.server.http.coding import CODINGS, decoded
from tests.server.harness import ASK, PATH, Response, adapter, ask_bytes, play, upstream
from tests.server.scripted import Upstream, chat_reply, json_reply, response

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
    "ZSTD": zstd.compress,
    "identity": bytes,
}
COMPRESSED: Final = sorted(set(CODERS) - {"identity"})
REPLIES: Final[dict[str, Any]] = {"chat": chat_reply(), "responses": response()}
LANES: Final = [(client, up) for client in REPLIES for up in REPLIES]


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize(("dialect", "up_dialect"), LANES)
def test_a_body_in_a_coding_that_is_known_is_read_like_a_plain_one(dialect: str, up_dialect: str, coding: str) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(REPLIES[up_dialect])]) as up, adapter(upstream(up.url, up_dialect)) as client:
            plain = await client.post(PATH[dialect], ASK[dialect])
            coded = await client.post(
                PATH[dialect], CODERS[coding](orjson.dumps(ASK[dialect])), content_encoding=coding
            )
            assert (plain.status, coded.status) == (200, 200)
            assert up.seen[0].json == up.seen[1].json
            assert "content-encoding" not in up.seen[1].headers

    play(scenario)


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, zstd", "gzip, gzip", "aws-chunked"])
def test_other_codings_and_several_at_once_are_refused_with_those_that_are_taken(coding: str) -> None:
    answer = _refused(b"whatever", coding)
    assert (answer.status, answer.json["error"]["code"]) == (415, "unsupported_media_type")
    assert answer.headers["accept-encoding"] == "gzip, deflate, zstd"


@pytest.mark.parametrize("coding", COMPRESSED)
def test_a_body_that_is_not_what_it_claims_to_be_is_a_400(coding: str) -> None:
    whole = CODERS[coding](ask_bytes("chat"))
    for body in (b"", b"{}", whole[:-1], whole[: len(whole) // 2], whole + b"\n", whole + whole):
        answer = _refused(body, coding)
        assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_content_encoding"), body


@pytest.mark.parametrize("coding", COMPRESSED)
def test_b7_a_bomb_is_refused_by_what_would_come_out_of_it(coding: str) -> None:
    bomb = CODERS[coding](b'{"model": "' + b"m" * 20_000_000 + b'"}')
    assert len(bomb) < 100_000
    answer = _refused(bomb, coding, body_limit=100_000)
    assert (answer.status, answer.json["error"]["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("coding", COMPRESSED)
def test_b7_what_swells_a_hundredfold_is_no_conversation(coding: str) -> None:
    """Within the limit for a body, and small on the wire: many at once would fill the memory."""
    swelling = CODERS[coding](b'{"model": "' + b"m" * 20_000_000 + b'"}')
    answer = _refused(swelling, coding)
    assert (answer.status, answer.json["error"]["code"]) == (413, "payload_too_large")


def test_b7_a_frame_of_zstd_may_not_ask_for_a_window_of_128_megabytes() -> None:
    options = {zstd.CompressionParameter.window_log: 27}
    coder = zstd.ZstdCompressor(options=options)
    wide = coder.compress(ask_bytes("chat")) + coder.flush()
    answer = _refused(wide, "zstd")
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_content_encoding")


def test_sent_twice_and_compressed_once_is_the_same_request() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            body = orjson.dumps(ASK["chat"])
            first = await client.post(PATH["chat"], body, idempotency_key="once")
            coded = gzip.compress(body)
            second = await client.post(PATH["chat"], coded, idempotency_key="once", content_encoding="gzip")
            assert (first.status, first.body) == (second.status, second.body)
            assert len(up.seen) == 1

    play(scenario)


@given(st.binary(max_size=5_000), st.sampled_from(COMPRESSED), st.integers(-2, 2))
def test_what_was_compressed_comes_out_whole_or_is_over_the_limit(data: bytes, coding: str, room: int) -> None:
    coded, limit = CODERS[coding](data), max(len(data) + room, 0)
    if limit < len(data):
        with pytest.raises(PayloadTooLarge):
            decoded(coded, coding.lower().encode(), limit)
    else:
        assert decoded(coded, coding.lower().encode(), limit) == data


@given(st.binary(max_size=200), st.sampled_from(sorted(CODINGS)))
def test_no_bytes_are_a_defect(data: bytes, coding: bytes) -> None:
    try:
        found = decoded(data, coding, 1_000)
    except (InvalidContentEncoding, PayloadTooLarge):
        return
    assert len(found) <= 1_000


def _refused(body: bytes, coding: str, **server: Any) -> Response:
    """The answer to a request that no upstream hears of."""
    answers: list[Response] = []

    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, "chat"), **server) as client:
            answers.append(await client.post(PATH["chat"], body, content_encoding=coding))
            assert not up.seen

    play(scenario)
    return answers[0]
