"""Token counts: one normal form, one sum, one estimate.

The normal form is the Responses spelling, integers only, both details present:
`{input_tokens, input_tokens_details: {cached_tokens, cache_write_tokens}, output_tokens,
output_tokens_details: {reasoning_tokens}, total_tokens}`. Totals are passed on as given, even where they do not add up.
For a client of Chat the details also have what only Chat counts (audio, images, predictions), where the upstream does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from adapter.hub.losses import Loss, unknown_fields
from adapter.hub.request import DialectName

BYTES_PER_TOKEN: Final = 4
"""The documented estimate: English text and code run near four bytes a token in every common tokenizer."""

_MOST: Final = 1 << 53
"""Beyond what any model reads, and the largest that every JSON reader gets right; sums of such still fit 64 bits."""


def count(value: Any) -> int | None:
    """`value` as a token count: a non-negative integer, also from an integral float or a digit string; else None."""
    if type(value) is int:
        return value if 0 <= value < _MOST else None
    if isinstance(value, float) and 0 <= value < _MOST and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return None


def normal(usage: Any) -> dict[str, Any] | None:
    """Either dialect's usage object in the normal form; None when it holds no usable count."""
    return heard(usage, "responses", [])


def heard(usage: Any, client: DialectName, losses: list[Loss]) -> dict[str, Any] | None:
    """As `normal`, for a client of that dialect: with the counts that only Chat has words for, where it is one of Chat. What
    is left out is told in `losses`."""
    if type(usage) is not dict:
        return None
    try:
        if "prompt_tokens" in usage:
            tokens_in, tokens_out = usage["prompt_tokens"], usage["completion_tokens"]
            details_in, details_out = usage["prompt_tokens_details"], usage["completion_tokens_details"]
        else:
            tokens_in, tokens_out = usage["input_tokens"], usage["output_tokens"]
            details_in, details_out = usage["input_tokens_details"], usage["output_tokens_details"]
        total, cached, reasoned = usage["total_tokens"], details_in["cached_tokens"], details_out["reasoning_tokens"]
        writes = "cache_write_tokens" in details_in
        written = details_in["cache_write_tokens"] if writes else 0
    except (KeyError, TypeError):
        return _with_more(usage, _counted(usage), client, losses)
    if not (
        # all are counts already, as with nearly every server: to look at them one by one takes twice as long
        type(tokens_in) is type(tokens_out) is type(total) is type(cached) is type(written) is type(reasoned) is int
        and 0 <= tokens_in | tokens_out | total | cached | written | reasoned < _MOST
    ):
        return _with_more(usage, _counted(usage), client, losses)
    whole = writes and len(usage) == 5 and len(details_in) == 2 and len(details_out) == 1
    found = {
        "input_tokens": tokens_in,
        "input_tokens_details": details_in if whole else {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": tokens_out,
        "output_tokens_details": details_out if whole else {"reasoning_tokens": reasoned},
        "total_tokens": total,
    }
    return found if whole else _with_more(usage, found, client, losses)


def _with_more(
    usage: dict[str, Any], found: dict[str, Any] | None, client: DialectName, losses: list[Loss]
) -> dict[str, Any] | None:
    """As `heard`, of a usage that says more than its normal form, `found`."""
    if found is None:
        return None
    losses += unknown_fields("usage", usage, _FIELDS)
    for name, in_chat in _IN_CHAT.items():
        details = _details(usage, name)
        if client == "chat":
            only = [(key, count(value)) for key, value in details.items() if key in _ONLY_CHAT]
            found[name] |= {key: tokens for key, tokens in only if tokens is not None}
        said = {key: value for key, value in details.items() if value}
        losses += unknown_fields(f"usage.{name if name in usage else in_chat}", said, frozenset(found[name]))
    return found


def _counted(usage: dict[str, Any]) -> dict[str, Any] | None:
    """As `normal`, count by count."""
    get = usage.get
    tokens_in, tokens_out = (
        count(get("input_tokens", get("prompt_tokens"))),
        count(get("output_tokens", get("completion_tokens"))),
    )
    if tokens_in is None and tokens_out is None:
        return None
    details_in, details_out = _details(usage, "input_tokens_details"), _details(usage, "output_tokens_details")
    cached, total = count(details_in.get("cached_tokens")), count(get("total_tokens"))
    if cached is None:  # DeepSeek and Moonshot count beside the details
        cached = count(get("prompt_cache_hit_tokens", get("cached_tokens")))
    written, reasoned = count(details_in.get("cache_write_tokens")), count(details_out.get("reasoning_tokens"))
    return {
        "input_tokens": tokens_in or 0,
        "input_tokens_details": {"cached_tokens": cached or 0, "cache_write_tokens": written or 0},
        "output_tokens": tokens_out or 0,
        "output_tokens_details": {"reasoning_tokens": reasoned or 0},
        "total_tokens": (tokens_in or 0) + (tokens_out or 0) if total is None else total,
    }


_ONLY_CHAT: Final = frozenset(
    {"audio_tokens", "text_tokens", "image_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"}
)
_FIELDS: Final = frozenset(
    {
        *("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "total_tokens"),
        *("input_tokens_details", "output_tokens_details", "prompt_tokens_details", "completion_tokens_details"),
        *("cached_tokens", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens"),
    }
)
"""What of a usage is read, or follows from what is."""


def _details(usage: dict[str, Any], name: str) -> dict[str, Any]:
    details = usage.get(name) or usage.get(_IN_CHAT[name])
    return details if type(details) is dict else {}


_IN_CHAT: Final = {
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}


def as_chat(usage: dict[str, Any]) -> dict[str, Any]:
    """The normal form in the Chat spelling (`prompt_tokens`, `completion_tokens`, …)."""
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": usage["input_tokens_details"],  # details are spelt alike
        "completion_tokens_details": usage["output_tokens_details"],
    }


def added(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The sum of two usages in the normal form: what several upstream calls for one client call cost."""
    return first | {
        key: added(first.get(key, {}), value) if isinstance(value, dict) else first.get(key, 0) + value
        for key, value in second.items()
    }


def summed(costs: Iterable[dict[str, Any] | None]) -> dict[str, Any] | None:
    """As `added`, of any number, those left out that nobody reported; None where nobody reported any."""
    total: dict[str, Any] | None = None
    for cost in costs:
        if cost is not None:
            total = cost if total is None else added(total, cost)
    return total


def estimated(bytes_in: int, bytes_out: int) -> dict[str, Any]:
    """Usage that nobody reported, from the bytes sent and received (`BYTES_PER_TOKEN`, rounded up)."""
    tokens_in, tokens_out = -(-bytes_in // BYTES_PER_TOKEN), -(-bytes_out // BYTES_PER_TOKEN)
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens_in + tokens_out,
    }
