"""Fragments of tool calls, sorted into calls.

The official form is simple: `index` tells the call, the first fragment has id and name, later ones only arguments. Servers
bend each of these, so a fragment finds its call by these rules, first match first:

* an index that is a number: the call last begun at that index, unless the fragment brings another id *and* a name, or no id,
  a name and arguments where that call's are complete, which begins a new call there (servers that say index 0 for all); an
  index never seen, with a known id and no name, means the call of that id;
* an id without index: the call of that id; an unknown one belongs to a last call that has neither id nor, in this
  fragment, a new name, else begins a call;
* neither: the fragment's position in its list where the list has several, else the last call; a name begins a new call
  there once the last one's arguments are complete.

A call takes its place in the output when it has a name and its arguments begin, or at its end: until then a name may be
late, repeated, cumulative or split. One call is open at a time. The others wait with their arguments and are replayed when
it closes: at the end of the answer, or as soon as another call speaks while the open one's arguments are complete JSON (a
done cannot be undone, and nothing can be added to a complete object). Ids are minted where the server has none, hashed
where they are longer than the API takes, and made unique: clients match outputs by them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapter.dialects.chat.answer.sole_text import sole_arguments
from adapter.dialects.functions.open_call import OpenCall
from adapter.dialects.functions.searches import found
from adapter.hub.events import Event, Item
from adapter.hub.extra_content import EXTRA_CONTENT, ExtraContent, extra_of
from adapter.hub.names import LONGEST_CALL_ID, fitted_call_id
from adapter.hub.request import ToolKind, ToolRef, Tools
from adapter.hub.surrogates import mended
from adapter.wire.jsonio import NotJson, dumps, loads


class _Slot:
    """One call as the server tells it."""

    __slots__ = (
        "closed",
        "extra",
        "held",
        "id",
        "index",
        "item",
        "looked_at",
        "name",
        "native",
        "said",
        "whole_at",
    )

    def __init__(self, index: int, id: str) -> None:
        self.index = index
        self.id = id
        self.name = ""
        self.extra: ExtraContent | None = None
        """The last `extra_content` that came with it."""
        self.native = False
        """It came in the form of a custom tool call: the text is the input itself."""
        self.item: OpenCall | None = None
        self.said = bytearray()
        """All arguments so far, in UTF-8: see `TextItem`."""
        self.held: list[str] = []
        """Those of them that the item has not got yet."""
        self.closed = False
        self.looked_at = 0
        self.whole_at = -1

    def take_name(self, name: str) -> None:
        """A piece of the name: the whole again, more of it, or the rest of it."""
        if self.item is None:
            self.name = name if name.startswith(self.name) else self.name + name

    def complete(self) -> bool:
        """Whether nothing can follow: the arguments are one JSON object. Looked at only when they have doubled since the
        last look, so that a hostile stream cannot make it quadratic."""
        said, size = self.said, len(self.said)
        if size == self.whole_at:
            return True
        if self.native or size < max(2 * self.looked_at, 2) or not said[-64:].rstrip().endswith(b"}"):
            return False
        self.looked_at = size
        self.whole_at = size if self.whole() else -1
        return self.whole_at == size

    def whole(self) -> bool:
        """Whether the arguments are one JSON object."""
        try:
            return isinstance(loads(self.said), dict)
        except NotJson:
            return False

    def take(self, text: str) -> None:
        """More arguments, on their way to the item. Half of a character that JSON cannot hold is no end of them."""
        self.said += text.encode("utf-8", "replace")


class ToolCalls:
    """All tool calls of one answer."""

    def __init__(self, tools: Tools, token: str, next_index: Callable[[], int], anomaly: Callable[[str], None]) -> None:
        self._tools = tools
        self._token = token
        self._next_index = next_index
        self._anomaly = anomaly
        self._by_index: dict[int, _Slot] = {}
        self._next_free = 0
        """An index beyond all that were seen."""
        self._by_id: dict[str, _Slot] = {}
        self._last: _Slot | None = None
        self._waiting: list[_Slot] = []
        """Calls not yet closed, in order; only the first may be open."""
        self._doubtful: dict[_Slot, None] = {}
        """Those that spoke since they were last found complete, but for what the open one said alone: all are looked at once,
        not for every fragment."""
        self._call_ids: dict[str, int] = {}
        """The ids that were given out -> the last number put behind one to tell another call from it."""
        self._found: set[str] = set()
        """The tools whose search was told."""

    @property
    def pending(self) -> bool:
        """Some call is not closed."""
        return bool(self._waiting)

    @property
    def unnamed(self) -> bool:
        """A call that says something has no name, so nobody can run it."""
        return any(not slot.name and (slot.id or slot.said) for slot in self._waiting)

    @property
    def unfinished(self) -> bool:
        """More arguments of some call may come: nothing says that they are whole."""
        if not self._waiting:
            return False
        doubtful = self._doubtful
        while doubtful and ((last := next(reversed(doubtful))).closed or last.complete()):
            del doubtful[last]
        return bool(doubtful) or not self._waiting[0].complete()

    @property
    def half(self) -> bool:
        """More arguments of some call had to come: what there is of them is not whole."""
        return any(slot.said.strip() and not slot.native and not slot.whole() for slot in self._waiting)

    def grow(self, index: int, texts: list[str]) -> list[Event] | None:
        """More arguments, valid Unicode each, for the open call; None, and nothing done, where that is not the one at
        `index`."""
        item = self._more_of_open(index, texts)
        return None if item is None else item.grow(texts)

    def feed(self, fragments: list[Any]) -> list[Event]:
        """The events of one delta's `tool_calls`."""
        alone = len(fragments) == 1
        if alone and self._waiting and (sole := sole_arguments(fragments[0])) is not None:  # the usual fragment
            item = self._more_of_open(sole[0], [sole[1]])
            if item is not None:
                return item.add(sole[1])
        events: list[Event] = []
        for position, fragment in enumerate(fragments):
            if not isinstance(fragment, dict):
                continue
            body, native = _body(fragment)
            name, text = body.get("name"), _text(body.get("input" if native else "arguments"))
            name = name if isinstance(name, str) else ""
            call_id = fragment.get("id")
            call_id = call_id if isinstance(call_id, str) else ""
            extra = extra_of(fragment.get(EXTRA_CONTENT))
            if not (name or text or call_id or extra):
                continue
            slot = self._slot(fragment.get("index"), call_id, name, text, position, alone)
            if native:
                slot.native = True
            if extra:
                self._sign(slot, extra)
            if name:
                slot.take_name(name)
            if text:
                self._add(slot, text, events)
        return events

    def sign_last(self, extra: ExtraContent) -> None:
        """The last call is to go back with this, too."""
        self._sign(self._waiting[-1], extra | (self._waiting[-1].extra or {}))

    def _sign(self, slot: _Slot, extra: ExtraContent) -> None:
        if slot.closed:
            self._anomaly("late_extra_content")
            return
        slot.extra = extra
        if slot.item is not None:
            slot.item.extra = extra

    def _more_of_open(self, index: int, texts: list[str]) -> OpenCall | None:
        """The call that takes more arguments, if it is the open one that is at `index`."""
        slot = self._waiting[0] if self._waiting else None
        if slot is None or slot.item is None or slot.index != index or self._by_index[index] is not slot:
            return None
        text = "".join(texts)
        slot.take(text)
        self._last = slot
        return slot.item

    # ------------------------------------------------------------------------------------------- which call is meant

    def _slot(self, index: Any, id: str, name: str, text: str, position: int, alone: bool) -> _Slot:
        if type(index) is int and index >= 0:
            slot = self._by_index.get(index)
            if slot is None:
                slot = self._by_id.get(id) if id and not name else None
            elif name and (slot.id and id != slot.id if id else text.strip() and slot.complete()):
                slot = None
            return self._seen(slot, index, id)
        if id:
            slot = self._by_id.get(id)
            if slot is None and self._last is not None and not self._last.id and not (name and self._last.name):
                slot = self._last
            return self._seen(slot, self._next_free, id)
        slot = self._last if alone else self._by_index.get(position)
        if slot is not None and name and slot.name and slot.complete():
            slot = None
        return self._seen(slot, self._next_free if alone else position, "")

    def _seen(self, slot: _Slot | None, index: int, id: str) -> _Slot:
        """`slot`, or a new call at `index`; remembered under the fragment's id."""
        if slot is None:
            slot = self._by_index[index] = _Slot(index, id)
            self._next_free = max(self._next_free, index + 1)
            self._waiting.append(slot)
            self._doubtful[slot] = None
        elif id and not slot.id:
            slot.id = id
        if id:
            self._by_id.setdefault(id, slot)
        self._last = slot
        return slot

    # --------------------------------------------------------------------------------------------- what is given out

    def _add(self, slot: _Slot, text: str, events: list[Event]) -> None:
        if slot.closed:
            if text.strip():
                self._anomaly("late_arguments")
            return
        slot.take(text)
        slot.held.append(text)
        self._doubtful[slot] = None
        first = self._waiting[0]
        while slot is not first and first.name and first.complete():
            events += self._close_first("completed")
            first = self._waiting[0]
        if slot is first and slot.name:
            events += self._given(slot)

    def _given(self, slot: _Slot) -> list[Event]:
        """What the first call can say now."""
        events: list[Event] = []
        item = slot.item
        if item is None:
            ref = self._ref(slot)
            if ref.found is not None and slot.name not in self._found:
                self._found.add(slot.name)
                events += found(ref, self._token, self._next_index)
            item = slot.item = OpenCall(
                index := self._next_index(),
                f"{self._token}_{index}",
                self._call_id(slot, index),
                ref,
                native=slot.native,
            )
            item.extra = slot.extra
            events += item.opened()
        held, slot.held = slot.held, []
        for text in held:
            events += item.add(text)
        return events

    def _close_first(self, status: str) -> list[Event]:
        slot = self._waiting.pop(0)
        slot.closed = True
        events = self._given(slot)
        assert slot.item is not None
        closing, kind = slot.item.close(status)
        if kind is not None:
            self._anomaly(kind)
        return events + closing

    def close(self, last_status: str = "completed") -> list[Event]:
        """Closes every call that has a name; the last one with `last_status`. Those without wait on."""
        events: list[Event] = []
        named = [slot for slot in self._waiting if slot.name]
        nameless = [slot for slot in self._waiting if not slot.name]
        self._waiting = named
        while self._waiting:
            events += self._close_first("completed" if len(self._waiting) > 1 else last_status)
        self._waiting = nameless
        return events

    def forget(self) -> None:
        """Drops the calls that never got a name: the answer was cut before it came."""
        self._waiting.clear()

    def so_far(self) -> list[Item]:
        """The open call as a failure leaves it."""
        first = self._waiting[0].item if self._waiting else None
        return first.so_far() if first is not None else []

    def _ref(self, slot: _Slot) -> ToolRef:
        name = mended(slot.name)
        known = self._tools.get(name)
        if known is None:
            return ToolRef(ToolKind.CUSTOM if slot.native else ToolKind.FUNCTION, name)
        if slot.native and known.kind is not ToolKind.CUSTOM:
            return known._replace(kind=ToolKind.CUSTOM)
        return known

    def _call_id(self, slot: _Slot, index: int) -> str:
        """The client's id for the call: the server's own where it has one, and no other call has it."""
        wanted = mended(slot.id) or f"call_{self._token}_{index}"
        first = call_id = fitted_call_id(wanted, LONGEST_CALL_ID)
        if call_id in self._call_ids:
            self._anomaly("call_id_repeated")
            n = self._call_ids[first]
            while call_id in self._call_ids:
                n += 1
                call_id = fitted_call_id(f"{wanted}_{n}", LONGEST_CALL_ID)
            self._call_ids[first] = n
        self._call_ids[call_id] = 1
        return call_id


def _body(fragment: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The object that holds name and text, and whether it is a custom tool's."""
    function, custom = fragment.get("function"), fragment.get("custom")
    if isinstance(custom, dict) and (fragment.get("type") == "custom" or not isinstance(function, dict)):
        return custom, True
    return (function, False) if isinstance(function, dict) else ({}, False)


def _text(value: Any) -> str:
    """Arguments as the string they should be."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return dumps(value).decode()
    except ValueError:
        return ""
