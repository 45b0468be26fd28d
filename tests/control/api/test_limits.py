"""How often whom may call, and that every answer tells."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from control.auth import tokens
from control.auth.rate_limits import TIERS, Limit, RateLimits, Standing, Windows
from control.db import api_keys
from control.db.database import PLATFORM
from tests.support.api import Api, Reply, served_api
from tests.support.identity import frozen

PERSONS, PUBLIC = 5, 4


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The API behind a proxy, at a time that stands still, with little patience."""
    settings: dict[str, Any] = {
        "trusted_proxies": ("127.0.0.0/8",),
        "person_requests_per_min": PERSONS,
        "public_requests_per_min": PUBLIC,
    }
    async with served_api(tmp_path, **settings) as served:
        frozen(served)
        yield served


async def key_of(api: Api, workspace_id: Any) -> str:
    key = tokens.new_secret("vc_")
    async with api.plane.db.transaction(PLATFORM) as db:
        await api_keys.insert(
            db,
            workspace_id,
            "a program",
            tokens.digest(key),
            prefix=key[:8],
            role="member",
            created_by=None,
            now=api.plane.now(),
        )
    return key


def standing(reply: Reply) -> tuple[int, int]:
    return tuple(int(reply.headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining"))  # type: ignore[return-value]


def assert_too_many(api: Api, reply: Reply, limit: int) -> None:
    assert (reply.status, reply.code) == (429, "RATE_LIMIT_EXCEEDED")
    assert standing(reply) == (limit, 0)
    now_s = api.plane.now().timestamp()
    ends_s = int(reply.headers["X-RateLimit-Reset"])
    assert 0 < ends_s - now_s <= 60
    assert int(reply.headers["Retry-After"]) == max(ends_s - int(now_s), 1)
    assert f"ask again in {reply.headers['Retry-After']} s" in reply.json["error"]["message"]


class TestWhoIsCounted:
    async def test_a_person_with_all_his_tokens(self, api: Api) -> None:
        person, first = await api.person()
        async with api.plane.db.transaction(PLATFORM) as db:
            holder = tokens.Holder(user_id=person)
            second = (await tokens.issue(db, holder, api.plane.now())).access
        for number in range(PERSONS):
            answer = await api.get("/auth/me", (first, second)[number % 2])
            assert (answer.status, standing(answer)) == (200, (PERSONS, PERSONS - 1 - number))
        assert_too_many(api, await api.get("/workspaces", second), PERSONS)
        assert (await api.get("/auth/me", (await api.person())[1])).status == 200

    async def test_an_admin(self, api: Api) -> None:
        token = await api.admin()
        for _ in range(PERSONS):
            assert (await api.get("/admin/auth/me", token)).status == 200
        assert_too_many(api, await api.get("/admin/auth/me", token), PERSONS)
        assert (await api.get("/admin/auth/me", await api.admin())).status == 200

    @pytest.mark.parametrize("tier", ["starter", "professional", "enterprise"])
    async def test_the_keys_of_a_workspace_by_its_tier(self, api: Api, tier: str) -> None:
        (row,) = await api.run("SELECT rate_limit_tier FROM tiers WHERE tier_name = $1", tier)
        limit = TIERS[row["rate_limit_tier"]].per_minute
        workspace = await api.workspace(subscription_tier=tier)
        keys = [await key_of(api, workspace), await key_of(api, workspace)]
        path = f"/workspaces/{workspace}/agents"
        first = await api.get(path, keys[0])
        assert (first.status, standing(first)) == (200, (limit, limit - 1))
        for number in range(limit - 1):
            assert (await api.get(path, keys[number % 2])).status == 200
        assert_too_many(api, await api.get(path, keys[0]), limit)
        assert_too_many(api, await api.get(path, keys[1]), limit)
        other = await api.workspace(subscription_tier=tier)
        answer = await api.get(f"/workspaces/{other}/agents", await key_of(api, other))
        assert standing(answer) == (limit, limit - 1)

    async def test_anybody_by_network(self, api: Api) -> None:
        async def ask(address: str) -> Reply:
            headers = {"X-Forwarded-For": address}
            return await api.post("/auth/refresh", {"refresh_token": "none"}, headers=headers)

        for number in range(PUBLIC):
            answer = await ask(f"2001:db8:1:2::{number:x}")
            assert (answer.status, standing(answer)) == (401, (PUBLIC, PUBLIC - 1 - number))
        assert_too_many(api, await ask("2001:db8:1:2:ffff::1"), PUBLIC)
        assert (await ask("2001:db8:1:3::1")).status == 401
        assert (await ask("198.51.100.7")).status == 401

    async def test_what_is_refused_counts_and_tells_as_well(self, api: Api) -> None:
        _, token = await api.person()
        nowhere = "/workspaces/00000000-0000-4000-8000-000000000001"
        assert standing(await api.get(nowhere, token)) == (PERSONS, PERSONS - 1)
        assert standing(await api.post("/workspaces", {"nane": ""}, token))[1] == PERSONS - 2
        support = await api.admin("support")
        refused = await api.get("/admin/admins", support)
        assert (refused.code, standing(refused)[1]) == ("PERMISSION_DENIED", PERSONS - 1)
        reading = await api.oauth(("read",), tier="standard")
        refused = await api.post("/api/v1/customers", {}, reading)
        assert (refused.code, standing(refused)) == ("INSUFFICIENT_SCOPE", (60, 59))

    async def test_none_of_both_may_be_said(self, tmp_path: Path) -> None:
        settings = {"person_requests_per_min": 0, "public_requests_per_min": 0}
        async with served_api(tmp_path, **settings) as api:
            _, token = await api.person()
            headers = {"Authorization": f"Bearer {token}"}
            async with api._session.get(f"{api.url}/auth/me", headers=headers) as answer:
                assert answer.status == 200
                assert not [name for name in answer.headers if "RateLimit" in name]
            async with api._session.post(f"{api.url}/auth/login", json={}) as answer:
                assert answer.status == 422


class TestWindows:
    def test_a_bound_of_zero_is_none(self) -> None:
        windows = Windows()
        hourly = Limit(0, 2)
        takes = [windows.take("a", hourly, 7200.0) for _ in range(3)]
        assert takes == [
            Standing(True, 2, 1, 10_800),
            Standing(True, 2, 0, 10_800),
            Standing(False, 2, 0, 10_800),
        ]

    async def test_a_process_counts_and_holds_nothing(self) -> None:
        limits = RateLimits()
        assert (await limits.take("a", Limit(1), 0.0)).allowed
        assert not (await limits.take("a", Limit(1), 0.0, counts=False)).allowed
        await limits.close()


class TestBadTokens:
    """They are counted by network; whoever has a good one goes on."""

    async def ask(self, api: Api, token: str, address: str = "198.51.100.7") -> Reply:
        headers = {"X-Forwarded-For": address}
        return await api.get("/auth/me", token or None, headers=headers)

    @pytest.mark.parametrize("token", ["", "x", "x" * 43])
    async def test_guesses_are_limited(self, api: Api, token: str) -> None:
        for _ in range(PUBLIC):
            assert (await self.ask(api, token)).status == 401
        assert_too_many(api, await self.ask(api, token), PUBLIC)
        assert (await self.ask(api, token, "203.0.113.9")).status == 401

    async def test_nobody_else_is_shut_out(self, api: Api) -> None:
        _, good = await api.person()
        for _ in range(PUBLIC + 1):
            last = await self.ask(api, "x" * 43)
        assert last.status == 429
        assert (await self.ask(api, good)).status == 200
        headers = {"X-Forwarded-For": "198.51.100.7"}
        answer = await api.post("/auth/refresh", {"refresh_token": "none"}, headers=headers)
        assert answer.status == 401

    async def test_a_good_token_in_the_wrong_place_is_counted_as_its_own(self, api: Api) -> None:
        _, token = await api.person()
        for _ in range(PERSONS):
            assert (await api.get("/admin/auth/me", token)).status == 401
        assert_too_many(api, await api.get("/admin/auth/me", token), PERSONS)
        assert (await self.ask(api, "x" * 43)).status == 401
