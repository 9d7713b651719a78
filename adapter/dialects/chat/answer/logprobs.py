"""Log probabilities: nearly the same in both dialects, with `bytes` nullable in Chat and a list in Responses."""

from __future__ import annotations

from typing import Any, Final

from adapter.hub.surrogates import mended

UNLIKELY: Final = -9999.0
"""The API's own value for a token that is not among the likely ones."""


def to_responses(entries: Any) -> list[dict[str, Any]] | None:
    """Chat's `[{token, logprob, bytes, top_logprobs}]` in the Responses shape; None where there are none."""
    if not isinstance(entries, list) or not entries:
        return None
    return [
        {**_numbered(entry), "top_logprobs": [_numbered(top) for top in _list(entry.get("top_logprobs"))]}
        for entry in entries
        if _is_entry(entry)
    ] or None


def to_chat(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The Responses shape in Chat's; deltas of Responses streams have no bytes, which Chat says as null."""
    return [
        {**_plain(entry), "top_logprobs": [_plain(top) for top in entry.get("top_logprobs") or ()]} for entry in entries
    ]


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("token"), str)


def _list(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if _is_entry(entry)] if isinstance(value, list) else []


def _numbered(entry: dict[str, Any]) -> dict[str, Any]:
    token, logprob, given = mended(entry["token"]), entry.get("logprob"), entry.get("bytes")
    if not isinstance(given, list) or not all(type(byte) is int and 0 <= byte < 256 for byte in given):
        given = list(token.encode())
    known = isinstance(logprob, (int, float)) and not isinstance(logprob, bool) and abs(logprob) <= -UNLIKELY
    return {"token": token, "logprob": logprob if known else UNLIKELY, "bytes": given}


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    return {"token": entry.get("token", ""), "logprob": entry.get("logprob", UNLIKELY), "bytes": entry.get("bytes")}
