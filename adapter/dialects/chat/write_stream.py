"""Hub events into Chat Completions chunks.

Every chunk is the same bytes but for a few characters, so they are rendered once: `Started` fixes id, time and model, and a
delta is then one JSON string between a prefix and a suffix. Calls get their prefix when they open, with the next index of
their own.

    choice = role chunk , { content | refusal | reasoning_content | call fragments } , [ annotations ] , finish
    stream = { choices, interleaved } , [ moderation chunk ] , [ usage chunk ] , [DONE]   |   … , error frame

Several choices (`n` > 1) come from several upstream calls: each has its own role and finish, all have the head of the first
that started; usage (the sum) and `[DONE]` follow when all have finished. A failure of any ends the stream with one error
frame and no `[DONE]`.

Two things that the API's schema does not name. Annotations go out as `delta.annotations` just before the finish, where
OpenAI's own search models put them: the schema lists the key for plain messages only, and the alternative is to lose them.
Custom calls stream as `{index, id, type: "custom", custom: {name, input}}`, as they do on the wire. Hosted tools' items and
what else Chat has no words for are losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from adapter.dialects.base import Frame
from adapter.dialects.chat.answer import citations
from adapter.dialects.chat.answer.finishes import CALL_TYPES, finish_reason
from adapter.dialects.chat.answer.logprobs import to_chat
from adapter.dialects.chat.answer.moderation import to_chat as to_chat_moderation
from adapter.dialects.chat.answer.served import CALL_OUTPUTS, SERVED_CALL, offered
from adapter.dialects.chat.reply import PARAGRAPH, shown_extras
from adapter.dialects.chat.unsaid import ANNOTATION, FURTHER_CALL, item_loss, more_of
from adapter.hub.events import (
    NO_PART,
    Annotated,
    Delta,
    DeltaKind,
    Deltas,
    Event,
    Failed,
    Finished,
    Item,
    ItemClosed,
    ItemOpened,
    PartClosed,
    PartOpened,
    Started,
    Usage,
    singly,
)
from adapter.hub.extra_content import EXTRA_CONTENT, extra_of
from adapter.hub.fold import Fold
from adapter.hub.losses import Loss
from adapter.hub.reasoning_details import EncryptedDetails, parted
from adapter.hub.request import Clock, Exchange, derived_token, no_clock
from adapter.hub.usage import as_chat, summed
from adapter.wire.jsonio import dumps
from adapter.wire.sse import framed

_DONE: Final[Frame] = (None, b"[DONE]")
_NO_LOGPROBS: Final = b'},"logprobs":null,"finish_reason":null}]'
_KEYS: Final = {
    DeltaKind.TEXT: b'"content":',
    DeltaKind.REFUSAL: b'"refusal":',
    DeltaKind.REASONING: b'"reasoning_content":',
    DeltaKind.SUMMARY: b'"reasoning_content":',
}
_REASONING: Final[dict[Any, DeltaKind]] = {kind.value: kind for kind in (DeltaKind.REASONING, DeltaKind.SUMMARY)}


_CALL_KEYS: Final = {
    "function_call": (b"function", b"arguments"),
    "custom_tool_call": (b"custom", b"input"),
}
_FLAT_KEYS: Final = dict.fromkeys(_CALL_KEYS, _CALL_KEYS["function_call"])


class _Choice:
    """One choice: its rendered prefixes and what it has said."""

    __slots__ = (
        "begun",
        "calls",
        "citations",
        "closed_text",
        "encrypted",
        "frames",
        "held",
        "index",
        "lead",
        "reasoned",
        "signed",
    )

    def __init__(self, index: int, encrypted: EncryptedDetails | None) -> None:
        self.index = index
        self.encrypted = encrypted
        """Tells of reasoning that only the upstream can read; None where it takes none back."""
        self.lead = b'"choices":[{"index":%d,"delta":{' % index
        self.frames: dict[Any, tuple[bytes, bytes]] = {}
        """What stands before and behind a delta's text, by kind of text and, for calls, by output index."""
        self.begun = False
        """Its role chunk is out."""
        self.calls = 0
        self.citations: list[dict[str, Any]] = []
        self.closed_text = 0
        """Length of the text parts that are complete: citations count from the start of the whole content."""
        self.reasoned = False
        self.held: dict[int, Item] = {}
        """By output index, calls of tools that the client did not offer, for whether the server answers them shows behind them;
        and the calls behind those."""
        self.signed: set[int] = set()
        """The output indices of calls whose `extra_content` was told when they began."""


class ChatWriter:
    """One stream."""

    def __init__(self, exchange: Exchange) -> None:
        request = exchange.request
        self._exchange = exchange
        self._legacy = request.carry.get("functions", False)
        self._call_keys = _FLAT_KEYS if "flat" in request.carry else _CALL_KEYS
        self._include_usage = request.include_usage
        self._left = max(request.carry.get("n", 1), 1)
        self._facts: dict[str, Any] = {}
        self._head = b""
        """What every chunk begins with: the facts, and what is known beside the answer."""
        self._end = b',"usage":null}' if self._include_usage else b"}"
        self._suffix = _NO_LOGPROBS + self._end
        self._choices: dict[int, _Choice] = {}
        self._usages: dict[int, dict[str, Any]] = {}
        self._ended = False
        self.fold = Fold()
        self.losses: list[Loss] = []
        self.written = 0

    def write(self, events: Iterable[Event], choice: int = 0) -> bytes:
        """The part of the stream that some hub events amount to."""
        parts: list[bytes] = []
        for event in events:
            if type(event) is Deltas and (data := self._more(event, choice)):
                parts.append(data)
            else:
                for frame in self.feed(event, choice):
                    parts.append(framed(*frame))
                    self.written += 1
        return b"".join(parts)

    def _more(self, event: Deltas, choice: int) -> bytes:
        """Many of the commonest chunk; nothing where they are not. 0.1 µs for each; with a frame for each it was 1 µs."""
        state = self._choices.get(choice)
        frame = None if state is None or self._ended else state.frames.get(_frame_key(event))
        texts = event.texts
        if frame is None or "" in texts:
            return b""
        self.written += len(texts)
        if len(texts) == 1:
            return b"".join((b"data: ", frame[0], orjson.dumps(texts[0]), frame[1], b"\n\n"))
        before, after = b"data: " + frame[0], frame[1] + b"\n\n"
        said = orjson.dumps(texts, option=orjson.OPT_INDENT_2)[4:-2]  # one on a line: no text holds a line end as it is
        return before + said.replace(b",\n  ", after + before) + after

    def feed(self, event: Event, choice: int = 0) -> list[Frame]:
        """The chunks of one hub event."""
        handler = _HANDLERS.get(type(event))
        if self._ended or handler is None:
            return []
        state = self._choices.get(choice)
        if state is None:
            encrypted = EncryptedDetails() if self._exchange.profile.carries_reasoning else None
            state = self._choices[choice] = _Choice(choice, encrypted)
        return handler(self, event, state)

    def ping(self) -> list[Frame]:
        """Comments are enough for Chat clients."""
        return []

    # --------------------------------------------------------------------------------------------------------- events

    def _on_started(self, event: Started, choice: _Choice) -> list[Frame]:
        self._fold(event, choice)
        if not self._head:
            self._facts = {
                "id": f"chatcmpl-{derived_token(event.id)}",
                "object": "chat.completion.chunk",
                "created": event.created_at,
                "model": event.model,
            }
            self._head = self._headed(event.extra)
        lead = self._head + choice.lead
        for kind, key in _KEYS.items():
            choice.frames[kind] = (lead + key, self._suffix)
        return []

    def _begin(self, choice: _Choice, content: bytes) -> list[Frame]:
        """The role chunk. As OpenAI's it waits for what comes first, and its `content` is null where that is no text: clients
        open a text for a string, be it empty."""
        if choice.begun:
            return []
        choice.begun = True
        return [self._delta(choice, b'"role":"assistant","content":%b,"refusal":null' % content)]

    def _fold(self, event: Event, choice: _Choice) -> None:
        if choice.index == 0:
            self.fold.feed(event)

    def _headed(self, extra: dict[str, Any]) -> bytes:
        return dumps(self._facts | shown_extras(extra))[:-1] + b","

    def _delta(self, choice: _Choice, members: bytes) -> Frame:
        return (None, self._head + choice.lead + members + self._suffix)

    def _on_delta(self, event: Delta, choice: _Choice) -> list[Frame]:
        if event.logprobs:
            return self._with_logprobs(event, choice)
        if not event.text:
            return []
        frame = choice.frames.get(_frame_key(event))
        if frame is None:
            return self._on_new_paragraph(event, choice)
        return [(None, frame[0] + orjson.dumps(event.text) + frame[1])]

    def _on_deltas(self, event: Deltas, choice: _Choice) -> list[Frame]:
        return [frame for one in singly([event]) for frame in self.feed(one, choice.index)]

    def _with_logprobs(self, event: Delta, choice: _Choice) -> list[Frame]:
        frame = choice.frames.get(event.kind)
        if frame is None or event.logprobs is None:
            return []
        entries = to_chat(event.logprobs)
        refusal = event.kind is DeltaKind.REFUSAL
        logprobs = {"content": None if refusal else entries, "refusal": entries if refusal else None}
        tail = b'},"logprobs":' + dumps(logprobs) + b',"finish_reason":null}]' + self._end
        return [(None, frame[0] + orjson.dumps(event.text) + tail)]

    def _on_item(self, event: ItemOpened, choice: _Choice) -> list[Frame]:
        item = event.item
        kind = item.get("type")
        begin = self._begin(choice, b'""' if kind == "message" else b"null")
        if kind not in CALL_TYPES:
            if kind not in ("message", "reasoning"):
                self.losses.append(item_loss(kind))
            if kind in CALL_OUTPUTS:
                self._served(item, choice)
            return begin
        if choice.held or self._may_be_served(item):
            choice.held[event.index] = item
            return begin
        return begin + self._call(event, choice)

    def _may_be_served(self, call: Item) -> bool:
        names = offered(self._exchange)
        return names is not None and call.get("name") not in names

    def _served(self, output: Item, choice: _Choice) -> None:
        for index, call in choice.held.items():
            if call.get("call_id") == output.get("call_id") and self._may_be_served(call):
                del choice.held[index]
                self.losses.append(SERVED_CALL)
                return

    def _call(self, event: ItemOpened, choice: _Choice) -> list[Frame]:
        item = event.item
        kind = item["type"]
        lead, name, place = self._head + choice.lead, dumps(item.get("name") or ""), choice.calls
        choice.calls += 1
        if self._legacy:
            if place > 0:
                self.losses.append(FURTHER_CALL)
                return []
            choice.frames[event.index] = (lead + b'"function_call":{"arguments":', b"}" + self._suffix)
            return [self._delta(choice, b'"function_call":{"name":' + name + b',"arguments":""}')]
        key, text_key = self._call_keys[kind]
        call = b'"tool_calls":[{"index":%d,' % place
        choice.frames[event.index] = (lead + call + b'"%b":{"%b":' % (key, text_key), b"}}]" + self._suffix)
        call_id = dumps(item.get("call_id") or "")
        members = b'"id":%b,"type":"%b","%b":{"name":%b,"%b":""}' % (call_id, key, key, name, text_key)
        if (extra := extra_of(item.get(EXTRA_CONTENT))) is not None:
            members += b',"extra_content":' + dumps(extra)
            choice.signed.add(event.index)
        return [self._delta(choice, call + members + b"}]")]

    def _on_item_closed(self, event: ItemClosed, choice: _Choice) -> list[Frame]:
        """What its server wants back with it, where that was not known when it began."""
        self._fold(event, choice)
        item = event.item
        plain = item.get("type") == "message" and len(item) == 5
        if not plain or any(len(part) != 4 or part.get("annotations") != [] for part in item["content"]):
            self.losses += more_of(event.index, item)
        if event.index in choice.held:
            choice.held[event.index] = item
        details = [] if choice.encrypted is None else choice.encrypted.of(item)
        if EXTRA_CONTENT in item:
            details += parted(item[EXTRA_CONTENT])[0]
        frames = [self._delta(choice, b'"reasoning_details":' + dumps(details))] if details else []
        if EXTRA_CONTENT not in item:
            return frames
        given = extra_of(item[EXTRA_CONTENT])
        if given is None or event.index in choice.signed or event.index in choice.held:
            return frames
        extra = b'"extra_content":' + dumps(given)
        if item["type"] == "message":
            frames.append(self._delta(choice, extra))
        elif not self._legacy and item["type"] in _CALL_KEYS:
            frames.append(self._delta(choice, b'"tool_calls":[{"index":%d,%b}]' % (choice.calls - 1, extra)))
        return frames

    def _on_part(self, event: PartOpened, choice: _Choice) -> list[Frame]:
        kind = _REASONING.get(event.part.get("type"))
        if kind is not None and choice.reasoned:
            choice.frames.pop(kind, None)
        return []

    def _on_new_paragraph(self, event: Delta, choice: _Choice) -> list[Frame]:
        """The first text of a part of reasoning that is not the first one."""
        if event.kind not in _REASONING.values():
            return []
        frame = choice.frames[event.kind] = (self._head + choice.lead + b'"reasoning_content":', self._suffix)
        return [(None, frame[0] + orjson.dumps(PARAGRAPH + event.text) + frame[1])]

    def _on_part_closed(self, event: PartClosed, choice: _Choice) -> list[Frame]:
        kind, text = event.part.get("type"), event.part.get("text")
        if kind == "output_text":
            choice.closed_text += len(text or "")
        elif kind in _REASONING and text:
            choice.reasoned = True
        return []

    def _on_annotated(self, event: Annotated, choice: _Choice) -> list[Frame]:
        citation = citations.to_chat(event.annotation, choice.closed_text)
        if citation is None:
            self.losses.append(ANNOTATION)
        else:
            choice.citations.append(citation)
        return []

    def _on_usage(self, event: Usage, choice: _Choice) -> list[Frame]:
        self._usages[choice.index] = event.usage
        self.fold.answer.usage = summed(self._usages.values())
        return []

    def _on_finished(self, event: Finished, choice: _Choice) -> list[Frame]:
        self._fold(event, choice)
        self.losses += event.losses
        frames = self._begin(choice, b'""')
        if event.extra:  # the tier that was asked for stands in the first chunks, the one that was given in the last
            self._head = self._headed(self.fold.answer.extra)
        for index, item in choice.held.items():
            frames += self._call(ItemOpened(index, item), choice)
            text = item.get("arguments") or item.get("input") or ""
            frames += self._on_delta(Delta(index, NO_PART, DeltaKind.ARGUMENTS, text), choice)
        if choice.citations:
            frames.append(self._delta(choice, b'"annotations":' + dumps(choice.citations)))
        reason = finish_reason(event.reason, calls=choice.calls > 0, legacy=self._legacy)
        last = b'},"logprobs":null,"finish_reason":"%b"}]' % reason.encode() + self._end
        frames.append((None, self._head + choice.lead + last))
        self._left -= 1
        return frames + self._ending() if self._left == 0 else frames

    def _ending(self) -> list[Frame]:
        self._ended = True
        frames: list[Frame] = []
        moderation = to_chat_moderation(self.fold.answer.extra.get("moderation"))
        if moderation is not None:
            frames.append((None, self._head + b'"choices":[],"moderation":' + dumps(moderation) + self._end))
        usage = self.fold.answer.usage
        if self._include_usage and usage is not None:
            frames.append((None, self._head + b'"choices":[],"usage":' + dumps(as_chat(usage)) + b"}"))
        return [*frames, _DONE]

    def _on_failed(self, event: Failed, choice: _Choice) -> list[Frame]:
        self.fold.feed(event)
        self._ended = True
        return [(None, dumps(event.error.body()))]


def _frame_key(event: Delta | Deltas) -> DeltaKind | int:
    return event.kind if event.part_index >= 0 else event.index


_HANDLERS: Final[dict[type, Callable[[ChatWriter, Any, _Choice], list[Frame]]]] = {
    Started: ChatWriter._on_started,
    Delta: ChatWriter._on_delta,
    Deltas: ChatWriter._on_deltas,
    Usage: ChatWriter._on_usage,
    ItemOpened: ChatWriter._on_item,
    ItemClosed: ChatWriter._on_item_closed,
    PartOpened: ChatWriter._on_part,
    PartClosed: ChatWriter._on_part_closed,
    Annotated: ChatWriter._on_annotated,
    Finished: ChatWriter._on_finished,
    Failed: ChatWriter._on_failed,
}


def stream_writer(exchange: Exchange, *, clock: Clock = no_clock) -> ChatWriter:
    """A fresh machine for one client stream; nothing that it says needs a clock."""
    return ChatWriter(exchange)
