"""What is written to a client arrives as it was written, whatever is joined on the way."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any, cast

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from adapter.server.http.joining import Joining, JoiningProtocol
from adapter.server.http.outlet import Outlet, Shape

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
PIECES = st.sampled_from([HEAD, b"HTTP/1.1 100 Continue\r\n\r\n", b"{}", b"", b"HTTP", b"0\r\n\r\n"])


class Wire:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


async def written(turns: list[list[bytes]], *, close: bool, together: bool = False, answering: int = 1) -> Wire:
    wire = Wire()
    joining = Joining(cast(Any, wire), asyncio.get_running_loop(), range(answering))
    for turn in turns:
        with joining if together else nullcontext():
            for piece in turn:
                joining.write(piece)
        if turn is turns[-1] and close:
            joining.close()
        await asyncio.sleep(0)
    return wire


@given(
    turns=st.lists(st.lists(PIECES, max_size=4), min_size=1, max_size=4),
    close=st.booleans(),
    together=st.booleans(),
    answering=st.integers(1, 2),
)
def test_nothing_is_lost_added_or_moved(turns: list[list[bytes]], close: bool, together: bool, answering: int) -> None:
    wire = asyncio.run(written(turns, close=close, together=together, answering=answering))
    assert b"".join(wire.writes) == b"".join(piece for turn in turns for piece in turn)
    assert wire.closed is close


def test_what_is_not_written_together_is_written_as_it_comes() -> None:
    assert asyncio.run(written([[HEAD, b"{}"]], close=False)).writes == [HEAD, b"{}"]


@pytest.mark.parametrize("answering", [1, 2])
def test_what_is_written_together_waits_for_others_that_are_being_answered_only(answering: int) -> None:
    async def scenario() -> None:
        wire = Wire()
        joining = Joining(cast(Any, wire), asyncio.get_running_loop(), range(answering))
        with joining:
            joining.write(HEAD)
            await asyncio.sleep(0)
            joining.write(b"{}")
            assert wire.writes == []
        assert wire.writes == ([HEAD + b"{}"] if answering == 1 else [])
        await asyncio.sleep(0)
        assert wire.writes == [HEAD + b"{}"]

    asyncio.run(scenario())


def test_all_else_is_the_transports_own() -> None:
    async def scenario() -> None:
        assert Joining(cast(Any, Wire()), asyncio.get_running_loop(), ()).get_extra_info("socket") == "the socket"

    asyncio.run(scenario())


class Client(Wire):
    """The client's end of a connection that the server itself serves."""

    def get_extra_info(self, name: str) -> Any:
        return None

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def _connected(app: Any, client: Client, others: int) -> Any:
    """A connection of `client` to a server that is answering so many others."""
    config = uvicorn.Config(app, interface="asgi3", lifespan="off", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    state.tasks |= {asyncio.ensure_future(asyncio.sleep(0)) for _ in range(others)}
    served = JoiningProtocol(config, state, {})
    served.connection_made(cast(Any, client))
    return served


@pytest.mark.parametrize("others", [0, 1])
def test_what_is_put_while_the_head_is_held_comes_behind_it(others: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        outlet = Outlet(send)
        outlet.shape = Shape.STREAM
        await outlet.write(b"data: 1\n\n")
        assert outlet.ready()
        outlet.put(b"data: 2\n\n")
        await outlet.write(b"data: 3\n\n", last=True)

    client = Client()

    async def scenario() -> None:
        served = _connected(app, client, others)
        served.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        async with asyncio.timeout(5):
            while not served.cycle.response_complete or served.transport.held:
                await asyncio.sleep(0)
        head, _, body = b"".join(client.writes).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert [line for line in body.split(b"\n") if line.startswith(b"data")] == [b"data: 1", b"data: 2", b"data: 3"]
        served.connection_lost(None)

    asyncio.run(scenario())


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("shape", Shape)
def test_the_head_of_an_answer_and_what_follows_it_are_one_write(shape: Shape, others: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        outlet = Outlet(send)
        outlet.shape = shape
        if shape is Shape.PLAIN:
            await outlet.whole(200, [], b"{}")
        else:
            await outlet.write(b"data: {}\n\n")
            assert len(client.writes) == (0 if others else 1)
            await asyncio.sleep(0)
            await outlet.write(b"data: [DONE]\n\n", last=True)

    client = Client()

    async def scenario() -> None:
        served = _connected(app, client, others)
        served.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        async with asyncio.timeout(5):
            while not served.cycle.response_complete or served.transport.held:
                await asyncio.sleep(0)
        served.connection_lost(None)

    asyncio.run(scenario())
    first = client.writes[0]
    assert first.startswith(HEAD[:15])
    assert first.endswith(b"{}" if shape is Shape.PLAIN else b"data: {}\n\n\r\n")
    assert len(client.writes) == (1 if shape is Shape.PLAIN else 2)


def test_an_answer_whose_client_is_gone_before_it_is_written_is_not_written() -> None:
    client = Client()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Outlet(send).whole(200, [], b"{}")

    async def scenario() -> None:
        served = _connected(app, client, others=1)
        served.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        async with asyncio.timeout(5):
            while not served.transport.held:
                await asyncio.sleep(0)
        served.connection_lost(ConnectionResetError())
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert client.writes == []


def test_a_connection_that_is_asked_again_is_not_idle() -> None:
    """The end of its idleness was set behind the answer before, and would be that of the one under way."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Outlet(send).whole(200, [], b"{}")

    async def scenario() -> None:
        client = Client()
        served = _connected(app, client, others=0)
        for _ in range(2):
            served.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
            assert served.timeout_keep_alive_task is None
            async with asyncio.timeout(5):
                while served.timeout_keep_alive_task is None:
                    await asyncio.sleep(0)
        served.connection_lost(None)

    asyncio.run(scenario())


def test_a_request_whose_body_cannot_be_read_is_over_at_once() -> None:
    """However long the connection takes to close."""
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])

    async def scenario() -> None:
        client = Client()
        served = _connected(app, client, others=0)
        served.data_received(b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n")
        await asyncio.sleep(0)
        served.data_received(b"zz\r\n")
        assert client.closed
        for _ in range(3):
            await asyncio.sleep(0)
        assert heard == ["http.disconnect"]
        served.connection_lost(None)

    asyncio.run(scenario())
