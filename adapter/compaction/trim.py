"""A shorter history without a model: clip what tools said, drop reasoning, drop the oldest exchanges whole.

The outcome is a conversation as any other: a call and its outputs go or stay together, what `keep.split` keeps is
untouched, and the order never changes. Equal histories give equal outcomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

from adapter.compaction.anatomy import Unit, Voice, is_orphan, type_of, units
from adapter.compaction.keep import Split
from adapter.compaction.render import clip
from adapter.compaction.sizes import weight
from adapter.hub.events import Item
from adapter.hub.usage import BYTES_PER_TOKEN

OUTPUT_CHARACTERS: Final = 2_000
"""Enough for the head of a listing and the end of a test run."""

_TEXTS: Final = frozenset({"text", "stdout", "stderr"})


class _Worth(IntEnum):
    """In which order units are dropped; among equals the oldest goes first."""

    NOTHING = 0
    """A call that nobody will answer any more, an output without its call: no upstream takes them."""
    EXCHANGE = 1
    SUMMARY = 2
    """It holds what was dropped before."""


def trim(split: Split, target_tokens: int) -> list[Item]:
    """The history at `target_tokens` or under, as far as that goes without touching what is kept."""
    kept = set(split.kept)
    short = {
        index: item if index in kept else _clipped(item)
        for index, item in enumerate(split.items)
        if index in kept or type_of(item) != "reasoning"
    }
    sizes = {index: weight(item) for index, item in short.items()}
    excess = sum(sizes.values()) - target_tokens * BYTES_PER_TOKEN
    droppable = [unit for unit in units(split.items) if kept.isdisjoint(unit.indices)]
    for unit in sorted(droppable, key=lambda unit: _worth(split.items, unit)):
        if excess <= 0 and _worth(split.items, unit) is not _Worth.NOTHING:
            break
        for index in unit.indices:
            if short.pop(index, None) is not None:
                excess -= sizes[index]
    return list(short.values())


def _worth(items: Sequence[Item], unit: Unit) -> _Worth:
    if unit.voice is Voice.SUMMARY:
        return _Worth.SUMMARY
    return _Worth.NOTHING if is_orphan(items, unit) or unit.open else _Worth.EXCHANGE


def _clipped(item: Item) -> Item:
    """A tool's output cut to its two ends, media dropped; every other item as it is."""
    output = item.get("output")
    if isinstance(output, str):
        return {**item, "output": clip(output, OUTPUT_CHARACTERS)}
    if isinstance(output, list):
        return {**item, "output": [_clipped_part(part) for part in output]}
    return item


def _clipped_part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    if str(part.get("image_url")).startswith("data:"):
        return {"type": "input_text", "text": "[image]"}
    return {
        key: clip(value, OUTPUT_CHARACTERS) if key in _TEXTS and isinstance(value, str) else value
        for key, value in part.items()
    }
