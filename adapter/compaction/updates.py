"""What a conversation changed of its own settings (`configuration_update` items), and what a compaction makes of that.

The updates are no part of the history that is made short: neither a summariser nor an upstream's own compaction is told them
(OpenAI's endpoint refuses a history with any). What they say together is one item behind the outcome, as OpenAI gives one behind
its compaction item: two of them side by side would be refused, and a client that begins anew with its own settings (Codex) leaves
it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapter.compaction.anatomy import type_of
from adapter.hub.events import Item
from adapter.hub.items import OTHER_ID, SETTINGS, UPDATE


def is_update(item: Item) -> bool:
    """Whether an item changes settings."""
    return type_of(item) == UPDATE


def in_effect(items: Iterable[Item]) -> list[Item]:
    """One update that says what those among `items` said last of each setting; nothing where they said nothing."""
    said: dict[str, Any] = {}
    for item in filter(is_update, items):
        for key, option in SETTINGS:
            update = item.get(key)
            if isinstance(update, dict) and update.get(option) is not None:
                said[key] = {option: update[option]}
    return [{"type": UPDATE, **said}] if said else []


def update_items(settings: Iterable[Item], token: str) -> list[Item]:
    """The same as an answer shows it."""
    return [{"id": f"{OTHER_ID}{token}", **item} for item in settings]
