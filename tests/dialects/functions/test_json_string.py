"""Custom tool input out of a function's arguments, in any cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.dialects.functions.json_string import InputUnwrapper


def unwrapped(*pieces: str) -> str:
    unwrapper = InputUnwrapper()
    return "".join([unwrapper.feed(piece) for piece in pieces] + [unwrapper.close()])


def test_input_streams_before_the_string_is_over() -> None:
    unwrapper = InputUnwrapper()

    assert [unwrapper.feed(piece) for piece in ('{"in', 'put": "*** Be', "gin\\", "nx", '"}')] == [
        "",
        "*** Be",
        "gin",
        "\nx",
        "",
    ]
    assert unwrapper.close() == ""


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.booleans(),
    st.sampled_from(['{"input":%s}', ' {\n  "input" : %s\n}\n', '{"input": %s, "why": "more"}']),
    st.data(),
)
def test_any_cut_of_any_string_gives_it_back(text: str, ascii: bool, form: str, data: st.DataObject) -> None:
    whole = form % json.dumps(text, ensure_ascii=ascii)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    assert unwrapped(*pieces) == text


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("", ""),
        ("{}", ""),
        ('{"patch": "p"}', "p"),
        ('{"why": "w", "input": "p"}', "p"),
        ('"p"', "p"),
        ('```json\n{"input": "p"}\n```', "p"),
        ("*** Begin Patch", "*** Begin Patch"),
        ("```\n*** Begin Patch\n```", "```\n*** Begin Patch\n```"),
        ('{"a": "p", "b": "q"}', '{"a": "p", "b": "q"}'),
        ('{"input": {"x": 1}}', '{"input": {"x": 1}}'),
        ('{"patch": "cut', '{"patch": "cut'),
        ('{"input": "cut', "cut"),
        ('{"input": "cut\\', "cut\\"),
        ('{"input": "a\\qb"}', "a\\qb"),
        ('{"input": "a\nb"}', "a\nb"),
        ('{"input": "a\\u12xyb"}', "a\\u12xyb"),
        ('{"input": "\\ud83d\\ude00"}', "\U0001f600"),
        ('{"input": "\\ud83d"}', "\ufffd"),
        ('{"input": "\\ud83d', "\ufffd"),
        ('{"other": "\\ud83d"}', "\ufffd"),
        ('{"input', '{"input'),
        (" " * 500, " " * 500),
    ],
)
def test_other_forms_give_their_most_likely_meaning_in_any_cut(arguments: str, meant: str) -> None:
    assert unwrapped(arguments) == meant
    assert unwrapped(*arguments) == meant


@given(st.lists(st.text(st.sampled_from('{}" \\input:u0d8\ud83d\ude00\u00e9`\n'))))
def test_whatever_comes_the_input_is_valid_unicode_and_does_not_depend_on_the_cut(pieces: list[str]) -> None:
    whole = "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    result = unwrapped(whole)

    result.encode()
    assert unwrapped(*whole) == result
