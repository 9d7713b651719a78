"""The library face: what it promises beyond the laws of its dialects (`tests/laws`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adapter import translate
from adapter.conform.laws import Name
from adapter.errors import InvalidType, InvalidValue
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


# -------------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("source", "target", "wrong"),
    [("Chat", "responses", "source"), ("chat", "hub", "target"), (None, "chat", "source"), ("x", "y", "source")],
)
def test_a_dialect_that_is_none_is_named(source: Any, target: Any, wrong: str) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: translate.request(ASKED, source, target),
        lambda: translate.reply(reply_of("a"), source, target),
        lambda: translate.stream(stream_of("a"), source, target),
    ]
    for call in calls:
        with pytest.raises(InvalidValue, match=f"{wrong} must be one of chat, responses") as refused:
            call()
        assert refused.value.param == wrong


@pytest.mark.parametrize("whole", [b"data: [DONE]\n\n", bytearray(b""), "data: [DONE]\n\n"])
def test_a_stream_in_one_part_is_to_be_given_as_one_of_many(whole: Any) -> None:
    """Bytes are an iterable of numbers, and would break far from here."""
    with pytest.raises(InvalidType, match=r"\[part\]"):
        translate.stream(whole, "chat", "responses")


def test_what_parts_raise_goes_through() -> None:
    """Nobody else knows what it means; what came before it was given."""

    def parts() -> Iterator[bytes]:
        yield from stream_of("a")[:1]
        raise ConnectionResetError

    stream = translate.stream(parts(), "chat", "chat")
    assert b'"content":"a"' in next(stream)
    with pytest.raises(ConnectionResetError):
        next(stream)


# ----------------------------------------------------------------------------------------------------------- exchange


def test_one_exchange_reads_any_number_of_answers() -> None:
    tool = {"type": "custom", "name": "note"}
    asked = translate.request({"model": "m", "input": "hi", "tools": [tool]}, "responses", "chat")
    call = {"id": "c1", "type": "function", "function": {"name": "note", "arguments": '{"input":"x"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    reply = {**HEAD, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    chunk = {
        **HEAD,
        "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **call}]}, "finish_reason": "tool_calls"}],
    }
    parts = [b"data: %b\n\ndata: [DONE]\n\n" % dumps(chunk)]

    def read(_: int) -> tuple[Any, bytes]:
        plain = translate.reply(reply, "chat", "responses", exchange=asked.exchange).value
        return plain, b"".join(translate.stream(parts, "chat", "responses", exchange=asked.exchange))

    plain, streamed = read(0)
    assert [item["type"] for item in plain["output"]] == ["custom_tool_call"]
    with ThreadPoolExecutor(4) as pool:
        assert all(answer == (plain, streamed) for answer in pool.map(read, range(40)))


def test_what_cursor_sends_to_chat_completions_is_read_as_there() -> None:
    body = {"model": "m", "input": "Hi", "tools": [{"type": "custom", "name": "ApplyPatch"}]}
    asked = translate.request(body, "chat", "responses", profile="openai")

    assert asked.value["input"] == [{"type": "message", "role": "user", "content": "Hi"}]
    assert asked.losses == []
    call = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "ApplyPatch", "input": "x"}
    told = translate.reply({"id": "resp_1", "output": [call]}, "responses", "chat", exchange=asked.exchange)
    (called,) = told.value["choices"][0]["message"]["tool_calls"]
    assert called["function"] == {"name": "ApplyPatch", "arguments": "x"}
