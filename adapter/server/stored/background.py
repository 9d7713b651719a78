"""Background responses: accepted, run without a client, read from the event log by whoever asks.

    POST     save `queued`, claim it, start; answer with the object, or follow the log
    run      decide the course from the stored body once more, begin, log every event, save with the last ones; what was
             reserved for it when it was accepted is settled here
    watch    claim what nobody works on: other processes', after their lease, or what they gave back when they stopped

The log is the only way to a client, also inside one process: what was read is durable, so a client that resumes anywhere
sees the very same events. A run that was broken off starts again, unless something of its answer was already told: a second
answer would contradict it, so it ends as failed.

Callers' keys are never stored. A response whose upstream wants the caller's own key can only be run by the process that
accepted it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from adapter.access.caller import Caller
from adapter.errors import (
    AdapterError,
    BadRequest,
    InternalError,
    LimitsUnavailable,
    Overloaded,
    ShuttingDown,
    StoreUnavailable,
)
from adapter.hub.events import Failed, Item
from adapter.server.calls.own import Document
from adapter.server.courses.course import Course, Lane
from adapter.server.courses.keeping import Keep
from adapter.server.http.outlet import Outlet
from adapter.server.pipeline import Pipeline
from adapter.server.stored.following import Following, Signal
from adapter.server.stored.kept import known
from adapter.server.stored.recording import Recording
from adapter.server.stored.references import gone_on_from
from adapter.server.stored.responding import KeepResponse, Kind
from adapter.server.tasks import Tasks
from adapter.server.turn import Outcome, Turn
from adapter.store.log import EventWriter
from adapter.store.store import Store
from adapter.store.values import Job, LoggedEvent
from adapter.telemetry.log import log
from adapter.wire.headers import RawHeaders
from adapter.wire.jsonio import dumps

if TYPE_CHECKING:
    from adapter.access.meter import Reservation
    from adapter.upstream.failover import Failover

T = TypeVar("T")

LEASE: Final = 30.0
"""Seconds after which a silent worker is taken for dead. A third of it is how long a cancellation elsewhere goes unnoticed."""
_RESERVED: Final = 5.0
"""Seconds between accepting and claiming, which only a crash does not keep."""
_POLL: Final = 2.0
_AT_ONCE: Final = 16
"""Responses of others that one process works on; its own it starts at once, as it would answer them."""
_ATTEMPTS: Final = 3
_KEPT_HEADERS: Final = (b"user-agent", b"originator", b"x-request-id", b"traceparent", b"tracestate")
"""What of a request's header fields is stored with it: nothing that is a credential."""


@dataclass(slots=True)
class Run:
    """One response that is worked on in this process."""

    signal: Signal
    reservation: Reservation | None = None
    failover: Failover | None = None
    """What its client's turn was admitted with, and the place at an upstream that this took; none where another process
    accepted it."""
    turn: Turn | None = None
    recording: Recording | None = None

    @property
    def told(self) -> bool:
        """Something of its answer may have been read, and nobody else could say the same."""
        return self.recording is not None and self.recording.told

    def stop(self, why: Outcome, error: AdapterError | None = None) -> None:
        """End the work."""
        if self.turn is not None:
            self.turn.cut(why, error)


@dataclass(slots=True, kw_only=True)
class Queued:
    """Keeps a turn by queueing it."""

    background: Background
    keep: KeepResponse
    body: dict[str, Any]
    """As the client sent it, but for what was resolved at the edge."""
    passes: bool = False

    def course(self, course: Course) -> Course:
        """See `Keep.course`."""

        async def begin() -> Lane:
            made = await self.background.accept(self, course)
            if course.stream:
                return self.background.follow(self.keep.turn.caller.tenant, self.keep.kind.id)
            return Document(dumps(made))

        return replace(course, begin=begin, raw=True)


@dataclass(slots=True, kw_only=True)
class Background:
    """Accepts, runs, cancels."""

    store: Store
    owner: str = field(default_factory=lambda: token_hex(8))
    runs: dict[tuple[str, str], Run] = field(default_factory=dict)
    lease: float = LEASE
    poll: float = _POLL
    pipeline: Pipeline
    leaving: Callable[[], bool]
    """Whether this process is on its way out: it takes up nothing that another one could finish."""
    _tasks: Tasks = field(default_factory=Tasks)

    def keep(self, keep: KeepResponse, body: dict[str, Any]) -> Keep:
        """How a background turn is kept."""
        return Queued(background=self, keep=keep, body=body)

    # ------------------------------------------------------------------------------------------------ the client's side

    async def accept(self, queued: Queued, course: Course) -> dict[str, Any]:
        """Queue it and start it; returns the object as it now is.

        Raises:
            StoreUnavailable: it was not accepted.
        """
        keep, turn = queued.keep, queued.keep.turn
        made = keep.kind.begun(course.exchange, "queued")
        caller = turn.caller
        request = {
            "body": queued.body,
            "headers": [
                [name.decode(), turn.headers[name].decode("latin-1")] for name in _KEPT_HEADERS if name in turn.headers
            ],
            "request_id": turn.request_id,
            "caller": {"tenant": caller.tenant, "key_id": caller.key_id, "groups": list(caller.groups)},
            "keyed": turn.callers_key is not None,
        }
        await self.store.save_response(
            caller.tenant,
            made,
            input=keep.given,
            upstream=turn.upstream,
            request=request,
            streamed=course.stream,
            reserved=_RESERVED,
        )
        turn.stored = "kept"
        try:
            job = await self.store.claim(self.owner, lease=self.lease, only=(caller.tenant, keep.kind.id))
        except StoreUnavailable:
            job = None  # it is queued: whoever can will claim it
        if job is not None:  # what it costs is the run's from here on, and the place is
            self._start(job, Run(Signal(), turn.reservation, turn.failover), list(turn.headers.items()))
            turn.reservation = turn.failover = None
        return made

    def follow(self, tenant: str, id: str, after: int = -1) -> Following:
        """The events of a response from the log."""
        run = self.runs.get((tenant, id))
        return Following(self.store, tenant, id, after, Signal() if run is None else run.signal)

    def cancelled(self, tenant: str, id: str) -> None:
        """It was cancelled in the store: stop, which those who follow are told."""
        run = self.runs.get((tenant, id))
        if run is not None:
            run.stop(Outcome.CANCELLED)

    # ------------------------------------------------------------------------------------------------- the worker's side

    async def watch(self) -> None:
        """Work on what nobody works on, for ever."""
        while True:
            try:
                while len(self.runs) < _AT_ONCE and not self.leaving():
                    job = await self.store.claim(self.owner, lease=self.lease)
                    if job is None:
                        break
                    self._start(job, Run(Signal()), None)
            except StoreUnavailable:
                pass  # stored requests get a 503 as long as this lasts; the log has a line of each
            await asyncio.sleep(self.poll)

    async def close(self, within: float) -> None:
        """Give everything back. What was told of already can only be finished: that may take so many seconds."""
        error = ShuttingDown("This server is shutting down; send the request again.")
        for run in list(self.runs.values()):
            if not run.told:
                run.stop(Outcome.SHUT_DOWN, error)
        await self._tasks.finish(within)
        for run in list(self.runs.values()):
            run.stop(Outcome.SHUT_DOWN, error)
        await self._tasks.finish()

    def _start(self, job: Job, run: Run, headers: RawHeaders | None) -> None:
        key = job.tenant, job.id
        self.runs[key] = run
        self._tasks.start(self._run(job, headers, run)).add_done_callback(lambda _: self._ended(key, run))

    def _ended(self, key: tuple[str, str], run: Run) -> None:
        if self.runs.get(key) is run:
            del self.runs[key]
        run.signal.send()

    async def _run(self, job: Job, headers: RawHeaders | None, run: Run) -> None:
        asked = job.request
        stored = [(name.encode(), value.encode("latin-1")) for name, value in asked.get("headers", ())]
        scope = {"type": "http", "headers": stored if headers is None else headers}
        turn = run.turn = Turn("responses", scope, _silent, Outlet(_nowhere))
        turn.request_id = asked.get("request_id", turn.request_id)
        turn.lane = "background"
        turn.reservation, turn.failover = run.reservation, run.failover
        await self.pipeline.run(turn, self._work(turn, scope, job, run, has_key=headers is not None))

    async def _work(self, turn: Turn, scope: dict[str, Any], job: Job, run: Run, *, has_key: bool) -> None:
        turn.check_headers(scope)
        caller = job.request.get("caller", {})
        turn.caller = Caller(job.tenant, caller.get("key_id"), tuple(caller.get("groups", ())))
        try:
            stored = await self.store.response(job.tenant, job.id)
        except asyncio.CancelledError:
            await self._stopped(turn, job, run)
            raise
        if stored is None or stored.object is None:
            return
        pen = EventWriter(_Announcing(self.store, run.signal), job, lease=self.lease)
        recording = Recording(stored.object, pen, streamed=stored.streamed, logged=job.last_sequence)
        run.recording = recording
        writing = self._tasks.start(pen.run())
        losing = self._tasks.start(_stop_when_lost(pen, run))
        try:
            try:
                if job.last_sequence > Recording.PROLOGUE or job.attempt > _ATTEMPTS:
                    raise InternalError("The server that made this response stopped before it was complete.")
                await self._answer(turn, job, recording, has_key=has_key)
            except AdapterError as error:
                turn.error, turn.outcome = error, Outcome.FAILED
                recording.fail(error)
                await self._save(turn, job, recording)
            except asyncio.CancelledError:
                await self._stopped(turn, job, run)
                raise
            except Exception:
                recording.answering = None  # it is not complete, whatever its upstream says: see `stream_events`
                recording.fail(InternalError("This server made a mistake; it has been logged."))
                await self._save(turn, job, recording)
                raise
        finally:
            writing.cancel()
            losing.cancel()
            turn.lane = "background"  # by which way is what its client's turn says

    async def _answer(self, turn: Turn, job: Job, recording: Recording, *, has_key: bool) -> None:
        body = job.request["body"]
        turn.thread = _Accepted(self.store)
        _, course = await self._patiently(lambda: self.pipeline.served.courses.decided(turn, dict(body)))
        _check_key(turn, job, has_key=has_key)
        if turn.counters:
            turn.size = len(dumps(body))
            if turn.reservation is None:
                await self._patiently(lambda: self.pipeline.books.charge(turn, body, admitted=True))
        shown = recording.object
        kind = Kind(
            id=job.id,
            conversation=(shown.get("conversation") or {}).get("id"),
            background=True,
            created_at=shown["created_at"],
        )
        recording.begin(course.exchange, kind)
        turn.sent = monotonic()
        lane = await course.begun()
        turn.first_event = monotonic()
        try:
            answering = recording.answering = known(lane)
            while recording.end is None:
                _, events = await answering.batch()
                recording.feed(events)
                turn.outlet.events = recording.said
            turn.anomalies = turn.anomalies + answering.anomalies
            if isinstance(last := events[-1], Failed):
                turn.error, turn.outcome = last.error, Outcome.FAILED
            await self._save(turn, job, recording)
            await lane.finish()
        finally:
            lane.close()

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What is asked for, as soon as it can be had. The response was accepted: it waits while its upstream has all the work
        that it may have, and while the store or that of the limits is away."""
        while True:
            try:
                return await ask()
            except (Overloaded, StoreUnavailable, LimitsUnavailable):
                await asyncio.sleep(self.poll)

    async def _save(self, turn: Turn, job: Job, recording: Recording) -> None:
        """Store the end, for as long as this worker holds the response; after that another one ends it."""
        assert recording.end is not None
        frames, made = recording.end
        turn.usage = made["usage"]
        events = [*await recording.pen.stop(), *frames] if recording.streamed else []
        clock = asyncio.get_running_loop().time
        until = clock() + self.lease / 2
        while True:
            try:
                await self.store.save_response(
                    job.tenant,
                    made,
                    upstream=turn.upstream or None,
                    job=job,
                    events=events,
                    streamed=recording.streamed,
                )
                return
            except StoreUnavailable:
                if clock() > until:
                    turn.stored = "failed"
                    log.warning("background_lost", id=job.id)
                    return
                await asyncio.sleep(1)

    async def _stopped(self, turn: Turn, job: Job, run: Run) -> None:
        """Told to stop. A cancelled or lost response is somebody else's; this server's own stop gives it back."""
        recording = run.recording
        if turn.cut_by is not Outcome.SHUT_DOWN or (recording is not None and recording.pen.lost.is_set()):
            return
        error = turn.cut_with or ShuttingDown("This server is shutting down; send the request again.")
        try:
            if recording is not None and recording.told:
                recording.fail(error)
                await self._save(turn, job, recording)
            else:  # what is not logged yet every attempt begins with
                await self.store.requeue(job)
        except StoreUnavailable:
            pass  # the lease will tell


async def _stop_when_lost(pen: EventWriter, run: Run) -> None:
    await pen.lost.wait()
    run.stop(Outcome.CANCELLED)


def _check_key(turn: Turn, job: Job, *, has_key: bool) -> None:
    if job.request.get("keyed") and not has_key and (turn.target is None or turn.target.upstream.callers_key):
        raise BadRequest(
            "The server was restarted while this response was queued, and it keeps no caller's key; send the request again.",
            code="server_restarted",
        )


class _Accepted:
    """What a response that was accepted goes on from: its link keeps that in the store, whatever became of it since."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def resolve(self, caller: Caller, previous_response_id: str) -> list[Item]:
        """See `History.resolve`."""
        return await gone_on_from(self._store, caller.tenant, previous_response_id, gone=True)


class _Announcing:
    """The log, which tells those who follow it here that there is more."""

    def __init__(self, store: Store, signal: Signal) -> None:
        self._store = store
        self._signal = signal

    async def append_events(self, job: Job, batch: list[LoggedEvent], *, lease: float) -> bool:
        held = await self._store.append_events(job, batch, lease=lease)
        if batch:
            self._signal.send()
        return held


async def _silent() -> Any:
    await asyncio.Event().wait()


async def _nowhere(message: Any) -> None:
    """There is no client."""
