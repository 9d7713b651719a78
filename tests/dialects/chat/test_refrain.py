"""A reader that parses only what differs from chunk to chunk reads what one reads that parses everything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.dialects.chat.read_stream import stream_reader
from adapter.dialects.chat.refrain import Refrain
from adapter.hub.events import Delta
from adapter.hub.request import Exchange

texts = st.sampled_from(
    ["a", "b", "model", "chunk", "", '"', "\\", "\n", "é", "😀", "\ud83d", "\x00probe", '{"x":1}', "a" * 40]
)
odd_fields: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["created", "usage", "error", "object", "obfuscation", "choices"]),
    st.sampled_from([None, 1, 2, "a", "b", {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, []]),
    max_size=1,
)
odd_choices: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["index", "finish_reason", "logprobs", "message", "content", "delta"]),
    st.sampled_from([None, 0, 1, "stop", "a", {}, {"content": "a"}, {"role": "assistant", "content": "b"}]),
    max_size=1,
)


def _chunk(text: str, fields: dict[str, Any], choice: dict[str, Any], ascii_only: bool) -> bytes:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": None, **choice}]
    chunk = {"id": "a", "object": "chat.completion.chunk", "model": "b", "choices": choices, **fields}
    return json.dumps(chunk, ensure_ascii=ascii_only).encode("utf-8", "replace")


chunks = st.builds(_chunk, texts, odd_fields, odd_choices, st.booleans())
plain = st.builds(_chunk, texts, st.just({}), st.just({}), st.just(True))


def _broken(chunk: bytes, at: int, piece: bytes) -> bytes:
    return chunk[: at % len(chunk)] + piece + chunk[at % len(chunk) :]


broken = st.builds(
    _broken, plain, st.integers(0, 300), st.sampled_from([b'"', b"\\", b",", b"}", b"\x00", b'","content":"z'])
)
streams = st.lists(st.one_of(plain, plain, plain, chunks, broken, st.just(b"[DONE]")), max_size=30)


def _read(stream: list[bytes]) -> Any:
    reader = stream_reader(Exchange.unasked("responses"))
    return [reader.feed(None, data) for data in stream], reader.close(), reader.anomalies


@settings(max_examples=200, deadline=None)
@given(streams)
def test_refrain_changes_nothing(stream: list[bytes]) -> None:
    short = _read(stream)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Refrain, "text", lambda *_: None)
        assert repr(short) == repr(_read(stream))


def test_refrain_is_learned_from_the_first_text() -> None:
    refrain = Refrain()
    refrain.learn(_chunk("one", {}, {}, True), "one")
    assert refrain.text(_chunk('two "and" \\ three', {}, {}, True)) == 'two "and" \\ three'


@pytest.mark.parametrize("text", ["a", "b", "chat.completion.chunk"])
def test_text_that_stands_elsewhere_in_the_chunk_is_not_taken_for_the_place(text: str) -> None:
    chunk = _chunk(text, {"obfuscation": text}, {}, True)
    refrain = Refrain()
    refrain.learn(chunk, text)
    assert refrain.text(_chunk(text, {"obfuscation": "other"}, {}, True)) is None


def test_server_that_changes_every_chunk_is_not_listened_to_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    lessons: list[bytes] = []

    def never(data: bytes) -> bool:
        lessons.append(data)
        return False

    monkeypatch.setattr("adapter.dialects.chat.refrain._says_probe", never)
    reader = stream_reader(Exchange.unasked("responses"))
    events = [event for n in range(50) for event in reader.feed(None, _chunk("x", {"created": n}, {}, True))]
    assert sum(type(event) is Delta for event in events) == 50
    assert len(lessons) == 4
