"""Requests that meet another one which counts, makes or deletes what they are about."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from control.api import managed_clients
from control.api.client import api_keys, workspaces
from control.auth import tokens
from control.db import invitations
from tests.support.api import Api
from tests.support.locks import Behind, first
from tests.support.sapien_users import number_of, user_number

INVITED = "invited@example.com"


class TestTheLastPlace:
    """Whoever comes second waits, and has none."""

    async def test_a_persons_workspaces(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(workspaces, "MOST_OWNED", 1)
        user_id, token = await api.person()
        async with first(api) as held:
            await held.db.execute("SELECT FROM users FOR NO KEY UPDATE")
            await self._workspace(held, user_id)
            await held.ask(api.post("/workspaces", {"name": "Second"}, token))
        assert (await held.answer()).code == "TIER_LIMIT_REACHED"

    async def test_others_workspaces_are_not_counted(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(workspaces, "MOST_OWNED", 1)
        user_id, token = await api.person()
        await api.workspace((await api.person())[0])
        gone = await api.workspace(user_id)
        await api.run("UPDATE workspaces SET deleted_at = now() WHERE id = $1", gone)
        assert (await api.post("/workspaces", {"name": "First"}, token)).status == 201

    async def test_a_workspaces_keys(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api_keys, "MOST_KEYS", 1)
        user_id, token = await api.person()
        workspace_id = await api.workspace(user_id)
        async with first(api) as held:
            await held.db.execute("SELECT FROM workspaces FOR NO KEY UPDATE")
            await held.db.execute(
                "INSERT INTO api_keys (workspace_id, name, prefix, key_hash, role) "
                "VALUES ($1, 'a', 'vc_', sha256('a'), 'admin')",
                workspace_id,
            )
            path = f"/workspaces/{workspace_id}/api-keys"
            await held.ask(api.post(path, {"name": "second"}, token))
        assert (await held.answer()).code == "CONFLICT"

    async def test_a_workspaces_clients(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(managed_clients, "MOST_CLIENTS", 1)
        user_id, token = await api.person()
        workspace_id = await api.workspace(user_id)
        async with first(api) as held:
            await held.db.execute("SELECT FROM workspaces FOR NO KEY UPDATE")
            await held.db.execute(
                "INSERT INTO oauth_clients (workspace_id, client_id, secret_hash, name, scopes) "
                "VALUES ($1, 'a', sha256('a'), 'a', '{read}')",
                workspace_id,
            )
            path = f"/workspaces/{workspace_id}/oauth-clients"
            await held.ask(api.post(path, {"name": "second", "scopes": ["read"]}, token))
        assert (await held.answer()).code == "CONFLICT"

    @staticmethod
    async def _workspace(held: Behind, owner: UUID) -> None:
        await held.db.execute(
            "WITH made AS (INSERT INTO workspaces (name, subscription_tier) "
            "VALUES ('First', 'free') RETURNING id) "
            "INSERT INTO members (workspace_id, user_id, role) SELECT id, $1, 'owner' FROM made",
            owner,
        )


class TestWhoIsDeletedAtThisMoment:
    async def test_has_no_extension(self, api: Api) -> None:
        workspace_id = await api.workspace()
        user_id, _ = await api.member(workspace_id, "member")
        client = await api.oauth()
        body = {
            "customer_id": await number_of(api, workspace_id),
            "extension": "100",
            "name": "His",
            "user_id": await user_number(api, user_id),
        }
        async with first(api) as held:
            await held.db.execute("DELETE FROM users WHERE id = $1", user_id)
            await held.ask(api.post("/api/v1/extensions", body, client))
        answer = await held.answer()
        assert (answer.status, answer.fields) == (422, {"user_id"})

    async def test_gets_none(self, api: Api) -> None:
        workspace_id = await api.workspace()
        user_id, _ = await api.member(workspace_id, "member")
        client = await api.oauth()
        extension = {
            "customer_id": await number_of(api, workspace_id),
            "extension": "100",
            "name": "Nobody's",
        }
        made = (await api.post("/api/v1/extensions", extension, client)).json["data"]["id"]
        number = await user_number(api, user_id)
        async with first(api) as held:
            await held.db.execute("DELETE FROM users WHERE id = $1", user_id)
            await held.ask(api.put(f"/api/v1/extensions/{made}", {"user_id": number}, client))
        answer = await held.answer()
        assert (answer.status, answer.fields) == (422, {"user_id"})

    async def test_leaves_his(self, api: Api) -> None:
        """Whoever changes its name meanwhile does not give it back to him."""
        workspace_id = await api.workspace()
        user_id, _ = await api.member(workspace_id, "member")
        client = await api.oauth()
        extension = {
            "customer_id": await number_of(api, workspace_id),
            "extension": "100",
            "name": "His",
            "user_id": await user_number(api, user_id),
        }
        made = (await api.post("/api/v1/extensions", extension, client)).json["data"]["id"]
        async with first(api) as held:
            await held.db.execute("DELETE FROM users WHERE id = $1", user_id)
            await held.ask(api.put(f"/api/v1/extensions/{made}", {"name": "New"}, client))
        answer = await held.answer()
        assert (answer.status, answer.json["data"]["user_id"]) == (200, None)

    async def test_is_changed_no_more(self, api: Api) -> None:
        workspace_id = await api.workspace()
        user_id, _ = await api.member(workspace_id, "member")
        client, number = await api.oauth(), await user_number(api, user_id)
        async with first(api) as held:
            await held.db.execute("DELETE FROM users WHERE id = $1", user_id)
            await held.ask(api.put(f"/api/v1/users/{number}", {"extension": "100"}, client))
        answer = await held.answer()
        assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")

    @pytest.mark.parametrize("verified", [True, False])
    async def test_accepts_an_invitation_as_somebody_new(self, api: Api, verified: bool) -> None:
        workspace_id, token = await api.workspace(), uuid4().hex
        user_id, _ = await api.person(INVITED, verified=verified)
        async with first(api) as held:
            now = api.plane.now()
            await invitations.invite(
                held.db,
                workspace_id,
                INVITED,
                "member",
                tokens.digest(token),
                invited_by=None,
                now=now,
                expires_at=now + timedelta(days=1),
            )
        body = {"token": token, "name": "Somebody New", "password": "New-Person-1"}
        async with first(api) as held:
            await held.db.execute("DELETE FROM users WHERE id = $1", user_id)
            await held.ask(api.post("/auth/accept-invitation", body))
        answer = await held.answer()
        assert (answer.status, answer.json["user"]["name"]) == (200, "Somebody New")
        assert answer.json["user"]["id"] != str(user_id)


async def test_who_owns_a_suspended_workspace_makes_no_other(api: Api) -> None:
    user_id, token = await api.person()
    workspace_id = await api.workspace(user_id, status="suspended")
    answer = await api.post("/workspaces", {"name": "Another"}, token)
    assert (answer.status, answer.code) == (403, "WORKSPACE_SUSPENDED")
    assert "that you own" in answer.json["error"]["message"]
    _, member = await api.member(workspace_id, "admin")
    assert (await api.post("/workspaces", {"name": "His own"}, member)).status == 201
    await api.run("UPDATE workspaces SET status = 'active' WHERE id = $1", workspace_id)
    assert (await api.post("/workspaces", {"name": "Another"}, token)).status == 201
