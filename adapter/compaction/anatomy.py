"""What the items of a history are to each other: who speaks, which output answers which call, what belongs together.

A history falls into *units*. An instruction, a user message and an output without its call are units of one item. Every
unbroken run of what a model produced (reasoning, text, calls) is one unit, together with the outputs of its calls wherever
they stand: dropping or keeping a unit whole never separates a call from its output, nor a call from the reasoning that a
provider wants beside it. A unit is *open* while one of its calls has no output.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from adapter.hub.events import Item
from adapter.wire.jsonio import same

TRIGGER: Final = "compaction_trigger"
REFERENCE: Final = "item_reference"
COMPACTIONS: Final = frozenset({"compaction", "compaction_summary", "context_compaction"})
"""`compaction_summary` is Codex's other spelling; `context_compaction` its marker, with or without a blob."""
EXPANDED: Final = COMPACTIONS | {"reasoning"}
"""Types of items that may stand for something else."""

CALLS: Final = {
    "function_call": "call_id",
    "custom_tool_call": "call_id",
    "tool_search_call": "call_id",
    "local_shell_call": "call_id",
    "shell_call": "call_id",
    "apply_patch_call": "call_id",
    "computer_call": "call_id",
    "mcp_approval_request": "id",
}
"""Items that the client must answer, and the field that names them. Calls a server ran itself are not among them."""

OUTPUTS: Final = {
    "function_call_output": "call_id",
    "custom_tool_call_output": "call_id",
    "tool_search_output": "call_id",
    "local_shell_call_output": "call_id",
    "shell_call_output": "call_id",
    "apply_patch_call_output": "call_id",
    "computer_call_output": "call_id",
    "mcp_approval_response": "approval_request_id",
}

PREFACE: Final = (
    "Another language model started to solve this problem and produced a summary of the conversation so far. "
    "The history before this point was replaced by it. Build on the work that has already been done and avoid repeating "
    "it; tool calls that the summary reports were really made. The summary:"
)
CUT_OFF: Final = "[the summary was cut off here]"
"""The end of a summary that reached its limit: better than none, and whoever reads it should know."""
_SUMMARY_BEGINS: Final = "Another language model started to solve this problem and produced a summary"
"""Ours and Codex's own local summaries begin so: neither is a message that its user wrote."""


class Voice(Enum):
    """Who an item comes from, as far as compaction asks."""

    INSTRUCTION = "instruction"
    USER = "user"
    SUMMARY = "summary"
    MODEL = "model"
    OUTPUT = "output"


@dataclass(slots=True)
class Unit:
    """Items that are kept or dropped together, by their indices in ascending order."""

    voice: Voice
    indices: list[int] = field(default_factory=list)
    waiting: Counter[str] = field(default_factory=Counter)
    """Names of calls that have no output yet, and how many calls bear each."""
    beside: set[str] = field(default_factory=set)
    """Names of calls that run beside the conversation (`async`)."""

    @property
    def open(self) -> bool:
        return bool(self.waiting)

    @property
    def running(self) -> bool:
        """It is open, and the conversation may go on meanwhile: every output that it waits for may come in any later turn."""
        return self.open and self.waiting.keys() <= self.beside

    def answer(self, name: str) -> None:
        """One of its calls that bear this name has its output."""
        self.waiting[name] -= 1
        if not self.waiting[name]:
            del self.waiting[name]


def type_of(item: Item) -> str:
    """The item's type; "" for what is no type at all."""
    type_ = item.get("type")
    return type_ if isinstance(type_, str) else ""


def voice(item: Item) -> Voice:
    """Who `item` comes from; whatever is not known counts as the model's."""
    type_ = type_of(item)
    if type_ == "message":
        match item.get("role"):
            case "system" | "developer":
                return Voice.INSTRUCTION
            case "user":
                return Voice.SUMMARY if is_summary(item) else Voice.USER
            case _:
                return Voice.MODEL
    if type_ == "additional_tools":  # Codex sends its tools as a developer item
        return Voice.INSTRUCTION
    if type_ in COMPACTIONS:
        return Voice.SUMMARY
    return Voice.OUTPUT if type_ in OUTPUTS else Voice.MODEL


def is_summary(item: Item) -> bool:
    """Whether a user message is a summary that stands for an earlier history."""
    return first_text(item).startswith(_SUMMARY_BEGINS)


def first_text(item: Item) -> str:
    """The text that a message begins with, "" where it begins with something else."""
    content = item.get("content")
    if isinstance(content, list) and content and isinstance(content[0], dict):
        content = content[0].get("text")
    return content if isinstance(content, str) else ""


def summary_text(text: str) -> str:
    """A summary as every model understands it."""
    return f"{PREFACE}\n\n{text}"


def summary_message(text: str) -> Item:
    """A summary as every upstream understands it."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": summary_text(text)}]}


def units(items: Sequence[Item]) -> list[Unit]:
    """The history in units, ordered by where each begins. An output answers the earliest call of its name before it; one
    more output than calls belongs to the last of them, and a call said again while it waits to the first saying."""
    found: list[Unit] = []
    callers: dict[str, deque[tuple[Unit, Item]]] = {}
    answered: dict[str, Unit] = {}
    run: Unit | None = None
    for index, item in enumerate(items):
        speaker = voice(item)
        unit = run if speaker is Voice.MODEL else None
        called, asked = called_name(item), answered_name(item)
        if asked is not None:
            if waiting := callers.get(asked):
                answered[asked], _ = waiting.popleft()
                answered[asked].answer(asked)
            unit = answered.get(asked)
        elif called is not None and callers.get(called) and _same_call(callers[called][-1][1], item):
            callers[called][-1][0].indices.append(index)
            continue
        if unit is None:
            unit = Unit(speaker)
            found.append(unit)
        unit.indices.append(index)
        run = unit if speaker is Voice.MODEL else None
        if called is not None:
            unit.waiting[called] += 1
            if item.get("async"):
                unit.beside.add(called)
            callers.setdefault(called, deque()).append((unit, item))
    return found


def unanswered(items: Sequence[Item], unit: Unit) -> list[int]:
    """The indices of the calls in this unit of `items` that have no output yet."""
    return [index for index in unit.indices if called_name(items[index]) in unit.waiting] if unit.open else []


def is_orphan(items: Sequence[Item], unit: Unit) -> bool:
    """Whether this unit of `items` is an output without its call; what a tool says that nobody called is none."""
    return answered_name(items[unit.indices[0]]) is not None


def _same_call(one: Item, other: Item) -> bool:
    return all(same(one.get(key), other.get(key)) for key in (*one, *other) if key not in ("id", "status"))


def called_name(item: Item) -> str | None:
    """The name under which the client must answer this item; None where it need not."""
    key = CALLS.get(type_of(item))
    if key is None or item.get("execution") == "server":
        return None
    return _name(item, key)


def answered_name(item: Item) -> str | None:
    """The name of the call that this item answers."""
    key = OUTPUTS.get(type_of(item))
    return None if key is None else _name(item, key)


def _name(item: Item, key: str) -> str | None:
    """Local shell items may carry their name in `id` alone."""
    name: Any = item.get(key)
    if name is None and type_of(item).startswith("local_shell"):
        name = item.get("id")
    return name if isinstance(name, str) else None
