"""Token counts: one normal form, one sum, one estimate.

The normal form is the Responses spelling, integers only, both details present:
`{input_tokens, input_tokens_details: {cached_tokens, cache_write_tokens}, output_tokens,
output_tokens_details: {reasoning_tokens}, total_tokens}`. Totals are passed on as given, even where they do not add up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

BYTES_PER_TOKEN: Final = 4
"""The documented estimate: English text and code run near four bytes a token in every common tokenizer."""

_NONE: Final[dict[str, Any]] = {}
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
    if type(usage) is not dict:
        return None
    get = usage.get
    tokens_in, tokens_out = get("input_tokens", get("prompt_tokens")), get("output_tokens", get("completion_tokens"))
    total = get("total_tokens")
    details_in = get("input_tokens_details") or get("prompt_tokens_details") or _NONE
    details_out = get("output_tokens_details") or get("completion_tokens_details") or _NONE
    details_in = details_in if type(details_in) is dict else _NONE
    details_out = details_out if type(details_out) is dict else _NONE
    cached, written = details_in.get("cached_tokens"), details_in.get("cache_write_tokens", 0)
    reasoned = details_out.get("reasoning_tokens", 0)
    if not (
        # all are counts already, as with nearly every server: to look at them one by one takes a quarter more
        type(tokens_in) is type(tokens_out) is type(total) is type(cached) is type(written) is type(reasoned) is int
        and 0 <= tokens_in | tokens_out | total | cached | written | reasoned < _MOST
    ):
        given_in, given_out = count(tokens_in), count(tokens_out)
        if given_in is None and given_out is None:
            return None
        tokens_in, tokens_out, total = given_in or 0, given_out or 0, count(total)
        if total is None:
            total = tokens_in + tokens_out
        cached = count(cached)
        if cached is None:  # DeepSeek and Moonshot count beside the details
            cached = count(get("prompt_cache_hit_tokens", get("cached_tokens"))) or 0
        written, reasoned = count(written) or 0, count(reasoned) or 0
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": reasoned},
        "total_tokens": total,
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
    return {
        key: added(value, second[key]) if isinstance(value, dict) else value + second[key]
        for key, value in first.items()
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
