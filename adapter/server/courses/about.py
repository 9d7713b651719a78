"""What a Responses body has to do with compaction and blobs, before anyone has read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from adapter.compaction.anatomy import EXPANDED, TRIGGER, type_of
from adapter.compaction.sealing import is_ours
from adapter.compaction.triggers import is_triggered
from adapter.dialects.responses.read_request import compact_threshold

_BLOBS: Final = "reasoning.encrypted_content"


@dataclass(slots=True)
class About:
    """What decides whether a body may pass as it is."""

    ours: bool = False
    """It holds a blob of ours."""
    triggered: bool = False
    """It ends in a `compaction_trigger`."""
    watched: bool = False
    """It has a `compact_threshold`."""
    blobs: bool = False
    """It holds, or asks for, what only its maker can read."""
    reads_on: bool = False
    """It holds items that stand for something else, or may."""

    @property
    def compacts(self) -> bool:
        return self.triggered or self.watched

    @property
    def plain(self) -> bool:
        """It has nothing to do with any of this: the history is what it says."""
        return not (self.blobs or self.reads_on or self.triggered)


def about(body: dict[str, Any]) -> About:
    """Cheap: one look at every item.

    Raises:
        BadRequest: a trigger or a threshold that cannot be.
    """
    include = body.get("include")
    found = About(watched=compact_threshold(body.get("context_management")) is not None)
    found.blobs = found.watched or (isinstance(include, list) and _BLOBS in include)
    items = body.get("input")
    if not isinstance(items, list):
        return found
    for item in items:
        if not isinstance(item, dict):
            continue
        sealed = item.get("encrypted_content")
        if sealed is not None:
            found.blobs = True
            found.ours = found.ours or is_ours(sealed)
        type_ = item.get("type")
        if type_ == "message" or type_ == "function_call" or type_ == "function_call_output":
            continue  # as nearly all are
        if type_of(item) in EXPANDED:
            found.reads_on = True
        elif type_ == TRIGGER:
            found.triggered = found.blobs = is_triggered([one for one in items if isinstance(one, dict)])
    return found
