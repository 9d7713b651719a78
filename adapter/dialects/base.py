"""What a dialect is: the functions and the small machines that every folder here provides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from adapter.errors import AdapterError
from adapter.hub.events import Event
from adapter.hub.fold import Answer, Fold
from adapter.hub.losses import Anomaly, Loss
from adapter.hub.request import ClientTraits, Clock, DialectName, Exchange, Ids, Request, Written
from adapter.upstream.profiles import Profile

if TYPE_CHECKING:
    from adapter.dialects.raw import RawStream

Frame: TypeAlias = tuple[str | None, bytes]
"""One event of the wire before framing: (event name or None, one line of JSON or `[DONE]`)."""


class StreamReader(Protocol):
    """An upstream's stream, read by read, into hub events that follow the grammar of `hub.events` whatever comes in."""

    anomalies: list[Anomaly]
    """What was mended so far; grows."""

    @property
    def bare(self) -> bool:
        """The answer was said to begin, and no more: what says so before it knows may still fail as if it had said nothing."""

    @property
    def ended(self) -> bool:
        """A terminal event was given; further input is ignored."""

    @property
    def settling(self) -> bool:
        """The answer is complete but for its usage: the pump waits a short time only."""

    def more(self, whole: bytes, at: int, events: list[Event]) -> int:
        """The short way of most reads. Where the SSE events that begin at `at` only add to the text that grew last, adds what
        they amount to to `events`; returns where the first other one begins, `at` itself where that is the first."""

    def feed(self, name: str | None, data: bytes) -> list[Event]:
        """The hub events that one SSE event of the upstream amounts to."""

    def close(self) -> list[Event]:
        """End of the stream: the terminal event where it is missing, Finished where the answer was complete, else Failed."""

    def fail(self, error: AdapterError) -> list[Event]:
        """The transport broke: as `close`, but with `error` where the answer was not complete."""


class StreamWriter(Protocol):
    """Hub events into the client's stream."""

    fold: Fold
    """What was written so far; the pump settles by it. Where a dialect has several choices, the items of the first one, and
    the usage and the failure of all."""
    losses: list[Loss]
    """What of the answer this dialect cannot say (a file citation, a hosted tool's item); for log and metric."""

    written: int
    """How many events of the stream `write` has given."""

    def write(self, events: Iterable[Event], choice: int = 0) -> bytes:
        """The part of the stream that some hub events amount to; `choice` tells which of n answers they belong to."""

    def feed(self, event: Event, choice: int = 0) -> list[Frame]:
        """As `write`, for one hub event and before framing."""

    def ping(self) -> list[Frame]:
        """A data-bearing keep-alive for the client that needs one (Codex), numbered like any event; else nothing."""


class Dialect(Protocol):
    """One API of the same conversation."""

    @property
    def name(self) -> DialectName: ...

    def read_request(self, body: dict[str, Any], client: ClientTraits = ...) -> Request:
        """A client's body, checked, into the hub. Raises the `BadRequest` tree, with `param`."""

    def write_request(self, request: Request, profile: Profile) -> Written:
        """A hub request as this kind of upstream takes it. Raises the `BadRequest` tree where carrying on would mislead."""

    def read_answer(
        self, body: Any, exchange: Exchange, *, ids: Ids = ..., clock: Clock = ...
    ) -> tuple[Answer, list[Anomaly]]:
        """An upstream's plain reply as the finished answer, and what was mended in it. Raises `UpstreamInvalid` and its
        kin."""

    def read_reply(
        self, body: Any, exchange: Exchange, *, ids: Ids = ..., clock: Clock = ...
    ) -> tuple[list[Event], list[Anomaly]]:
        """As `read_answer`, for the client that streams: the hub events of the same answer."""

    def check_reply(self, body: dict[str, Any]) -> AdapterError | None:
        """A look at an upstream's plain reply that passes as bytes: what the answer in it says that it failed by. Raises what
        it says instead of an answer."""

    def write_reply(self, answers: Sequence[Answer], exchange: Exchange) -> dict[str, Any]:
        """The client's plain reply; several answers only where the client asked for n > 1."""

    def unsaid(self, answers: Sequence[Answer], exchange: Exchange) -> list[Loss]:
        """What of the answers `write_reply` cannot say, or nobody could who read them; for log and metric."""

    def stream_reader(self, exchange: Exchange, *, ids: Ids = ..., clock: Clock = ...) -> StreamReader:
        """A fresh machine for one upstream stream."""

    def stream_writer(self, exchange: Exchange, *, clock: Clock = ...) -> StreamWriter:
        """A fresh machine for one client stream."""

    def raw_stream(self, exchange: Exchange, *, clock: Clock = ...) -> RawStream:
        """A fresh observer for one stream whose client and upstream both speak this dialect."""
