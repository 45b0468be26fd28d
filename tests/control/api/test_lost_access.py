"""What somebody has made, or was shown, goes when he loses access."""

from typing import Any
from uuid import UUID

import pytest

from tests.support.api import Api, Reply
from tests.support.identity import link
from tests.support.locks import first
from tests.support.sapien_users import new_user, number_of, token_of, user_number

INVITED = "invited@example.com"


class Left:
    """What a person leaves behind in a workspace: an API key, an OAuth client, an invitation."""

    def __init__(self, api: Api, workspace_id: UUID) -> None:
        self.api = api
        self.place = f"/workspaces/{workspace_id}"
        self.key = ""
        self.client: dict[str, str] = {}
        self.access = ""
        self.invitation = ""

    async def make(self, token: str, role: str = "admin") -> None:
        made = await self.api.post(f"{self.place}/api-keys", {"name": "k", "role": role}, token)
        self.key = made.json["key"]
        invitation = {"email": INVITED, "role": role}
        assert (await self.api.post(f"{self.place}/members", invitation, token)).status == 201
        self.invitation = await link(self.api)

    async def make_client(self, token: str) -> None:
        body = {"name": "c", "scopes": ["read", "write", "admin"]}
        self._know(await self.api.post(f"{self.place}/oauth-clients", body, token))
        self.access = (await self.granted()).json["access_token"]

    async def rotate_client(self, token: str) -> None:
        clients = await self.api.get(f"{self.place}/oauth-clients", token)
        one = clients.json["oauth_clients"][0]["id"]
        self._know(await self.api.post(f"{self.place}/oauth-clients/{one}/rotate", {}, token))

    def _know(self, shown: Reply) -> None:
        self.client = {
            "client_id": shown.json["oauth_client"]["client_id"],
            "client_secret": shown.json["client_secret"],
        }

    async def granted(self) -> Reply:
        form = {"grant_type": "client_credentials", **self.client}
        return await self.api.post("/oauth/v2/token", data=form)

    async def works(self) -> set[str]:
        """What of it does."""
        found = set()
        if (await self.api.get(f"{self.place}/calls", self.key)).status == 200:
            found.add("key")
        if self.client and (await self.granted()).status == 200:
            found.add("client")
        if self.access and (await self.api.get("/api/v1/users", self.access)).status == 200:
            found.add("token")
        body = {"token": self.invitation, "name": "New", "password": "New-Person-1"}
        if (await self.api.post("/auth/accept-invitation", body)).status == 200:
            found.add("invitation")
        return found


async def owners(api: Api) -> tuple[UUID, str, UUID, str]:
    """A workspace, its owner's token, and another owner with his."""
    user_id, token = await api.person()
    workspace_id = await api.workspace(user_id)
    return workspace_id, token, *await api.member(workspace_id, "owner")


async def left_by(api: Api, workspace_id: UUID, token: str, *, owner: bool = True) -> Left:
    left = Left(api, workspace_id)
    if owner:
        await left.make_client(token)
    await left.make(token)
    return left


async def deactivated(api: Api, user_id: UUID) -> None:
    path, body = f"/admin/users/{user_id}", {"is_active": False}
    assert (await api.put(path, body, await api.admin("support"))).status == 200


async def deleted(api: Api, user_id: UUID) -> None:
    assert (await api.delete(f"/admin/users/{user_id}", await api.admin())).status == 204


async def by_sapien(api: Api, user_id: UUID, **body: Any) -> None:
    path = f"/api/v1/users/{await user_number(api, user_id)}"
    assert (await api.put(path, body, await api.oauth())).status == 200


async def inactive(api: Api, user_id: UUID) -> None:
    await by_sapien(api, user_id, status="inactive")


async def suspended(api: Api, user_id: UUID) -> None:
    await by_sapien(api, user_id, status="suspended")


async def demoted(api: Api, user_id: UUID) -> None:
    await by_sapien(api, user_id, role="user")


async def removed(api: Api, user_id: UUID) -> None:
    path = f"/api/v1/users/{await user_number(api, user_id)}"
    assert (await api.delete(path, await api.oauth())).status == 204


class TestWhoLosesAccess:
    @pytest.mark.parametrize("lose", [deactivated, deleted, inactive, suspended, demoted, removed])
    async def test_nothing_of_his_is_good(self, api: Api, lose: Any) -> None:
        workspace_id, _, user_id, token = await owners(api)
        left = await left_by(api, workspace_id, token)
        await lose(api, user_id)
        assert await left.works() == set()
        rows = await api.run("SELECT action, workspace_id FROM audit_log ORDER BY id")
        written = {row["action"] for row in rows if row["workspace_id"] == workspace_id}
        assert {"api_key.revoked", "oauth_client.revoked", "invitation.withdrawn"} <= written

    async def test_what_others_have_made_is(self, api: Api) -> None:
        workspace_id, token, user_id, _ = await owners(api)
        left = await left_by(api, workspace_id, token)
        await deactivated(api, user_id)
        assert await left.works() == {"key", "client", "token", "invitation"}

    @pytest.mark.parametrize("leaves", [True, False])
    async def test_members(self, api: Api, leaves: bool) -> None:
        workspace_id, owner, user_id, token = await owners(api)
        left = await left_by(api, workspace_id, token)
        path = f"/workspaces/{workspace_id}/members/{user_id}"
        assert (await api.delete(path, token if leaves else owner)).status == 204
        assert await left.works() == set()

    @pytest.mark.parametrize(
        ("role", "good"), [("admin", {"key", "invitation"}), ("manager", set()), ("member", set())]
    )
    async def test_an_owner_who_is_one_no_more(self, api: Api, role: str, good: set[str]) -> None:
        workspace_id, owner, user_id, token = await owners(api)
        left = await left_by(api, workspace_id, token)
        path = f"/workspaces/{workspace_id}/members/{user_id}"
        assert (await api.put(path, {"role": role}, owner)).status == 200
        assert await left.works() == good

    async def test_a_new_owner_keeps_what_he_has(self, api: Api) -> None:
        workspace_id, owner, *_ = await owners(api)
        user_id, token = await api.member(workspace_id, "admin")
        left = await left_by(api, workspace_id, token, owner=False)
        path = f"/workspaces/{workspace_id}/members/{user_id}"
        assert (await api.put(path, {"role": "owner"}, owner)).status == 200
        assert await left.works() == {"key", "invitation"}

    async def test_a_client_is_whose_secret_he_was_shown_last(self, api: Api) -> None:
        workspace_id, owner, user_id, token = await owners(api)
        left = await left_by(api, workspace_id, token)
        await left.rotate_client(owner)
        await deactivated(api, user_id)
        assert await left.works() == {"client", "token"}

    async def test_and_not_who_made_it(self, api: Api) -> None:
        workspace_id, owner, user_id, token = await owners(api)
        left = await left_by(api, workspace_id, owner)
        await left.rotate_client(token)
        await deactivated(api, user_id)
        assert await left.works() == {"key", "invitation"}

    async def test_who_leaves_all_leaves_nothing_in_any(self, api: Api) -> None:
        """Though his client shows him only one of his workspaces."""
        user_id, token = await api.person("somebody@example.com")
        lefts = []
        for _ in range(2):
            workspace_id = await api.workspace(user_id)
            lefts.append(await left_by(api, workspace_id, token))
            await api.member(workspace_id, "owner")
        bound = await token_of(api, "somebody@example.com")
        await api.run(
            "UPDATE oauth_clients SET workspace_id = $1 WHERE client_id = 'portal'", workspace_id
        )
        rows = await api.run(
            "SELECT number FROM members WHERE user_id = $1 AND workspace_id = $2",
            user_id,
            workspace_id,
        )
        path = f"/api/v1/users/{rows[0]['number']}"
        assert (await api.put(path, {"status": "inactive"}, bound)).status == 200
        assert [await left.works() for left in lefts] == [set(), set()]

    async def test_nobody_else_is_left_without_an_owner(self, api: Api) -> None:
        """Not in a workspace either that his client does not show."""
        user_id, _ = await api.person("somebody@example.com")
        workspace_id = await api.workspace(user_id)
        await api.member(workspace_id, "owner")
        bound = await token_of(api, "somebody@example.com")
        number = await user_number(api, user_id)
        await api.workspace(user_id)
        await api.run("UPDATE oauth_clients SET workspace_id = $1", workspace_id)
        for status in ("inactive", "suspended"):
            answer = await api.put(f"/api/v1/users/{number}", {"status": status}, bound)
            assert (answer.status, answer.code) == (409, "CONFLICT")


class TestWhoLosesItAtThisMoment:
    """He makes nothing more: what he makes waits for it."""

    MAKES = (
        ("api-keys", {"name": "k"}),
        ("oauth-clients", {"name": "c", "scopes": ["admin"]}),
        ("members", {"email": INVITED, "role": "member"}),
    )

    @pytest.mark.parametrize(("what", "body"), MAKES)
    async def test_who_is_removed(self, api: Api, what: str, body: dict[str, Any]) -> None:
        workspace_id, _, user_id, token = await owners(api)
        async with first(api) as held:
            await held.db.execute("SELECT FROM workspaces FOR NO KEY UPDATE")
            await held.db.execute("DELETE FROM members WHERE user_id = $1", user_id)
            await held.ask(api.post(f"/workspaces/{workspace_id}/{what}", body, token))
        assert (await held.answer()).code == "RESOURCE_NOT_FOUND"

    @pytest.mark.parametrize(("what", "body"), MAKES)
    async def test_who_is_deactivated(self, api: Api, what: str, body: dict[str, Any]) -> None:
        workspace_id, _, user_id, token = await owners(api)
        async with first(api) as held:
            await held.db.execute("UPDATE users SET status = 'inactive' WHERE id = $1", user_id)
            await held.ask(api.post(f"/workspaces/{workspace_id}/{what}", body, token))
        assert (await held.answer()).code == "RESOURCE_NOT_FOUND"

    @pytest.mark.parametrize(("what", "body"), MAKES)
    async def test_who_is_demoted(self, api: Api, what: str, body: dict[str, Any]) -> None:
        workspace_id, _, user_id, token = await owners(api)
        async with first(api) as held:
            await held.db.execute("SELECT FROM workspaces FOR NO KEY UPDATE")
            await held.db.execute("UPDATE members SET role = 'member' WHERE user_id = $1", user_id)
            await held.ask(api.post(f"/workspaces/{workspace_id}/{what}", body, token))
        assert (await held.answer()).code == "PERMISSION_DENIED"

    async def test_nobody_leaves_a_workspace_to_who_is_deactivated(self, api: Api) -> None:
        user_id, token = await api.person()
        workspace_id = await api.workspace(user_id)
        other, _ = await api.member(workspace_id, "owner")
        admin = await api.admin()
        async with first(api) as held:
            await held.db.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", other)
            await held.ask(api.put(f"/admin/users/{other}", {"is_active": False}, admin))
            await held.ask(api.delete(f"/workspaces/{workspace_id}/members/{user_id}", token))
        answer = await held.answer()
        assert (answer.status, answer.code) == (409, "CONFLICT")


class TestAClientOfACustomerWithoutTheScopeAdmin:
    """It acts for nobody, and makes nobody of himself who may do more than it."""

    @pytest.mark.parametrize("role", ["owner", "admin", "manager"])
    @pytest.mark.parametrize(
        "body", [{"role": "user"}, {"password": "Another-Horse-8"}, {"email": "new@example.com"}]
    )
    async def test_whom_it_does_not_change(self, api: Api, role: str, body: dict[str, Any]) -> None:
        workspace_id, *_ = await owners(api)
        user_id, _ = await api.member(workspace_id, role)
        await api.run("UPDATE users SET managed_by = $1 WHERE id = $2", workspace_id, user_id)
        number = await user_number(api, user_id)
        weak = await api.oauth(("write",), workspace_id=workspace_id)
        answer = await api.put(f"/api/v1/users/{number}", body, weak)
        assert (answer.status, answer.code) == (403, "INSUFFICIENT_SCOPE")
        strong = await api.oauth(("admin",), workspace_id=workspace_id)
        assert (await api.put(f"/api/v1/users/{number}", body, strong)).status == 200

    @pytest.mark.parametrize("role", ["admin", "manager"])
    async def test_what_it_does_not_give(self, api: Api, role: str) -> None:
        workspace_id, *_ = await owners(api)
        user_id, _ = await api.member(workspace_id, "member")
        weak = await api.oauth(("write",), workspace_id=workspace_id)
        one = f"/api/v1/users/{await user_number(api, user_id)}"
        customer = await number_of(api, workspace_id)
        for answer in (
            await api.put(one, {"role": role}, weak),
            await api.post("/api/v1/users", new_user(customer, role=role), weak),
        ):
            assert (answer.status, answer.code) == (403, "INSUFFICIENT_SCOPE")
        assert (await api.put(one, {"role": "user"}, weak)).status == 200
        assert (await api.post("/api/v1/users", new_user(customer), weak)).status == 201
