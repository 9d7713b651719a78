"""Which item, and which part of it, an event of an upstream is about; what nobody opened is opened here.

By `output_index`, else by `item_id`, else the last open item that such an event fits. The index comes first because some
servers give every event a new item id.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.responses.assembly import Assembly, Part, Slot
from adapter.dialects.responses.output_items import CALLS

HOMES: Final[dict[str, tuple[tuple[str, ...], str, str]]] = {
    "output_text": (("message",), "content", "content_index"),
    "refusal": (("message",), "content", "content_index"),
    "reasoning_text": (("reasoning",), "content", "content_index"),
    "summary_text": (("reasoning",), "summary", "summary_index"),
}
"""Part type -> the items it lives in, its group there, and the key of its index in events."""


PHASES: Final = {
    "in_progress": 0,
    "searching": 1,
    "interpreting": 1,
    "generating": 1,
    "partial_image": 2,
    "completed": 3,
    "failed": 3,
}
"""Last word of a progress event -> how far along that is."""
_SPELT: Final = frozenset({"message", "reasoning", *CALLS})
"""Items of which every event has a letter of ours."""


class Places:
    """The items of one stream under the upstream's own numbers and ids."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self.by_index: dict[int, Slot] = {}
        self.by_id: dict[str, Slot] = {}
        self.shared: set[int] = set()
        """Indices under which calls are open side by side: there the id comes first."""
        self._parts: dict[tuple[int, str, int], Part] = {}
        """By hub index of the item, group, and the upstream's number."""
        self.loose: list[Slot] = []
        """Items that cannot open yet: calls whose name is not known."""

    def slot(self, event: dict[str, Any], types: tuple[str, ...], more: bool = False) -> Slot | None:
        """The open item that a delta or done event is about; opened here if nobody opened it. If it is closed, None, or a new one
        for `more` text."""
        index, given = event.get("output_index"), event.get("item_id")
        item_id = given if isinstance(given, str) else ""
        slot = self.by_index.get(index) if type(index) is int else None
        if slot is None or slot.type not in types or index in self.shared:
            slot = self.by_id.get(item_id, slot)
        if slot is None and type(index) is not int:
            slot = self._last_open(types)
        if slot is not None and slot.type in types:
            if slot.closed is None and slot.waiting is None:
                return slot
            self._assembly.note("event_after_done", "an event for an item that was done")
            if not more:
                return None
        else:
            self._assembly.note("item_implied", "an event for an item that was never added")
        slot = Slot({"type": types[0], "id": item_id}, implied=True)
        self.enter(slot, index if type(index) is int else None)
        return slot

    def _last_open(self, types: tuple[str, ...]) -> Slot | None:
        unfinished = [*self._assembly.open_slots(), *(loose for loose in self.loose if loose.index < 0)]
        return next((slot for slot in reversed(unfinished) if slot.type in types and slot.waiting is None), None)

    def enter(self, slot: Slot, index: int | None) -> None:
        """A new item: found by the upstream's index and id from now on, and opened as soon as it can be."""
        if index is not None:
            self.by_index[index] = slot
        given = slot.item.get("id")
        if self._assembly.nameable(slot):
            self._assembly.open(slot)
        else:
            self.loose.append(slot)
        if isinstance(given, str):
            self.by_id[given] = slot

    def part(self, event: dict[str, Any], part_type: str, more: bool = False) -> tuple[Slot, Part] | None:
        """The open part that a delta or done event is about; opened here if nobody opened it. If it is closed, None, or a new one
        for `more` text: some gateways say that a text is done with its first delta."""
        types, group, key = HOMES[part_type]
        slot = self.slot(event, types, more)
        if slot is None:
            return None
        number = event.get(key)
        part = self.numbered(slot, group, number)
        if part is not None and part.skeleton["type"] == part_type and (part.closed is None or type(number) is int):
            if part.closed is None:
                return slot, part
            self._assembly.note("event_after_done", "an event for a part that was done")
            if not more:
                return None
        return slot, self.open_part(slot, group, number, {"type": part_type})

    def numbered(self, slot: Slot, group: str, number: Any) -> Part | None:
        """The part that the upstream calls `number`; without a number, the last one."""
        if type(number) is int:
            return self._parts.get((slot.index, group, number))
        return slot.groups[group][-1] if slot.groups[group] else None

    def open_part(self, slot: Slot, group: str, number: Any, part: dict[str, Any]) -> Part:
        """A new part, which the upstream calls `number`; without one, it may yet call it what it is (LiteLLM)."""
        opened = self._assembly.open_part(slot, group, part)
        if type(number) is int:
            self._parts[slot.index, group, number] = opened
        else:
            self._parts.setdefault((slot.index, group, opened.text.part_index), opened)
        return opened

    def by_form(self, item: dict[str, Any]) -> Slot | None:
        """The item that a done form is of: by its id, else the last open one of that type."""
        given = item.get("id")
        slot = self.by_id.get(given) if isinstance(given, str) else None
        if slot is not None and slot.type == item["type"]:
            return slot
        return self._last_open((item["type"],))

    def in_progress(self, event: dict[str, Any], kind: str) -> Slot | None:
        """The open item whose progress an event of type `kind` tells; None too where it would go backwards."""
        index, item_id = event.get("output_index"), event.get("item_id")
        slot = self.by_index.get(index) if type(index) is int else None
        if slot is None and isinstance(item_id, str):
            slot = self.by_id.get(item_id)
        if slot is None or slot.index < 0 or slot.closed is not None or slot.type in _SPELT:
            return None
        if not kind.startswith(f"response.{slot.type}"):
            return None
        phase = PHASES.get(kind.rpartition(".")[2], slot.phase)
        if phase < slot.phase:
            return None
        slot.phase = phase
        return slot
