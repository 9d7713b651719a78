"""Connections that wait: the one that was used last is the next, none waits for ever, and none is asked that is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from adapter.upstream import pool
from adapter.upstream.sending import Sender
from tests.server.harness import play
from tests.upstream.test_sending import post, sender, whole


class Numbering:
    """A server that answers with the number of the connection that it was asked on."""

    def __init__(self, more: bytes) -> None:
        self.more = more
        self.url = ""
        self.count = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.gone: set[int] = set()
        self.let_go = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.count
        self.count += 1
        self.writers.append(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                await self.let_go.wait()
                writer.write(b"HTTP/1.1 200 OK\r\n%bcontent-length: 1\r\n\r\n%d" % (self.more, number))
        except asyncio.IncompleteReadError:
            self.gone.add(number)
        finally:
            writer.close()


@asynccontextmanager
async def numbering(more: bytes = b"") -> AsyncIterator[Numbering]:
    made = Numbering(more)
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    made.let_go.set()
    try:
        yield made
    finally:
        server.close()


async def ask(sends: Sender, up: Numbering, path: str = "/") -> int:
    return int(await whole(await post(sends, up.url + path)))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.01)


def test_what_was_used_last_is_used_next_whatever_the_path() -> None:
    async def scenario() -> None:
        async with numbering() as up, sender() as sends:
            up.let_go.clear()
            both = [asyncio.ensure_future(ask(sends, up)) for _ in range(2)]
            await until(lambda: up.count == 2)
            up.let_go.set()
            assert sorted(await asyncio.gather(*both)) == [0, 1]
            last = await ask(sends, up)
            assert [await ask(sends, up, f"/{n}") for n in range(3)] == [last] * 3

    play(scenario)


def test_what_nobody_asks_for_is_closed_and_what_was_used_since_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(pool, "KEPT_FOR", 1.0)
        async with numbering() as up, sender() as sends:
            up.let_go.clear()
            both = [asyncio.ensure_future(ask(sends, up)) for _ in range(2)]
            await until(lambda: up.count == 2)
            up.let_go.set()
            await asyncio.gather(*both)
            used = await ask(sends, up)
            while not up.gone:
                assert await ask(sends, up) == used
                await asyncio.sleep(0.02)
            assert up.gone == {1 - used}
            await until(lambda: len(up.gone) == 2)

    play(scenario)


def test_what_the_upstream_closed_is_not_asked() -> None:
    async def scenario() -> None:
        async with numbering() as up, sender() as sends:
            assert await ask(sends, up) == 0
            up.writers[0].close()
            await asyncio.sleep(0.05)
            assert await ask(sends, up) == 1

    play(scenario)


def test_what_says_close_is_not_kept() -> None:
    async def scenario() -> None:
        async with numbering(b"connection: close\r\n") as up, sender() as sends:
            assert [await ask(sends, up) for _ in range(2)] == [0, 1]
            await until(lambda: up.gone == {0, 1})

    play(scenario)


def test_a_closed_sender_keeps_nothing_open() -> None:
    async def scenario() -> None:
        async with numbering() as up:
            async with sender() as sends:
                await ask(sends, up)
            await until(lambda: up.gone == {0})

    play(scenario)
