"""Sapien's extensions."""

from typing import Any
from uuid import UUID

import pytest

from tests.support.api import Api

KEYS = {
    "id",
    "extension",
    "name",
    "type",
    "customer_id",
    "user_id",
    "status",
    "caller_id",
    "voicemail_enabled",
    "recording_enabled",
    "created_at",
}


def new_extension(customer_id: int, **fields: Any) -> dict[str, Any]:
    return {"customer_id": customer_id, "extension": "101", "name": "John Smith", **fields}


async def customer(api: Api) -> tuple[UUID, int]:
    workspace = await api.workspace()
    rows = await api.run("SELECT number FROM workspaces WHERE id = $1", workspace)
    return workspace, rows[0]["number"]


async def user_in(api: Api, workspace: UUID) -> int:
    user_id, _ = await api.member(workspace, "member")
    rows = await api.run("SELECT number FROM members WHERE user_id = $1", user_id)
    return int(rows[0]["number"])


class TestCreating:
    async def test_an_extension_is_there_as_it_was_made(self, api: Api) -> None:
        workspace, number = await customer(api)
        user = await user_in(api, workspace)
        body = new_extension(
            number,
            user_id=user,
            caller_id="+442071234567",
            voicemail_enabled=True,
            recording_enabled=True,
        )
        token = await api.oauth()
        made = await api.post("/api/v1/extensions", body, token)
        assert made.status == 201
        data = made.json["data"]
        assert set(data) == KEYS
        assert data == {
            **body,
            "id": data["id"],
            "type": "user",
            "status": "active",
            "created_at": data["created_at"],
        }
        assert (await api.get(f"/api/v1/extensions/{data['id']}", token)).json["data"] == data
        user_shown = (await api.get(f"/api/v1/users/{user}", token)).json["data"]
        assert user_shown["extension"] == "101"

    async def test_a_number_is_a_customers_once(self, api: Api) -> None:
        token = await api.oauth()
        numbers = [(await customer(api))[1] for _ in range(2)]
        for number in numbers:
            answer = await api.post("/api/v1/extensions", new_extension(number), token)
            assert answer.status == 201
        again = await api.post("/api/v1/extensions", new_extension(numbers[0]), token)
        assert (again.status, again.code, again.fields) == (
            409,
            "DUPLICATE_RESOURCE",
            {"extension"},
        )

    async def test_whose_it_may_be(self, api: Api) -> None:
        workspace, number = await customer(api)
        stranger = await user_in(api, (await customer(api))[0])
        mine = await user_in(api, workspace)
        token = await api.oauth()
        for fields in (
            {"user_id": stranger},
            {"user_id": 999_999},
            {"user_id": mine, "type": "queue"},
        ):
            answer = await api.post("/api/v1/extensions", new_extension(number, **fields), token)
            assert (answer.status, answer.fields) == (422, {"user_id"})

    async def test_every_wrong_field_is_told_at_once(self, api: Api) -> None:
        wrong = {
            "customer_id": 2**63,
            "extension": "1",
            "name": "x" * 256,
            "type": "robot",
            "user_id": "me",
            "status": "gone",
            "caller_id": "112",
            "voicemail_enabled": "perhaps",
            "colour": "red",
        }
        answer = await api.post("/api/v1/extensions", wrong, await api.oauth())
        assert (answer.status, answer.fields) == (422, set(wrong))


class TestListing:
    async def test_filters_and_pages(self, api: Api) -> None:
        token = await api.oauth()
        (_, first), (_, second) = await customer(api), await customer(api)
        kinds = ("user", "queue", "ivr", "parking")
        for index, kind in enumerate(kinds):
            body = new_extension(first, extension=f"10{index}", type=kind)
            await api.post("/api/v1/extensions", body, token)
        off = new_extension(second, status="inactive")
        await api.post("/api/v1/extensions", off, token)
        for query, expected in {
            "": 5,
            f"?customer_id={first}": 4,
            "?type=ivr": 1,
            "?status=inactive": 1,
            f"?customer_id={first}&status=inactive": 0,
            "?customer_id=999999": 0,
        }.items():
            answer = await api.get(f"/api/v1/extensions{query}", token)
            assert len(answer.json["data"]) == answer.json["meta"]["total"] == expected
        page = await api.get("/api/v1/extensions?limit=2&page=3", token)
        assert len(page.json["data"]) == 1
        assert page.json["meta"] == {
            "current_page": 3,
            "per_page": 2,
            "total": 5,
            "total_pages": 3,
        }

    @pytest.mark.parametrize("query", ["type=fax", "status=gone", "customer_id=-1", "page=0"])
    async def test_a_wrong_query_is_refused(self, api: Api, query: str) -> None:
        answer = await api.get(f"/api/v1/extensions?{query}", await api.oauth())
        assert (answer.status, answer.fields) == (422, {query.partition("=")[0]})


class TestChanging:
    async def test_only_what_is_given_changes(self, api: Api) -> None:
        token = await api.oauth()
        workspace, number = await customer(api)
        user = await user_in(api, workspace)
        body = new_extension(number, user_id=user, caller_id="+442071234567")
        made = (await api.post("/api/v1/extensions", body, token)).json["data"]
        place = f"/api/v1/extensions/{made['id']}"
        change = {"name": "Jane", "status": "inactive", "caller_id": None, "extension": None}
        changed = (await api.put(place, change, token)).json["data"]
        assert changed == {**made, "name": "Jane", "status": "inactive", "caller_id": None}
        queue = (await api.put(place, {"type": "queue"}, token)).json["data"]
        assert (queue["type"], queue["user_id"]) == ("queue", None)
        answer = await api.put(place, {"user_id": user}, token)
        assert (answer.status, answer.fields) == (422, {"user_id"})
        both = await api.put(place, {"user_id": user, "type": "user"}, token)
        assert both.json["data"]["user_id"] == user

    async def test_to_a_number_that_is_taken(self, api: Api) -> None:
        token = await api.oauth()
        _, number = await customer(api)
        await api.post("/api/v1/extensions", new_extension(number), token)
        body = new_extension(number, extension="102")
        made = (await api.post("/api/v1/extensions", body, token)).json["data"]
        answer = await api.put(f"/api/v1/extensions/{made['id']}", {"extension": "101"}, token)
        assert (answer.status, answer.code) == (409, "DUPLICATE_RESOURCE")

    async def test_a_deleted_one_is_gone_and_written_down(self, api: Api) -> None:
        token = await api.oauth()
        _, number = await customer(api)
        made = (await api.post("/api/v1/extensions", new_extension(number), token)).json["data"]
        place = f"/api/v1/extensions/{made['id']}"
        await api.put(place, {"name": "Jane"}, token)
        assert (await api.delete(place, token)).status == 204
        assert (await api.get(place, token)).status == 404
        log = await api.run("SELECT action, details FROM audit_log ORDER BY id")
        assert [row["action"] for row in log] == [
            "extension.created",
            "extension.updated",
            "extension.deleted",
        ]
        changed = [log[1]["details"][when]["name"] for when in ("before", "after")]
        assert changed == ["John Smith", "Jane"]


class TestTenants:
    async def test_another_tenants_extension_is_as_if_it_were_not_there(self, api: Api) -> None:
        (mine, _), (_, other) = await customer(api), await customer(api)
        everything, token = await api.oauth(), await api.oauth(workspace_id=mine)
        body = new_extension(other)
        theirs = (await api.post("/api/v1/extensions", body, everything)).json["data"]["id"]
        for query in ("", f"?customer_id={other}"):
            assert (await api.get(f"/api/v1/extensions{query}", token)).json["data"] == []
        for number in (theirs, 999_999):
            for answer in (
                await api.get(f"/api/v1/extensions/{number}", token),
                await api.put(f"/api/v1/extensions/{number}", {"name": "Mine"}, token),
                await api.delete(f"/api/v1/extensions/{number}", token),
            ):
                assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")
        for number in (other, 999_999):
            answer = await api.post("/api/v1/extensions", new_extension(number), token)
            assert (answer.status, answer.fields) == (422, {"customer_id"})

    async def test_scopes(self, api: Api) -> None:
        _, number = await customer(api)
        for answer in (
            await api.post("/api/v1/extensions", new_extension(number), await api.oauth(("read",))),
            await api.delete("/api/v1/extensions/1", await api.oauth(("write",))),
        ):
            assert (answer.status, answer.code) == (403, "INSUFFICIENT_SCOPE")
