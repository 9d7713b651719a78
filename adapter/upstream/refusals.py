"""What an upstream's refusal means to the client, whatever the server calls it.

Errors come as the body of a 4xx or 5xx, as a success with an `error` in it, and as frames of a stream; the envelope is that
of the APIs, or another (see `envelopes`). Three things are decided here for both dialects: whose fault it is and with which
status the client hears of it, the code (see `wordings`), and what of the text may go on.

* The client's faults keep status, message, `param`. Context overflow is 400, whatever the server makes of it; money is 429
  `insufficient_quota`; an unknown model is 404.
* A refused key is the client's to mend only if it was the client's own; else it is a 502 that says nothing of the key. What was
  refused for what it says (a policy, a moderation) is no refused key, though servers use the same status: else one prompt would
  put the operator's key to rest for everybody.
* Rate limits keep `retry-after`, in whole seconds, from any of its spellings.
* Server errors that come as JSON keep their status, or are 400 where their words blame the request; text and HTML are never
  forwarded.

Messages are cut, and scrubbed of what looks like a key or an account; so are the further members of a refusal (`misalignment`,
Azure's `innererror`, OpenRouter's `metadata`), which say why and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import ceil, isfinite
from typing import Any, Final

from adapter.errors import (
    AdapterError,
    ModelNotFound,
    Overloaded,
    PayloadTooLarge,
    UpstreamAuth,
    UpstreamBadContent,
    UpstreamInvalid,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamUnwell,
)
from adapter.upstream.envelopes import Said, is_error, read_error
from adapter.upstream.wordings import SPENT, Meaning, is_about_input, is_about_key, meaning_of
from adapter.wire.headers import OF_LIMITS, returned
from adapter.wire.jsonio import NotJson, dumps, is_writable, loads

MAX_MESSAGE: Final = 2_000
"""Characters of a message that go on: some servers quote the whole request."""
_MAX_DETAILS: Final = 8_000
"""Bytes of the further members, all together; none goes on where they are more."""
DEFAULT_RETRY_AFTER: Final = 1
"""Seconds, where a rate limit names none: Codex gives up at once on a 429 without the header."""
_LONGEST_WAIT: Final = 7 * 24 * 3600

_REDACTED: Final = "[redacted]"
_LIMITS: Final = "x-ratelimit-"
_SECRETS: Final = re.compile(
    r"\bBearer\s+[^\s\"',;]+"
    r"|\b(?:sk|pk|rk|ak|gsk|xai|hf|key|csk|nvapi|org|proj|user|acct)[-_](?=[a-z_.-]*[A-Z0-9*])[A-Za-z0-9*_.-]{6,}"
    r"|\bAIza[0-9A-Za-z_-]{10,}"
    r"|(?<=\bprojects/)(?:\d{6,}|[\w:.-]+(?=/locations/))|(?<=\bproject_number:)\d+"  # Google
)
_LABELLED: Final = re.compile(r"(\b(?:api[-_ ]?key(?: id)?|token|team)(?: provided)?\s*[:=]\s*)[^\s,;]{8,}", re.I)
"""A key or an account of no known form, behind a word that says it is one."""
_OF_ACCOUNTS: Final = re.compile(
    r"(?:api_?key|(?:access_?)?token|secret|user|team|org(?:anization)?|account|project|tenant|consumer)"
    r"(?:_?(?:id|name|alias|number|hash))?|key_?(?:id|name|alias|hash)",
    re.I,
)
"""Members whose text is one."""
_TRY_AGAIN: Final = re.compile(
    r"(?:try again|retry) (?:in|after) ((?:\d{1,9}(?:\.\d{1,9})? ?(?:ms|s|min|m(?![a-z])|h)[a-z]* ?)+)", re.I
)
_STEP: Final = re.compile(r"([\d.]+) ?(ms|s|m|h)", re.I)
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


PASSING: Final = frozenset({408, 409, 425})
"""Statuses of refusals that may not come again."""


def from_error_object(obj: Any) -> AdapterError:
    """The meaning of an error inside a success: the `error` value of a body or frame, or the whole of it."""
    said = read_error(obj)
    status = said.status or _STATUS_OF_TYPE.get(said.code) or _STATUS_OF_TYPE.get(said.type) or 502
    return _told(said, status, {}, own_key=True)


def from_no_answer(body: dict[str, Any], lacking: str) -> AdapterError:
    """The meaning of a whole reply that is no answer: what it says, or else `lacking`, which says what it has none of."""
    return from_error_object(body) if "message" in body or is_error(body) else UpstreamInvalid(lacking)


def from_http(status: int, headers: Mapping[str, str], body: bytes, *, own_key: bool) -> AdapterError:
    """The meaning of an answer with a status of 400 or more.

    `headers` are looked up by lower-case names. `own_key`: the request carried the operator's key, not the client's.
    """
    error = _from_body(status, headers, body, own_key=own_key)
    if (again := headers.get("x-should-retry")) in ("true", "false"):
        error.should_retry = again == "true"
    return error


def _from_body(status: int, headers: Mapping[str, str], body: bytes, *, own_key: bool) -> AdapterError:
    try:
        value: Any = loads(body)
    except NotJson:
        value = None
    if isinstance(value, (dict, list)):
        return _told(read_error(value), status, headers, own_key=own_key)
    if status >= 500 and status != _NOT_IMPLEMENTED:
        said = f"The upstream failed with status {status} and said nothing that can be read."
        return UpstreamBadContent(said, retry_after=_wait_of_headers(headers))
    return _meant(Said(), status, headers, own_key=own_key)


# -------------------------------------------------------------------------------------------- codes and their status

ABOUT_INPUT: Final = frozenset(
    [
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "cyber_policy",
        "misalignment_policy_violation",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    ]
)
"""The values of a failed Response's `error.code` for what its client sent; another upstream would not like that either.
`cyber_policy`, which no list has, comes like them and Codex acts on it."""
POLICIES: Final = ABOUT_INPUT | {"content_filter", "content_policy_violation"}
"""Codes of refusals for what was sent, whatever their status."""

_STATUS_OF_TYPE: Final = {
    **dict.fromkeys(ABOUT_INPUT, 400),
    "invalid_request_error": 400,
    "invalid_request": 400,
    "BadRequestError": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "misalignment_policy_violation": 403,
    "invalid_encrypted_content": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "not_found": 404,
    "NotFoundError": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "too_many_requests": 429,
    "flex_unavailable": 429,
    "tokens": 429,
    "requests": 429,
    "overloaded_error": 503,
    "overloaded": 503,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "service_unavailable": 503,
    "unavailable_error": 503,
}
"""The status that a kind of error has where it comes without one, in a stream."""


# ----------------------------------------------------------------------------------------------- what it comes to


def _told(said: Said, status: int, headers: Mapping[str, str], *, own_key: bool) -> AdapterError:
    """As `_meant`, with the details where the client is to act on them: a server's trouble, or its quarrel with the operator, is
    none of its business."""
    error = _meant(said, status, headers, own_key=own_key)
    if said.details and error.http_status < 500:
        error.details = _scrubbed_details(said.details)
    return error


def _meant(said: Said, status: int, headers: Mapping[str, str], *, own_key: bool) -> AdapterError:
    meaning = meaning_of(said.code, said.type, said.message, status)
    message = scrubbed(said.message)
    facts: dict[str, Any] = {"param": said.param, "code": _clean(said.code), "type": _clean(said.type)}
    if meaning is Meaning.CONTEXT:
        facts |= {"code": meaning.value, "type": "invalid_request_error"}
        return UpstreamRefused(message or "The input is longer than the model's context window.", status=400, **facts)
    wordy = status == 429 and said.code in ("", "429")  # Gemini words its rate limits as quota
    passing = wordy and _any_wait(headers, said.message) is not None
    if status == 402 or (meaning is Meaning.QUOTA and not passing):
        spent = said.code if said.code in SPENT else Meaning.QUOTA.value
        facts |= {"code": spent, "type": Meaning.QUOTA.value}
        return UpstreamRefused(message or "The upstream's quota or credit is used up.", status=429, **facts)
    if meaning is Meaning.MODEL:
        return ModelNotFound(message or "The upstream has no such model.", param=said.param)
    if meaning is Meaning.SEALED:
        facts |= {"code": meaning.value, "type": "invalid_request_error"}
        return UpstreamRefused(
            message or "The upstream cannot open reasoning that it is given back.", status=400, **facts
        )
    about_input = said.code in POLICIES or is_about_input(said.message)
    if status == 400 and is_about_key(said.message):
        status = 401
    if status in (401, 403) and not about_input:
        return _auth(message, status, facts, own_key=own_key)
    if status in (413, 431):
        return PayloadTooLarge(message or "The request is too large for the upstream.", param=said.param)
    if status == 429:
        wait = retry_after(headers, said.message, said.details)
        limit = {"code": facts["code"], "type": facts["type"], "param": said.param}
        reached = UpstreamLimited(message or "The upstream's rate limit is reached.", retry_after=wait, **limit)
        reached.headers = _limits(headers)
        return reached
    if status >= 500 and about_input:
        facts["type"] = "invalid_request_error"
        return UpstreamRefused(message, status=400, **facts)
    if status >= 500 or status in PASSING:
        sent = _wait_of_headers(headers)
        if status == _OVERLOADED or said.type in _OVERLOADED_TYPES:
            facts["code"] = facts["code"] or Overloaded.code
        return UpstreamUnwell(
            message or f"The upstream failed with status {status}.",
            status=_SHOWN_AS.get(status, status),
            retry_after=sent,
            **facts,
        )
    if not facts["type"]:
        facts["type"] = "invalid_request_error"
    return UpstreamRefused(message or f"The upstream refused the request with status {status}.", status=status, **facts)


_NOT_IMPLEMENTED: Final = 501
"""Says what the server is, not that it failed: kept whatever the body looks like."""
_OVERLOADED: Final = 529
_OVERLOADED_TYPES: Final = frozenset({"overloaded_error", "overloaded"})
_SHOWN_AS: Final = {_OVERLOADED: 503}
"""Statuses that no client knows."""


def _auth(message: str, status: int, facts: dict[str, Any], *, own_key: bool) -> AdapterError:
    if own_key:
        return UpstreamAuth("The upstream refused this server's own key or account.")
    if not facts["code"]:
        facts["code"] = "invalid_api_key" if status == 401 else "permission_denied"
    facts["type"] = facts["type"] or "invalid_request_error"
    return UpstreamRefused(message or "The upstream refused the key.", status=status, **facts)


def _clean(word: str) -> str | None:
    """A code or type as it goes on: one word, or nothing. Numbers are statuses or a vendor's own and say nothing."""
    fits = 0 < len(word) <= 64 and word.isascii() and word.isprintable() and " " not in word
    return word if fits and not word.isdigit() else None


def scrubbed(message: str) -> str:
    """A message without what looks like a key or an account, cut to `MAX_MESSAGE`, valid Unicode."""
    text = message[: MAX_MESSAGE * 2].encode("utf-8", "replace").decode()
    text = _LABELLED.sub(rf"\1{_REDACTED}", _SECRETS.sub(_REDACTED, text))
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def tells_secret(data: bytes) -> bool:
    """Something in these bytes looks like a key or an account."""
    text = data.decode("utf-8", "replace")
    return _SECRETS.search(text) is not None or _LABELLED.search(text) is not None


def _scrubbed_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """All of them as messages go on, or none where that is much or cannot be written."""
    try:
        data = dumps(details)
    except ValueError:
        return {}
    return _scrubbed_members(details) if len(data) <= _MAX_DETAILS and is_writable(details, data) else {}


def _scrubbed_members(members: Mapping[str, Any]) -> dict[str, Any]:
    """Without what says where an account stands, as header fields do: whoever must not know them (`_limits`) has none here."""
    return {
        scrubbed(key): _REDACTED if isinstance(value, str) and _OF_ACCOUNTS.fullmatch(key) else _scrubbed_value(value)
        for key, value in members.items()
        if not key.lower().startswith(_LIMITS)
    }


def _scrubbed_value(value: Any) -> Any:
    match value:
        case str():
            return scrubbed(value)
        case list():
            return [_scrubbed_value(one) for one in value]
        case dict():
            return _scrubbed_members(value)
        case _:
            return value


def _limits(headers: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    """The fields that tell a client where it stands; whoever must not know takes them away."""
    return tuple(field for field in returned(headers) if field[0].startswith(OF_LIMITS))


# ------------------------------------------------------------------------------------------------------- waiting


def retry_after(headers: Mapping[str, str], message: str = "", details: Mapping[str, Any] | None = None) -> int:
    """Whole seconds to wait: what the headers say, the `resets_in_seconds` beside the message (ChatGPT's plans), the "try again in
    1.5s" in it, else `DEFAULT_RETRY_AFTER`."""
    wait = _any_wait(headers, message, details)
    return DEFAULT_RETRY_AFTER if wait is None else wait


def _any_wait(headers: Mapping[str, str], message: str, details: Mapping[str, Any] | None = None) -> int | None:
    """What the headers, the details or the message say."""
    waits = _wait_of_headers(headers)
    resets = (details or {}).get("resets_in_seconds") if waits is None else None
    if isinstance(resets, int | float) and isfinite(resets):
        return _whole(resets)
    said = _TRY_AGAIN.search(message[:MAX_MESSAGE]) if waits is None else None
    if said is None:
        return waits
    return _whole(sum(float(number) * _SECONDS[unit.lower()] for number, unit in _STEP.findall(said[1])))


def _wait_of_headers(headers: Mapping[str, str]) -> int | None:
    """What the headers say: `retry-after-ms`, `retry-after` in seconds or as a date (against the answer's own `date`: no clock
    here), and the same as LiteLLM passes them on."""
    for prefix in ("", "llm_provider-"):
        ms = _number(headers.get(f"{prefix}retry-after-ms"))
        if ms is not None:
            return _whole(ms / 1000)
        given = headers.get(f"{prefix}retry-after")
        seconds = _number(given)
        if seconds is not None:
            return _whole(seconds)
        then, now = _date(given), _date(headers.get("date"))
        if then is not None and now is not None:
            return _whole(then - now)
    return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if isfinite(number) else None


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError):
        return None


def _whole(seconds: float) -> int:
    return min(max(ceil(seconds), 0), _LONGEST_WAIT)
