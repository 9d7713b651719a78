"""What all text chunks of one stream have in common, so that only the text in them needs to be parsed.

A Chat server sends its head (id, time, model, …) with every token. If two chunks differ in nothing but one JSON string, and
that string is the text, then the bytes before and behind it need no second parsing. That the string is the text is not
guessed but proven: another string is put in its place, and the chunk that results must say that and nothing else.

A chunk with the refrain costs 0.6 µs to read, one that is parsed and looked through 1.9 µs.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

_PROBE: Final = "\x00probe"
_PROBE_TOKEN: Final = orjson.dumps(_PROBE)
_FREE_LESSONS: Final = 4
_WORTH: Final = 8
"""Chunks that a lesson must have saved before another is taken: some servers change something in every chunk."""


class Refrain:
    """Listens to one stream."""

    __slots__ = ("_after", "_before", "_credit")

    def __init__(self) -> None:
        self._before = self._after = b""
        self._credit = _FREE_LESSONS * _WORTH

    def text(self, data: bytes) -> str | None:
        """The text of a chunk that is the refrain with another text; None for any other."""
        before, after = self._before, self._after
        if not before or not data.startswith(before) or not data.endswith(after):
            return None
        try:
            text = orjson.loads(data[len(before) : len(data) - len(after)])
        except orjson.JSONDecodeError:
            return None
        self._credit += 1
        return text if type(text) is str else None

    def learn(self, data: bytes, text: str) -> None:
        """`data` is a chunk that brings `text` and nothing else."""
        if self._credit < _WORTH or text == _PROBE:
            return
        self._credit -= _WORTH
        token = orjson.dumps(text)
        before, found, after = data.rpartition(token)
        if found and _says_probe(before + _PROBE_TOKEN + after):
            self._before, self._after = before, after


def _says_probe(data: bytes) -> bool:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return type(chunk) is dict and only_text(chunk) == _PROBE


def only_text(chunk: dict[str, Any]) -> str | None:
    """The text of a chunk that brings nothing else, as nearly all do."""
    choices = chunk.get("choices")
    if type(choices) is not list or len(choices) != 1 or type(choice := choices[0]) is not dict:
        return None
    delta = choice.get("delta")
    if (
        type(delta) is not dict
        or len(delta) != 1
        or choice.get("finish_reason") is not None
        or choice.get("logprobs")
        or choice.get("index")
        or "message" in choice
        or chunk.get("usage") is not None
        or chunk.get("error")
    ):
        return None
    text = delta.get("content")
    return text if type(text) is str else None
