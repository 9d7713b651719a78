"""What a checker reports."""

from __future__ import annotations

from typing import NamedTuple


class Violation(NamedTuple):
    """One rule of a grammar that one event broke."""

    code: str
    """The rule, in a word or two: `seq`, `text.mismatch`, `item.after_done`."""
    where: str
    """The event: `event[3]`, `chunk[0].choices[0]`, `end`."""
    message: str

    def __str__(self) -> str:
        return f"{self.code} at {self.where}: {self.message}"


def shown(value: object, length: int = 60) -> str:
    """`value` for a message, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"
