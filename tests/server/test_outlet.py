"""Two hands write on one answer; neither overtakes the other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from adapter.server.http.outlet import Outlet, Shape
from adapter.server.turn import Outcome, Turn
from adapter.server.watch import watch
from tests.server.harness import play


class Client:
    """Takes what it is sent when it is told to."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.read: list[bytes] = []
        self.waited_for = False

    async def send(self, message: Any) -> None:
        assert not self.waited_for, "two sends at once"
        if message["type"] == "http.response.body":
            self.waited_for = True
            try:
                await self.reads.wait()
            finally:
                self.waited_for = False
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


def test_who_gives_up_in_the_moment_of_its_turn_does_not_disturb_the_first() -> None:
    async def scenario() -> None:
        client = Client()
        outlet = Outlet(client.send)
        first, second = (asyncio.ensure_future(outlet.write(data)) for data in (b"1", b"2"))
        while not outlet._quiet:
            await asyncio.sleep(0)
        client.reads.set()
        second.cancel()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second
        await outlet.write(b"3", last=True)
        assert client.read == [b"1", b"23"]

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


@pytest.mark.parametrize("shape", Shape)
def test_what_comes_in_pieces_is_neither_stored_nor_held_back_on_its_way(shape: Shape) -> None:
    """A proxy that gathers what is streamed, as nginx does unless it is told, would make one piece of it."""

    async def scenario() -> None:
        heads: list[Any] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                heads.append(message)

        outlet = Outlet(send)
        outlet.shape = shape
        outlet.headers.append((b"x-request-id", b"1"))
        await outlet.write(b"1")
        await outlet.write(b"2")
        (head,) = heads
        assert head["status"] == 200
        fields = [(b"x-request-id", b"1"), (b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        if shape is Shape.STREAM:
            fields[1] = (b"content-type", b"text/event-stream; charset=utf-8")
            fields.append((b"x-accel-buffering", b"no"))
        assert head["headers"] == fields

    play(scenario)


def test_nothing_is_sent_behind_a_whole_answer() -> None:
    async def scenario() -> None:
        client = Client()
        client.reads.set()
        outlet = Outlet(client.send)
        await outlet.whole(200, [], b"{}")
        await outlet.keep_alive()
        assert client.read == [b"{}"]

    play(scenario)


def test_who_leaves_while_the_end_waits_for_it_was_given_the_whole_answer() -> None:
    """Its turn goes on to what follows the last send: what the answer cost by its upstream's own word."""

    async def scenario() -> None:
        async def leaves() -> Any:
            return {"type": "http.disconnect"}

        outlet = Outlet(Client().send)
        turn = Turn("chat", {"headers": []}, leaves, outlet)
        for last, cut_by in ((True, None), (False, Outcome.CLIENT_GONE)):
            writing = asyncio.ensure_future(outlet.write(b"1", last=last))
            await asyncio.sleep(0)
            turn.task = writing
            await watch(turn)
            assert turn.cut_by is cut_by
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    play(scenario)


def test_what_is_put_comes_behind_every_hand_and_waits_for_a_client_that_does_not_read() -> None:
    async def scenario() -> None:
        client = Client()
        client.reads.set()
        outlet = Outlet(client.send)
        assert not outlet.ready()
        await outlet.write(b"1")
        assert not outlet.ready()  # this server's own `send` it is not
        outlet._direct = SimpleNamespace(ready=client.reads.is_set, put=client.read.append)  # type: ignore[assignment]
        client.reads.clear()
        assert not outlet.ready()
        hands = [asyncio.ensure_future(outlet.write(data)) for data in (b"2", b"3")]
        await asyncio.sleep(0)
        hands[1].cancel()
        await asyncio.sleep(0)
        client.reads.set()
        assert not outlet.ready()  # the first hand does not know yet
        client.reads.clear()
        hands[1] = asyncio.ensure_future(outlet.write(b"4"))
        await asyncio.sleep(0)
        client.reads.set()
        while b"34" not in client.read:
            assert outlet.busy
            assert not outlet.ready()
            await asyncio.sleep(0)
        assert outlet.ready()
        before = outlet.last_data
        outlet.put(b"5")
        assert client.read == [b"1", b"2", b"34", b"5"]
        assert outlet.last_write == outlet.last_data > before
        await asyncio.gather(*hands, return_exceptions=True)

    play(scenario)
