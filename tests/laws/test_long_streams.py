"""A long answer is told once more at its end; until then it takes little more than its characters."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import orjson
import pytest

from adapter import translate
from adapter.hub.request import DialectName

TOKENS = 5_000
WORD = " words"


def _chat(key: str) -> Iterator[bytes]:
    for number in range(TOKENS):
        choice = {"index": 0, "delta": {key: WORD}, "finish_reason": None}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": number, "model": "m", "choices": [choice]}
        yield b"data: " + orjson.dumps(chunk) + b"\n\n"


def _calling(name: str) -> Iterator[bytes]:
    """The arguments of one call."""
    for number in range(TOKENS):
        call = {"index": 0, "function": {"arguments": WORD}}
        if not number:
            call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"a": "'}}
        choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": number, "model": "m", "choices": [choice]}
        yield b"data: " + orjson.dumps(chunk) + b"\n\n"


def _responses(kind: str, index: str) -> Iterator[bytes]:
    for number in range(TOKENS):
        event = {"type": kind, "sequence_number": number, "item_id": "i", "output_index": 0, index: 0, "delta": WORD}
        yield f"event: {kind}\ndata: ".encode() + orjson.dumps(event) + b"\n\n"


@pytest.mark.parametrize(
    ("client", "upstream", "parts"),
    [
        ("responses", "chat", _chat("content")),
        ("responses", "chat", _chat("reasoning_content")),
        ("responses", "chat", _calling("run")),
        ("chat", "responses", _responses("response.output_text.delta", "content_index")),
        ("chat", "responses", _responses("response.reasoning_summary_text.delta", "summary_index")),
    ],
)
def test_what_a_stream_remembers_of_each_token_is_its_characters(
    client: DialectName, upstream: DialectName, parts: Iterator[bytes]
) -> None:
    _remembers_its_characters(translate.stream(parts, upstream, client))


def test_what_a_stream_that_looks_for_stop_words_remembers_of_each_token_is_its_characters() -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stop": ["never said"], "stream": True}
    exchange = translate.request(asked, "chat", "responses").exchange
    parts = _responses("response.output_text.delta", "content_index")
    _remembers_its_characters(translate.stream(parts, "responses", "chat", exchange=exchange))


def _remembers_its_characters(stream: Iterator[bytes]) -> None:
    for _ in range(100):
        next(stream)
    tracemalloc.start()
    try:
        for _ in range(TOKENS - 200):
            next(stream)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / (TOKENS - 200) < 3 * len(WORD)
