"""The short way to an upstream says on the wire what the HTTP library's session says, and leaves its pool as clean."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from adapter.upstream.alarms import Alarms
from adapter.upstream.sending import Answer, Sender, Within
from tests.server.harness import play
from tests.server.scripted import Close, Sleep, Stall, Upstream, head, json_reply

FIELDS = "Content-Type: application/json\r\nAccept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: us\r\n"
NAMES = st.from_regex(r"\AX-[A-Za-z0-9-]{1,12}\Z")
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30)


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    made = Sender(Alarms())
    try:
        yield made
    finally:
        await made.close()


def post(sends: Sender, url: str, headers: dict[str, str] | None = None, body: bytes = b"{}") -> Awaitable[Answer]:
    return sends.send("POST", url, "", FIELDS, headers or {}, body, Within(5, 5))


async def whole(answer: Answer) -> bytes:
    return await answer.content.read()


@settings(max_examples=40)
@given(
    method=st.sampled_from(["POST", "GET", "DELETE"]),
    headers=st.dictionaries(NAMES, VALUES, max_size=5),
    body=st.binary(max_size=200) | st.sampled_from([b"x" * 100_000, b"y" * 2_000_000]),
    path=st.sampled_from(["/v1/chat/completions", "/a%20b/%C3%BC", "/", "/v1/responses/resp_1?stream=true&x=1%202"]),
)
def test_an_upstream_cannot_tell_it_from_the_session(
    method: str, headers: dict[str, str], body: bytes, path: str
) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, sender() as sends:
            url = URL(f"http://127.0.0.1:{up.port}{path}", encoded=True)
            await whole(await sends.send(method, str(url), "", FIELDS, headers, body, Within(5, 5)))
            async with aiohttp.ClientSession() as session:
                fixed = dict(line.split(": ", 1) for line in FIELDS.splitlines())
                async with session.request(
                    method, url, data=io.BytesIO(body) if body else None, headers={**fixed, **headers}
                ):
                    pass
            short, long = up.seen
            assert (short.line, short.headers, short.body) == (long.line, long.headers, long.body)

    play(scenario)


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\rb", "a\0b"])
def test_a_field_with_a_line_break_is_never_written(value: str) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, sender() as sends:
            with pytest.raises(ValueError, match="line break"):
                await post(sends, up.url, {"Authorization": value})
            assert not up.seen

    play(scenario)


def test_the_system_asks_an_upstream_whether_it_is_still_there() -> None:
    """While a long plain answer is made nothing moves, and a firewall forgets the connection."""

    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, sender() as sends:
            answer = await post(sends, up.url)
            wire = answer.protocol.transport.get_extra_info("socket")  # type: ignore[union-attr]
            assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
            await whole(answer)

    play(scenario)


def test_early_hints_are_no_answer() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"

    async def scenario() -> None:
        async with Upstream([b"HTTP/1.1 100 Continue\r\n\r\n", hint, json_reply({"n": 1})]) as up:
            async with sender() as sends:
                answer = await post(sends, up.url)
                assert answer.status == 200
                assert await whole(answer) == b'{"n":1}'

    play(scenario)


def test_a_read_answer_gives_its_connection_back() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, sender() as sends:
            for _ in range(3):
                await whole(await post(sends, up.url))
            assert up.connections == 1

    play(scenario)


def test_a_closed_answer_takes_its_connection_along() -> None:
    async def scenario() -> None:
        async with Upstream([head(200, length=10), Stall()]) as up, sender() as sends:
            answer = await post(sends, up.url)
            answer.close()
            await asyncio.wait_for(up.seen[0].finished.wait(), 2)

    play(scenario)


def test_a_cancelled_call_closes_its_connection() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, sender() as sends:
            call = asyncio.ensure_future(post(sends, up.url))
            await up.arrived.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.wait_for(up.seen[0].finished.wait(), 2)

    play(scenario)


def test_a_connection_that_closes_instead_of_answering_is_the_librarys_error() -> None:
    async def scenario() -> None:
        async with Upstream([Sleep(0.01), Close()]) as up, sender() as sends:
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await post(sends, up.url)

    play(scenario)


def test_an_answer_that_came_before_its_request_was_sent_ends_the_connection() -> None:
    """What is left of the request would be the start of the next one."""

    async def scenario() -> None:
        async with sender() as sends:
            connections: list[asyncio.StreamWriter] = []

            async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                connections.append(writer)
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n")  # and reads no further
                await asyncio.sleep(5)

            server = await asyncio.start_server(hasty, "127.0.0.1", 0, limit=2**16)
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            for _ in range(2):
                answer = await asyncio.wait_for(post(sends, url, body=b"x" * 30_000_000), 5)
                assert answer.status == 413
                assert await whole(answer) == b""
            assert len(connections) == 2
            for writer in connections:
                writer.transport.abort()
            server.close()

    play(scenario)


def test_a_pooled_connection_that_was_closed_is_given_up_for_another() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({}), Sleep(0.05), Close()], [json_reply({"n": 2})]) as up, sender() as sends:
            await whole(await post(sends, up.url))
            # the upstream closes while the second call is on its way
            assert await whole(await post(sends, up.url)) == b'{"n":2}'
            assert up.connections == 2

    play(scenario)
