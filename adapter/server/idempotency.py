"""Requests that their clients name, with `Idempotency-Key`: whatever is sent twice is answered once.

    a new key                         it is answered, and holds its key meanwhile
    the same request, meanwhile       409, which the SDKs send again
    the same request, afterwards      what was answered, byte for byte; 409 where that was not kept: a stream, a long answer,
                                      or what was deleted since, as far as this process was told
    another one                       422

Only an answer that was wholly given counts. Whatever else ends a request (an error, a stop, a client that left) frees its
key, so that one who tries again is answered: a connection that is known to be lost frees it before its turn has ended.

Keys belong to the owner of the API key that came with them; where this server has no keys, to the credential that its
clients send. They are remembered in the memory of one process, never on a disk: not even an answer that is not to be stored
is stored so. Several workers each know their own: what comes to another one is new there. The oldest are forgotten first,
and all of them in time. Neither a key nor a request is kept, only digests are.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from time import monotonic
from types import TracebackType
from typing import Any, Final, NamedTuple

from adapter.errors import AnswerNotKept, IdempotencyKeyInUse, IdempotencyKeyReused
from adapter.server.calls.own import Document
from adapter.server.courses.course import Course, Decide, Lane, own_course
from adapter.server.turn import Outcome, Turn
from adapter.upstream.alarms import Alarms
from adapter.wire.headers import RawHeaders, idempotency_key
from adapter.wire.jsonio import loads_request

KEPT_FOR: Final = 600.0
"""Seconds; as long as the SDKs wait for an answer before they send a request again."""
LARGEST: Final = 1 << 20
"""Bytes of an answer that is kept."""
_MOST: Final = 10_000
"""Keys that are remembered of requests that were answered."""
_MOST_BYTES: Final = 16 << 20
"""Of their answers, together."""
_REPLAYED: Final = (b"idempotent-replayed", b"true")
_OF_ONE_REQUEST: Final = (b"x-request-id", b"x-ratelimit-")
"""What the fields begin with that say nothing of the answer."""


class Running(NamedTuple):
    """A request that holds its key."""

    request: bytes
    turn: Turn


class Answered(NamedTuple):
    """A request that was answered."""

    request: bytes
    until: float
    headers: RawHeaders
    body: bytes
    """Empty where it was not kept."""


class Idempotency:
    """The keys of one process."""

    def __init__(self, alarms: Alarms, clock: Callable[[], float] = monotonic) -> None:
        """`clock` is the alarms' own: seconds."""
        self._alarms = alarms
        self._clock = clock
        self._running: dict[bytes, Running] = {}
        self._answered: OrderedDict[bytes, Answered] = OrderedDict()
        """In the order of their ends."""
        self._bytes = 0
        self._forgets = False
        """An alarm is set for the oldest."""

    def take(self, key: bytes, request: bytes, turn: Turn) -> Answered | None:
        """Let the turn hold the key; or what was answered to the same request. Both are digests.

        Raises:
            IdempotencyKeyReused: the key is another request's.
            IdempotencyKeyInUse: the same request is being answered.
            AnswerNotKept: it was answered, and cannot be again.
        """
        running = self._running.get(key)
        if running is not None and running.turn.outlet.unheard:
            running = None
        answered = self._answered.get(key)
        held = running or answered
        if held is None:
            self._running[key] = Running(request, turn)
            return None
        if held.request != request:
            raise IdempotencyKeyReused(
                "This Idempotency-Key was used for another request; every new request needs a new one."
            )
        if answered is None:
            raise IdempotencyKeyInUse(
                "The request with this Idempotency-Key is still being answered; send it again later.", retry_after=1
            )
        if not answered.body:
            raise AnswerNotKept(
                "The request with this Idempotency-Key was answered, with a stream or at such length that the answer was not "
                "kept, or with what was deleted since; use a new key to ask again."
            )
        return answered

    def release(self, key: bytes, turn: Turn, *, given: bool) -> None:
        """The turn is over; where it held the key, the key is free, or stands for the answer that was wholly given."""
        running = self._running.get(key)
        if running is None or running.turn is not turn:
            return
        del self._running[key]
        if not given:
            return
        body, headers = turn.outlet.body, turn.outlet.headers
        if len(body) > LARGEST:
            body = b""
        kept = [field for field in headers if not field[0].startswith(_OF_ONE_REQUEST)] if body else []
        self._answered[key] = Answered(running.request, self._clock() + KEPT_FOR, kept, body)
        self._bytes += len(body)
        while len(self._answered) > _MOST or self._bytes > _MOST_BYTES:
            self._forget()
        if not self._forgets:
            self._forgets = True
            self._alarms.after(KEPT_FOR, self._forget_old)

    def retract(self, id: str) -> None:
        """The object of that id was deleted: an answer that is it, or holds it, is told no more."""
        said = id.encode()
        named = re.compile(rb'"id"\s*:\s*"%b"' % re.escape(said))
        for key, answered in self._answered.items():
            if said in answered.body and named.search(answered.body) is not None:
                self._bytes -= len(answered.body)
                self._answered[key] = answered._replace(headers=[], body=b"")

    def _forget(self) -> None:
        _, oldest = self._answered.popitem(last=False)
        self._bytes -= len(oldest.body)

    def _forget_old(self) -> None:
        """Those whose time is over, and again when it is for the next one."""
        now, self._forgets = self._clock(), False
        while self._answered:
            left = next(iter(self._answered.values())).until - now
            if left > 0:
                self._forgets = True
                self._alarms.after(left, self._forget_old)
                break
            self._forget()


class Named:
    """One request that its client has named; a context manager around its answer."""

    __slots__ = ("_answered", "_decide", "_idempotency", "_key", "_path", "_turn")

    def __init__(self, idempotency: Idempotency, turn: Turn, path: str, decide: Decide) -> None:
        """Of an admitted turn.

        Raises:
            InvalidValue: what it is named by is no key.
        """
        caller = turn.caller
        whose = caller.tenant if caller.key_id is not None else turn.callers_key or ""
        self._key = sha256(b"%b\n%b" % (whose.encode(), idempotency_key(turn.headers))).digest()
        self._idempotency = idempotency
        self._turn = turn
        self._path = path
        self._decide = decide
        self._answered: Answered | None = None

    def read(self, data: bytes) -> dict[str, Any]:
        """The body, when it has come; with it the request is known.

        Raises:
            AdapterError: as `Idempotency.take`; or it is no JSON object.
        """
        request = sha256(data)
        request.update(self._path.encode())
        self._answered = self._idempotency.take(self._key, request.digest(), self._turn)
        return loads_request(data) if self._answered is None else {}

    async def decide(self, turn: Turn, body: dict[str, Any]) -> Course:
        """Its course, or one that tells again what was answered: nobody is asked, and no limit is met.

        Raises:
            AdapterError: it has none.
        """
        answered = self._answered
        if answered is None:
            return await self._decide(turn, body)
        turn.lane = "replay"
        turn.outlet.headers += [*answered.headers, _REPLAYED]

        async def begin() -> Lane:
            return Document(answered.body)

        return own_course(begin)

    def __enter__(self) -> Named:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        turn = self._turn
        given = kind is None and turn.outcome is Outcome.OK and not turn.outlet.unheard
        self._idempotency.release(self._key, turn, given=given)
