"""What could not be carried, as values. Converters return them; nothing is dropped in silence.

A *loss* is about the request: something the client said that the upstream will not hear, or will hear differently.
An *anomaly* is about the answer: something the upstream did that its own API does not allow and that was mended.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, NamedTuple, TypeAlias

Policy: TypeAlias = Literal["report", "reject", "ignore"]
"""What a server does about losses."""


class Action(Enum):
    """What was done with the thing that could not be carried."""

    DROPPED = "dropped"
    APPROXIMATED = "approximated"
    EMULATED = "emulated"


class Loss(NamedTuple):
    """One thing of the request that the upstream does not get as it was said."""

    path: str
    """JSON path in the client's own body, `input[3].content[0]`; never a value."""
    action: Action
    kind: str
    """A word from a closed vocabulary, fit for a metric label: the field or type concerned (`logit_bias`, `web_search`)."""
    reason: str
    """One sentence for a human; holds no user data."""


def unknown_fields(path: str, holder: Mapping[str, Any], known: frozenset[str]) -> list[Loss]:
    """A loss for each key of the object at `path` that is not among `known` and says something."""
    if holder.keys() <= known:
        return []
    return [
        Loss(f"{path}.{key[:64]}", Action.DROPPED, "unknown_field", "Not a field that can be carried.")
        for key, value in holder.items()
        if key not in known and value is not None
    ]


class Anomaly(NamedTuple):
    """One thing the upstream did against its own API; the answer was mended."""

    kind: str
    """A word from a closed vocabulary, fit for a metric label: `finish_inferred`, `usage_estimated`."""
    detail: str = ""


class AnomalyLog:
    """The anomalies of one answer, each kind once: a server that errs in every chunk must not fill the memory."""

    __slots__ = ("_kinds", "found")

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        self.found: list[Anomaly] = []

    def __call__(self, kind: str) -> None:
        """Takes note of one anomaly."""
        if kind not in self._kinds:
            self._kinds.add(kind)
            self.found.append(Anomaly(kind))
