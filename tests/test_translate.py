"""The library face: what it promises beyond the laws of its dialects (`tests/laws`)."""

from __future__ import annotations

from typing import Any

import pytest

from adapter import translate
from adapter.conform.laws import Name
from adapter.wire.jsonio import dumps

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
HEAD: dict[str, Any] = {"id": "chatcmpl-1", "created": 5, "model": "m"}

targets = pytest.mark.parametrize("target", ["chat", "responses"])


def told(losses: list[Any]) -> list[tuple[str, str]]:
    return [(loss.path, loss.action.value) for loss in losses]


def reply_of(*texts: str) -> dict[str, Any]:
    choices = [
        {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for index, text in enumerate(texts)
    ]
    return {**HEAD, "object": "chat.completion", "choices": choices}


def stream_of(*texts: str) -> list[bytes]:
    """An event a part: each choice its text, each its finish, in turns."""
    deltas: list[tuple[dict[str, Any], Any]] = [({"content": text}, None) for text in texts]
    deltas += [({}, "stop") for _ in texts]
    chunks = [
        {
            **HEAD,
            "object": "chat.completion.chunk",
            "choices": [{"index": at % len(texts), "delta": delta, "finish_reason": finish}],
        }
        for at, (delta, finish) in enumerate(deltas)
    ]
    return [b"data: %b\n\n" % data for data in (*map(dumps, chunks), b"[DONE]")]


# ------------------------------------------------------------------------------------------------- several choices


@targets
def test_a_request_for_several_choices_is_told_to_be_for_one(target: Name) -> None:
    """Of what is sent `n` is no part: whoever calls once gets one choice."""
    several = translate.request({**ASKED, "n": 2}, "chat", target)

    assert "n" not in several.value
    assert told(several.losses) == [("n", "dropped")]
    assert translate.request({**ASKED, "n": 1}, "chat", target).losses == []


@targets
def test_further_choices_of_a_reply_are_told(target: Name) -> None:
    one, two = (translate.reply(reply_of(*texts), "chat", target) for texts in (["a"], ["a", "b"]))

    assert one.losses == one.anomalies == []
    assert told(two.losses) == [("choices", "dropped")]
    assert two.value == one.value


@targets
def test_further_choices_of_a_stream_are_told_once(target: Name) -> None:
    one, two = (translate.stream(stream_of(*texts), "chat", target) for texts in (["a"], ["a", "b", "c"]))

    assert b"".join(two) == b"".join(one)
    assert one.losses == []
    assert told(two.losses) == [("choices", "dropped")]
