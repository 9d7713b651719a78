"""What goes into the store and comes out of it, and which ids can be there at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, TypeGuard

from adapter.errors import InvalidValue
from adapter.hub.events import Item
from adapter.wire import jsonio

Json: TypeAlias = dict[str, Any]
Order: TypeAlias = Literal["asc", "desc"]

TERMINAL = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""Statuses after which a response changes no more."""

_ID = re.compile(r"[A-Za-z0-9_.:=\-]{1,1000}\Z")
"""LiteLLM's ids of responses are base64 with its padding: 470 characters, more where its keys have users and teams."""
MAX_ADDED = 20
"""Items in one call that adds to a conversation, as the API says."""


def can_exist(id: object) -> TypeGuard[str]:
    """Whether `id` is spelt like one; what is not is unknown without a query."""
    return isinstance(id, str) and _ID.match(id) is not None


def dumps(value: Any, param: str) -> bytes:
    """JSON to be stored.

    Raises:
        InvalidValue: nested deeper than the serialiser goes.
    """
    try:
        return jsonio.dumps(value)
    except ValueError:
        raise InvalidValue("This value is nested too deeply to be stored.", param=param) from None


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    """The API's bounds: at most 16 pairs of strings, keys to 64 and values to 512 characters; null is none.

    Raises:
        InvalidValue: out of them.
    """
    pairs = dict(metadata or {})
    if len(pairs) > 16:
        raise InvalidValue("`metadata` takes at most 16 pairs.", param="metadata")
    for key, value in pairs.items():
        if len(key) > 64:
            raise InvalidValue("A key of `metadata` takes at most 64 characters.", param="metadata")
        if not isinstance(value, str) or len(value) > 512:
            raise InvalidValue(
                "A value of `metadata` must be a string of at most 512 characters.", param=f"metadata.{key}"
            )
    return pairs


class StoredResponse(NamedTuple):
    """A response as GET shows it, and what the adapter knows beside it."""

    object: Json | None
    """The Responses object, output items in place and `status` as it is now; None where the upstream keeps it."""
    status: str
    upstream: str | None
    """The configured name of the upstream that answered."""
    background: bool
    streamed: bool
    """Created with `background` and `stream`: its events are in the log."""


class Page(NamedTuple):
    """One page of a list."""

    data: list[Json]
    has_more: bool

    def body(self) -> Json:
        """The list object of the API; an empty page has empty ids, for clients require strings."""
        ids = [entry["id"] for entry in self.data] or [""]
        return {
            "object": "list",
            "data": self.data,
            "first_id": ids[0],
            "last_id": ids[-1],
            "has_more": self.has_more,
        }


class LoggedEvent(NamedTuple):
    """One event of a stream as it was sent: its number, its name, its JSON."""

    sequence: int
    name: str
    data: bytes


class EventPage(NamedTuple):
    """The events after a number, in order, and how the response stood when they were read."""

    events: list[LoggedEvent]
    status: str

    @property
    def ended(self) -> bool:
        """Terminal: once no events come any more either, the stream is over."""
        return self.status in TERMINAL


class Job(NamedTuple):
    """A background response that this worker holds for as long as the lease lasts."""

    tenant: str
    id: str
    owner: str
    attempt: int
    """1 for the first worker, and one more for each that was lost with it. Every write of a job names it, so that a worker
    that lost its lease writes nothing."""
    request: Json
    """What `save_response` was given to run it from."""
    last_sequence: int
    """The highest number in the event log, -1 for none. Above that, an earlier attempt's events may have been seen."""


class Purged(NamedTuple):
    """What `purge_expired` removed."""

    responses: int
    completions: int


@dataclass(slots=True, kw_only=True)
class Stats:
    """What the store holds."""

    backend: str
    schema: str
    bytes: int
    rows: Mapping[str, int]
    """By table."""
    statuses: Mapping[str, int]
    """Responses by status."""
    expired: int
    """Responses and completions that the next purge looks at."""
    tenants: int


Items: TypeAlias = Sequence[Item]
