"""The client portal's identity: sign-up and login."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from control.api import throttle
from tests.support.api import PASSWORD, Api
from tests.support.identity import NEW, frozen, link, login, signed_up, unlike, verified


class TestSigningUp:
    async def test_the_tokens_are_good_once_the_link_was_followed(self, api: Api) -> None:
        made = await signed_up(api)
        assert made["user"].items() >= {"email": NEW["email"], "name": NEW["name"]}.items()
        assert (await api.get("/auth/me", made["token"])).status == 401
        assert (await login(api)).code == "EMAIL_NOT_VERIFIED"
        (mail,) = await api.mails()
        assert mail["To"] == NEW["email"]
        assert (await api.post("/auth/verify-email", {"token": await link(api)})).status == 204
        me = await api.get("/auth/me", made["token"])
        assert me.json == {"user": made["user"], "workspaces": []}
        assert (await login(api)).json["user"] == made["user"]
        refreshed = await api.post("/auth/refresh", {"refresh_token": made["refresh_token"]})
        assert (await api.get("/auth/me", refreshed.json["token"])).status == 200

    async def test_a_registered_address_has_the_same_answer(self, api: Api) -> None:
        frozen(api)
        await api.person("Known@Example.com")
        fresh = await api.post("/auth/signup", {**NEW, "email": "fresh@example.com"})
        known = await api.post("/auth/signup", {**NEW, "email": "known@example.com"})
        assert (known.status, unlike(known.headers)) == (fresh.status, unlike(fresh.headers))
        assert known.json.keys() == fresh.json.keys()
        for name in ("token", "refresh_token"):
            assert len(known.json[name]) == len(fresh.json[name])
        assert UUID(known.json["user"]["id"]).version == UUID(fresh.json["user"]["id"]).version
        assert known.json["user"]["email"] == "known@example.com"
        for answer in (fresh, known):
            assert (await api.get("/auth/me", answer.json["token"])).status == 401
        told = [await login(api, f"{who}@example.com") for who in ("fresh", "known")]
        assert [(one.status, one.code) for one in told] == [(403, "EMAIL_NOT_VERIFIED")] * 2
        assert (await login(api, "known@example.com", PASSWORD)).status == 200

    async def test_its_owner_is_told_and_has_no_link_to_confirm(self, api: Api) -> None:
        await api.person("known@example.com")
        await signed_up(api, email="KNOWN@example.com")
        (mail,) = await api.mails()
        assert mail["To"] == "known@example.com"
        assert "have an account already" in mail.get_content()
        assert "token=" not in mail.get_content()

    async def test_the_same_work_is_done_for_both(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await api.person("known@example.com")
        hashed: list[str] = []
        kept = api.plane.passwords.hash

        async def counted(password: str, like: str | None = None) -> str:
            hashed.append(password)
            return await kept(password, like)

        monkeypatch.setattr(api.plane.passwords, "hash", counted)
        for email in ("known@example.com", "fresh@example.com"):
            await signed_up(api, email=email)
        assert len(hashed) == len(await api.run("SELECT id FROM signups")) == 2

    async def test_each_of_two_who_claim_an_address_has_his_own_link(self, api: Api) -> None:
        thief = await signed_up(api, password="Thiefs-Word-1", name="Thief")
        owner = await signed_up(api)
        thiefs = await link(api, 0)
        assert (await api.post("/auth/verify-email", {"token": await link(api, 1)})).status == 204
        assert (await api.get("/auth/me", owner["token"])).json["user"] == owner["user"]
        assert (await api.get("/auth/me", thief["token"])).status == 401
        assert (await login(api, password="Thiefs-Word-1")).code == "EMAIL_NOT_VERIFIED"
        late = await api.post("/auth/verify-email", {"token": thiefs})
        assert (late.status, late.fields) == (422, {"token"})

    async def test_a_person_whom_a_workspace_made_belongs_to_who_reads_his_mail(
        self, api: Api
    ) -> None:
        user_id, token = await api.person(NEW["email"], verified=False)
        workspace = await api.workspace()
        await api.run("UPDATE users SET managed_by = $2 WHERE id = $1", user_id, workspace)
        made = await verified(api)
        assert (await api.get("/auth/me", token)).status == 401
        assert (await login(api, password=PASSWORD)).status == 401
        me = await api.get("/auth/me", made["token"])
        assert me.json["user"] == {**made["user"], "id": str(user_id)}
        (row,) = await api.run("SELECT managed_by FROM users WHERE id = $1", user_id)
        assert row["managed_by"] is None

    async def test_a_link_is_good_once_and_for_a_day(self, api: Api) -> None:
        await signed_up(api)
        token = await link(api)
        assert (await api.post("/auth/verify-email", {"token": token})).status == 204
        assert (await api.post("/auth/verify-email", {"token": token})).status == 422
        await signed_up(api, email="late@example.com")
        now = api.plane.now() + timedelta(days=1)
        api.plane.now = lambda: now
        late = await api.post("/auth/verify-email", {"token": await link(api)})
        assert (late.status, late.fields) == (422, {"token"})
        await signed_up(api, email="next@example.com")
        assert [row["email"] for row in await api.run("SELECT email FROM signups")] == [
            "next@example.com"
        ]

    async def test_it_can_be_closed(self, api: Api) -> None:
        await api.run("UPDATE settings SET value = 'false' WHERE key = 'signup_enabled'")
        answer = await api.post("/auth/signup", NEW)
        assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
        assert await api.mails() == []

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("password", "short-1"),
            ("password", "onlysmallletters"),
            ("password", "Aa1-" * 100),
            ("password", 12345678),
            ("email", "nobody"),
            ("email", "a@example.com\r\nBcc: evil@example.com"),
            ("email", "=?utf-8?q?a=0d=0aBcc:evil=40example.com?=@example.com"),
            ("email", "a@example.com,evil@example.com"),
            ("email", "k\u212aelvin@example.com"),
            ("email", f"{'a' * 250}@example.com"),
            ("name", ""),
            ("name", "x" * 256),
            ("role", "owner"),
        ],
    )
    async def test_what_is_wrong_is_named(self, api: Api, field: str, value: Any) -> None:
        answer = await api.post("/auth/signup", {**NEW, field: value})
        assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
        assert answer.fields == {field}
        assert await api.mails() == []

    async def test_nothing_that_was_typed_is_in_the_mail(self, api: Api) -> None:
        await signed_up(api, name="Buy at http://evil.example")
        (mail,) = await api.mails()
        assert "evil" not in str(mail)

    @pytest.mark.parametrize("path", ["/auth/signup", "/auth/forgot-password"])
    async def test_a_mailbox_is_not_filled(self, api: Api, path: str) -> None:
        frozen(api)
        await api.person("known@example.com")
        for email in ("known@example.com", "fresh@example.com"):
            body = {"email": email} if "forgot" in path else {**NEW, "email": email}
            for _ in range(throttle.MAILS.per_minute):
                assert (await api.post(path, body)).status < 300
            answer = await api.post(path, {**body, "email": email.upper()})
            assert (answer.status, answer.code) == (429, "RATE_LIMIT_EXCEEDED")
            assert 1 <= int(answer.headers["Retry-After"]) <= 3600


class TestLoggingIn:
    async def test_workspaces_come_with_it(self, api: Api) -> None:
        user_id, _ = await api.person("me@example.com")
        mine, gone = await api.workspace(user_id), await api.workspace(user_id)
        await api.workspace((await api.person())[0], name="Somebody else's")
        await api.run("UPDATE workspaces SET deleted_at = now() WHERE id = $1", gone)
        answer = await login(api, "ME@example.com", PASSWORD)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json["expires_in"] == 3600
        expected = {
            "id": str(mine),
            "name": "Acme",
            "industry": None,
            "role": "owner",
            "status": "active",
            "subscription_tier": "free",
        }
        assert answer.json["workspaces"] == [expected]
        me = await api.get("/auth/me", answer.json["token"])
        assert me.json == {"user": answer.json["user"], "workspaces": [expected]}

    async def test_a_password_is_compared_with_the_blanks_around_it(self, api: Api) -> None:
        await verified(api, password=" Blank-Word-1 ")
        assert (await login(api, password=" Blank-Word-1 ")).status == 200
        assert (await login(api, password="Blank-Word-1")).status == 401

    async def test_whatever_is_wrong_the_answer_is_the_same(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        frozen(api)
        compared: list[str | None] = []
        kept = api.plane.passwords.matches

        async def counted(password: str, hashed: str | None) -> bool:
            compared.append(hashed)
            return await kept(password, hashed)

        monkeypatch.setattr(api.plane.passwords, "matches", counted)
        await api.person("known@example.com")
        inactive, _ = await api.person("inactive@example.com")
        await api.run("UPDATE users SET status = 'suspended' WHERE id = $1", inactive)
        await api.person("nopassword@example.com")
        await api.run("UPDATE users SET password_hash = NULL WHERE email LIKE 'nopass%'")
        tried = [
            ("known@example.com", "Wrong-Word-1"),
            ("inactive@example.com", PASSWORD),
            ("nopassword@example.com", PASSWORD),
            ("unknown@example.com", PASSWORD),
            ("' OR 1=1 --", PASSWORD),
        ]
        answers = [await login(api, *one) for one in tried]
        assert {(one.status, one.code) for one in answers} == {(401, "INVALID_CREDENTIALS")}
        assert len({str(unlike(one.headers)) for one in answers}) == 1
        assert len({one.json["error"]["message"] for one in answers}) == 1
        assert len(compared) == len(tried)

    async def test_after_ten_failures_nothing_is_tried(self, api: Api) -> None:
        frozen(api)
        await api.person("known@example.com")
        for email in ("known@example.com", "unknown@example.com"):
            for _ in range(throttle.FAILURES.per_minute):
                assert (await login(api, email, "Wrong-Word-1")).status == 401
            answer = await login(api, email.upper(), PASSWORD)
            assert (answer.status, answer.code) == (429, "RATE_LIMIT_EXCEEDED")
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert (await login(api, "other@example.com", PASSWORD)).status == 401

    @pytest.mark.parametrize("body", [{}, {"email": "a@example.com"}, {"password": "x"}, [], 1])
    async def test_what_is_missing_is_told(self, api: Api, body: Any) -> None:
        assert (await api.post("/auth/login", body)).status == 422


class TestTokens:
    async def test_logging_out_ends_both(self, api: Api) -> None:
        await api.person("me@example.com")
        here, there = [(await login(api, "me@example.com", PASSWORD)).json for _ in range(2)]
        assert (await api.post("/auth/logout", None, here["token"])).status == 204
        assert (await api.get("/auth/me", here["token"])).code == "INVALID_TOKEN"
        again = await api.post("/auth/refresh", {"refresh_token": here["refresh_token"]})
        assert (again.status, again.code) == (401, "INVALID_TOKEN")
        assert (await api.get("/auth/me", there["token"])).status == 200

    async def test_a_sign_ups_token_is_told_what_every_token_is(self, api: Api) -> None:
        made = await signed_up(api)
        early, wrong = [await api.get("/auth/me", one) for one in (made["token"], "nobodys")]
        assert (early.status, early.code) == (401, "INVALID_TOKEN")
        assert early.json["error"]["message"] == wrong.json["error"]["message"]
        assert "A sign-up's token is good once its e-mail" in early.json["error"]["message"]

    async def test_a_refresh_token_that_comes_again_ends_the_family(self, api: Api) -> None:
        await api.person("me@example.com")
        first = (await login(api, "me@example.com", PASSWORD)).json
        second = (await api.post("/auth/refresh", {"refresh_token": first["refresh_token"]})).json
        assert (await api.get("/auth/me", first["token"])).status == 401
        assert (await api.get("/auth/me", second["token"])).status == 200
        again = await api.post("/auth/refresh", {"refresh_token": first["refresh_token"]})
        assert (again.status, again.code) == (401, "INVALID_TOKEN")
        assert (await api.get("/auth/me", second["token"])).status == 401
        last = await api.post("/auth/refresh", {"refresh_token": second["refresh_token"]})
        assert last.status == 401

    async def test_who_is_inactive_refreshes_nothing(self, api: Api) -> None:
        user_id, _ = await api.person("me@example.com")
        kept = (await login(api, "me@example.com", PASSWORD)).json["refresh_token"]
        await api.run("UPDATE users SET status = 'inactive' WHERE id = $1", user_id)
        assert (await api.post("/auth/refresh", {"refresh_token": kept})).status == 401

    async def test_each_portal_has_tokens_of_its_own(self, api: Api) -> None:
        _, token = await api.person()
        for path, other in (("/auth/me", await api.admin()), ("/admin/auth/me", token)):
            assert (await api.get(path, other)).code == "INVALID_TOKEN"
        assert (await api.get("/auth/me", await api.oauth())).code == "INVALID_TOKEN"
        assert (await api.get("/auth/me", "x" * 600)).code == "INVALID_TOKEN"

    async def test_what_to_do_about_a_token_is_told(self, api: Api) -> None:
        _, token = await api.person()
        for path, sent, challenge, words in (
            ("/auth/me", None, "Bearer", "Authorization: Bearer <token>"),
            ("/auth/me", "unknown", 'Bearer error="invalid_token"', "POST /auth/refresh"),
            ("/admin/auth/me", "unknown", 'Bearer error="invalid_token"', "/admin/auth/refresh"),
            ("/admin/auth/me", token, 'Bearer error="invalid_token"', "POST /admin/auth/login"),
            ("/api/v1/users", "unknown", 'Bearer error="invalid_token"', "grant_type"),
            ("/api/v1/users", None, "Bearer", "POST /oauth/v2/token"),
        ):
            answer = await api.get(path, sent)
            assert (answer.status, answer.code) == (401, "INVALID_TOKEN")
            assert answer.headers["WWW-Authenticate"] == challenge
            assert words in answer.json["error"]["message"]

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw", "nonsense"])
    async def test_a_header_without_a_token_is_none(self, api: Api, header: str) -> None:
        answer = await api.get("/auth/me", headers={"Authorization": header})
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json["error"]["message"].startswith("There is no token")

    @pytest.mark.parametrize("token", ["", "x" * 513, "\0", None, ["x"]])
    async def test_what_is_no_token_is_refused(self, api: Api, token: Any) -> None:
        assert (await api.post("/auth/refresh", {"refresh_token": token})).status == 422
