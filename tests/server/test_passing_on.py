"""What is passed on in the moment it comes is what a task would have passed on: the same bytes, whatever the cut of the reads,
whether or not the client takes what it is sent, and however the upstream ends."""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
from collections.abc import Callable
from typing import Any, cast

import pytest
from aiohttp import StreamReader
from aiohttp.helpers import DEFAULT_CHUNK_SIZE, TimerNoop
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapter.dialects.intake import Intake
from adapter.dialects.registry import DIALECTS
from adapter.dialects.responses.write_stream import ResponsesWriter
from adapter.errors import UpstreamError
from adapter.hub.events import Event, Failed
from adapter.hub.request import DialectName, Exchange
from adapter.server.calls.lanes import Hub, RawStreaming, begun
from adapter.server.calls.pump import MAX_EVENTS, stream_events, stream_raw
from adapter.server.http.joining import DirectWriter, direct_writer
from adapter.server.http.outlet import Outlet, Shape
from adapter.upstream.alarms import Alarms
from adapter.upstream.client import Kind, Reply
from adapter.upstream.pool import Pool
from adapter.upstream.sending import Answer, Protocol
from tests.bench import payloads
from tests.server.harness import adapter, play, upstream
from tests.server.scripted import END, SSE, Script, Sleep, Stall, Upstream, chunk, event

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Wire(asyncio.Transport):
    """An upstream's connection that is fed by hand."""

    paused = closed = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Connection:
    """As the pool gives it."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.transport = protocol.transport

    def close(self) -> None: ...


class Moody:
    """A client that takes what it is sent at once, or only later."""

    def __init__(self, moods: list[bool]) -> None:
        self._moods = moods
        self._asked = 0
        self.at_once = 0
        self.in_time = False
        """It had everything before the upstream closed its connection."""
        self.read: list[bytes] = []

    def ready(self) -> bool:
        self._asked += 1
        return self._moods[self._asked % len(self._moods)]

    def put(self, data: bytes) -> None:
        self.at_once += 1
        self.read.append(data)

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(0)
            self.read.append(message["body"])


async def replied() -> tuple[Protocol, Reply]:
    """A connection and the stream that begins on it, its head read."""
    protocol = Protocol(asyncio.get_running_loop())
    protocol.connection_made(Wire())
    protocol.set_response_params(timer=TimerNoop(), read_until_eof=True, auto_decompress=False)
    protocol.asked = True
    protocol.data_received(HEAD)
    head, content = await protocol.read()
    pool = Pool(asyncio.get_running_loop())
    reply = Reply(Answer(cast(Any, Connection(protocol)), pool, head, content), Alarms(), 60)
    reply.kind = Kind.STREAM
    return protocol, reply


def _unpaid(_usage: object) -> None:
    """Nobody keeps books here."""


async def served(
    client: DialectName,
    upstream: DialectName,
    reads: list[bytes],
    moods: list[bool],
    *,
    lost: bool = False,
    turns: int = 10,
) -> Moody:
    """What the client got of an upstream's stream that came in these reads, so many turns of the loop apart."""
    moody, exchange = Moody(moods), Exchange.unasked(client)
    protocol, reply = await replied()
    outlet = Outlet(moody.send)
    outlet.shape = Shape.STREAM

    async def serve() -> None:
        if client == upstream:
            observer = DIALECTS[client].raw_stream(exchange)
            raw = await begun(RawStreaming(reply, observer, settle_within=60), _unpaid)
            await stream_raw(outlet, raw)
            assert outlet.events == b"".join(moody.read).count(b"data:")
        else:
            lane = await begun(Hub(reply, Intake(DIALECTS[upstream], exchange), exchange, settle_within=60), _unpaid)
            writer = DIALECTS[client].stream_writer(exchange)
            await stream_events(outlet, writer, lane)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("adapter.server.http.outlet.direct_writer", lambda _: moody if any(moods) else None)
        task = asyncio.get_running_loop().create_task(serve())
        for read in reads:
            for _ in range(turns):
                await asyncio.sleep(0)
            protocol.data_received(read)
        for _ in range(200):
            await asyncio.sleep(0)
        moody.in_time = task.done()
        if not moody.in_time:
            protocol.connection_lost(ConnectionResetError() if lost else None)
        try:
            await asyncio.wait_for(task, 10)
        except UpstreamError:  # it broke before anything was said
            assert not moody.read
        else:
            assert outlet.ended
    assert protocol.heard is None
    return moody


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[DialectName, list[bytes]]:
    """A canned stream of a dialect in chunked framing, its lines ended in either way, cut behind every event or anywhere,
    whole or broken off."""
    dialect = cast(DialectName, draw(st.sampled_from([payloads.CHAT, payloads.RESPONSES])))
    stream = b"".join(payloads.stream(dialect, draw(st.sampled_from([0, 1, 2, 7, 40, 3 * MAX_EVENTS]))))
    end_of_line = draw(st.sampled_from([b"\n", b"\r\n"]))
    blocks = [data.replace(b"\n", end_of_line) + 2 * end_of_line for data in stream.split(b"\n\n") if data]
    framed = [b"%x\r\n%b\r\n" % (len(block), block) for block in blocks] + draw(st.sampled_from([[], [END]]))
    if draw(st.booleans()):
        return dialect, framed[: draw(st.just(len(framed)) | st.integers(1, len(framed)))]
    wire = b"".join(framed)
    wire = wire[: draw(st.just(len(wire)) | st.integers(len(wire) // 2, len(wire)))]
    cuts = sorted(set(draw(st.lists(st.integers(1, max(1, len(wire) - 1)), max_size=12))))
    return dialect, [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]


@given(
    stream=cut_streams(),
    client=st.sampled_from([payloads.CHAT, payloads.RESPONSES]),
    moods=st.lists(st.booleans(), min_size=1, max_size=5),
    lost=st.booleans(),
    turns=st.integers(1, 10),
)
def test_what_is_passed_on_at_once_is_what_a_task_passes_on(
    stream: tuple[DialectName, list[bytes]], client: DialectName, moods: list[bool], lost: bool, turns: int
) -> None:
    upstream, reads = stream
    at_once, woken = (
        asyncio.run(served(client, upstream, reads, each, lost=lost, turns=turns)) for each in ([*moods, True], [False])
    )
    assert woken.at_once == 0
    assert b"".join(at_once.read) == b"".join(woken.read)
    assert at_once.in_time == woken.in_time


A_CHUNK = b"a\r\ndata: {}\n\n\r\n"
BODIES = st.sampled_from([b"data: {}\n\n", b"x" * 20 + b"\n\n", b"x" * 251 + b"\n\n", b"7\r\n", A_CHUNK, 2 * A_CHUNK])
PLAIN = b"%x\r\n%b\r\n"
FRAMINGS = st.sampled_from(
    [
        *[PLAIN] * 4,
        *(
            b"%X\r\n%b\r\n",
            b"0%x\r\n%b\r\n",
            b"%x \r\n%b\r\n",
            b"%x;a=b\r\n%b\r\n",
            b"%x\n%b\n",
        ),  # as other servers may
        *(b"0x%x\r\n%b\r\n", b"1%x\r\n%b\r\n", b"%x\r\n%bx\r\n", b"+%x\r\n%b\r\n", b"%x\r\n%b\n\r", b"%x\r\n%b\n\n"),
        *(b"0\r\nt: %x%b\r\n", b"0\r\nt: %x\r\n\r\n%b", b"%x\r\n%b\r\n0\r\n\r\n"),
    ]
)


@given(
    chunks=st.lists(st.tuples(FRAMINGS, BODIES), max_size=4),
    apart=st.booleans(),
    cuts=st.lists(st.integers(0, 99), max_size=4),
    hasty=st.sets(st.integers(0, 8), max_size=2),
    moods=st.lists(st.booleans(), min_size=1, max_size=4) | st.just([True]),
)
@example([(PLAIN, A_CHUNK)], False, [4, 8], set(), [True])  # cut behind the size of a chunk that looks like one
@example([(PLAIN, 2 * A_CHUNK)], False, [8, 12], set(), [True])  # cut amid such a chunk
@example([(PLAIN, A_CHUNK), (PLAIN, A_CHUNK)], True, [10, 14], {2}, [False, True])  # and while nobody listens
@settings(max_examples=400)
def test_a_chunk_that_is_a_read_is_what_the_parser_makes_of_it(
    chunks: list[tuple[bytes, bytes]], apart: bool, cuts: list[int], hasty: set[int], moods: list[bool]
) -> None:
    """In any framing, HTTP or not, cut behind any line, and whoever listens meanwhile."""
    parts = [A_CHUNK, *(framing % (len(data), data) for framing, data in chunks), END]
    wire = b"".join(parts)
    ends = [at.end() for at in re.finditer(b"\n", wire)]
    between = itertools.accumulate(map(len, parts)) if apart else [len(wire)]
    points = sorted({0, *between, *(ends[cut % len(ends)] for cut in cuts)})
    reads = [wire[start:end] for start, end in itertools.pairwise(points)]

    async def body() -> tuple[bytes, str, bool]:
        moody, error = Moody(moods), ""
        protocol, reply = await replied()

        def take(data: bytes) -> bool:
            moody.put(data)
            return True

        async def drain() -> None:
            while not reply.ended:
                await reply.pass_on(take, moody.ready)
                moody.read.append(await reply.read())

        task = asyncio.get_running_loop().create_task(drain())
        connection = cast(Wire, protocol.transport)
        for number, read in enumerate(reads):
            for _ in range(0 if number in hasty else 5):
                await asyncio.sleep(0)
            if not connection.closed:
                protocol.data_received(read)
        protocol.connection_lost(None)
        try:
            await asyncio.wait_for(task, 5)
        except UpstreamError as broken:
            error = repr(broken)
        return b"".join(moody.read), error, protocol.should_close

    short = asyncio.run(body())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Protocol, "_is_between", lambda *_: False)
        assert short == asyncio.run(body())


def _counted(parsed: list[StreamReader]) -> Callable[[StreamReader], None]:
    begin = StreamReader.begin_http_chunk_receiving
    return lambda body: (parsed.append(body), begin(body))[1]


@pytest.mark.parametrize("client", ["chat", "responses"])
@pytest.mark.parametrize("upstream", ["chat", "responses"])
def test_the_middle_of_a_stream_is_no_work_of_the_parsers(client: DialectName, upstream: DialectName) -> None:
    opening, *middle = (b"%x\r\n%b\r\n" % (len(part), part) for part in payloads.stream(upstream, 20))
    parsed: list[StreamReader] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamReader, "begin_http_chunk_receiving", _counted(parsed))
        asyncio.run(served(client, upstream, [opening, *middle, END], [True]))
    assert len(parsed) <= 4


@pytest.mark.parametrize("client", ["chat", "responses"])
@pytest.mark.parametrize("upstream", ["chat", "responses"])
def test_the_middle_of_a_stream_wakes_nobody(client: DialectName, upstream: DialectName) -> None:
    parts = payloads.stream(upstream, 20)
    reads = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts] + [END]
    assert asyncio.run(served(client, upstream, reads, [True])).at_once >= 20


@pytest.mark.parametrize("client", ["chat", "responses"])
@pytest.mark.parametrize("upstream", ["chat", "responses"])
def test_a_read_that_is_more_than_the_parser_takes_at_once_keeps_its_order(
    client: DialectName, upstream: DialectName
) -> None:
    """It is the task's, and what comes behind it waits."""
    opening, token, *middle, closing = payloads.stream(upstream, 20)
    long = [part.replace(b'" ', b'" ' + b"%d " % number * 40_000) for number, part in enumerate(middle)]
    assert sum(map(len, long)) > 4 * DEFAULT_CHUNK_SIZE
    *reads, last = (
        b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        for parts in ([opening], [token], long, [closing])
    )
    at_once, woken = (asyncio.run(served(client, upstream, [*reads, last + END], [ready])) for ready in (True, False))
    assert at_once.at_once
    assert b"".join(at_once.read) == b"".join(woken.read)


FLOODS: dict[str, bytes] = {
    "long reads": b"%x\r\n%b\r\n" % (DEFAULT_CHUNK_SIZE // 2, b"x" * (DEFAULT_CHUNK_SIZE // 2)),
    "very many chunks": b"1\r\nx\r\n" * 40_000,
}


@pytest.mark.parametrize("flood", FLOODS)
def test_an_upstream_that_floods_is_stopped_until_the_loop_comes_round(flood: str) -> None:
    """A loop reads on as long as there is something to read, and serves nobody else meanwhile."""

    async def scenario() -> None:
        protocol, reply = await replied()
        task = asyncio.get_running_loop().create_task(reply.pass_on(lambda _: True, lambda: True))
        await asyncio.sleep(0)
        wire, reads = protocol.transport, 0
        assert isinstance(wire, Wire)
        while not wire.paused:
            assert reads < 10
            protocol.data_received(FLOODS[flood])
            reads += 1
        await asyncio.wait_for(task, 1)
        protocol.data_received(END)
        assert len(await reply.body(sys.maxsize)) == reads * FLOODS[flood].count(b"x")
        assert not wire.paused

    asyncio.run(scenario())


def too_late(protocol: Protocol, reply: Reply) -> None:
    """The deadline passes."""
    reply.hurry(-1)
    reply._look()


LAST: dict[str, Callable[[Protocol, Reply], None]] = {
    "data": lambda protocol, _: protocol.data_received(b"3\r\nabc\r\n"),
    "the end": lambda protocol, _: protocol.data_received(END),
    "a reset": lambda protocol, _: protocol.connection_lost(ConnectionResetError()),
    "a deadline": too_late,
}


@pytest.mark.parametrize("last", LAST)
def test_what_comes_between_a_cancellation_and_its_effect_is_not_passed_on(last: str) -> None:
    """And does not raise in the connection's own callback, which would be logged and break it."""
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        return True

    async def scenario() -> None:
        protocol, reply = await replied()
        task = asyncio.get_running_loop().create_task(reply.pass_on(take, lambda: True))
        await asyncio.sleep(0)
        task.cancel()
        LAST[last](protocol, reply)
        await asyncio.wait([task])
        assert task.cancelled()
        assert protocol.heard is None

    asyncio.run(scenario())
    assert taken == []


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_the_servers_own_connection_takes_what_is_passed_on(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over real sockets: a change of the HTTP server's inside would otherwise only make streams slower."""
    put: list[bytes] = []
    real: Callable[[DirectWriter, bytes], None] = DirectWriter.put
    monkeypatch.setattr(DirectWriter, "put", lambda hand, data: (put.append(data), real(hand, data))[1])

    async def scenario() -> None:
        script: Script = [SSE, event(chunk({"role": "assistant", "content": ""}))]
        for number in range(4):
            script += [Sleep(0.02), event(chunk({"content": f" word{number}"}))]
        script += [event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with Upstream(script) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.ask(dialect, stream=True)
            assert answer.whole
            assert [b" word%d" % number in answer.body for number in range(4)] == [True] * 4

    play(scenario)
    assert sum(b" word" in data for data in put) >= 3


@pytest.mark.parametrize("ends", [False, True])
def test_a_defect_in_what_is_passed_on_is_one_failure_and_a_line_of_the_log(
    ends: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is raised in the connection's own callback, which would only log it and close; or in the last read of the answer,
    which is not complete without what could not be written."""
    real = ResponsesWriter.write

    def broken(writer: ResponsesWriter, events: list[Event], choice: int = 0) -> bytes:
        if any("boom" in str(event) for event in events if not isinstance(event, Failed)):
            raise KeyError("CANARY")
        return real(writer, events, choice)

    monkeypatch.setattr(ResponsesWriter, "write", broken)

    async def scenario() -> None:
        script: Script = [SSE]
        for text in ("One", " two", " boom", " three"):
            script += [event(chunk({"role": "assistant", "content": text})), Sleep(0.02)]
        if ends:
            script[-4:] = [event(chunk({"content": " boom"})) + event(chunk({}, "stop")) + event(b"[DONE]")]
        async with Upstream([*script, Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.ask("responses", stream=True)
            assert answer.whole
            assert answer.types[-3:] == ["response.output_text.delta", "error", "response.failed"]
            assert [e["sequence_number"] for e in answer.events] == list(range(len(answer.events)))
            assert b"internal_error" in answer.body
            assert b"CANARY" not in answer.body
            await asyncio.wait_for(up.seen[0].finished.wait(), 1)

    play(scenario, defects=1)
    assert capfd.readouterr().out.count('"event":"defect"') == 1


def test_a_server_or_a_middleware_that_is_not_known_gets_every_message() -> None:
    async def send(message: Any) -> None: ...

    assert direct_writer(send) is None
