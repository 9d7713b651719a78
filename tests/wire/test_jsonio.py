"""JSON at the rim: what is taken, what is refused, and that nothing changes on the way."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import AdapterError, InvalidJson, InvalidValue
from adapter.wire.jsonio import NotJson, _holds_long_digits, dumps, is_object, loads, loads_request

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_dumped_is_loaded_again(value: Any) -> None:
    """Lone surrogates included."""
    assert loads(dumps(value)) == value


@given(st.dictionaries(st.text(max_size=4), SCALARS | st.text() | st.lists(SCALARS, max_size=3), max_size=3), st.data())
def test_what_ends_before_its_value_does_is_cut_and_what_is_wrong_before_its_end_is_not(
    value: dict[str, Any], data: st.DataObject
) -> None:
    """Where no lone surrogate stands before the end: the parser that takes those says of half a word where it begins."""
    written = json.dumps(value).encode()
    kept = data.draw(st.integers(1, len(written) - 1))
    with pytest.raises(NotJson) as cut:
        loads(written[:kept])
    assert cut.value.cut

    with pytest.raises(NotJson) as wrong:
        loads(b"{]" + written)
    assert not wrong.value.cut


@pytest.mark.parametrize("before", [b'{"a":"\xe5\xa5\xbd', b'{"a":"\\ud800'])
@pytest.mark.parametrize("kept", [1, 2, 3])
def test_what_ends_in_a_character_is_cut_too(before: bytes, kept: int) -> None:
    with pytest.raises(NotJson) as cut:
        loads(before + "\N{GRINNING FACE}".encode()[:kept])
    assert cut.value.cut

    with pytest.raises(NotJson) as wrong:
        loads(before + b'\xff"}')
    assert not wrong.value.cut


@pytest.mark.parametrize("before", ["", "über", "\N{GRINNING FACE}" * 3, "\\ud800ü"])
@pytest.mark.parametrize("wrong", ['", x', "\n", b"\xff"])
def test_where_json_is_wrong_is_told_in_bytes(before: str, wrong: str | bytes) -> None:
    head = f'{{"a": "{before}'.encode()
    with pytest.raises(NotJson) as refused:
        loads(head + (wrong if isinstance(wrong, bytes) else wrong.encode()) + b'"}')
    assert refused.value.offset == len(head) + (3 if wrong == '", x' else 0)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | VALUES.map(dumps))
def test_arbitrary_bytes_never_raise_anything_but_our_error(body: bytes) -> None:
    try:
        assert isinstance(loads_request(body), dict)
    except AdapterError as error:
        assert error.http_status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b'{"a":1}x',
        b"[1]",
        b'"text"',
        b"null",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xff"}',
    ],
)
def test_body_that_is_not_one_json_object_is_400_without_its_text(body: bytes) -> None:
    with pytest.raises(InvalidJson) as refused:
        loads_request(body)

    assert "NaN" not in refused.value.message


def test_one_bom_is_stripped() -> None:
    assert loads_request(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


@pytest.mark.parametrize(
    "number", ["18446744073709551616", "-9223372036854775809", "1.00000000000000000001", "123456789012345678.5"]
)
def test_number_that_would_change_is_refused(number: str) -> None:
    with pytest.raises(InvalidValue):
        loads_request(b'{"a":[{"b":' + number.encode() + b"}]}")


@pytest.mark.parametrize(
    "text", ["18446744073709551615", "-9223372036854775808", "0.1234567890123456", '"12345678901234567890"']
)
def test_number_that_survives_is_taken(text: str) -> None:
    assert loads_request(b'{"a":' + text.encode() + b"}") == {"a": json.loads(text)}


@given(st.binary(max_size=40), st.integers(0, 40), st.binary(max_size=40))
def test_a_run_of_seventeen_digits_is_found_wherever_it_stands(before: bytes, run: int, behind: bytes) -> None:
    data = before + b"7" * run + behind

    assert _holds_long_digits(data) == (re.search(rb"[0-9]{17}", data) is not None)


@given(
    st.lists(st.sampled_from([b"1       2       ", b"x" * 1000, b"1" * 16, b"1" * 9 + b"y", b"z"]), max_size=12),
    st.integers(15, 25),
    st.sampled_from([b"", b"x" * 5000, b"1       2       " * 3]),
)
def test_a_run_of_seventeen_digits_is_found_among_much_that_looks_like_it(
    before: list[bytes], run: int, behind: bytes
) -> None:
    data = b"x".join([*before, b"", b"7" * run, behind])

    assert _holds_long_digits(data) == (re.search(rb"[0-9]{17}", data) is not None)


def test_lone_surrogate_escape_is_kept_as_an_escape() -> None:
    value = loads_request(b'{"a":"\\ud83d"}')

    assert dumps(value) == b'{"a":"\\ud83d"}'


def test_integers_beyond_64_bits_are_floats_beside_lone_surrogates_too() -> None:
    """Whichever parser reads them: they can be written again."""
    assert loads(b'["\\ud83d", 18446744073709551616]') == ["\ud83d", 18446744073709551616.0]
    assert loads(b'["\\ud83d", -9223372036854775808, 18446744073709551615]')[1:] == [-(1 << 63), (1 << 64) - 1]
    for beyond in (b"1e400", b"9" * 400, b"9" * 5000):
        with pytest.raises(NotJson):
            loads(b'["\\ud83d", ' + beyond + b"]")


def test_nesting_beyond_the_parser_is_refused_not_a_crash() -> None:
    with pytest.raises(NotJson):
        loads(b"[" * 100_000 + b"]" * 100_000)


def test_nesting_beyond_the_writer_is_a_value_error() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]

    with pytest.raises(ValueError, match="nested"):
        dumps(deep)


@pytest.mark.parametrize("text", ["{}", '{"a":[1e400]}', '{"a":"\\ud83d"}', '{"a":"\ud83d"}'])
def test_a_text_that_is_one_object(text: str) -> None:
    assert is_object(text)


@pytest.mark.parametrize(
    "text", ["", "[1]", "null", '"{}"', "{} {}", '{"a"', '{"a":NaN}', '{"a":"\\ud83d"', '{"a":' + "[" * 99_999]
)
def test_a_text_that_is_none(text: str) -> None:
    assert not is_object(text)
