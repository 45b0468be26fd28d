"""Invitations by e-mail, and accepting them."""

import asyncio
import email
import email.policy
import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from control.auth import tokens
from tests.support.api import PASSWORD, Api
from tests.support.identity import frozen

NEW = {"email": "new@example.com", "role": "member"}


def path(workspace: UUID) -> str:
    return f"/workspaces/{workspace}/members"


async def owned(api: Api, **fields: Any) -> tuple[UUID, str]:
    """A workspace and its owner's token."""
    user_id, token = await api.person()
    return await api.workspace(user_id, **fields), token


async def mails(api: Api) -> list[Any]:
    """What was sent."""
    await api.plane.mailer.stop()
    api.plane.mailer.start()
    found = [
        email.message_from_bytes(one.read_bytes(), policy=email.policy.default)
        for one in api.outbox.glob("*.eml")
    ]
    for one in api.outbox.glob("*.eml"):
        one.unlink()
    return found


async def invited(api: Api, workspace: UUID, token: str, **fields: Any) -> str:
    """The token of the mail."""
    assert (await api.post(path(workspace), {**NEW, **fields}, token)).status == 201
    (mail,) = await mails(api)
    match = re.search(r"accept-invitation\?token=(\S+)", mail.get_content())
    assert match is not None
    return match[1]


async def accept(api: Api, token: str, **fields: Any) -> Any:
    return await api.post("/auth/accept-invitation", {"token": token, **fields})


class TestInviting:
    async def test_it_comes_by_mail(self, api: Api) -> None:
        workspace, token = await owned(api, name="Bright Smiles")
        answer = await api.post(path(workspace), NEW, token)
        invitation = answer.json["invitation"]
        assert answer.status == 201
        assert (invitation["email"], invitation["role"]) == ("new@example.com", "member")
        assert invitation["status"] == "pending"
        (mail,) = await mails(api)
        assert mail["To"] == "new@example.com"
        assert 'Some One invites you to the workspace "Bright Smiles"' in mail.get_content()
        rows = await api.run("SELECT * FROM invitations")
        assert rows[0]["expires_at"] - rows[0]["created_at"] == timedelta(days=7)
        secret = re.search(r"token=(\S+)", mail.get_content())
        assert secret is not None
        assert rows[0]["token_hash"] == tokens.digest(secret[1])
        log = await api.run("SELECT * FROM audit_log")
        assert secret[1] not in str([dict(row) for row in log]) + answer.body.decode()

    async def test_the_setting_says_how_long(self, api: Api) -> None:
        workspace, token = await owned(api)
        await api.run("UPDATE settings SET value = '2' WHERE key = 'invitation_days'")
        await api.post(path(workspace), NEW, token)
        rows = await api.run("SELECT expires_at - created_at AS days FROM invitations")
        assert rows[0]["days"] == timedelta(days=2)

    async def test_a_name_with_line_breaks_makes_no_header(self, api: Api) -> None:
        workspace, token = await owned(api, name="A\r\nBcc: all@example.com\r\n\r\nB")
        await api.post(path(workspace), NEW, token)
        (mail,) = await mails(api)
        assert mail["Bcc"] is None
        assert '"A Bcc: all example com B"' in mail.get_content()

    async def test_a_name_makes_no_link(self, api: Api) -> None:
        workspace, token = await owned(api, name="St. Mary's: see https://evil.example/x now")
        await api.post(path(workspace), NEW, token)
        (mail,) = await mails(api)
        assert '"St. Mary\'s: see https evil example x now"' in mail.get_content()

    @pytest.mark.parametrize(
        ("role", "given", "status"),
        [
            ("owner", "admin", 201),
            ("admin", "admin", 201),
            ("admin", "member", 201),
            ("manager", "member", 403),
            ("member", "member", 403),
        ],
    )
    async def test_who_may(self, api: Api, role: str, given: str, status: int) -> None:
        workspace = await api.workspace()
        _, token = await api.member(workspace, role)
        answer = await api.post(path(workspace), {**NEW, "role": given}, token)
        assert answer.status == status

    async def test_a_key_invites_nobody(self, api: Api) -> None:
        workspace, token = await owned(api)
        body = {"name": "A key", "role": "admin"}
        key = (await api.post(f"/workspaces/{workspace}/api-keys", body, token)).json["key"]
        answer = await api.post(path(workspace), NEW, key)
        assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
        assert await mails(api) == []
        assert await api.run("SELECT 1 FROM invitations") == []

    @pytest.mark.parametrize(
        ("fields", "wrong"),
        [
            ({"role": "owner"}, "role"),
            ({"role": None}, "role"),
            ({"email": "x"}, "email"),
            ({"email": "a@b.com\r\nBcc: c@d.com"}, "email"),
            ({"email": f"{'x' * 250}@example.com"}, "email"),
            ({"email": "=?utf-8?q?x?=@example.com"}, "email"),
            ({"token": "mine"}, "token"),
        ],
    )
    async def test_what_is_wrong(self, api: Api, fields: dict[str, Any], wrong: str) -> None:
        workspace, token = await owned(api)
        answer = await api.post(path(workspace), {**NEW, **fields}, token)
        assert (answer.status, answer.fields) == (422, {wrong})

    async def test_a_members_mail_is_taken(self, api: Api) -> None:
        workspace, token = await owned(api)
        member, _ = await api.person("Member@example.com")
        await api.run(
            "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'member')",
            workspace,
            member,
        )
        answer = await api.post(path(workspace), {**NEW, "email": "member@EXAMPLE.com"}, token)
        assert (answer.status, answer.code, answer.fields) == (
            409,
            "DUPLICATE_RESOURCE",
            {"email"},
        )

    async def test_no_answer_tells_who_has_an_account(self, api: Api) -> None:
        workspace, token = await owned(api)
        await api.person("known@example.com")
        answers = [
            await api.post(path(workspace), {**NEW, "email": f"{who}@example.com"}, token)
            for who in ("known", "unknown")
        ]
        shown = [answer.json["invitation"] for answer in answers]
        assert [answer.status for answer in answers] == [201, 201]
        for one in shown:
            del one["id"], one["email"], one["created_at"], one["expires_at"]
        assert shown[0] == shown[1]
        first, second = await mails(api)
        assert len(first.get_content()) == len(second.get_content())

    async def test_a_second_one_takes_the_firsts_place(self, api: Api) -> None:
        workspace, token = await owned(api)
        first = await invited(api, workspace, token)
        second = await invited(api, workspace, token, email="NEW@example.com", role="manager")
        assert len(await api.run("SELECT 1 FROM invitations")) == 1
        assert (await accept(api, first, name="New", password=PASSWORD)).status == 422
        accepted = await accept(api, second, name="New", password=PASSWORD)
        assert accepted.json["role"] == "manager"

    async def test_no_mailbox_is_filled(self, api: Api) -> None:
        workspace, token = await owned(api)
        frozen(api)
        answers = [await api.post(path(workspace), NEW, token) for _ in range(4)]
        assert [answer.status for answer in answers].index(429) == 3
        assert answers[3].code == "RATE_LIMIT_EXCEEDED"
        assert int(answers[3].headers["Retry-After"]) >= 1


class TestTheList:
    async def test_it_has_those_that_wait(self, api: Api) -> None:
        workspace, token = await owned(api)
        for who in ("a", "b", "c"):
            await api.post(path(workspace), {**NEW, "email": f"{who}@example.com"}, token)
        await api.run(
            "UPDATE invitations SET expires_at = now() - interval '1 day' WHERE email LIKE 'b@%'"
        )
        await api.run("UPDATE invitations SET accepted_at = now() WHERE email LIKE 'c@%'")
        answer = (await api.get(f"/workspaces/{workspace}/invitations", token)).json
        assert [(one["email"], one["status"]) for one in answer["invitations"]] == [
            ("a@example.com", "pending"),
            ("b@example.com", "expired"),
        ]
        assert (answer["total"], answer["page"], answer["limit"]) == (2, 1, 50)
        behind = await api.get(f"/workspaces/{workspace}/invitations?page=3", token)
        assert (behind.json["invitations"], behind.json["total"]) == ([], 2)

    async def test_one_may_be_withdrawn(self, api: Api) -> None:
        workspace, token = await owned(api)
        secret = await invited(api, workspace, token)
        listed = await api.get(f"/workspaces/{workspace}/invitations", token)
        one = f"/workspaces/{workspace}/invitations/{listed.json['invitations'][0]['id']}"
        assert (await api.delete(one, token)).status == 204
        assert (await api.delete(one, token)).code == "RESOURCE_NOT_FOUND"
        assert (await accept(api, secret, name="New", password=PASSWORD)).status == 422

    async def test_a_key_sees_them_and_withdraws_none(self, api: Api) -> None:
        workspace, token = await owned(api)
        secret = await invited(api, workspace, token)
        body = {"name": "A key", "role": "admin"}
        key = (await api.post(f"/workspaces/{workspace}/api-keys", body, token)).json["key"]
        listed = await api.get(f"/workspaces/{workspace}/invitations", key)
        one = f"/workspaces/{workspace}/invitations/{listed.json['invitations'][0]['id']}"
        for place in (one, f"/workspaces/{workspace}/invitations/{uuid4()}"):
            answer = await api.delete(place, key)
            assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
        assert (await accept(api, secret, name="New", password=PASSWORD)).status == 200

    @pytest.mark.parametrize("role", ["manager", "member"])
    async def test_who_may_not_invite_does_not_see_them(self, api: Api, role: str) -> None:
        workspace = await api.workspace()
        _, token = await api.member(workspace, role)
        assert (await api.get(f"/workspaces/{workspace}/invitations", token)).status == 403
        one = f"/workspaces/{workspace}/invitations/{uuid4()}"
        assert (await api.delete(one, token)).status == 403


class TestAccepting:
    async def test_somebody_new_has_an_account_then(self, api: Api) -> None:
        workspace, token = await owned(api, name="Bright Smiles")
        secret = await invited(api, workspace, token, role="manager")
        answer = await accept(api, secret, name="New One", password=PASSWORD)
        assert answer.status == 200
        assert answer.json["workspace"] == {"id": str(workspace), "name": "Bright Smiles"}
        assert answer.json["role"] == "manager"
        rows = await api.run("SELECT * FROM users WHERE email = 'new@example.com'")
        assert str(rows[0]["id"]) == answer.json["user"]["id"]
        assert rows[0]["name"] == "New One"
        assert rows[0]["email_verified_at"] is not None
        assert await api.plane.passwords.matches(PASSWORD, rows[0]["password_hash"])
        (joined,) = await api.run("SELECT * FROM audit_log WHERE action = 'member.joined'")
        assert (joined["actor_kind"], joined["actor_id"]) == ("user", rows[0]["id"])
        assert joined["actor_email"] == "new@example.com"

    async def test_somebody_known_is_a_member_at_once(self, api: Api) -> None:
        workspace, token = await owned(api)
        _, other = await api.person("new@example.com")
        secret = await invited(api, workspace, token)
        before = await api.run("SELECT * FROM users WHERE email = 'new@example.com'")
        answer = await accept(api, secret, name="Another", password="Another-Password-1")
        assert answer.status == 200
        after = await api.run("SELECT * FROM users WHERE email = 'new@example.com'")
        assert [dict(row) for row in after] == [dict(row) for row in before]
        listed = (await api.get("/workspaces", other)).json["workspaces"]
        assert [(one["id"], one["role"]) for one in listed] == [(str(workspace), "member")]

    async def test_an_account_that_somebody_else_made_is_taken_from_him(self, api: Api) -> None:
        """Whoever signs up with another's e-mail is in nothing that this one is invited to."""
        workspace, token = await owned(api)
        _, squatter = await api.person("new@example.com", verified=False)
        secret = await invited(api, workspace, token)
        assert (await accept(api, secret)).fields == {"name", "password"}
        own = "My-Own-Password-1"
        assert (await accept(api, secret, name="New", password=own)).status == 200
        assert (await api.get("/workspaces", squatter)).status == 401
        rows = await api.run("SELECT * FROM users WHERE email = 'new@example.com'")
        assert await api.plane.passwords.matches(own, rows[0]["password_hash"])
        assert (rows[0]["name"], rows[0]["managed_by"]) == ("New", None)
        assert rows[0]["email_verified_at"] is not None

    @pytest.mark.parametrize(
        ("fields", "wrong"),
        [
            ({}, {"name", "password"}),
            ({"name": "New"}, {"password"}),
            ({"password": PASSWORD}, {"name"}),
            ({"name": "New", "password": "short"}, {"password"}),
            ({"name": "New", "password": "x" * 300}, {"password"}),
        ],
    )
    async def test_somebody_new_says_who_he_is(
        self, api: Api, fields: dict[str, Any], wrong: set[str]
    ) -> None:
        workspace, token = await owned(api)
        secret = await invited(api, workspace, token)
        answer = await accept(api, secret, **fields)
        assert (answer.status, answer.fields) == (422, wrong)
        assert (await accept(api, secret, name="New", password=PASSWORD)).status == 200

    async def test_it_is_good_once(self, api: Api) -> None:
        workspace, token = await owned(api)
        secret = await invited(api, workspace, token)
        assert (await accept(api, secret, name="New", password=PASSWORD)).status == 200
        again = await accept(api, secret, name="New", password=PASSWORD)
        assert (again.status, again.fields) == (422, {"token"})

    async def test_of_two_at_once_one_is_accepted(self, api: Api) -> None:
        workspace, token = await owned(api)
        secret = await invited(api, workspace, token)
        fields = {"name": "New", "password": PASSWORD}
        answers = await asyncio.gather(*(accept(api, secret, **fields) for _ in range(2)))
        assert sorted(answer.status for answer in answers) == [200, 422]

    async def test_who_is_a_member_by_then_keeps_his_role(self, api: Api) -> None:
        workspace, token = await owned(api)
        secret = await invited(api, workspace, token)
        user_id, _ = await api.person("new@example.com")
        await api.run(
            "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'admin')",
            workspace,
            user_id,
        )
        assert (await accept(api, secret)).json["role"] == "admin"

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE invitations SET expires_at = now() - interval '1 second'",
            "UPDATE workspaces SET deleted_at = now()",
            "DELETE FROM invitations",
        ],
    )
    async def test_what_is_over_is_not_accepted(self, api: Api, change: str) -> None:
        workspace, token = await owned(api)
        secret = await invited(api, workspace, token)
        await api.run(change)
        answer = await accept(api, secret, name="New", password=PASSWORD)
        assert (answer.status, answer.fields) == (422, {"token"})
        assert not await api.run("SELECT 1 FROM users WHERE email = 'new@example.com'")

    async def test_nobody_joins_a_suspended_workspace(self, api: Api) -> None:
        workspace, token = await owned(api)
        secret = await invited(api, workspace, token)
        await api.run("UPDATE workspaces SET status = 'suspended'")
        answer = await accept(api, secret, name="New", password=PASSWORD)
        assert (answer.status, answer.code) == (403, "WORKSPACE_SUSPENDED")

    @pytest.mark.parametrize("token", ["", "x", "x" * 513, None, 7, "\u0000", "é" * 200])
    async def test_what_is_no_token(self, api: Api, token: object) -> None:
        answer = await api.post("/auth/accept-invitation", {"token": token})
        assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
