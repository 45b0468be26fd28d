"""No tenant sees or changes what is another's: every declared endpoint is walked, with every kind
of token, and answers as if the other tenant were not there. What is added later is walked too."""

from collections.abc import Callable
from itertools import product
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import aiohttp
import pytest

from control.api import ENDPOINTS
from control.auth.bearers import bearer_of
from control.auth.rate_limits import RateLimits
from control.db.database import NOBODY, PLATFORM, Connection, Sight, look, of_workspaces
from control.http.access import (
    Bearer,
)
from control.http.endpoint import Endpoint
from tests.support.api import Api, Reply
from tests.support.examples import example_body, example_query, example_upload, is_uuid
from tests.support.strangers import STRANGERS, oauth
from tests.support.tenants import (
    NO_IDS,
    NOWHERE,
    OF_NOBODY,
    Place,
    Tenant,
    contents,
    make_tenant,
    tenant_tables,
)

WALKED = [
    endpoint
    for endpoint in ENDPOINTS
    if endpoint.access.kind != "public" and set(endpoint.places) - OF_NOBODY
]

OUTER = frozenset({"workspace_id", "customer_id"})


def without_row_security(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection sees everything: what is left is each statement's WHERE."""
    real = Sight._set
    monkeypatch.setattr(
        Sight, "_set", lambda sight, for_transaction: real(PLATFORM, for_transaction)
    )

    async def seeing_everything(db: Connection, token: str, place: UUID | None) -> Bearer | None:
        bearer = await bearer_of(db, token, place)
        await look(db, PLATFORM)
        return bearer

    monkeypatch.setattr("control.http.dispatch.bearer_of", seeing_everything)


class TestEveryEndpoint:
    @pytest.mark.parametrize("row_security", [True, False])
    async def test_another_tenants_things_are_as_if_there_were_none(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, row_security: bool
    ) -> None:
        theirs, mine = await make_tenant(api), await make_tenant(api)
        strangers = {name: await make(api, theirs, mine) for name, make in STRANGERS.items()}
        if not row_security:
            without_row_security(monkeypatch)
        before = await contents(api, theirs)
        for (name, token), endpoint in product(strangers.items(), WALKED):
            api.plane.limits = RateLimits()
            nothing = await send(api, endpoint, token, lambda _: NOWHERE)
            refused = await send(api, endpoint, token, theirs.place)
            assert told(refused) == told(nothing), (endpoint, name)
            assert refused.status in (401, 403, 404), (endpoint, name)
            assert theirs.mark not in text_of(refused), (endpoint, name)
            if set(endpoint.places) - OF_NOBODY - OUTER:
                inner = await send(api, endpoint, token, inside(mine, theirs.place))
                absent = await send(api, endpoint, token, inside(mine, lambda _: NOWHERE))
                assert told(inner) == told(absent), (endpoint, name)
                assert inner.status in (401, 403, 404), (endpoint, name)
        assert await contents(api, theirs) == before

    async def test_what_a_body_names_is_looked_for_among_ones_own(self, api: Api) -> None:
        theirs, mine = await make_tenant(api), await make_tenant(api)
        _, person = await api.member(mine.workspace_id, "owner")
        client = await oauth("read", "write", "admin")(api, theirs, mine)
        before = await contents(api, theirs)
        for endpoint in ENDPOINTS:
            names = named_by_body(endpoint)
            if endpoint.access.kind not in ("member", "oauth", "person"):
                continue
            for name in names:
                api.plane.limits = RateLimits()
                token = client if endpoint.access.kind == "oauth" else person
                nothing = await send(
                    api, endpoint, token, mine.place, {name: of_body(endpoint, name, NOWHERE)}
                )
                foreign = of_body(endpoint, name, theirs.place(name))
                refused = await send(api, endpoint, token, mine.place, {name: foreign})
                assert told(refused) == told(nothing), (endpoint, name)
                assert refused.status >= 400, (endpoint, name)
        assert await contents(api, theirs) == before

    async def test_no_answer_has_anything_of_another_tenant(self, api: Api) -> None:
        theirs, mine = await make_tenant(api), await make_tenant(api)
        strangers = {name: await make(api, theirs, mine) for name, make in STRANGERS.items()}
        read = [one for one in ENDPOINTS if one.method == "GET" and one.access.kind != "public"]
        for (name, token), endpoint in product(strangers.items(), read):
            api.plane.limits = RateLimits()
            answer = await send(api, endpoint, token, mine.place)
            assert theirs.mark not in text_of(answer), (endpoint, name)


class TestSuspension:
    async def test_every_change_is_refused_and_every_reading_is_not(self, api: Api) -> None:
        mine = await make_tenant(api)
        _, token = await api.member(mine.workspace_id, "owner")
        await api.run("UPDATE workspaces SET status = 'suspended'")
        before = await contents(api, mine)
        for endpoint in (one for one in ENDPOINTS if one.access.kind == "member"):
            answer = await send(api, endpoint, token, mine.place)
            code = answer.code if answer.status >= 400 else ""
            assert (code == "WORKSPACE_SUSPENDED") is endpoint.changes, endpoint
        assert await contents(api, mine) == before


class TestWhatIsSeen:
    async def test_every_tenants_table_forces_row_level_security(self, api: Api) -> None:
        tables = await api.run(
            """
            SELECT relname, relrowsecurity AND relforcerowsecurity AS forced, EXISTS (
                SELECT FROM pg_policy WHERE polrelid = pg_class.oid) AS has_policy
            FROM pg_class WHERE relname = ANY ($1) AND relkind IN ('r', 'p')""",
            [*await tenant_tables(api), "workspaces", "users"],
        )
        assert len(tables) > 10
        assert not [row["relname"] for row in tables if not (row["forced"] and row["has_policy"])]

    async def test_the_role_owns_nothing_and_is_bound(self, api: Api) -> None:
        owned = await api.run("""
            SELECT 1 FROM pg_shdepend
            WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o'
              AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = 'voicecore_api')""")
        role = await api.run("""
            SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb AS mighty
            FROM pg_roles WHERE rolname = 'voicecore_api'""")
        here = await api.run("SELECT current_user::text AS name")
        assert not owned
        assert not role[0]["mighty"]
        assert here[0]["name"] == "voicecore_api"

    async def test_each_transaction_sees_its_workspaces_rows_only(self, api: Api) -> None:
        mine = await make_tenant(api)
        await make_tenant(api)
        for table in await tenant_tables(api):
            seen: dict[str, set[Any]] = {}
            for sight, name in ((NOBODY, "nobody"), (of_workspaces([mine.workspace_id]), "mine")):
                async with api.plane.db.transaction(sight) as db:
                    rows = await db.fetch(f"SELECT workspace_id FROM {table}")
                seen[name] = {row["workspace_id"] for row in rows}
            assert seen["nobody"] == set(), table
            assert seen["mine"] <= {mine.workspace_id}, table
            if table != "audit_log":
                assert seen["mine"], f"say in tests/support/tenants.py how a row of {table} is made"

    async def test_nothing_outlasts_its_transaction(self, api: Api) -> None:
        theirs = await make_tenant(api)
        for _ in range(20):
            async with api.plane.db.transaction(of_workspaces([theirs.workspace_id])) as db:
                assert await db.fetchval("SELECT count(*) FROM agents") == 1
            async with api.plane.db.transaction(NOBODY) as db:
                assert await db.fetchval("SELECT count(*) FROM agents") == 0


def told(reply: Reply) -> tuple[int, str]:
    """What tells whether something is there: the status, and the code of an error."""
    return reply.status, reply.code if reply.status >= 400 else ""


def text_of(reply: Reply) -> str:
    return reply.body.decode("utf-8", "replace")


def inside(mine: Tenant, other: Callable[[str], Place]) -> Callable[[str], Place]:
    """One's own workspace, and in it what is not one's own."""
    return lambda name: mine.place(name) if name in OUTER else other(name)


def named_by_body(endpoint: Endpoint) -> list[str]:
    """The fields of its body that name a tenant's things."""
    model = endpoint.body or endpoint.upload
    fields = [] if model is None else list(model.model_fields)
    return [name for name in fields if name.endswith("_id") and name not in OF_NOBODY | NO_IDS]


def of_body(endpoint: Endpoint, name: str, place: Place) -> Any:
    """As the field takes it."""
    model = endpoint.body or endpoint.upload
    assert model is not None
    schema = str(model.model_json_schema()["properties"][name])
    return str(place[0]) if "uuid" in schema else place[1]


async def send(
    api: Api,
    endpoint: Endpoint,
    token: str,
    place: Callable[[str], Place],
    fields: dict[str, Any] | None = None,
) -> Reply:
    """A valid request for the things of these places."""
    values = {}
    for name, adapter in endpoint.places.items():
        if name in OF_NOBODY:
            values[name] = str(NOWHERE[0]) if is_uuid(adapter) else "1"
        else:
            values[name] = str(place(name)[0 if is_uuid(adapter) else 1])
    path = endpoint.path.format(**values)
    if query := example_query(endpoint):
        path += "?" + urlencode(query)
    form = example_upload(endpoint)
    if form is None:
        body = example_body(endpoint, **(fields or {}))
        return await api.send(endpoint.method, path, body, token=token)
    data = aiohttp.FormData()
    for name, value in {**form, **(fields or {})}.items():
        if isinstance(value, bytes):
            data.add_field(name, value, filename="example.wav")
        else:
            data.add_field(name, str(value))
    return await api.send(endpoint.method, path, token=token, data=data)
