"""One caller has a part of the database's connections: whatever he asks, others are answered."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from control.auth.rate_limits import Limit, RateLimits, Standing
from control.db import audio, calls
from control.http.errors import Refused
from control.http.shares import Shares, share_of
from tests.support.api import ANSWERED_IN_S, Api
from tests.support.waiting import until

MANY = 20
ONE, OTHER = ("caller:one",), ("caller:other",)


@pytest.fixture
async def api(api: Api) -> Api:
    """Nobody is refused while the test makes others wait."""
    api.patient()
    return api


class TestShares:
    async def test_everybody_has_as_many_and_no_more(self) -> None:
        shares = Shares(2)
        assert [shares.take(ONE) for _ in range(3)] == [True, True, False]
        assert shares.take(OTHER)
        shares.leave(ONE)
        assert shares.take(ONE)

    async def test_of_two_names_both_must_have_room(self) -> None:
        shares = Shares(1)
        assert shares.take(("caller:one", "workspace:w"))
        assert not shares.take(("caller:two", "workspace:w"))
        assert shares.take(("caller:two", "workspace:v"))

    async def test_who_waits_for_one_does_not_wait_for_another(self) -> None:
        shares = Shares(1)
        full, empty = ("caller:one", "workspace:full"), ("caller:one", "workspace:empty")
        assert shares.take(("workspace:full",))
        waiting = asyncio.create_task(_enter(shares, full))
        await asyncio.sleep(0)
        assert shares.take(empty)
        shares.leave(empty)
        shares.leave(("workspace:full",))
        await waiting

    async def test_whoever_waits_comes_in_the_order_in_which_he_came(self) -> None:
        shares, came = Shares(1), []
        assert shares.take(ONE)

        async def wait(number: int) -> None:
            async with shares.entered(ONE):
                came.append(number)

        waiting = [asyncio.create_task(wait(number)) for number in range(3)]
        await asyncio.sleep(0)
        assert not came
        assert shares.take(OTHER), "he waits for nobody else's"
        shares.leave(ONE)
        assert not shares.take(ONE), "others were first"
        await asyncio.gather(*waiting)
        assert came == [0, 1, 2]
        assert shares.take(ONE)

    async def test_who_goes_away_leaves_nothing_behind(self) -> None:
        shares = Shares(1)
        assert shares.take(ONE)

        async def wait() -> None:
            async with shares.entered(ONE):
                pytest.fail("it was never his turn")

        gone = [asyncio.create_task(wait()) for _ in range(2)]
        await asyncio.sleep(0)
        gone[0].cancel()  # while he waits
        shares.leave(ONE)
        gone[1].cancel()  # in the moment of his turn
        await asyncio.gather(*gone, return_exceptions=True)
        assert all(task.cancelled() for task in gone)
        assert shares.take(ONE)
        shares.leave(ONE)
        assert not any((shares._here, shares._waiting, shares._queue))

    async def test_as_many_wait_as_may(self) -> None:
        shares = Shares(1, most_waiting=1, deadline_s=60)
        assert shares.take(ONE)
        waiting = asyncio.create_task(_enter(shares))
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await _enter(shares)
        assert refused.value.refusal.status == 429
        shares.leave(ONE)
        await waiting

    async def test_nobody_waits_for_ever(self) -> None:
        shares = Shares(1, deadline_s=0)
        assert shares.take(ONE)
        with pytest.raises(Refused) as refused:
            await _enter(shares)
        assert refused.value.refusal.status == 503
        assert not shares._waiting


async def _enter(shares: Shares, callers: Sequence[str] = ONE) -> None:
    async with shares.entered(callers):
        pass


async def test_who_reads_much_keeps_nobody_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy, his = await api.person()
    _, other = await api.person()
    path = f"/workspaces/{await api.workspace(greedy)}/calls/live"
    monkeypatch.setattr(calls, "live", slow := Slow(calls.live))
    reads = [asyncio.create_task(api.get(path, his)) for _ in range(MANY)]
    share = share_of(api.plane.settings.database_connections)
    await until(lambda: slow.begun == share and len(api.plane.shares._queue) == MANY - share)
    async with asyncio.timeout(ANSWERED_IN_S):
        assert (await api.get("/auth/me", other)).status == 200
    slow.go_on.set()
    assert {reply.status for reply in await asyncio.gather(*reads)} == {200}
    assert slow.begun == MANY


class Slow:
    """In place of a function that asks the database: it waits until the test says so."""

    def __init__(self, real: Callable[..., Awaitable[Any]]) -> None:
        self._real = real
        self.begun = 0
        self.go_on = asyncio.Event()

    async def __call__(self, *of: Any, **more: Any) -> Any:
        self.begun += 1
        await self.go_on.wait()
        return await self._real(*of, **more)


async def test_who_reads_much_fills_no_gate_either(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    (greedy, his), (mine, my) = await api.person(), await api.person()
    one, other = await api.workspace(greedy), await api.workspace(mine)
    monkeypatch.setattr(calls, "live", slow := Slow(calls.live))
    share = share_of(api.plane.settings.database_connections)
    reads = [
        asyncio.create_task(api.get(f"/workspaces/{one}/calls/live", his)) for _ in range(share)
    ]
    await until(lambda: slow.begun == share)
    body = {"name": "Desk", "config": {}}
    posts = [
        asyncio.create_task(api.post(f"/workspaces/{one}/agents", body, his)) for _ in range(4)
    ]
    await until(lambda: len(api.plane.shares._queue) == len(posts))
    async with asyncio.timeout(ANSWERED_IN_S):
        assert (await api.post(f"/workspaces/{other}/agents", body, my)).status == 422
    slow.go_on.set()
    assert {reply.status for reply in await asyncio.gather(*reads)} == {200}
    await asyncio.gather(*posts)


async def test_what_a_handler_reads_by_itself_is_in_the_share(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, (_, other) = await api.oauth(), await api.person()
    monkeypatch.setattr(audio, "find", slow := Slow(audio.find))
    reads = [asyncio.create_task(api.get("/api/v1/audio", token)) for _ in range(MANY)]
    share = share_of(api.plane.settings.database_connections)
    await until(lambda: slow.begun == share and len(api.plane.shares._queue) == MANY - share)
    async with asyncio.timeout(ANSWERED_IN_S):
        assert (await api.get("/auth/me", other)).status == 200
    assert slow.begun == share
    slow.go_on.set()
    assert {reply.status for reply in await asyncio.gather(*reads)} == {200}


async def test_a_workspace_has_one_share_however_its_id_is_spelt(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, his = await api.person()
    workspace = await api.workspace(owner)
    _, hers = await api.member(workspace, "member")
    monkeypatch.setattr(calls, "live", slow := Slow(calls.live))
    reads = [
        asyncio.create_task(api.get(f"/workspaces/{spelt}/calls/live", token))
        for spelt, token in ((workspace, his), (str(workspace).upper(), hers))
        for _ in range(MANY // 2)
    ]
    share = share_of(api.plane.settings.database_connections)
    await until(lambda: slow.begun == share and len(api.plane.shares._queue) == MANY - share)
    slow.go_on.set()
    assert {reply.status for reply in await asyncio.gather(*reads)} == {200}


class SlowLimits(RateLimits):
    """Counts somewhere that takes its time over people."""

    waits = True

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.go_on = asyncio.Event()

    async def take(self, key: str, limit: Limit, now_s: float, *, counts: bool = True) -> Standing:
        self.asked += 1
        await self.go_on.wait()
        return await super().take(key, limit, now_s, counts=counts)


async def test_no_connection_is_held_while_requests_are_counted_elsewhere(api: Api) -> None:
    owner, token = await api.person()
    path = f"/workspaces/{await api.workspace(owner)}/agents"
    api.plane.limits = slow = SlowLimits()
    reads = [asyncio.create_task(api.get(path, token)) for _ in range(MANY)]
    await until(lambda: slow.asked == MANY)
    async with asyncio.timeout(ANSWERED_IN_S):
        assert await api.run("SELECT 1")
    slow.go_on.set()
    assert {reply.status for reply in await asyncio.gather(*reads)} == {200}
