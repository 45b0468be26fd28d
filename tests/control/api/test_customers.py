"""Sapien's customers."""

from typing import Any
from uuid import UUID

import pytest

from control.auth import tokens
from control.db.database import PLATFORM
from tests.support.api import Api
from tests.support.identity import frozen
from tests.support.locks import first

NEW: dict[str, Any] = {
    "name": "New Corporation",
    "email": "contact@newcorp.com",
    "phone": "+442079876543",
    "address": {
        "line1": "456 Business Road",
        "city": "Manchester",
        "postcode": "M1 1AA",
        "country": "GB",
    },
    "settings": {"timezone": "Europe/London", "language": "en_GB"},
}


NO_ADDRESS = ("line1", "line2", "city", "postcode", "country")


class TestCreating:
    async def test_a_customer_is_there_as_it_was_made(self, api: Api) -> None:
        token = await api.oauth()
        made = await api.post("/api/v1/customers", NEW, token)
        assert made.status == 201
        assert set(made.json["data"]) == {"id", "uuid", "name", "email", "status", "created_at"}
        found = (await api.get(f"/api/v1/customers/{made.json['data']['id']}", token)).json["data"]
        assert found["address"] == {**NEW["address"], "line2": None}
        assert found["settings"] == NEW["settings"]
        assert found["phone"] == NEW["phone"]
        assert found["created_at"].endswith("+00:00")

    async def test_every_wrong_field_is_told_at_once(self, api: Api) -> None:
        wrong = {
            "name": "",
            "email": "nobody",
            "phone": "0207",
            "address": {"country": "Britain"},
            "settings": {"timezone": "Mars/Base"},
            "colour": "red",
        }
        answer = await api.post("/api/v1/customers", wrong, await api.oauth())
        assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
        assert answer.fields == {
            "name",
            "email",
            "phone",
            "address.country",
            "settings.timezone",
            "colour",
        }

    @pytest.mark.parametrize("body", [b"{", b"[1]", b'"x"', b"\xff\xfe"])
    async def test_what_is_no_object_is_refused(self, api: Api, body: bytes) -> None:
        answer = await api.post("/api/v1/customers", None, await api.oauth(), data=body)
        assert answer.status in (400, 422)

    async def test_the_same_key_makes_one_customer(self, api: Api) -> None:
        token = await api.oauth()
        headers = {"Idempotency-Key": "once"}
        first = await api.post("/api/v1/customers", NEW, token, headers=headers)
        second = await api.post("/api/v1/customers", NEW, token, headers=headers)
        assert second.json == first.json
        assert second.headers["Idempotency-Replayed"] == "true"
        other = await api.post(
            "/api/v1/customers", {**NEW, "name": "Other"}, token, headers=headers
        )
        assert (other.status, other.code) == (409, "IDEMPOTENCY_KEY_REUSED")
        assert (await api.get("/api/v1/customers", token)).json["meta"]["total"] == 1

    async def test_a_workspaces_client_makes_none(self, api: Api) -> None:
        token = await api.oauth(workspace_id=await api.workspace())
        answer = await api.post("/api/v1/customers", NEW, token)
        assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")


class TestListing:
    async def test_pages_are_counted(self, api: Api) -> None:
        for number in range(5):
            await api.workspace(name=f"Customer {number}")
        answer = await api.get("/api/v1/customers?page=2&limit=2", await api.oauth(("read",)))
        assert [one["name"] for one in answer.json["data"]] == ["Customer 2", "Customer 3"]
        assert answer.json["meta"] == {
            "current_page": 2,
            "per_page": 2,
            "total": 5,
            "total_pages": 3,
        }

    async def test_a_page_behind_the_last_is_empty_and_still_counts(self, api: Api) -> None:
        await api.workspace()
        answer = await api.get("/api/v1/customers?page=9", await api.oauth())
        assert (answer.json["data"], answer.json["meta"]["total"]) == ([], 1)

    @pytest.mark.parametrize("search", ["%", "_", "\\", "'; DROP TABLE users; --", "a' OR '1'='1"])
    async def test_a_search_is_text_and_nothing_else(self, api: Api, search: str) -> None:
        await api.workspace(name="Acme")
        answer = await api.get(f"/api/v1/customers?search={search}", await api.oauth())
        assert answer.json["data"] == []

    @pytest.mark.parametrize(
        "query", ["page=0", "page=-1", "limit=101", "limit=x", "sort=password", "order=up"]
    )
    async def test_a_wrong_query_is_refused(self, api: Api, query: str) -> None:
        answer = await api.get(f"/api/v1/customers?{query}", await api.oauth())
        assert (answer.status, answer.fields) == (422, {query.partition("=")[0]})

    async def test_status_and_order(self, api: Api) -> None:
        await api.workspace(name="Awake")
        await api.workspace(name="Asleep", status="suspended")
        token = await api.oauth()
        asleep = await api.get("/api/v1/customers?status=inactive", token)
        assert [one["name"] for one in asleep.json["data"]] == ["Asleep"]
        down = await api.get("/api/v1/customers?order=desc", token)
        assert [one["name"] for one in down.json["data"]] == ["Awake", "Asleep"]

    @pytest.mark.parametrize(
        ("sort", "up", "down"),
        [("status", "BCA", "ABC"), ("email", "CAB", "BAC"), ("updated_at", "ACB", "BCA")],
    )
    async def test_sorts_are_of_what_is_shown(
        self, api: Api, sort: str, up: str, down: str
    ) -> None:
        await api.workspace(name="A", email="b@example.com", status="suspended")
        await api.workspace(name="B", email="C@example.com", status="trial")
        await api.workspace(name="C", email="a@example.com")
        token = await api.oauth()
        number = (await api.get("/api/v1/customers?search=C@", token)).json["data"][0]["id"]
        await api.put(f"/api/v1/customers/{number}", {"phone": "+442071234567"}, token)
        for order, names in (("asc", up), ("desc", down)):
            path = f"/api/v1/customers?sort={sort}&order={order}"
            found = (await api.get(path, token)).json["data"]
            assert "".join(one["name"] for one in found) == names


class TestWhoMay:
    async def test_without_a_token_nobody(self, api: Api) -> None:
        for token in (None, "", "nonsense", "x" * 8_000):
            answer = await api.get("/api/v1/customers", token)
            assert (answer.status, answer.code) == (401, "INVALID_TOKEN")

    async def test_a_token_without_the_scope(self, api: Api) -> None:
        answer = await api.post("/api/v1/customers", NEW, await api.oauth(("read",)))
        assert (answer.status, answer.code) == (403, "INSUFFICIENT_SCOPE")
        challenge = 'Bearer error="insufficient_scope", scope="write"'
        assert answer.headers["WWW-Authenticate"] == challenge

    async def test_another_tenants_customer_is_as_if_it_were_not_there(self, api: Api) -> None:
        mine, other = await api.workspace(name="Mine"), await api.workspace(name="Other")
        token = await api.oauth(workspace_id=mine)
        listed = await api.get("/api/v1/customers", token)
        assert [one["uuid"] for one in listed.json["data"]] == [str(mine)]
        number = (await api.run("SELECT number FROM workspaces WHERE id = $1", other))[0]["number"]
        for answer in (
            await api.get(f"/api/v1/customers/{number}", token),
            await api.put(f"/api/v1/customers/{number}", {"name": "Stolen"}, token),
            await api.delete(f"/api/v1/customers/{number}", token),
            await api.get("/api/v1/customers/999999999", token),
        ):
            assert (answer.status, answer.code) == (404, "CUSTOMER_NOT_FOUND")

    @pytest.mark.parametrize("number", ["99999", "0", "-1", "abc", str(UUID(int=7)), "9" * 23])
    async def test_an_id_that_none_has(self, api: Api, number: str) -> None:
        token, place = await api.oauth(), f"/api/v1/customers/{number}"
        for answer in (
            await api.get(place, token),
            await api.put(place, {"name": "New"}, token),
            await api.delete(place, token),
        ):
            assert (answer.status, answer.code) == (404, "CUSTOMER_NOT_FOUND")
        assert (await api.get(place)).code == "INVALID_TOKEN"
        assert (await api.delete(place, await api.oauth(("read",)))).code == "INSUFFICIENT_SCOPE"

    async def test_the_refusal_names_the_number(self, api: Api) -> None:
        answer = await api.get("/api/v1/customers/99999", await api.oauth())
        assert answer.json["error"]["message"] == "Customer with ID 99999 not found"

    async def test_both_prefixes_serve(self, api: Api) -> None:
        answer = await api.get("/v1/customers", await api.oauth())
        assert answer.status == 200

    async def test_the_tiers_limit_is_kept_and_told(self, api: Api) -> None:
        frozen(api)
        token = await api.oauth(tier="standard")
        first = await api.get("/api/v1/customers", token)
        assert first.headers["X-RateLimit-Limit"] == "60"
        left = int(first.headers["X-RateLimit-Remaining"])
        answers = [await api.get("/api/v1/customers", token) for _ in range(left + 1)]
        assert [answer.status for answer in answers] == [200] * left + [429]
        assert answers[-1].code == "RATE_LIMIT_EXCEEDED"
        assert int(answers[-1].headers["Retry-After"]) >= 1


class TestChanging:
    async def test_only_what_is_given_changes(self, api: Api) -> None:
        token = await api.oauth()
        number = (await api.post("/api/v1/customers", NEW, token)).json["data"]["id"]
        changed = await api.put(
            f"/api/v1/customers/{number}", {"phone": None, "status": "inactive"}, token
        )
        assert changed.json["data"]["phone"] is None
        assert changed.json["data"]["status"] == "inactive"
        assert changed.json["data"]["name"] == NEW["name"]

    async def test_null_takes_the_address_away(self, api: Api) -> None:
        token = await api.oauth()
        number = (await api.post("/api/v1/customers", NEW, token)).json["data"]["id"]
        changed = await api.put(f"/api/v1/customers/{number}", {"address": None}, token)
        assert changed.json["data"]["address"] == dict.fromkeys(NO_ADDRESS)

    async def test_a_part_of_the_address_keeps_the_others(self, api: Api) -> None:
        token = await api.oauth()
        number = (await api.post("/api/v1/customers", NEW, token)).json["data"]["id"]
        place = f"/api/v1/customers/{number}"
        change = {"address": {"city": "Leeds", "postcode": None}}
        changed = (await api.put(place, change, token)).json["data"]
        kept = {"line1": "456 Business Road", "city": "Leeds", "country": "GB"}
        assert changed["address"] == {**dict.fromkeys(NO_ADDRESS), **kept}
        assert (await api.get(place, token)).json["data"]["address"] == changed["address"]

    async def test_two_parts_at_the_same_time_are_both_kept(self, api: Api) -> None:
        token = await api.oauth()
        number = (await api.post("/api/v1/customers", NEW, token)).json["data"]["id"]
        place = f"/api/v1/customers/{number}"
        async with first(api) as held:
            await held.db.execute("""UPDATE workspaces SET address = '{"line1": "1 New Road"}'""")
            await held.ask(api.put(place, {"address": {"city": "Leeds"}}, token))
        address = (await held.answer()).json["data"]["address"]
        assert (address["line1"], address["city"]) == ("1 New Road", "Leeds")

    @pytest.mark.parametrize("status", ["active", "trial"])
    async def test_a_status_that_is_shown_already_changes_nothing(
        self, api: Api, status: str
    ) -> None:
        workspace = await api.workspace(status=status)
        place = f"/api/v1/customers/{await number_of(api, workspace)}"
        for token in (await api.oauth(), await api.oauth(workspace_id=workspace)):
            changed = await api.put(place, {"status": "active", "phone": None}, token)
            assert (changed.status, changed.json["data"]["status"]) == (200, "active")
        kept = await api.run("SELECT status FROM workspaces WHERE id = $1", workspace)
        assert kept[0]["status"] == status

    async def test_the_reason_of_a_suspension_ends_with_it(self, api: Api) -> None:
        workspace, admin, token = await api.workspace(), await api.admin(), await api.oauth()
        place = f"/api/v1/customers/{await number_of(api, workspace)}"
        its_own = f"/admin/workspaces/{workspace}"

        async def reason() -> str | None:
            found = (await api.get(its_own, admin)).json["workspace"]["suspended_reason"]
            return None if found is None else str(found)

        await api.post(f"{its_own}/suspend", {"reason": "unpaid"}, admin)
        assert (await api.put(place, {"status": "inactive"}, token)).status == 200
        assert await reason() == "unpaid"
        assert (await api.put(place, {"status": "active"}, token)).status == 200
        assert await reason() is None

    async def test_a_deleted_customer_is_gone(self, api: Api) -> None:
        token = await api.oauth()
        number = (await api.post("/api/v1/customers", NEW, token)).json["data"]["id"]
        assert (await api.delete(f"/api/v1/customers/{number}", token)).status == 204
        assert (await api.get(f"/api/v1/customers/{number}", token)).status == 404
        log = await api.run("SELECT action FROM audit_log ORDER BY id")
        assert [row["action"] for row in log] == ["workspace.created", "workspace.deleted"]


class TestRoles:
    """A client that acts for a person may do what the person may."""

    @pytest.mark.parametrize(
        ("role", "changing", "deleting"),
        [("owner", 200, 204), ("admin", 200, 403), ("manager", 403, 403), ("member", 403, 403)],
    )
    async def test_what_a_person_may(
        self, api: Api, role: str, changing: int, deleting: int
    ) -> None:
        workspace = await api.workspace()
        person, _ = await api.member(workspace, role)
        place = f"/api/v1/customers/{await number_of(api, workspace)}"
        token = await acting_for(api, person)
        assert (await api.put(place, {"name": "New"}, token)).status == changing
        assert (await api.delete(place, token)).status == deleting

    async def test_nobody_wakes_himself(self, api: Api) -> None:
        workspace = await api.workspace(status="suspended")
        place = f"/api/v1/customers/{await number_of(api, workspace)}"
        its_own = await api.oauth(workspace_id=workspace)
        for answer in (
            await api.put(place, {"status": "active"}, its_own),
            await api.delete(place, its_own),
        ):
            assert (answer.status, answer.code) == (403, "WORKSPACE_SUSPENDED")
        awake = await api.put(place, {"status": "active"}, await api.oauth())
        assert awake.json["data"]["status"] == "active"
        asleep = await api.put(place, {"status": "inactive"}, its_own)
        assert (asleep.status, asleep.code) == (403, "PERMISSION_DENIED")


async def number_of(api: Api, workspace_id: UUID) -> int:
    rows = await api.run("SELECT number FROM workspaces WHERE id = $1", workspace_id)
    return int(rows[0]["number"])


async def acting_for(api: Api, person: UUID) -> str:
    """A token of a client of the platform that acts for a person."""
    scopes = ("read", "write", "admin")
    await api.oauth(scopes)
    async with api.plane.db.transaction(PLATFORM) as db:
        client = await db.fetchval("SELECT id FROM oauth_clients")
        holder = tokens.Holder(user_id=person, client_id=client, scopes=scopes)
        return (await tokens.issue(db, holder, api.plane.now())).access
