"""Token counts: one normal form, one sum, one estimate.

The normal form is the Responses spelling, integers only, both details present:
`{input_tokens, input_tokens_details: {cached_tokens, cache_write_tokens}, output_tokens,
output_tokens_details: {reasoning_tokens}, total_tokens}`. Totals are passed on as given, even where they do not add up.
"""

from __future__ import annotations

from typing import Any, Final

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
    if not isinstance(usage, dict):
        return None
    given_in = count(usage.get("input_tokens", usage.get("prompt_tokens")))
    given_out = count(usage.get("output_tokens", usage.get("completion_tokens")))
    if given_in is None and given_out is None:
        return None
    tokens_in, tokens_out = given_in or 0, given_out or 0
    details_in = usage.get("input_tokens_details") or usage.get("prompt_tokens_details")
    details_out = usage.get("output_tokens_details") or usage.get("completion_tokens_details")
    details_in = details_in if isinstance(details_in, dict) else {}
    details_out = details_out if isinstance(details_out, dict) else {}
    cached = count(details_in.get("cached_tokens"))
    if cached is None:  # DeepSeek counts beside the details
        cached = count(usage.get("prompt_cache_hit_tokens"))
    total = count(usage.get("total_tokens"))
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {
            "cached_tokens": cached or 0,
            "cache_write_tokens": count(details_in.get("cache_write_tokens")) or 0,
        },
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": count(details_out.get("reasoning_tokens")) or 0},
        "total_tokens": tokens_in + tokens_out if total is None else total,
    }


def as_chat(usage: dict[str, Any]) -> dict[str, Any]:
    """The normal form in the Chat spelling (`prompt_tokens`, `completion_tokens`, …)."""
    details_in = usage["input_tokens_details"]
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": {
            "cached_tokens": details_in["cached_tokens"],
            "cache_write_tokens": details_in["cache_write_tokens"],
        },
        "completion_tokens_details": {"reasoning_tokens": usage["output_tokens_details"]["reasoning_tokens"]},
    }


def added(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The sum of two usages in the normal form: what several upstream calls for one client call cost."""
    return {
        key: added(value, second[key]) if isinstance(value, dict) else value + second[key]
        for key, value in first.items()
    }


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
