"""The upstream client by itself: what it reads, when it gives up, what it leaves open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest

from adapter.errors import (
    AdapterError,
    UpstreamBadContent,
    UpstreamEmpty,
    UpstreamInvalid,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnwell,
)
from adapter.upstream.client import Kind, Reply, UpstreamClient
from adapter.upstream.router import Upstream as Target
from tests.server.harness import play
from tests.server.scripted import (
    END,
    SSE,
    Close,
    Reset,
    Script,
    Sleep,
    Stall,
    Upstream,
    chat_reply,
    event,
    head,
    json_reply,
    piece,
)
from tests.upstream.written import section


@asynccontextmanager
async def client() -> AsyncIterator[UpstreamClient]:
    made = UpstreamClient()
    made.open()
    try:
        yield made
    finally:
        await made.close()


def target(up: Upstream, **keys: Any) -> Target:
    return Target.of(section(name="up", base_url=up.url, dialect="chat", **keys))


async def _drained(reply: Reply, into: list[bytes]) -> None:
    while chunk := await reply.read():
        into.append(chunk)


def test_what_came_before_a_reset_is_still_read() -> None:
    async def scenario() -> None:
        async with Upstream([SSE, event({"n": 1}), Sleep(0.05), event({"n": 2}), Reset()]) as up, client() as calls:
            reply = await calls.post(target(up), "/x", b"{}", {}, stream=True)
            await asyncio.sleep(0.2)  # both the data and the reset have come
            data: list[bytes] = []
            with pytest.raises(UpstreamTruncated):
                await _drained(reply, data)
            assert b'"n":2' in b"".join(data)
            reply.close()

    play(scenario)


@pytest.mark.parametrize(
    ("content_type", "body", "is_"),
    [
        ("text/plain", b'{"a": 1}', Kind.JSON),
        ("text/event-stream", b" \t\r\n[1]", Kind.JSON),
        ("text/plain", b'\xef\xbb\xbf{"a": 1}', Kind.JSON),
        ("text/plain", b"data: {}\n\n", Kind.STREAM),
        ("text/plain", b"data:{}\n\n", Kind.STREAM),
        ("application/json", b"event: a\ndata: {}\n\n", Kind.STREAM),
        (None, b"id: 1\ndata: {}\n\n", Kind.STREAM),
        (None, b"retry: 1\ndata: {}\n\n", Kind.STREAM),
        (None, b": ping\n\ndata: {}\n\n", Kind.STREAM),
        (None, b"\xef\xbb\xbfdata: {}\n\n", Kind.STREAM),
        ("Text/Event-Stream ; charset=utf-8", b"x-unknown: 1\ndata: {}\n\n", Kind.STREAM),
        ("text/event-stream", b"<html>no</html>", UpstreamBadContent),
        ("text/plain", b"x-unknown: 1\ndata: {}\n\n", UpstreamBadContent),
        ("application/json; charset=utf-8", b"null and void", UpstreamInvalid),
        ("application/json", b"\xef\xbb\xbf \r\n", UpstreamEmpty),
        ("text/event-stream", b"", UpstreamEmpty),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_what_an_answer_is_its_first_letters_tell_and_else_its_type(
    content_type: str | None, body: bytes, is_: Any, size: int
) -> None:
    """However they are cut; and nothing of them is lost."""

    async def scenario() -> None:
        script: Script = [head(200, content_type)]
        for at in range(0, len(body), size):
            script += [piece(body[at : at + size]), Sleep(0.005)]  # each is a read of its own
        script.append(END)
        async with Upstream(script) as up, client() as calls:
            asked = calls.post(target(up), "/x", b"{}", {}, stream=True)
            if isinstance(is_, Kind):
                reply = await asked
                assert reply.kind is is_
                read = await reply.body(100)
                assert read == (body if is_ is Kind.STREAM else body.removeprefix(b"\xef\xbb\xbf"))
                reply.close()
            else:
                with pytest.raises(is_):
                    await asked

    play(scenario)


@pytest.mark.parametrize(
    ("status", "fields", "is_"),
    [
        (204, (), UpstreamEmpty),
        (205, (), UpstreamEmpty),
        (300, (), UpstreamRedirect),
        (399, (), UpstreamRedirect),
        (500, (), UpstreamUnwell),
        (599, (), UpstreamUnwell),
        (600, (), UpstreamBadContent),
        (200, ("content-encoding: gzip",), UpstreamBadContent),
        (299, ("content-encoding: Identity",), None),
    ],
)
def test_what_is_no_good_answer_is_told_by_its_head_whatever_was_asked(
    status: int, fields: tuple[str, ...], is_: type[AdapterError] | None
) -> None:
    async def scenario() -> None:
        body = b"" if is_ is UpstreamEmpty else b"{}"
        script = [head(status, "application/json", *fields, length=len(body)) + body]
        async with Upstream(script) as up, client() as calls:
            with nullcontext() if is_ is None else pytest.raises(is_):
                assert await calls.get(target(up), "/x", {}, limit=100) == b"{}"
            with nullcontext() if is_ is None else pytest.raises(is_):
                reply = await calls.post(target(up), "/x", b"{}", {}, stream=False)
                assert await reply.body(100) == b"{}"
                reply.close()

    play(scenario)


def test_a_slow_consumer_is_no_silent_upstream() -> None:
    async def scenario() -> None:
        script = [SSE, event({"n": 1}), Sleep(0.1), event({"n": 2}), END]
        async with Upstream(script) as up, client() as calls:
            reply = await calls.post(target(up, idle_timeout=0.3), "/x", b"{}", {}, stream=True)
            await reply.read()
            await asyncio.sleep(0.7)  # the client does not take what it gets
            assert b'"n":2' in await reply.read()
            reply.close()

    play(scenario)


def test_silence_is_counted_from_the_last_data() -> None:
    async def scenario() -> None:
        script = [SSE, *[event({"n": 1}), Sleep(0.1)] * 4, *[piece(b": ping\n\n"), Sleep(0.05)] * 20]
        async with Upstream(script) as up, client() as calls:
            reply = await calls.post(target(up, idle_timeout=0.25), "/x", b"{}", {}, stream=True)
            began = asyncio.get_running_loop().time()
            with pytest.raises(UpstreamTimeout):
                await _drained(reply, [])
            assert 0.4 < asyncio.get_running_loop().time() - began < 1
            reply.close()

    play(scenario)


def test_the_first_byte_deadline_is_an_error_and_no_cancellation() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, client() as calls:
            for _ in range(2):
                with pytest.raises(UpstreamTimeout):
                    await calls.post(target(up, first_byte_timeout=0.05), "/x", b"{}", {}, stream=True)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    play(scenario)


def test_a_cancelled_caller_is_cancelled_and_its_connection_closed() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, client() as calls:
            call = asyncio.ensure_future(calls.post(target(up), "/x", b"{}", {}, stream=True))
            await up.arrived.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.wait_for(up.seen[0].finished.wait(), 1)

    play(scenario)


def test_a_large_body_arrives_whole() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, client() as calls:
            body = b'{"text": "' + b"x" * 3_000_000 + b'"}'
            reply = await calls.post(target(up), "/x", body, {}, stream=False)
            assert up.seen[0].body == body
            assert reply.kind is Kind.JSON
            reply.close()

    play(scenario)


def test_a_read_reply_gives_its_connection_back_and_a_left_one_does_not() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, client() as calls:
            for _ in range(3):
                reply = await calls.post(target(up), "/x", b"{}", {}, stream=False)
                await reply.body(1_000_000)
                reply.close()
            assert up.connections == 1
        async with Upstream([SSE, event({"n": 1}), Stall()]) as up, client() as calls:
            for _ in range(2):
                reply = await calls.post(target(up), "/x", b"{}", {}, stream=True)
                reply.close()
            assert up.connections == 2

    play(scenario)


def test_an_answer_of_null_is_told_as_what_it_is() -> None:
    """It is valid JSON, and no object: so a bridge answers whose own upstream streamed."""

    async def scenario() -> None:
        async with Upstream([head(200, length=4), b"null", Close()]) as up, client() as calls:
            with pytest.raises(UpstreamInvalid, match="no JSON object"):
                await calls.post(target(up), "/x", b"{}", {}, stream=False)

    play(scenario)


def test_a_reply_over_the_limit_is_not_read_to_its_end() -> None:
    async def scenario() -> None:
        script = [head(200), piece(b'{"a":"'), *[piece(b"x" * 50_000)] * 20, Close()]
        async with Upstream(script) as up, client() as calls:
            reply = await calls.post(target(up), "/x", b"{}", {}, stream=False)
            with pytest.raises(UpstreamInvalid):
                await reply.body(100_000)
            reply.close()

    play(scenario)


@pytest.mark.parametrize(
    ("content_type", "first", "kind"),
    [
        ("application/json", b" \r\n{}", Kind.JSON),
        ("text/event-stream", b'{"choices":[]}', Kind.JSON),
        ("text/plain", b"\xef\xbb\xbfdata: {}\n\n", Kind.STREAM),
        (None, b": hello\n\n", Kind.STREAM),
        (None, b"event: x\n", Kind.STREAM),
        ("text/event-stream", b"unknown: field\n\n", Kind.STREAM),
    ],
)
def test_the_first_bytes_tell_what_an_answer_is(content_type: str | None, first: bytes, kind: Kind) -> None:
    async def scenario() -> None:
        one_by_one = [piece(first[i : i + 1]) for i in range(len(first))]
        async with Upstream([head(200, content_type), *one_by_one, END]) as up, client() as calls:
            reply = await calls.post(target(up), "/x", b"{}", {}, stream=True)
            assert reply.kind is kind
            assert await reply.body(1000) == first
            reply.close()

    play(scenario)
