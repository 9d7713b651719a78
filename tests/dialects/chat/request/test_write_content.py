"""Parts into content."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.errors import UnsupportedParameter
from adapter.upstream.profiles import Profile
from tests.dialects.chat.writing import OPENAI, generic, lost, written


def content(*parts: dict[str, Any], to: Profile = OPENAI) -> tuple[Any, list[tuple[str, str, str]]]:
    made = written({"type": "message", "role": "user", "content": list(parts)}, to=to)
    return made.body["messages"][0]["content"], lost(made)


A, B = {"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}
URL = "https://x/y.png"


def test_a_single_text_collapses_to_a_string() -> None:
    assert content(A) == ("a", [])


def test_several_texts_stay_parts_but_for_servers_that_know_only_text() -> None:
    assert content(A, B) == ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], [])
    assert content(A, B, to=generic(images=False)) == ("a\n\nb", [])


@pytest.mark.parametrize(
    ("detail", "expected", "losses"),
    [
        ("auto", {"url": URL}, []),
        (None, {"url": URL}, []),
        ("low", {"url": URL, "detail": "low"}, []),
        (
            "original",
            {"url": URL, "detail": "high"},
            [("input[0].content[0].detail", "approximated", "image_detail")],
        ),
    ],
)
def test_an_image_keeps_its_detail_as_far_as_chat_knows_it(detail: Any, expected: Any, losses: Any) -> None:
    part = {"type": "input_image", "image_url": URL, "detail": detail}
    assert content(part) == ([{"type": "image_url", "image_url": expected}], losses)


@pytest.mark.parametrize("url", [{}, {"image_url": None}, {"image_url": ""}], ids=str)
def test_an_image_by_its_file_alone_is_refused(url: dict[str, Any]) -> None:
    """An empty URL beside the id is how some write that there is none: a server would refuse it without saying which."""
    with pytest.raises(UnsupportedParameter) as refused:
        content({"type": "input_image", "file_id": "file_1"} | url)
    assert refused.value.param == "input[0].content[0].file_id"


def test_a_detail_is_left_out_where_the_server_knows_none() -> None:
    part = {"type": "input_image", "image_url": URL, "detail": "low"}
    assert content(part, to=generic(image_detail=False)) == (
        [{"type": "image_url", "image_url": {"url": URL}}],
        [("input[0].content[0].detail", "dropped", "image_detail")],
    )


def test_a_file_goes_where_files_are_taken_and_leaves_a_note_elsewhere() -> None:
    part = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}
    assert content(part) == ([{"type": "file", "file": file}], [])
    assert content(part, to=generic()) == (
        "[file omitted: this model takes no files]",
        [("input[0].content[0]", "dropped", "input_file")],
    )


def test_a_files_detail_is_a_loss() -> None:
    part = {"type": "input_file", "file_id": "file_1"}
    sent = [{"type": "file", "file": {"file_id": "file_1"}}]
    assert content(part | {"detail": "high"}) == (sent, [("input[0].content[0].detail", "dropped", "file_detail")])
    assert content(part | {"detail": "auto"}) == (sent, [])


def test_cache_breakpoints_go_only_where_they_are_known() -> None:
    part = A | {"prompt_cache_breakpoint": {"mode": "explicit"}}
    assert content(part) == ([{"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}], [])
    assert content(part, to=generic()) == ("a", [])


def test_a_refusal_becomes_the_refusal_of_its_message() -> None:
    parts = [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}]
    made = written({"type": "message", "role": "assistant", "content": parts})
    assert made.body["messages"] == [{"role": "assistant", "content": "a", "refusal": "no"}]


def test_a_part_that_nobody_knows_is_dropped_and_reported() -> None:
    assert content(A, {"type": "acme:sketch"}) == ("a", [("input[0].content[1]", "dropped", "content_part")])


def test_a_cache_breakpoint_of_null_is_none() -> None:
    assert content(A | {"prompt_cache_breakpoint": None}, B) == content(A, B)
