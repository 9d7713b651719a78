"""Reading a call of `/responses/compact`."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.compaction.calls import CompactCall, Shape, read_call, shape
from adapter.errors import BadRequest, UnsupportedParameter


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, Shape.CHAT),
        ({"messages": []}, Shape.CHAT),
        ({"input": "x"}, Shape.RESPONSES),
        ({"input": [], "messages": None}, Shape.RESPONSES),
        ({"previous_response_id": "resp_1"}, Shape.RESPONSES),
    ],
)
def test_the_body_decides_the_shape(body: dict[str, Any], expected: Shape) -> None:
    assert shape(body) is expected


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [], "input": "x"}, "input"),
        ({"messages": [], "previous_response_id": "resp_1"}, "previous_response_id"),
        ({}, "input"),
        ({"input": None, "messages": None}, "input"),
    ],
)
def test_both_or_neither_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        shape(body)
    assert (refused.value.http_status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"stream": True}, "stream"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": {"role": "user"}}, "input"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"provider": 1}, "provider"),
        ({"metadata": "x"}, "metadata"),
        *(
            (
                {"input": [{"role": "user", "content": [{"image_url": {"url": url}}]}]},
                "input[0].content[0].image_url.url",
            )
            for url in (None, "", 7)
        ),
    ],
)
def test_a_bad_field_is_refused_with_its_place(change: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_call({"model": "m", "input": "x", **change})
    assert refused.value.param == param


def test_the_body_goes_on_without_what_is_ours() -> None:
    body = {
        "model": "m",
        "input": "x",
        "stream": False,
        "provider": "openai",
        "metadata": {"k": "v"},
        "tools": [],
        "reasoning": {"effort": "low"},
    }

    assert read_call(body) == CompactCall(
        {"model": "m", "input": "x", "metadata": {"k": "v"}, "tools": [], "reasoning": {"effort": "low"}},
        "openai",
        {"k": "v"},
    )


def test_fields_that_are_of_no_use_to_a_compaction_are_losses_and_those_of_every_turn_are_not() -> None:
    """Codex sends the tools of its turns, and says them again with the next."""
    turn = {"tools": [], "parallel_tool_calls": True, "text": {"verbosity": "low"}, "store": False, "stream": None}

    assert read_call({"model": "m", "input": "x", **turn}).losses == ()
    for name, value in (("temperature", 0.5), ("max_output_tokens", 9), ("vendor", {})):
        assert [loss.path for loss in read_call({"model": "m", "input": "x", name: value, **turn}).losses] == [name]


def test_a_stored_conversation_needs_no_input() -> None:
    body = {"model": "m", "previous_response_id": "resp_1"}

    assert read_call(body).body == body
    assert read_call(body | {"input": None}).body == body


def test_gomodel_parts_get_their_official_spelling_and_others_are_not_touched() -> None:
    official = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"}
    parts = [
        {"type": "text", "text": "look"},
        {
            "type": "image_url",
            "image_url": {"url": "https://example.com/a.png", "detail": "high", "media_type": "image/png"},
        },
        {"type": "input_image", "image_url": {"url": "iVBORw0KGgo=", "media_type": "image/png"}},
        official,
        "bare",
    ]
    plain = {"role": "user", "content": [official]}
    call = read_call({"model": "m", "input": [{"role": "user", "content": parts}, plain, "odd"]})

    assert call.body["input"][0]["role"] == "user"
    assert call.body["input"][0]["content"] == [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "high"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"},
        official,
        "bare",
    ]
    assert call.body["input"][1] is plain
    assert call.body["input"][2] == "odd"


def test_audio_is_refused_with_its_place() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "UklGRg", "format": "wav"}}

    with pytest.raises(UnsupportedParameter) as refused:
        read_call({"model": "m", "input": [{"role": "user", "content": [{"type": "text", "text": "x"}, audio]}]})
    assert refused.value.param == "input[0].content[1]"
