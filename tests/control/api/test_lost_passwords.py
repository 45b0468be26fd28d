"""New passwords: by a link for who has lost the old one, and by the old one."""

from datetime import timedelta

from control.api import throttle
from control.auth import tokens
from tests.support.api import PASSWORD, Api
from tests.support.identity import frozen, link, login, signed_up, unlike


class TestLostPasswords:
    async def test_a_new_one_ends_every_login(self, api: Api) -> None:
        user_id, token = await api.person("me@example.com")
        for _ in range(2):
            assert (await api.post("/auth/forgot-password", {"email": "ME@example.com"})).status
        unused, used = await link(api, 0), await link(api, 1)
        body = {"token": used, "new_password": "Brand-New-1"}
        assert (await api.post("/auth/reset-password", body)).status == 204
        assert (await login(api, "me@example.com", "Brand-New-1")).status == 200
        assert (await login(api, "me@example.com", PASSWORD)).status == 401
        assert (await api.get("/auth/me", token)).status == 401
        for link_token in (unused, used):
            late = await api.post("/auth/reset-password", {**body, "token": link_token})
            assert (late.status, late.fields) == (422, {"token"})
        assert [mail["To"] for mail in await api.mails()] == ["me@example.com"] * 3
        (noted,) = await api.run("SELECT * FROM audit_log")
        assert (noted["action"], noted["resource_id"]) == ("user.password_reset", str(user_id))
        assert (noted["actor_kind"], noted["actor_id"]) == ("user", user_id)
        assert noted["actor_email"] == "me@example.com"

    async def test_nobody_learns_who_is_registered(self, api: Api) -> None:
        frozen(api)
        await api.person("known@example.com")
        inactive, _ = await api.person("inactive@example.com")
        await api.run("UPDATE users SET status = 'inactive' WHERE id = $1", inactive)
        emails = ("known@example.com", "inactive@example.com", "unknown@example.com")
        answers = [await api.post("/auth/forgot-password", {"email": one}) for one in emails]
        assert {(one.status, one.body) for one in answers} == {(204, b"")}
        assert len({str(unlike(one.headers)) for one in answers}) == 1
        assert [mail["To"] for mail in await api.mails()] == ["known@example.com"]

    async def test_a_weak_password_uses_no_link_up(self, api: Api) -> None:
        await api.person("me@example.com")
        await api.post("/auth/forgot-password", {"email": "me@example.com"})
        token = await link(api)
        weak = await api.post("/auth/reset-password", {"token": token, "new_password": "weakling"})
        assert (weak.status, weak.fields) == (422, {"new_password"})
        body = {"token": token, "new_password": "Strong-One-1"}
        assert (await api.post("/auth/reset-password", body)).status == 204

    async def test_a_link_is_good_for_an_hour(self, api: Api) -> None:
        await api.person("me@example.com")
        await api.post("/auth/forgot-password", {"email": "me@example.com"})
        now = api.plane.now() + timedelta(seconds=tokens.MAILED_S)
        api.plane.now = lambda: now
        body = {"token": await link(api), "new_password": "Strong-One-1"}
        assert (await api.post("/auth/reset-password", body)).fields == {"token"}

    async def test_tokens_of_other_kinds_are_none(self, api: Api) -> None:
        await api.person("me@example.com")
        login_tokens = (await login(api, "me@example.com", PASSWORD)).json
        await signed_up(api)
        for token in (login_tokens["refresh_token"], login_tokens["token"], await link(api)):
            body = {"token": token, "new_password": "Strong-One-1"}
            assert (await api.post("/auth/reset-password", body)).status == 422
        await api.post("/auth/forgot-password", {"email": "me@example.com"})
        assert (await api.post("/auth/verify-email", {"token": await link(api)})).status == 422


class TestOwnPassword:
    async def test_every_other_login_ends(self, api: Api) -> None:
        _, there = await api.person("me@example.com")
        here = (await login(api, "me@example.com", PASSWORD)).json["token"]
        body = {"current_password": PASSWORD, "new_password": "Brand-New-1"}
        assert (await api.put("/auth/password", body, here)).status == 204
        assert (await api.get("/auth/me", here)).status == 200
        assert (await api.get("/auth/me", there)).status == 401
        assert (await login(api, "me@example.com", PASSWORD)).status == 401
        assert (await login(api, "me@example.com", "Brand-New-1")).status == 200
        assert [mail["To"] for mail in await api.mails()] == ["me@example.com"]

    async def test_the_old_one_must_be_known(self, api: Api) -> None:
        frozen(api)
        _, token = await api.person()
        body = {"current_password": "Wrong-Word-1", "new_password": "Brand-New-1"}
        for _ in range(throttle.FAILURES.per_minute):
            answer = await api.put("/auth/password", body, token)
            assert (answer.status, answer.fields) == (422, {"current_password"})
        body["current_password"] = PASSWORD
        assert (await api.put("/auth/password", body, token)).status == 429

    async def test_a_weak_one_is_refused(self, api: Api) -> None:
        _, token = await api.person()
        body = {"current_password": PASSWORD, "new_password": "weakling"}
        assert (await api.put("/auth/password", body, token)).fields == {"new_password"}
