"""Admission by key, before anything of a body is read.

Unknown, revoked and expired keys get one answer. Whoever sends many of them from one address is told to wait instead, which
costs nobody else anything: a good key is admitted from any address, so that a proxy in front may be shared by all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from adapter.access.caller import Caller
from adapter.access.keys import Keys
from adapter.errors import RateLimited, Unauthorized
from adapter.wire.headers import Headers, credential

_BURST: Final = 20.0
"""Wrong keys at once, from one address: a client that retries with an old key stays below."""
_PER_SECOND: Final = 0.5
_ADDRESSES: Final = 10_000
"""Addresses remembered; the one that was quiet longest is forgotten first."""
_HOW: Final = (
    "Send the key that you were given as 'Authorization: Bearer <key>', 'x-api-key: <key>' or 'api-key: <key>'."
)


class KeyGate:
    """Admits callers by their key."""

    def __init__(self, keys: Keys, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self._keys = keys
        self._guesses = Guesses(clock)

    def admit(self, headers: Headers, peer: str) -> Caller:
        """The caller behind these header fields.

        Raises:
            Unauthorized: no key, or an unknown one.
            HostileRequest: two different ones.
            RateLimited: too many wrong ones from this address.
        """
        secret = credential(headers)
        if secret is None:
            raise Unauthorized(f"There is no API key in the request. {_HOW}")
        key = self._keys.find(secret)
        if key is not None:
            return Caller(tenant=key.owner, key_id=key.id, groups=key.groups)
        if (wait := self._guesses.wrong(peer)) is not None:
            raise RateLimited("Too many requests with a wrong API key came from this address.", retry_after=wait)
        raise Unauthorized(f"The API key is not valid. {_HOW} If it worked before, it was revoked or rotated.")


class Guesses:
    """Counts wrong keys by address: a bucket that leaks."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wrong(self, peer: str) -> int | None:
        """One more from this address; seconds to wait once there were too many."""
        address, now = network(peer), self._clock()
        level, at = self._levels.pop(address, (0.0, now))
        level = max(level - (now - at) * _PER_SECOND, 0.0) + 1
        over = level > _BURST
        self._levels[address] = (min(level, _BURST + 1), now)
        if len(self._levels) > _ADDRESSES:
            self._levels.popitem(last=False)
        return max(1, round((level - _BURST) / _PER_SECOND)) if over else None


def network(peer: str) -> str:
    """What one guesser has of addresses: one of IPv4, a /64 of IPv6."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return address.exploded[:19]
    return peer
