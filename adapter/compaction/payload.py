"""What is inside a sealed compaction, and inside sealed reasoning.

A compaction is one of two things. A *summary* is text: the client keeps the retained items beside the blob and gives both
back, so they need not travel twice. A *context* is the whole conversation as it goes on, as items: where the client may
drop everything before the blob (in-conversation compaction), and where there is no summary but a trimmed history.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from adapter.compaction.sealing import KeyRing, Kind, not_verified
from adapter.errors import InvalidValue
from adapter.hub.events import Item
from adapter.wire.jsonio import NotJson, dumps, loads

TEXT: Final = ""
"""Stands for the id of a call where the message is signed: no call has it."""


class SummaryPayload(NamedTuple):
    """Stands for the history; what the client kept in front of it still counts."""

    text: str


class ContextPayload(NamedTuple):
    """Stands for everything before it."""

    items: list[Item]


Payload = SummaryPayload | ContextPayload


def seal_compaction(payload: Payload, ring: KeyRing, tenant: str) -> str:
    """`encrypted_content` for a compaction item. Bound to no origin: any upstream can go on from it.

    Raises:
        InvalidValue: the client's items are nested deeper than JSON is written here.
    """
    content: dict[str, Any]
    match payload:
        case SummaryPayload(text):
            content = {"summary": text}
        case ContextPayload(items):
            content = {"items": items}
    try:
        data = dumps(content)
    except ValueError:
        raise InvalidValue("`input` is nested too deeply.", param="input") from None
    return ring.seal(data, kind=Kind.SUMMARY, tenant=tenant)


def read_compaction(data: bytes, param: str | None) -> Payload:
    """The payload of an opened blob.

    Raises:
        InvalidEncryptedContent: sealed by us, but in no form that this version knows.
    """
    match _loaded(data, param):
        case {"summary": str(text)}:
            return SummaryPayload(text)
        case {"items": [*items]} if all(isinstance(item, dict) for item in items):
            return ContextPayload(items)
        case _:
            raise not_verified(param)


def seal_reasoning(text: str, ring: KeyRing, tenant: str, origin: str) -> str:
    """`encrypted_content` for the reasoning text of a Chat upstream."""
    return ring.seal(text.encode("utf-8", "surrogatepass"), kind=Kind.REASONING, tenant=tenant, origin=origin)


def read_reasoning(data: bytes) -> str:
    """The reasoning text of an opened blob."""
    return data.decode("utf-8", "surrogatepass")


def seal_signatures(signed: dict[str, Any], ring: KeyRing, tenant: str, origin: str) -> str:
    """`encrypted_content` for the `extra_content` of a Chat upstream's calls, by call id, and of its text."""
    return ring.seal(dumps(signed), kind=Kind.SIGNED, tenant=tenant, origin=origin)


def read_signatures(data: bytes, param: str | None) -> dict[str, Any]:
    """The `extra_content` of calls, by call id, and of the text.

    Raises:
        InvalidEncryptedContent: sealed by us, but in no form that this version knows.
    """
    signed = _loaded(data, param)
    if not isinstance(signed, dict):
        raise not_verified(param)
    return signed


def _loaded(data: bytes, param: str | None) -> Any:
    try:
        return loads(data)
    except NotJson:
        raise not_verified(param) from None
