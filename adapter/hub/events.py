"""The alphabet of a streamed answer: the events from which both wire dialects can be generated.

The grammar (checked by `hub.grammar`), with i the item's output index and k the part's index within the item:

    stream  = Started , { item | Opaque | Usage } , ( Finished | Failed )  |  Failed
    item    = ItemOpened(i) , { part | Delta(i, -1, ARGUMENTS or INPUT) | Opaque } , ItemClosed(i)
    part    = PartOpened(i, k) , { Delta(i, k) | Annotated(i, k) } , PartClosed(i, k)

* Items open with i = 0, 1, 2 … and one is closed before the next opens, unless the upstream itself overlapped them.
* Parts of one group count 0, 1, 2 …. A reasoning item has two groups: `summary_text` parts (summary_index) and
  `reasoning_text` parts (content_index); a message has one (`output_text`, `refusal`).
* `ItemOpened.item` is the skeleton: final id, type, role, call_id, name, namespace; status `in_progress`; content [],
  summary [], arguments "" or input "". `ItemClosed.item` is the whole item: a reader accumulates, so that nobody
  downstream has to look at a delta to know the answer. Types with no deltas of ours (hosted tools, compaction,
  tool_search_call, …) open and close with whatever their events were in between as `Opaque`.
* On Failed open items stay open; `Failed.items` holds them as far as they came, for the store.
* `Deltas` is shorthand for as many Delta as it has texts: most reads of an upstream bring nothing else.
* Usage may come any time before the end; the last one counts.
* Finished and Failed are terminal: nothing follows.
* What nobody streams need not be streamed: of the items of a plain reply ItemClosed will do, where only the fold is fed.

Events are immutable by convention: one is made for every delta, and a frozen dataclass costs three times as much to make.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from adapter.errors import AdapterError
from adapter.hub.losses import Loss

Item: TypeAlias = dict[str, Any]
"""A Responses item as a plain dict; unknown keys and unknown types ride along."""


class DeltaKind(StrEnum):
    """What a delta adds to; a string, since it is a dict key on the way of every delta and an Enum's hash is Python code."""

    TEXT = "output_text"
    REFUSAL = "refusal"
    REASONING = "reasoning_text"
    SUMMARY = "summary_text"
    ARGUMENTS = "arguments"
    INPUT = "input"


NO_PART = -1
"""`part_index` of a delta that belongs to the item itself (arguments, input)."""


@dataclass(slots=True)
class Started:
    """The upstream has begun to answer."""

    id: str
    """Response id (`resp_…`), already minted or taken over: the one id of this answer."""
    model: str
    created_at: int
    extra: dict[str, Any] = field(default_factory=dict)
    """Other top-level facts of the answer (service_tier, system_fingerprint, …), under their Responses or Chat name."""


@dataclass(slots=True)
class ItemOpened:
    """An output item begins."""

    index: int
    item: Item


@dataclass(slots=True)
class PartOpened:
    """A content or summary part begins; `part` is its empty form: `{"type": "output_text", "text": "", …}`."""

    index: int
    part_index: int
    part: dict[str, Any]


@dataclass(slots=True)
class Delta:
    """Text was added."""

    index: int
    part_index: int
    kind: DeltaKind
    text: str
    logprobs: list[dict[str, Any]] | None = None
    """Responses shape: `[{token, logprob, bytes, top_logprobs}]`; None where the upstream gave none."""


@dataclass(slots=True)
class Deltas:
    """Text was added, piece by piece: as a Delta without logprobs for each, of which there is at least one."""

    index: int
    part_index: int
    kind: DeltaKind
    texts: list[str]


@dataclass(slots=True)
class Annotated:
    """An annotation (Responses shape, flat) was attached to a text part."""

    index: int
    part_index: int
    annotation_index: int
    annotation: dict[str, Any]


@dataclass(slots=True)
class PartClosed:
    """A part is complete; `part` is its whole form."""

    index: int
    part_index: int
    part: dict[str, Any]


@dataclass(slots=True)
class ItemClosed:
    """An item is complete; `item` is its whole form, status included."""

    index: int
    item: Item


@dataclass(slots=True)
class Opaque:
    """A Responses event that has no letter in this alphabet (hosted tools, extensions); its dict, untouched."""

    event: dict[str, Any]


@dataclass(slots=True)
class Usage:
    """Token counts, in the Responses spelling with both details, integers only: see `hub.usage`."""

    usage: dict[str, Any]


Reason: TypeAlias = Literal["max_output_tokens", "content_filter", "max_messages", "steered"]
"""Why an answer is incomplete, in the words of the Responses API."""


@dataclass(slots=True)
class Finished:
    """The answer is complete, or cut by a limit or a filter."""

    status: Literal["completed", "incomplete"]
    reason: Reason | None = None
    """`incomplete_details.reason`; set exactly when the status is incomplete."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Top-level facts that only the end knows (service_tier, moderation, …); laid over those of Started."""
    losses: tuple[Loss, ...] = ()
    """What the upstream said of it that the hub has no place for."""


@dataclass(slots=True)
class Failed:
    """The answer broke off."""

    error: AdapterError
    items: list[Item] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    """As `Finished.extra`."""
    usage: dict[str, Any] | None = None
    """What an answer had cost that failed before it began; of one that had begun `Usage` tells that."""


Event: TypeAlias = (
    Started
    | ItemOpened
    | PartOpened
    | Delta
    | Deltas
    | Annotated
    | PartClosed
    | ItemClosed
    | Opaque
    | Usage
    | Finished
    | Failed
)


def singly(events: Iterable[Event]) -> Iterator[Event]:
    """The same events without shorthand, for those who look at every text."""
    for event in events:
        if type(event) is Deltas:
            for text in event.texts:
                yield Delta(event.index, event.part_index, event.kind, text)
        else:
            yield event
