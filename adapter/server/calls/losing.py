"""What is told of what a request could not carry: policy `losses` of `[server]`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from adapter.errors import LossRejected
from adapter.hub.losses import Action, Loss, Policy
from adapter.server.turn import Turn

_LOSSES: Final = 20
_LOSSES_BYTES: Final = 2048
_UNSAFE: Final = re.compile(r"[^\x21-\x7e]|[,;]")


def report(turn: Turn, losses: Sequence[Loss], policy: Policy) -> None:
    """Tell of what was not told of yet.

    Raises:
        LossRejected: the policy is to reject.
    """
    if not losses:
        return
    new = [loss for loss in losses if loss not in turn.losses]
    turn.losses += new
    match policy:
        case "reject":
            _check(new)
        case "report" if new:
            turn.outlet.headers.append((b"x-adapter-losses", _header(new)))
        case _:
            pass


def _check(losses: Sequence[Loss]) -> None:
    """Policy `reject`.

    Raises:
        LossRejected: something would be left out or said differently; what is emulated is not lost.
    """
    for loss in losses:
        if loss.action is not Action.EMULATED:
            raise LossRejected(f"{loss.reason} ({loss.action.value})", param=loss.path)


def _header(losses: Sequence[Loss]) -> bytes:
    """`path;action` for the first losses, never more than 2 kB."""
    entries: list[str] = []
    size = 0
    for loss in losses[:_LOSSES]:
        entry = f"{_UNSAFE.sub('_', loss.path)};{loss.action.value}"
        size += len(entry) + 2
        if size > _LOSSES_BYTES:
            break
        entries.append(entry)
    return ", ".join(entries).encode("ascii")
