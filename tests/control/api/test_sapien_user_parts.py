"""Sapien's users: a change of a part keeps the rest, and both APIs show one person."""

from typing import Any
from uuid import UUID

import pytest

from control.auth import tokens
from control.db import users
from control.db.database import PLATFORM
from tests.support.api import Api
from tests.support.sapien_users import new_user, number_of, token_of, user_number


@pytest.fixture
async def acme(api: Api) -> int:
    """A customer."""
    return await number_of(api, await api.workspace())


async def made_user(api: Api, customer: int, **fields: Any) -> tuple[str, UUID]:
    """A new user's place, and who he is."""
    answer = await api.post("/api/v1/users", new_user(customer, **fields), await api.oauth())
    return f"/api/v1/users/{answer.json['data']['id']}", UUID(answer.json["data"]["uuid"])


async def names_in_both(api: Api, place: str, person: UUID) -> tuple[str, str, str]:
    """The first and the last name, and the one that the portal has."""
    shown = (await api.get(place, await api.oauth())).json["data"]
    portal = (await api.get(f"/admin/users/{person}", await api.admin())).json["user"]
    return shown["first_name"], shown["last_name"], portal["name"]


class TestNames:
    @pytest.mark.parametrize(
        ("name", "change", "names"),
        [
            ("Demo Person", {"last_name": "New"}, ("Demo", "New", "Demo New")),
            ("Demo Person", {"first_name": "New"}, ("New", "Person", "New Person")),
            ("Demo", {"last_name": "New"}, ("Demo", "New", "Demo New")),
            ("Demo", {"first_name": "New"}, ("New", "", "New")),
            ("Demo Person", {"first_name": "Demo"}, ("Demo", "Person", "Demo Person")),
        ],
    )
    async def test_one_of_them_keeps_the_other(
        self, api: Api, name: str, change: dict[str, str], names: tuple[str, str, str]
    ) -> None:
        person, _ = await api.member(await api.workspace(), "member")
        await api.run("UPDATE users SET name = $1 WHERE id = $2", name, person)
        place = f"/api/v1/users/{await user_number(api, person)}"
        changed = (await api.put(place, change, await api.oauth())).json["data"]
        assert (changed["first_name"], changed["last_name"]) == names[:2]
        assert await names_in_both(api, place, person) == names

    async def test_a_name_of_the_portal_is_sapiens_too(self, api: Api, acme: int) -> None:
        place, person = await made_user(api, acme, first_name="Jane Mary")
        admin = await api.admin()
        await api.put(f"/admin/users/{person}", {"name": "Jane Mary Doe"}, admin)
        assert await names_in_both(api, place, person) == ("Jane Mary", "Doe", "Jane Mary Doe")
        await api.put(f"/admin/users/{person}", {"name": "Ann Roe"}, admin)
        assert await names_in_both(api, place, person) == ("Ann", "Roe", "Ann Roe")
        await api.put(place, {"email": "ann@example.com"}, await api.oauth())
        assert await names_in_both(api, place, person) == ("Ann", "Roe", "Ann Roe")
        rows = await api.run("SELECT first_name, last_name FROM users WHERE id = $1", person)
        assert tuple(rows[0]) == ("", "")

    async def test_whoever_takes_the_account_over_has_his_own(self, api: Api, acme: int) -> None:
        place, person = await made_user(api, acme)
        async with api.plane.db.transaction(PLATFORM) as db:
            await users.take_over(db, person, "Ann Roe", "a hash", api.plane.now())
        assert await names_in_both(api, place, person) == ("Ann", "Roe", "Ann Roe")
        rows = await api.run("SELECT first_name, last_name FROM users WHERE id = $1", person)
        assert tuple(rows[0]) == ("", "")

    async def test_names_that_are_out_of_date_are_not_shown(self, api: Api, acme: int) -> None:
        place, person = await made_user(api, acme)
        await api.run("UPDATE users SET name = 'Ann Roe' WHERE id = $1", person)
        assert await names_in_both(api, place, person) == ("Ann", "Roe", "Ann Roe")


class TestWhatDoesNotChange:
    async def test_nobody_is_logged_out(self, api: Api, acme: int) -> None:
        place, person = await made_user(api, acme)
        his, client = await token_of(api, "jane.doe@example.com", "SecureP@ssw0rd!"), api.oauth
        same = {"first_name": "Jane", "email": "jane.doe@example.com", "status": "active"}
        for change in (same, {"email": "Jane.Doe@example.com"}, {"last_name": "Roe"}):
            assert (await api.put(place, change, await client())).status == 200
            assert (await api.get("/api/v1/users", his)).status == 200
        for change in ({"email": "other@example.com"}, {"status": "inactive"}):
            holder = tokens.Holder(user_id=person)
            async with api.plane.db.transaction(PLATFORM) as db:
                pair = await tokens.issue(db, holder, api.plane.now())
            await api.put(place, change, await client())
            rows = await api.run(
                "SELECT revoked_at FROM tokens WHERE hash = $1", tokens.digest(pair.access)
            )
            assert rows[0]["revoked_at"] is not None

    async def test_it_is_no_change_of_the_person(self, api: Api) -> None:
        workspace = await api.workspace()
        person, _ = await api.member(workspace, "member")
        token = await api.oauth(workspace_id=workspace)
        place = f"/api/v1/users/{await user_number(api, person)}"
        shown = (await api.get(place, token)).json["data"]
        same = {name: shown[name] for name in ("email", "first_name", "last_name", "status")}
        changed = await api.put(place, {**same, "role": "manager"}, token)
        assert (changed.status, changed.json["data"]["role"]) == (200, "manager")
        assert (await api.put(place, {**same, "first_name": "Other"}, token)).status == 403

    async def test_the_same_extension_leaves_him_his_others(self, api: Api, acme: int) -> None:
        place, _ = await made_user(api, acme, extension="102")
        token = await api.oauth()
        number = int(place.rpartition("/")[2])
        more = {"customer_id": acme, "extension": "103", "name": "Desk", "user_id": number}
        assert (await api.post("/api/v1/extensions", more, token)).status == 201
        await api.put(place, {"extension": "102", "role": "manager"}, token)
        listed = (await api.get("/api/v1/extensions", token)).json["data"]
        assert [one["user_id"] for one in listed] == [number, number]


class TestSettings:
    async def test_a_notification_keeps_the_other(self, api: Api, acme: int) -> None:
        told = {"notifications": {"email": True, "sms": True}}
        place, _ = await made_user(api, acme, settings={**told, "language": "de"})
        change = {"settings": {"notifications": {"email": False}}}
        changed = (await api.put(place, change, await api.oauth())).json["data"]
        kept = {"notifications": {"email": False, "sms": True}, "language": "de"}
        assert changed["settings"] == kept

    async def test_what_was_not_sent_is_as_it_is_by_default(self, api: Api, acme: int) -> None:
        place, _ = await made_user(api, acme, settings={"notifications": {"sms": True}})
        shown = (await api.get(place, await api.oauth())).json["data"]
        assert shown["settings"] == {"notifications": {"email": True, "sms": True}}

    async def test_a_null_that_is_kept_already_is_none(self, api: Api, acme: int) -> None:
        place, _ = await made_user(api, acme)
        kept = {"notifications": None, "language": None, "timezone": "UTC"}
        await api.run("UPDATE members SET settings = $1", kept)
        shown = await api.get(place, await api.oauth())
        assert (shown.status, shown.json["data"]["settings"]) == (200, {"timezone": "UTC"})

    async def test_null_is_none(self, api: Api, acme: int) -> None:
        nothing = {"timezone": None, "notifications": None}
        place, _ = await made_user(api, acme, settings=nothing)
        token = await api.oauth()
        assert (await api.get(place, token)).json["data"]["settings"] == {}
        await api.put(place, {"settings": {"notifications": {"sms": True}}}, token)
        gone = await api.put(place, {"settings": {"notifications": None}}, token)
        assert gone.json["data"]["settings"] == {}
