"""`reasoning_details` of Chat messages, in the hub: what a server wants back of its reasoning, in OpenRouter's form.

A server that speaks Chat so gives the list and takes it back as it was. One that speaks Responses gives reasoning that only it can
read in items, and takes those back; of a Chat client, which knows no such items, each is an entry of the same list:

    {"type": "reasoning.encrypted", "data": "gAAA…", "id": "rs_1", "format": "openai-responses-v1", "index": 0}

An item has its place among what was said, and a message has none for it, so `index` tells: it counts what of the message came
before, that is its text, its calls and other such entries. In the hub every entry stands on what comes right behind it, in the
`extra_content` of that item, as OpenRouter's:

    {"openrouter": {"reasoning_details": [...]}}
"""

from __future__ import annotations

from typing import Any, Final

from adapter.hub.events import Item
from adapter.hub.extra_content import ExtraContent

REASONING_DETAILS: Final = "reasoning_details"
ENCRYPTED: Final = "reasoning.encrypted"
_MAKER: Final = "openrouter"
_FORMAT: Final = "openai-responses-v1"
_ITEMS: Final = frozenset({_FORMAT, "azure-openai-responses-v1", "xai-responses-v1"})
"""What OpenRouter says of its reasoning items, those that others give, too; what Claude and Gemini sealed it may not read without
that word, for which such an item has no place elsewhere."""
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})


def as_extra(details: list[Any]) -> ExtraContent:
    """Details as the hub carries them."""
    return {_MAKER: {REASONING_DETAILS: details}}


def parted(extra: Any) -> tuple[list[Any], Any]:
    """The details in an item's `extra_content`, and the rest of it."""
    of_maker = extra.get(_MAKER) if type(extra) is dict else None
    details = of_maker.get(REASONING_DETAILS) if type(of_maker) is dict else None
    if type(details) is not list:
        return [], extra
    return details, {maker: facts for maker, facts in extra.items() if maker != _MAKER}


def as_item(detail: Any) -> Item | None:
    """The reasoning item that an entry stands for; None where it stands for none."""
    if type(detail) is not dict or detail.get("type") != ENCRYPTED or detail.get("format") != _FORMAT:
        return None
    sealed, given = detail.get("data"), detail.get("id")
    if not sealed or type(sealed) is not str:
        return None
    item: Item = {"type": "reasoning", "summary": [], "encrypted_content": sealed}
    return {"id": given, **item} if given and type(given) is str else item


def spread(details: list[Any], said: int) -> list[list[Any]]:
    """The details of a message in their order, each with the one of the `said` things in it that it came before. Something has to
    come behind every one: servers refuse reasoning that nothing follows."""
    found: list[list[Any]] = [[] for _ in range(said)]
    place = reasoned = 0
    for detail in details:
        if as_item(detail) is not None:
            if type(index := detail.get("index")) is int:
                place = max(place, min(index - reasoned, said - 1))
            reasoned += 1
        found[place].append(detail)
    return found


class EncryptedDetails:
    """The entries of one answer."""

    __slots__ = ("_before", "_texts")

    def __init__(self) -> None:
        self._before = 0
        """What `index` counts."""
        self._texts = False
        """The message has a text, which all that is said goes into."""

    def of(self, item: Item) -> list[dict[str, Any]]:
        """What there is to be told of the next item."""
        kind = item.get("type")
        if kind == "reasoning":
            sealed = item.get("encrypted_content")
            if sealed and type(sealed) is str and item.get("format", _FORMAT) in _ITEMS:
                index, self._before = self._before, self._before + 1
                return [{"type": ENCRYPTED, "data": sealed, "id": item.get("id"), "format": _FORMAT, "index": index}]
        elif kind in _CALLS:
            self._before += 1
        elif kind == "message" and not self._texts:
            self._texts = any(part.get("text") or part.get("refusal") for part in item.get("content") or ())
            self._before += self._texts
        return []
