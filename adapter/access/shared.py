"""The ledger of many processes and machines: Redis or Valkey, one script for each verb.

Time is the server's, so that replicas with different clocks agree on windows. All keys carry one hash tag and so live on one
node of a cluster: a reservation is atomic over all counters of a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from adapter.access.ledger import LEASE_SECONDS, Move, Starts, Verdict, levels
from adapter.access.limits import Counter
from adapter.errors import ConfigError, LimitsUnavailable

_PREFIX: Final = "{adapter}:limits:"
_WITHIN: Final = 2.0
"""Seconds for one verb, the wait for a connection included."""
_CONNECTIONS: Final = 32
SCHEMES: Final = ("redis", "rediss", "unix", "valkey", "valkeys")

# KEYS: the counters. ARGV: lease, lease seconds, then for each counter its seconds (0: leases), limit and take.
# Answers: the first counter without room (0: all was taken), the time, then the amounts.
_RESERVE: Final = """
local t = redis.call('TIME')
local now = tonumber(t[1])
local used, refused = {}, 0
for i, key in ipairs(KEYS) do
  local seconds, limit, take = tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1]), tonumber(ARGV[i * 3 + 2])
  if seconds == 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    used[i] = redis.call('ZCARD', key)
  else
    local kept = redis.call('HMGET', key, 'w', 'n')
    used[i] = 0
    if kept[1] and tonumber(kept[1]) == math.floor(now / seconds) then used[i] = tonumber(kept[2]) end
  end
  if refused == 0 and used[i] + take > limit then refused = i end
end
if refused == 0 then
  for i, key in ipairs(KEYS) do
    local seconds, take = tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 2])
    used[i] = used[i] + take
    if seconds == 0 then
      redis.call('ZADD', key, now + tonumber(ARGV[2]), ARGV[1])
      redis.call('EXPIRE', key, 86400)
    else
      redis.call('HSET', key, 'w', math.floor(now / seconds), 'n', used[i])
      redis.call('EXPIRE', key, seconds * 2)
    end
  end
end
return {refused, now, unpack(used)}
"""

# KEYS: the counters. ARGV: lease, then for each counter its seconds (0: leases), window, and what was used beyond the
# reservation (negative: what goes back).
_SETTLE: Final = """
local t = redis.call('TIME')
for i, key in ipairs(KEYS) do
  local seconds, window, more = tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1])
  if seconds == 0 then
    redis.call('ZREM', key, ARGV[1])
  else
    local current = math.floor(tonumber(t[1]) / seconds)
    if more > 0 or current == window then
      local kept = redis.call('HMGET', key, 'w', 'n')
      local used = 0
      if kept[1] and tonumber(kept[1]) == current then used = tonumber(kept[2]) end
      redis.call('HSET', key, 'w', current, 'n', math.max(used + more, 0))
      redis.call('EXPIRE', key, seconds * 2)
    end
  end
end
return 0
"""

# KEYS: the leases' counters. ARGV: lease seconds, then the lease of each.
_RENEW: Final = """
local now = tonumber(redis.call('TIME')[1])
for i, key in ipairs(KEYS) do redis.call('ZADD', key, 'XX', now + tonumber(ARGV[1]), ARGV[i + 1]) end
return 0
"""


class Shared:
    """The ledger behind a `redis://` URL."""

    def __init__(self, url: str, tasks: Starts) -> None:
        """Connects with the first verb.

        Raises:
            ConfigError: the client library is not installed, or this is no such URL.
        """
        try:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.exceptions import RedisError
        except ImportError:
            raise ConfigError(
                "limits.storage: install the extra: pip install 'responses-chat-adapter[redis]'"
            ) from None
        try:
            pool = BlockingConnectionPool.from_url(
                url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
                max_connections=_CONNECTIONS,
                timeout=_WITHIN,
                socket_timeout=_WITHIN,
                socket_connect_timeout=_WITHIN,
            )
        except ValueError:
            raise ConfigError("limits.storage: not a URL of a Redis or Valkey server") from None
        self._tasks = tasks
        self._settling: set[asyncio.Task[None]] = set()
        self._redis = Redis(connection_pool=pool)
        self._errors: tuple[type[Exception], ...] = (RedisError, OSError)
        self._scripts = {text: self._redis.register_script(text) for text in (_RESERVE, _SETTLE, _RENEW)}

    async def reserve(self, counters: Sequence[Counter], takes: Sequence[int], lease: str) -> Verdict:
        reserving = self._tasks.start(self._reserve(counters, takes, lease))
        try:
            # not cancelled with its request: what was taken by then must be known, to be given back
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            reserving.add_done_callback(lambda done: self._give_back(done, counters, takes, lease))
            raise

    async def _reserve(self, counters: Sequence[Counter], takes: Sequence[int], lease: str) -> Verdict:
        args: list[Any] = [lease, LEASE_SECONDS]
        for counter, take in zip(counters, takes, strict=True):
            args += (counter.measure.seconds, counter.limit, take)
        refused, now, *used = await self._run(_RESERVE, counters, args)
        windows = tuple(now // (counter.measure.seconds or 1) for counter in counters)
        return Verdict(refused - 1 if refused else None, levels(counters, used, now), windows)

    def _give_back(
        self, done: asyncio.Task[Verdict], counters: Sequence[Counter], takes: Sequence[int], lease: str
    ) -> None:
        if not done.cancelled() and done.exception() is None and done.result().refused is None:
            windows = done.result().windows
            self.settle([Move(c, w, take, 0) for c, w, take in zip(counters, windows, takes, strict=True)], lease)

    def settle(self, moves: Sequence[Move], lease: str) -> None:
        task = self._tasks.start(self._settle(moves, lease))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, moves: Sequence[Move], lease: str) -> None:
        args: list[Any] = [lease]
        for move in moves:
            args += (move.counter.measure.seconds, move.window, move.used - move.reserved)
        with suppress(LimitsUnavailable):  # the window ends and the lease lapses
            await self._run(_SETTLE, [move.counter for move in moves], args)

    async def renew(self, leases: Collection[tuple[Counter, str]]) -> None:
        if leases:
            args = [LEASE_SECONDS, *(lease for _, lease in leases)]
            await self._run(_RENEW, [counter for counter, _ in leases], args)

    async def close(self) -> None:
        if self._settling:
            await asyncio.wait(self._settling, timeout=_WITHIN)
        await self._redis.aclose(close_connection_pool=True)

    async def _run(self, script: str, counters: Sequence[Counter], args: Sequence[Any]) -> Any:
        keys = [_PREFIX + counter.name for counter in counters]
        try:
            async with asyncio.timeout(_WITHIN):
                return await cast(Awaitable[Any], self._scripts[script](keys=keys, args=args))
        except self._errors as error:
            raise LimitsUnavailable("The store of limits does not answer; try again.", retry_after=1) from error
