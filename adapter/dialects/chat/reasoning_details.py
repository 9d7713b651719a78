"""`reasoning_details`, OpenRouter's list beside or instead of the reasoning's one string, as its answers bring it.

    {"type": "reasoning.text", "text": "First", "signature": null, "format": "anthropic-claude-v1", "index": 0}
    {"type": "reasoning.summary", "summary": "…", …}
    {"type": "reasoning.encrypted", "data": "gAAA…", "id": "rs_1", …}

It wants all of an answer's back with it, unchanged and in their order: models that sign or encrypt their reasoning cannot go on
from a call otherwise, and some refuse to. In the hub they stand on the last item of the answer (`hub.reasoning_details`).
"""

from __future__ import annotations

from typing import Any, Final

from adapter.hub.reasoning_details import ENCRYPTED
from adapter.hub.surrogates import mended

_TEXTS: Final = {"reasoning.text": "text", "reasoning.summary": "summary"}


def text_of_details(details: Any) -> str:
    """What of it can be read: texts and summaries; "" where all of it is encrypted."""
    if not details or type(details) is not list:
        return ""
    said = [one.get(_TEXTS.get(str(one.get("type")), "")) for one in details if type(one) is dict]
    return "".join(text for text in said if type(text) is str)


def has_encrypted(details: Any) -> bool:
    """Whether something of it is for its maker only."""
    return type(details) is list and any(type(one) is dict and one.get("type") == ENCRYPTED for one in details)


class DetailsSoFar:
    """Those of one answer. A stream brings a text in fragments, of one `index`, the signature in one of its own."""

    __slots__ = ("_details", "_pieces")

    def __init__(self) -> None:
        self._details: list[dict[str, Any]] = []
        self._pieces: list[str] = []
        """The text of the last one."""

    def add(self, given: Any) -> None:
        """What a delta, or the whole message, brings."""
        if type(given) is not list:
            return
        earlier = len(self._details)
        for one in given:
            if type(one) is dict:
                self._add(one, alone=len(self._details) > earlier)

    def _add(self, one: dict[str, Any], *, alone: bool) -> None:
        key, index = _TEXTS.get(str(one.get("type"))), one.get("index")
        last = self._details[-1] if self._details else {}
        more = key is not None and last.get("type") == one["type"] and last.get("index") == index
        if not more or (alone and index is None):  # without an index two of one list are two
            self._join()
            self._details.append(last := dict(one))
        else:
            last |= {name: value for name, value in one.items() if value is not None and name != key}
        if key is not None and type(text := one.get(key)) is str:
            self._pieces.append(text)

    def _join(self) -> None:
        if self._pieces:
            last = self._details[-1]
            last[_TEXTS[last["type"]]] = mended("".join(self._pieces))
            self._pieces = []

    def whole(self) -> list[dict[str, Any]]:
        """All of them."""
        self._join()
        return self._details
