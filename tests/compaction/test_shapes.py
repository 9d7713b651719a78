"""The answers of `/responses/compact`, written and read."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import CompactedResponse, Response

from adapter.compaction.anatomy import type_of
from adapter.compaction.shapes import (
    Facts,
    UpstreamBlob,
    UpstreamShell,
    UpstreamText,
    compacted_output,
    compaction_item,
    compaction_reply,
    gomodel_reply,
    read_compact_answer,
    response_reply,
    retained_item,
)
from adapter.errors import UpstreamInvalid
from adapter.hub.events import Item
from tests.compaction.histories import assistant, call, developer, output, reasoning, usage, user
from tests.validator import load, needs_validator

FACTS = Facts(token="abc", model="m", created_at=7, usage=usage(10, 2), provider="local", metadata={"k": "v"})


def kept_and_blob(items: list[Item]) -> list[Item]:
    return compacted_output(items, compaction_item("sealed", FACTS.token), FACTS.token)


def test_the_compaction_shape_is_the_retained_items_and_one_blob() -> None:
    reply = compaction_reply(FACTS, kept_and_blob([developer("d"), user("u"), reasoning("r"), call("a")]))

    assert {key: reply[key] for key in ("id", "object", "created_at", "usage")} == {
        "id": "resp_abc",
        "object": "response.compaction",
        "created_at": 7,
        "usage": usage(10, 2),
    }
    assert [type_of(item) for item in reply["output"]] == [
        "message",
        "message",
        "reasoning",
        "function_call",
        "compaction",
    ]
    assert reply["output"][1] == {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "u"}],
        "id": "msg_abc_1",
        "status": "completed",
    }
    assert reply["output"][-1] == {"type": "compaction", "id": "cmp_abc", "encrypted_content": "sealed"}
    assert CompactedResponse.construct(**reply).output[-1].type == "compaction"


@needs_validator
def test_the_compaction_shape_is_valid_by_the_official_file() -> None:
    image = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_image", "image_url": "https://example.com/a.png"}],
    }
    custom = {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "x"}
    ran = {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}
    items = [developer("d"), user("u"), image, reasoning("r"), call("a"), output("a"), custom, ran]
    reply = compaction_reply(FACTS, kept_and_blob(items))
    validator = load()

    assert validator is not None
    assert validator.errors(validator.check(reply, "compact")) == []


def test_retained_items_keep_the_ids_and_statuses_they_have() -> None:
    item = {**user("u"), "id": "msg_mine", "status": "incomplete"}

    assert (retained_item(item, "t", 0)["id"], retained_item(item, "t", 0)["status"]) == ("msg_mine", "incomplete")
    assert retained_item(call("a"), "t", 2) == {**call("a"), "id": "fc_t_2", "status": "completed"}
    assert retained_item(output("a"), "t", 3) == {**output("a"), "id": "fco_t_3", "status": "completed"}
    assert retained_item(assistant("x"), "t", 0)["content"][0]["type"] == "output_text"
    assert retained_item({"type": "message", "role": "user", "content": None}, "t", 0)["content"] == []


def test_images_get_the_detail_that_answers_must_have() -> None:
    bare = {"type": "input_image", "image_url": "https://example.com/a.png"}

    parts = [bare, {**bare, "detail": "low"}, {"type": "input_text", "text": "x"}, "odd"]
    assert retained_item({"type": "message", "role": "user", "content": parts}, "t", 0)["content"] == [
        {**bare, "detail": "auto"},
        *parts[1:],
    ]


def test_the_response_shape_shows_the_summary_as_text() -> None:
    reply = response_reply(FACTS, "facts")

    assert reply == {
        "id": "resp_abc",
        "object": "response",
        "created_at": 7,
        "model": "m",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "output": [
            {
                "type": "message",
                "id": "msg_abc_0",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "facts", "annotations": [], "logprobs": []}],
            }
        ],
        "usage": usage(10, 2),
    }
    assert Response.construct(**reply).output_text == "facts"
    assert read_compact_answer(reply) == UpstreamText("facts", usage(10, 2))


def test_the_gomodel_shape_adds_provider_metadata_and_chat_spellings() -> None:
    reply = gomodel_reply(FACTS, "facts")

    assert set(reply) >= {"created_at", "error", "id", "metadata", "object", "output", "provider", "usage"}
    assert (reply["provider"], reply["metadata"], reply["error"]) == ("local", {"k": "v"}, None)
    assert reply["usage"]["raw_usage"] == usage(10, 2)
    assert {k: v for k, v in reply["usage"].items() if isinstance(v, int)} == {
        "input_tokens": 10,
        "output_tokens": 2,
        "total_tokens": 12,
    }
    assert reply["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0
    assert read_compact_answer(reply) == UpstreamText("facts", usage(10, 2))


# -------------------------------------------------------------------------------------------------- upstreams' answers

OPENAI: dict[str, Any] = {
    "created_at": 1731459200,
    "id": "resp_001",
    "object": "response.compaction",
    "output": [
        {
            "content": [{"text": "Summarize our launch checklist.", "type": "input_text"}],
            "role": "user",
            "type": "message",
        },
        {"encrypted_content": "encrypted-summary", "id": "cmp_001", "type": "compaction"},
    ],
    "usage": {"input_tokens": 42897, "output_tokens": 12000, "total_tokens": 54912},
}
GOGOGOTOKEN: dict[str, Any] = {
    "id": "resp_abc123",
    "object": "response",
    "model": "gpt-5.2-codex",
    "status": "completed",
    "output": [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "The session focused on…"}],
        }
    ],
    "usage": {"input_tokens": 1800, "output_tokens": 260, "total_tokens": 2060},
}
VISIONCODER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Here is…"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 412, "completion_tokens": 64, "total_tokens": 476},
}


def test_the_documented_answers_are_read() -> None:
    blob = read_compact_answer(OPENAI)
    assert isinstance(blob, UpstreamBlob)
    assert blob.output == OPENAI["output"]
    assert blob.usage is not None
    assert blob.usage["total_tokens"] == 54912
    for body, text, total in ((GOGOGOTOKEN, "The session focused on…", 2060), (VISIONCODER, "Here is…", 476)):
        read = read_compact_answer(body)
        assert isinstance(read, UpstreamText)
        assert read.text == text
        assert read.usage is not None
        assert read.usage["total_tokens"] == total


def test_of_several_blobs_the_last_is_passed_on_so_that_there_is_exactly_one() -> None:
    read = read_compact_answer(
        {
            "output": [
                {"type": "compaction", "encrypted_content": "a"},
                {"type": "compaction_summary", "encrypted_content": "b"},
            ]
        }
    )

    assert isinstance(read, UpstreamBlob)
    assert [item["encrypted_content"] for item in read.output] == ["b"]


def test_a_compaction_item_without_its_content_is_told_from_text_beside_it() -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "retained"}]}
    body = {"output": [said, {"type": "compaction", "id": "cmp_1"}], "usage": {"input_tokens": 7, "output_tokens": 3}}
    read = read_compact_answer(body)
    assert isinstance(read, UpstreamShell)
    assert read.usage is not None
    assert read.usage["total_tokens"] == 10


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"output": []},
        {"output": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "only retained"}]}]},
        {"output": [{"type": "compaction", "encrypted_content": ""}]},
        {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": " "}]}]},
        {"output": [7, {"type": "message", "content": 7}]},
        {"choices": []},
        {"choices": [{"message": {"content": None}}]},
        {"choices": [{"message": 7}]},
    ],
)
def test_an_answer_without_a_compaction_is_the_upstreams_fault(body: Any) -> None:
    with pytest.raises(UpstreamInvalid):
        read_compact_answer(body)


def test_text_in_odd_forms_is_found() -> None:
    for body in (
        {"output": [{"role": "assistant", "content": "plain"}]},
        {"choices": [{"message": {"content": [{"type": "text", "text": "plain"}]}}]},
    ):
        assert read_compact_answer(body) == UpstreamText("plain", None)


_HALF = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "half"}]}]


@pytest.mark.parametrize(
    "body",
    [
        {"output": _HALF, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        {"output": _HALF, "status": "incomplete"},
        *({"choices": [{"message": {"content": "half"}, "finish_reason": word}]} for word in ("length", "max_tokens")),
    ],
)
def test_a_summary_that_was_cut_off_says_so(body: dict[str, Any]) -> None:
    assert read_compact_answer(body) == UpstreamText("half\n[the summary was cut off here]", None)


@pytest.mark.parametrize(
    "body",
    [
        {"output": _HALF, "status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
        *(
            {"choices": [{"message": {"content": "half"}, "finish_reason": word}]}
            for word in ("content_filter", "sensitive")
        ),
    ],
)
def test_a_summary_that_a_filter_ended_is_none(body: dict[str, Any]) -> None:
    with pytest.raises(UpstreamInvalid):
        read_compact_answer(body)
