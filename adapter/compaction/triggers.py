"""When a request on `/v1/responses` asks for a compaction, and whether one is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from adapter.compaction.anatomy import TRIGGER, type_of
from adapter.compaction.sizes import total_tokens
from adapter.errors import InvalidType, InvalidValue
from adapter.hub.events import Item
from adapter.hub.request import Request

LOWEST_THRESHOLD: Final = 1_000
"""The API's own bound."""
_COUNTED: Final = ("instructions", "tools")
"""What an upstream counts as input besides the items."""


def is_triggered(items: Sequence[Item]) -> bool:
    """Whether the request is a compaction by `compaction_trigger`, its last item.

    Raises:
        InvalidValue: a trigger that is not last, a second one, or one with nothing before it; `param` names it.
    """
    found = [index for index, item in enumerate(items) if type_of(item) == TRIGGER]
    if not found:
        return False
    where = f"input[{found[0]}]"
    if len(found) > 1:
        raise InvalidValue("There may be one compaction_trigger only.", param=f"input[{found[1]}]")
    if found[0] != len(items) - 1:
        raise InvalidValue("compaction_trigger must be the final input item.", param=where)
    if len(items) == 1:
        raise InvalidValue("There is nothing before compaction_trigger to be compacted.", param=where)
    return True


def threshold(body: dict[str, Any]) -> int | None:
    """The `compact_threshold` of `context_management`, in tokens; None where nothing is to be watched.

    Raises:
        BadRequest: entries of another type, or a threshold that is no integer from 1000 up.
    """
    entries = body.get("context_management")
    if entries is None:
        return None
    if not isinstance(entries, list):
        raise InvalidType("context_management must be a list.", param="context_management")
    lowest: int | None = None
    for index, entry in enumerate(entries):
        path = f"context_management[{index}]"
        if not isinstance(entry, dict) or entry.get("type") != "compaction":
            raise InvalidValue("Only entries of type `compaction` are supported.", param=f"{path}.type")
        value = entry.get("compact_threshold")
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidType("compact_threshold must be an integer.", param=f"{path}.compact_threshold")
        if value < LOWEST_THRESHOLD:
            raise InvalidValue(
                f"compact_threshold must be at least {LOWEST_THRESHOLD}.", param=f"{path}.compact_threshold"
            )
        lowest = value if lowest is None else min(lowest, value)
    return lowest


def estimated_tokens(request: Request) -> int:
    """The documented estimate of a request's input: items, instructions and tools."""
    return total_tokens([request.items, *(request.body[key] for key in _COUNTED if request.body.get(key))])


def is_due(request: Request, compact_threshold: int) -> bool:
    """Whether the history, as it would be sent, passes the threshold. For requests without blobs of ours (`expand`)."""
    return estimated_tokens(request) > compact_threshold
