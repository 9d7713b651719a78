"""What Gemini signs has to come back with the next turn; other servers are not sent it, and that is told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter import translate
from adapter.dialects.chat import stream_reader
from adapter.hub.events import ItemClosed, ItemOpened
from adapter.hub.fold import fold
from tests.dialects.chat.making import call, calling, chunk_bytes, exchange, read_all

SIGNED = {"google": {"thought_signature": "EjQK"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ITEM = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}
TOLD = {"role": "tool", "tool_call_id": "c1", "content": "1"}


def completion(**message: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None, **message}}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def test_a_signed_call_of_a_plain_reply_keeps_its_signature() -> None:
    reply = completion(tool_calls=[CALL | {"extra_content": SIGNED}])
    (item,) = translate.reply(reply, "chat", "responses").value["output"]
    assert item["extra_content"] == SIGNED
    message = translate.reply(reply, "chat", "chat").value["choices"][0]["message"]
    assert message["tool_calls"] == [CALL | {"extra_content": SIGNED}]


def test_a_signed_call_of_a_stream_has_its_signature_from_its_beginning() -> None:
    whole = call(id="c1", name="f", arguments="{}") | {"extra_content": SIGNED}
    events, _ = read_all(calling(whole), chunk_bytes(finish="tool_calls"))
    begun = [event.item for event in events if type(event) is ItemOpened]
    ended = [event.item for event in events if type(event) is ItemClosed]
    assert [item["extra_content"] for item in begun + ended] == [SIGNED, SIGNED]


def test_a_signature_that_comes_with_more_arguments_or_alone_is_of_the_call_that_is_open() -> None:
    for late in (call(0, arguments="}") | {"extra_content": SIGNED}, {"index": 0, "extra_content": SIGNED}):
        data = calling(call(0, "c1", "f", "{")), calling(late), chunk_bytes(finish="tool_calls")
        answer = fold(read_all(*data)[0])
        assert [item["extra_content"] for item in answer.output] == [SIGNED]
        assert streamed_calls(*data) == [{"index": 0, "extra_content": SIGNED}]


def streamed_calls(*data: bytes) -> list[dict[str, Any]]:
    """The fragments that a Chat client is streamed which have a signature."""
    frames = b"".join(b"data: " + one + b"\n\n" for one in (*data, b"[DONE]"))
    said = b"".join(translate.stream([frames], "chat", "chat")).split(b"\n\n")
    chunks = [orjson.loads(one[6:]) for one in said if one.startswith(b"data: {")]
    deltas = [choice["delta"] for one in chunks for choice in one["choices"]]
    return [found for delta in deltas for found in delta.get("tool_calls", ()) if "extra_content" in found]


def test_a_chat_client_is_streamed_the_signature_with_the_name() -> None:
    whole = call(id="c1", name="f", arguments="{}") | {"extra_content": SIGNED}
    (fragment,) = streamed_calls(calling(whole), chunk_bytes(finish="tool_calls"))
    assert fragment["function"]["name"] == "f"
    assert fragment["extra_content"] == SIGNED


def test_a_signed_text_keeps_its_signature_and_no_flag_of_a_piece() -> None:
    flag = {"google": {"thought": True}}
    data = [chunk_bytes({"content": "a", "extra_content": flag}), chunk_bytes({"content": "", "extra_content": SIGNED})]
    answer = fold(read_all(*data, chunk_bytes(finish="stop"))[0])
    assert [item["extra_content"] for item in answer.output] == [SIGNED]
    unsigned = fold(read_all(data[0], chunk_bytes(finish="stop"))[0])
    assert all("extra_content" not in item for item in unsigned.output)
    assert (
        translate.reply(completion(content="a", extra_content=SIGNED), "chat", "chat").value["choices"][0]["message"][
            "extra_content"
        ]
        == SIGNED
    )


def test_a_signature_without_a_text_or_call_of_its_own_is_an_anomaly() -> None:
    data = calling(call(0, "c1", "f", "{}")), chunk_bytes({"extra_content": SIGNED}), chunk_bytes(finish="tool_calls")
    assert [anomaly.kind for anomaly in read_all(*data)[1].anomalies] == ["extra_content_without_text"]


@pytest.mark.parametrize("nonsense", ["x", 3, [1], {"google": 1}, {"google": {"a": {"b": 1}}}, {}])
def test_extra_content_of_another_form_is_no_signature(nonsense: Any) -> None:
    reply = completion(tool_calls=[CALL | {"extra_content": nonsense}])
    assert "extra_content" not in translate.reply(reply, "chat", "responses").value["output"][0]


def asked(to: str, *items: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    made = translate.request({"model": "m", "input": list(items)}, "responses", "chat", profile=to)
    return made.value["messages"], [loss.path for loss in made.losses]


def test_the_signature_goes_back_to_a_server_that_wants_it() -> None:
    said = {"type": "message", "role": "assistant", "content": "b", "extra_content": SIGNED}
    asking = {"type": "message", "role": "user", "content": "a"}
    messages, losses = asked("gemini", asking, said, asking, ITEM | {"extra_content": SIGNED}, OUTPUT)
    assert messages[1] == {"role": "assistant", "content": "b", "extra_content": SIGNED}
    assert messages[3]["tool_calls"] == [CALL | {"extra_content": SIGNED}]
    assert losses == []


def test_the_signature_of_a_turn_with_reasoning_stays() -> None:
    reasoning = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]}
    said = {"type": "message", "role": "assistant", "content": "b", "extra_content": SIGNED}
    assert asked("gemini", reasoning, said)[0] == [{"role": "assistant", "content": "b", "extra_content": SIGNED}]


def test_calls_that_nobody_signed_go_with_googles_mark_for_them_to_a_server_that_demands_signatures() -> None:
    """Another model made them, or the client dropped what it does not know: Gemini 3 refuses such a history."""
    mark = {"google": {"thought_signature": "skip_thought_signature_validator"}}
    second, told = ITEM | {"call_id": "c2"}, OUTPUT | {"call_id": "c2"}
    messages, losses = asked("gemini", ITEM, second, OUTPUT, told)
    assert messages[0]["tool_calls"] == [CALL | {"extra_content": mark}, CALL | {"id": "c2"}]
    assert losses == []
    signed, _ = asked("gemini", ITEM | {"extra_content": SIGNED}, second, OUTPUT, told)
    assert signed[0]["tool_calls"] == [CALL | {"extra_content": SIGNED}, CALL | {"id": "c2"}]
    assert asked("generic", ITEM, OUTPUT)[0][0]["tool_calls"] == [CALL]


def test_other_servers_are_not_sent_the_signature_and_it_is_told_once() -> None:
    second = ITEM | {"call_id": "c2", "extra_content": SIGNED}, OUTPUT | {"call_id": "c2"}
    messages, losses = asked("generic", ITEM | {"extra_content": SIGNED}, OUTPUT, *second)
    assert messages[0]["tool_calls"] == [CALL]
    assert losses == ["input[0].extra_content"]


def test_a_chat_clients_signature_goes_through_the_hub() -> None:
    talk = [{"role": "assistant", "content": None, "tool_calls": [CALL | {"extra_content": SIGNED}]}, TOLD]
    body = {"model": "m", "messages": talk}
    made = translate.request(body, "chat", "chat", profile="gemini")
    assert made.value["messages"][0]["tool_calls"] == [CALL | {"extra_content": SIGNED}]
    to_responses = translate.request(body, "chat", "responses")
    assert to_responses.value["input"] == [ITEM, OUTPUT]
    assert [loss.kind for loss in to_responses.losses] == ["extra_content"]


def test_a_gemini_turn_goes_round() -> None:
    """As an SDK does it: the items of the answer are given back as they came."""
    whole = call(id="c1", name="f", arguments="{}") | {"extra_content": SIGNED}
    reader = stream_reader(exchange())
    events = [
        event for data in (calling(whole), chunk_bytes(finish="stop"), b"[DONE]") for event in reader.feed(None, data)
    ]
    messages, _ = asked("gemini", *fold(events).output, OUTPUT)
    assert messages[0]["tool_calls"] == [CALL | {"extra_content": SIGNED}]
