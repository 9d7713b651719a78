"""All `reasoning_details` of an answer go back to OpenRouter with the next turn, unchanged and in their order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from adapter import translate
from adapter.hub.events import Event, Item
from adapter.hub.fold import fold
from adapter.upstream.profiles import profile
from tests.dialects.chat.making import call, calling, chunk_bytes, exchange, kinds, read_all

FORMAT = {"format": "anthropic-claude-v1", "index": 0}
TEXT = {"type": "reasoning.text", "text": "First, add.", "signature": "EsQB", **FORMAT}
SUMMARY = {"type": "reasoning.summary", "summary": "**Adding**", "format": "openai-responses-v1", "index": 1}
ENCRYPTED = {"type": "reasoning.encrypted", "data": "gAAA", "id": "rs_1", "format": "openai-responses-v1", "index": 1}
DETAILS = [TEXT, SUMMARY, ENCRYPTED, ENCRYPTED | {"id": "rs_2"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}
TOLD = {"role": "tool", "tool_call_id": "c1", "content": "1"}
SIGNED = {"google": {"thought_signature": "EjQK"}}
OPENROUTER = replace(exchange(), profile=profile("openrouter"))
FRAGMENTS = [
    {"reasoning": "First,", "reasoning_details": [{"type": "reasoning.text", "text": "First,", **FORMAT}]},
    {"reasoning": " add.", "reasoning_details": [{"type": "reasoning.text", "text": " add.", **FORMAT}]},
    {"reasoning": None, "reasoning_details": [{"type": "reasoning.text", "signature": "EsQB", "text": None, **FORMAT}]},
    {"content": "", "reasoning_details": [SUMMARY]},
]
LATE = [{"content": "", "reasoning_details": [ENCRYPTED]}, {"reasoning_details": DETAILS[3:]}]


def streamed(*deltas: dict[str, Any], finish: str = "tool_calls") -> list[Item]:
    events: list[Event] = read_all(*map(chunk_bytes, deltas), chunk_bytes(finish=finish), asked=OPENROUTER)[0]
    return fold(events).output


def plain(**message: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None, **message}}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def sent(to: str, *items: Item) -> tuple[list[dict[str, Any]], list[str]]:
    asked = translate.request({"model": "m", "input": list(items)}, "responses", "chat", profile=to)
    return asked.value["messages"], [loss.path for loss in asked.losses]


def test_details_of_a_stream_go_back_with_its_calls() -> None:
    """The text came in fragments, its signature in one of its own, what is encrypted behind the calls."""
    output = streamed(*FRAGMENTS, {"tool_calls": [call(0, "c1", "f", "{}")]}, *LATE)
    assert [item["type"] for item in output] == ["reasoning", "function_call"]
    assert output[0]["content"] == [{"type": "reasoning_text", "text": "First, add.**Adding**"}]
    (said, told), losses = sent("openrouter", *output, OUTPUT)
    assert said == {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_details": DETAILS}
    assert told == TOLD
    assert losses == []


def test_details_of_a_stream_go_back_with_its_text() -> None:
    output = streamed(*FRAGMENTS, {"content": "5"}, *LATE, finish="stop")
    assert sent("openrouter", *output) == (
        [{"role": "assistant", "content": "5", "reasoning_details": DETAILS}],
        [],
    )


@pytest.mark.parametrize("message", [{"content": "5"}, {"content": "5", "tool_calls": [CALL]}, {"tool_calls": [CALL]}])
@pytest.mark.parametrize("details", [DETAILS, [{"type": "reasoning.text", "text": text} for text in "ab"]])
def test_details_of_a_plain_reply_go_back_as_they_came(message: dict[str, Any], details: list[Any]) -> None:
    reply = translate.reply(plain(**message, reasoning_details=details), "chat", "responses", exchange=OPENROUTER)
    outputs = [OUTPUT] if "tool_calls" in message else []
    said = sent("openrouter", *reply.value["output"], *outputs)[0][0]
    assert said == {"role": "assistant", "content": None, **message, "reasoning_details": details}
    assert reply.anomalies == []


def test_texts_of_two_indices_are_two_and_one_without_an_index_is_the_next_ones() -> None:
    one, two = TEXT | {"index": 1}, TEXT | {"index": 2}
    bare = {"type": "reasoning.text", "text": "a"}
    for given, kept in (([one, two], [one, two]), ([bare, bare], [bare | {"text": "aa"}])):
        output = streamed(*({"reasoning_details": [detail]} for detail in given), {"content": "x"}, finish="stop")
        assert sent("openrouter", *output)[0][0]["reasoning_details"] == kept


def test_half_a_character_is_mended_in_details_as_in_the_reasoning() -> None:
    """Clients in Rust refuse the whole event otherwise; two halves are one."""
    data = [chunk_bytes({"reasoning_details": [TEXT | {"text": text}]}) for text in ("aHIGH", "LOWbHIGH")]
    data = [one.replace(b"HIGH", rb"\ud83d").replace(b"LOW", rb"\ude00") for one in data]
    output = fold(
        read_all(*data, chunk_bytes({"content": "x"}), chunk_bytes(finish="stop"), asked=OPENROUTER)[0]
    ).output
    assert output[0]["content"][0]["text"] == "a😀b\ufffd"
    assert sent("openrouter", *output)[0][0]["reasoning_details"] == [TEXT | {"text": "a😀b\ufffd"}]


def test_details_of_an_answer_that_was_cut_stay_behind() -> None:
    """Their signature is missing, and OpenRouter's servers refuse such."""
    output = streamed(*FRAGMENTS[:2], {"content": "5"}, finish="length")
    assert "reasoning_details" not in sent("openrouter", *output)[0][0]


def test_what_another_server_signed_brings_no_details() -> None:
    said = {"type": "message", "role": "assistant", "content": "5", "extra_content": SIGNED}
    assert sent("openrouter", said)[0] == [{"role": "assistant", "content": "5"}]


def test_a_string_of_reasoning_alone_is_not_sent_to_openrouter_and_that_is_told() -> None:
    """It makes a thought without a signature of it, which Claude refuses."""
    reasoning = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]}
    called = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    messages, losses = sent("openrouter", reasoning, called, OUTPUT)
    assert messages[0] == {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert losses == ["input[0]"]


def test_details_without_an_answer_are_an_anomaly() -> None:
    for deltas in ([{"reasoning_details": [ENCRYPTED]}], FRAGMENTS):
        _, reader = read_all(*map(chunk_bytes, deltas), chunk_bytes(finish="stop"), asked=OPENROUTER)
        assert kinds(reader) == ["extra_content_without_text"]


@pytest.mark.parametrize("to", ["generic", "gemini"])
def test_other_servers_are_not_sent_them_and_it_is_told(to: str) -> None:
    output = streamed(*FRAGMENTS, {"content": "5"}, finish="stop")
    messages, losses = sent(to, *output)
    assert messages == [{"role": "assistant", "content": "5"}]
    assert "input[1].extra_content" in losses


def test_a_chat_client_gets_them_and_gives_them_back_through_the_hub() -> None:
    asked = replace(exchange("chat"), profile=profile("openrouter"))
    reply = translate.reply(plain(tool_calls=[CALL], reasoning_details=DETAILS), "chat", "chat", exchange=asked).value
    message = reply["choices"][0]["message"]
    assert message["reasoning_details"] == DETAILS
    assert "extra_content" not in str(reply)
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}, message, TOLD]}
    again = translate.request(body, "chat", "chat", profile="openrouter")
    assert again.value["messages"][1]["reasoning_details"] == DETAILS
    assert "extra_content" not in str(again.value)


def test_a_chat_client_is_streamed_them_whole_and_in_their_order() -> None:
    asked = replace(exchange("chat"), profile=profile("openrouter"))
    signed = call(0, "c1", "f", "{}") | {"extra_content": SIGNED}
    data = [*map(chunk_bytes, FRAGMENTS), calling(signed), *map(chunk_bytes, LATE), chunk_bytes(finish="tool_calls")]
    frames = b"".join(b"data: " + one + b"\n\n" for one in (*data, b"[DONE]"))
    said = b"".join(translate.stream([frames], "chat", "chat", exchange=asked)).split(b"\n\n")
    deltas = [orjson.loads(one[6:])["choices"][0]["delta"] for one in said if one.startswith(b"data: {")]
    assert [delta["reasoning_details"] for delta in deltas if "reasoning_details" in delta] == [DETAILS]
    assert [c["extra_content"] for d in deltas for c in d.get("tool_calls", ()) if "extra_content" in c] == [SIGNED]
