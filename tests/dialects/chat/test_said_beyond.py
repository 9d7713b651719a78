"""What an answer says beyond its API: told as losses with their paths, once each, plain and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapter import translate
from adapter.hub.request import DialectName

VENDOR = {"vendor_key": {"a": 1}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def reply(message: dict[str, Any], choice: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
    said = {"index": 0, "message": {"role": "assistant", "content": "x", **message}, "finish_reason": "stop", **choice}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [said], **head}


@pytest.mark.parametrize("client", ["chat", "responses"])
@pytest.mark.parametrize(
    ("message", "choice", "head", "path"),
    [
        ({}, {}, VENDOR, "vendor_key"),
        (
            {},
            {},
            {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, **VENDOR}},
            "usage.vendor_key",
        ),
        ({}, VENDOR, {}, "choices[0].vendor_key"),
        (VENDOR, {}, {}, "choices[0].message.vendor_key"),
        ({"tool_calls": [CALL | VENDOR]}, {}, {}, "choices[0].message.tool_calls[0].vendor_key"),
        (
            {"tool_calls": [CALL | {"function": {"name": "f", "arguments": "{}", **VENDOR}}]},
            {},
            {},
            "choices[0].message.tool_calls[0].function.vendor_key",
        ),
    ],
)
def test_a_key_of_a_plain_answer_is_told(
    client: DialectName, message: dict[str, Any], choice: dict[str, Any], head: dict[str, Any], path: str
) -> None:
    made = translate.reply(reply(message, choice, head), "chat", client)

    assert [(loss.path, loss.kind) for loss in made.losses] == [(path, "unknown_field")]


def test_a_server_that_only_leaves_out_usage_and_has_another_key_instead_is_told() -> None:
    """As many keys as an answer mostly has."""
    made = translate.reply(reply({}, {"stop_reason": 7}, {"provider": "p"}), "chat", "responses")

    assert [loss.path for loss in made.losses] == ["provider", "choices[0].stop_reason"]


def test_keys_that_are_null_or_empty_say_nothing() -> None:
    beside = {"prompt_logprobs": None, "kv_transfer_params": None}
    made = translate.reply(reply({"audio": None, "extra": []}, {"stop_reason": None}, beside), "chat", "responses")

    assert made.losses == []


def test_a_key_that_stands_in_every_chunk_is_told_once() -> None:
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": "x"}, "filter": {"a": n}}], "provider": "p"} for n in range(9)
    ]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "timings": {"ms": 1}}
    parts = [b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in [*chunks, end]] + [b"data: [DONE]\n\n"]

    stream = translate.stream(parts, "chat", "responses")
    for _ in stream:
        pass

    assert [loss.path for loss in stream.losses] == ["provider", "choices[0].filter", "timings"]


@pytest.mark.parametrize("client", ["chat", "responses"])
@pytest.mark.parametrize("key", ["content", "tool_calls", "function_call", "annotations"])
def test_lists_in_lists_as_deep_as_json_is_read_break_no_answer(client: DialectName, key: str) -> None:
    """There are none in the API: a server that sends them is not looked for keys in there."""

    deep = b"[" * 1000 + b"]" * 1000
    chunk = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'
    late = b'data: {"id":"c","choices":[{"index":0,"delta":{"%b":%b}}]}\n\n' % (key.encode(), deep)

    assert b'"x"' in b"".join(translate.stream([chunk, late, b"data: [DONE]\n\n"], "chat", client))


def test_keys_of_a_responses_servers_items_and_parts_are_told_to_a_client_of_chat() -> None:
    part = {"type": "output_text", "text": "x", "annotations": [], "logprobs": [], **VENDOR}
    message = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    call = {"id": "f", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", **VENDOR}
    body = {"id": "resp_1", "status": "completed", "model": "m", "output": [message, call]}

    made = translate.reply(body, "responses", "chat")

    assert [loss.path for loss in made.losses] == ["output[0].content[0].vendor_key", "output[1].vendor_key"]
    assert translate.reply(body, "responses", "responses").losses == []
