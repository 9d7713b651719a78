"""What could not be carried, as values. Converters return them; nothing is dropped in silence.

A *loss* is something that one side said and the other will not hear, or will hear differently: a client of its upstream, in
the request, or an upstream of its client, in the answer.
An *anomaly* is about the answer only: something the upstream did that its own API does not allow and that was mended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Policy: TypeAlias = Literal["report", "reject", "ignore"]
"""What a server does about losses."""


class Action(Enum):
    """What was done with the thing that could not be carried."""

    DROPPED = "dropped"
    APPROXIMATED = "approximated"
    EMULATED = "emulated"


class Loss(NamedTuple):
    """One thing that the other side does not get as it was said."""

    path: str
    """JSON path in the body of whoever said it, `input[3].content[0]`, or as near as is known; never a value."""
    action: Action
    kind: str
    """A word from a closed vocabulary, fit for a metric label: the field or type concerned (`logit_bias`, `web_search`)."""
    reason: str
    """One sentence for a human; holds no user data."""


def unknown_fields(path: str, holder: Mapping[str, Any], known: frozenset[str]) -> list[Loss]:
    """A loss for each key of the object at `path` that is not among `known` and says something."""
    if known.issuperset(holder):
        return []
    return [_unknown(path, key) for key, value in holder.items() if key not in known and value is not None]


def _unknown(path: str, key: str) -> Loss:
    path = f"{path}.{key[:64]}" if path else key[:64]
    return Loss(path, Action.DROPPED, "unknown_field", "Not a field that can be carried.")


Fields: TypeAlias = Mapping[str, "Fields | None"]
"""The fields of an object that are known -> those of the objects in them, None where they are not looked into."""


def unread(path: str, given: Any, known: Fields) -> Iterator[Loss]:
    """As `unknown_fields`, for the objects in the value at `path` and in lists there, as deep as fields are known; what is
    empty says nothing."""
    if type(given) is list:
        for number, one in enumerate(given):
            if type(one) is dict:
                yield from unread(f"{path}[{number}]", one, known)
    elif type(given) is dict:
        for key, value in given.items():
            if value and key not in known:
                yield _unknown(path, key)
            elif value and (within := known[key]) is not None:
                yield from unread(f"{path}.{key}" if path else key, value, within)


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


class LossLog:
    """The losses of one answer, each path once, and not all of a server that has another one in every chunk."""

    __slots__ = ("_paths",)

    def __init__(self) -> None:
        self._paths: dict[str, Loss] = {}

    def __call__(self, losses: Iterable[Loss]) -> None:
        """Takes note of some."""
        for loss in losses:
            if len(self._paths) < _MOST:
                self._paths.setdefault(loss.path, loss)

    @property
    def found(self) -> tuple[Loss, ...]:
        """Those so far."""
        return tuple(self._paths.values())


_MOST: Final = 64
