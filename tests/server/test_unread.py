"""What is no request, or offers another protocol: refused in the APIs' shape, or served as what it is. Raw bytes, real sockets."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any
from uuid import UUID

import orjson
import pytest

from adapter.server.http.joining import _NOWHERE
from tests.server.harness import (
    ASK,
    PATH,
    Client,
    Response,
    adapter,
    ask_bytes,
    play,
    read_head,
    read_response,
    request_bytes,
    upstream,
)
from tests.server.scripted import END, SSE, Script, Sleep, Stall, Upstream, chat_reply, chunk, event, json_reply

CHUNKED = f"POST {PATH['chat']} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n".encode()
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
SOCKET = b"upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
LIVE = request_bytes("GET", "/livez")
KEY = "ak-unread-" + "k" * 30


async def everything(client: Client, *parts: bytes) -> bytes:
    """What the server says to these bytes until it closes the connection; each part is a read of its own."""
    reader, writer = await client.open(b"")
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        return await reader.read()
    finally:
        writer.close()


def refused(said: bytes, status: int = 400) -> Response:
    head, _, body = said.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    answer = Response(int(lines[0].split()[1]), headers, body)
    assert answer.status == status, said
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert (headers["content-type"], headers["connection"]) == ("application/json", "close")
    assert UUID(headers["x-request-id"]).hex == headers["x-request-id"]
    assert int(headers["content-length"]) == len(body)
    return answer


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\x16\x03\x01\x02\x00TLS", "method"),
        (b"FOO / HTTP/1.1\r\n\r\n", "method"),
        (b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n", "proxies"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI"),
        (b"GET / HTTP/1.9\r\n\r\n", "version"),
        (b"GET /livez HTTP/1.1\r\nho st: x\r\n\r\n", "header"),
        (b"GET /livez HTTP/1.1\r\na: b\x01c\r\n\r\n", "header"),
        (b"GET /liv\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n", "url"),
        (b"GET http://[::1 HTTP/1.1\r\nhost: x\r\n\r\n", "target"),
        (CHUNKED + b"content-length: 5\r\n\r\n", "Content-Length"),
        (CHUNKED + b"\r\nzz\r\n", "chunk"),
    ],
)
def test_what_is_no_http_is_told_so_in_the_shape_of_every_refusal(raw: bytes, why: str) -> None:
    async def scenario() -> None:
        async with adapter() as client:
            assert why in refused(await everything(client, raw)).json["error"]["message"]

    play(scenario)


def test_a_body_that_breaks_ends_its_request_without_a_call(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            refused(await everything(client, CHUNKED + b"\r\n5\r\n{'mod\r\n", b"zz\r\n"))
            assert not up.seen

    play(scenario)
    assert '"outcome":"client_gone"' in capfd.readouterr().out


def test_a_body_that_breaks_behind_its_answer_gets_no_second_one() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            said = await everything(client, CHUNKED.replace(b"/chat", b"/no") + b"\r\n5\r\nhello\r\n", b"zz\r\n")
            assert said.startswith(b"HTTP/1.1 404")
            assert said.count(b"HTTP/1.1") == 1

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_what_comes_behind_a_request_and_is_none_does_not_disturb_its_answer(stream: bool) -> None:
    async def scenario() -> None:
        script: Script = [SSE, event(chunk({"role": "assistant", "content": "Hel"})), event(chunk({"content": "lo"}))]
        script += [event(chunk({}, "stop")), event(b"[DONE]"), END]
        script = script if stream else [json_reply(chat_reply())]
        async with Upstream(script) as up, adapter(upstream(up.url, "chat")) as client:
            reader, writer = await client.open(ask_bytes("chat", stream=stream) + b"\x00\x01\r\n\r\n")
            answer = await read_response(reader)
            assert (answer.status, answer.whole) == (200, True)
            assert "Hel" in answer.body.decode()
            assert answer.headers["connection"] == "close"
            assert await reader.read() == b""
            writer.close()

    play(scenario)


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"GET /livez HTTP/1.1\r\nhost: x\r\nx-long: ", b"y" * 4096),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\n", b"x-line: y\r\n" * 400),
        (b"GET /", b"y" * 4096),
    ],
)
def test_b9_a_head_without_an_end_is_a_431(begun: bytes, more: bytes) -> None:
    async def scenario() -> None:
        async with adapter() as client:
            reader, writer = await client.open(begun)
            sent = 0
            while not reader._buffer and sent < 4_000_000:  # type: ignore[attr-defined]
                writer.write(more)
                sent += len(more)
                await writer.drain()
                await asyncio.sleep(0)
            answer = await read_response(reader)
            assert (answer.status, answer.json["error"]["code"]) == (431, "headers_too_large")
            assert answer.headers["connection"] == "close"
            assert sent < 1_000_000

    play(scenario)


def test_b9_a_head_without_an_end_behind_a_request_is_not_kept_while_that_is_answered() -> None:
    async def scenario() -> None:
        async with Upstream([Sleep(0.3), json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            reader, writer = await client.open(ask_bytes("chat") + b"GET /livez HTTP/1.1\r\nx-long: ")
            for _ in range(50):
                writer.write(b"y" * 65_536)
                await writer.drain()
            tracemalloc.start()
            for _ in range(50):
                writer.write(b"y" * 65_536)
                await writer.drain()
            kept = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            assert kept < 1_000_000
            assert (await read_response(reader)).status == 200
            assert await reader.read() == b""
            writer.close()

    play(scenario)


def test_a_long_head_in_many_reads_is_served_whatever_came_before_it() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            raw = request_bytes("GET", "/livez", x_long="y" * 50_000)
            reader, writer = await client.open(b"")
            for _ in range(2):
                for at in range(0, len(raw), 10_000):
                    writer.write(raw[at : at + 10_000])
                    await writer.drain()
                    await asyncio.sleep(0.01)
                assert (await read_response(reader)).status == 200
            writer.close()

    play(scenario)


def test_blank_lines_before_a_request_are_none_of_it() -> None:
    """RFC 9112, section 2.2."""

    async def scenario() -> None:
        async with adapter() as client:
            said = await everything(client, b"\r\n", b"\r\n", request_bytes("GET", "/livez", connection="close"))
            assert said.startswith(b"HTTP/1.1 200")
            refused(await cut_off(*await client.open(b""), b"\r\n" * 2048), 431)

    play(scenario)


def test_what_is_no_http_is_told_so_behind_a_body_that_nobody_heard() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            unheard = CHUNKED.replace(b"/chat", b"/no") + b"\r\n" + CHUNK
            said = await everything(client, unheard, b"0\r\n\r\n", b"\x00\x01\r\n\r\n")
            assert said.startswith(b"HTTP/1.1 404")
            refused(said[said.rindex(b"HTTP/1.1") :])

    play(scenario)


BODY = orjson.dumps(ASK["chat"])
CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)


async def cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, more: bytes) -> bytes:
    """What is said to a request that goes on without an end, which may not last."""
    sent = 0
    try:
        while not reader.at_eof() and sent < 2_000_000:
            writer.write(more)
            sent += len(more)
            await writer.drain()
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    writer.close()
    assert sent < 2_000_000
    return bytes(reader._buffer)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"\r\n" + CHUNK + b"0\r\nx-sum: ", b"y" * 4096),
        (b"\r\n" + CHUNK + b"0\r\n", b"x-sum: y\r\n" * 400),
        (b"\r\n" + CHUNK + b"5;why=", b"y" * 4096),
    ],
)
def test_b9_what_comes_with_a_chunked_body_and_is_none_has_the_bound_of_a_head(begun: bytes, more: bytes) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = refused(await cut_off(*await client.open(CHUNKED + begun), more), 431)
            assert answer.json["error"]["code"] == "headers_too_large"
            assert not up.seen

    play(scenario)


def test_b9_the_second_of_two_chunked_bodies_has_the_bound_too() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            reader, writer = await client.open(CHUNKED + b"\r\n" + CHUNK)
            await asyncio.sleep(0.05)
            writer.write(b"0\r\n\r\n" + CHUNKED + b"\r\n" + CHUNK + b"0\r\nx-sum: ")
            assert (await read_response(reader)).status == 200
            refused(await cut_off(reader, writer, b"y" * 4096), 431)

    play(scenario)


def test_b9_what_comes_behind_an_answer_and_has_no_end_closes_the_connection() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            begun = CHUNKED.replace(b"/chat", b"/no") + b"\r\n" + CHUNK + b"0\r\nx-sum: "
            said = await cut_off(*await client.open(begun), b"y" * 4096)
            assert said.startswith(b"HTTP/1.1 404")
            assert said.count(b"HTTP/1.1") == 1

    play(scenario)


@pytest.mark.parametrize("answered", [True, False])
def test_a_chunked_body_in_many_reads_is_read_to_its_end(answered: bool) -> None:
    """However large, and however much stands around it in all."""

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            body = orjson.dumps({**ASK["chat"], "user": "y" * 100_000})
            why = b"n" * (500 if answered else 2000)
            chunks = [b"5;why=%b\r\n%b\r\n" % (why, body[at : at + 5].ljust(5)) for at in range(0, 500, 5)]
            chunks.append(b"%x\r\n%b\r\n" % (len(body) - 500, body[500:]))
            head = CHUNKED.replace(b"/chat", b"/no") if answered else CHUNKED
            reader, writer = await client.open(head + b"\r\n")
            for chunk in (*chunks, b"0\r\n", b"x-sum: 1\r\n" * 1000, b"\r\n"):
                size, end, data = chunk.partition(b"\r\n")
                for part in (size + end, data):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)  # each is a read of its own
            assert (await read_response(reader)).status == (404 if answered else 200)
            writer.write(LIVE)
            assert (await read_response(reader)).status == 200
            writer.close()

    play(scenario)


def test_a_body_in_very_many_chunks_is_read() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            reader, writer = await client.open(CHUNKED + b"\r\n" + b"1\r\n \r\n" * 3000)
            await asyncio.sleep(0.05)
            writer.write(CHUNK + b"0\r\n\r\n")
            assert (await read_response(reader)).status == 200
            assert up.seen[0].json["messages"] == ASK["chat"]["messages"]
            writer.close()

    play(scenario)


def test_a_body_with_a_length_behind_a_chunked_one_is_read_to_its_end_though_nobody_listens() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            elsewhere = CHUNKED.replace(b"/chat", b"/no") + b"\r\n" + CHUNK + b"0\r\n\r\n"
            reader, writer = await client.open(elsewhere)
            assert (await read_response(reader)).status == 404
            raw = request_bytes("POST", "/v1/no", b"y" * 1_000_000)
            for part in (*(raw[at : at + 50_000] for at in range(0, len(raw), 50_000)), LIVE):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            assert [(await read_response(reader)).status for _ in range(2)] == [404, 200]
            writer.close()

    play(scenario)


def test_the_bound_of_what_nobody_hears_is_each_bodys_own() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            reader, writer = await client.open(b"")
            size = 60_000
            raw = CHUNKED.replace(b"/chat", b"/no") + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, b"y" * size)
            writer.write(raw[: len(raw) // 2])
            for _ in range(12):  # each read ends one and begins the next
                assert (await read_response(reader)).status == 404
                writer.write(raw[len(raw) // 2 :] + raw[: len(raw) // 2])
            writer.close()

    play(scenario)


# ------------------------------------------------------------------------------------------- offers of another protocol


def _offering(body: bytes, *, chunked: bool) -> bytes:
    length = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(body)
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    head = f"POST {PATH['chat']} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode()
    return head + H2C + length + b"\r\n\r\n" + body


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("cut", [0, 1, 60, 250, 280])
def test_an_offer_of_http2_is_not_taken_and_its_request_is_served(cut: int, chunked: bool) -> None:
    """`curl --http2` and Java's client offer it with their first request, body and all."""

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            raw = _offering(orjson.dumps(ASK["chat"]), chunked=chunked)
            reader, writer = await client.open(raw[:cut])
            await asyncio.sleep(0.01)
            writer.write(raw[cut:] + LIVE)
            answer = await read_response(reader)
            assert (answer.status, answer.whole) == (200, True)
            assert up.seen[0].json["messages"] == ASK["chat"]["messages"]
            assert (await read_response(reader)).body == b'{"status":"ok"}'
            writer.close()

    play(scenario)


@pytest.mark.parametrize("offered", ["h2c", "foo/2", "websocket, h2c"])
def test_an_offer_without_a_body_is_not_taken_either(offered: str) -> None:
    async def scenario() -> None:
        async with adapter() as client:
            reader, writer = await client.open(
                request_bytes("GET", "/livez", connection="Upgrade", upgrade=offered) + LIVE
            )
            for _ in range(2):
                assert (await read_response(reader)).body == b'{"status":"ok"}'
            writer.close()

    play(scenario)


@pytest.mark.parametrize("more", [b"", SOCKET])
def test_an_offer_of_a_socket_with_a_body_is_a_request_as_any_other(more: bytes) -> None:
    """A proxy that says `Upgrade: websocket` with whatever it passes on; only a GET can open one."""

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            fields = b"host: x\r\nconnection: upgrade\r\n" + (more or b"upgrade: websocket\r\n")
            reader, writer = await client.open(ask_bytes("chat").replace(b"host: x\r\n", fields, 1) + LIVE)
            assert (await read_response(reader)).status == 200
            assert up.seen[0].json["messages"] == ASK["chat"]["messages"]
            assert (await read_response(reader)).body == b'{"status":"ok"}'
            writer.close()

    play(scenario)


@pytest.mark.parametrize(
    "more",
    [
        b"authorization: Bearer " + b"k" * 9000 + b"\r\n",
        b"".join(b"x-%d: y\r\n" % n for n in range(150)),
        b"content-length: 5\r\n",
    ],
    ids=["a long field", "many fields", "a body"],
)
def test_an_offer_of_a_socket_that_cannot_be_read_is_refused(more: bytes) -> None:
    """It was neither answered nor closed."""

    async def scenario() -> None:
        async with adapter() as client:
            head = b"GET /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n" + SOCKET + more + b"\r\n"
            assert "WebSocket" in refused(await everything(client, head)).json["error"]["message"]

    play(scenario)


def test_an_offer_of_a_socket_before_the_answer_to_another_request_is_not_taken() -> None:
    """It was taken at once: its 101 stood before that answer, which nobody was told of whose client had left."""

    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            head = b"GET /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n" + SOCKET + b"\r\n"
            reader, writer = await client.open(LIVE + head)
            assert [(await read_response(reader)).status for _ in range(2)] == [200, 426]
            writer.write(head)
            assert (await read_head(reader)).status == 101
            writer.close()
            _, writer = await client.open(ask_bytes("chat", stream=True) + head)
            await up.arrived.wait()
            await asyncio.sleep(0.4)  # somebody listens by now
            writer.transport.abort()
            await asyncio.wait_for(up.seen[0].finished.wait(), 2)

    play(scenario)


def test_however_many_offers_come_in_one_read_each_is_served() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            offer = request_bytes("GET", "/livez", connection="Upgrade", upgrade="h2c")
            said = await everything(client, offer * 2000 + request_bytes("GET", "/livez", connection="close"))
            assert said.count(b'{"status":"ok"}') == 2001

    play(scenario)


def test_whoever_waits_for_leave_to_send_its_body_gets_it() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            raw = ask_bytes("chat").replace(b"host: x", b"host: x\r\nexpect: 100-continue", 1)
            head, _, body = raw.partition(b"\r\n\r\n")
            reader, writer = await client.open(head + b"\r\n\r\n")
            assert (await read_head(reader)).status == 100
            writer.write(body)
            assert (await read_response(reader)).status == 200
            writer.close()

    play(scenario)


def test_whoever_is_refused_gets_no_leave_to_send_its_body() -> None:
    async def scenario() -> None:
        async with adapter(body_limit=1000) as client:
            head = request_bytes("POST", PATH["chat"], expect="100-continue", content_type="application/json")
            answer = await client.send(head.replace(b"content-length: 0", b"content-length: 1001"))
            assert answer.status == 413

    play(scenario)


def test_http10_knows_no_leave() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            raw = ask_bytes("chat").replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nexpect: 100-continue\r\n", 1)
            head, end, body = raw.partition(b"\r\n\r\n")
            assert (await everything(client, head + end, body)).startswith(b"HTTP/1.1 200")

    play(scenario)


# ------------------------------------------------------------------------------------------------------- header fields


def test_two_hosts_are_refused() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.send(ask_bytes("chat").replace(b"host: x", b"host: x\r\nhost: y", 1))
            assert answer.status == 400
            assert "host" in answer.json["error"]["message"]
            assert not up.seen

    play(scenario)


HOSTLESS = b"GET /livez HTTP/1.1\r\naccept: */*\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        HOSTLESS,
        ask_bytes("chat").replace(b"host: x\r\n", b"", 1),
        b"GET http://x/livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + H2C + b"\r\n",
        b"GET /v1/responses HTTP/1.1\r\nconnection: upgrade\r\n" + SOCKET + b"\r\n",
    ],
)
def test_a_request_without_a_host_is_refused(raw: bytes) -> None:
    """RFC 9112, section 3.2: whatever is asked for."""

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            assert "Host" in refused(await everything(client, raw)).json["error"]["message"]
            assert not up.seen

    play(scenario)


def test_a_request_without_a_host_behind_another_one_is_refused_behind_its_answer() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            said = await everything(client, LIVE + HOSTLESS + LIVE)
            assert said.startswith(b"HTTP/1.1 200")
            assert said.count(b"HTTP/1.1") == 2
            refused(said[said.rindex(b"HTTP/1.1") :])

    play(scenario)


@pytest.mark.parametrize(
    "raw", [b"GET /livez HTTP/1.0\r\n\r\n", b"GET /livez HTTP/1.1\r\nconnection: close\r\nHost:\r\n\r\n"]
)
def test_a_host_may_be_nobody_and_http10_knows_none(raw: bytes) -> None:
    async def scenario() -> None:
        async with adapter() as client:
            assert (await everything(client, raw)).startswith(b"HTTP/1.1 200")

    play(scenario)


def test_what_comes_behind_a_chunked_body_is_no_header_field() -> None:
    keys: dict[str, Any] = {
        "keys": [{"id": "one", "key": KEY, "owner": "one", "groups": ["all"]}],
        "groups": [{"name": "all"}],
    }

    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", api_key="none"), access=keys) as client,
        ):
            body = orjson.dumps(ASK["chat"])
            field = f"authorization: Bearer {KEY}\r\n".encode()
            behind = CHUNKED + b"\r\n%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, field)
            assert (await client.send(behind)).status == 401
            before = CHUNKED + field + b"\r\n%x\r\n%b\r\n0\r\nx-sum: 1\r\n\r\n" % (len(body), body)
            assert (await client.send(before)).status == 200
            assert not _NOWHERE  # nor is it kept

    play(scenario)
