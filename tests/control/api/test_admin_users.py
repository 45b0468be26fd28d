"""People, as admins manage them."""

import asyncio
from uuid import uuid4

import pytest

from tests.support.api import Api


class TestListing:
    async def test_it_has_what_the_document_says(self, api: Api) -> None:
        user_id, _ = await api.person("anna@example.com")
        await api.workspace(user_id)
        gone = await api.workspace(user_id)
        await api.run("UPDATE workspaces SET deleted_at = now() WHERE id = $1", gone)
        answer = (await api.get("/admin/users", await api.admin("read-only"))).json
        assert (answer["total"], answer["page"], answer["limit"]) == (1, 1, 50)
        (one,) = answer["users"]
        assert set(one) == {"id", "email", "name", "workspaces_count", "created_at"}
        assert (one["id"], one["workspaces_count"]) == (str(user_id), 1)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("search=ANNA", ["anna@example.com"]),
            ("search=some+one", ["bert@example.com", "anna@example.com"]),
            ("search=%25", []),
            ("limit=1&page=2", ["anna@example.com"]),
            ("page=7", []),
        ],
    )
    async def test_search_and_pages(self, api: Api, query: str, found: list[str]) -> None:
        await api.person("anna@example.com")
        await api.person("bert@example.com")
        answer = await api.get(f"/admin/users?{query}", await api.admin())
        assert [one["email"] for one in answer.json["users"]] == found
        if query == "page=7":
            assert answer.json["total"] == 2


class TestOne:
    async def test_it_has_his_workspaces(self, api: Api) -> None:
        user_id, _ = await api.person("anna@example.com")
        workspace = await api.workspace(user_id, name="Hers")
        answer = (await api.get(f"/admin/users/{user_id}", await api.admin())).json
        names = {"id", "email", "name", "is_active", "created_at", "last_login"}
        assert set(answer["user"]) == names
        (membership,) = answer["workspaces"]
        assert membership["workspace_id"] == str(workspace)
        assert (membership["workspace_name"], membership["role"]) == ("Hers", "owner")
        assert set(membership) == {"workspace_id", "workspace_name", "role", "joined_at"}

    async def test_none(self, api: Api) -> None:
        token = await api.admin()
        for place in (uuid4(), "x"):
            one = f"/admin/users/{place}"
            for answer in (
                await api.get(one, token),
                await api.put(one, {"name": "x"}, token),
                await api.delete(one, token),
            ):
                assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")


class TestChanging:
    async def test_who_is_deactivated_is_logged_out(self, api: Api) -> None:
        user_id, person = await api.person()
        await api.workspace(user_id)
        token = await api.admin("support")
        one = f"/admin/users/{user_id}"
        answer = await api.put(one, {"name": "New", "is_active": False}, token)
        assert (answer.json["user"]["name"], answer.json["user"]["is_active"]) == ("New", False)
        assert (await api.get(one, token)).json["user"] == answer.json["user"]
        assert (await api.get("/workspaces", person)).status == 401
        again = await api.put(one, {"is_active": True}, token)
        assert again.json["user"]["is_active"] is True
        assert (await api.get("/workspaces", person)).status == 401
        log = await api.run("SELECT action, details FROM audit_log ORDER BY id")
        assert log[0]["details"]["before"] == {"name": "Some One", "status": "active"}
        assert log[0]["details"]["after"] == {"name": "New", "status": "inactive"}
        kept = await api.run("SELECT kind, revoked_at FROM tokens WHERE user_id = $1", user_id)
        assert {row["kind"] for row in kept} == {"access", "refresh"}
        assert all(row["revoked_at"] is not None for row in kept)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"name": ""}, "name"),
            ({"is_active": "perhaps"}, "is_active"),
            ({"email": "x@example.com"}, "email"),
            ({"password_hash": "x"}, "password_hash"),
        ],
    )
    async def test_what_is_wrong(self, api: Api, body: object, field: str) -> None:
        user_id, _ = await api.person()
        answer = await api.put(f"/admin/users/{user_id}", body, await api.admin())
        assert (answer.status, answer.fields) == (422, {field})


class TestDeleting:
    async def test_his_memberships_and_tokens_go_with_him(self, api: Api) -> None:
        workspace = await api.workspace()
        user_id, person = await api.member(workspace, "member")
        token = await api.admin()
        assert (await api.delete(f"/admin/users/{user_id}", token)).status == 204
        assert not await api.run("SELECT 1 FROM members")
        assert not await api.run("SELECT 1 FROM tokens WHERE user_id IS NOT NULL")
        assert (await api.get("/workspaces", person)).status == 401
        assert (await api.get(f"/admin/users/{user_id}", token)).status == 404

    async def test_an_only_owner_stays(self, api: Api) -> None:
        user_id, _ = await api.person()
        workspace = await api.workspace(user_id)
        token = await api.admin()
        answer = await api.delete(f"/admin/users/{user_id}", token)
        assert (answer.status, answer.code) == (409, "CONFLICT")
        await api.member(workspace, "owner")
        assert (await api.delete(f"/admin/users/{user_id}", token)).status == 204

    async def test_a_deleted_workspace_needs_no_owner(self, api: Api) -> None:
        user_id, _ = await api.person()
        await api.workspace(user_id)
        await api.run("UPDATE workspaces SET deleted_at = now()")
        assert (await api.delete(f"/admin/users/{user_id}", await api.admin())).status == 204

    async def test_of_two_owners_at_once_one_stays(self, api: Api) -> None:
        token = await api.admin()
        for _ in range(5):
            first, _ = await api.person()
            workspace = await api.workspace(first)
            second, _ = await api.member(workspace, "owner")
            answers = await asyncio.gather(
                *(api.delete(f"/admin/users/{one}", token) for one in (first, second))
            )
            assert sorted(answer.status for answer in answers) == [204, 409]

    @pytest.mark.parametrize("role", ["support", "finance", "read-only"])
    async def test_only_the_platforms_owner_deletes(self, api: Api, role: str) -> None:
        user_id, _ = await api.person()
        answer = await api.delete(f"/admin/users/{user_id}", await api.admin(role))
        assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")

    @pytest.mark.parametrize("role", ["finance", "read-only"])
    async def test_who_may_not_change(self, api: Api, role: str) -> None:
        user_id, _ = await api.person()
        token = await api.admin(role)
        answer = await api.put(f"/admin/users/{user_id}", {"name": "x"}, token)
        assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
