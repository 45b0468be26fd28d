"""The admin portal's identity, and the admins themselves."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from control.api import throttle
from tests.support.api import PASSWORD, Api, Reply
from tests.support.identity import frozen, unlike

NEW = {"email": "new@example.com", "name": "New", "role": "support", "password": "New-Admin-1"}


async def admin(api: Api, email: str = "boss@example.com", role: str = "owner") -> str:
    """The id of a new admin with this address."""
    token = await api.admin(role)
    me = (await api.get("/admin/auth/me", token)).json["admin"]
    await api.run("UPDATE admins SET email = $2 WHERE id = $1", me["id"], email)
    return str(me["id"])


async def login(api: Api, email: str = "boss@example.com", password: str = PASSWORD) -> Reply:
    return await api.post("/admin/auth/login", {"email": email, "password": password})


class TestLoggingIn:
    async def test_in_and_out(self, api: Api) -> None:
        admin_id = await admin(api, role="finance")
        answer = await login(api, "BOSS@example.com")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json["admin"] == {
            "id": admin_id,
            "email": "boss@example.com",
            "name": "An Admin",
            "role": "finance",
        }
        token = answer.json["token"]
        me = await api.get("/admin/auth/me", token)
        assert me.json == {"admin": answer.json["admin"]}
        assert (await api.post("/admin/auth/logout", None, token)).status == 204
        assert (await api.get("/admin/auth/me", token)).code == "INVALID_TOKEN"
        body = {"refresh_token": answer.json["refresh_token"]}
        assert (await api.post("/admin/auth/refresh", body)).status == 401
        (noted,) = await api.run("SELECT * FROM audit_log")
        assert (noted["action"], noted["resource_id"]) == ("admin.logged_in", admin_id)

    async def test_whatever_is_wrong_the_answer_is_the_same(self, api: Api) -> None:
        frozen(api)
        await admin(api)
        inactive = await admin(api, "inactive@example.com")
        await api.run("UPDATE admins SET is_active = false WHERE id = $1", inactive)
        await api.person("person@example.com")
        answers = [
            await login(api, password="Wrong-Word-1"),
            await login(api, "inactive@example.com"),
            await login(api, "person@example.com"),
            await login(api, "nobody@example.com"),
        ]
        assert {(one.status, one.code) for one in answers} == {(401, "INVALID_CREDENTIALS")}
        assert len({str(unlike(one.headers)) for one in answers}) == 1

    async def test_after_ten_failures_nothing_is_tried(self, api: Api) -> None:
        frozen(api)
        await admin(api)
        for _ in range(throttle.FAILURES.per_minute):
            assert (await login(api, password="Wrong-Word-1")).status == 401
        answer = await login(api)
        assert (answer.status, answer.code) == (429, "RATE_LIMIT_EXCEEDED")
        assert int(answer.headers["Retry-After"]) >= 1

    async def test_a_refresh_token_that_comes_again_ends_the_family(self, api: Api) -> None:
        await admin(api)
        first = (await login(api)).json
        body = {"refresh_token": first["refresh_token"]}
        second = (await api.post("/admin/auth/refresh", body)).json
        assert set(second) == {"token", "refresh_token", "expires_in"}
        assert (await api.get("/admin/auth/me", second["token"])).status == 200
        assert (await api.post("/admin/auth/refresh", body)).code == "INVALID_TOKEN"
        assert (await api.get("/admin/auth/me", second["token"])).status == 401

    async def test_a_token_at_the_wrong_portal_stays_good_at_the_right_one(self, api: Api) -> None:
        await admin(api)
        body = {"refresh_token": (await login(api)).json["refresh_token"]}
        assert (await api.post("/auth/refresh", body)).status == 401
        assert (await api.post("/admin/auth/refresh", body)).status == 200


class TestOwnPassword:
    async def test_every_other_login_ends(self, api: Api) -> None:
        await admin(api)
        here, there = [(await login(api)).json["token"] for _ in range(2)]
        body = {"current_password": PASSWORD, "new_password": "Brand-New-1"}
        assert (await api.put("/admin/auth/password", body, here)).status == 204
        assert (await api.get("/admin/auth/me", here)).status == 200
        assert (await api.get("/admin/auth/me", there)).status == 401
        assert (await login(api)).status == 401
        assert (await login(api, password="Brand-New-1")).status == 200
        noted = await api.run("SELECT * FROM audit_log WHERE action = 'admin.password_changed'")
        assert "Brand-New-1" not in str([dict(row) for row in noted])

    async def test_the_old_one_must_be_known(self, api: Api) -> None:
        frozen(api)
        token = await api.admin()
        body = {"current_password": "Wrong-Word-1", "new_password": "Brand-New-1"}
        for _ in range(throttle.FAILURES.per_minute):
            answer = await api.put("/admin/auth/password", body, token)
            assert (answer.status, answer.fields) == (422, {"current_password"})
        body["current_password"] = PASSWORD
        assert (await api.put("/admin/auth/password", body, token)).status == 429

    async def test_a_weak_one_is_refused(self, api: Api) -> None:
        body = {"current_password": PASSWORD, "new_password": "weakling"}
        answer = await api.put("/admin/auth/password", body, await api.admin("read-only"))
        assert (answer.status, answer.fields) == (422, {"new_password"})


class TestAdmins:
    async def test_made_listed_and_logged_in(self, api: Api) -> None:
        token = await api.admin()
        made = await api.post("/admin/admins", NEW, token)
        assert made.status == 201
        assert made.json["admin"]["role"] == "support"
        assert (await login(api, "new@example.com", "New-Admin-1")).status == 200
        listed = (await api.get("/admin/admins?limit=1&page=1", token)).json
        assert (listed["total"], listed["page"], listed["limit"]) == (2, 1, 1)
        (found,) = listed["admins"]
        assert found["email"] == "new@example.com"
        assert found["last_login"] is not None
        assert (await api.get("/admin/admins?page=9", token)).json["total"] == 2
        logged = [dict(row) for row in await api.run("SELECT details FROM audit_log")]
        assert "password" not in str(logged)

    async def test_an_address_is_one_admins(self, api: Api) -> None:
        token = await api.admin()
        await api.post("/admin/admins", NEW, token)
        again = await api.post("/admin/admins", {**NEW, "email": "NEW@example.com"}, token)
        assert (again.status, again.code) == (409, "DUPLICATE_RESOURCE")
        assert again.fields == {"email"}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("role", "god"),
            ("email", "nobody"),
            ("password", "weakling"),
            ("name", ""),
            ("is_active", True),
        ],
    )
    async def test_what_is_wrong_is_named(self, api: Api, field: str, value: Any) -> None:
        answer = await api.post("/admin/admins", {**NEW, field: value}, await api.admin())
        assert (answer.status, answer.fields) == (422, {field})

    @pytest.mark.parametrize("role", ["support", "finance", "read-only"])
    async def test_only_owners_manage_them(self, api: Api, role: str) -> None:
        token, other = await api.admin(role), await admin(api)
        for answer in (
            await api.get("/admin/admins", token),
            await api.post("/admin/admins", NEW, token),
            await api.put(f"/admin/admins/{other}", {"role": "support"}, token),
        ):
            assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")

    async def test_a_role_counts_at_once_and_who_is_inactive_is_out(self, api: Api) -> None:
        token = await api.admin()
        other = await admin(api, "other@example.com")
        others = (await login(api, "other@example.com")).json
        changed = await api.put(f"/admin/admins/{other}", {"role": "support"}, token)
        assert changed.json["admin"]["role"] == "support"
        assert (await api.get("/admin/admins", others["token"])).status == 403
        out = await api.put(f"/admin/admins/{other}", {"is_active": False}, token)
        assert out.json["admin"]["is_active"] is False
        assert (await api.get("/admin/auth/me", others["token"])).status == 401
        body = {"refresh_token": others["refresh_token"]}
        assert (await api.post("/admin/auth/refresh", body)).status == 401
        await api.put(f"/admin/admins/{other}", {"is_active": True}, token)
        assert (await api.post("/admin/auth/refresh", body)).status == 401
        assert (await login(api, "other@example.com")).status == 200

    async def test_a_given_password_ends_the_logins(self, api: Api) -> None:
        token = await api.admin()
        other = await admin(api, "other@example.com")
        old = (await login(api, "other@example.com")).json["token"]
        await api.put(f"/admin/admins/{other}", {"password": "Given-Word-1"}, token)
        assert (await api.get("/admin/auth/me", old)).status == 401
        assert (await login(api, "other@example.com", "Given-Word-1")).status == 200

    @pytest.mark.parametrize("change", [{"role": "support"}, {"is_active": False}])
    async def test_the_last_active_owner_stays(self, api: Api, change: dict[str, Any]) -> None:
        token = await api.admin()
        mine = (await api.get("/admin/auth/me", token)).json["admin"]["id"]
        inactive = await admin(api)
        await api.run("UPDATE admins SET is_active = false WHERE id = $1", inactive)
        answer = await api.put(f"/admin/admins/{mine}", change, token)
        assert (answer.status, answer.code) == (409, "CONFLICT")
        assert (await api.put(f"/admin/admins/{mine}", {"name": "Me"}, token)).status == 200

    async def test_two_owners_do_not_take_each_other_away(self, api: Api) -> None:
        tokens = [await api.admin(), await api.admin()]
        ids = [(await api.get("/admin/auth/me", one)).json["admin"]["id"] for one in tokens]
        answers = await asyncio.gather(
            api.put(f"/admin/admins/{ids[1]}", {"role": "support"}, tokens[0]),
            api.put(f"/admin/admins/{ids[0]}", {"role": "support"}, tokens[1]),
        )
        assert sorted(one.status for one in answers)[0] == 200
        (left,) = await api.run("SELECT count(*) FROM admins WHERE role = 'owner'")
        assert left["count"] == 1

    async def test_who_is_not_there_is_not_found(self, api: Api) -> None:
        token = await api.admin()
        for name in (uuid4(), "1", "../admins"):
            answer = await api.put(f"/admin/admins/{name}", {"name": "x"}, token)
            assert answer.status in (404, 405)
