"""Rate limits that every server with the same Redis counts together.

Each window is a key of its own, which expires with it. A script counts a request, if it is allowed,
in one message there and back; requests that come while one is on its way share the next. While
Redis is away, or too slow to wait for, each server counts by itself, as one without Redis does.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable

import msgspec
import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from control.auth.rate_limits import (
    HOUR_S,
    MINUTE_S,
    Limit,
    RateLimits,
    Standing,
    standing_of,
)

DEADLINE_S = 0.25
"""So long Redis may take for a message, connecting included."""
PAUSE_S = 1.0
"""After a failure nobody asks for so long; then one request does."""
MOST_AT_ONCE = 200
"""Requests in a message: about a millisecond of Redis, which does nothing else meanwhile."""
CLOCKS_DIFFER_S = 10
"""So much longer than its window a key stays: for servers whose clocks are late."""
PREFIX = "voicecore:limits:"

_TAKE = """
local function has_room(bound, used)
    return tonumber(bound) == 0 or used < tonumber(bound)
end
local answers = {}
for at = 0, #KEYS / 2 - 1 do
    local keys = {KEYS[2 * at + 1], KEYS[2 * at + 2]}
    local counts, per_minute, per_hour = ARGV[5 * at + 1], ARGV[5 * at + 2], ARGV[5 * at + 3]
    local minute = tonumber(redis.call('GET', keys[1]) or 0)
    local hour = tonumber(redis.call('GET', keys[2]) or 0)
    if counts == '1' and has_room(per_minute, minute) and has_room(per_hour, hour) then
        for which = 1, 2 do
            if redis.call('INCR', keys[which]) == 1 then
                redis.call('EXPIRE', keys[which], ARGV[5 * at + 3 + which])
            end
        end
    end
    answers[#answers + 1] = minute
    answers[#answers + 1] = hour
end
return answers
"""
"""Of each request its two keys, and: whether it counts, the two limits, how many seconds the keys
live. Answers how often its caller has asked in the minute and in the hour, before it is counted."""

log = structlog.get_logger("control.limits")


class RedisAway(Exception):
    """Redis refuses, is not there, or takes too long; the text says which."""


class _Asked(msgspec.Struct):
    """A request that is to be counted."""

    keys: tuple[str, str]
    values: tuple[int, ...]
    used: asyncio.Future[tuple[int, int]]


class SharedLimits:
    """Counts in Redis, and in this process while Redis is away."""

    waits = True

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is connected before the first request.

        :param url: ``redis://``, ``rediss://`` or ``unix://``."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=1,
            timeout=DEADLINE_S,
            socket_timeout=DEADLINE_S,
            socket_connect_timeout=DEADLINE_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._redis = Redis.from_pool(pool)
        self._take = self._redis.register_script(_TAKE)
        self._waiting: list[_Asked] = []
        self._asking: asyncio.Task[None] | None = None
        self._own = RateLimits()
        self._clock = clock
        self._is_away = False
        self._next_try_s = 0.0

    async def take(self, key: str, limit: Limit, now_s: float, *, counts: bool = True) -> Standing:
        """Count a request of this caller; or only look whether one would be allowed."""
        is_trial = self._is_away
        if is_trial:
            if self._clock() < self._next_try_s:
                return await self._own.take(key, limit, now_s, counts=counts)
            self._next_try_s = self._clock() + PAUSE_S  # of all that come now, this one tries
        try:
            standing = await self.ask(key, limit, now_s, counts=counts)
        except RedisAway as error:
            self._went_away(error)
            return await self._own.take(key, limit, now_s, counts=counts)
        if is_trial:
            self._is_away = False
            log.info("Redis answers again", code="redis_back")
        return standing

    async def ask(self, key: str, limit: Limit, now_s: float, *, counts: bool = True) -> Standing:
        """As ``take``, of Redis alone.

        :raises RedisAway: it does not answer."""
        minute, hour = int(now_s // MINUTE_S), int(now_s // HOUR_S)
        place = PREFIX + _digest(key)
        lives_s = [
            (window + 1) * width_s - int(now_s) + CLOCKS_DIFFER_S
            for window, width_s in ((minute, MINUTE_S), (hour, HOUR_S))
        ]
        asked = _Asked(
            (f"{place}:m{minute}", f"{place}:h{hour}"),
            (int(counts), limit.per_minute, limit.per_hour, *lives_s),
            asyncio.get_running_loop().create_future(),
        )
        self._waiting.append(asked)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_for_all())
        in_minute, in_hour = await asked.used
        return standing_of(limit, in_minute, in_hour, minute, hour)

    async def close(self) -> None:
        """Disconnect."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        self._give_up([], "the server ends")  # one that had not begun tells nobody
        await self._redis.aclose()

    async def _ask_for_all(self) -> None:
        """Ask for those who wait, as long as somebody does."""
        batch: list[_Asked] = []
        try:
            while self._waiting:
                batch = [one for one in self._waiting[:MOST_AT_ONCE] if not one.used.done()]
                del self._waiting[:MOST_AT_ONCE]
                try:
                    await self._ask_for(batch)
                except (RedisError, OSError) as error:
                    why = f"{type(error).__name__}: {str(error) or 'no answer in time'}"
                    self._give_up(batch, why[:200])
                    # A server that began anew has closed it, which would be one more failure.
                    await self._redis.connection_pool.disconnect()
        finally:
            self._give_up(batch, "nobody asks any more")

    async def _ask_for(self, batch: list[_Asked]) -> None:
        keys = [key for one in batch for key in one.keys]
        values = [value for one in batch for value in one.values]
        async with asyncio.timeout(DEADLINE_S):
            used = await self._take(keys=keys, args=values)
        for number, one in enumerate(batch):
            if not one.used.done():  # who asked is still there
                one.used.set_result((used[2 * number], used[2 * number + 1]))

    def _give_up(self, batch: list[_Asked], why: str) -> None:
        """On these, and on those who came meanwhile."""
        for one in (*batch, *self._waiting):
            if not one.used.done():
                one.used.set_exception(RedisAway(why))
        self._waiting.clear()

    def _went_away(self, error: RedisAway) -> None:
        self._next_try_s = self._clock() + PAUSE_S
        if not self._is_away:
            self._is_away = True
            log.warning(
                "Redis does not answer: requests are counted by this process alone",
                code="redis_away",
                detail=str(error),
            )


def _digest(key: str) -> str:
    """Keys may hold addresses and anything that callers write, in any length."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
