"""Token counts: one normal form out of every spelling."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.hub.usage import added, as_chat, estimated, normal

FULL = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}


def test_both_spellings_give_the_same_normal_form() -> None:
    assert normal(as_chat(FULL)) == normal(FULL) == FULL


@pytest.mark.parametrize(
    "usage", [None, {}, [], "10", {"total_tokens": 3}, {"input_tokens": None}, {"input_tokens": -1}]
)
def test_nothing_usable_is_none(usage: Any) -> None:
    assert normal(usage) is None


def test_missing_details_are_zero_and_totals_pass_as_given() -> None:
    """gogogotoken and OpenAI's own compaction example do not add up; the numbers are the upstream's."""
    usage = normal({"input_tokens": 42897, "output_tokens": 12000, "total_tokens": 54912, "input_tokens_details": None})

    assert usage is not None
    assert usage["total_tokens"] == 54912
    assert usage["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}


def test_counts_as_floats_and_strings_become_integers() -> None:
    usage = normal({"prompt_tokens": 7.0, "completion_tokens": "3", "prompt_cache_hit_tokens": 2})

    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (7, 3, 10)
    assert usage["input_tokens_details"]["cached_tokens"] == 2


def test_sum_of_several_calls() -> None:
    assert added(FULL, FULL)["input_tokens_details"] == {"cached_tokens": 8, "cache_write_tokens": 2}
    assert added(FULL, FULL)["total_tokens"] == 30


def test_estimate_rounds_up() -> None:
    assert estimated(9, 1)["input_tokens"] == 3
    assert estimated(9, 1)["total_tokens"] == 4


@pytest.mark.parametrize("count", [1 << 53, 1e300, 1 << 70])
def test_counts_beyond_any_model_are_none(count: float) -> None:
    """They could not be written as JSON again."""
    assert normal({"prompt_tokens": count}) is None
