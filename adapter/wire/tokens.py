"""Random names. The kernel is asked for many at once: for each by itself it took 2 % of a plain request's CPU."""

from __future__ import annotations

import os

_AT_ONCE = 256
_BYTES = 16

_left: list[str] = []
os.register_at_fork(after_in_child=_left.clear)


def token() -> str:
    """32 hexadecimal digits that nobody has seen or can guess: also a UUID, which some servers want of every `x-request-id`."""
    if not _left:
        digits = os.urandom(_AT_ONCE * _BYTES).hex()
        _left.extend(digits[start : start + 2 * _BYTES] for start in range(0, len(digits), 2 * _BYTES))
    return _left.pop()
