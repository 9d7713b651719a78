"""One WebSocket from its handshake to its close: frames come in, answers go out, one at a time in each lane.

The connection's task only reads, so it notices at once when the client leaves; every turn is a task of its own and enters the
pipeline behind the body read. Whoever wants the connection closed (its age, the server's stop) waits for the turns that run;
those that wait for their turn are told so.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, NamedTuple

from starlette.types import Message, Receive, Scope, Send

from adapter.errors import AdapterError, BadRequest, ShuttingDown
from adapter.server.http.joining import abort
from adapter.server.http.refusal import refusal
from adapter.server.pipeline import Pipeline
from adapter.server.socket.lanes import Lanes, Running
from adapter.server.socket.messages import Create, SocketOutlet, lane, read_create, read_frame
from adapter.server.socket.prewarm import prepared
from adapter.server.socket.recent import LocalThread, Recent
from adapter.server.socket.steering import MOST as MOST_STEERS
from adapter.server.socket.steering import STEER, Steer, accepted, failed, pending, read_steer, required
from adapter.server.turn import Outcome, Turn


class Closing(NamedTuple):
    """Why a connection is to be closed, and how the client is told."""

    code: int
    error: AdapterError | None = None
    """A last message, for clients that look at messages rather than at close codes."""


STOPPING: Final = "adapter.stopping"
"""The type of the one message that `receive` gives beyond those of ASGI: the server stops."""
_STOP: Final = 1012
"""Service restart: come again."""
_TOO_OLD: Final = 1001
"""Going away."""
_LETS_GO_WITHIN: Final = 2.0
"""Seconds for turns to let go of their upstreams; one that has ended is given one."""


_UUID: Final = re.compile("[0-9a-f]{32}")


class Session:
    """One connection, accepted."""

    def __init__(self, pipeline: Pipeline, handshake: Turn, scope: Scope, receive: Receive, send: Send) -> None:
        self._pipeline = pipeline
        self._client = handshake.client
        self._id = handshake.request_id
        self._count = 0
        """Turns so far: each has the connection's id and its number for its request id."""
        self._scope = scope
        self._receive = receive
        self._send_message = send
        self._recent = Recent(pipeline.settings.websocket_history, pipeline.served.courses.keeping)
        self._lanes = Lanes(self._begun, pipeline.settings.body_limit)
        self._held: dict[str, tuple[SocketOutlet, tuple[Steer, ...]]] = {}
        """Response id -> where it was told, and what was said while it was made, for the turn in which the client answers its
        calls."""
        self._turns: set[Turn] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: Closing | None = None
        self._closed = False
        """Nothing more is sent."""
        self._given_up = False

    async def serve(self) -> None:
        """Until the client leaves or the connection is closed."""
        reading = asyncio.current_task()
        assert reading is not None
        self._reading = reading
        age = asyncio.get_running_loop().call_later(self._pipeline.settings.websocket_limit, self._expire)
        try:
            await self._read()
        except asyncio.CancelledError:
            if not self._given_up:
                raise
            reading.uncancel()
        finally:
            age.cancel()
            self._closed = True
            for turn in list(self._turns):
                turn.cut(Outcome.CLIENT_GONE)
            if self._tasks:
                _, left = await asyncio.wait(self._tasks, timeout=_LETS_GO_WITHIN)
                for task in left:  # it sends to a client that neither reads nor leaves
                    task.cancel()

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            match message["type"]:
                case "websocket.receive":
                    await self._take(message)
                case "websocket.disconnect":
                    return
                case t if t == STOPPING:
                    await self._close_when_idle(Closing(_STOP))

    async def _take(self, message: Message) -> None:
        """One message of the client: a turn, more for one that runs, or an error that leaves everything else as it was."""
        name: str | None = None
        try:
            frame, size = read_frame(dict(message))
            if frame.get("type") == STEER:
                await self._steer(read_steer(frame, size))
                return
            name = lane(frame)
            create = read_create(frame, size)
            if self._closing is not None:
                raise self._refused
            self._lanes.take(name, create)
        except AdapterError as error:
            await self._refuse(name, error)

    def _begun(self, name: str | None, create: Create) -> Running:
        """One turn begins, in a task of its own."""
        _, held = self._held.pop(str(create.body.get("previous_response_id")), (None, ()))
        if held:
            create = create.behind(held)
        thread = LocalThread(self._recent, create.body, spares=bool(create.steers))
        running = Running(name, create, thread, SocketOutlet(self._send, thread, name))
        self._start(self._answer(running))
        return running

    async def _answer(self, running: Running) -> None:
        if self._closed:
            return
        outlet, create = running.outlet, running.create
        turn = Turn("responses", self._scope, self._receive, outlet)
        turn.thread, turn.size = running.thread, create.size
        self._count += 1
        turn.request_id = _numbered(self._id, self._count)
        self._turns.add(turn)
        try:
            await self._pipeline.run(turn, self._work(turn, create))
        finally:
            self._turns.discard(turn)
        if outlet.aborted and not self._closed:
            self._give_up()
            return
        if turn.cut_by is Outcome.SHUT_DOWN and self._closing is None:  # at once, before anybody is told to stop
            await self._close_when_idle(Closing(_STOP))
        await self._follow(running)
        self._lanes.let_go(running)
        if self._closing is not None and self._lanes.idle:
            await self._close(self._closing)

    async def _work(self, turn: Turn, create: Create) -> None:
        self._pipeline.admit(turn, self._scope)
        courses = self._pipeline.served.courses
        decide = courses.responses if create.generate else partial(prepared, courses)
        await self._pipeline.answer(turn, decide, dict(create.body))  # which will change it

    # ------------------------------------------------------------------------------------------------------- steering

    async def _steer(self, steer: Steer) -> None:
        """More input for a response that is being made."""
        running = next((one for one in self._lanes if one.thread.id == steer.response_id), None)
        if running is None or running.thread.over:
            why = self._why_not(running, steer)
        elif not steer.fits:
            why = "invalid_input"
        elif running.create.body.get("conversation") or running.create.body.get("context_management"):
            why = "steering_not_supported"
        elif not self._may_wait(steer):
            why = "too_many_pending_steers"
        else:
            running.steers.append(steer)
            await self._in_time(running.outlet.beside(partial(accepted, steer)))
            return
        outlet = SocketOutlet(self._send) if running is None else running.outlet
        await self._give_back(outlet, (steer._replace(id=None),), why)

    def _why_not(self, running: Running | None, steer: Steer) -> str:
        """What there is to say of a response that is not being made."""
        if steer.response_id in self._recent.failed:
            return "response_not_active"
        over = running is not None or self._recent.find(steer.response_id) is not None
        return "response_already_completed" if over else "response_not_found"

    def _may_wait(self, steer: Steer) -> bool:
        """They are few, and all that wait could be said in one request."""
        waiting = [*(one.steers for one in self._lanes), *(steers for _, steers in self._held.values())]
        size = sum(one.size for steers in waiting for one in steers) + steer.size
        return sum(map(len, waiting)) < MOST_STEERS and size <= self._pipeline.settings.body_limit

    async def _follow(self, running: Running) -> None:
        """A turn is over: what was said while it ran is the next one's, or comes back; so does what it was to begin with, where
        it did not begin."""
        outlet, output, steers = running.outlet, running.thread.output, tuple(running.steers)
        running.steers.clear()
        if running.thread.id is None:
            await self._give_back(outlet, running.create.steers, "successor_creation_failed")
        if not steers:
            return
        if output is None:
            await self._give_back(outlet, steers, "response_not_active")
        elif self._closing is not None:
            await self._give_back(outlet, steers, "successor_creation_failed")
        elif stubs := required(output):
            self._held[steers[0].response_id] = outlet, steers
            for steer in steers:
                await self._in_time(outlet.beside(partial(pending, steer, stubs)))
        else:
            body = {**running.create.body, "previous_response_id": steers[0].response_id, "input": []}
            self._lanes.put_first(running.lane, Create(body, generate=True, size=0).behind(steers))

    async def _give_back(self, outlet: SocketOutlet, steers: Iterable[Steer], why: str) -> None:
        for steer in steers:
            await self._in_time(outlet.beside(partial(failed, steer, why)))

    # ------------------------------------------------------------------------------------------------------- the end

    @property
    def _refused(self) -> AdapterError:
        """Why no turn begins any more."""
        stops = ShuttingDown("This server is shutting down; connect again.")
        return stops if self._closing is None or self._closing.error is None else self._closing.error

    async def _refuse(self, name: str | None, error: AdapterError) -> None:
        await self._in_time(SocketOutlet(self._send, lane=name).whole(*refusal(error, self._client)))

    def _expire(self) -> None:
        """The connection is as old as one may become."""
        minutes = max(1, round(self._pipeline.settings.websocket_limit / 60))
        error = BadRequest(
            f"A connection is open for {minutes} minutes at most; open another one to go on.",
            code="websocket_connection_limit_reached",
        )
        self._start(self._close_when_idle(Closing(_TOO_OLD, error)))

    async def _close_when_idle(self, closing: Closing) -> None:
        self._closing = closing
        left, held = self._lanes.give_up_waiting(), list(self._held.values())
        self._held.clear()
        for name, create in left:
            await self._refuse(name, self._refused)
            await self._give_back(SocketOutlet(self._send, lane=name), create.steers, "successor_creation_failed")
        for outlet, steers in held:
            await self._give_back(outlet, steers, "successor_creation_failed")
        if self._lanes.idle:
            await self._close(closing)

    async def _close(self, closing: Closing) -> None:
        if closing.error is not None:
            await self._refuse(None, closing.error)
        await self._in_time(self._send({"type": "websocket.close", "code": closing.code}))

    def _give_up(self) -> None:
        """The client does not read: nothing can be said any more, not even why."""
        self._given_up = self._closed = True
        abort(self._send_message)
        self._reading.cancel()

    # ------------------------------------------------------------------------------------------------------- helpers

    def _start(self, work: Any) -> None:
        task = self._pipeline.tasks.start(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_time(self, sending: Any) -> None:
        """Send beside a turn, for which nobody else looks at the clock."""
        try:
            async with asyncio.timeout(self._pipeline.settings.write_timeout):
                await sending
        except TimeoutError:
            self._give_up()

    async def _send(self, message: Message) -> None:
        """Send while there is somebody; the reading side hears that there is nobody, and acts on it."""
        if self._closed:
            return
        self._closed = message["type"] == "websocket.close"
        try:
            await self._send_message(message)
        except (OSError, RuntimeError):  # gone, or the server has closed a connection whose pings were not answered
            self._closed = True


def _numbered(id: str, number: int) -> str:
    """The request id of a turn. One of ours stays a UUID, as servers may want it."""
    return f"{id[:24]}{number:08x}" if _UUID.fullmatch(id) else f"{id}.{number}"
