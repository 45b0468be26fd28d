"""A person's workspaces, their limits, and what suspension does."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from control.api.client import workspaces as resource
from control.auth import tokens
from control.db import tier_limits
from control.db.database import PLATFORM
from tests.support.api import Api
from tests.support.locks import first

NEW = {"name": "Bright Smiles", "industry": "dental", "timezone": "Europe/London"}


class TestCreating:
    async def test_who_makes_one_owns_it(self, api: Api) -> None:
        user_id, token = await api.person("anna@example.com")
        made = await api.post("/workspaces", NEW, token)
        assert made.status == 201
        workspace = made.json["workspace"]
        assert {name: workspace[name] for name in NEW} == NEW
        assert (workspace["status"], workspace["subscription_tier"]) == ("active", "free")
        found = (await api.get(f"/workspaces/{workspace['id']}", token)).json
        assert [(one["id"], one["role"]) for one in found["members"]] == [(str(user_id), "owner")]
        log = await api.run("SELECT action, workspace_id FROM audit_log")
        assert [(row["action"], str(row["workspace_id"])) for row in log] == [
            ("workspace.created", workspace["id"])
        ]

    async def test_a_name_is_enough(self, api: Api) -> None:
        made = await api.post("/workspaces", {"name": "Plain"}, (await api.person())[1])
        assert made.json["workspace"]["timezone"] == "UTC"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "name"),
            ({"name": ""}, "name"),
            ({"name": "   "}, "name"),
            ({"name": "x" * 256}, "name"),
            ({"name": 7}, "name"),
            ({"name": "x", "timezone": "Mars/Base"}, "timezone"),
            ({"name": "x", "industry": "y" * 101}, "industry"),
            ({"name": "x", "subscription_tier": "enterprise"}, "subscription_tier"),
        ],
    )
    async def test_what_is_wrong_is_told(self, api: Api, body: object, field: str) -> None:
        answer = await api.post("/workspaces", body, (await api.person())[1])
        assert (answer.status, answer.fields) == (422, {field})

    async def test_one_person_owns_only_so_many(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resource, "MOST_OWNED", 1)
        _, token = await api.person()
        assert (await api.post("/workspaces", NEW, token)).status == 201
        answer = await api.post("/workspaces", NEW, token)
        assert (answer.status, answer.code) == (403, "TIER_LIMIT_REACHED")
        assert "one person owns at most 100;" in answer.json["error"]["message"]

    async def test_a_key_makes_none(self, api: Api) -> None:
        answer = await api.post("/workspaces", NEW, await api.oauth())
        assert (answer.status, answer.code) == (401, "INVALID_TOKEN")


class TestReading:
    async def test_a_list_has_ones_own_with_ones_role(self, api: Api) -> None:
        user_id, token = await api.person()
        await api.workspace(user_id, name="Mine", industry="legal")
        await api.workspace(name="Not mine")
        listed = (await api.get("/workspaces", token)).json
        assert set(listed) == {"workspaces"}
        one = listed["workspaces"][0]
        assert len(listed["workspaces"]) == 1
        assert set(one) == {"id", "name", "industry", "role", "status", "subscription_tier"}
        assert (one["name"], one["industry"], one["role"]) == ("Mine", "legal", "owner")

    async def test_a_deleted_one_is_gone(self, api: Api) -> None:
        user_id, token = await api.person()
        workspace = await api.workspace(user_id)
        assert (await api.delete(f"/workspaces/{workspace}", token)).status == 204
        assert (await api.get("/workspaces", token)).json == {"workspaces": []}
        answer = await api.get(f"/workspaces/{workspace}", token)
        assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")

    async def test_what_is_used_is_counted(self, api: Api) -> None:
        user_id, token = await api.person()
        workspace = await api.workspace(user_id, subscription_tier="starter")
        now = datetime(2026, 3, 15, tzinfo=UTC)
        api.plane.now = lambda: now
        await api.run("INSERT INTO agents (workspace_id, name) VALUES ($1, 'An agent')", workspace)
        await call(api, workspace, now - timedelta(days=2), "completed", 90_000)
        await call(api, workspace, now - timedelta(minutes=1), "in_progress", 0)
        await call(api, workspace, now - timedelta(days=3), "in_progress", 0)
        await call(api, workspace, now - timedelta(days=20), "completed", 600_000)
        await api.run("UPDATE tokens SET expires_at = now() + interval '9 years'")
        found = (await api.get(f"/workspaces/{workspace}", token)).json
        assert found["subscription"] == {
            "tier": "starter",
            "usage": {"agents": 1, "minutes": 1.5, "calls": 3, "concurrent_calls": 1},
            "limits": {"agents": 3, "minutes": 5000, "concurrent_calls": 5},
        }

    @pytest.mark.parametrize("place", ["1", "x", "...", "%00", "{}", str(UUID(int=7))])
    async def test_no_workspace(self, api: Api, place: str) -> None:
        answer = await api.get(f"/workspaces/{place}", (await api.person())[1])
        assert answer.status == 404


class TestChanging:
    @pytest.mark.parametrize(
        ("role", "status"), [("owner", 200), ("admin", 200), ("manager", 403), ("member", 403)]
    )
    async def test_owners_and_admins_change_it(self, api: Api, role: str, status: int) -> None:
        workspace = await api.workspace()
        _, token = await api.member(workspace, role)
        body = {"name": "New", "timezone": "Asia/Tokyo"}
        answer = await api.put(f"/workspaces/{workspace}", body, token)
        assert answer.status == status
        if status == 200:
            changed = answer.json["workspace"]
            assert (changed["name"], changed["timezone"]) == ("New", "Asia/Tokyo")
        else:
            assert answer.code == "PERMISSION_DENIED"

    async def test_what_is_not_given_stays(self, api: Api) -> None:
        user_id, token = await api.person()
        workspace = await api.workspace(user_id, name="Old", timezone="Asia/Tokyo")
        for body in ({"name": "New"}, {}, {"timezone": None, "name": None}):
            answer = await api.put(f"/workspaces/{workspace}", body, token)
            changed = answer.json["workspace"]
            assert (changed["name"], changed["timezone"]) == ("New", "Asia/Tokyo")

    @pytest.mark.parametrize("role", ["admin", "manager", "member"])
    async def test_only_an_owner_deletes_it(self, api: Api, role: str) -> None:
        workspace = await api.workspace()
        _, token = await api.member(workspace, role)
        answer = await api.delete(f"/workspaces/{workspace}", token)
        assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")

    async def test_a_deleted_workspaces_client_is_none(self, api: Api) -> None:
        user_id, token = await api.person()
        workspace = await api.workspace(user_id)
        client = await api.oauth(workspace_id=workspace)
        assert (await api.get("/api/v1/customers", client)).status == 200
        await api.delete(f"/workspaces/{workspace}", token)
        assert (await api.get("/api/v1/customers", client)).code == "INVALID_TOKEN"


class TestSuspension:
    async def test_it_is_read_and_not_changed(self, api: Api) -> None:
        user_id, token = await api.person()
        workspace = await api.workspace(user_id, status="suspended")
        read = await api.get(f"/workspaces/{workspace}", token)
        assert (read.status, read.json["workspace"]["status"]) == (200, "suspended")
        for answer in (
            await api.put(f"/workspaces/{workspace}", {"name": "x"}, token),
            await api.delete(f"/workspaces/{workspace}", token),
            await api.delete(f"/workspaces/{workspace}/members/{user_id}", token),
            await api.post(
                f"/workspaces/{workspace}/members",
                {"email": "new@example.com", "role": "member"},
                token,
            ),
        ):
            assert (answer.status, answer.code) == (403, "WORKSPACE_SUSPENDED")

    async def test_others_go_on(self, api: Api) -> None:
        user_id, token = await api.person()
        await api.workspace(user_id, status="suspended")
        other = await api.workspace(user_id)
        assert (await api.put(f"/workspaces/{other}", {"name": "x"}, token)).status == 200

    async def test_strangers_do_not_learn_of_it(self, api: Api) -> None:
        workspace = await api.workspace(status="suspended")
        answer = await api.put(f"/workspaces/{workspace}", {"name": "x"}, (await api.person())[1])
        assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")

    async def test_keys_are_bound_too(self, api: Api) -> None:
        key = tokens.new_secret("vc_")
        workspace = await api.workspace(status="suspended")
        await api.run(
            "INSERT INTO api_keys (workspace_id, name, prefix, key_hash, role) "
            "VALUES ($1, 'a', 'vc_', $2, 'admin')",
            workspace,
            tokens.digest(key),
        )
        assert (await api.get(f"/workspaces/{workspace}", key)).status == 200
        answer = await api.put(f"/workspaces/{workspace}", {"name": "x"}, key)
        assert (answer.status, answer.code) == (403, "WORKSPACE_SUSPENDED")


class TestLimits:
    async def test_agents(self, api: Api) -> None:
        workspace = await api.workspace(subscription_tier="free")
        async with api.plane.db.transaction(PLATFORM) as db:
            assert await tier_limits.may_add_agent(db, workspace)
            await db.execute("INSERT INTO agents (workspace_id, name) VALUES ($1, 'a')", workspace)
            assert not await tier_limits.may_add_agent(db, workspace)
            await db.execute("UPDATE workspaces SET subscription_tier = 'enterprise'")
            assert await tier_limits.may_add_agent(db, workspace)
            assert not await tier_limits.may_add_agent(db, uuid4())

    async def test_who_asks_second_waits_and_then_knows(self, api: Api) -> None:
        workspace = await api.workspace(subscription_tier="free")

        async def second() -> bool:
            async with api.plane.db.transaction(PLATFORM) as db:
                return await tier_limits.may_add_agent(db, workspace)

        async with first(api) as held:
            assert await tier_limits.may_add_agent(held.db, workspace)
            await held.db.execute(
                "INSERT INTO agents (workspace_id, name) VALUES ($1, 'a')", workspace
            )
            await held.ask(second())
        assert held.waited
        assert not await held.answer()

    async def test_calls_at_the_same_time(self, api: Api) -> None:
        workspace = await api.workspace(subscription_tier="free")
        now = api.plane.now()
        await call(api, workspace, now, "in_progress", 0)
        await call(api, workspace, now - timedelta(days=2), "in_progress", 0)
        async with api.plane.db.transaction(PLATFORM) as db:
            assert await tier_limits.may_add_call(db, workspace, now)
        await call(api, workspace, now, "in_progress", 0)
        async with api.plane.db.transaction(PLATFORM) as db:
            assert not await tier_limits.may_add_call(db, workspace, now)
            assert await tier_limits.may_add_minute(db, workspace, now)
            await db.execute("UPDATE workspaces SET subscription_tier = 'enterprise'")
            assert await tier_limits.may_add_call(db, workspace, now)
            assert not await tier_limits.may_add_call(db, uuid4(), now)

    async def test_minutes_of_the_month(self, api: Api) -> None:
        workspace = await api.workspace(subscription_tier="free")
        now = datetime(2026, 3, 15, tzinfo=UTC)
        await call(api, workspace, datetime(2026, 2, 28, 23, 59, tzinfo=UTC), "completed", 10**9)
        await call(api, workspace, datetime(2026, 3, 1, tzinfo=UTC), "completed", 3_599_999)
        async with api.plane.db.transaction(PLATFORM) as db:
            assert await tier_limits.may_add_minute(db, workspace, now)
        await call(api, workspace, now, "completed", 1)
        async with api.plane.db.transaction(PLATFORM) as db:
            assert not await tier_limits.may_add_minute(db, workspace, now)
            assert not await tier_limits.may_add_call(db, workspace, now)
            assert await tier_limits.may_add_minute(db, workspace, now + timedelta(days=30))
            assert not await tier_limits.may_add_minute(db, uuid4(), now)
            await db.execute("UPDATE workspaces SET subscription_tier = 'enterprise'")
            assert await tier_limits.may_add_minute(db, workspace, now)


async def call(
    api: Api, workspace: UUID, started_at: datetime, status: str, duration_ms: int
) -> None:
    await api.run(
        "INSERT INTO calls (id, workspace_id, carrier, direction, status, started_at, duration_ms) "
        "VALUES (gen_random_uuid(), $1, 'twilio', 'inbound', $2, $3, $4)",
        workspace,
        status,
        started_at,
        duration_ms,
    )
