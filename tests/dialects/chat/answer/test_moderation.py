"""Moderation results, from Chat to the hub and back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter.dialects import chat
from adapter.dialects.chat.answer.moderation import to_chat, to_responses
from adapter.hub.fold import fold
from tests.dialects.chat.making import chunk_bytes, exchange, read_all, write_all
from tests.validator import load


def result(*, flagged: bool = False) -> dict[str, Any]:
    maps: dict[str, Any] = {"categories": {}, "category_scores": {}, "category_applied_input_types": {}}
    return {"type": "moderation_result", "model": "m", "flagged": flagged, **maps}


def results(*found: dict[str, Any]) -> dict[str, Any]:
    return {"type": "moderation_results", "model": "m", "results": list(found)}


ERROR = {"type": "error", "code": "c", "message": "m"}


def test_one_result_a_side_goes_there_and_back() -> None:
    moderation = {"input": results(result()), "output": ERROR}

    assert to_responses(moderation) == {"input": result(), "output": ERROR}
    assert to_chat(to_responses(moderation)) == moderation


def test_of_several_results_the_flagged_one_counts() -> None:
    moderation = {"input": results(result(), result(flagged=True)), "output": results(result(), result())}

    assert to_responses(moderation) == {"input": result(flagged=True), "output": result()}


@pytest.mark.parametrize(
    "moderation",
    [None, [], {}, {"input": results(result())}, {"input": results(), "output": ERROR}, {"input": {}, "output": ERROR}],
)
def test_what_is_not_whole_is_left_out(moderation: Any) -> None:
    assert to_responses(moderation) is None
    assert to_chat(moderation) is None


def test_a_nested_result_that_cannot_be_written_is_left_out() -> None:
    deep: Any = 0
    for _ in range(400):
        deep = [deep]
    hostile = result() | {"categories": {"x": deep}}

    assert to_chat({"input": hostile, "output": ERROR}) is None


def test_a_chat_client_gets_it_in_a_chunk_of_its_own_and_in_the_plain_reply() -> None:
    moderation = {"input": results(result()), "output": ERROR}
    events, _ = read_all(chunk_bytes({"content": "x"}, "stop", moderation=moderation))
    asked = exchange("chat", include_usage=False)
    out = write_all(events, asked)

    assert chat.write_reply([fold(events)], asked)["moderation"] == moderation
    assert orjson.loads(out.split(b"\n\n")[-3][6:])["moderation"] == moderation
    validator = load()
    if validator is not None:
        assert validator.errors(validator.check_chat_sse(out)) == []
