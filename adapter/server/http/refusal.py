"""An error as an HTTP answer, in the envelope of both APIs; and which errors an early Codex is told inside a stream."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from adapter.errors import (
    AdapterError,
    Blame,
    HeadersTooLarge,
    HostileRequest,
    MethodNotAllowed,
    ModelNotFound,
    PayloadTooLarge,
    RateLimited,
    RequestTimeout,
    UpstreamAuth,
    UpstreamRefused,
)
from adapter.hub.request import ClientTraits
from adapter.wire.headers import RawHeaders
from adapter.wire.jsonio import dumps
from adapter.wire.tokens import token

_PERMANENT: Final = frozenset({401, 403, 404, 408, 409, 413, 422})
"""Codex sends a request six times for each of these, thirty times for a 502, and only once for 400."""
_ONCE: Final = {ClientTraits.CODEX: (PayloadTooLarge,), ClientTraits.CODEX_EARLY: (PayloadTooLarge, ModelNotFound)}
"""Other faults that a Codex must not send again, and would under their own status."""
_SPENT: Final = "insufficient_quota"
_UNREAD_BODY: Final = (PayloadTooLarge, HeadersTooLarge, RequestTimeout, HostileRequest)


def refusal(error: AdapterError, client: ClientTraits) -> tuple[int, RawHeaders, bytes]:
    """Status, header fields and body for `error`."""
    status = error.http_status
    headers: RawHeaders = [(b"content-type", b"application/json")]
    if client.codex and _is_final(error, client):
        status = 400
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if error.http_status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    headers += error.headers
    if isinstance(error, MethodNotAllowed) and error.allow:
        headers.append((b"allow", error.allow.encode("ascii")))
    if isinstance(error, _UNREAD_BODY):
        headers.append((b"connection", b"close"))
    return status, headers, dumps(error.body())


def _is_final(error: AdapterError, client: ClientTraits) -> bool:
    """Whether a Codex must not send it again, and would, or would not tell its user why."""
    if isinstance(error, RateLimited):
        return error.retry_after is None  # no wait makes room for it
    return isinstance(error, UpstreamAuth) or (
        error.http_status in _PERMANENT and (error.blame is Blame.UPSTREAM or isinstance(error, _ONCE[client]))
    )


def unread(error: AdapterError, fields: RawHeaders) -> bytes:
    """The whole answer, as it goes over the wire, to what did not become a request; `fields` are the server's own."""
    status, headers, body = refusal(error, ClientTraits.GENERIC)
    own = (b"x-request-id", token().encode("ascii")), (b"content-length", b"%d" % len(body))
    lines = [b"%b: %b" % field for field in (*fields, *own, *headers)]
    first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode("ascii")
    return b"\r\n".join((first, *lines, b"", body))


def told_in_stream(error: AdapterError, client: ClientTraits) -> AdapterError | None:
    """The error as a Codex has to read it inside a stream to act on it; None where the status says enough."""
    if client is not ClientTraits.CODEX_EARLY:
        return None
    if isinstance(error, RateLimited) and (wait := error.retry_after) is not None:  # which is read from the message
        return RateLimited(f"{error.message} Please try again in {wait}s.", code=RateLimited.code, retry_after=wait)
    if error.type == _SPENT:  # of the codes of that type it knows only one
        return UpstreamRefused(error.message, status=error.http_status, code=_SPENT, type=_SPENT)
    return error if error.code == "context_length_exceeded" else None
