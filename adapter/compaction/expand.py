"""A client's history with blobs in it, as a history that an upstream can read.

**Compaction items.** The newest counts. If it is ours, what it stands for takes its place:

* a *summary* blob: the items in front of it are what the compaction retained and the client gave back; instructions, user
  messages and open tool exchanges stay, whatever else is there was compacted. With a second, older compaction in front, the
  user messages there are already part of the newer summary and go too.
* a *context* blob: it carries all that counts, and everything in front of it goes. Only instructions are taken from the
  front where the client sent any: they are its current ones, the carried ones may be old.

Of the open exchanges all stay where the history stands still, since it is only compacted again and any output may come later.
Where it goes on, those stay that are answered only now or run on: upstreams refuse any other, and so it is `unanswered`.

If the newest is an upstream's own blob that we wrapped, it is unwrapped and everything else stays: that upstream knows what
its blob means, and the request must go there. Older compactions of other makers are dropped, and outputs whose calls they
held: the newest stands for them.
Anything else is foreign and refused, unless a single upstream (`native`) can have made it and judges it: another adapter too.

**Reasoning items.** Our sealed reasoning becomes `reasoning_text` content again; sealed signatures belong to the calls and
the message before them, for an upstream that takes such. A wrapped blob is unwrapped and remembered
with its origin: `for_upstream` leaves it out of requests that go elsewhere, where it would be refused. Reasoning that
is neither goes on as it is, and what another adapter sealed to the single upstream; the upstream judges it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapter.compaction.anatomy import (
    COMPACTIONS,
    EXPANDED,
    Voice,
    answered_name,
    is_orphan,
    summary_message,
    type_of,
    unanswered,
    units,
    voice,
)
from adapter.compaction.keep import placed
from adapter.compaction.outgoing import wrapped_item
from adapter.compaction.payload import (
    TEXT,
    ContextPayload,
    SummaryPayload,
    read_compaction,
    read_reasoning,
    read_signatures,
)
from adapter.compaction.sealing import KeyRing, Kind, Opened, is_ours, not_verified
from adapter.hub.events import Item


@dataclass(slots=True)
class Expanded:
    """A history without blobs of ours."""

    items: list[Item]
    origin: str | None = None
    """Who the request must go to: the maker of the compaction that counts, as `Target.origin` says."""
    reasoning_origins: dict[int, str] = field(default_factory=dict)
    """Index in `items` -> who made this reasoning item's blob, as `Target.origin` says."""
    told: frozenset[int] = frozenset()
    """Indices in `items` of reasoning that we had sealed: text of a Chat upstream."""

    signed: dict[int, Any] = field(default_factory=dict)
    """Index in `items` -> the `extra_content` of this call or message that we had sealed."""
    unanswered: Sequence[int] = ()
    """Places in the client's input of calls that went, since nobody has answered them, or of the compaction that held them."""

    @property
    def preferred_origin(self) -> str | None:
        """Where the request should go if it can: the maker of the compaction, else of the newest reasoning."""
        if self.origin is not None:
            return self.origin
        return self.reasoning_origins[max(self.reasoning_origins)] if self.reasoning_origins else None

    def for_upstream(self, name: str, *, reads_reasoning: bool = True, takes_extra: bool = False) -> list[Item]:
        """The history as this upstream takes it: without reasoning blobs of others, and items that were nothing else;
        without reasoning text of a Chat upstream where it does not read such; with what items were signed with where
        it `takes_extra`. These very items where nothing is left out."""
        # another account of the same upstream may well read it: which one it was is no reason to leave it out
        foreign = {index for index, origin in self.reasoning_origins.items() if origin.partition("/")[0] != name}
        unread = frozenset() if reads_reasoning else self.told
        signed = self.signed if takes_extra else {}
        if not foreign and not unread and not signed:
            return self.items
        items = list(self.items)
        for index, extra in signed.items():
            items[index] = {"extra_content": extra} | items[index]
        return [
            _without_blob(item) if index in foreign else item
            for index, item in enumerate(items)
            if index not in unread and (index not in foreign or _readable(item))
        ]

    def wrapped_again(self, items: Iterable[Item], ring: KeyRing, tenant: str) -> list[Item]:
        """Some of this history's items (the same objects) as they may go to the client or into a blob of ours: a
        `Compacted` is passed on with its retained items and its context wrapped again."""
        origins = {id(self.items[index]): origin for index, origin in self.reasoning_origins.items()}
        if self.origin is not None:
            origins |= {id(item): self.origin for item in self.items if _is_compaction(item)}
        return [wrapped_item(item, ring, tenant, origins[id(item)]) if id(item) in origins else item for item in items]


def expand(
    items: Sequence[Item], ring: KeyRing, tenant: str, *, native: bool = False, going_on: bool = True
) -> Expanded:
    """The history behind a client's input items; `native` where blobs that are not under our keys may pass, `going_on` as in
    `keep.split`.

    Raises:
        InvalidEncryptedContent: a blob that is foreign, cut, forged, another tenant's or under an old key; `param` says
            which item's.
    """
    if not any(type_of(item) in EXPANDED for item in items):
        return Expanded(list(items))
    marks = [index for index, item in enumerate(items) if _is_compaction(item)]
    if not marks:
        return _with_reasoning(enumerate(items), ring, tenant, None, native)
    newest = marks[-1]
    path = f"input[{newest}].encrypted_content"
    sealed = items[newest].get("encrypted_content")
    before = [(index, item) for index, item in enumerate(items[:newest]) if not _is_compaction(item)]
    if len(marks) > 1:
        before = _with_their_calls(before)
    after = [(index, item) for index, item in enumerate(items) if index > newest]
    if native and not ring.knows(sealed):
        return _with_reasoning([*before, (newest, items[newest]), *after], ring, tenant, None, native)
    blob = ring.open_sealed(sealed, tenant=tenant, param=path)
    match blob.kind:
        case Kind.WRAPPED:
            numbered = [*before, (newest, _unwrapped(items[newest], blob)), *after]
            return _with_reasoning(numbered, ring, tenant, blob.origin, native)
        case Kind.SUMMARY:
            answers = {name for _, item in after if (name := answered_name(item)) is not None} if going_on else None
            front, gone = _front(items[:newest], blob, path, answers, alone=len(marks) == 1)
            places = {id(item): index for index, item in enumerate(items[:newest])}
            if any(map(_is_compaction, front)):  # an upstream's own, in a context that goes on from it
                found = expand([*front, *(item for _, item in after)], ring, tenant, native=native)
            else:
                numbered = [*((places.get(id(item), newest), item) for item in front), *after]
                found = _with_reasoning(numbered, ring, tenant, None, native)
            found.unanswered = sorted({places.get(id(item), newest) for item in gone})
            return found
        case Kind.REASONING | Kind.SIGNED:
            raise not_verified(path)


def _with_their_calls(numbered: list[tuple[int, Item]]) -> list[tuple[int, Item]]:
    """Without outputs whose calls an older compaction held: the newest stands for both."""
    items = [item for _, item in numbered]
    lost = {index for unit in units(items) if is_orphan(items, unit) for index in unit.indices}
    return [one for index, one in enumerate(numbered) if index not in lost]


def _is_compaction(item: Item) -> bool:
    """Codex's `context_compaction` may be a bare marker; it then stands for nothing."""
    type_ = type_of(item)
    return type_ in COMPACTIONS and (type_ != "context_compaction" or item.get("encrypted_content") is not None)


def _front(
    before: Sequence[Item], blob: Opened, path: str, answers: Collection[str] | None, *, alone: bool
) -> tuple[list[Item], list[Item]]:
    """What stands for everything up to and including one of our compactions, and the calls that went, as `_staying` says."""
    match read_compaction(blob.payload, path):
        case SummaryPayload(text):
            voices = {Voice.INSTRUCTION, Voice.USER} if alone else {Voice.INSTRUCTION}
            kept, gone = _staying(before, voices, answers)
            return placed(kept, summary_message(text)), gone
        case ContextPayload(carried):
            current = [item for item in before if voice(item) is Voice.INSTRUCTION]
            others = set(Voice) - ({Voice.INSTRUCTION} if current else set())
            kept, gone = _staying(carried, others, answers)
            return current + kept, gone


def _staying(
    items: Sequence[Item], voices: set[Voice], answers: Collection[str] | None
) -> tuple[list[Item], list[Item]]:
    """Items of these voices and open exchanges, and the calls of the open ones that go: those that run on stay, and those that
    `answers` names; None names all."""
    kept: list[int] = []
    gone: list[int] = []
    for unit in units(items):
        awaited = answers is None or unit.running or any(name in answers for name in unit.waiting)
        if awaited if unit.open else unit.voice in voices:
            kept += unit.indices
        else:
            gone += unanswered(items, unit)
    return [items[index] for index in sorted(kept)], [items[index] for index in gone]


def _with_reasoning(
    numbered: Iterable[tuple[int, Item]], ring: KeyRing, tenant: str, origin: str | None, native: bool
) -> Expanded:
    """The items, each with its place in the client's input, with what our reasoning blobs hold."""
    out: list[Item] = []
    origins: dict[int, str] = {}
    told: list[int] = []
    signed: dict[int, Any] = {}
    for index, item in numbered:
        sealed = item.get("encrypted_content")
        if item.get("type") != "reasoning" or not is_ours(sealed) or (native and not ring.knows(sealed)):
            out.append(item)
            continue
        path = f"input[{index}].encrypted_content"
        blob = ring.open_sealed(sealed, tenant=tenant, param=path)
        match blob.kind:
            case Kind.REASONING:
                told.append(len(out))
                out.append(_told(item, read_reasoning(blob.payload)))
            case Kind.SIGNED:
                signed |= _places_of(read_signatures(blob.payload, path), out)
            case Kind.WRAPPED:
                origins[len(out)] = blob.origin
                out.append(_unwrapped(item, blob))
            case Kind.SUMMARY:
                raise not_verified(path)
    return Expanded(out, origin, origins, frozenset(told), signed)


def _places_of(signatures: dict[str, Any], before: list[Item]) -> dict[int, Any]:
    """Signatures by the indices of their items: the last call of an id, since servers use their ids again, the last message."""
    found: dict[int, Any] = {}
    waiting = dict(signatures)
    for index in range(len(before) - 1, -1, -1):
        if not waiting:
            break
        item = before[index]
        signed = TEXT if item.get("role") == "assistant" else item.get("call_id")
        if isinstance(signed, str) and signed in waiting and "output" not in item:
            found[index] = waiting.pop(signed)
    return found


def _unwrapped(item: Item, blob: Opened) -> Item:
    return {**item, "encrypted_content": blob.payload.decode("utf-8", "surrogatepass")}


def _told(item: Item, text: str) -> Item:
    """A reasoning item of ours as text."""
    kept = {key: value for key, value in item.items() if key not in ("encrypted_content", "status")}
    return {**kept, "summary": item.get("summary") or [], "content": [{"type": "reasoning_text", "text": text}]}


def _without_blob(item: Item) -> Item:
    return {key: value for key, value in item.items() if key not in ("id", "encrypted_content")}


def _readable(item: Item) -> bool:
    return bool(item.get("content") or item.get("summary"))
