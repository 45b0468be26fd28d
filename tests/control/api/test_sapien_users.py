"""Sapien's users: people in customers."""

import pytest

from tests.support.api import Api
from tests.support.sapien_users import new_user, number_of, token_of, user_number

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


async def test_a_user_who_goes_or_may_less_leaves_no_key_that_does_more(api: Api) -> None:
    owner, _ = await api.person()
    workspace_id = await api.workspace(owner)
    _, admin = await api.member(workspace_id, "admin")
    client = await api.oauth()

    async def key(role: str) -> str:
        path = f"/workspaces/{workspace_id}/api-keys"
        answer = await api.post(path, {"name": role, "role": role}, admin)
        return str(answer.json["key"])

    keys = {role: await key(role) for role in ("admin", "member")}
    listed = (await api.get("/api/v1/users?role=admin", client)).json["data"]
    (number,) = [one["id"] for one in listed if one["email"].startswith("someone")][-1:]

    async def works(role: str) -> bool:
        return (await api.get(f"/workspaces/{workspace_id}/calls", keys[role])).status == 200

    assert await works("admin")
    assert (await api.put(f"/api/v1/users/{number}", {"role": "user"}, client)).status == 200
    assert (await works("admin"), await works("member")) == (False, True)
    assert (await api.delete(f"/api/v1/users/{number}", client)).status == 204
    assert not await works("member")
