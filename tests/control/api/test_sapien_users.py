"""Sapien's users: people in customers."""

from typing import Any
from uuid import UUID

import pytest

from control.db import accounts
from control.db.database import PLATFORM
from tests.support.api import PASSWORD, Api

LISTED = {
    "id",
    "uuid",
    "email",
    "first_name",
    "last_name",
    "role",
    "customer_id",
    "extension",
    "status",
    "last_login_at",
    "created_at",
}
CREATED = {"id", "uuid", "email", "first_name", "last_name", "role", "status", "created_at"}


def new_user(customer_id: int, **fields: Any) -> dict[str, Any]:
    return {
        "email": "jane.doe@example.com",
        "first_name": "Jane",
        "last_name": "Doe",
        "password": "SecureP@ssw0rd!",
        "role": "user",
        "customer_id": customer_id,
        **fields,
    }


async def number_of(api: Api, workspace_id: UUID) -> int:
    rows = await api.run("SELECT number FROM workspaces WHERE id = $1", workspace_id)
    return int(rows[0]["number"])


async def user_number(api: Api, user_id: UUID) -> int:
    rows = await api.run("SELECT number FROM members WHERE user_id = $1", user_id)
    return int(rows[0]["number"])


async def token_of(
    api: Api, email: str, password: str = PASSWORD, scope: str = "admin"
) -> str | None:
    """Log in by the password grant of a client of the platform."""
    async with api.plane.db.transaction(PLATFORM) as db:
        row = await accounts.client(db, "portal")
        if row is None:
            from control.auth.tokens import digest

            await accounts.insert_client(
                db,
                "portal",
                digest("secret"),
                "portal",
                workspace_id=None,
                scopes=("read", "write", "admin"),
                password_grant=True,
                tier="enterprise",
            )
    form = {
        "grant_type": "password",
        "client_id": "portal",
        "client_secret": "secret",
        "username": email,
        "password": password,
        "scope": scope,
    }
    answer = await api.post("/oauth/v2/token", data=form)
    return answer.json.get("access_token")


@pytest.fixture
async def acme(api: Api) -> int:
    """A customer."""
    return await number_of(api, await api.workspace())


class TestCreating:
    async def test_a_user_is_there_as_he_was_made(self, api: Api, acme: int) -> None:
        token = await api.oauth()
        settings = {
            "timezone": "Europe/London",
            "language": "en_GB",
            "notifications": {"email": True, "sms": False},
        }
        body = new_user(acme, extension="102", settings=settings)
        made = await api.post("/api/v1/users", body, token)
        assert made.status == 201
        assert set(made.json["data"]) == CREATED
        found = (await api.get(f"/api/v1/users/{made.json['data']['id']}", token)).json["data"]
        assert set(found) == {*LISTED, "settings"}
        assert (found["customer_id"], found["extension"]) == (acme, "102")
        assert found["settings"] == settings
        extensions = (await api.get("/api/v1/extensions", token)).json["data"]
        assert [(one["extension"], one["user_id"], one["name"]) for one in extensions] == [
            ("102", found["id"], "Jane Doe")
        ]

    async def test_he_logs_in_with_his_password(self, api: Api, acme: int) -> None:
        body = new_user(acme, password="  Blanks count 7 ")
        await api.post("/api/v1/users", body, await api.oauth())
        token = await token_of(api, body["email"], body["password"])
        seen = await api.get("/api/v1/users", token)
        assert [one["email"] for one in seen.json["data"]] == [body["email"]]
        assert seen.json["data"][0]["last_login_at"] is not None

    @pytest.mark.parametrize("email", ["jane.doe@example.com", "Jane.Doe@Example.COM"])
    async def test_a_known_email(self, api: Api, acme: int, email: str) -> None:
        token = await api.oauth()
        await api.post("/api/v1/users", new_user(acme), token)
        other = await number_of(api, await api.workspace())
        answer = await api.post("/api/v1/users", new_user(other, email=email), token)
        assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
        expected = [{"field": "email", "message": "Email is already registered"}]
        assert answer.json["error"]["details"] == expected

    @pytest.mark.parametrize("password", ["short1!", "alllowercase", "12345678", "x" * 300])
    async def test_a_weak_password(self, api: Api, acme: int, password: str) -> None:
        answer = await api.post(
            "/api/v1/users", new_user(acme, password=password), await api.oauth()
        )
        assert (answer.status, answer.fields) == (422, {"password"})
        assert password not in answer.body.decode()

    async def test_every_wrong_field_is_told_at_once(self, api: Api) -> None:
        wrong = {
            "email": "nobody",
            "first_name": "",
            "last_name": 7,
            "password": "x",
            "role": "owner",
            "customer_id": -1,
            "extension": "1; DROP",
            "settings": {"timezone": "Mars/Base", "notifications": {"fax": True}},
            "is_owner": True,
        }
        answer = await api.post("/api/v1/users", wrong, await api.oauth())
        assert answer.status == 422
        assert answer.fields == {
            "email",
            "first_name",
            "last_name",
            "password",
            "role",
            "customer_id",
            "extension",
            "settings.timezone",
            "settings.notifications.fax",
            "is_owner",
        }

    async def test_an_extension_of_somebody_else(self, api: Api, acme: int) -> None:
        token = await api.oauth()
        await api.post("/api/v1/users", new_user(acme, extension="102"), token)
        queue = {"customer_id": acme, "extension": "800", "name": "Sales", "type": "queue"}
        await api.post("/api/v1/extensions", queue, token)
        for extension in ("102", "800"):
            body = new_user(acme, email="other@example.com", extension=extension)
            answer = await api.post("/api/v1/users", body, token)
            assert (answer.status, answer.fields) == (422, {"extension"})

    async def test_a_free_extension_becomes_his(self, api: Api, acme: int) -> None:
        token = await api.oauth()
        free = {"customer_id": acme, "extension": "105", "name": "Desk"}
        await api.post("/api/v1/extensions", free, token)
        made = await api.post("/api/v1/users", new_user(acme, extension="105"), token)
        listed = (await api.get("/api/v1/extensions", token)).json["data"]
        assert [(one["name"], one["user_id"]) for one in listed] == [
            ("Desk", made.json["data"]["id"])
        ]

    async def test_by_a_workspaces_own_client(self, api: Api) -> None:
        workspace = await api.workspace()
        token = await api.oauth(workspace_id=workspace)
        made = await api.post("/api/v1/users", new_user(await number_of(api, workspace)), token)
        assert made.status == 201
        log = await api.run("SELECT action, details::text FROM audit_log")
        assert [row["action"] for row in log] == ["user.created"]
        assert "SecureP@ssw0rd!" not in log[0]["details"]
        assert "argon2" not in log[0]["details"]


class TestListing:
    async def test_filters_and_pages(self, api: Api) -> None:
        token = await api.oauth()
        first, second = await api.workspace(), await api.workspace()
        for role in ("owner", "admin", "manager", "member"):
            await api.member(first, role)
        await api.member(second, "member")
        number = await number_of(api, first)
        whole = await api.get("/api/v1/users", token)
        assert set(whole.json["data"][0]) == LISTED
        assert whole.json["meta"]["total"] == 5
        mine = await api.get(f"/api/v1/users?customer_id={number}&limit=3&page=2", token)
        assert (len(mine.json["data"]), mine.json["meta"]["total_pages"]) == (1, 2)
        admins = await api.get("/api/v1/users?role=admin", token)
        assert [one["role"] for one in admins.json["data"]] == ["admin", "admin"]
        await api.run("UPDATE users SET status = 'suspended' WHERE email LIKE 'someone%'")
        assert (await api.get("/api/v1/users?status=active", token)).json["data"] == []

    async def test_who_signed_up_has_names_too(self, api: Api) -> None:
        await api.member(await api.workspace(), "member")
        one = (await api.get("/api/v1/users", await api.oauth())).json["data"][0]
        assert (one["first_name"], one["last_name"]) == ("Some", "One")

    @pytest.mark.parametrize(
        "query", ["role=owner", "status=gone", "customer_id=x", "customer_id=0", "limit=0"]
    )
    async def test_a_wrong_query_is_refused(self, api: Api, query: str) -> None:
        answer = await api.get(f"/api/v1/users?{query}", await api.oauth())
        assert (answer.status, answer.fields) == (422, {query.partition("=")[0]})


class TestTenants:
    async def test_another_tenants_users_are_as_if_they_were_not_there(self, api: Api) -> None:
        mine, other = await api.workspace(), await api.workspace()
        stranger = await user_number(api, (await api.member(other, "member"))[0])
        customer = await number_of(api, other)
        token = await api.oauth(workspace_id=mine)
        for asked in ("", f"?customer_id={customer}", "?customer_id=999999"):
            listed = await api.get(f"/api/v1/users{asked}", token)
            assert (listed.json["data"], listed.json["meta"]["total"]) == ([], 0)
        for number in (stranger, 999_999):
            for answer in (
                await api.get(f"/api/v1/users/{number}", token),
                await api.put(f"/api/v1/users/{number}", {"role": "admin"}, token),
                await api.delete(f"/api/v1/users/{number}", token),
            ):
                assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")
        answers = [
            await api.post("/api/v1/users", new_user(number), token)
            for number in (customer, 999_999)
        ]
        assert [(one.status, one.fields) for one in answers] == [(422, {"customer_id"})] * 2

    async def test_a_person_sees_the_customers_he_is_in(self, api: Api) -> None:
        mine, other = await api.workspace(), await api.workspace()
        await api.member(mine, "owner")
        await api.member(other, "owner")
        person, _ = await api.member(mine, "member")
        email = (await api.run("SELECT email FROM users WHERE id = $1", person))[0]["email"]
        token = await token_of(api, email)
        seen = (await api.get("/api/v1/users", token)).json["data"]
        assert {one["customer_id"] for one in seen} == {await number_of(api, mine)}


class TestRoles:
    @pytest.mark.parametrize(
        ("role", "status"), [("owner", 201), ("admin", 201), ("manager", 403), ("member", 403)]
    )
    async def test_a_client_may_what_its_person_may(self, api: Api, role: str, status: int) -> None:
        workspace = await api.workspace()
        person, _ = await api.member(workspace, role)
        email = (await api.run("SELECT email FROM users WHERE id = $1", person))[0]["email"]
        token = await token_of(api, email)
        number = await number_of(api, workspace)
        made = await api.post("/api/v1/users", new_user(number), token)
        assert made.status == status
        if status == 403:
            myself = await user_number(api, person)
            answer = await api.put(f"/api/v1/users/{myself}", {"role": "admin"}, token)
            assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")

    async def test_an_admin_does_not_touch_an_owner(self, api: Api) -> None:
        workspace = await api.workspace()
        owners = [await user_number(api, (await api.member(workspace, "owner"))[0])] * 2
        person, _ = await api.member(workspace, "admin")
        email = (await api.run("SELECT email FROM users WHERE id = $1", person))[0]["email"]
        token = await token_of(api, email)
        for answer in (
            await api.put(f"/api/v1/users/{owners[0]}", {"role": "user"}, token),
            await api.delete(f"/api/v1/users/{owners[0]}", token),
        ):
            assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")

    async def test_scopes(self, api: Api, acme: int) -> None:
        reader, writer = await api.oauth(("read",)), await api.oauth(("write",))
        for answer in (
            await api.post("/api/v1/users", new_user(acme), reader),
            await api.delete("/api/v1/users/1001", writer),
        ):
            assert (answer.status, answer.code) == (403, "INSUFFICIENT_SCOPE")

    async def test_a_suspended_customer_is_read_only(self, api: Api) -> None:
        workspace = await api.workspace(status="suspended")
        number = await number_of(api, workspace)
        its_own = await api.oauth(workspace_id=workspace)
        answer = await api.post("/api/v1/users", new_user(number), its_own)
        assert (answer.status, answer.code) == (403, "WORKSPACE_SUSPENDED")
        assert (await api.get("/api/v1/users", its_own)).status == 200
        made = await api.post("/api/v1/users", new_user(number), await api.oauth())
        assert made.status == 201


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
