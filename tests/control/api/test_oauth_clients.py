"""OAuth clients, as admins and as owners of workspaces manage them."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from control.api import managed_clients
from tests.support.api import Api, Reply

NEW = {"name": "Our CRM", "scopes": ["write", "read"]}


async def token_reply(api: Api, made: dict[str, Any], **more: str) -> Reply:
    """What the token endpoint answers a client."""
    form = {
        "grant_type": "client_credentials",
        "client_id": made["oauth_client"]["client_id"],
        "client_secret": made["client_secret"],
        **more,
    }
    return await api.post("/oauth/v2/token", data=form)


async def owned(api: Api, **fields: Any) -> tuple[UUID, str]:
    """A workspace and its owner's token."""
    owner, token = await api.person()
    return await api.workspace(owner, **fields), token


class TestOfThePlatform:
    async def test_made_used_rotated_and_revoked(self, api: Api) -> None:
        admin = await api.admin()
        answer = await api.post("/admin/oauth-clients", NEW, admin)
        assert answer.status == 201
        assert answer.headers["Cache-Control"] == "no-store"
        made = answer.json
        client = made["oauth_client"]
        assert client["scopes"] == ["read", "write"]
        assert (client["workspace_id"], client["rate_limit_tier"]) == (None, "standard")
        token = (await token_reply(api, made)).json["access_token"]
        await api.workspace()
        await api.workspace()
        assert (await api.get("/api/v1/customers", token)).json["meta"]["total"] == 2

        path = f"/admin/oauth-clients/{client['id']}"
        rotated = (await api.post(f"{path}/rotate", None, admin)).json
        assert rotated["oauth_client"]["rotated_at"] is not None
        assert (await token_reply(api, made)).json["error"] == "invalid_client"
        assert (await token_reply(api, rotated)).status == 200
        assert (await api.get("/api/v1/customers", token)).status == 200

        assert (await api.delete(path, admin)).status == 204
        assert (await api.get("/api/v1/customers", token)).code == "INVALID_TOKEN"
        assert (await token_reply(api, rotated)).status == 401
        assert (await api.get("/admin/oauth-clients", admin)).json["oauth_clients"] == []
        for gone in (
            await api.delete(path, admin),
            await api.post(f"{path}/rotate", None, admin),
            await api.delete(f"/admin/oauth-clients/{uuid4()}", admin),
        ):
            assert (gone.status, gone.code) == (404, "RESOURCE_NOT_FOUND")

    async def test_no_secret_is_kept_or_shown_again(self, api: Api) -> None:
        admin = await api.admin()
        headers = {"Idempotency-Key": "once"}
        made = (await api.post("/admin/oauth-clients", NEW, admin, headers=headers)).json
        secret = made["client_secret"]
        listed = await api.get("/admin/oauth-clients", admin)
        assert "secret" not in str(listed.json)
        assert listed.json["oauth_clients"] == [made["oauth_client"]]
        for table in ("oauth_clients", "audit_log", "idempotency_keys"):
            rows = [dict(row) for row in await api.run(f"SELECT * FROM {table}")]
            assert secret not in str(rows)
            assert (rows == []) == (table == "idempotency_keys")

    async def test_it_may_be_a_workspaces(self, api: Api) -> None:
        admin = await api.admin()
        workspace = await api.workspace()
        await api.workspace()
        body = {**NEW, "workspace_id": str(workspace), "rate_limit_tier": "enterprise"}
        made = (await api.post("/admin/oauth-clients", body, admin)).json
        assert made["oauth_client"]["rate_limit_tier"] == "enterprise"
        await api.post("/admin/oauth-clients", NEW, admin)
        token = (await token_reply(api, made)).json["access_token"]
        seen = await api.get("/api/v1/customers", token)
        assert [one["uuid"] for one in seen.json["data"]] == [str(workspace)]
        assert seen.headers["X-RateLimit-Limit"] == "300"
        listed = (await api.get(f"/admin/oauth-clients?workspace_id={workspace}", admin)).json
        assert listed["oauth_clients"] == [made["oauth_client"]]
        assert (await api.get("/admin/oauth-clients?page=7", admin)).json["total"] == 2

    async def test_a_workspace_that_is_not_there(self, api: Api) -> None:
        body = {**NEW, "workspace_id": str(uuid4())}
        answer = await api.post("/admin/oauth-clients", body, await api.admin())
        assert (answer.status, answer.fields) == (422, {"workspace_id"})

    @pytest.mark.parametrize("role", ["support", "finance", "read-only"])
    async def test_only_owners_change_them(self, api: Api, role: str) -> None:
        token = await api.admin(role)
        assert (await api.get("/admin/oauth-clients", token)).status == 200
        for answer in (
            await api.post("/admin/oauth-clients", NEW, token),
            await api.post(f"/admin/oauth-clients/{uuid4()}/rotate", None, token),
            await api.delete(f"/admin/oauth-clients/{uuid4()}", token),
        ):
            assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")


class TestOfAWorkspace:
    async def test_made_used_rotated_and_revoked(self, api: Api) -> None:
        workspace, owner = await owned(api, subscription_tier="professional")
        await api.workspace()
        path = f"/workspaces/{workspace}/oauth-clients"
        made = (await api.post(path, {**NEW, "scopes": ["read"]}, owner)).json
        assert made["oauth_client"]["workspace_id"] == str(workspace)
        assert made["oauth_client"]["rate_limit_tier"] == "premium"
        token = (await token_reply(api, made)).json["access_token"]
        seen = await api.get("/api/v1/customers", token)
        assert [one["uuid"] for one in seen.json["data"]] == [str(workspace)]
        assert seen.headers["X-RateLimit-Limit"] == "120"
        assert (await api.post("/api/v1/customers", {}, token)).code == "INSUFFICIENT_SCOPE"
        assert (await token_reply(api, made, scope="admin")).json["error"] == "invalid_scope"
        listed = (await api.get(path, owner)).json
        assert listed == {
            "oauth_clients": [made["oauth_client"]],
            "total": 1,
            "page": 1,
            "limit": 50,
        }
        one = f"{path}/{made['oauth_client']['id']}"
        rotated = (await api.post(f"{one}/rotate", None, owner)).json
        assert (await token_reply(api, made)).status == 401
        assert (await token_reply(api, rotated)).status == 200
        assert (await api.delete(one, owner)).status == 204
        assert (await api.get("/api/v1/customers", token)).status == 401
        log = await api.run("SELECT action, workspace_id FROM audit_log ORDER BY id")
        assert [row["action"] for row in log] == [
            "oauth_client.created",
            "oauth_client.rotated",
            "oauth_client.revoked",
        ]
        assert {row["workspace_id"] for row in log} == {workspace}

    async def test_its_rate_follows_the_subscription(self, api: Api) -> None:
        workspace, owner = await owned(api)
        made = (await api.post(f"/workspaces/{workspace}/oauth-clients", NEW, owner)).json
        token = (await token_reply(api, made)).json["access_token"]
        await api.run(
            "UPDATE workspaces SET subscription_tier = 'enterprise' WHERE id = $1", workspace
        )
        seen = await api.get("/api/v1/customers", token)
        assert seen.headers["X-RateLimit-Limit"] == "300"

    async def test_it_ends_with_the_workspace(self, api: Api) -> None:
        workspace, owner = await owned(api)
        made = (await api.post(f"/workspaces/{workspace}/oauth-clients", NEW, owner)).json
        token = (await token_reply(api, made)).json["access_token"]
        await api.run("UPDATE workspaces SET deleted_at = now() WHERE id = $1", workspace)
        assert (await api.get("/api/v1/customers", token)).status == 401
        assert (await token_reply(api, made)).json["error"] == "invalid_client"

    @pytest.mark.parametrize("role", ["admin", "manager", "member"])
    async def test_only_owners_manage_them(self, api: Api, role: str) -> None:
        workspace, _ = await owned(api)
        _, token = await api.member(workspace, role)
        path = f"/workspaces/{workspace}/oauth-clients"
        for answer in (
            await api.get(path, token),
            await api.post(path, NEW, token),
            await api.post(f"{path}/{uuid4()}/rotate", None, token),
            await api.delete(f"{path}/{uuid4()}", token),
        ):
            assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")

    async def test_another_tenants_is_as_if_it_were_not_there(self, api: Api) -> None:
        workspace, owner = await owned(api)
        other, others = await owned(api)
        admin = await api.admin()
        platforms = (await api.post("/admin/oauth-clients", NEW, admin)).json["oauth_client"]["id"]
        made = (await api.post(f"/workspaces/{other}/oauth-clients", NEW, others)).json
        for client in (made["oauth_client"]["id"], platforms, uuid4()):
            for where in (workspace, other):
                path = f"/workspaces/{where}/oauth-clients/{client}"
                for answer in (
                    await api.post(f"{path}/rotate", None, owner),
                    await api.delete(path, owner),
                ):
                    assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")
        assert (await api.get(f"/workspaces/{other}/oauth-clients", owner)).status == 404
        assert (await api.get(f"/workspaces/{workspace}/oauth-clients", owner)).json["total"] == 0
        assert (await token_reply(api, made)).status == 200

    async def test_there_are_not_endlessly_many(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(managed_clients, "MOST_CLIENTS", 1)
        workspace, owner = await owned(api)
        path = f"/workspaces/{workspace}/oauth-clients"
        assert (await api.post(path, NEW, owner)).status == 201
        answer = await api.post(path, NEW, owner)
        assert (answer.status, answer.code) == (409, "CONFLICT")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""),
            ("name", "x" * 256),
            ("scopes", []),
            ("scopes", "read"),
            ("scopes", ["read"] * 4),
            ("password_grant", "perhaps"),
            ("workspace_id", str(UUID(int=7))),
            ("rate_limit_tier", "enterprise"),
        ],
    )
    async def test_what_is_wrong_is_named(self, api: Api, field: str, value: Any) -> None:
        workspace, owner = await owned(api)
        body = {**NEW, field: value}
        answer = await api.post(f"/workspaces/{workspace}/oauth-clients", body, owner)
        assert (answer.status, answer.fields) == (422, {field})

    async def test_an_unknown_scope_is_refused(self, api: Api) -> None:
        workspace, owner = await owned(api)
        body = {**NEW, "scopes": ["root"]}
        answer = await api.post(f"/workspaces/{workspace}/oauth-clients", body, owner)
        assert (answer.status, answer.fields) == (422, {"scopes.0"})
