"""API keys of workspaces."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from control.api.client import api_keys
from tests.support.api import Api

NEW = {"name": "Nightly export", "role": "member"}


async def owned(api: Api) -> tuple[UUID, str]:
    """A workspace and its owner's token."""
    owner, token = await api.person()
    return await api.workspace(owner), token


class TestKeys:
    async def test_made_used_and_revoked(self, api: Api) -> None:
        workspace, owner = await owned(api)
        path = f"/workspaces/{workspace}/api-keys"
        answer = await api.post(path, NEW, owner)
        assert answer.status == 201
        assert answer.headers["Cache-Control"] == "no-store"
        made, key = answer.json["api_key"], answer.json["key"]
        assert key.startswith(made["prefix"])
        assert key.startswith("vc_")
        assert len(key) > 40 > len(made["prefix"])
        assert (await api.get(f"/workspaces/{workspace}", key)).status == 200
        listed = (await api.get(path, owner)).json
        assert (listed["total"], listed["page"], listed["limit"]) == (1, 1, 50)
        (shown,) = listed["api_keys"]
        assert {**shown, "last_used_at": None} == made
        assert shown["last_used_at"] is not None
        assert (await api.get(f"{path}?page=3", owner)).json["total"] == 1
        assert (await api.delete(f"{path}/{made['id']}", owner)).status == 204
        assert (await api.get(f"/workspaces/{workspace}", key)).code == "INVALID_TOKEN"
        assert (await api.delete(f"{path}/{made['id']}", owner)).status == 404
        assert (await api.get(path, owner)).json["api_keys"] == []
        log = await api.run("SELECT action FROM audit_log ORDER BY id")
        assert [row["action"] for row in log] == ["api_key.created", "api_key.revoked"]

    async def test_the_key_is_kept_nowhere(self, api: Api) -> None:
        workspace, owner = await owned(api)
        headers = {"Idempotency-Key": "once"}
        path = f"/workspaces/{workspace}/api-keys"
        key = (await api.post(path, NEW, owner, headers=headers)).json["key"]
        assert key not in (await api.get(path, owner)).body.decode()
        for table in ("api_keys", "audit_log", "idempotency_keys"):
            rows = await api.run(f"SELECT * FROM {table}")
            assert key not in str([dict(row) for row in rows])

    async def test_its_use_is_noted_once_in_a_minute(self, api: Api) -> None:
        workspace, owner = await owned(api)
        key = (await api.post(f"/workspaces/{workspace}/api-keys", NEW, owner)).json["key"]
        for earlier, is_news in (("30 seconds", False), ("2 minutes", True)):
            await api.run(f"UPDATE api_keys SET last_used_at = now() - interval '{earlier}'")
            (before,) = await api.run("SELECT last_used_at FROM api_keys")
            await api.get(f"/workspaces/{workspace}", key)
            (after,) = await api.run("SELECT last_used_at FROM api_keys")
            assert (after["last_used_at"] > before["last_used_at"]) is is_news

    async def test_it_may_what_its_role_may_and_only_there(self, api: Api) -> None:
        workspace, owner = await owned(api)
        other, _ = await owned(api)
        key = (await api.post(f"/workspaces/{workspace}/api-keys", NEW, owner)).json["key"]
        path = f"/workspaces/{workspace}"
        assert (await api.put(path, {"name": "Mine"}, key)).code == "PERMISSION_DENIED"
        assert (await api.get(f"/workspaces/{other}", key)).status == 404
        assert (await api.get("/auth/me", key)).status == 401
        await api.run("UPDATE workspaces SET deleted_at = now() WHERE id = $1", workspace)
        assert (await api.get(path, key)).status == 401


class TestWhoMay:
    @pytest.mark.parametrize(
        ("role", "key_role", "status"),
        [
            ("owner", "admin", 201),
            ("admin", "admin", 201),
            ("manager", "manager", 201),
            ("manager", "admin", 403),
            ("member", "member", 403),
        ],
    )
    async def test_no_key_is_above_its_maker(
        self, api: Api, role: str, key_role: str, status: int
    ) -> None:
        workspace, _ = await owned(api)
        _, token = await api.member(workspace, role)
        path = f"/workspaces/{workspace}/api-keys"
        answer = await api.post(path, {**NEW, "role": key_role}, token)
        assert answer.status == status

    async def test_nobody_revokes_a_key_above_him(self, api: Api) -> None:
        workspace, owner = await owned(api)
        _, manager = await api.member(workspace, "manager")
        path = f"/workspaces/{workspace}/api-keys"
        made = (await api.post(path, {**NEW, "role": "admin"}, owner)).json["api_key"]
        answer = await api.delete(f"{path}/{made['id']}", manager)
        assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")

    async def test_a_key_makes_and_revokes_none(self, api: Api) -> None:
        workspace, owner = await owned(api)
        path = f"/workspaces/{workspace}/api-keys"
        made = (await api.post(path, {**NEW, "role": "admin"}, owner)).json
        assert (await api.get(path, made["key"])).status == 200
        for answer in (
            await api.post(path, NEW, made["key"]),
            await api.delete(f"{path}/{made['api_key']['id']}", made["key"]),
        ):
            assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")

    async def test_another_tenants_is_as_if_it_were_not_there(self, api: Api) -> None:
        workspace, owner = await owned(api)
        other, others = await owned(api)
        made = (await api.post(f"/workspaces/{other}/api-keys", NEW, others)).json
        for answer in (
            await api.delete(f"/workspaces/{workspace}/api-keys/{made['api_key']['id']}", owner),
            await api.delete(f"/workspaces/{other}/api-keys/{made['api_key']['id']}", owner),
            await api.delete(f"/workspaces/{workspace}/api-keys/{uuid4()}", owner),
            await api.get(f"/workspaces/{other}/api-keys", owner),
            await api.post(f"/workspaces/{other}/api-keys", NEW, owner),
        ):
            assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")
        assert (await api.get(f"/workspaces/{workspace}/api-keys", owner)).json["total"] == 0

    async def test_there_are_not_endlessly_many(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api_keys, "MOST_KEYS", 1)
        workspace, owner = await owned(api)
        path = f"/workspaces/{workspace}/api-keys"
        assert (await api.post(path, NEW, owner)).status == 201
        answer = await api.post(path, NEW, owner)
        assert (answer.status, answer.code) == (409, "CONFLICT")

    @pytest.mark.parametrize(
        ("field", "value"),
        [("name", ""), ("name", "x" * 256), ("role", "owner"), ("role", 1), ("prefix", "vc_")],
    )
    async def test_what_is_wrong_is_named(self, api: Api, field: str, value: Any) -> None:
        workspace, owner = await owned(api)
        answer = await api.post(f"/workspaces/{workspace}/api-keys", {**NEW, field: value}, owner)
        assert (answer.status, answer.fields) == (422, {field})
