"""One WebSocket from its handshake to its close: frames come in, one answer at a time goes out.

The connection's task only reads, so it notices at once when the client leaves; every turn is a task of its own and enters the
pipeline behind the body read. A turn is over for the client with its terminal event, and the next may begin while the
last one still lets go of its upstream. Whoever wants the connection closed (its age, the server's stop) waits for the turn
that runs.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, NamedTuple

from starlette.types import Message, Receive, Scope, Send

from adapter.errors import AdapterError, BadRequest, ShuttingDown
from adapter.server.exchange import Pipeline
from adapter.server.http.joining import abort
from adapter.server.http.refusal import refusal
from adapter.server.socket.messages import Create, SocketOutlet, lane, read_create, read_frame, unsteered
from adapter.server.socket.prewarm import prepared
from adapter.server.socket.recent import LocalThread, Recent
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
        self._recent = Recent(pipeline.settings.websocket_history, pipeline.courses.history)
        self._current: SocketOutlet | None = None
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
        """One message of the client: a turn, or an error that leaves everything else as it was."""
        name: str | None = None
        try:
            frame, size = read_frame(dict(message))
            if (failed := unsteered(frame)) is not None:
                await self._in_time((self._current or SocketOutlet(self._send)).message(failed))
                return
            name = lane(frame)
            create = read_create(frame, size)
            if self._closing is not None:
                raise self._closing.error or ShuttingDown("This server is shutting down; connect again.")
            if not self._idle:
                raise BadRequest("A response is being made on this connection.", code="response_in_progress")
        except AdapterError as error:
            await self._in_time(SocketOutlet(self._send, lane=name).whole(*refusal(error, self._client)))
            return
        thread = LocalThread(self._recent, create.body)
        self._current = outlet = SocketOutlet(self._send, thread, name)
        self._start(self._answer(create, thread, outlet))

    async def _answer(self, create: Create, thread: LocalThread, outlet: SocketOutlet) -> None:
        """One turn, in a task of its own."""
        if self._closed:
            return
        turn = Turn("responses", self._scope, self._receive, outlet)
        turn.thread, turn.size = thread, create.size
        self._count += 1
        turn.request_id = f"{self._id}.{self._count}"
        self._turns.add(turn)
        try:
            await self._pipeline.run(turn, self._work(turn, create))
        finally:
            self._turns.discard(turn)
        if outlet.aborted and not self._closed:
            self._give_up()
        elif self._closing is not None and self._idle:
            await self._close(self._closing)

    async def _work(self, turn: Turn, create: Create) -> None:
        self._pipeline.admit(turn, self._scope)
        courses = self._pipeline.courses
        decide = courses.responses if create.generate else partial(prepared, courses)
        await self._pipeline.answer(turn, decide, create.body)

    # ------------------------------------------------------------------------------------------------------- the end

    @property
    def _idle(self) -> bool:
        return self._current is None or self._current.done

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
        if self._idle:
            await self._close(closing)

    async def _close(self, closing: Closing) -> None:
        if closing.error is not None:
            await self._in_time(SocketOutlet(self._send).whole(*refusal(closing.error, self._client)))
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
