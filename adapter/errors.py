"""One tree of meanings. Each class carries its wire facts; dialects only render them.

An error is also a value: a failed stream carries one in its `Failed` event. Messages say what was wrong, where
(`param`) and what would be accepted; they never hold a secret, a prompt or an upstream's body.

Shapes and statuses: the `error` envelope of both APIs, `{"error": {message, type, param, code}}`, all four keys always; behind
them stand the further members of an upstream's own, as `misalignment`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, ClassVar, Final

_NO_DETAILS: Final[Mapping[str, Any]] = MappingProxyType({})


class Blame(Enum):
    """Whose fault it was; the access log tells it."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    US = "us"


class AdapterError(Exception):
    """The root. `status`, `type`, `code` and `blame` are facts of the class; an instance may narrow the code."""

    status: ClassVar[int] = 500
    type: str = "server_error"
    code: str | None = None
    blame: ClassVar[Blame] = Blame.US
    should_retry: bool | None = None
    """For the `x-should-retry` header, which the official clients obey: set where the status alone would mislead them."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Further fields of an HTTP answer that carries this error."""
    details: Mapping[str, Any] = _NO_DETAILS
    """Further members of the error object: what an upstream said beside the four that every error has."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        if type is not None:
            self.type = type
        self.retry_after = retry_after
        """Whole seconds, for the `retry-after` header; None when the client need not wait."""

    @property
    def http_status(self) -> int:
        """The status of a plain answer that carries this error."""
        return self.status

    def body(self) -> dict[str, Any]:
        """The error envelope of both APIs: `{"error": {"message", "type", "param", "code", …}}`."""
        facts = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": {**facts, **self.details}}


# ------------------------------------------------------------------------------------------------ the client's fault


class ClientError(AdapterError):
    """The request, or who sends it, is to change; 400 where a class says no other status."""

    status = 400
    type = "invalid_request_error"
    blame = Blame.CLIENT


class BadRequest(ClientError):
    """The request is wrong and will be wrong again."""


class InvalidJson(BadRequest):
    """The body is not one JSON object."""

    code = "invalid_json"


class InvalidContentEncoding(BadRequest):
    """The body is not what Content-Encoding says."""

    code = "invalid_content_encoding"


class InvalidType(BadRequest):
    """A field has the wrong JSON type."""

    code = "invalid_type"


class InvalidValue(BadRequest):
    """A field has the right type and a value outside what the API takes."""

    code = "invalid_value"


class MissingParameter(BadRequest):
    """A required field is absent or null."""

    code = "missing_required_parameter"


class UnsupportedParameter(BadRequest):
    """The API has this, this upstream (or this adapter) does not, and leaving it out would change the answer."""

    code = "unsupported_parameter"


class LossRejected(BadRequest):
    """Policy `losses = "reject"`: something in the request could not be carried to the upstream."""

    code = "unsupported_parameter"


class InvalidEncryptedContent(BadRequest):
    """A sealed blob is foreign, cut, forged, of another tenant or under a key we no longer hold: one answer for all."""

    code = "invalid_encrypted_content"


class PreviousResponseNotFound(BadRequest):
    """`previous_response_id` names nothing that this caller stored."""

    code = "previous_response_not_found"


class HostileRequest(BadRequest):
    """Framing or shape that no honest client sends (two lengths, two credentials, absurd nesting)."""


class Unauthorized(ClientError):
    """No key, or one that is not known."""

    status = 401
    code = "invalid_api_key"


class Forbidden(ClientError):
    """A known key that may not do this."""

    status = 403
    code = "permission_denied"


class NotFound(ClientError):
    """No such path, or no such stored object for this caller."""

    status = 404


class ModelNotFound(NotFound):
    """No upstream serves this model, or the upstream says it has none of that name."""

    code = "model_not_found"


class MethodNotAllowed(ClientError):
    """The path exists, the method does not."""

    status = 405
    allow = ""
    """For the `allow` header: the methods that this path has."""


class RequestTimeout(ClientError):
    """The client did not send its body in time."""

    status = 408
    code = "request_timeout"


class IdempotencyKeyInUse(ClientError):
    """The request that the client named so is being answered."""

    status = 409
    code = "idempotency_key_in_use"


class AnswerNotKept(ClientError):
    """The request that the client named so was answered, and nobody can tell how."""

    status = 409
    code = "idempotency_answer_not_kept"
    should_retry = False


class IdempotencyKeyReused(ClientError):
    """The client named two requests alike."""

    status = 422
    code = "idempotency_key_reused"


class PayloadTooLarge(ClientError):
    """The body is over the bound; it was not read past it."""

    status = 413
    code = "payload_too_large"

    @classmethod
    def over(cls, limit: int) -> PayloadTooLarge:
        """A request's body of more than `limit` bytes."""
        return cls(f"The request body is larger than this server takes ({limit} bytes).")


class UpgradeRequired(ClientError):
    """What was asked for exists over another protocol than the one that it was asked in."""

    status = 426
    code = "websocket_unavailable"
    headers = ((b"upgrade", b"websocket"),)


class UnsupportedMediaType(ClientError):
    """A content type or encoding that is not JSON in UTF-8."""

    status = 415
    code = "unsupported_media_type"


class UnsupportedContentEncoding(UnsupportedMediaType):
    """The body is compressed in a way that this server does not know."""

    headers = ((b"accept-encoding", b"gzip, deflate, zstd"),)


class HeadersTooLarge(ClientError):
    """More header bytes or lines than any client needs."""

    status = 431
    code = "headers_too_large"


class RateLimited(AdapterError):
    """A limit of ours, or the upstream's, was met."""

    status = 429
    type = "requests"
    code = "rate_limit_exceeded"
    blame = Blame.CLIENT


# ---------------------------------------------------------------------------------------------- the upstream's fault


class UpstreamError(AdapterError):
    """The model server, or the way to it, failed."""

    status = 502
    type = "server_error"
    code = "upstream_error"
    blame = Blame.UPSTREAM


class UpstreamLimited(RateLimited):
    """Its limit, not one of ours."""

    blame = Blame.UPSTREAM


class UpstreamRefused(UpstreamError):
    """The upstream answered with an error of its own; status, type, code and message are passed on."""

    def __init__(self, message: str, *, status: int, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.upstream_status = status

    @property
    def http_status(self) -> int:
        return self.upstream_status


class UpstreamUnwell(UpstreamRefused):
    """The upstream answered with an error that may not come again: a 5xx, 408, 409, 425."""


class UpstreamUnreachable(UpstreamError):
    """Refused, unresolvable, reset before a byte, TLS trouble."""

    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """Connecting, the first byte or the next data took too long."""

    status = 504
    code = "upstream_timeout"


class UpstreamUnconnected(UpstreamTimeout):
    """Connecting took too long: nothing was sent."""


class UpstreamTruncated(UpstreamError):
    """The answer ended before it was complete."""

    code = "upstream_truncated"


class UpstreamInvalid(UpstreamError):
    """The answer is not what the dialect allows: not JSON, not an object, no choices, no output."""

    code = "upstream_invalid"


class NoSummary(UpstreamInvalid):
    """A model was asked to make a conversation short and did not: empty, refused, or without content. Its server works."""


class UpstreamBadContent(UpstreamError):
    """The answer is not JSON or SSE at all (a login page, a proxy's error page)."""

    code = "upstream_bad_content"


class UpstreamEmpty(UpstreamError):
    """A success status with no body."""

    code = "upstream_empty"


class UpstreamRedirect(UpstreamError):
    """A redirect; following it would carry the key and the prompt elsewhere."""

    code = "upstream_redirect"


class UpstreamAuth(UpstreamError):
    """The upstream refuses the key that the operator configured: never a 401 to the client."""

    code = "upstream_auth"


class UpstreamEventTooLarge(UpstreamError):
    """One event passed the bound."""

    code = "upstream_event_too_large"


# ------------------------------------------------------------------------------------------------------------- ours


class InternalError(AdapterError):
    """A defect of this adapter; the log has the trace, the client does not."""

    code = "internal_error"


class Unavailable(AdapterError):
    """Something that it takes is not there now."""

    status = 503
    type = "service_unavailable_error"


class NoUpstream(Unavailable):
    """Every upstream that serves the model is down or cooling."""

    code = "no_upstream"


class Abandoned(AdapterError):
    """Its client left while it was made; nobody is told, and what is stored of it says that it was cancelled."""


class ShuttingDown(Unavailable):
    """The process is draining and the deadline has come."""

    code = "server_shutting_down"


class Overloaded(Unavailable):
    """More work at once than the configured bound."""

    code = "server_is_overloaded"


class LimitsUnavailable(Unavailable):
    """Limits are configured and their store does not answer: how much was used cannot be known."""

    code = "limits_unavailable"


class StoreUnavailable(Unavailable):
    """The database of stored responses cannot be used now; requests that need no stored state go on."""

    code = "store_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The store of responses and conversations is not available ({reason}).", retry_after=1)
        self.reason = reason
        """One word for log and metric: locked, full, gone, read_only, corrupt, timeout, busy, failed."""


class ConfigError(Exception):
    """The configuration cannot be served; the message is the one line that exit code 2 prints."""
