"""The input of a custom tool, taken out of a function call's arguments while they still arrive.

A custom tool goes to a server without such tools as a function with one string property: the model writes
`{"input": "*** Begin Patch\\n…"}` and the client wants `*** Begin Patch…` as it grows. `InputUnwrapper` decodes that one
JSON string across any cut: in an escape, in a surrogate pair, in the key.

Models do not always keep to the schema. As soon as the text leaves the path `{ "input" : "`, nothing is given out until the
end, and then the most likely meaning is: the `input` of an object written in another order, the only string of an object
under another name, a bare JSON string, any of these in a code fence, else the text as it stands. Inside the string, escapes
that JSON does not know and raw control characters pass as written; what follows the string is dropped.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final

from adapter.hub.surrogates import REPLACEMENT, mended, rejoined
from adapter.wire.jsonio import NotJson, loads

_OPENING: Final = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_SPACE_FREE_OPENING: Final = '{"input":"'
_LONGEST_OPENING: Final = 200
"""Ten characters and generous indentation; the bound keeps a stream of blanks from being read again and again."""
_FENCE: Final = re.compile(r"\s*```[\w-]*\n(.*?)\n?```\s*", re.DOTALL)
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class _State(Enum):
    OPENING = "opening"
    """Still on the way to the first character of the string; held."""
    STRING = "string"
    """Inside it; decoded and given out."""
    AFTER = "after"
    """Behind its closing quote; dropped."""
    OFF = "off"
    """The text is something else; held to the end."""


class InputUnwrapper:
    """One call's arguments in, its input out."""

    __slots__ = ("_half", "_held", "_pieces", "_state")

    def __init__(self) -> None:
        self._state = _State.OPENING
        self._held = ""
        """What cannot be given out yet: the beginning (OPENING) or an unfinished escape (STRING)."""
        self._pieces: list[str] = []
        """All of it (OFF)."""
        self._half = ""
        """A high surrogate whose low half has not come."""

    def feed(self, text: str) -> str:
        """The input that this piece of arguments adds."""
        if self._state is _State.STRING:
            return self._decoded(text)
        if self._state is _State.AFTER:
            return ""
        if self._state is _State.OFF:
            self._pieces.append(text)
            return ""
        self._held += text
        opening = _OPENING.match(self._held)
        if opening is not None:
            text, self._held = self._held[opening.end() :], ""
            self._state = _State.STRING
            return self._decoded(text)
        if len(self._held) > _LONGEST_OPENING or not _SPACE_FREE_OPENING.startswith("".join(self._held.split())):
            self._state = _State.OFF
            self._pieces.append(self._held)
        return ""

    def close(self) -> str:
        """The rest, when no more arguments come."""
        state, self._state = self._state, _State.AFTER
        if state is _State.STRING:
            half, self._half = self._half, ""
            return (REPLACEMENT if half else "") + self._held
        if state is _State.AFTER:
            return ""
        return _meant("".join(self._pieces) if state is _State.OFF else self._held)

    def _decoded(self, text: str) -> str:
        """The string's own text in `text`, up to its closing quote or an escape that is not complete yet."""
        if self._held:
            text, self._held = self._held + text, ""
        if "\\" not in text and '"' not in text:
            return self._joined(text)
        pieces: list[str] = []
        at, end = 0, len(text)
        while at < end:
            quote, escape = text.find('"', at), text.find("\\", at)
            if escape < 0 or 0 <= quote < escape:
                pieces.append(text[at : quote if quote >= 0 else end])
                if quote >= 0:
                    self._state = _State.AFTER
                break
            pieces.append(text[at:escape])
            size = 6 if text[escape + 1 : escape + 2] == "u" else 2
            if escape + size > end:
                self._held = text[escape:]
                break
            pieces.append(_unescaped(text[escape : escape + size]))
            at = escape + size
        decoded = self._joined("".join(pieces))
        if self._state is _State.AFTER and self._half:
            self._half = ""
            decoded += REPLACEMENT
        return decoded

    def _joined(self, text: str) -> str:
        joined, self._half = rejoined(self._half, text)
        return joined


def _unescaped(escape: str) -> str:
    if len(escape) == 2:
        return _ESCAPES.get(escape[1], escape)
    digits = escape[2:]
    return chr(int(digits, 16)) if all(digit in "0123456789abcdefABCDEF" for digit in digits) else escape


def _meant(text: str) -> str:
    """The input that arguments of another form most likely mean."""
    fenced = _FENCE.fullmatch(text)
    for candidate in (text, fenced[1]) if fenced else (text,):
        try:
            value: Any = loads(candidate.encode("utf-8", "surrogatepass"))
        except NotJson:
            continue
        if value == {}:
            return ""
        value = sole(value)
        if isinstance(value, str):
            return mended(value)
    return text


def sole(value: Any) -> Any:
    """What an object is about, its `input` or else its only value; None where that cannot be told; no object is itself."""
    if not isinstance(value, dict):
        return value
    return value["input"] if "input" in value else next(iter(value.values())) if len(value) == 1 else None
