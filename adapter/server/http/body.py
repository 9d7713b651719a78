"""A request's body, with bounds on size, time and form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.types import Receive

from adapter.errors import PayloadTooLarge, UnsupportedContentEncoding, UnsupportedMediaType
from adapter.server.http.coding import CODINGS, decoded
from adapter.upstream.alarms import Alarms
from adapter.wire.headers import Headers

_BYTES_FOR_A_SECOND: Final = 64 * 1024
"""What a client must send for one more second: slower than any working line."""

_UTF8: Final = frozenset({b"utf-8", b"utf8", b"us-ascii"})


class ClientGone(Exception):
    """The client left; there is nobody to answer."""


def check_form(headers: Headers) -> None:
    """The body claims to be JSON in UTF-8, plain or in a coding that is known. A missing content type passes, but not from a web
    page: a browser asks nobody before it sends such a request to another site, or to this very machine.

    Raises:
        UnsupportedMediaType: it does not.
    """
    content_type = headers.get(b"content-type", b"")
    if content_type != b"application/json" and (content_type or b"origin" in headers):
        kind, *parameters = (part.strip() for part in content_type.lower().split(b";"))
        if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
            raise UnsupportedMediaType("The content type must be application/json.")
        if any(_charset(parameter) not in _UTF8 for parameter in parameters):
            raise UnsupportedMediaType("The charset must be utf-8.")
    if b"content-encoding" in headers and _coding(headers) not in CODINGS:
        raise UnsupportedContentEncoding("The request body may be compressed with gzip, deflate or zstd, once.")


def _coding(headers: Headers) -> bytes:
    return headers[b"content-encoding"].strip().lower()


def _charset(parameter: bytes) -> bytes:
    """The one that a parameter of a content type names; JSON's own where it is about something else."""
    name, _, value = parameter.partition(b"=")
    return value.strip(b'" ') if name.strip() == b"charset" else b"utf-8"


async def read_body(receive: Receive, headers: Headers, *, limit: int, deadline: Deadline | None) -> bytes:
    """The whole body, decoded. Every 64 KiB received put the deadline off by a second, where there is one.

    Raises:
        PayloadTooLarge: it is longer than `limit`, as it was sent or as it is; nothing is read past that.
        InvalidContentEncoding: it is not in the coding that it claims to be in.
        ClientGone: the client left.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise PayloadTooLarge.over(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        if part:
            size += len(part)
            if size > limit:
                raise PayloadTooLarge.over(limit)
            parts.append(part)
        if not message.get("more_body", False):
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            return decoded(body, _coding(headers), limit) if b"content-encoding" in headers else body
        if deadline is not None:
            deadline.put_off(len(part) / _BYTES_FOR_A_SECOND)


class Deadline:
    """Calls once when the time is up; one alarm, moved only when it rings."""

    __slots__ = ("_alarm", "_alarms", "_call", "_more")

    def __init__(self, alarms: Alarms, seconds: float, call: Callable[[], None]) -> None:
        self._alarms = alarms
        self._call = call
        self._more = 0.0
        self._alarm = alarms.after(seconds, self._ring)

    def put_off(self, seconds: float) -> None:
        """Later by so much."""
        self._more += seconds

    def cancel(self) -> None:
        """Never."""
        self._alarm.cancel()

    def _ring(self) -> None:
        if self._more > 0:
            self._alarm = self._alarms.after(self._more, self._ring)
            self._more = 0.0
        else:
            self._call()
