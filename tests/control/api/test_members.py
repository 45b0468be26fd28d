"""Members of a workspace."""

import asyncio
from uuid import UUID, uuid4

import pytest

from control.http.access import MEMBER_ROLES
from tests.support.api import Api
from tests.support.locks import first


def path(workspace: UUID, user: object = "") -> str:
    return f"/workspaces/{workspace}/members" + (f"/{user}" if user else "")


class TestListing:
    async def test_members_come_in_the_order_they_joined(self, api: Api) -> None:
        user_id, token = await api.person("owner@example.com")
        workspace = await api.workspace(user_id)
        for role in ("member", "admin"):
            await api.member(workspace, role)
        answer = (await api.get(path(workspace), token)).json
        assert [one["role"] for one in answer["members"]] == ["owner", "member", "admin"]
        assert (answer["total"], answer["page"], answer["limit"]) == (3, 1, 50)
        assert set(answer["members"][0]) == {"id", "email", "name", "role", "joined_at"}
        second = (await api.get(path(workspace) + "?page=2&limit=2", token)).json
        assert [one["role"] for one in second["members"]] == ["admin"]
        none = (await api.get(path(workspace) + "?page=9", token)).json
        assert (none["members"], none["total"]) == ([], 3)

    @pytest.mark.parametrize("query", ["page=0", "limit=101", "page=x"])
    async def test_a_wrong_page(self, api: Api, query: str) -> None:
        user_id, token = await api.person()
        workspace = await api.workspace(user_id)
        assert (await api.get(f"{path(workspace)}?{query}", token)).status == 422


class TestRoles:
    @pytest.mark.parametrize("own", MEMBER_ROLES)
    @pytest.mark.parametrize("old", MEMBER_ROLES)
    async def test_nobody_gives_or_takes_a_role_above_his_own(
        self, api: Api, own: str, old: str
    ) -> None:
        owner, _ = await api.person()
        workspace = await api.workspace(owner)
        _, token = await api.member(workspace, own)
        rank = MEMBER_ROLES.index
        for new in MEMBER_ROLES:
            user_id, _ = await api.member(workspace, old)
            answer = await api.put(path(workspace, user_id), {"role": new}, token)
            may = own in ("owner", "admin") and rank(own) <= min(rank(old), rank(new))
            assert answer.status == (200 if may else 403)
            if may:
                assert answer.json["member"]["role"] == new
            rows = await api.run("SELECT role FROM members WHERE user_id = $1", user_id)
            assert rows[0]["role"] == (new if may else old)

    @pytest.mark.parametrize("body", [{}, {"role": "king"}, {"role": None}, {"role": ["owner"]}])
    async def test_a_wrong_role(self, api: Api, body: object) -> None:
        user_id, token = await api.person()
        workspace = await api.workspace(user_id)
        answer = await api.put(path(workspace, user_id), body, token)
        assert (answer.status, answer.fields) == (422, {"role"})

    async def test_who_is_no_member_has_no_role(self, api: Api) -> None:
        user_id, token = await api.person()
        workspace = await api.workspace(user_id)
        stranger, _ = await api.person()
        for other in (stranger, uuid4(), "x"):
            put = await api.put(path(workspace, other), {"role": "member"}, token)
            gone = await api.delete(path(workspace, other), token)
            assert [put.code, gone.code] == ["RESOURCE_NOT_FOUND"] * 2

    async def test_it_is_written_down(self, api: Api) -> None:
        owner, token = await api.person("owner@example.com")
        workspace = await api.workspace(owner)
        user_id, _ = await api.member(workspace, "member")
        await api.put(path(workspace, user_id), {"role": "manager"}, token)
        await api.delete(path(workspace, user_id), token)
        log = await api.run("SELECT action, actor_email, details FROM audit_log ORDER BY id")
        assert [row["action"] for row in log] == ["member.role_changed", "member.removed"]
        assert log[0]["details"] == {"before": {"role": "member"}, "after": {"role": "manager"}}
        assert log[0]["actor_email"] == "owner@example.com"


class TestLeaving:
    @pytest.mark.parametrize("role", MEMBER_ROLES)
    async def test_everybody_may_leave(self, api: Api, role: str) -> None:
        owner, _ = await api.person()
        workspace = await api.workspace(owner)
        user_id, token = await api.member(workspace, role)
        assert (await api.delete(path(workspace, user_id), token)).status == 204
        assert (await api.get(path(workspace), token)).status == 404

    @pytest.mark.parametrize(
        ("own", "other", "status"),
        [
            ("owner", "owner", 204),
            ("admin", "admin", 204),
            ("admin", "owner", 403),
            ("manager", "member", 403),
            ("member", "member", 403),
        ],
    )
    async def test_who_may_remove_whom(self, api: Api, own: str, other: str, status: int) -> None:
        owner, _ = await api.person()
        workspace = await api.workspace(owner)
        _, token = await api.member(workspace, own)
        user_id, _ = await api.member(workspace, other)
        assert (await api.delete(path(workspace, user_id), token)).status == status


class TestTheLastOwner:
    async def test_he_stays_what_he_is(self, api: Api) -> None:
        owner, token = await api.person()
        workspace = await api.workspace(owner)
        await api.member(workspace, "admin")
        for answer in (
            await api.delete(path(workspace, owner), token),
            await api.put(path(workspace, owner), {"role": "admin"}, token),
        ):
            assert (answer.status, answer.code) == (409, "CONFLICT")
        assert (await api.put(path(workspace, owner), {"role": "owner"}, token)).status == 200

    async def test_an_owner_who_cannot_log_in_does_not_count(self, api: Api) -> None:
        owner, token = await api.person()
        workspace = await api.workspace(owner)
        other, _ = await api.member(workspace, "owner")
        await api.run("UPDATE users SET status = 'inactive' WHERE id = $1", other)
        assert (await api.delete(path(workspace, owner), token)).code == "CONFLICT"

    async def test_two_who_leave_at_once_leave_one(self, api: Api) -> None:
        for _ in range(5):
            owner, token = await api.person()
            workspace = await api.workspace(owner)
            other, others = await api.member(workspace, "owner")
            answers = await asyncio.gather(
                api.delete(path(workspace, owner), token),
                api.put(path(workspace, other), {"role": "member"}, others),
            )
            assert sorted(answer.status in (200, 204) for answer in answers) == [False, True]
            rows = await api.run(
                "SELECT 1 FROM members WHERE workspace_id = $1 AND role = 'owner'", workspace
            )
            assert len(rows) == 1

    async def test_the_other_api_takes_its_turn_too(self, api: Api) -> None:
        client = await api.oauth()
        for _ in range(5):
            owner, _ = await api.person()
            workspace = await api.workspace(owner)
            other, token = await api.member(workspace, "owner")
            rows = await api.run(
                "SELECT number FROM members WHERE workspace_id = $1 AND user_id = $2",
                workspace,
                owner,
            )
            answers = await asyncio.gather(
                api.delete(f"/api/v1/users/{rows[0]['number']}", client),
                api.delete(path(workspace, other), token),
            )
            assert sorted(answer.status for answer in answers) == [204, 409]

    async def test_who_comes_second_waits_and_then_knows(self, api: Api) -> None:
        owner, token = await api.person()
        workspace = await api.workspace(owner)
        other, _ = await api.member(workspace, "owner")
        async with first(api) as held:
            await held.db.execute(
                "SELECT FROM workspaces WHERE id = $1 FOR NO KEY UPDATE", workspace
            )
            await held.db.execute("DELETE FROM members WHERE user_id = $1", other)
            await held.ask(api.delete(path(workspace, owner), token))
        assert held.waited
        assert (await held.answer()).code == "CONFLICT"


class TestKeys:
    @staticmethod
    async def keys(api: Api, workspace: UUID, token: str) -> dict[str, str]:
        """New keys, by role."""
        made = {}
        for role in ("admin", "manager", "member"):
            body = {"name": f"A key: {role}", "role": role}
            answer = await api.post(f"/workspaces/{workspace}/api-keys", body, token)
            made[role] = answer.json["key"]
        return made

    @staticmethod
    async def good(api: Api, workspace: UUID, keys: dict[str, str]) -> list[str]:
        """The roles of those that are good still."""
        answers = {role: await api.get(path(workspace), key) for role, key in keys.items()}
        assert {answer.status for answer in answers.values()} <= {200, 401}
        return [role for role, answer in answers.items() if answer.status == 200]

    async def test_a_key_changes_and_removes_nobody(self, api: Api) -> None:
        owner, token = await api.person()
        workspace = await api.workspace(owner)
        key = (await self.keys(api, workspace, token))["admin"]
        user_id, _ = await api.member(workspace, "member")
        for answer in (
            await api.put(path(workspace, user_id), {"role": "manager"}, key),
            await api.delete(path(workspace, user_id), key),
            await api.delete(path(workspace, uuid4()), key),
        ):
            assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
        listed = (await api.get(path(workspace), key)).json["members"]
        assert [one["role"] for one in listed] == ["owner", "member"]

    @pytest.mark.parametrize(
        ("role", "kept"),
        [
            ("owner", ["admin", "manager", "member"]),
            ("admin", ["admin", "manager", "member"]),
            ("manager", ["manager", "member"]),
            ("member", ["member"]),
        ],
    )
    async def test_who_is_less_has_no_keys_that_are_more(
        self, api: Api, role: str, kept: list[str]
    ) -> None:
        owner, token = await api.person()
        workspace = await api.workspace(owner)
        user_id, his_token = await api.member(workspace, "admin")
        own, his = [await self.keys(api, workspace, one) for one in (token, his_token)]
        answer = await api.put(path(workspace, user_id), {"role": role}, token)
        assert answer.status == 200
        assert await self.good(api, workspace, his) == kept
        assert len(await self.good(api, workspace, own)) == 3

    @pytest.mark.parametrize("leaves", [True, False])
    async def test_who_is_gone_has_none(self, api: Api, leaves: bool) -> None:
        owner, token = await api.person()
        workspace = await api.workspace(owner)
        user_id, his_token = await api.member(workspace, "admin")
        elsewhere = await api.workspace(user_id)
        own, his = [await self.keys(api, workspace, one) for one in (token, his_token)]
        others = await self.keys(api, elsewhere, his_token)
        answer = await api.delete(path(workspace, user_id), his_token if leaves else token)
        assert answer.status == 204
        assert await self.good(api, workspace, his) == []
        assert len(await self.good(api, workspace, own)) == 3
        assert len(await self.good(api, elsewhere, others)) == 3
        log = await api.run("SELECT details FROM audit_log WHERE action = 'api_key.revoked'")
        roles = {row["details"]["before"]["role"] for row in log}
        assert (len(log), roles) == (3, {"admin", "manager", "member"})
        assert not any(key in str([dict(row) for row in log]) for key in his.values())

    async def test_what_is_refused_revokes_none(self, api: Api) -> None:
        owner, token = await api.person()
        workspace = await api.workspace(owner)
        keys = await self.keys(api, workspace, token)
        assert (await api.delete(path(workspace, owner), token)).status == 409
        assert (await api.put(path(workspace, owner), {"role": "member"}, token)).status == 409
        assert len(await self.good(api, workspace, keys)) == 3
