"""Tokens that are issued while others revoke them: whoever is second knows of the first."""

import pytest

from control.auth import tokens
from control.db import accounts
from control.db.database import PLATFORM
from tests.support.api import PASSWORD, Api
from tests.support.identity import link
from tests.support.locks import first
from tests.support.sapien_users import token_of

OTHER = "Another-Horse-8"
EMAIL = "somebody@example.com"


async def logged_in(api: Api) -> tuple[str, str]:
    """Somebody's access token, and his refresh token."""
    await api.person(EMAIL)
    answer = await api.post("/auth/login", {"email": EMAIL, "password": PASSWORD})
    return answer.json["token"], answer.json["refresh_token"]


async def admin_logged_in(api: Api) -> tuple[str, str]:
    hashed = await api.plane.passwords.hash(PASSWORD)
    async with api.plane.db.transaction(PLATFORM) as db:
        await accounts.insert_admin(db, EMAIL, "An Admin", "support", hashed)
    answer = await api.post("/admin/auth/login", {"email": EMAIL, "password": PASSWORD})
    return answer.json["token"], answer.json["refresh_token"]


async def oauth_form(api: Api, **fields: str) -> dict[str, str]:
    await token_of(api, EMAIL)  # which makes the client
    return {"client_id": "portal", "client_secret": "secret", **fields}


class TestARefreshThatIsNotKeptYet:
    """Its tokens are revoked with the others."""

    async def test_logging_out(self, api: Api) -> None:
        access, refresh = await logged_in(api)
        async with first(api) as held:
            found = await tokens.refresh(held.db, refresh, api.plane.now())
            await held.ask(api.post("/auth/logout", token=access))
        assert (await held.answer()).status == 204
        assert found is not None
        assert (await api.get("/auth/me", found[0].access)).status == 401
        again = await api.post("/auth/refresh", {"refresh_token": found[0].refresh})
        assert again.status == 401

    async def test_a_new_password_by_mail(self, api: Api) -> None:
        _, refresh = await logged_in(api)
        await api.post("/auth/forgot-password", {"email": EMAIL})
        body = {"token": await link(api), "new_password": OTHER}
        async with first(api) as held:
            found = await tokens.refresh(held.db, refresh, api.plane.now())
            await held.ask(api.post("/auth/reset-password", body))
        assert (await held.answer()).status == 204
        assert found is not None
        assert (await api.get("/auth/me", found[0].access)).status == 401

    async def test_a_new_password(self, api: Api) -> None:
        _, refresh = await logged_in(api)
        other = await api.post("/auth/login", {"email": EMAIL, "password": PASSWORD})
        body = {"current_password": PASSWORD, "new_password": OTHER}
        async with first(api) as held:
            found = await tokens.refresh(held.db, refresh, api.plane.now())
            await held.ask(api.put("/auth/password", body, other.json["token"]))
        assert (await held.answer()).status == 204
        assert found is not None
        assert (await api.get("/auth/me", found[0].access)).status == 401
        assert (await api.get("/auth/me", other.json["token"])).status == 200

    async def test_an_oauth_clients(self, api: Api) -> None:
        user_id, _ = await api.person(EMAIL)
        form = await oauth_form(api, grant_type="password", username=EMAIL, password=PASSWORD)
        refresh = (await api.post("/oauth/v2/token", data=form)).json["refresh_token"]
        (client,) = await api.run("SELECT id FROM oauth_clients")
        path, body = f"/admin/users/{user_id}", {"is_active": False}
        admin = await api.admin()
        async with first(api) as held:
            now = api.plane.now()
            found = await tokens.refresh(held.db, refresh, now, client_id=client["id"])
            await held.ask(api.put(path, body, admin))
        assert (await held.answer()).status == 200
        assert found is not None
        await api.put(path, {"is_active": True}, admin)
        assert (await api.get("/api/v1/users", found[0].access)).status == 401

    async def test_an_admins(self, api: Api) -> None:
        access, refresh = await admin_logged_in(api)
        async with first(api) as held:
            found = await tokens.refresh(held.db, refresh, api.plane.now())
            await held.ask(api.post("/admin/auth/logout", token=access))
        assert (await held.answer()).status == 204
        assert found is not None
        assert (await api.get("/admin/auth/me", found[0].access)).status == 401

    async def test_an_admins_new_password(self, api: Api) -> None:
        _, refresh = await admin_logged_in(api)
        (admin,) = await api.run("SELECT id FROM admins")
        path, owner = f"/admin/admins/{admin['id']}", await api.admin()
        async with first(api) as held:
            found = await tokens.refresh(held.db, refresh, api.plane.now())
            await held.ask(api.put(path, {"password": OTHER}, owner))
        assert (await held.answer()).status == 200
        assert found is not None
        assert (await api.get("/admin/auth/me", found[0].access)).status == 401


class TestARefreshThatComesSecond:
    async def test_it_waits_for_the_logout_and_is_refused(self, api: Api) -> None:
        _, refresh = await logged_in(api)
        (row,) = await api.run("SELECT family FROM tokens WHERE hash = $1", tokens.digest(refresh))
        async with first(api) as held:
            await tokens.revoke_family(held.db, row["family"], api.plane.now())
            await held.ask(api.post("/auth/refresh", {"refresh_token": refresh}))
        assert (await held.answer()).status == 401
        assert not await api.run(
            "SELECT 1 FROM tokens WHERE family = $1 AND revoked_at IS NULL", row["family"]
        )

    async def test_it_holds_no_token_before_the_person(self, api: Api) -> None:
        """Or else two who want the family's tokens in another order wait for each other."""
        user_id, _ = await api.person(EMAIL)
        answer = await api.post("/auth/login", {"email": EMAIL, "password": PASSWORD})
        refresh = answer.json["refresh_token"]
        async with first(api) as held:
            await held.db.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
            await held.ask(api.post("/auth/refresh", {"refresh_token": refresh}))
            assert held.waited
            free = await held.db.fetch("SELECT FROM tokens FOR UPDATE SKIP LOCKED")
            assert len(free) == len(await held.db.fetch("SELECT FROM tokens"))
        assert (await held.answer()).status == 200


class TestALoginBegunWithTheOldPassword:
    """It ends with the same answer as any that is wrong."""

    @pytest.mark.parametrize("change", ["password_hash = 'x'", "status = 'inactive'"])
    async def test_a_persons(self, api: Api, change: str) -> None:
        await api.person(EMAIL)
        async with first(api) as held:
            await held.db.execute(f"UPDATE users SET {change}")
            await held.ask(api.post("/auth/login", {"email": EMAIL, "password": PASSWORD}))
        answer = await held.answer()
        assert (answer.status, answer.code) == (401, "INVALID_CREDENTIALS")

    @pytest.mark.parametrize("change", ["password_hash = 'x'", "is_active = false"])
    async def test_an_admins(self, api: Api, change: str) -> None:
        await admin_logged_in(api)
        async with first(api) as held:
            await held.db.execute(f"UPDATE admins SET {change}")
            await held.ask(api.post("/admin/auth/login", {"email": EMAIL, "password": PASSWORD}))
        answer = await held.answer()
        assert (answer.status, answer.code) == (401, "INVALID_CREDENTIALS")

    @pytest.mark.parametrize("change", ["password_hash = 'x'", "status = 'inactive'"])
    async def test_by_an_oauth_client(self, api: Api, change: str) -> None:
        await api.person(EMAIL)
        form = await oauth_form(api, grant_type="password", username=EMAIL, password=PASSWORD)
        async with first(api) as held:
            await held.db.execute(f"UPDATE users SET {change}")
            await held.ask(api.post("/oauth/v2/token", data=form))
        answer = await held.answer()
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")

    async def test_it_sets_no_password_either(self, api: Api) -> None:
        access, _ = await logged_in(api)
        body = {"current_password": PASSWORD, "new_password": OTHER}
        async with first(api) as held:
            await held.db.execute("UPDATE users SET password_hash = 'x'")
            await held.ask(api.put("/auth/password", body, access))
        answer = await held.answer()
        assert (answer.status, answer.fields) == (422, {"current_password"})
        assert (await api.run("SELECT password_hash FROM users"))[0]["password_hash"] == "x"

    async def test_nor_an_admins(self, api: Api) -> None:
        access, _ = await admin_logged_in(api)
        body = {"current_password": PASSWORD, "new_password": OTHER}
        async with first(api) as held:
            await held.db.execute("UPDATE admins SET password_hash = 'x'")
            await held.ask(api.put("/admin/auth/password", body, access))
        answer = await held.answer()
        assert (answer.status, answer.fields) == (422, {"current_password"})
