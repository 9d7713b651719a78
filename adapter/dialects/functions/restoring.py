"""The answer of a server that was given functions in place of other tools, with the calls as its client asked for them.

Between a reader of streams and whoever takes its events. Calls of functions that stand for themselves, and all that is no
call, pass as they are. A structured call is told when it is complete, so items that the server told beside it come first, and
everything behind it has another index than it had.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from adapter.dialects.base import StreamReader
from adapter.dialects.functions.open_call import OpenCall
from adapter.dialects.functions.searches import found
from adapter.errors import AdapterError
from adapter.hub.events import (
    Delta,
    Deltas,
    Event,
    Failed,
    Finished,
    Item,
    ItemClosed,
    ItemOpened,
    Opaque,
    Started,
    Usage,
)
from adapter.hub.items import ID_PREFIXES
from adapter.hub.losses import Anomaly
from adapter.hub.request import Tools

_PREFIX: Final = ID_PREFIXES["function_call"]
_NOT_YET: Final = -1
"""The index of a structured call before it is told."""


class Restoring:
    """Hub events in, hub events out."""

    def __init__(self, tools: Tools, anomalies: list[Anomaly]) -> None:
        """`anomalies` gets what was mended."""
        self._tools = tools
        self._anomalies = anomalies
        self._calls: dict[int, OpenCall] = {}
        """The open calls that are restored, by the index that the reader gave them."""
        self._items: dict[str, OpenCall] = {}
        """The same, by the id of the reader's item."""
        self._moved: dict[int, int] = {}
        """Index of the reader's -> the one it has here."""
        self._in_place = True
        """Every item has the index that the reader gave it."""
        self._next = 0
        self._found: set[str] = set()
        """The tools whose search was told."""

    @property
    def idle(self) -> bool:
        """Deltas pass as they are."""
        return self._in_place and not self._calls

    def restored(self, events: Iterable[Event]) -> list[Event]:
        """What the events of the reader are to the client."""
        told: list[Event] = []
        for event in events:
            match event:
                case Started() | Usage() | Finished():
                    told.append(event)
                case Failed():
                    told.append(replace(event, items=self._so_far(event.items)))
                case Opaque():
                    told.append(self._opaque(event))
                case ItemOpened():
                    told += self._opened(event)
                case ItemClosed() if event.index in self._calls:
                    told += self._closed(event)
                case Delta() if event.index in self._calls:
                    told += self._calls[event.index].add(event.text)
                case Deltas() if event.index in self._calls:
                    told += self._calls[event.index].grow(event.texts)
                case _:
                    index = self._moved[event.index]
                    told.append(event if index == event.index else replace(event, index=index))
        return told

    def _opened(self, event: ItemOpened) -> list[Event]:
        item = event.item
        ref = self._tools.get(item["name"]) if item["type"] == "function_call" else None
        if ref is None:
            index = self._place(event.index)
            return [event if index == event.index else replace(event, index=index)]
        token, told = item["id"].removeprefix(_PREFIX), list[Event]()
        if ref.found is not None and item["name"] not in self._found:
            self._found.add(item["name"])
            told = found(ref, token, self._free)
        call = OpenCall(_NOT_YET, token, item["call_id"], ref, native=False)
        self._calls[event.index] = self._items[item["id"]] = call
        if not call.late:
            call.index = self._place(event.index)
        return told + call.opened()

    def _closed(self, event: ItemClosed) -> list[Event]:
        call = self._calls.pop(event.index)
        del self._items[event.item["id"]]
        if call.late:
            call.index = self._place(event.index)
        events, kind = call.close(event.item["status"])
        if kind is not None and Anomaly(kind) not in self._anomalies:
            self._anomalies.append(Anomaly(kind))
        return events

    def _place(self, index: int) -> int:
        """The place of the item that is told next, which had this one."""
        place = self._moved[index] = self._free()
        self._in_place = self._in_place and place == index
        return place

    def _free(self) -> int:
        place, self._next = self._next, self._next + 1
        return place

    def _opaque(self, event: Opaque) -> Opaque:
        given = event.event.get("output_index")
        if type(given) is not int:  # an extension counts as it likes
            return event
        index = self._moved.get(given, given)
        return event if index == given else Opaque({**event.event, "output_index": index})

    def _so_far(self, items: list[Item]) -> list[Item]:
        calls = ((item, self._items.get(item["id"])) for item in items)
        return [told for item, call in calls for told in ([item] if call is None else call.so_far())]


class RestoringReader:
    """A reader whose events are restored."""

    def __init__(self, reader: StreamReader, tools: Tools) -> None:
        self._reader = reader
        self.anomalies = reader.anomalies
        self._restoring = Restoring(tools, reader.anomalies)

    @property
    def bare(self) -> bool:
        return self._reader.bare

    @property
    def ended(self) -> bool:
        return self._reader.ended

    @property
    def settling(self) -> bool:
        return self._reader.settling

    def more(self, whole: bytes, at: int, events: list[Event]) -> int:
        """See `StreamReader.more`."""
        if self._restoring.idle:
            return self._reader.more(whole, at, events)
        read: list[Event] = []
        end = self._reader.more(whole, at, read)
        events += self._restoring.restored(read)
        return end

    def feed(self, name: str | None, data: bytes) -> list[Event]:
        """See `StreamReader.feed`."""
        return self._restoring.restored(self._reader.feed(name, data))

    def close(self) -> list[Event]:
        """See `StreamReader.close`."""
        return self._restoring.restored(self._reader.close())

    def fail(self, error: AdapterError) -> list[Event]:
        """See `StreamReader.fail`."""
        return self._restoring.restored(self._reader.fail(error))
