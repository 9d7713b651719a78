"""One tool call of an answer while it grows, as the item its client asked for.

Arguments go out as they come for functions (`ARGUMENTS`) and custom tools (`INPUT`, unwrapped from the function they were
sent as); structured tools say nothing until the call is complete.
"""

from __future__ import annotations

from typing import Final

from adapter.dialects.functions.json_string import InputUnwrapper
from adapter.dialects.functions.patches import PatchMender
from adapter.dialects.functions.structured import facts_of
from adapter.hub.events import NO_PART, Delta, DeltaKind, Deltas, Event, Item, ItemClosed, ItemOpened
from adapter.hub.extra_content import EXTRA_CONTENT, ExtraContent
from adapter.hub.items import ENCRYPTED_ARGUMENTS, ID_PREFIXES
from adapter.hub.request import ToolKind, ToolRef
from adapter.hub.surrogates import REPLACEMENT, rejoined

_STRUCTURED: Final = frozenset({ToolKind.TOOL_SEARCH, ToolKind.LOCAL_SHELL, ToolKind.SHELL, ToolKind.APPLY_PATCH})


class OpenCall:
    """A call that has its place in the output."""

    __slots__ = (
        "_call_id",
        "_half",
        "_id",
        "_kind",
        "_mender",
        "_ref",
        "_said",
        "_unwrapper",
        "extra",
        "index",
        "late",
    )

    def __init__(self, index: int, token: str, call_id: str, ref: ToolRef, *, native: bool) -> None:
        """`token` is what the id of its item is, but for what that begins with. `native`: the server knows custom tools, so that the
        input needs no unwrapping."""
        self.index = index
        self.extra: ExtraContent | None = None
        """The server's `extra_content` of the call."""
        self._ref = ref
        self._id = token
        self._call_id = call_id
        custom = ref.kind is ToolKind.CUSTOM
        self._kind = DeltaKind.INPUT if custom else DeltaKind.ARGUMENTS
        self.late = ref.kind in _STRUCTURED
        """It is told when it is complete."""
        self._unwrapper = InputUnwrapper() if custom and not native else None
        self._mender = PatchMender() if custom and ref.patch else None
        self._said = bytearray()  # as in `TextItem`
        self._half = ""

    def opened(self) -> list[Event]:
        """The event that announces the call; a structured one is announced when it is complete."""
        return [] if self.late else [ItemOpened(self.index, self._item("", "in_progress"))]

    def grow(self, texts: list[str]) -> list[Event]:
        """As `add`, for pieces that are valid Unicode."""
        if self._half or self.late or self._unwrapper is not None or self._mender is not None:
            return [event for text in texts for event in self.add(text)]
        self._said += "".join(texts).encode()
        return [Deltas(self.index, NO_PART, self._kind, texts)]

    def add(self, text: str) -> list[Event]:
        """What a piece of arguments (or of native input) gives the client."""
        if self._half or not text.isascii():
            text, self._half = rejoined(self._half, text)
        if self._unwrapper is not None:
            text = self._unwrapper.feed(text)
        return self._taken(text)

    def _taken(self, text: str) -> list[Event]:
        return self._given(self._mender.feed(text) if self._mender is not None and text else text)

    def _given(self, text: str) -> list[Event]:
        if not text:
            return []
        self._said += text.encode()
        return [] if self.late else [Delta(self.index, NO_PART, self._kind, text)]

    def close(self, status: str) -> tuple[list[Event], str | None]:
        """The end of the call, and the anomaly that it was."""
        events: list[Event] = []
        if self._half:
            self._half = ""
            events += self.add(REPLACEMENT)
        if self._unwrapper is not None:
            events += self._taken(self._unwrapper.close())
        if self._mender is not None:
            events += self._given(self._mender.close())
        text = self._said.decode()
        if self.late:
            return self._as_asked(text, status)
        if self._kind is DeltaKind.ARGUMENTS and not text.strip():  # Codex cannot parse "", and `{}` is what it means
            events += self._given("{}")
            text += "{}"
        events.append(ItemClosed(self.index, self._item(text, status)))
        return events, "patch_mended" if self._mender is not None and self._mender.mended else None

    def _as_asked(self, text: str, status: str) -> tuple[list[Event], str | None]:
        """A structured call, or the plain function call that tells the client what could not be read."""
        facts = facts_of(self._ref.kind, text) if text or status == "completed" else None
        if facts is None:
            text = text or "{}"
            return [
                ItemOpened(self.index, self._function_call("", "in_progress")),
                Delta(self.index, NO_PART, DeltaKind.ARGUMENTS, text),
                ItemClosed(self.index, self._function_call(text, status)),
            ], "arguments_unreadable"
        item: Item = {"id": ID_PREFIXES[facts["type"]] + self._id, "type": "", "call_id": self._call_id} | facts
        if self.extra:
            item[EXTRA_CONTENT] = self.extra
        return [  # complete, whatever cut the answer: arguments that can be read are all there
            ItemOpened(self.index, item | {"status": "in_progress"}),
            ItemClosed(self.index, item | {"status": "completed"}),
        ], None

    def so_far(self) -> list[Item]:
        """The item as a failure leaves it; none for a structured call, whose half means nothing."""
        return [] if self.late else [self._item(self._said.decode(), "incomplete")]

    def _item(self, text: str, status: str) -> Item:
        if self._kind is DeltaKind.ARGUMENTS:
            return self._function_call(text, status)
        return self._named("custom_tool_call", status, "input", text)

    def _function_call(self, text: str, status: str) -> Item:
        item = self._named("function_call", status, "arguments", text)
        if self._ref.plain:
            item[ENCRYPTED_ARGUMENTS] = []
        return item

    def _named(self, type: str, status: str, key: str, text: str) -> Item:
        item: Item = {"id": ID_PREFIXES[type] + self._id, "type": type, "status": status, "call_id": self._call_id}
        item |= {"name": self._ref.name, key: text}
        if self._ref.namespace is not None:
            item["namespace"] = self._ref.namespace
        if self._ref.beside:
            item["async"] = True
        if self.extra:
            item[EXTRA_CONTENT] = self.extra
        return item
