"""Telephone numbers, as the platform's admins see them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from control.db import routing
from control.db.database import PLATFORM
from tests.support.api import Api, served_api

NUMBER = "+14155550123"


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Api]:
    """A platform that approves numbers."""
    async with served_api(tmp_path, numbers_need_approval=True) as api:
        yield api


async def registered(api: Api, number: str = NUMBER, name: str = "Acme") -> tuple[Any, str, str]:
    """A workspace's number, the path of its numbers, and the owner's token."""
    owner, token = await api.person()
    path = f"/workspaces/{await api.workspace(owner, name=name)}/phone-numbers"
    made = await api.post(path, {"phone_number": number}, token)
    return made.json["phone_number"], path, token


async def is_answered(api: Api, number: str) -> bool:
    async with api.plane.db.reading(PLATFORM) as db:
        return await routing.of_number(db, number) is not None


async def test_a_number_is_answered_once_it_is_approved(strict: Api) -> None:
    number, path, token = await registered(strict)
    admin = await strict.admin("support")
    assert number["status"] == "inactive"
    assert not await is_answered(strict, NUMBER)
    here = f"/admin/phone-numbers/{number['id']}"
    approved = (await strict.post(f"{here}/activate", token=admin)).json["phone_number"]
    assert (approved["status"], approved["workspace_name"]) == ("active", "Acme")
    assert await is_answered(strict, NUMBER)
    assert (await strict.get(path, token)).json["phone_numbers"][0]["status"] == "active"
    await strict.post(f"{here}/activate", token=admin)
    await strict.post(f"{here}/deactivate", token=admin)
    assert not await is_answered(strict, NUMBER)
    log = await strict.run(
        "SELECT action FROM audit_log WHERE action LIKE '%activated' ORDER BY id"
    )
    assert [row["action"] for row in log] == ["phone_number.activated", "phone_number.deactivated"]


async def test_a_workspace_does_not_approve_its_own(strict: Api) -> None:
    number, path, token = await registered(strict)
    for status in ({"status": "active"}, {"friendly_name": "x", "status": "active"}):
        assert (await strict.put(f"{path}/{number['id']}", status, token)).status == 422
    await strict.put(f"{path}/{number['id']}", {"friendly_name": "x"}, token)
    refused = await strict.post(f"/admin/phone-numbers/{number['id']}/activate", token=token)
    assert refused.status == 401
    assert not await is_answered(strict, NUMBER)


async def test_what_somebody_took_is_given_to_who_has_it(api: Api) -> None:
    number, _, _ = await registered(api)
    owner, token = await api.person()
    path = f"/workspaces/{await api.workspace(owner)}/phone-numbers"
    assert (await api.post(path, {"phone_number": NUMBER}, token)).status == 409
    admin = await api.admin("support")
    assert (await api.delete(f"/admin/phone-numbers/{number['id']}", admin)).status == 204
    assert (await api.delete(f"/admin/phone-numbers/{number['id']}", admin)).status == 404
    assert (await api.post(path, {"phone_number": NUMBER}, token)).status == 201


async def test_filters_and_pages(api: Api) -> None:
    first, path, _ = await registered(api, name="First")
    await registered(api, "+14155550124", "Second")
    admin = await api.admin("read-only")

    async def listed(query: str) -> list[str]:
        found = (await api.get(f"/admin/phone-numbers{query}", admin)).json["phone_numbers"]
        return [one["workspace_name"] for one in found]

    assert await listed("") == ["Second", "First"]
    assert await listed("?search=0123") == ["First"]
    assert await listed("?search=%25") == []
    assert await listed(f"?workspace_id={path.split('/')[2]}") == ["First"]
    assert await listed("?status=inactive") == []
    assert await listed("?limit=1&page=2") == ["First"]
    beyond = (await api.get("/admin/phone-numbers?page=9", admin)).json
    assert (beyond["phone_numbers"], beyond["total"]) == ([], 2)
    assert UUID(first["id"])


@pytest.mark.parametrize("role", ["finance", "read-only"])
async def test_who_may_only_look(api: Api, role: str) -> None:
    number, _, _ = await registered(api)
    token = await api.admin(role)
    here = f"/admin/phone-numbers/{number['id']}"
    assert (await api.get("/admin/phone-numbers", token)).status == 200
    assert (await api.post(f"{here}/activate", token=token)).status == 403
    assert (await api.post(f"{here}/deactivate", token=token)).status == 403
    assert (await api.delete(here, token)).status == 403
