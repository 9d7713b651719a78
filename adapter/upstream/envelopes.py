"""How servers say that something is an error: the envelope of the APIs or one of a dozen others, read into the words of the APIs.

{"error": {…}}   {"error": "words"}   {"error": true, "message"}   {"object": "error", "message"}   {"code", "message"}
{"detail": "words" | [{"loc", "msg"}]}   FastAPI          {"base_resp": {"status_code", "status_msg"}}   MiniMax
{"errors": [{"code", "message"}]}        Cloudflare       {"error_code", "error_msg"}                    Baidu
{"success": false, "code", "msg"}        Zhipu            [{"error": {…}}]                               Google
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class Said(NamedTuple):
    """What the server said, in the words of the APIs."""

    message: str = ""
    type: str = ""
    code: str = ""
    param: str | None = None
    status: int | None = None
    """A status that stands in the error itself."""
    details: Mapping[str, Any] = {}
    """What else stands in the error; what stands beside it is no part of it."""


OF_ERRORS: Final = ("error", "response.error")
"""Types that say no more than that it is one; the second is MLflow's."""
_WORDS: Final = ("message", "msg")
"""Say an error only beside a code: a server may have other news."""
_ERRORS: Final = ("error", "error_msg", "error_message", "error_code")
"""Say one by themselves."""
_BARE: Final = ("detail", "errors")
"""Say one where nothing says that it is something else."""
_MESSAGES: Final = ("message", "detail", "msg", "error_message", "error_msg", "status_msg", "errors")
"""Where a message stands, the best place first."""
_READ: Final = frozenset(
    {*_MESSAGES, "type", "code", "error_code", "param", "status", "status_code", "http_code", "object", "success"}
    | {"sequence_number"}
)
"""Members of an error that are told as one of the four, or say nothing."""
_STATUS_OF_MINIMAX: Final = {
    1002: 429,
    1039: 429,
    1041: 429,
    2056: 429,
    1004: 401,
    2049: 401,
    1008: 402,
    1026: 400,
    1027: 400,
    1042: 400,
    2013: 400,
}
"""Its documented codes: rate limits, refused keys, no balance, flagged or invalid input."""


def is_error(value: dict[str, Any]) -> bool:
    """Whether what is no answer, nor a piece of one, says that there is none: an error in any of the envelopes."""
    get = value.get
    if get("object") == "error" or get("type") in OF_ERRORS or get("success") is False or _refused(value) is not None:
        return True
    if any(map(get, _ERRORS)) or (any(map(get, _BARE)) and "type" not in value and "object" not in value):
        return True
    return "code" in value and get("code") != 0 and any(key in value for key in _WORDS)


def read_error(value: Any) -> Said:
    """What an error in any of the envelopes says; also one that is only words."""
    if isinstance(value, list):
        value = value[0] if value else {}
    if isinstance(value, dict) and isinstance(value.get("error"), (dict, str)) and value["error"]:
        inner = value["error"]
        value = inner if isinstance(inner, dict) else {**value, "message": value.get("message") or inner}
    if isinstance(value, str):
        return Said(message=value)
    if not isinstance(value, dict):
        return Said()
    if (refused := _refused(value)) is not None:
        return Said(_message(refused), status=_STATUS_OF_MINIMAX.get(refused["status_code"]))
    code, type_, param = value.get("code") or value.get("error_code"), value.get("type"), value.get("param")
    beside = {} if "error" in value else value
    return Said(
        message=_message(value),
        type=type_ if isinstance(type_, str) and type_ not in OF_ERRORS else "",
        code=code if isinstance(code, str) else str(code) if type(code) is int else "",
        param=param if isinstance(param, str) else _first_place(value.get("detail")),
        status=next(filter(None, (_status(each) for each in (code, *map(value.get, _STATUSES)))), None),
        details={key: of for key, of in beside.items() if key not in _READ and of is not None},
    )


_STATUSES: Final = ("status", "status_code", "http_code")


def _refused(value: dict[str, Any]) -> dict[str, Any] | None:
    """MiniMax's word on how it went, where it did not go well."""
    found = value.get("base_resp")
    return found if isinstance(found, dict) and type(code := found.get("status_code")) is int and code != 0 else None


def _message(value: dict[str, Any]) -> str:
    for key in _MESSAGES:
        found = value.get(key)
        if isinstance(found, dict):  # {"message": {"detail": [...]}}
            found = _message(found)
        if isinstance(found, list):
            found = "; ".join(filter(None, map(_of_entry, found[:5])))
        if isinstance(found, str) and found:
            return found
    return ""


def _of_entry(entry: Any) -> str:
    """One of several: words, FastAPI's `{"loc": […], "msg": "field required"}`, Cloudflare's `{"code", "message"}`."""
    if not isinstance(entry, dict):
        return entry if isinstance(entry, str) else ""
    message, place = _message(entry), _place(entry.get("loc"))
    return f"{place}: {message}" if message and place else message


def _first_place(detail: Any) -> str | None:
    """The parameter that the first of FastAPI's entries is about."""
    entry = detail[0] if isinstance(detail, list) and detail else None
    return (_place(entry.get("loc")) or None) if isinstance(entry, dict) else None


def _place(loc: Any) -> str:
    """`messages[0].role`, as the APIs write it, for `["body", "messages", 0, "role"]`; empty where it is no place in the body."""
    steps = loc[1:] if isinstance(loc, list) and loc[:1] == ["body"] else []
    return "".join(f"[{step}]" if type(step) is int else f".{step}" for step in steps).lstrip(".")


def _status(code: Any) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
        code = int(code)
    return code if type(code) is int and 400 <= code < 600 else None
