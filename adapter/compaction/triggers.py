"""When a request on `/v1/responses` asks for a compaction, and whether one is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapter.compaction.anatomy import TRIGGER, type_of
from adapter.compaction.sizes import total_tokens
from adapter.errors import InvalidValue
from adapter.hub.events import Item
from adapter.hub.request import Request

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


def is_due(request: Request, threshold: int) -> bool:
    """Whether the history, as it would be sent, passes the threshold, by the documented estimate of items, instructions and
    tools. For requests without blobs of ours (`expand`)."""
    counted = (request.body[key] for key in _COUNTED if request.body.get(key))
    return total_tokens([request.items, *counted]) > threshold
