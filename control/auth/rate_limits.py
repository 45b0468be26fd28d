"""How often somebody may ask: so many in a minute, and so many in an hour. The windows are pure."""

from collections import OrderedDict
from typing import Protocol

import msgspec

MINUTE_S, HOUR_S = 60, 3600
MOST_KEYS = 100_000
"""So many callers are counted; the one that was away longest is forgotten first."""


class Limit(msgspec.Struct, frozen=True):
    """0: no such bound; of the two there is one at least."""

    per_minute: int
    per_hour: int = 0


TIERS = {
    "standard": Limit(60, 1_000),
    "premium": Limit(120, 5_000),
    "enterprise": Limit(300, 10_000),
}
"""Of OAuth clients, by the API's document; and of a workspace's API keys together."""


class Standing(msgspec.Struct, frozen=True):
    """What the three headers tell, and whether the request is one too many."""

    allowed: bool
    limit: int
    remaining: int
    reset_at_s: int
    """When the window ends that runs out first, as Unix time."""


class Windows:
    """Fixed windows, aligned to the clock, of many callers."""

    def __init__(self, most_keys: int = MOST_KEYS) -> None:
        self._counts: OrderedDict[str, tuple[int, int, int, int]] = OrderedDict()
        self._most = most_keys

    def __len__(self) -> int:
        return len(self._counts)

    def take(self, key: str, limit: Limit, now_s: float, *, counts: bool = True) -> Standing:
        """Count a request, if it is allowed; or only look."""
        minute, hour = int(now_s // MINUTE_S), int(now_s // HOUR_S)
        last = self._counts.get(key, (minute, 0, hour, 0))
        in_minute = last[1] if last[0] == minute else 0
        in_hour = last[3] if last[2] == hour else 0
        standing = standing_of(limit, in_minute, in_hour, minute, hour)
        if not counts:
            return standing
        if standing.allowed:
            in_minute, in_hour = in_minute + 1, in_hour + 1
        self._counts[key] = (minute, in_minute, hour, in_hour)
        self._counts.move_to_end(key)
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        return standing


def standing_of(limit: Limit, in_minute: int, in_hour: int, minute: int, hour: int) -> Standing:
    """Of a caller who has asked so often before, in these windows."""
    windows = (
        (limit.per_minute, in_minute, (minute + 1) * MINUTE_S),
        (limit.per_hour, in_hour, (hour + 1) * HOUR_S),
    )
    left = [(bound - used, bound, ends_s) for bound, used, ends_s in windows if bound]
    # Of two windows that are full the longer one counts.
    remaining, bound, ends_s = min(left, key=lambda one: (max(one[0], 0), -one[2]))
    allowed = remaining > 0
    return Standing(allowed, bound, max(remaining - 1, 0) if allowed else 0, ends_s)


class Limits(Protocol):
    """Counts callers, wherever the counts are kept."""

    waits: bool
    """Whether somebody else is asked, for whom nothing should be held meanwhile."""

    async def take(self, key: str, limit: Limit, now_s: float, *, counts: bool = True) -> Standing:
        """Count a request of this caller; or only look whether one would be allowed."""
        ...

    async def close(self) -> None:
        """Let go of where the counts are kept."""
        ...


class RateLimits:
    """Counts in this process."""

    waits = False

    def __init__(self) -> None:
        self._windows = Windows()

    async def take(self, key: str, limit: Limit, now_s: float, *, counts: bool = True) -> Standing:
        """Count a request of this caller; or only look whether one would be allowed."""
        return self._windows.take(key, limit, now_s, counts=counts)

    async def close(self) -> None:
        """Nothing is held."""
