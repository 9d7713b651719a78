"""A canned upstream that costs next to nothing: pre-rendered bytes behind an asyncio Protocol, in a process of its own.

The path decides the dialect and the model's name decides the answer: `plain`, `stream-200-burst` (five deltas a write,
a write each millisecond), `stream-200-paced` (one delta each 5 ms), `stream-2-idle` (one delta each 30 s), `stream-200-flood` (all at once).
"""

from __future__ import annotations

import asyncio
import sys
from functools import cache
from typing import Final, cast

import httptools
import uvloop

from tests.bench import payloads

MODES: Final = {"burst": (5, 0.001), "paced": (1, 0.005), "idle": (1, 30.0), "flood": (1_000_000, 0.0)}
"""Mode -> deltas in one write, seconds between two writes."""

_STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"


@cache
def plain_answer(dialect: str) -> bytes:
    """Head and body of the plain answer."""
    body = payloads.plain(dialect)
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


@cache
def writes(dialect: str, deltas: int, mode: str) -> tuple[bytes, ...]:
    """The streamed answer cut into the writes of its mode, head first, in chunked framing."""
    group = MODES[mode][0]
    opening, *middle, closing = payloads.stream(dialect, deltas)
    parts = [opening, *(b"".join(middle[i : i + group]) for i in range(0, len(middle), group)), closing]
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
    return (_STREAM_HEAD + chunks[0], *chunks[1:-1], chunks[-1] + b"0\r\n\r\n")


class Upstream(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""
        self.body = b""
        self.gone = False
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        url, body = self.url, self.body
        self.url = self.body = b""
        dialect = payloads.RESPONSES if url.startswith(b"/v1/responses") else payloads.CHAT
        model = _model(body)
        if not model.startswith("stream-"):
            self.transport.write(plain_answer(dialect))
            return
        _, deltas, mode = model.split("-")
        self._send(writes(dialect, int(deltas), mode), 0, MODES[mode][1])

    def _send(self, parts: tuple[bytes, ...], position: int, gap: float) -> None:
        if self.gone:
            return
        if gap == 0.0:
            self.transport.write(b"".join(parts))
            return
        self.transport.write(parts[position])
        if position + 1 < len(parts):
            self.loop.call_later(gap, self._send, parts, position + 1, gap)


def _model(body: bytes) -> str:
    """The value of the last `"model"` key, without parsing the body."""
    _, found, after = body.rpartition(b'"model"')
    return after.split(b'"', 2)[1].decode("ascii", "replace") if found else ""


async def serve(port: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=1024)
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
