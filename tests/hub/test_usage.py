"""Token counts: one normal form out of every spelling."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.hub.losses import Loss
from adapter.hub.usage import added, as_chat, count, estimated, heard, normal, summed

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


@pytest.mark.parametrize("key", ["prompt_cache_hit_tokens", "cached_tokens"])
def test_cached_tokens_beside_the_details_count(key: str) -> None:
    """DeepSeek and Moonshot."""
    usage = normal({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, key: 2})

    assert usage is not None
    assert usage["input_tokens_details"]["cached_tokens"] == 2


def test_counts_as_floats_and_strings_become_integers() -> None:
    usage = normal({"prompt_tokens": 7.0, "completion_tokens": "3", "prompt_cache_hit_tokens": 2})

    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (7, 3, 10)
    assert usage["input_tokens_details"]["cached_tokens"] == 2


def test_sum_of_several_calls() -> None:
    assert added(FULL, FULL)["input_tokens_details"] == {"cached_tokens": 8, "cache_write_tokens": 2}
    assert added(FULL, FULL)["total_tokens"] == 30


SPOKEN = {
    "prompt_tokens": 9,
    "completion_tokens": 8,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 3, "rejected_prediction_tokens": 4, "audio_tokens": 0},
}


def test_what_only_chat_counts_goes_back_to_a_client_of_chat() -> None:
    """Through the hub, as for an answer that is stored."""
    losses: list[Loss] = []

    found = heard(SPOKEN, "chat", losses)

    assert found is not None
    assert losses == []
    assert as_chat(found) == SPOKEN | {
        "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0, "audio_tokens": 2}
    }


def test_what_only_chat_counts_is_told_where_a_client_of_responses_asks() -> None:
    losses: list[Loss] = []

    found = heard(SPOKEN | {"cost": 0.1}, "responses", losses)

    assert found == normal(SPOKEN)
    assert [loss.path for loss in losses] == [
        "usage.cost",
        "usage.prompt_tokens_details.audio_tokens",
        "usage.completion_tokens_details.rejected_prediction_tokens",
    ]


def test_a_sum_has_what_only_one_of_several_calls_counts() -> None:
    said = heard(SPOKEN, "chat", [])
    silent = heard(SPOKEN | {"prompt_tokens_details": {"cached_tokens": 1}}, "chat", [])

    total = summed([silent, said, silent])

    assert total is not None
    assert total["input_tokens_details"] == {
        "cached_tokens": 3,
        "cache_write_tokens": 0,
        "audio_tokens": 2,
    }


def test_estimate_rounds_up() -> None:
    assert estimated(9, 1)["input_tokens"] == 3
    assert estimated(9, 1)["total_tokens"] == 4


@pytest.mark.parametrize("count", [1 << 53, 1e300, 1 << 70])
def test_counts_beyond_any_model_are_none(count: float) -> None:
    """They could not be written as JSON again."""
    assert normal({"prompt_tokens": count}) is None


numbers = st.integers(0, 9) | st.sampled_from([(1 << 53) - 1, 1 << 53, -1, 2.0, 2.5, "3", "x", True, None, {}])
kinds = st.sampled_from([("input_tokens", "output_tokens"), ("prompt_tokens", "completion_tokens")])


@given(kinds, st.lists(numbers, min_size=7, max_size=7), st.sets(st.sampled_from(range(7))))
def test_counts_are_the_same_together_as_one_by_one(
    names: tuple[str, str], values: list[Any], absent: set[int]
) -> None:
    keys = [
        *names,
        "total_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "prompt_cache_hit_tokens",
    ]
    told = {key: value for n, (key, value) in enumerate(zip(keys, values, strict=True)) if n not in absent}
    inside, outside = (
        {key: told.pop(key) for key in group if key in told}
        for group in (("cached_tokens", "cache_write_tokens"), ("reasoning_tokens",))
    )
    usage = {**told, f"{names[0]}_details": inside, f"{names[1]}_details": outside}
    tokens_in, tokens_out, total = (count(told.get(key)) for key in (*names, "total_tokens"))
    cached = count(inside.get("cached_tokens"))

    expected = (
        None
        if tokens_in is tokens_out is None
        else {
            "input_tokens": tokens_in or 0,
            "input_tokens_details": {
                "cached_tokens": (count(usage.get("prompt_cache_hit_tokens")) if cached is None else cached) or 0,
                "cache_write_tokens": count(inside.get("cache_write_tokens")) or 0,
            },
            "output_tokens": tokens_out or 0,
            "output_tokens_details": {"reasoning_tokens": count(outside.get("reasoning_tokens")) or 0},
            "total_tokens": (tokens_in or 0) + (tokens_out or 0) if total is None else total,
        }
    )
    assert repr(normal(usage)) == repr(expected)
