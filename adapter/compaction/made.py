"""What came of a compaction, whoever made it, and how a client gets it.

Ours is a summary (or a trimmed history) as text and items; an upstream's own is its output with one blob in it that only it
can read. Both go to the client as a reply's output, as one blob, or as the conversation that goes on at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from adapter.compaction.anatomy import COMPACTIONS, type_of
from adapter.compaction.expand import Expanded
from adapter.compaction.outgoing import wrapped_item
from adapter.compaction.payload import ContextPayload, seal_compaction
from adapter.compaction.sealing import KeyRing
from adapter.compaction.shapes import compacted_output, compaction_item
from adapter.compaction.summarise import Compacted
from adapter.hub.events import Item


@dataclass(slots=True, kw_only=True)
class Seals:
    """How this history's blobs leave: whose they are, and whether they must find their way back."""

    ring: KeyRing
    tenant: str
    expanded: Expanded
    origin: str
    """Who goes on with the conversation, as `Target.origin` says: the maker of every blob that is not wrapped yet."""
    wraps: bool
    """More than one upstream, or account of one, could serve it."""

    def again(self, items: Iterable[Item]) -> list[Item]:
        """Items of the client's history, with what was unwrapped wrapped again."""
        return self.expanded.wrapped_again(items, self.ring, self.tenant)

    def wrapped(self, items: Iterable[Item]) -> list[Item]:
        """Items with every blob of the upstream's wrapped."""
        return [wrapped_item(item, self.ring, self.tenant, self.origin) for item in items]


@dataclass(slots=True, kw_only=True)
class Made:
    """A history made short."""

    context: list[Item]
    """The conversation as it goes on, over the upstream that it was made for."""
    output: list[Item]
    """An upstream's own: what it keeps, and one compaction item. Empty for ours."""
    summary: Compacted | None
    """Ours."""
    usage: dict[str, Any]
    estimated: bool
    """Some of the usage is an estimate."""

    @classmethod
    def ours(cls, done: Compacted, *, estimated: bool = False) -> Made:
        """From a summary, whoever wrote it."""
        usage, guessed = done.usage, done.estimated or estimated
        return cls(context=done.context, output=[], summary=done, usage=usage, estimated=guessed)

    @property
    def text(self) -> str:
        """The summary; empty where only the upstream can read it."""
        return "" if self.summary is None else self.summary.text

    def reply_output(self, seals: Seals, token: str) -> list[Item]:
        """For a reply in OpenAI's shape: the retained items, then exactly one compaction item."""
        if self.summary is None:
            blobs = [item for item in self.output if type_of(item) in COMPACTIONS]
            kept = [item for item in self.output if type_of(item) not in COMPACTIONS]
            ordered = compacted_output(kept, blobs[-1], token)
            return seals.wrapped(ordered) if seals.wraps else ordered
        payload = self.summary.payload
        if isinstance(payload, ContextPayload):
            payload = ContextPayload(seals.again(payload.items))
        blob = compaction_item(seal_compaction(payload, seals.ring, seals.tenant), token)
        return compacted_output(seals.again(self.summary.split.retained), blob, token)

    def blob(self, seals: Seals) -> str:
        """For a client that gets one item and may drop everything before it."""
        if self.context is self.output and len(self.output) == 1:
            (item,) = seals.wrapped(self.output) if seals.wraps else self.output
            sealed: str = item["encrypted_content"]
            return sealed
        items = seals.again(self.context)
        if self.summary is None:  # what stands beside an upstream's blob is in a blob of ours, its own within it
            items = [seals.wrapped([item])[0] if type_of(item) in COMPACTIONS else item for item in items]
        return seal_compaction(ContextPayload(items), seals.ring, seals.tenant)
