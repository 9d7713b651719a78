"""Names and call ids that do not fit a server, replaced by a deterministic hash.

Hashed, never cut: two long ids with the same beginning must stay two. The same id gives the same replacement wherever it
occurs, so a call and its output stay a pair and nothing has to be remembered for them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import blake2b
from typing import Final

from adapter.upstream.profiles import CallIdRule

LONGEST_CALL_ID: Final = CallIdRule()
"""What every server that speaks Responses takes, and every client of either API gives back; the shorter limits of profiles are
those of Chat servers."""
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_WORD: Final = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN_LENGTH: Final = 24
"""24 base-62 digits are 142 bits: no two ids of one conversation ever meet."""
_NAME_HASH_LENGTH: Final = 8
"""47 bits: enough to keep the tools of one request apart, and a name stays readable."""


def fitted_call_id(id: str, rule: CallIdRule) -> str:
    """`id` where the rule takes it, else its hash: `call_<token>`, or the bare token where only letters and digits pass.

    Under `alnum` the length is exact, as the servers that are this strict want it.
    """
    if rule.alphabet == "alnum":
        if len(id) == rule.max and id.isascii() and id.isalnum():
            return id
        return _token(id, rule.max)
    if 0 < len(id) <= rule.max and (rule.alphabet == "any" or _WORD.fullmatch(id)):
        return id
    return ("call_" + _token(id, _TOKEN_LENGTH))[: rule.max] if rule.max > 16 else _token(id, rule.max)


def other_call_id(id: str, rule: CallIdRule, taken: Collection[str]) -> str:
    """As `fitted_call_id`, where that is among those that are `taken` by other calls."""
    again = len(taken) + 1
    while (other := fitted_call_id(f"{id}_{again}", rule)) in taken:
        again += 1
    return other


def fitted_name(name: str, max: int) -> str:
    """`name` where it is short enough, else as much of its beginning as fits before `_` and a hash of the whole."""
    if len(name) <= max:
        return name
    hashed = _token(name, min(_NAME_HASH_LENGTH, max))
    kept = name[: max - len(hashed) - 1] if max > len(hashed) + 1 else ""
    return f"{kept}_{hashed}" if kept else hashed


def _token(text: str, length: int) -> str:
    number = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).digest(), "big")
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(digits)
