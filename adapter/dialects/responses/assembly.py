"""From pieces of output items, in whatever order and completeness they come, to hub events that follow the grammar.

Both readers stand on this: the stream reader hands in what each event says, the reply reader hands in whole items. Rules:

* Items get hub indices in the order in which they open; an upstream's own numbers are the reader's business.
* A call opens when its name is known. Text that came earlier waits and goes out as one delta.
* The streamed text is the truth. A text of a done event that is longer adds its rest as a delta; one that contradicts is
  an anomaly and is not believed.
* A part that is done closes with the next event: its item's end, or the answer's, may say more of it (annotations that came
  in no event of their own). Nothing more can be said of it once it has closed.
* An item that is done as `incomplete` closes only when the answer ends; if another item follows, it was complete after all.
* `tool_search_call` opens at its end: OpenAI changes its call_id on the way.
"""

from __future__ import annotations

from typing import Any

from adapter.dialects.responses.output_items import (
    CALLS,
    FIXED,
    KINDS,
    OPENS_LATE,
    called_with,
    empty_part,
    final_status,
    full_logprobs,
    part_lists,
    skeleton,
    text_field,
)
from adapter.errors import UpstreamInvalid
from adapter.hub.events import (
    NO_PART,
    Annotated,
    Delta,
    DeltaKind,
    Event,
    Item,
    ItemClosed,
    ItemOpened,
    PartClosed,
    PartOpened,
)
from adapter.hub.items import ID_PREFIXES, OTHER_ID
from adapter.hub.losses import Anomaly
from adapter.hub.names import LONGEST_CALL_ID, fitted_call_id
from adapter.hub.surrogates import REPLACEMENT, rejoined


class Text:
    """A text that grows by deltas: of a part, or a call's arguments or input."""

    __slots__ = ("held", "index", "kind", "logprobs", "part_index", "said")

    def __init__(self, index: int, part_index: int, kind: DeltaKind) -> None:
        self.index = index
        self.part_index = part_index
        self.kind = kind
        self.said = bytearray()
        """UTF-8: pieces of a token each would take ten times that."""
        self.held = ""
        self.logprobs: list[dict[str, Any]] = []

    @property
    def value(self) -> str:
        """All of it."""
        return self.said.decode()


class Part:
    """A content or summary part."""

    __slots__ = ("annotations", "closed", "said", "skeleton", "text")

    def __init__(self, opened: dict[str, Any], text: Text) -> None:
        self.skeleton = opened
        self.text = text
        self.annotations: list[dict[str, Any]] = []
        self.said: dict[str, Any] = {}
        """What its done forms said, the last one first to be believed."""
        self.closed: dict[str, Any] | None = None


class Slot:
    """One output item."""

    __slots__ = ("call_id", "closed", "groups", "implied", "index", "item", "phase", "text", "type", "waiting")

    def __init__(self, item: Item, implied: bool = False) -> None:
        self.item = item
        """What is known of it; its skeleton once it is open."""
        self.type: str = item["type"]
        self.call_id: Any = None
        """The upstream's own, once it gave one; the client's may be another."""
        self.index = -1
        """Hub index; -1 until it opens."""
        self.implied = implied
        """Nobody said that it opens: a delta came first."""
        self.groups: dict[str, list[Part]] = {"summary": [], "content": []}
        self.text = Text(-1, NO_PART, CALLS[self.type][0]) if self.type in CALLS else None
        self.waiting: Item | None = None
        """Its done form, incomplete, until we know that it is the last."""
        self.closed: Item | None = None
        self.phase = 0
        """How far a hosted tool's progress has come, see `places.PHASES`."""

    def partial(self) -> Item:
        """The item as far as it came."""
        item = {**self.item, "status": final_status(self.item, self.type, "incomplete")}
        if self.text is not None:
            item[CALLS[self.type][1]] = self.text.value
        for group, parts in self.groups.items():
            if parts:
                item[group] = [part.closed or _finished(part) for part in parts]
        return item


def _finished(part: Part) -> dict[str, Any]:
    """The part as the upstream itself closed it, where it did, with the text, annotations and logprobs that were streamed."""
    whole = (part.said or part.skeleton).copy()
    whole[text_field(whole["type"])] = part.text.value
    if whole["type"] == "output_text":
        whole["annotations"] = part.annotations.copy()
        streamed = full_logprobs(part.text.logprobs)
        if len(streamed) != len(whole["logprobs"]):
            whole["logprobs"] = streamed
    return whole


class Assembly:
    """The items of one answer. Every method adds the events it causes to `out`."""

    def __init__(self, bare_logprobs: bool) -> None:
        self.token = "0"
        self.out: list[Event] = []
        self.slots: list[Slot] = []
        """In the order of their hub indices."""
        self.anomalies: list[Anomaly] = []
        self.part_at_end: Part | None = None
        """The part that is done and closes with the next event."""
        self._bare_logprobs = bare_logprobs
        """Deltas keep their logprobs as the upstream gave them, for a client of the same dialect."""
        self._ids: set[str] = set()
        self._call_ids: set[tuple[str, str]] = set()

    def note(self, kind: str, detail: str = "") -> None:
        """An anomaly, counted once a kind: a broken upstream may do it in every event."""
        if all(anomaly.kind != kind for anomaly in self.anomalies):
            self.anomalies.append(Anomaly(kind, detail))

    def open_slots(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.closed is None]

    def open_items(self) -> list[Item]:
        """Those items, as far as they have come."""
        return [slot.partial() for slot in self.open_slots()]

    # ------------------------------------------------------------------------------------------------------- items

    def nameable(self, slot: Slot) -> bool:
        """Everything is known that an item must say when it opens."""
        if slot.type in OPENS_LATE:
            return False
        return slot.type not in CALLS or (isinstance(slot.item.get("name"), str) and slot.item["name"] != "")

    def open(self, slot: Slot) -> None:
        """The item begins."""
        for other in self.open_slots():
            if other.waiting is not None:
                self.note("incomplete_not_last", "an item was incomplete and another followed")
                self.finish(other, other.waiting, "completed")
            elif other.implied:
                self.finish(other, other.item)
        if slot.type in CALLS and not self.nameable(slot):
            raise UpstreamInvalid("The upstream made a tool call without a name.")
        slot.index = len(self.slots)
        self.slots.append(slot)
        slot.call_id = slot.item.get("call_id")
        slot.item = skeleton(slot.item, self._item_id(slot))
        if slot.type in CALLS:
            slot.item["call_id"] = self._call_id(slot)
        self.out.append(ItemOpened(slot.index, slot.item))
        if slot.text is not None:
            slot.text.index = slot.index
            if slot.text.said:
                self.out.append(Delta(slot.index, NO_PART, slot.text.kind, slot.text.value))

    def _item_id(self, slot: Slot) -> str:
        given = slot.item.get("id")
        item_id = given if isinstance(given, str) and given not in self._ids else ""
        if not item_id:
            item_id = f"{ID_PREFIXES.get(slot.type, OTHER_ID)}{self.token}_{slot.index}"
            while item_id in self._ids:
                item_id += "_"
        self._ids.add(item_id)
        return item_id

    def _call_id(self, slot: Slot) -> str:
        given = slot.call_id
        call_id = fitted_call_id(given, LONGEST_CALL_ID) if isinstance(given, str) and given else ""
        if not call_id or (slot.type, call_id) in self._call_ids:
            self.note("call_id_minted", "a tool call without an id of its own")
            call_id = fitted_call_id(f"call_{self.token}_{slot.index}", LONGEST_CALL_ID)
        self._call_ids.add((slot.type, call_id))
        return call_id

    def done(self, slot: Slot, item: Item) -> None:
        """The upstream says that the item is done, as `item`."""
        if self.part_at_end is not None and self.part_at_end.text.index != slot.index:
            self.close_done()
        if item.get("status") == "incomplete":
            slot.waiting = item
            if slot.index < 0:
                slot.item = item
                self.open(slot)
        else:
            self.finish(slot, item)

    def finish(self, slot: Slot, item: Item, forced: str | None = None) -> None:
        """The item ends as `item`, with what of it was not streamed yet; `forced` overrules its status."""
        if slot.index < 0:
            late = slot.type in OPENS_LATE
            slot.item = {**item, **slot.item, "call_id": item.get("call_id")} if late else {**slot.item, **item}
            self.open(slot)
        whole = dict(item)
        for key in FIXED:
            if key in slot.item:
                whole[key] = slot.item[key]
        status = final_status(item, slot.type, forced)
        if status is not None:
            whole["status"] = status
        for group, parts in part_lists(whole):
            self._finish_group(slot, group, parts)
            closed = [part.closed for part in slot.groups[group]]
            if closed or group == "summary" or slot.type == "message":
                whole[group] = closed
        if slot.text is not None:
            field = CALLS[slot.type][1]
            self.complete(slot.text, called_with(item, field))
            if slot.type == "function_call" and status == "completed" and not slot.text.value.strip():
                self.add(slot.text, "{}")
            whole[field] = slot.text.value
        slot.closed = whole
        slot.waiting = None
        self.out.append(ItemClosed(slot.index, whole))

    def _finish_group(self, slot: Slot, group: str, given: list[dict[str, Any]]) -> None:
        parts = slot.groups[group]
        index = 0
        for whole in given:
            while index < len(parts) and is_other(parts[index], whole):
                self.close_part(parts[index])
                index += 1
            if index == len(parts):
                self.open_part(slot, group, whole)
            self.close_part(parts[index], whole)
            index += 1
        for part in parts[index:]:
            self.close_part(part)

    # ------------------------------------------------------------------------------------------------------- parts

    def open_part(self, slot: Slot, group: str, part: dict[str, Any]) -> Part:
        """The next part of a group begins; an unfinished one before it ends."""
        parts = slot.groups[group]
        if parts:
            self.close_part(parts[-1])
        opened = empty_part(part)
        made = Part(opened, Text(slot.index, len(parts), KINDS[opened["type"]]))
        parts.append(made)
        self.out.append(PartOpened(slot.index, len(parts) - 1, opened))
        return made

    def part_done(self, part: Part, whole: dict[str, Any]) -> None:
        """The upstream says that the part is done, as `whole` (in normal form)."""
        self._take(part, whole)
        self.part_at_end = part

    def close_done(self) -> None:
        """Nothing more is said of the part that is done."""
        part, self.part_at_end = self.part_at_end, None
        if part is not None:
            self.close_part(part)

    def close_part(self, part: Part, whole: dict[str, Any] | None = None) -> None:
        """The part ends; as `whole` (in normal form), where somebody said so."""
        if whole is not None and whole != part.said:
            self._take(part, whole)
        if part.closed is not None:
            return
        if not part.said:
            self.complete(part.text)
        part.closed = _finished(part)
        self.out.append(PartClosed(part.text.index, part.text.part_index, part.closed))

    def _take(self, part: Part, whole: dict[str, Any]) -> None:
        """What `whole` says of the part and nobody said before."""
        text, texts = part.text, whole["type"] == part.skeleton["type"] == "output_text"
        annotations = whole["annotations"][len(part.annotations) :] if texts else []
        if part.closed is not None:
            if annotations or whole.get(text_field(whole["type"])) != text.value:
                self.note("event_after_done", "more of a part that was done")
        elif whole["type"] == part.skeleton["type"]:
            self.complete(text, whole[text_field(whole["type"])], whole["logprobs"] if texts else None)
            for annotation in annotations:
                self.annotate(part, annotation)
            part.said |= whole
        else:
            self.note("text_mismatch", "a done event contradicts its part's type")

    def annotate(self, part: Part, annotation: dict[str, Any]) -> None:
        part.annotations.append(annotation)
        self.out.append(Annotated(part.text.index, part.text.part_index, len(part.annotations) - 1, annotation))

    # -------------------------------------------------------------------------------------------------------- text

    def add(self, text: Text, delta: str, logprobs: Any = None) -> None:
        """A delta; not given out while the call it belongs to is not open."""
        delta, text.held = rejoined(text.held, delta)
        text.said += delta.encode()
        given: list[dict[str, Any]] | None = None
        if logprobs and text.kind is DeltaKind.TEXT and (full := full_logprobs(logprobs)):
            given = logprobs if self._bare_logprobs and len(full) == len(logprobs) else full
            text.logprobs += given
        if text.index >= 0:
            self.out.append(Delta(text.index, text.part_index, text.kind, delta, given))

    def complete(self, text: Text, whole: str | None = None, logprobs: Any = None) -> None:
        """The whole text is known (None: what came is all), and its logprobs: what no delta brought of them is added."""
        value = text.value
        rest = whole[len(value) :] if whole is not None and whole.startswith(value) else ""
        if text.held and not rest:
            rest = REPLACEMENT
        late = None
        if not text.logprobs and text.kind is DeltaKind.TEXT:
            late = full_logprobs(logprobs)
        if rest or late:
            text.held = ""
            self.add(text, rest, late)
        if whole is not None and whole != text.value:
            self.note("text_mismatch", "a done event contradicts its deltas")


def is_other(part: Part, whole: dict[str, Any]) -> bool:
    """The part was opened as something else than was said in the end: nothing was said in it."""
    return part.skeleton["type"] != whole["type"] and not part.text.value
