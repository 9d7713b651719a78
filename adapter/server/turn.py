"""One request and its answer, from the first byte read to the access line."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Receive, Scope

from adapter.access.caller import ANYONE
from adapter.errors import AdapterError
from adapter.hub.losses import Anomaly, Loss
from adapter.hub.request import ClientTraits, DialectName
from adapter.hub.usage import summed
from adapter.server.history import History
from adapter.server.http.outlet import Outlet
from adapter.wire.headers import Headers, RawHeaders, check_fields, client_traits, credential, request_id
from adapter.wire.tokens import token

if TYPE_CHECKING:
    from adapter.access.limits import Counter
    from adapter.access.meter import Reservation
    from adapter.upstream.failover import Failover
    from adapter.upstream.router import Target


class Outcome(StrEnum):
    """How it ended, and by whom."""

    OK = "ok"
    REFUSED = "refused"
    """An error was the whole answer."""
    FAILED = "failed"
    """An error came after the answer had begun."""
    CLIENT_GONE = "client_gone"
    CLIENT_TOO_SLOW = "client_too_slow"
    SHUT_DOWN = "shut_down"
    CANCELLED = "cancelled"
    """A background response, by a request of its client."""


_BETA: Final = b"beta=true"


class Turn:
    """What is known of one request so far. The pipeline fills it; the access line reads it."""

    __slots__ = (
        "anomalies",
        "beta",
        "caller",
        "callers_key",
        "client",
        "counters",
        "cut_by",
        "cut_with",
        "dialect",
        "error",
        "failover",
        "first_event",
        "headers",
        "lane",
        "losses",
        "lost",
        "model",
        "outcome",
        "outlet",
        "paid",
        "read",
        "receive",
        "request_id",
        "reservation",
        "sent",
        "shut",
        "size",
        "started",
        "stored",
        "stream",
        "surface",
        "target",
        "task",
        "thread",
        "upstream",
        "usage",
    )

    def __init__(self, dialect: DialectName, scope: Scope, receive: Receive, outlet: Outlet) -> None:
        self.dialect = dialect
        self.surface: str = dialect
        """What was asked, for whoever counts: an API, `models`, which is of both, or `none`, where nothing is served."""
        self.receive = receive
        self.outlet = outlet
        self.started = self.outlet.last_write
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        raw: RawHeaders = scope["headers"]
        self.headers: Headers = dict(raw)
        self.client: ClientTraits = client_traits(self.headers)
        self.beta = _BETA in scope.get("query_string", b"").split(b"&")
        """The client asks for what OpenAI has in beta: agents beside each other, say."""
        self.request_id = request_id(self.headers) or token()
        self.outlet.headers.append((b"x-request-id", self.request_id.encode("ascii")))
        self.caller = ANYONE
        self.callers_key: str | None = None
        self.thread: History | None = None
        """What is known of earlier turns beside what the store tells everyone: by the client's connection, or by the response
        that was accepted. None where it is one request only."""
        self.stored = ""
        """What became of it in the store: kept, failed, refused; empty where nothing was to be stored."""
        self.stream = False
        self.model = self.upstream = self.lane = ""
        """Configured names only; empty until routed."""
        self.losses: list[Loss] = []
        self.anomalies: list[Anomaly] = []
        self.usage: dict[str, Any] | None = None
        self.paid: dict[str, Any] | None = None
        """What was spent on the way to an answer; `usage` includes it once there is one."""
        self.lost: dict[str, Any] | None = None
        """What of that was spent on attempts that failed, which `usage` does not include."""
        self.target: Target | None = None
        """Who was asked last."""
        self.failover: Failover | None = None
        """Its way over the upstreams; None as long as nobody was to be asked."""
        self.shut: set[str] = set()
        """Upstreams that failed in this turn or cannot be asked: a history that merely prefers one goes elsewhere."""
        self.counters: tuple[Counter, ...] = ()
        """The limits that the turn is under."""
        self.reservation: Reservation | None = None
        self.size = 0
        """Bytes of the request's body."""
        self.read: float | None = None
        self.sent: float | None = None
        self.first_event: float | None = None
        """When the request was there, when its course was begun, when the upstream had answered."""
        self.error: AdapterError | None = None
        self.outcome = Outcome.OK
        self.cut_by: Outcome | None = None
        self.cut_with: AdapterError | None = None

    def check_headers(self, scope: Scope) -> None:
        """Take the header fields for good, and the key among them.

        Raises:
            HeadersTooLarge: more than any client needs.
            HostileRequest: two framings, or two credentials.
        """
        check_fields(scope["headers"], self.headers)
        self.callers_key = credential(self.headers)

    @property
    def metered(self) -> bool:
        """Whether tokens are limited, so that what the answer costs has to be known."""
        return any(counter.measure.unit == "tokens" for counter in self.counters)

    def pay(self, usage: dict[str, Any] | None) -> None:
        """A call was made for the answer that is none of it."""
        self.paid = summed((self.paid, usage))

    def lose(self, usage: dict[str, Any] | None) -> None:
        """As `pay`, of a call that failed."""
        self.pay(usage)
        self.lost = summed((self.lost, usage))

    def let_go(self) -> None:
        """The turn is over. What it was decided and is ended by holds it: a circle of objects would wait for the garbage
        collector, and looking for such took an eighth of a plain request's CPU."""
        self.failover = self.outlet.ending = self.error = None

    def cut(self, by: Outcome, error: AdapterError | None = None) -> None:
        """End this turn from outside, with `error` as its answer where there still is somebody to read it."""
        if self.cut_by is None and not self.outlet.done:
            self.cut_by, self.cut_with = by, error
            self.task.cancel()
