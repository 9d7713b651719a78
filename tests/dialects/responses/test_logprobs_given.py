"""Logprobs as an upstream gives them: whatever it says, ours have the types of the API."""

from __future__ import annotations

import pytest

from adapter import translate
from adapter.dialects.responses.output_items import full_logprobs


@pytest.mark.parametrize("given", [None, "x", 5, {}, ["é"], [None], [1.5], [True]])
def test_bytes_that_are_none_are_made_from_the_token(given: object) -> None:
    (full,) = full_logprobs([{"token": "é", "logprob": -1, "bytes": given, "top_logprobs": None}])

    assert full == {"token": "é", "logprob": -1, "bytes": [195, 169], "top_logprobs": []}


@pytest.mark.parametrize("given", [None, "é", {"logprob": -1}, {"token": "é"}, {"token": "é", "logprob": True}])
def test_what_is_no_token_with_its_number_is_none(given: object) -> None:
    assert full_logprobs([given]) == []
    (full,) = full_logprobs([{"token": "é", "logprob": -1, "top_logprobs": [given]}])
    assert full["top_logprobs"] == []


def test_what_a_server_nests_in_a_number_breaks_no_stream() -> None:
    """JSON is read deeper than it is written."""

    deep = b"[" * 300 + b"]" * 300
    top = b'{"token":"x","logprob":-1,"top_logprobs":[{"token":"y","logprob":%b}]}' % deep
    event = b'data: {"type":"response.output_text.delta","output_index":0,"delta":"x","logprobs":[%b]}\n\n' % top

    assert b'"content":"x"' in b"".join(translate.stream([event], "responses", "chat"))


def test_bytes_that_are_bytes_stay() -> None:
    (full,) = full_logprobs([{"token": "\ufffd", "logprob": -1, "bytes": [195], "top_logprobs": []}])

    assert full["bytes"] == [195]
