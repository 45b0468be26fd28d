"""Rate limits in Redis: one count for all who share it, and each its own while it is away."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis

from control.auth import shared_limits
from control.auth.rate_limits import TIERS, Limit, Standing, Windows
from control.auth.shared_limits import CLOCKS_DIFFER_S, MOST_AT_ONCE, PAUSE_S, SharedLimits
from tests.support.api import Api, served_from
from tests.support.postgres import fresh_database
from tests.support.redis import RedisServer, redis_server

NOW_S = 1_800_000_015.5
"""15.5 s into a minute, in the first minute of an hour."""
TWO = Limit(2, 3)
HOSTILE = [
    "",
    "{",
    "}{",
    "a}:m1{b",
    "a b\r\nFLUSHALL\r\n",
    "\0",
    "voicecore:limits:",
    "login:me@example.com:2001:db8::/64",
    "\ud800",
    "\udfff",
    "😀" * 100,
    "*3\r\n$3\r\nSET\r\n",
    "k" * 1_000_000,
    "k" * 999_999,
]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as started:
        yield started


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url) as client:
        yield client


class Hands:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, Redis answers in time, but where that is what is tried."""
    monkeypatch.setattr(shared_limits, "DEADLINE_S", 30.0)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def limits(server: RedisServer, clock: Hands) -> AsyncIterator[SharedLimits]:
    made = SharedLimits(server.url, clock)
    yield made
    await made.close()


async def remaining(limits: SharedLimits, key: str = "someone", limit: Limit = TIERS["standard"]):  # type: ignore[no-untyped-def]
    return (await limits.take(key, limit, NOW_S)).remaining


def codes(logs: list[Any]) -> list[str]:
    return [entry["code"] for entry in logs if str(entry.get("code", "")).startswith("redis_")]


class TestCounting:
    async def test_two_that_share_a_redis_have_one_count(
        self, server: RedisServer, limits: SharedLimits
    ) -> None:
        other = SharedLimits(server.url)
        takes = [await one.take("a", TWO, NOW_S) for one in (limits, other, limits, other)]
        ends_s = int(NOW_S // 60 + 1) * 60
        assert takes == [
            Standing(True, 2, 1, ends_s),
            Standing(True, 2, 0, ends_s),
            Standing(False, 2, 0, ends_s),
            Standing(False, 2, 0, ends_s),
        ]
        assert (await other.take("b", TWO, NOW_S)).remaining == 1
        await other.close()

    @pytest.mark.parametrize("seed", range(5))
    async def test_it_counts_as_a_process_does(self, limits: SharedLimits, seed: int) -> None:
        chance, own, now_s = random.Random(seed), Windows(), NOW_S
        bounds = [TWO, Limit(3), Limit(0, 4), TIERS["standard"]]
        for _ in range(200):
            now_s += chance.choice([0, 0.5, 20, 61, 1000])
            key, counts = chance.choice("abc"), chance.random() < 0.8
            limit = bounds["abc".index(key) if chance.random() < 0.9 else 3]
            expected = own.take(key, limit, now_s, counts=counts)
            assert await limits.take(key, limit, now_s, counts=counts) == expected

    async def test_a_clock_that_is_late_counts_in_the_windows_of_its_own(
        self, limits: SharedLimits
    ) -> None:
        ends_s = int(NOW_S // 60 + 1) * 60
        assert (await limits.take("a", TWO, ends_s)).remaining == 1
        assert (await limits.take("a", TWO, ends_s - 1)).remaining == 1
        assert (await limits.take("a", Limit(2), ends_s)).remaining == 0

    async def test_keys_go_with_their_windows(self, limits: SharedLimits, redis: Redis) -> None:
        await limits.take("a", TWO, NOW_S)
        await limits.take("a", TWO, NOW_S + 30)
        lives_s = sorted([await redis.ttl(key) for key in await redis.keys()])
        assert 0 <= 60 - 15 + CLOCKS_DIFFER_S - lives_s[0] < 5
        assert 0 <= 3600 - 15 + CLOCKS_DIFFER_S - lives_s[1] < 5

    async def test_a_look_leaves_nothing(self, limits: SharedLimits, redis: Redis) -> None:
        assert (await limits.take("a", TWO, NOW_S, counts=False)).remaining == 1
        assert await redis.keys() == []

    async def test_hostile_keys_are_keys_like_others(
        self, limits: SharedLimits, redis: Redis
    ) -> None:
        for key in HOSTILE:
            assert (await limits.take(key, TWO, NOW_S)).remaining == 1, key[:40]
        for key in HOSTILE:
            assert (await limits.take(key, TWO, NOW_S)).remaining == 0, key[:40]
        kept = await redis.keys()
        assert len(kept) == 2 * len(HOSTILE)
        for key in kept:
            assert re.fullmatch(rb"voicecore:limits:[0-9a-f]{32}:[mh]\d+", key)

    async def test_many_at_once_are_counted_one_by_one(
        self, server: RedisServer, limits: SharedLimits
    ) -> None:
        other, limit = SharedLimits(server.url), Limit(MOST_AT_ONCE * 2 + 7)
        takes = [(limits, other)[n % 2].take("a", limit, NOW_S) for n in range(MOST_AT_ONCE * 5)]
        standings = await asyncio.gather(*takes)
        allowed = [one.remaining for one in standings if one.allowed]
        assert sorted(allowed) == list(range(limit.per_minute))
        await other.close()

    async def test_who_goes_away_takes_nobody_along(
        self, server: RedisServer, limits: SharedLimits
    ) -> None:
        await remaining(limits)
        server.hang()
        takes = [asyncio.create_task(remaining(limits, f"{n}")) for n in range(3)]
        await asyncio.sleep(0)
        takes[1].cancel()
        await asyncio.sleep(0)
        server.go_on()
        first, second, third = await asyncio.gather(*takes, return_exceptions=True)
        assert (first, third) == (59, 59)
        assert isinstance(second, asyncio.CancelledError)
        assert await remaining(limits) == 58

    async def test_who_waits_when_it_ends_is_told(
        self, server: RedisServer, limits: SharedLimits
    ) -> None:
        await remaining(limits)
        server.hang()
        take = asyncio.create_task(remaining(limits))
        await asyncio.sleep(0)
        await limits.close()
        assert await take == 59

    async def test_a_redis_that_forgot_the_script_is_told_it_again(
        self, limits: SharedLimits, redis: Redis
    ) -> None:
        assert (await limits.take("a", TWO, NOW_S)).remaining == 1
        await redis.script_flush()
        with structlog.testing.capture_logs() as logs:
            assert (await limits.take("a", TWO, NOW_S)).remaining == 0
        assert not codes(logs)


class TestOutage:
    async def test_it_counts_by_itself_until_redis_is_back(
        self, server: RedisServer, limits: SharedLimits, clock: Hands
    ) -> None:
        other = SharedLimits(server.url, clock)
        assert [await remaining(one) for one in (limits, other)] == [59, 58]
        server.go()
        with structlog.testing.capture_logs() as logs:
            for left in (59, 58, 57):
                assert await remaining(limits) == left
            clock.now_s += PAUSE_S
            assert await remaining(limits) == 56
        assert codes(logs) == ["redis_away"]
        server.come_back()
        with structlog.testing.capture_logs() as logs:
            assert await remaining(limits) == 55  # not asked yet
            clock.now_s += PAUSE_S
            assert await remaining(limits) == 59
            assert await remaining(other) == 58
        assert codes(logs) == ["redis_back"]
        await other.close()

    async def test_the_next_outage_is_told_too(
        self, server: RedisServer, limits: SharedLimits, clock: Hands
    ) -> None:
        with structlog.testing.capture_logs() as logs:
            for _ in range(2):
                server.go()
                await remaining(limits)
                server.come_back()
                clock.now_s += PAUSE_S
                await remaining(limits)
        assert codes(logs) == ["redis_away", "redis_back"] * 2

    async def test_one_that_hangs_is_waited_for_once_a_pause(
        self,
        server: RedisServer,
        limits: SharedLimits,
        clock: Hands,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        asked = 0
        ask = limits.ask

        async def counted(*values: Any, **more: Any) -> Standing:
            nonlocal asked
            asked += 1
            return await ask(*values, **more)

        monkeypatch.setattr(limits, "ask", counted)
        assert await remaining(limits) == 59
        server.hang()
        monkeypatch.setattr(shared_limits, "DEADLINE_S", 0.25)
        assert [await remaining(limits) for _ in range(20)] == list(range(59, 39, -1))
        assert asked == 2
        clock.now_s += PAUSE_S
        assert await remaining(limits) == 39
        assert await remaining(limits) == 38
        assert asked == 3
        server.go_on()
        monkeypatch.setattr(shared_limits, "DEADLINE_S", 30.0)
        clock.now_s += PAUSE_S
        # What it was asked while it hung it may have counted since.
        assert 56 <= await remaining(limits) <= 58

    async def test_one_that_refuses_is_as_one_that_is_away(self) -> None:
        with redis_server(password="open sesame") as server:
            limits = SharedLimits(f"redis://:wrong-word@127.0.0.1:{server.port}")
            with structlog.testing.capture_logs() as logs:
                assert [await remaining(limits) for _ in range(3)] == [59, 58, 57]
            assert codes(logs) == ["redis_away"]
            assert "wrong-word" not in str(logs)
            await limits.close()


@pytest.fixture
async def planes(server: RedisServer, tmp_path: Path) -> AsyncIterator[tuple[Api, Api]]:
    """Two servers with one database and one Redis, at one time that stands still."""
    settings = {"redis_url": server.url, "person_requests_per_min": 600}
    async with (
        fresh_database() as url,
        served_from(url, tmp_path / "one", **settings) as one,
        served_from(url, tmp_path / "two", **settings) as two,
    ):
        now = one.plane.now()
        one.plane.now = two.plane.now = lambda: now
        yield one, two


class TestTwoServers:
    async def test_they_refuse_what_is_too_much_for_both(self, planes: tuple[Api, Api]) -> None:
        one, two = planes
        token = await one.oauth(tier="standard")
        left = []
        for number in range(60):
            answer = await planes[number % 2].get("/api/v1/customers", token)
            assert (answer.status, answer.headers["X-RateLimit-Limit"]) == (200, "60")
            left.append(int(answer.headers["X-RateLimit-Remaining"]))
        assert left == list(range(59, -1, -1))
        for api in planes:
            answer = await api.get("/api/v1/customers", token)
            assert (answer.status, answer.code) == (429, "RATE_LIMIT_EXCEEDED")
            assert answer.headers["X-RateLimit-Remaining"] == "0"
            ends_s = int(answer.headers["X-RateLimit-Reset"])
            wait_s = int(answer.headers["Retry-After"])
            assert wait_s == max(ends_s - int(api.plane.now().timestamp()), 1) <= 60
        assert (await two.get("/api/v1/customers", await one.oauth())).status == 200

    async def test_failed_logins_are_counted_by_both_and_nobody_is_named(
        self, planes: tuple[Api, Api], redis: Redis
    ) -> None:
        one, _ = planes
        await one.person("somebody@example.com")
        body = {"email": "somebody@example.com", "password": "Wrong-Word-1"}
        statuses = [(await planes[n % 2].post("/auth/login", body)).status for n in range(11)]
        assert statuses == [401] * 10 + [429]
        kept = b" ".join(await redis.keys())
        assert kept.startswith(b"voicecore:")
        assert b"somebody" not in kept
        assert b"127.0.0.1" not in kept

    async def test_without_redis_each_counts_by_itself(
        self, planes: tuple[Api, Api], server: RedisServer
    ) -> None:
        clock = Hands()
        for api in planes:
            await api.plane.limits.close()
            api.plane.limits = SharedLimits(server.url, clock)
        _, token = await planes[0].person()

        async def left(api: Api) -> int:
            answer = await api.get("/auth/me", token)
            assert answer.status == 200
            return int(answer.headers["X-RateLimit-Remaining"])

        assert [await left(api) for api in planes] == [599, 598]
        server.go()
        with structlog.testing.capture_logs() as logs:
            assert [await left(api) for api in (*planes, *planes)] == [599, 599, 598, 598]
        assert codes(logs) == ["redis_away"] * 2
        server.come_back()
        clock.now_s += PAUSE_S
        assert [await left(api) for api in planes] == [599, 598]

    async def test_a_server_starts_without_redis(self, tmp_path: Path) -> None:
        settings = {"redis_url": "redis://127.0.0.1:9"}
        async with fresh_database() as url, served_from(url, tmp_path, **settings) as api:
            _, token = await api.person()
            assert (await api.get("/auth/me", token)).status == 200
