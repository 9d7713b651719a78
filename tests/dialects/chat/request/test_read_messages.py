"""Chat messages into items: map a2 by scenarios."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.dialects.chat.request.read_messages import read_messages
from adapter.errors import BadRequest, InvalidType, InvalidValue, MissingParameter, UnsupportedParameter
from adapter.hub.losses import Loss


def items(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    losses: list[Loss] = []
    read, _, _ = read_messages(list(messages), losses)
    assert losses == []
    return read


def call(id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_instructions_stay_in_their_place_and_role() -> None:
    assert items(
        {"role": "system", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "developer", "content": [{"type": "text", "text": "c"}]},
    ) == [
        {"type": "message", "role": "system", "content": "a"},
        {"type": "message", "role": "user", "content": "b"},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "c"}]},
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"},
        ),
        (
            {"type": "image_url", "image_url": "data:image/png;base64,AA=="},
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "AA==", "media_type": "image/png", "detail": "low"}},
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        ),
        ({"type": "file", "file": {"file_id": "file-1"}}, {"type": "input_file", "file_id": "file-1"}),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        ),
        ({"type": "input_text", "text": "t"}, {"type": "input_text", "text": "t"}),
        ({"type": "output_text", "text": "t", "annotations": []}, {"type": "input_text", "text": "t"}),
        (
            {"type": "input_image", "image_url": "https://x/y.png"},
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"},
        ),
        (
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
        ),
        (
            {"type": "input_image", "image_url": {"url": "https://x/y.png", "detail": "high"}, "detail": None},
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "high"},
        ),
        (
            {"type": "input_image", "file_id": "file-1", "image_url": None},
            {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        ),
        (
            {"type": "text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "input_text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
        ),
    ],
)
def test_a_user_part_becomes_the_flat_part(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert items({"role": "user", "content": [given]})[0]["content"] == [expected]


def test_an_assistant_turn_becomes_reasoning_text_and_calls_in_that_order() -> None:
    assert items(
        {
            "role": "assistant",
            "content": "look",
            "reasoning_content": "hm",
            "tool_calls": [call("a"), {"id": "b", "type": "custom", "custom": {"name": "c", "input": "raw"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
        {"role": "tool", "tool_call_id": "b", "content": "3"},
    ) == [
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": "look"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "b", "name": "c", "input": "raw"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "2"}]},
        {"type": "custom_tool_call_output", "call_id": "b", "output": "3"},
    ]


@pytest.mark.parametrize("content", [None, ""])
def test_calls_without_text_make_no_message_item(content: str | None) -> None:
    assert [item["type"] for item in items({"role": "assistant", "content": content, "tool_calls": [call("a")]})] == [
        "function_call"
    ]


def test_an_empty_answer_stays_an_empty_message() -> None:
    assert items({"role": "assistant", "content": None}) == [{"type": "message", "role": "assistant", "content": ""}]


def test_assistant_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert items({"role": "assistant", "content": parts})[0]["content"] == "ab"


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
def test_texts_in_the_words_of_responses_are_texts_whoever_says_them(role: str) -> None:
    parts = [
        {"type": "input_text", "text": "first"},
        {"type": "output_text", "text": "second", "annotations": [], "logprobs": []},
    ]
    of_chat = [{"type": "text", "text": "first"}, {"type": "text", "text": "second"}]
    asked = {"role": "assistant", "content": None, "tool_calls": [call("c")]}

    def read(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return items(asked, {"role": role, "content": content} | ({"tool_call_id": "c"} if role == "tool" else {}))

    assert read(parts) == read(of_chat)
    assert "first" in str(read(parts)[-1])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "so", "refusal": "no"},
        {"role": "assistant", "content": [{"type": "text", "text": "so"}, {"type": "refusal", "refusal": "no"}]},
    ],
)
def test_a_refusal_is_kept_as_a_part(message: dict[str, Any]) -> None:
    assert items(message)[0]["content"] == [
        {"type": "output_text", "text": "so", "annotations": []},
        {"type": "refusal", "refusal": "no"},
    ]


def test_deprecated_function_calls_get_ids_by_which_their_answers_find_them() -> None:
    assert items(
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "[]"}},
        {"role": "function", "name": "f", "content": None},
    )[1:] == [
        {"type": "function_call", "call_id": "call_legacy_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_legacy_1", "output": "1"},
        {"type": "function_call", "call_id": "call_legacy_3", "name": "f", "arguments": "[]"},
        {"type": "function_call_output", "call_id": "call_legacy_3", "output": ""},
    ]


def test_unknown_fields_are_reported_and_never_refused() -> None:
    losses: list[Loss] = []
    read_messages(
        [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "y", "thinking_blocks": [1], "audio": None, "reasoning": {"a": 1}},
        ],
        losses,
    )
    assert [(loss.path, loss.kind) for loss in losses] == [
        ("messages[1].reasoning", "unknown_field"),
        ("messages[1].thinking_blocks", "unknown_field"),
    ]


USER = {"role": "user"}
BOT = {"role": "assistant", "content": None}

WRONG: list[tuple[Any, str, type[BadRequest]]] = [
    (5, "messages[0]", InvalidType),
    ({}, "messages[0].role", MissingParameter),
    ({"role": 5}, "messages[0].role", InvalidType),
    ({"role": "critic", "content": "x"}, "messages[0].role", InvalidValue),
    ({"role": ["user"], "content": "x"}, "messages[0].role", InvalidType),
    (USER, "messages[0].content", MissingParameter),
    (USER | {"content": 5}, "messages[0].content", InvalidType),
    (USER | {"content": ["x"]}, "messages[0].content[0]", InvalidType),
    (USER | {"content": [{}]}, "messages[0].content[0].type", MissingParameter),
    (USER | {"content": [{"type": "text"}]}, "messages[0].content[0].text", MissingParameter),
    (USER | {"content": [{"type": "input_audio"}]}, "messages[0].content[0].type", UnsupportedParameter),
    (USER | {"content": [{"type": "image_url"}]}, "messages[0].content[0].image_url", MissingParameter),
    (
        USER | {"content": [{"type": "image_url", "image_url": {}}]},
        "messages[0].content[0].image_url.url",
        MissingParameter,
    ),
    (
        USER | {"content": [{"type": "image_url", "image_url": {"url": "data:image/png"}}]},
        "messages[0].content[0].image_url.url",
        InvalidValue,
    ),
    (
        USER | {"content": [{"type": "image_url", "image_url": {"url": "x", "detail": "ultra"}}]},
        "messages[0].content[0].image_url.detail",
        InvalidValue,
    ),
    (USER | {"content": [{"type": "file", "file": {}}]}, "messages[0].content[0].file", InvalidValue),
    (USER | {"content": [{"type": "input_text"}]}, "messages[0].content[0].text", MissingParameter),
    (BOT | {"content": [{"type": "output_text", "text": 5}]}, "messages[0].content[0].text", InvalidType),
    (USER | {"content": [{"type": "input_image"}]}, "messages[0].content[0].image_url", MissingParameter),
    (
        USER | {"content": [{"type": "input_image", "image_url": "data:image/png"}]},
        "messages[0].content[0].image_url",
        InvalidValue,
    ),
    (USER | {"content": [{"type": "input_image", "file_id": 5}]}, "messages[0].content[0].file_id", InvalidType),
    (
        USER | {"content": [{"type": "input_image", "image_url": "x", "detail": "ultra"}]},
        "messages[0].content[0].detail",
        InvalidValue,
    ),
    ({"role": "assistant", "audio": {"id": "a"}}, "messages[0].audio", UnsupportedParameter),
    (BOT | {"refusal": 5}, "messages[0].refusal", InvalidType),
    (BOT | {"tool_calls": {}}, "messages[0].tool_calls", InvalidType),
    (BOT | {"tool_calls": [5]}, "messages[0].tool_calls[0]", InvalidType),
    (BOT | {"tool_calls": [{}]}, "messages[0].tool_calls[0].id", MissingParameter),
    (BOT | {"tool_calls": [{"id": "a", "type": "x"}]}, "messages[0].tool_calls[0].type", InvalidValue),
    (BOT | {"tool_calls": [{"id": "a"}]}, "messages[0].tool_calls[0].function", MissingParameter),
    (
        BOT | {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {}}}]},
        "messages[0].tool_calls[0].function.arguments",
        InvalidType,
    ),
    (BOT | {"function_call": []}, "messages[0].function_call", InvalidType),
    ({"role": "tool", "content": "x"}, "messages[0].tool_call_id", MissingParameter),
    ({"role": "tool", "tool_call_id": "a"}, "messages[0].content", MissingParameter),
    ({"role": "function", "name": "f", "content": "x"}, "messages[0].name", BadRequest),
    ({"role": "function", "content": "x"}, "messages[0].name", MissingParameter),
]


@pytest.mark.parametrize(("message", "param", "error"), WRONG)
def test_a_wrong_message_is_refused_by_its_path(message: Any, param: str, error: type[BadRequest]) -> None:
    with pytest.raises(BadRequest) as refused:
        read_messages([message], [])

    assert type(refused.value) is error
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}),
        ("system", {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}),
        ("system", {"type": "input_image", "image_url": "https://example.com/a.png"}),
        ("user", {"type": "input_video", "text": "x"}),
        ("assistant", {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}),
    ],
)
def test_a_part_that_responses_has_no_place_for_is_lost_and_the_rest_is_said(role: str, part: dict[str, Any]) -> None:
    losses: list[Loss] = []

    (item,), _, _ = read_messages([{"role": role, "content": [part, {"type": "text", "text": "Hi"}]}], losses)

    said = item["content"]
    assert (said if isinstance(said, str) else [each["text"] for each in said]) in ("Hi", ["Hi"])
    assert [(loss.path, loss.kind) for loss in losses] == [("messages[0].content[0]", "content_part")]


def test_a_message_of_which_nothing_can_be_carried_is_empty() -> None:
    losses: list[Loss] = []

    assert read_messages([USER | {"content": [{"type": "video"}]}], losses)[0] == [
        {"type": "message", "role": "user", "content": ""}
    ]
    assert len(losses) == 1
