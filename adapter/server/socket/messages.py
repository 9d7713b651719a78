"""What goes over a WebSocket: `response.create` in, one JSON text message an event out.

An answer is the same sequence of events whatever carries it. So everything behind the outlet writes server-sent events, and
this outlet takes them out of their framing again: translated or raw, failures and pings, they all pass here.

A turn has no header. What one would tell stands in the first message of its answer, as the member `headers`, where OpenAI's
error messages have theirs and Codex looks for some: an event of our own would be one that strict clients do not know.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, ClassVar, Final, NamedTuple

from starlette.types import Send

from adapter.errors import InvalidType, InvalidValue, UnsupportedParameter
from adapter.server.history import as_items
from adapter.server.http.outlet import Outlet
from adapter.server.socket.recent import LocalThread
from adapter.server.socket.steering import Steer
from adapter.wire.headers import OURS, RawHeaders
from adapter.wire.jsonio import NotJson, dumps, loads, loads_request
from adapter.wire.sse import Decoder

_ENVELOPE: Final = frozenset({"type", "event_id", "response", "stream_id", "generate", "stream", "background"})
"""What a frame says about itself, or what a socket settles: an answer is always streamed, never in the background."""
_LONGEST_LANE: Final = 256


class Create(NamedTuple):
    """A `response.create`."""

    body: dict[str, Any]
    """The request, as `POST /v1/responses` takes it."""
    generate: bool
    """False: the client only prepares a later turn."""
    size: int
    """Bytes of the frame."""
    steers: tuple[Steer, ...] = ()
    """Earlier input of the user that stands before the request's own."""

    def behind(self, steers: Sequence[Steer]) -> Create:
        """The same turn, with more before it."""
        given = self.body.get("input")
        may_be_input = given is None or isinstance(given, (str, list))
        own = as_items(given) if may_be_input else [given]  # which is refused as an item
        body = {**self.body, "input": [*(item for steer in steers for item in steer.items), *own]}
        return self._replace(
            body=body, steers=(*steers, *self.steers), size=self.size + sum(one.size for one in steers)
        )


def lane(frame: dict[str, Any]) -> str | None:
    """The `stream_id` of a frame, which every event of its answer repeats.

    Raises:
        InvalidType: it is no name.
    """
    name = frame.get("stream_id")
    if name is not None and (not isinstance(name, str) or len(name) > _LONGEST_LANE):
        raise InvalidType(f"stream_id must be a string of at most {_LONGEST_LANE} characters.", param="stream_id")
    return name


def read_frame(message: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """One message of the client as a JSON object, and its size in bytes.

    Raises:
        BadRequest: it is none.
    """
    text = message.get("text")
    if text is None:
        raise InvalidValue("Frames must be text: one JSON object each.")
    data = text.encode()
    return loads_request(data), len(data)


def read_create(frame: dict[str, Any], size: int) -> Create:
    """The request in a frame of that size, whose fields stand at its top, or in `response` as the Realtime API has them.

    Raises:
        BadRequest: the frame is something else, or asks for what a socket does not do.
    """
    kind = frame.get("type")
    if kind != "response.create":
        raise InvalidValue("Only frames of type response.create or response.steer are taken here.", param="type")
    nested = frame.get("response")
    fields = {**frame, **nested} if isinstance(nested, dict) else frame
    if fields.get("background"):
        raise UnsupportedParameter("A socket answers at once; background needs an HTTP request.", param="background")
    generate = fields.get("generate")
    if generate is not None and not isinstance(generate, bool):
        raise InvalidType("generate must be a boolean.", param="generate")
    options = fields.get("prompt_cache_options")
    prewarms = isinstance(options, dict) and options.get("prewarm") is True
    body = {name: value for name, value in fields.items() if name not in _ENVELOPE}
    body["stream"] = True
    return Create(body, generate is not False and not prewarms, size)


class SocketOutlet(Outlet):
    """One answer as messages. Nothing is held back but the first: there is no status, an error just is another message."""

    has_status: ClassVar[bool] = False
    __slots__ = ("_decoder", "_events", "_given", "_last", "_tag", "_thread", "aborted")

    def __init__(self, send: Send, thread: LocalThread | None = None, lane: str | None = None) -> None:
        super().__init__(send)
        self._thread = thread
        self._decoder = Decoder(limit=sys.maxsize)
        self._events: list[bytes] = []
        """As `Outlet._unsent`."""
        self.aborted = False
        """Nobody takes what is sent: the connection, which is not only this answer's, is to be closed."""
        self._last = b"{}"
        """The event that was sent last."""
        self._given: int | None = None
        """The number given last, once an event stood beside the answer: from there on every one gets its number here."""
        self._tag = b"" if lane is None else _member("stream_id", lane)

    async def whole(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """An error envelope, with the status that it would have had and the wait that a header would have told."""
        self.committed = self.ended = True
        self.status = status
        if self._thread is not None:
            self._thread.refused()
        head = b'{"type":"error","status":%d' % status
        told = _headers([*self.headers, *headers]) + b","
        if self.writing_since is not None:
            await self._quiet_now()
        self.writing_since = monotonic()
        try:
            await self.message(head + told + body[1:])
        finally:
            self._sent()

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """The events in `data`, a message each; comments are none."""
        self._events += [event for _, event in self._decoder.feed(data) if event != b"[DONE]"]
        if self.writing_since is not None:
            await self._quiet_now()
        if self.ended:
            return
        self.ended = last
        self.writing_since = monotonic()
        try:
            while self._events:
                event = self._events[0]
                if self._thread is not None:
                    self._thread.hear(event)
                if self._given is None:
                    self._last = event
                else:
                    event = self._renumbered(event)
                if not self.committed:
                    event = _with(event, _headers(self.headers))
                await self.message(event)
                self.committed, self.status = True, 200
                del self._events[0]
        except asyncio.CancelledError:
            self.ended = False
            raise
        finally:
            self._sent()
        self.last_write = self.last_data = monotonic()

    async def beside(self, told: Callable[[int], bytes]) -> None:
        """One event about the answer that is none of its own. It takes the next number, and those behind it move on."""
        await self.message(told(self._next()))

    def _next(self) -> int:
        if self._given is None:
            number = _fields(self._last).get("sequence_number")
            # a raw event can be anything
            self._given, self._last = number if type(number) is int else -1, b""
        self._given += 1
        return self._given

    def _renumbered(self, event: bytes) -> bytes:
        fields = _fields(event)
        if "sequence_number" not in fields:
            return event
        try:
            return dumps({**fields, "sequence_number": self._next()})
        except ValueError:  # read, but nested too deeply to be written again
            return event

    def abort(self) -> None:
        """As `Outlet.abort`."""
        self.ended = self.aborted = True

    async def message(self, event: bytes) -> None:
        """One event, in the lane of the answer."""
        text = _with(event, self._tag).decode("utf-8", "replace")
        await self._send({"type": "websocket.send", "text": text})


def _fields(event: bytes) -> dict[str, Any]:
    """Those of an event; none where it is no object."""
    try:
        fields = loads(event)
    except NotJson:
        return {}
    return fields if isinstance(fields, dict) else {}


def _headers(fields: RawHeaders) -> bytes:
    """The member that tells what the header of an HTTP answer would and no event does: what this server has to say, and how long
    to wait. None where that is nothing."""
    told: dict[str, str] = {}
    for name, value in fields:
        word, said = name.decode("latin-1"), value.decode("latin-1")
        if name == b"retry-after":
            told[word] = said
        elif name.startswith(OURS):
            told[word] = f"{told[word]}, {said}" if word in told else said
    return _member("headers", told) if told else b""


def _member(name: str, value: dict[str, str] | str) -> bytes:
    """One more for an object that has some."""
    return b"," + dumps({name: value})[1:-1]


def _with(event: bytes, member: bytes) -> bytes:
    return event[:-1] + member + b"}" if member and event.endswith(b"}") else event
