"""The ways of one answer through the adapter.

    hub     upstream bytes -> hub events -> the client's dialect     `Hub`, `HubWhole`, n of them in `choices.Parallel`
    raw     upstream bytes -> the client                             `RawStreaming`, `RawWhole`
    own     what this server says by itself, or changes              `own.Said`, `.Document`, `.Written`, `.Changed`

Each is *begun* before anything is sent: `begin` returns once the upstream has answered (its first event that is not an
error, its whole body where that is JSON) and raises what went wrong until then. Retry and failover belong before that point
and nowhere else. After it nothing raises: a broken upstream becomes the answer's one failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from adapter.dialects.intake import Intake, not_a_reply, parsed
from adapter.dialects.raw import RawStream, named
from adapter.dialects.registry import DIALECTS
from adapter.errors import AdapterError, UpstreamInvalid, UpstreamTruncated
from adapter.hub.events import Event, Failed, Started, Usage
from adapter.hub.fold import Answer, unfolded
from adapter.hub.losses import Anomaly
from adapter.hub.request import DialectName, Exchange
from adapter.hub.usage import normal
from adapter.upstream.client import Reply
from adapter.wire.jsonio import NotJson, loads

Batch: TypeAlias = tuple[int, list[Event]]
"""Events that came together, and which of n answers they belong to."""

Given = TypeVar("Given")
Given_co = TypeVar("Given_co", covariant=True)
_REST_WITHIN: Final = 1.0
"""Seconds for the last bytes of an upstream's stream, so that its connection can be used again."""


class Answering(Protocol):
    """An answer in hub events; it has begun."""

    headers: Mapping[str, str]
    """Header fields of the upstream's answer."""
    exchange: Exchange

    @property
    def choices(self) -> int:
        """How many answers it holds (n)."""

    @property
    def anomalies(self) -> list[Anomaly]: ...

    @property
    def ended(self) -> bool:
        """The last batch was given."""

    async def pass_on(self, write: Callable[[list[Event]], None], ready: Callable[[], bool]) -> None:
        """Give `write` the events of the one choice in the moment they come, as long as it is `ready` for them and the answer
        goes on: whatever else comes is the next batch."""

    async def batch(self) -> Batch:
        """The next events, some at least; to be asked for until `ended`."""

    def fail(self, error: AdapterError) -> Batch:
        """What closes an answer that breaks off on this side: what it has of events that no batch has given, and its end, which
        is `error` where that is not there. No events where the last batch was given."""

    async def finish(self) -> None:
        """The client has everything: let go of the upstream."""

    def close(self) -> None:
        """Stop the upstream, at once."""


class Beginning(Protocol):
    """What can be waited for until the upstream has answered."""

    @property
    def usage(self) -> dict[str, Any] | None:
        """What the upstream reports of an answer that came in one piece, or that failed before it began."""

    async def begin(self) -> None: ...

    def close(self) -> None: ...


B = TypeVar("B", bound=Beginning)
Lose: TypeAlias = Callable[[dict[str, Any] | None], None]
"""Takes what a call cost that is no part of the answer; None where nobody knows."""


async def begun(lane: B, lose: Lose) -> B:
    """`lane`, begun; stopped where that fails, and what it cost all the same given to `lose`.

    Raises:
        AdapterError: the upstream did not answer.
    """
    try:
        await lane.begin()
    except BaseException:
        lose(lane.usage)
        lane.close()
        raise
    return lane


class Machine(Protocol[Given_co]):
    """Sans-IO: reads of one upstream's stream in, what the client is to get of them out. An `Intake`, a `RawStream`."""

    @property
    def settling(self) -> bool:
        """The answer is complete but for its usage."""

    @property
    def ended(self) -> bool:
        """The terminal event was given."""

    def feed(self, chunk: bytes) -> Given_co: ...

    def close(self) -> Given_co: ...

    def fail(self, error: AdapterError) -> Given_co: ...


class Streaming(Generic[Given]):
    """The streamed answer of one upstream call, whatever is made of its reads."""

    def __init__(self, reply: Reply, machine: Machine[Given], nothing: Given, settle_within: float) -> None:
        self._reply = reply
        self._machine = machine
        self._nothing = nothing
        self._first = nothing
        """What there is that was not given yet."""
        self._settle_within = settle_within
        self._hurried = False
        self.headers: Mapping[str, str] = reply.headers

    @property
    def ended(self) -> bool:
        """The terminal event has been given."""
        return self._machine.ended

    async def pass_on(self, write: Callable[[Given], None], ready: Callable[[], bool]) -> None:
        """As `Answering.pass_on`."""
        machine = self._machine
        if self._first or machine.ended or machine.settling:
            return

        def take(chunk: bytes) -> bool:
            given = machine.feed(chunk)
            if machine.ended:
                self._first = given
                return False
            if given:
                write(given)
            return not machine.settling

        await self._reply.pass_on(take, ready)

    async def piece(self) -> Given:
        """What comes next; to be asked for until `ended`."""
        machine, reply = self._machine, self._reply
        given, self._first = self._first, self._nothing
        while not given and not machine.ended:
            if not self._hurried and machine.settling:
                self._hurried = True
                reply.hurry(self._settle_within)
            try:
                chunk = await reply.read()
            except AdapterError as error:
                return machine.fail(error)
            given = machine.feed(chunk) if chunk else machine.close()
        return given

    async def finish(self) -> None:
        """As `Answering.finish`."""
        await _let_go(self._reply)

    def close(self) -> None:
        """As `Answering.close`."""
        self._reply.close()


class Hub(Streaming[list[Event]]):
    """A stream that is read into the hub."""

    choices = 1

    def __init__(self, reply: Reply, intake: Intake, exchange: Exchange, *, settle_within: float) -> None:
        super().__init__(reply, intake, [], settle_within)
        self.exchange = exchange
        self.usage: dict[str, Any] | None = None
        """As `Beginning.usage`."""
        self.intake = intake

    @property
    def id(self) -> str:
        """The upstream's id of the answer, once it has begun and as long as nothing was taken of it."""
        first = self._first[0] if self._first else None
        return first.id if isinstance(first, Started) else ""

    @property
    def anomalies(self) -> list[Anomaly]:
        return self.intake.anomalies

    async def begin(self) -> None:
        """Until the upstream has answered.

        Raises:
            AdapterError: it did not.
        """
        intake = self.intake
        first = await self.piece()
        while intake.bare and not intake.ended:
            first = first + await self.piece()
        last = first[-1]
        if type(last) is Failed and (intake.bare or last is first[0]):
            self.usage = next((event.usage for event in first if type(event) is Usage), last.usage)
            raise last.error
        self._first = first

    async def batch(self) -> Batch:
        return 0, await self.piece()

    def fail(self, error: AdapterError) -> Batch:
        first, self._first = self._first, []
        return 0, first + self.intake.fail(error)


class InBatches:
    """An answer that comes in batches only."""

    async def pass_on(self, write: Callable[[list[Event]], None], ready: Callable[[], bool]) -> None:
        """As `Answering.pass_on`; here nothing is, and all is in the batches."""

    def fail(self, error: AdapterError) -> Batch:
        """As `Answering.fail`: what comes in one batch does not break off."""
        return 0, []


class HubWhole(InBatches):
    """The plain answer of one upstream call."""

    choices = 1
    answer: Answer
    """All of it, once it has begun."""
    _events: list[Event]

    def __init__(
        self,
        reply: Reply,
        read: Callable[[Any], tuple[Answer, list[Event], list[Anomaly]]],
        exchange: Exchange,
        *,
        reply_limit: int,
    ) -> None:
        """`read`: from the body's JSON value to what `dialects.intake.read_whole` gives."""
        self._reply = reply
        self._read = read
        self.headers: Mapping[str, str] = reply.headers
        self.exchange = exchange
        self.id = ""
        """As `Hub.id`."""
        self._reply_limit = reply_limit
        self.usage: dict[str, Any] | None = None
        self.anomalies: list[Anomaly] = []
        self.ended = False

    async def begin(self) -> None:
        """The whole reply, read.

        Raises:
            AdapterError: it is no answer, or one that failed.
        """
        value = parsed(await self._reply.body(self._reply_limit))
        try:
            self.answer, self._events, self.anomalies = self._read(value)
        except AdapterError:
            self.usage = normal(value.get("usage")) if isinstance(value, dict) else None
            raise
        self.usage = self.answer.usage
        if self.answer.error is not None:
            raise self.answer.error
        self.id = self.answer.id

    async def batch(self) -> Batch:
        self.ended = True
        return 0, self._events or unfolded(self.answer)

    async def finish(self) -> None:
        """All of it was read."""

    def close(self) -> None:
        self._reply.close()


class RawStreaming(Streaming[bytes]):
    """A stream that passes as bytes."""

    def __init__(self, reply: Reply, observer: RawStream, *, settle_within: float) -> None:
        super().__init__(reply, observer, b"", settle_within)
        self.observer = observer

    @property
    def usage(self) -> dict[str, Any] | None:
        """As `Beginning.usage`."""
        return self.observer.answer.usage

    async def begin(self) -> None:
        """As `Answering.begin`. What a headless stream began with is left to be read again."""
        observer, read = self.observer, b""
        while not observer.answered:
            if observer.answer.error is not None and not self._hurried:  # only its end may follow
                self._hurried = True
                self._reply.hurry(self._settle_within)
            try:
                chunk = await self._reply.read()
            except AdapterError:
                if observer.answer.error is None:
                    raise
                raise observer.answer.error from None
            read += chunk
            self._first += observer.feed(chunk) if chunk else observer.close()
            if observer.ended and not observer.answered:
                raise observer.answer.error or UpstreamTruncated(
                    "The upstream's stream ended before it began to answer."
                )
        if observer.headless:
            self._reply.unread(read)

    def fail(self, error: AdapterError) -> bytes:
        """As `Answering.fail`."""
        first, self._first = self._first, b""
        return first + self.observer.fail(error)


class RawWhole:
    """A plain reply that passes as bytes."""

    def __init__(self, reply: Reply, dialect: DialectName, *, reply_limit: int) -> None:
        self._reply = reply
        self._check = DIALECTS[dialect].check_reply
        self._reply_limit = reply_limit
        self.body = b""
        self.id = ""
        self.headers: Mapping[str, str] = reply.headers
        self.usage: dict[str, Any] | None = None
        self.error: AdapterError | None = None
        """What the answer says that it failed by."""

    async def begin(self) -> None:
        """The whole reply, looked at.

        Raises:
            AdapterError: it is not complete, not JSON, an error, or no answer of the dialect.
        """
        self.body = await self._reply.body(self._reply_limit)
        try:
            value = loads(self.body)
        except NotJson as refused:
            raise not_a_reply(self.body, refused) from None
        if not isinstance(value, dict):
            raise UpstreamInvalid("The upstream's answer is not a JSON object.")
        self.usage = normal(value.get("usage"))
        self.error = self._check(value)
        self.id = named(value.get("id"))

    async def finish(self) -> None:
        """As `Answering.finish`; all of it was read."""

    def close(self) -> None:
        """As `Answering.close`."""
        self._reply.close()


async def _let_go(reply: Reply) -> None:
    """Read what little may follow the end, so that the connection can be used again; anything more closes it."""
    if reply.ended:
        reply.close()
        return
    reply.hurry(_REST_WITHIN)
    try:
        while rest := await reply.read():
            if rest.strip() and not rest.rstrip().endswith(b"[DONE]"):
                break
    except AdapterError:
        pass
    reply.close()
