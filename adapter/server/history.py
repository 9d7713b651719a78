"""Where earlier turns come from when a request only names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from adapter.access.caller import Caller
from adapter.compaction.anatomy import COMPACTIONS, type_of
from adapter.errors import InvalidType
from adapter.hub.events import Item
from adapter.hub.items import answers_no_call


class History(Protocol):
    """Stored responses, seen from the pipeline."""

    async def resolve(self, caller: Caller, previous_response_id: str) -> list[Item]:
        """The items of that response and all before it, oldest first, input and output.

        Raises:
            PreviousResponseNotFound: this caller has none of that id.
        """


def as_items(given: Any) -> list[Any]:
    """A request's `input` in its long form.

    Raises:
        InvalidType: it has none.
    """
    match given:
        case None:
            return []
        case str():
            return [{"type": "message", "role": "user", "content": given}]
        case list():
            return given
        case _:
            raise InvalidType("input must be a string or a list of items.", param="input")


def check_calls(recalled: Sequence[Item], given: Sequence[Any]) -> None:
    """Hold the outputs in `given` to the calls that were made. Only a continuation can be held to it: a client that sends
    its whole history may have cut it, and a compaction may hold any.

    Raises:
        BadRequest: an output for a call that nobody made.
    """
    if any(type_of(item) in COMPACTIONS for item in (*recalled, *given) if isinstance(item, dict)):
        return
    calls = {_call_id(item) for item in (*recalled, *given) if not _is_output(item)}
    for item in given:
        if _is_output(item) and (call_id := _call_id(item)) is not None and call_id not in calls:
            raise answers_no_call(item, call_id)


def _call_id(item: Any) -> str | None:
    call_id = item.get("call_id") if isinstance(item, dict) else None
    return call_id if isinstance(call_id, str) else None


def _is_output(item: Any) -> bool:
    return isinstance(item, dict) and str(item.get("type")).endswith("_output")
