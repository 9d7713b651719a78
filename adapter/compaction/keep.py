"""What of a history stays word for word, and where the summary of the rest goes.

Kept are, always whole and in their order: instructions (system and developer items), the most recent user messages that fit
into a budget, and open tool exchanges. Two situations differ in what must come *after* the summary:

* **Standing still** (`/responses/compact`, a trigger): the client continues later. Every open exchange stays, since the
  client may answer it next; those with which the history ends come after the summary.
* **Going on** (chat-shaped and in-conversation compaction): the shortened history is answered at once. The last user turn
  comes after the summary and stays whole; of one that is itself too long (an agent at work for hours on one message)
  the user's message and the last exchange stay, and the summary comes between them. A call before that turn that nobody
  answered will not be answered any more, and is told in the summary only; one that runs on beside the conversation stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapter.compaction.anatomy import Unit, Voice, summary_message, type_of, units
from adapter.compaction.options import Options
from adapter.compaction.sizes import total_tokens, weight
from adapter.hub.events import Item
from adapter.hub.usage import BYTES_PER_TOKEN


@dataclass(slots=True)
class Split:
    """One history, taken apart."""

    items: Sequence[Item]
    kept: list[int]
    """Indices that stay, ascending."""
    cut: int
    """How many of `kept` come before the summary."""
    rest: list[int]
    """Indices that are compacted away, ascending."""

    @property
    def retained(self) -> list[Item]:
        """What stays, a subsequence of the history."""
        return [self.items[index] for index in self.kept]

    @property
    def compacted(self) -> list[Item]:
        """What goes."""
        return [self.items[index] for index in self.rest]

    def context(self, summary: str) -> list[Item]:
        """The whole conversation as it goes on from here: what stays, with the summary in its place."""
        retained = self.retained
        return [*retained[: self.cut], summary_message(summary), *retained[self.cut :]]


def split(items: Sequence[Item], options: Options, *, going_on: bool) -> Split:
    """Take the history apart; `going_on` says which of the two situations it is."""
    found = units(items)
    kept = {
        number
        for number, unit in enumerate(found)
        if unit.voice is Voice.INSTRUCTION or unit.running or (unit.open and not going_on)
    }
    kept.update(_recent_users(items, found, options.keep_user_tokens))
    first_after = len(items)
    if going_on:
        turn, first_after = _last_turn(items, found, options.keep_turn_tokens)
        kept.update(turn)
    indices = sorted(index for unit in kept for index in found[unit].indices)
    stays = set(indices)
    if going_on:
        cut = sum(index < first_after for index in indices)
    else:
        cut = len(indices) - _trailing(indices, {index for unit in found if unit.open for index in unit.indices})
    return Split(items, indices, cut, [index for index in range(len(items)) if index not in stays])


def placed(kept: list[Item], summary: Item) -> list[Item]:
    """A summary put among what a compaction left of the history, before the open exchanges with which that ends."""
    open_ones = {index for unit in units(kept) if unit.open for index in unit.indices}
    cut = len(kept) - _trailing(list(range(len(kept))), open_ones)
    return [*kept[:cut], summary, *kept[cut:]]


def worth_compacting(split_: Split, options: Options) -> bool:
    """Whether there is so much to compact that the outcome is shorter than what it replaces."""
    return total_tokens(split_.compacted) > options.short_tokens


def _recent_users(items: Sequence[Item], found: list[Unit], budget_tokens: int) -> list[int]:
    """The most recent user messages that fit, counted back to the first that does not."""
    left = budget_tokens * BYTES_PER_TOKEN
    recent: list[int] = []
    for number in range(len(found) - 1, -1, -1):
        if found[number].voice is Voice.USER:
            left -= _weight(items, found[number])
            if left < 0:
                break
            recent.append(number)
    return recent


def _last_turn(items: Sequence[Item], found: list[Unit], budget_tokens: int | None) -> tuple[set[int], int]:
    """The units of the last user turn that stay, and the index of the first item that follows the summary.

    To the turn belongs whatever ends in it: an exchange may have begun before the user spoke. Reasoning alone, which was
    followed by nothing, is no exchange.
    """
    spoken = [number for number, unit in enumerate(found) if unit.voice is not Voice.INSTRUCTION]
    if not spoken:
        return set(), len(items)
    told = [n for n in spoken if any(type_of(items[index]) != "reasoning" for index in found[n].indices)] or spoken
    last = max(told, key=lambda number: found[number].indices[-1])
    asked = next((number for number in reversed(spoken) if found[number].voice is Voice.USER), last)
    turn = {number for number in spoken if found[number].indices[-1] >= found[asked].indices[0]}
    weight_of = sum(_weight(items, found[number]) for number in turn)
    if budget_tokens is None or weight_of <= budget_tokens * BYTES_PER_TOKEN:
        return turn, min(found[number].indices[0] for number in turn)
    return {asked, last}, found[last].indices[0]


def _weight(items: Sequence[Item], unit: Unit) -> int:
    return sum(weight(items[index]) for index in unit.indices)


def _trailing(indices: list[int], wanted: set[int]) -> int:
    """How many of the last `indices` are wanted without a gap."""
    count = 0
    while count < len(indices) and indices[-1 - count] in wanted:
        count += 1
    return count
