"""The load generator: asyncio Protocols over keep-alive connections, in a process of its own.

Reads one job a line from standard input and answers each with one line of JSON, so that it is started once a run.
Every answer is checked for its status, its end and its number of deltas: a fast wrong answer must not win.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import cast

import httptools
import orjson
import uvloop

from tests.bench import payloads


@dataclass(slots=True, kw_only=True)
class Job:
    """So many requests of one kind to one port."""

    port: int
    dialect: str
    model: str
    requests: int
    concurrency: int
    history: int = 0
    hold: bool = False
    """Answer when every stream has begun, and keep all open until the next line comes."""
    timeout: float = 120.0


@dataclass(slots=True)
class Tally:
    """What came of a job; times in seconds."""

    wall: float = 0.0
    first: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""


class Connection(asyncio.Protocol):
    """Sends its share of a job, one request after another."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.parser = httptools.HttpResponseParser(self)
        self.sent_at = 0.0
        self.pieces: list[bytes] = []
        self.seen = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.run.connections.append(self)
        self.next()

    def next(self) -> None:
        """Send the next request, or leave."""
        if self.run.left == 0:
            self.transport.close()
            return
        self.run.left -= 1
        self.pieces.clear()
        self.seen = False
        self.sent_at = time.perf_counter()
        self.transport.write(self.run.wire)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.run.over(f"not HTTP: {error}")
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        if not self.seen and (not self.run.streaming or b"data:" in body):
            self.seen = True
            self.run.began(time.perf_counter() - self.sent_at)
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        self.run.over(self.run.wrong(status, b"".join(self.pieces)))
        if self.parser.should_keep_alive():
            self.next()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.run.lost()


class Run:
    """One job under way."""

    def __init__(self, job: Job) -> None:
        path, body = (
            payloads.PATHS[job.dialect],
            payloads.request(job.dialect, job.model, stream=job.model.startswith("stream-"), history=job.history),
        )
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{job.port}\r\nauthorization: Bearer sk-bench\r\n"
        head += f"content-type: application/json\r\naccept: */*\r\ncontent-length: {len(body)}\r\n\r\n"
        self.wire = head.encode() + body
        self.job = job
        self.streaming = job.model.startswith("stream-")
        self.deltas = int(job.model.split("-")[1]) if self.streaming else 0
        self.left = self.open = job.requests
        self.tally = Tally()
        self.finished = asyncio.Event()
        self.connections: list[Connection] = []

    async def go(self) -> Tally:
        loop = asyncio.get_running_loop()
        begun = time.perf_counter()
        count = min(self.job.concurrency, self.job.requests)
        connecting = (
            loop.create_connection(lambda: Connection(self), "127.0.0.1", self.job.port) for _ in range(count)
        )
        self.connected = count
        try:
            async with asyncio.timeout(self.job.timeout):
                await asyncio.gather(*connecting)
                await self.finished.wait()
        except (TimeoutError, OSError) as error:
            self.tally.errors += self.open
            self.tally.first_error = self.tally.first_error or repr(error)
        self.tally.wall = time.perf_counter() - begun
        return self.tally

    def wrong(self, status: int, body: bytes) -> str:
        """Why this answer is not the right one; "" when it is."""
        if status != 200:
            return f"status {status}: {body[:200]!r}"
        if not self.streaming:
            return "" if b" delta " in body else f"no answer in {body[:200]!r}"
        if payloads.END_MARKS[self.job.dialect] not in body:
            return f"the stream has no end: {body[-200:]!r}"
        seen = body.count(payloads.DELTA_MARKS[self.job.dialect])
        return "" if seen == self.deltas else f"{seen} deltas of {self.deltas}"

    def began(self, after: float) -> None:
        """An answer's first event, or the answer, is in."""
        self.tally.first.append(after)
        if self.job.hold and len(self.tally.first) == self.job.requests:
            self.finished.set()

    def leave(self) -> None:
        """Break off what is still under way."""
        for connection in self.connections:
            connection.transport.abort()

    def over(self, error: str) -> None:
        """One answer is in."""
        self.open -= 1
        if error:
            self.tally.errors += 1
            self.tally.first_error = self.tally.first_error or error
        if self.open == 0:
            self.finished.set()

    def lost(self) -> None:
        """A connection is gone; with the last one the job is over."""
        self.connected -= 1
        if self.connected == 0 and self.open:
            self.tally.errors += self.open
            self.tally.first_error = self.tally.first_error or "connections were closed early"
            self.finished.set()


def main() -> None:
    """Serve jobs until the standard input ends."""
    while line := sys.stdin.readline():
        uvloop.run(_go(Job(**orjson.loads(line))))


async def _go(job: Job) -> None:
    run = Run(job)
    tally = await run.go()
    sys.stdout.write(orjson.dumps(asdict(tally)).decode() + "\n")
    sys.stdout.flush()
    if job.hold:
        await asyncio.to_thread(sys.stdin.readline)
        run.leave()


if __name__ == "__main__":
    main()
