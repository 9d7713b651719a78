"""A Chat answer on its way to hub items. A stream feeds it many deltas, a plain reply one: the whole message.

At most one text item is open, and never beside a call: text closes the calls, a call closes the text, reasoning closes a
message and the other way round. What was closed never opens again, so text after calls is a new message. Text that comes
amid a call, while its arguments are not whole, waits until they are: a client runs a call as soon as it is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapter.dialects.chat.answer import citations
from adapter.dialects.chat.answer.fields import RARE
from adapter.dialects.chat.answer.logprobs import to_responses
from adapter.dialects.chat.answer.sole_text import CONTENT, REASONING
from adapter.dialects.chat.answer.text_items import REASONING_KINDS, Logprobs, TextItem
from adapter.dialects.chat.answer.tool_calls import ToolCalls
from adapter.dialects.chat.reasoning_details import DetailsSoFar, has_encrypted, text_of_details
from adapter.dialects.refrain import Place
from adapter.hub.events import DeltaKind, Event, Item
from adapter.hub.extra_content import EXTRA_CONTENT, ExtraContent, extra_of
from adapter.hub.reasoning_details import REASONING_DETAILS, as_extra
from adapter.hub.request import Exchange

_TEXT: Final = DeltaKind.TEXT
_REFUSAL: Final = DeltaKind.REFUSAL


class _Indices:
    """The output indices of one answer, shared by all who open items."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> int:
        """The next one."""
        self.taken += 1
        return self.taken - 1


class Assembly:
    """The output of one answer."""

    def __init__(self, exchange: Exchange, token: str, anomaly: Callable[[str], None]) -> None:
        self._token = token
        self._anomaly = anomaly
        self._indices = _Indices()
        self._item: TextItem | None = None
        self._calls = ToolCalls(exchange.tools, token, self._indices.take, anomaly)
        self._reasoning_kind = reasoning_kind(exchange)
        self._details = DetailsSoFar() if exchange.profile.reasoning_details else None
        self._early_annotations: list[dict[str, Any]] = []
        self._behind: list[tuple[DeltaKind, str, Logprobs | None]] = []
        """Text that came amid a call."""

    @property
    def empty(self) -> bool:
        """Nothing has been said yet."""
        return self._indices.taken == 0 and not self._calls.pending

    @property
    def unnamed_call(self) -> bool:
        """After `finish`: a call is left that nobody can run."""
        return self._calls.unnamed

    @property
    def half_call(self) -> bool:
        """The arguments of a call are not whole."""
        return self._calls.half

    def grow(self, place: Place, texts: list[str]) -> list[Event] | None:
        """More text, valid Unicode, where such text is open; None, and nothing done, where it is not: `feed` it."""
        item = self._item
        if item is None:
            return self._calls.grow(place, texts) if type(place) is int and not self._behind else None
        kind = _TEXT if place == CONTENT else self._reasoning_kind if place == REASONING else None
        return item.grow(texts) if item.kind is kind else None

    def feed(self, delta: dict[str, Any], logprobs: Any = None) -> list[Event]:
        """The events of one delta, or of a whole message."""
        get = delta.get
        content = get("content")
        events: list[Event] = []
        reasoning = get("reasoning_content") or get("reasoning") or text_of_details(get(REASONING_DETAILS))
        if reasoning and isinstance(reasoning, str):
            self._text(self._reasoning_kind, reasoning, None, events)
        if content or logprobs:
            self._content(content, logprobs, events)
        if len(delta) > 1 or "content" not in delta:
            self._rest(delta, logprobs, events)
        return events

    def _content(self, content: Any, logprobs: Any, events: list[Event]) -> None:
        given = to_responses(logprobs.get("content")) if isinstance(logprobs, dict) else None
        if isinstance(content, str):
            if content or given:
                self._text(_TEXT, content, given, events)
            return
        for part in content if isinstance(content, list) else (content,):  # Mistral; some send one part as an object
            if isinstance(part, str):
                text, kind = part, _TEXT
            elif isinstance(part, dict):
                text, kind = self._part(part)
            else:
                continue
            if text:
                self._text(kind, text, given if kind is _TEXT else None, events)
                given = None if kind is _TEXT else given

    def _part(self, part: dict[str, Any]) -> tuple[str, DeltaKind]:
        """The text of a content part, and what it is."""
        if part.get("type") == "thinking":
            thinking = part.get("thinking")
            if isinstance(thinking, list):
                thinking = "".join(self._part(piece)[0] for piece in thinking if isinstance(piece, dict))
            return (thinking if isinstance(thinking, str) else ""), self._reasoning_kind
        if part.get("type") == "refusal":
            text, kind = part.get("refusal"), _REFUSAL
        else:
            text, kind = part.get("text"), _TEXT
        return (text if isinstance(text, str) else ""), kind

    def _rest(self, delta: dict[str, Any], logprobs: Any, events: list[Event]) -> None:
        """Everything that is rarer than text."""
        get = delta.get
        annotations = get("annotations")
        if annotations and isinstance(annotations, list):
            self._annotate(annotations, events)
        refusal = get("refusal")
        if refusal and isinstance(refusal, str):
            given = to_responses(logprobs.get("refusal")) if isinstance(logprobs, dict) else None
            self._text(_REFUSAL, refusal, given, events)
        fragments, function_call = get("tool_calls"), get("function_call")
        if fragments and isinstance(fragments, list):
            self._call(fragments, events)
        elif fragments and isinstance(fragments, dict):  # TGI up to 3.0: the one call by itself
            self._call([fragments], events)
        elif function_call and isinstance(function_call, dict):  # some say the same call once more in the older form
            self._call([{"function": function_call}], events)
        if not RARE.isdisjoint(delta):
            self._rare(get)

    def _rare(self, get: Callable[[str], Any]) -> None:
        """What only some servers say."""
        if (extra := extra_of(get(EXTRA_CONTENT))) is not None:
            if self._item is not None and not self._item.is_reasoning:
                self._item.extra = extra
            else:
                self._anomaly("extra_content_without_text")
        if get("audio"):
            self._anomaly("audio_dropped")
        if get("images"):
            self._anomaly("image_dropped")
        if self._details is not None:
            self._details.add(get(REASONING_DETAILS))
        elif has_encrypted(get(REASONING_DETAILS)):
            self._anomaly("reasoning_encrypted")

    # -------------------------------------------------------------------------------------------------------- pieces

    def _text(self, kind: DeltaKind, text: str, logprobs: Logprobs | None, events: list[Event]) -> None:
        item = self._item
        if item is None or item.kind is not kind:
            if item is None and (self._behind or self._calls.unfinished):
                self._behind.append((kind, text, logprobs))
                return
            item = self._open(kind, events)
        event = item.add(text, logprobs)
        if event is not None:
            events.append(event)
        if self._early_annotations and kind is _TEXT:
            early, self._early_annotations = self._early_annotations, []
            events += [item.annotate(annotation) for annotation in early]

    def _open(self, kind: DeltaKind, events: list[Event]) -> TextItem:
        """The item that takes text of this kind, with a part of the kind open."""
        item, reasoning = self._item, kind in REASONING_KINDS
        if item is None or item.is_reasoning is not reasoning:
            events += self._closed()
            index = self._indices.take()
            prefix = "rs_" if reasoning else "msg_"
            item = self._item = TextItem(index, f"{prefix}{self._token}_{index}", kind)
            events.append(item.opened())
        events += item.open_part(kind)
        return item

    def _annotate(self, annotations: list[Any], events: list[Event]) -> None:
        flat = [found for annotation in annotations if (found := citations.to_responses(annotation)) is not None]
        if len(flat) < len(annotations):
            self._anomaly("annotation_unknown")
        if self._item is not None and self._item.kind is _TEXT:
            events += [self._item.annotate(annotation) for annotation in flat]
        else:
            self._early_annotations += flat

    def _call(self, fragments: list[Any], events: list[Event]) -> None:
        given = self._calls.feed(fragments)
        if self._item is not None and (given or self._calls.pending):
            events += self._item.close("completed")
            self._item = None
        events += given
        if self._behind and not self._calls.unfinished:
            self._say_behind(events)

    def _say_behind(self, events: list[Event]) -> None:
        """The text that waited for the calls, which are over."""
        behind, self._behind = self._behind, []
        self._open(behind[0][0], events)
        for kind, text, logprobs in behind:
            self._text(kind, text, logprobs, events)

    def _closed(self) -> list[Event]:
        """Everything that is open, closed."""
        item, self._item = self._item, None
        return item.close("completed") if item is not None else self._calls.close()

    # ----------------------------------------------------------------------------------------------------------- end

    def finish(self, *, incomplete: bool) -> list[Event]:
        """The answer is over: everything is closed, the last item as incomplete where the answer was cut. An answer that
        said nothing becomes one empty message: clients expect an output."""
        status = "incomplete" if incomplete else "completed"
        events: list[Event] = []
        if self._behind and incomplete and self.half_call:
            self._behind = []  # only the last item may be incomplete, and the call is
            self._anomaly("text_amid_call")
        if self._behind:
            self._say_behind(events)
        if self._details is not None and not incomplete and (details := self._details.whole()):
            self._sign(as_extra(details))
        if self._item is None:
            events += self._calls.close(status)
        if self._calls.unnamed and incomplete:
            self._calls.forget()
            self._anomaly("call_unnamed")
        if self._indices.taken == 0 and not self._calls.unnamed:
            self._open(_TEXT, events)
        if self._item is not None:
            events += self._item.close(status)
            self._item = None
        if self._early_annotations:
            self._anomaly("annotation_without_text")
        return events

    def _sign(self, extra: ExtraContent) -> None:
        """What the server wants back with the answer goes with its last item."""
        if self._item is None and self._calls.pending:
            self._calls.sign_last(extra)
        elif self._item is not None and not self._item.is_reasoning:
            self._item.extra = extra | (self._item.extra or {})
        else:
            self._anomaly("extra_content_without_text")

    def cite(self, citations: list[dict[str, Any]]) -> list[Event]:
        """Citations of the whole answer, those that its text does not have already."""
        if self._item is None or self._item.kind is not _TEXT:
            self._anomaly("annotation_without_text")
            return []
        known = self._item.cited()
        return [self._item.annotate(one) for one in citations if one["url"] not in known]

    def open_items(self) -> list[Item]:
        """What a failure leaves unfinished."""
        return [self._item.so_far()] if self._item is not None else self._calls.so_far()


def reasoning_kind(exchange: Exchange) -> DeltaKind:
    """Summary parts where the client asked for a summary, else the reasoning's own text."""
    reasoning = exchange.request.body.get("reasoning")
    asked = isinstance(reasoning, dict) and (reasoning.get("summary") or reasoning.get("generate_summary"))
    return DeltaKind.SUMMARY if asked and exchange.request.dialect == "responses" else DeltaKind.REASONING
