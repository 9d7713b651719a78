"""JSON in and out, with bounds, on orjson.

orjson refuses two things that are on real wires: lone surrogate escapes (a server that cuts an emoji between two deltas) and
strings with them on the way out. Both fall back to the standard library, which keeps them as escapes; the fall-back is
reached only after orjson has refused, so it costs nothing on the way of ordinary traffic.
"""

from __future__ import annotations

import json
import re
from math import isinf
from typing import Any, NoReturn

import orjson

from adapter.errors import InvalidJson, InvalidValue

_BOM = b"\xef\xbb\xbf"
_DIGITS = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord(" ") for byte in range(256))
"""Maps every digit to `0` and everything else to a space."""
_LONG_RUN = b"0" * 17
"""Seventeen digits or more may not survive a double; only bodies that hold such a run are looked at again."""
_PAIR = re.compile(b"00").search
"""`bytes.find` takes three times as long for two bytes."""


class NotJson(ValueError):
    """The bytes are not one JSON value; `offset` is where the parser stopped. `cut`: they end before their value does."""

    def __init__(self, offset: int, *, cut: bool = False) -> None:
        super().__init__(f"not valid JSON at byte {offset}")
        self.offset = offset
        self.cut = cut


def loads(data: bytes | bytearray) -> Any:
    """One JSON value.

    Raises:
        NotJson: for anything else, NaN and Infinity included.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as refused:
        if not refused.doc:
            raise _no_utf8(data) from None
        cut = _is_cut(refused)
        if cut or b"\\u" not in data:
            raise NotJson(_at_byte(refused), cut=cut) from None
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant, parse_int=_narrow, parse_float=_finite)
    except json.JSONDecodeError as refused:
        raise NotJson(_at_byte(refused), cut=_is_cut(refused)) from None
    except (ValueError, RecursionError):
        raise NotJson(0) from None


def _is_cut(refused: json.JSONDecodeError) -> bool:
    """Whether the end was the trouble. The standard library says of a string without end where it begins."""
    return 0 < len(refused.doc) <= refused.pos or refused.msg.startswith("Unterminated string")


def _at_byte(refused: json.JSONDecodeError) -> int:
    """Parsers count characters."""
    return len(refused.doc[: refused.pos].encode())


def _no_utf8(data: bytes | bytearray) -> NotJson:
    """What is wrong with bytes of which the parser only says that they are no text; it says that of none, too."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as refused:
        return NotJson(refused.start, cut=refused.reason == "unexpected end of data")
    return NotJson(0)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _narrow(text: str) -> int | float:
    """As orjson: an integer beyond 64 bits, which could not be written again, is a float."""
    number = int(text) if len(text) <= 20 else 1 << 64
    return number if -(1 << 63) <= number < 1 << 64 else _finite(text)


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(text)
    return number


def is_object(text: str) -> bool:
    """Whether a text is one JSON object; half a surrogate pair may be in it."""
    try:
        return type(orjson.loads(text)) is dict
    except orjson.JSONDecodeError:
        pass
    try:
        return type(json.loads(text, parse_constant=_no_constant)) is dict
    except (ValueError, RecursionError):
        return False


def dumps(value: Any) -> bytes:
    """`value` as compact JSON in UTF-8; lone surrogates stay escapes.

    Raises:
        ValueError: nested deeper than the serialiser goes.
    """
    try:
        return orjson.dumps(value)
    except TypeError as refused:
        if isinstance(refused.__cause__, UnicodeEncodeError) or "surrogates" in str(refused) or "UTF-8" in str(refused):
            return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
        raise ValueError("nested too deeply or not JSON") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_writable(value: Any, data: bytes) -> bool:
    """Whether `value`, which was read from `data`, can be written again, inside of something else too: JSON is read four
    times as deep as it is written. Nearly all has too few brackets to be too deep."""
    if data.count(b"[") + data.count(b"{") < _DEEP:
        return True
    try:
        dumps([[[[value]]]])
    except ValueError:
        return False
    return True


_DEEP = 250


def loads_request(body: bytes) -> dict[str, Any]:
    """A client's request body: one JSON object in UTF-8 (one BOM is taken), no number that would change on the way.

    Raises:
        InvalidJson: not one JSON object; the message gives the byte offset and never the text.
        InvalidValue: an integer beyond 64 bits or a run of digits that a double cannot hold.
    """
    data = body.removeprefix(_BOM)
    try:
        value = loads(data)
    except NotJson as refused:
        what = "is empty" if not data.strip() else f"is not valid JSON (at byte {refused.offset})"
        raise InvalidJson(f"The request body {what}; it must be one JSON object in UTF-8.") from None
    if not isinstance(value, dict):
        raise InvalidJson("The request body must be a JSON object.")
    if _holds_long_digits(data):
        _check_numbers(data)
    return value


def _holds_long_digits(data: bytes) -> bool:
    """Whether there is a run of seventeen digits. Such a run covers two neighbours of every eighth byte, so an eighth of
    the body tells where to look: 6 µs for 32 kB, where a regular expression takes 257 µs.

    Ids, hashes and times have such neighbours too. A look for each half a kB costs less than to look at all of it.
    """
    sample = data[::8].translate(_DIGITS)
    at, looks = 0, len(data) >> 9
    while (pair := _PAIR(sample, at)) is not None:
        if looks == 0:
            return _LONG_RUN in data.translate(_DIGITS)
        here = 8 * pair.start()
        if data[here : here + 9].isdigit() and _LONG_RUN in data[max(here - 8, 0) : here + 17].translate(_DIGITS):
            return True
        at, looks = pair.start() + 1, looks - 1
    return False


def _check_numbers(data: bytes) -> None:
    """Refuse numbers that would not survive parsing and serialising (digit runs inside strings are none)."""

    def check_int(text: str) -> int:
        number = int(text) if len(text) < 21 else 1 << 64
        if not -(1 << 63) <= number < 1 << 64:
            raise InvalidValue(
                "The request holds an integer beyond 64 bits; it would not survive the way to the upstream."
            )
        return number

    def check_float(text: str) -> float:
        number = float(text)
        digits = text.lower().partition("e")[0].replace(".", "").lstrip("-0").rstrip("0")
        if len(digits) > 17 or isinf(number):
            raise InvalidValue("The request holds a number with more digits than a double keeps.")
        return number

    try:
        json.loads(data, parse_int=check_int, parse_float=check_float)
    except (ValueError, RecursionError):  # loads() took it already; the stricter parser has nothing to add
        return


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; what is nested deeper than values can be compared is equal to none."""
    try:
        return bool(one == other)
    except RecursionError:
        return False
