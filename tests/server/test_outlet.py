"""Two hands write on one answer; neither overtakes the other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapter.server.http.outlet import Outlet
from tests.server.harness import play


class Client:
    """Takes what it is sent when it is told to."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.read: list[bytes] = []

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await self.reads.wait()
            self.read.append(message["body"])


def test_who_comes_second_waits_for_the_first_send() -> None:
    async def scenario() -> None:
        client = Client()
        outlet = Outlet(client.send)
        first = asyncio.ensure_future(outlet.write(b"1"))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(outlet.write(b"2", last=True))
        await asyncio.sleep(0)
        assert outlet.busy
        client.reads.set()
        await asyncio.gather(first, second)
        assert client.read == [b"1", b"2"]
        assert not outlet.busy

    play(scenario)


def test_who_gives_up_waiting_or_sending_blocks_nobody_and_loses_nothing() -> None:
    async def scenario() -> None:
        client = Client()
        outlet = Outlet(client.send)
        first = asyncio.ensure_future(outlet.write(b"1"))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(outlet.write(b"2"))
        await asyncio.sleep(0)
        for given_up in (second, first):
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
        assert not outlet.busy
        client.reads.set()
        await outlet.write(b"3", last=True)
        assert client.read == [b"123"]

    play(scenario)


def test_a_keep_alive_is_a_write_and_no_data() -> None:
    async def scenario() -> None:
        client = Client()
        client.reads.set()
        outlet = Outlet(client.send)
        await outlet.write(b"1")
        data, write = outlet.last_data, outlet.last_write
        await asyncio.sleep(0.01)
        await outlet.keep_alive()
        assert outlet.last_data == data
        assert outlet.last_write > write

    play(scenario)
