"""However requests that their clients name interleave, fail, are left or stopped: an upstream is asked at most once for each as
long as its answer stands, nobody is told what another one was answered, and only what was answered stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from adapter.access.caller import Caller
from adapter.errors import InternalError, ShuttingDown
from adapter.hub.request import Exchange
from adapter.sections import Server
from adapter.server.calls.own import Document, Written
from adapter.server.courses.course import Course, Lane
from adapter.server.idempotency import KEPT_FOR, Idempotency
from adapter.server.pipeline import Pipeline
from adapter.server.settle import Books
from adapter.server.tasks import Tasks
from adapter.server.turn import Outcome, Turn
from adapter.wire.headers import Headers

CALLERS, KEYS, PATHS = ("alice", "bob"), ("1", "2"), ("/v1/responses", "/v1/chat/completions")


class ByName:
    """A gate that believes whatever it is told."""

    def admit(self, headers: Headers, peer: str) -> Caller:
        tenant = headers[b"authorization"].decode()
        return Caller(tenant=tenant, key_id=tenant)


class Request:
    """One request from its client's side, and from its upstream's."""

    def __init__(self, caller: str, key: str, path: str, body: dict[str, Any]) -> None:
        self.caller, self.body = caller, body
        self.name, self.content = (caller, key), (path, orjson.dumps(body))
        self.told = b""
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.disconnected = False
        self.sent = False
        """Its body."""
        self.left = asyncio.Event()
        self.upstream: asyncio.Future[bytes] | None = None
        """Its answer; None as long as nobody was asked."""
        self.turn: Turn | None = None

    @property
    def scope(self) -> dict[str, Any]:
        headers = [(b"authorization", self.caller.encode()), (b"idempotency-key", self.name[1].encode())]
        return {"type": "http", "method": "POST", "path": self.content[0], "headers": headers}

    async def receive(self) -> dict[str, Any]:
        if self.sent:
            await self.left.wait()
            return {"type": "http.disconnect"}
        self.sent = True
        return {"type": "http.request", "body": self.content[1], "more_body": False}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        elif not self.disconnected:
            self.told += message["body"]

    async def decide(self, turn: Turn, body: dict[str, Any]) -> Course:
        assert body == self.body
        self.turn, self.upstream = turn, asyncio.get_running_loop().create_future()
        begin = self.stream if body["stream"] else self.plain
        return Course(stream=body["stream"], exchange=Exchange.unasked("responses"), begin=begin, raw=True)

    async def plain(self) -> Lane:
        assert self.upstream is not None
        return Document(await self.upstream, None)

    async def stream(self) -> Lane:
        assert self.upstream is not None
        return Piece(await self.upstream)


class Piece(Written):
    """A stream in one."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def piece(self) -> bytes:
        self.ended = True
        return self._data


class Time:
    """A clock and its alarms."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, call))

    def go_on(self, seconds: float) -> None:
        until = self.now + seconds
        while (first := min(self.due, key=itemgetter(0), default=(until + 1, list)))[0] <= until:
            self.due.remove(first)
            self.now = first[0]
            first[1]()
        self.now = until


class Named(RuleBasedStateMachine):
    """The pipeline as it is, between clients and an upstream that are played."""

    running = Bundle("running")

    @initialize()
    def start(self) -> None:
        self.runner = asyncio.Runner()
        self.runner.__enter__()
        self.tasks = Tasks()
        served: Any = SimpleNamespace(gate=ByName())
        self.pipeline = Pipeline(settings=Server(), served=served, tasks=self.tasks, books=Books(access_log=False))
        self.time: Any = Time()
        self.pipeline.idempotency = Idempotency(self.time, lambda: self.time.now)
        self.holds: dict[Any, Request] = {}
        """Who is being answered, by name."""
        self.stands: dict[Any, tuple[float, Request]] = {}
        """Who was answered, and until when that stands."""
        self.answers = 0

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.tasks.close())
            self.runner.close()

    def settle(self) -> None:
        """Whatever can happen now happens."""

        async def rounds() -> None:
            for _ in range(20):
                await asyncio.sleep(0)

        self.runner.run(rounds())

    @rule(
        target=running,
        caller=st.sampled_from(CALLERS),
        key=st.sampled_from(KEYS),
        path=st.sampled_from(PATHS),
        stream=st.booleans(),
        input=st.sampled_from(["a", "b"]),
    )
    def ask(self, caller: str, key: str, path: str, stream: bool, input: str) -> Request:
        request = Request(caller, key, path, {"stream": stream, "input": input})

        async def serve() -> None:
            await self.pipeline.serve("responses", request.decide, request.scope, request.receive, request.send)

        async def begin() -> None:
            self.tasks.start(serve())

        self.runner.run(begin())
        self.settle()
        holds = self.holds.get(request.name)
        _, before = (0, holds) if holds is not None else self.stands.get(request.name, (0, None))
        if before is None:
            assert request.upstream is not None
            assert request.status == 0
            self.holds[request.name] = request
            return request
        assert request.upstream is None, "it was asked again"
        if before.content != request.content:
            assert request.status == 422
        elif holds is not None or stream:
            assert request.status == 409
        else:
            assert (request.status, request.told) == (200, before.told)
            assert request.headers[b"idempotent-replayed"] == b"true"
            assert orjson.loads(request.told)["to"] == caller
        return request

    @rule(request=consumes(running))
    def answer(self, request: Request) -> None:
        if request.upstream is None or request.upstream.done():
            return
        self.answers += 1
        request.upstream.set_result(orjson.dumps({"to": request.caller, "number": self.answers}))
        self.settle()
        if self.holds.get(request.name) is request:
            del self.holds[request.name]
            self.stands[request.name] = (self.time.now + KEPT_FOR, request)
            assert request.status == 200
            assert request.told

    @rule(request=consumes(running))
    def fail(self, request: Request) -> None:
        if request.upstream is None or request.upstream.done():
            return
        request.upstream.set_exception(InternalError("No."))
        self.settle()
        self.free(request)

    @rule(request=consumes(running))
    def stop(self, request: Request) -> None:
        if request.turn is None or request.upstream is None or request.upstream.done():
            return
        request.turn.cut(Outcome.SHUT_DOWN, ShuttingDown("No."))
        self.settle()
        self.free(request)

    @rule(request=running)
    def leave(self, request: Request) -> None:
        """What becomes of its turn is seen later."""
        request.disconnected = True
        request.left.set()
        self.free(request)

    @rule(seconds=st.sampled_from([1.0, KEPT_FOR / 2, KEPT_FOR]))
    def wait(self, seconds: float) -> None:
        self.time.go_on(seconds)
        self.stands = {name: stands for name, stands in self.stands.items() if stands[0] > self.time.now}

    def free(self, request: Request) -> None:
        if self.holds.get(request.name) is request:
            del self.holds[request.name]


TestNamed: Any = Named.TestCase
