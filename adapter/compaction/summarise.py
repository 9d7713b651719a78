"""A history made short by a model, as a generator that asks for one upstream call at a time and does none itself.

    work = summarise(request, options, going_on=False)
    call = next(work)                      # a hub Request for the summariser
    call = work.send(answer)               # its Answer, or the AdapterError that came instead
    …                                      # until StopIteration, whose value is the Compacted

The history is rendered in one pass. Where it fits the window it is summarised by one call; else piece by piece, and the
summaries of the pieces are merged the same way, as the blocks of a shorter history. A context-length error halves the size
of the pieces from there on. Where the window is not known, a very large one is assumed and the upstream's error tells.

An empty or refused summary is asked for once more; the second time it is a failure, never an empty compaction. A failure
goes to the client, or becomes a trimmed history, as `on_failure` says.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from adapter.compaction.anatomy import COMPACTIONS, CUT_OFF, type_of
from adapter.compaction.keep import Split, split
from adapter.compaction.options import Options
from adapter.compaction.payload import ContextPayload, Payload, SummaryPayload
from adapter.compaction.pieces import SEPARATOR_BYTES, Pieces
from adapter.compaction.render import blocks, transcript
from adapter.compaction.sizes import utf8_length
from adapter.compaction.trim import trim
from adapter.errors import AdapterError, NoSummary, PayloadTooLarge, UpstreamError
from adapter.hub import usage as usages
from adapter.hub.events import Item
from adapter.hub.fold import Answer
from adapter.hub.request import Request

LARGEST_WINDOW: Final = 1_000_000
"""Tokens assumed of an unknown window: what the largest models take; a smaller one says so."""
SMALLEST_PIECE: Final = 4_096
"""Bytes. An upstream that finds a thousand tokens too many is not short of room."""
MOST_PIECES: Final = 8
"""A history that would need more is clipped harder first: what tools said is cut before calls multiply."""

TOO_LONG: Final = frozenset({"context_length_exceeded", PayloadTooLarge.code})
"""The window's bound, and that on a request's bytes or tokens a minute: less at once goes through either."""
_LEAST_CLIP: Final = 512
_BYTES_A_TOKEN: Final = 3
"""For deciding what fits: code and JSON run denser than the four bytes of the estimate, and guessing high costs a call."""
_ANSWER_TOKENS: Final = 8_192
"""Room left for the summary; a quarter of the window where that is less."""

Calls: TypeAlias = Generator[Request, Answer | AdapterError, str]


@dataclass(slots=True)
class Compacted:
    """A history made short."""

    split: Split
    context: list[Item]
    """The whole conversation as it goes on from here."""
    text: str
    """The summary; of a trimmed history its transcript."""
    strategy: Literal["summary", "trim"]
    usage: dict[str, Any]
    """What the calls cost together; zeros without calls."""
    estimated: bool
    """Some of that is the estimate of `hub.usage`, since a call reported none."""

    @property
    def payload(self) -> Payload:
        """What to seal for a client that gives back what was retained beside the blob."""
        if self.strategy == "trim":
            return ContextPayload(self.context)
        return SummaryPayload(self.text)


def summarise(
    request: Request, options: Options, *, going_on: bool
) -> Generator[Request, Answer | AdapterError, Compacted]:
    """Compact the history of `request`, whose items hold no blobs of ours any more (`expand`); a trigger is no part of it.

    `going_on` as in `keep.split`.

    Raises:
        AdapterError: what the upstream failed with, or `NoSummary` where it gave none twice.
    """
    parts = split(request.items, options, going_on=going_on)
    bill = _Bill()
    if options.strategy == "trim":
        return _trimmed(parts, options, bill)
    try:
        text = yield from _summary(request, options, bill)
    except AdapterError:
        if options.on_failure == "error":
            raise
        return _trimmed(parts, options, bill)
    return Compacted(parts, parts.context(text), text, "summary", bill.usage, bill.estimated)


def trimmed(request: Request, options: Options, *, going_on: bool) -> Compacted:
    """As `summarise`, cut by the rules of `trim`, whatever the options say: no call is made."""
    return _trimmed(split(request.items, options, going_on=going_on), options, _Bill())


def _trimmed(parts: Split, options: Options, bill: _Bill) -> Compacted:
    context = trim(parts, options.trim_tokens)
    return Compacted(parts, context, transcript(context, options.clips), "trim", bill.usage, bill.estimated)


@dataclass(slots=True)
class _Bill:
    """What the calls cost so far."""

    usage: dict[str, Any] = field(default_factory=lambda: usages.estimated(0, 0))
    estimated: bool = False

    def add(self, asked: int, answer: Answer) -> None:
        cost = answer.usage
        if cost is None:
            self.estimated = True
            cost = usages.estimated(asked, utf8_length(_text(answer)))
        self.usage = usages.added(self.usage, cost)


def _summary(request: Request, options: Options, bill: _Bill) -> Calls:
    """One text for the whole history."""
    told = _instructions(request) + request.items

    def history(limit: int) -> Iterable[str]:
        clips = options.clips
        while clips.output > _LEAST_CLIP and _length(blocks(told, clips)) > limit * MOST_PIECES:
            clips = clips.tighter
        return blocks(told, clips)

    asking = _Asking(request, options, bill)
    parts = yield from asking.level(history, "history")
    while len(parts) > 1:
        numbered = [f"[part {number}]\n{part}" for number, part in enumerate(parts, 1)]
        merged = yield from asking.level(partial(_as_they_are, numbered), "summaries")
        if len(merged) >= len(parts):  # no two of them fit together: side by side they still say everything
            return "\n\n".join(parts)
        parts = merged
    return parts[0]


class _Asking:
    """The calls for one history; the size of a piece only ever shrinks."""

    def __init__(self, request: Request, options: Options, bill: _Bill) -> None:
        self._request = request
        self._options = options
        self._bill = bill
        self._limit = _room(options)
        self._opaque = [item for item in request.items if type_of(item) in COMPACTIONS]
        """An upstream's own compaction, which only it can read: it goes along, as it is, with the first piece."""

    def level(
        self, source: Callable[[int], Iterable[str]], what: str
    ) -> Generator[Request, Answer | AdapterError, list[str]]:
        """One summary for each piece of what `source` gives for this size of pieces, oldest first; at least one."""
        pieces = Pieces(source(self._limit))
        summaries: list[str] = []
        while True:
            piece = pieces.take(self._limit)
            part = len(summaries) + 1 if summaries or not pieces.exhausted else None
            try:
                summaries.append((yield from self._ask(piece, what, part)))
            except AdapterError as refused:
                self._limit = min(self._limit, _length(piece)) // 2
                if refused.code not in TOO_LONG or self._limit < SMALLEST_PIECE:
                    raise
                if summaries:
                    pieces.give_back(piece)
                else:  # nothing is done yet: a smaller window may call for harder clipping
                    pieces = Pieces(source(self._limit))
                continue
            self._opaque = []
            if pieces.exhausted:
                return summaries

    def _ask(self, piece: list[str], what: str, part: int | None) -> Calls:
        """The summary of one piece; one that is empty or refused is asked for once more."""
        text = "\n\n".join(piece)
        call = _call(self._request, self._options, _task(text, what, part), self._opaque)
        for _ in range(2):
            answer = yield call
            if isinstance(answer, AdapterError):
                raise answer
            self._bill.add(utf8_length(text) + utf8_length(self._options.instructions), answer)
            if answer.status == "failed":
                raise answer.error or UpstreamError("The upstream failed while it summarised the conversation.")
            summary = _text(answer).strip()
            if summary and not _refused(answer):
                return f"{summary}\n{CUT_OFF}" if answer.status == "incomplete" else summary
        why = "The model gave no summary of the conversation, asked twice; nothing was compacted."
        raise NoSummary(why, code=UpstreamError.code)


def _as_they_are(texts: list[str], limit: int) -> Iterable[str]:
    return texts


def _room(options: Options) -> int:
    """Bytes of history that fit one call."""
    window = options.window or LARGEST_WINDOW
    free = window - min(_ANSWER_TOKENS, window // 4)
    return max(free * _BYTES_A_TOKEN - utf8_length(options.instructions), SMALLEST_PIECE)


def _length(source: Iterable[str]) -> int:
    return sum(utf8_length(block) + SEPARATOR_BYTES for block in source)


def _instructions(request: Request) -> list[Item]:
    """The request's `instructions` as an item, so that the summariser knows what the assistant was told."""
    text = request.body.get("instructions")
    return [{"type": "message", "role": "system", "content": text}] if text else []


_CARRIED: Final = ("service_tier", "safety_identifier", "user", "prompt_cache_key")
"""Who asks, at what price, and what keeps a conversation on one upstream; nothing that shapes an answer."""


def _call(request: Request, options: Options, task: str, opaque: list[Item]) -> Request:
    body: dict[str, Any] = {
        "model": options.model or request.model,
        "instructions": options.instructions,
        "input": [
            *opaque,
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": task}]},
        ],
        "stream": True,
        "store": False,
    }
    body.update({key: request.body[key] for key in _CARRIED if request.body.get(key) is not None})
    reasoning = request.body.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.get("effort") is not None:
        body["reasoning"] = {"effort": reasoning["effort"]}
    return Request(body, stream=True, include_usage=True)


_TASKS: Final = {
    "history": "The history follows, oldest first.",
    "summaries": (
        "The history was too long to be read at once. What follows are handoffs written for consecutive parts of it, "
        "oldest first. Merge them into one handoff under the same headings: keep every fact that still holds, and let "
        "later parts overrule earlier ones."
    ),
}


def _task(text: str, what: str, part: int | None) -> str:
    partly = f" This is part {part} of it; other parts are read separately." if part is not None else ""
    return f"{_TASKS[what]}{partly}\n\n<history>\n{text}\n</history>\n\nWrite the handoff now."


def _text(answer: Answer) -> str:
    return "\n\n".join(
        part["text"]
        for part in _parts(answer)
        if part.get("type") == "output_text" and isinstance(part.get("text"), str) and part["text"]
    )


def _refused(answer: Answer) -> bool:
    return answer.reason == "content_filter" or any(part.get("type") == "refusal" for part in _parts(answer))


def _parts(answer: Answer) -> list[dict[str, Any]]:
    contents = [item.get("content") for item in answer.output if item.get("type") == "message"]
    return [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]
