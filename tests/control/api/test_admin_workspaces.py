"""Workspaces, as admins manage them."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.api import Api

ROLES = ("owner", "support", "finance", "read-only")


async def busy(api: Api) -> tuple[UUID, UUID]:
    """A workspace with an owner, a member, two agents and two calls; and its owner."""
    owner, _ = await api.person("owner@example.com")
    workspace = await api.workspace(owner, name="Busy", industry="dental")
    await api.member(workspace, "owner")
    for name, status in (("One", "live"), ("Two", "paused")):
        await api.run(
            "INSERT INTO agents (workspace_id, name, status) VALUES ($1, $2, $3)",
            workspace,
            name,
            status,
        )
    await api.run(
        "INSERT INTO calls (id, workspace_id, carrier, direction, status, started_at, cost_micros) "
        "SELECT gen_random_uuid(), $1, 'twilio', 'inbound', 'completed', now(), 1250000 "
        "FROM generate_series(1, 2)",
        workspace,
    )
    return workspace, owner


class TestListing:
    async def test_it_has_what_the_document_says(self, api: Api) -> None:
        workspace, _ = await busy(api)
        nobodys = await api.workspace(name="Nobody's")
        answer = (await api.get("/admin/workspaces", await api.admin("read-only"))).json
        assert (answer["total"], answer["page"], answer["limit"]) == (2, 1, 50)
        empty, full = answer["workspaces"]
        assert (empty["id"], empty["owner_email"]) == (str(nobodys), None)
        assert (empty["total_calls"], empty["total_revenue"]) == (0, 0)
        assert set(full) == {
            "id",
            "name",
            "industry",
            "owner_email",
            "status",
            "subscription_tier",
            "created_at",
            "total_calls",
            "total_revenue",
        }
        assert (full["id"], full["owner_email"]) == (str(workspace), "owner@example.com")
        assert (full["total_calls"], full["total_revenue"]) == (2, 2.5)

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("status=suspended", ["Beta"]),
            ("status=trial", ["Gamma"]),
            ("search=ALPH", ["Alpha"]),
            ("search=%25", []),
            ("search=_", []),
            ("search=%27%3B+DROP+TABLE+users%3B+--", []),
            ("limit=1&page=2", ["Beta"]),
            ("limit=1&page=9", []),
            ("status=&search=", ["Gamma", "Beta", "Alpha"]),
        ],
    )
    async def test_filters(self, api: Api, query: str, names: list[str]) -> None:
        await api.workspace(name="Alpha")
        await api.workspace(name="Beta", status="suspended")
        await api.workspace(name="Gamma", status="trial")
        answer = await api.get(f"/admin/workspaces?{query}", await api.admin())
        assert [one["name"] for one in answer.json["workspaces"]] == names

    @pytest.mark.parametrize("query", ["status=dead", "page=0", "limit=101", f"search={'x' * 256}"])
    async def test_a_wrong_query(self, api: Api, query: str) -> None:
        assert (await api.get(f"/admin/workspaces?{query}", await api.admin())).status == 422


class TestOne:
    async def test_it_has_its_people_agents_and_figures(self, api: Api) -> None:
        workspace, owner = await busy(api)
        answer = (await api.get(f"/admin/workspaces/{workspace}", await api.admin())).json
        assert set(answer) == {"workspace", "owner", "members", "agents", "stats"}
        assert answer["owner"]["id"] == str(owner)
        assert [one["role"] for one in answer["members"]] == ["owner", "owner"]
        assert [one["name"] for one in answer["agents"]] == ["One", "Two"]
        assert answer["stats"] == {"total_calls": 2, "total_revenue": 2.5, "active_agents": 1}
        numbers = await api.run("SELECT number FROM workspaces")
        assert answer["workspace"]["customer_id"] == numbers[0]["number"]

    async def test_one_without_an_owner(self, api: Api) -> None:
        workspace = await api.workspace()
        answer = await api.get(f"/admin/workspaces/{workspace}", await api.admin())
        assert (answer.json["owner"], answer.json["members"]) == (None, [])

    async def test_none(self, api: Api) -> None:
        token = await api.admin()
        missing = f"/admin/workspaces/{uuid4()}"
        for answer in (
            await api.get(missing, token),
            await api.put(missing, {"name": "x"}, token),
            await api.delete(missing, token),
            await api.post(f"{missing}/suspend", {"reason": "x"}, token),
            await api.post(f"{missing}/activate", None, token),
            await api.post(f"{missing}/change-tier", {"tier_name": "free"}, token),
            await api.get("/admin/workspaces/x", token),
        ):
            assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")


class TestChanging:
    async def test_what_is_given(self, api: Api) -> None:
        workspace = await api.workspace(name="Old")
        token = await api.admin()
        body = {"name": "New", "status": "trial", "subscription_tier": "professional"}
        answer = await api.put(f"/admin/workspaces/{workspace}", body, token)
        assert {name: answer.json["workspace"][name] for name in body} == body
        log = await api.run("SELECT action, actor_kind, details FROM audit_log")
        assert (log[0]["action"], log[0]["actor_kind"]) == ("workspace.updated", "admin")
        assert log[0]["details"]["before"]["name"] == "Old"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"status": "deleted"}, "status"),
            ({"subscription_tier": "platinum"}, "subscription_tier"),
            ({"subscription_tier": "'; --"}, "subscription_tier"),
            ({"name": ""}, "name"),
            ({"id": "x"}, "id"),
        ],
    )
    async def test_what_is_wrong(self, api: Api, body: dict[str, Any], field: str) -> None:
        workspace = await api.workspace()
        answer = await api.put(f"/admin/workspaces/{workspace}", body, await api.admin())
        assert (answer.status, answer.fields) == (422, {field})

    async def test_suspending_and_activating(self, api: Api) -> None:
        user_id, person = await api.person()
        workspace = await api.workspace(user_id)
        token = await api.admin("support")
        body = {"reason": "The invoice is not paid"}
        suspended = await api.post(f"/admin/workspaces/{workspace}/suspend", body, token)
        shown = suspended.json["workspace"]
        assert (shown["status"], shown["suspended_reason"]) == ("suspended", body["reason"])
        change = {"name": "x"}
        refused = await api.put(f"/workspaces/{workspace}", change, person)
        assert refused.code == "WORKSPACE_SUSPENDED"
        active = await api.post(f"/admin/workspaces/{workspace}/activate", None, token)
        shown = active.json["workspace"]
        assert (shown["status"], shown["suspended_reason"]) == ("active", None)
        assert (await api.put(f"/workspaces/{workspace}", change, person)).status == 200
        log = await api.run("SELECT action, details FROM audit_log ORDER BY id")
        assert [row["action"] for row in log] == [
            "workspace.suspended",
            "workspace.activated",
            "workspace.updated",
        ]
        assert log[0]["details"]["after"]["suspended_reason"] == body["reason"]

    async def test_a_status_of_its_own_ends_the_reason(self, api: Api) -> None:
        workspace = await api.workspace()
        token = await api.admin()
        one = f"/admin/workspaces/{workspace}"
        await api.post(f"{one}/suspend", {"reason": "x"}, token)
        answer = await api.put(one, {"status": "active"}, token)
        assert answer.json["workspace"]["suspended_reason"] is None

    @pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 1001}, {"reason": None}])
    async def test_a_suspension_has_a_reason(self, api: Api, body: object) -> None:
        workspace = await api.workspace()
        answer = await api.post(f"/admin/workspaces/{workspace}/suspend", body, await api.admin())
        assert (answer.status, answer.fields) == (422, {"reason"})

    async def test_another_tier(self, api: Api) -> None:
        workspace = await api.workspace()
        change = f"/admin/workspaces/{workspace}/change-tier"
        token = await api.admin("finance")
        answer = await api.post(change, {"tier_name": "enterprise"}, token)
        assert answer.json["workspace"]["subscription_tier"] == "enterprise"
        for name in ("platinum", "", "x" * 70, "'; --"):
            wrong = await api.post(change, {"tier_name": name}, token)
            assert (wrong.status, wrong.fields) == (422, {"tier_name"})
        for name in ("standard", "Professional"):
            wrong = await api.post(change, {"tier_name": name}, token)
            (told,) = wrong.json["error"]["details"]
            assert told["message"] == (
                "is no subscription tier: there are free, starter, professional, enterprise"
            )

    async def test_deleting(self, api: Api) -> None:
        user_id, person = await api.person()
        workspace = await api.workspace(user_id)
        token = await api.admin()
        assert (await api.delete(f"/admin/workspaces/{workspace}", token)).status == 204
        assert (await api.get(f"/admin/workspaces/{workspace}", token)).status == 404
        assert (await api.get("/admin/workspaces", token)).json["total"] == 0
        assert (await api.get(f"/workspaces/{workspace}", person)).status == 404


class TestWhoMay:
    @pytest.mark.parametrize("role", ROLES)
    async def test_roles(self, api: Api, role: str) -> None:
        workspace = await api.workspace()
        token = await api.admin(role)
        one = f"/admin/workspaces/{workspace}"
        supports, bills = role in ("owner", "support"), role in ("owner", "finance")
        expected = [
            (await api.get(one, token), True),
            (await api.put(one, {"name": "x"}, token), supports),
            (await api.put(one, {"subscription_tier": "free"}, token), role == "owner"),
            (await api.post(f"{one}/suspend", {"reason": "x"}, token), supports),
            (await api.post(f"{one}/activate", None, token), supports),
            (await api.post(f"{one}/change-tier", {"tier_name": "free"}, token), bills),
            (await api.delete(one, token), role == "owner"),
        ]
        for answer, may in expected:
            assert (answer.status < 300) is may
            assert may or answer.code == "PERMISSION_DENIED"

    async def test_nobody_else(self, api: Api) -> None:
        user_id, person = await api.person()
        await api.workspace(user_id)
        for token in (None, person, await api.oauth()):
            answer = await api.get("/admin/workspaces", token)
            assert (answer.status, answer.code) == (401, "INVALID_TOKEN")
