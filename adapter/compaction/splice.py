"""A Chat conversation made short in its own words: messages that stay are the client's own, key for key.

The hub decides over items; where what stays are whole messages, nothing of them need be said anew. A server that speaks the
client's dialect then gets them as it would without a compaction, names, roles and vendors' own fields included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapter.compaction.anatomy import summary_text
from adapter.compaction.keep import Split


def spliceable(split: Split, origins: Sequence[int]) -> bool:
    """Whether what stays are whole messages, and the summary comes between two of them. `origins`: the message of each item."""
    front, back = ({origins[index] for index in part} for part in (split.kept[: split.cut], split.kept[split.cut :]))
    rest = {origins[index] for index in split.rest}
    return rest.isdisjoint(front) and rest.isdisjoint(back) and front.isdisjoint(back)


def spliced(messages: Sequence[Any], split: Split, origins: Sequence[int], summary: str) -> list[Any]:
    """The messages that stay, with the summary in its place."""
    front = dict.fromkeys(origins[index] for index in split.kept[: split.cut])
    back = dict.fromkeys(origins[index] for index in split.kept[split.cut :])
    told = {"role": "user", "content": summary_text(summary)}
    return [*(messages[place] for place in front), told, *(messages[place] for place in back)]
