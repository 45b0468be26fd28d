"""Sapien's users: changing and deleting them."""

import asyncio
from uuid import UUID

import pytest

from tests.support.api import Api
from tests.support.sapien_users import new_user, number_of, token_of, user_number


@pytest.fixture
async def acme(api: Api) -> int:
    """A customer."""
    return await number_of(api, await api.workspace())


class TestChanging:
    async def test_only_what_is_given_changes(self, api: Api, acme: int) -> None:
        token = await api.oauth()
        settings = {"timezone": "Europe/London", "language": "en_GB"}
        body = new_user(acme, extension="102", settings=settings)
        number = (await api.post("/api/v1/users", body, token)).json["data"]["id"]
        change = {"last_name": "Smith", "role": "manager", "settings": {"language": "de"}}
        changed = (await api.put(f"/api/v1/users/{number}", change, token)).json["data"]
        assert (changed["first_name"], changed["last_name"]) == ("Jane", "Smith")
        assert (changed["role"], changed["extension"]) == ("manager", "102")
        assert changed["settings"] == {"timezone": "Europe/London", "language": "de"}
        name = (await api.run("SELECT name FROM users"))[0]["name"]
        assert name == "Jane Smith"

    async def test_the_extension_moves_and_goes(self, api: Api, acme: int) -> None:
        token = await api.oauth()
        body = new_user(acme, extension="102")
        number = (await api.post("/api/v1/users", body, token)).json["data"]["id"]
        place = f"/api/v1/users/{number}"
        moved = await api.put(place, {"extension": "103"}, token)
        assert moved.json["data"]["extension"] == "103"
        gone = await api.put(place, {"extension": None}, token)
        assert gone.json["data"]["extension"] is None
        free = (await api.get("/api/v1/extensions", token)).json["data"]
        assert [(one["extension"], one["user_id"]) for one in free] == [
            ("102", None),
            ("103", None),
        ]

    async def test_a_new_password_ends_old_logins(self, api: Api, acme: int) -> None:
        token = await api.oauth()
        body = new_user(acme)
        number = (await api.post("/api/v1/users", body, token)).json["data"]["id"]
        his = await token_of(api, body["email"], body["password"])
        answer = await api.put(f"/api/v1/users/{number}", {"password": "An0ther-One"}, token)
        assert answer.status == 200
        assert (await api.get("/api/v1/users", his)).status == 401
        assert await token_of(api, body["email"], body["password"]) is None
        assert await token_of(api, body["email"], "An0ther-One") is not None
        log = await api.run("SELECT details FROM audit_log WHERE action = 'user.updated'")
        assert log[0]["details"]["password_changed"] is True
        assert "An0ther-One" not in str(log[0]["details"])

    async def test_an_email_that_another_has(self, api: Api, acme: int) -> None:
        token = await api.oauth()
        await api.post("/api/v1/users", new_user(acme), token)
        body = new_user(acme, email="second@example.com")
        number = (await api.post("/api/v1/users", body, token)).json["data"]["id"]
        change = {"email": "JANE.doe@example.com"}
        answer = await api.put(f"/api/v1/users/{number}", change, token)
        assert (answer.status, answer.fields) == (422, {"email"})

    async def test_who_signed_up_himself_is_nobody_elses_to_change(self, api: Api) -> None:
        workspace = await api.workspace()
        person, _ = await api.member(workspace, "member")
        place = f"/api/v1/users/{await user_number(api, person)}"
        token = await api.oauth(workspace_id=workspace)
        for change in ({"password": "St0len-it"}, {"email": "thief@example.com"}):
            answer = await api.put(place, change, token)
            assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
        assert (await api.put(place, {"role": "manager"}, token)).status == 200

    async def test_nor_is_who_is_in_another_customer_too(self, api: Api) -> None:
        workspace, other = await api.workspace(), await api.workspace()
        token = await api.oauth(workspace_id=workspace)
        body = new_user(await number_of(api, workspace))
        made = (await api.post("/api/v1/users", body, token)).json["data"]
        await api.run(
            "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'owner')",
            other,
            UUID(made["uuid"]),
        )
        place = f"/api/v1/users/{made['id']}"
        answer = await api.put(place, {"password": "St0len-it"}, token)
        assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
        assert (await api.delete(place, token)).status == 204
        left = await api.run("SELECT workspace_id FROM members")
        assert [row["workspace_id"] for row in left] == [other]

    async def test_an_owner_stays_one_when_made_admin(self, api: Api) -> None:
        workspace = await api.workspace()
        owner, _ = await api.member(workspace, "owner")
        place, token = f"/api/v1/users/{await user_number(api, owner)}", await api.oauth()
        assert (await api.put(place, {"role": "admin"}, token)).status == 200
        assert (await api.run("SELECT role FROM members"))[0]["role"] == "owner"
        last = await api.put(place, {"role": "user"}, token)
        assert (last.status, last.code) == (409, "CONFLICT")
        await api.member(workspace, "owner")
        assert (await api.put(place, {"role": "user"}, token)).json["data"]["role"] == "user"


class TestDeleting:
    async def test_a_deleted_user_is_gone(self, api: Api, acme: int) -> None:
        token = await api.oauth()
        body = new_user(acme, extension="102")
        number = (await api.post("/api/v1/users", body, token)).json["data"]["id"]
        assert (await api.delete(f"/api/v1/users/{number}", token)).status == 204
        assert (await api.get(f"/api/v1/users/{number}", token)).status == 404
        assert await api.run("SELECT FROM users") == []
        kept = (await api.get("/api/v1/extensions", token)).json["data"]
        assert [one["user_id"] for one in kept] == [None]
        assert (await api.post("/api/v1/users", body, token)).status == 201

    async def test_the_last_owner_stays(self, api: Api) -> None:
        workspace = await api.workspace()
        numbers = [
            await user_number(api, (await api.member(workspace, "owner"))[0]) for _ in range(2)
        ]
        token = await api.oauth()
        assert (await api.delete(f"/api/v1/users/{numbers[0]}", token)).status == 204
        last = await api.delete(f"/api/v1/users/{numbers[1]}", token)
        assert (last.status, last.code) == (409, "CONFLICT")


class TestTheLastActiveOwner:
    """An owner who cannot log in keeps no workspace going."""

    @staticmethod
    async def owners(api: Api, *statuses: str) -> list[str]:
        """The places of a workspace's owners, by their statuses."""
        workspace, places = await api.workspace(), []
        for status in statuses:
            user_id, _ = await api.member(workspace, "owner")
            await api.run("UPDATE users SET status = $2 WHERE id = $1", user_id, status)
            places.append(f"/api/v1/users/{await user_number(api, user_id)}")
        return places

    @pytest.mark.parametrize("change", [{"role": "user"}, {"status": "inactive"}, None])
    async def test_he_stays(self, api: Api, change: dict[str, str] | None) -> None:
        active, _ = await self.owners(api, "active", "inactive")
        token = await api.oauth()
        if change is None:
            answer = await api.delete(active, token)
        else:
            answer = await api.put(active, change, token)
        assert (answer.status, answer.code) == (409, "CONFLICT")
        kept = (await api.get(active, token)).json["data"]
        assert (kept["role"], kept["status"]) == ("admin", "active")

    @pytest.mark.parametrize("change", [{"role": "user"}, {"status": "inactive"}, None])
    async def test_an_inactive_one_may_go(self, api: Api, change: dict[str, str] | None) -> None:
        _, inactive = await self.owners(api, "active", "inactive")
        token = await api.oauth()
        if change is None:
            assert (await api.delete(inactive, token)).status == 204
        else:
            assert (await api.put(inactive, change, token)).status == 200

    async def test_of_two_one_may_go(self, api: Api) -> None:
        first, second = await self.owners(api, "active", "active")
        token = await api.oauth()
        assert (await api.put(first, {"status": "inactive"}, token)).status == 200
        assert (await api.put(second, {"status": "inactive"}, token)).status == 409
        assert (await api.put(first, {"status": "active"}, token)).status == 200
        assert (await api.put(second, {"status": "inactive"}, token)).status == 200

    async def test_two_who_go_at_the_same_time_do_not_both(self, api: Api) -> None:
        for change in ({"status": "inactive"}, {"role": "user"}):
            places = await self.owners(api, "active", "active")
            token = await api.oauth()
            answers = await asyncio.gather(*(api.put(one, change, token) for one in places))
            assert sorted(one.status for one in answers) == [200, 409]

    async def test_another_workspace_needs_him_too(self, api: Api) -> None:
        first, _ = await self.owners(api, "active", "active")
        alone = await api.workspace()
        (row,) = await api.run(
            "SELECT user_id FROM members WHERE number = $1", int(first.rpartition("/")[2])
        )
        await api.run(
            "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'owner')",
            alone,
            row["user_id"],
        )
        answer = await api.put(first, {"status": "inactive"}, await api.oauth())
        assert (answer.status, answer.code) == (409, "CONFLICT")
