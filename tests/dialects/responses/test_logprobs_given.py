"""Logprobs as an upstream gives them: whatever it says, ours have the types of the API."""

from __future__ import annotations

import pytest

from adapter.dialects.responses.output_items import full_logprobs


@pytest.mark.parametrize("given", [None, "x", 5, {}, ["é"], [None], [1.5], [True]])
def test_bytes_that_are_none_are_made_from_the_token(given: object) -> None:
    (full,) = full_logprobs([{"token": "é", "logprob": -1, "bytes": given, "top_logprobs": None}])

    assert full == {"token": "é", "logprob": -1, "bytes": [195, 169], "top_logprobs": []}


@pytest.mark.parametrize("given", [None, "é", {"logprob": -1}, {"token": "é"}, {"token": "é", "logprob": True}])
def test_what_is_no_token_with_its_number_is_none(given: object) -> None:
    assert full_logprobs([given]) == []


def test_bytes_that_are_bytes_stay() -> None:
    (full,) = full_logprobs([{"token": "\ufffd", "logprob": -1, "bytes": [195], "top_logprobs": []}])

    assert full["bytes"] == [195]
