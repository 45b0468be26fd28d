"""Secrets of workspaces and of the platform."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from control.agent_maker import AgentMaker
from control.api import stored_secrets
from control.api.client import secrets as client_secrets
from control.db import routing
from control.db.database import PLATFORM, of_workspaces
from control.secret_keys import FILE_NAME
from tests.support.api import Api, served_api

VALUE = "sk-a-very-secret-value"
CONFIG: dict[str, Any] = {
    "name": "Front desk",
    "instructions": "Be brief.",
    "stt": {"vendor": "moonshine"},
    "llm": {"vendor": "llama"},
    "tts": {"vendor": "piper", "voice": "joe"},
    "tools": [
        {
            "type": "http",
            "name": "orders",
            "description": "Looks an order up.",
            "url": "https://orders.example.com/one",
            "headers": {"Authorization": "Bearer ${ORDERS_TOKEN}"},
        }
    ],
}


class Office:
    """A workspace, its owner, and where its secrets are."""

    def __init__(self, api: Api, workspace_id: UUID, owner: str) -> None:
        self.api, self.workspace_id, self.owner = api, workspace_id, owner
        self.path = f"/workspaces/{workspace_id}"

    async def store(self, name: str, value: str = VALUE, token: str | None = None) -> Any:
        path = f"{self.path}/secrets/{name}"
        return await self.api.put(path, {"value": value}, token or self.owner)

    async def lent(self) -> dict[str, str]:
        async with self.api.plane.db.reading(of_workspaces([self.workspace_id])) as db:
            return dict((await self.api.plane.vault.lend(db, self.workspace_id)).secrets)


@pytest.fixture
async def office(api: Api) -> Office:
    owner, token = await api.person()
    return Office(api, await api.workspace(owner), token)


class TestWorkspaces:
    async def test_stored_replaced_and_deleted(self, office: Office) -> None:
        api, owner = office.api, office.owner
        made = await office.store("ORDERS_TOKEN")
        assert made.status == 200
        assert set(made.json["secret"]) == {"name", "updated_by", "created_at", "updated_at"}
        await office.store("ORDERS_TOKEN", "another one")
        (listed,) = (await api.get(f"{office.path}/secrets", owner)).json["secrets"]
        assert listed["name"] == "ORDERS_TOKEN"
        assert listed["created_at"] == made.json["secret"]["created_at"]
        assert listed["updated_at"] > listed["created_at"]
        assert (await office.lent())["ORDERS_TOKEN"] == "another one"
        assert (await api.delete(f"{office.path}/secrets/ORDERS_TOKEN", owner)).status == 204
        assert (await api.delete(f"{office.path}/secrets/ORDERS_TOKEN", owner)).status == 404
        assert "ORDERS_TOKEN" not in await office.lent()
        log = await api.run("SELECT action FROM audit_log ORDER BY id")
        assert [row["action"] for row in log] == ["secret.stored"] * 2 + ["secret.deleted"]

    async def test_its_value_is_nowhere_in_clear(self, office: Office) -> None:
        headers = {"Idempotency-Key": "once"}
        path = f"{office.path}/secrets/ORDERS_TOKEN"
        answer = await office.api.put(path, {"value": VALUE}, office.owner, headers=headers)
        listed = await office.api.get(f"{office.path}/secrets", office.owner)
        assert VALUE not in answer.body.decode() + listed.body.decode()
        tables = await office.api.run(
            "SELECT relname FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace = 'public'::regnamespace AND has_table_privilege(oid, 'SELECT')"
        )
        assert len(tables) > 20
        for table in tables:
            rows = await office.api.run(f"SELECT t::text AS all FROM {table['relname']} AS t")
            shown = "".join(row["all"] for row in rows)
            assert VALUE not in shown
            assert VALUE.encode().hex() not in shown

    async def test_who_may(self, office: Office) -> None:
        api = office.api
        await office.store("ORDERS_TOKEN")
        for role, reads, writes in (
            ("admin", 200, 200),
            ("manager", 200, 403),
            ("member", 403, 403),
        ):
            _, token = await api.member(office.workspace_id, role)
            assert (await api.get(f"{office.path}/secrets", token)).status == reads
            assert (await office.store("OTHER", token=token)).status == writes
            deleted = await api.delete(f"{office.path}/secrets/OTHER", token)
            assert deleted.status == (204 if writes == 200 else 403)

    @pytest.mark.parametrize(
        "name",
        ["lower", "VOICECORE_DATABASE_URL", "1A", "A-B", "A" * 65, "A%20B", "%C3%84", "A%00"],
    )
    async def test_names_that_are_none(self, office: Office, name: str) -> None:
        answer = await office.store(name)
        assert answer.status in (404, 422)
        assert await office.api.run("SELECT 1 FROM secrets") == []

    @pytest.mark.parametrize(
        "value", ["", "   ", "two\nlines", "nul\0", "x" * 4097, 7, None, ["x"]]
    )
    async def test_values_that_are_none(self, office: Office, value: Any) -> None:
        answer = await office.store("ORDERS_TOKEN", value)
        assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
        assert "x" * 100 not in answer.body.decode()

    async def test_there_is_a_most(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client_secrets, "MOST_SECRETS", 2)
        for name in ("A", "B", "A"):
            assert (await office.store(name)).status == 200
        assert (await office.store("C")).code == "CONFLICT"

    async def test_a_deleted_workspaces_are_gone(self, office: Office) -> None:
        await office.store("ORDERS_TOKEN")
        assert (await office.api.delete(office.path, office.owner)).status == 204
        assert await office.api.run("SELECT 1 FROM secrets") == []

    async def test_one_that_was_moved_does_not_open(self, office: Office) -> None:
        await office.store("ORDERS_TOKEN")
        other, _ = await office.api.person()
        theirs = await office.api.workspace(other)
        await office.api.run("UPDATE secrets SET workspace_id = $1", theirs)
        async with office.api.plane.db.reading(PLATFORM) as db:
            lent = await office.api.plane.vault.lend(db, theirs)
        assert "ORDERS_TOKEN" not in lent.secrets
        assert not lent.own


class TestAgents:
    async def made(self, office: Office, config: dict[str, Any] = CONFIG) -> Any:
        wish = {"name": "Front desk", "config": config}
        return await office.api.post(f"{office.path}/agents", wish, office.owner)

    async def test_refers_to_its_own_workspaces_only(self, office: Office) -> None:
        refused = await self.made(office)
        assert refused.fields == {"config.tools.0.headers.Authorization"}
        other, token = await office.api.person()
        theirs = Office(office.api, await office.api.workspace(other), token)
        await theirs.store("ORDERS_TOKEN")
        assert (await self.made(office)).status == 422
        await office.store("ORDERS_TOKEN")
        assert (await self.made(office)).status == 201

    async def test_the_platforms_keys_are_not_sent_to_anybody(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "the-platforms")
        (tool,) = CONFIG["tools"]
        stealing = {**tool, "headers": {"Authorization": "${OPENAI_API_KEY}"}}
        wish = {"name": "Front desk", "config": {**CONFIG, "tools": [stealing]}}
        path = f"{office.path}/agents"
        assert (await office.api.post(path, wish, office.owner)).status == 422
        await office.store("OPENAI_API_KEY", "our-own")
        assert (await office.api.post(path, wish, office.owner)).status == 201

    async def test_is_made_with_them_and_lends_its_tools_no_more(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DEEPGRAM_API_KEY", "the-platforms")
        await office.store("ORDERS_TOKEN")
        await office.store("UNUSED")
        agent_id = UUID((await self.made(office)).json["agent"]["id"])
        plane = office.api.plane
        maker = AgentMaker(plane.settings, plane.vault, plane.db)
        agent = await maker.make(await self.route(office, agent_id))
        assert agent.tool_secrets == {"ORDERS_TOKEN": VALUE}
        assert (await office.lent())["DEEPGRAM_API_KEY"] == "the-platforms"
        await office.store("DEEPGRAM_API_KEY", "our-own")
        assert (await office.lent())["DEEPGRAM_API_KEY"] == "our-own"

    async def test_with_other_secrets_it_is_loaded_anew(self, office: Office) -> None:
        await office.store("ORDERS_TOKEN")
        agent_id = UUID((await self.made(office)).json["agent"]["id"])
        plane = office.api.plane
        maker = AgentMaker(plane.settings, plane.vault, plane.db)

        async def version() -> Any:
            return maker.plan(await self.route(office, agent_id))[0]

        seen = [await version()]
        assert await version() == seen[0]
        await office.store("ORDERS_TOKEN", "another one")
        seen.append(await version())
        assert seen[1] != seen[0]
        await office.store("MORE")
        assert await version() == seen[1]
        await office.api.delete(f"{office.path}/secrets/MORE", office.owner)
        assert await version() == seen[1]
        admin = await office.api.admin()
        for name in ("OPENAI_API_KEY", "TWILIO_AUTH_TOKEN"):
            await office.api.put(f"/admin/secrets/{name}", {"value": VALUE}, admin)
        assert await version() == seen[1]

    async def test_the_platforms_key_counts_until_there_is_one_of_its_own(
        self, office: Office
    ) -> None:
        config = {**CONFIG, "llm": {"vendor": "openai", "model": "gpt-4.1-mini"}, "tools": []}
        agent_id = UUID((await self.made(office, config)).json["agent"]["id"])
        plane = office.api.plane
        maker = AgentMaker(plane.settings, plane.vault, plane.db)
        admin = await office.api.admin()
        seen = [maker.plan(await self.route(office, agent_id))[0]]
        for path, token in (
            ("/admin/secrets/OPENAI_API_KEY", admin),
            (f"{office.path}/secrets/OPENAI_API_KEY", office.owner),
        ):
            await office.api.put(path, {"value": VALUE}, token)
            seen.append(maker.plan(await self.route(office, agent_id))[0])
        assert len(set(seen)) == 3
        await office.api.put("/admin/secrets/OPENAI_API_KEY", {"value": "another"}, admin)
        assert maker.plan(await self.route(office, agent_id))[0] == seen[-1]

    async def test_one_that_is_referred_to_stays(self, office: Office) -> None:
        await office.store("ORDERS_TOKEN")
        made = (await self.made(office)).json["agent"]["id"]
        path = f"{office.path}/secrets/ORDERS_TOKEN"
        refused = await office.api.delete(path, office.owner)
        assert (refused.status, refused.code) == (409, "SECRET_IN_USE")
        assert "Front desk" in refused.body.decode()
        await office.api.delete(f"{office.path}/agents/{made}", office.owner)
        assert (await office.api.delete(path, office.owner)).status == 204

    async def route(self, office: Office, agent_id: UUID) -> Any:
        async with office.api.plane.db.reading(PLATFORM) as db:
            route = await routing.of_agent(db, office.workspace_id, agent_id)
        assert route is not None
        return route


class TestPlatform:
    async def test_a_stored_key_goes_before_the_environments(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api, admin = office.api, await office.api.admin()
        monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
        assert (await office.lent())["OPENAI_API_KEY"] == "from-the-environment"
        path = "/admin/secrets/OPENAI_API_KEY"
        assert (await api.put(path, {"value": VALUE}, admin)).status == 200
        assert (await office.lent())["OPENAI_API_KEY"] == VALUE
        listed = (await api.get("/admin/secrets", admin)).json["secrets"]
        assert [one["name"] for one in listed] == ["OPENAI_API_KEY"]
        assert (await api.delete(path, admin)).status == 204
        assert (await api.delete(path, admin)).status == 404
        assert (await office.lent())["OPENAI_API_KEY"] == "from-the-environment"

    async def test_carriers_are_checked_by_what_is_stored(self, api: Api) -> None:
        vault, admin = api.plane.vault, await api.admin()
        assert vault.signing_key("twilio") == vault.signing_key("telnyx") == ""
        for name in ("TWILIO_AUTH_TOKEN", "TELNYX_PUBLIC_KEY", "TELNYX_API_KEY"):
            await api.put(f"/admin/secrets/{name}", {"value": name.lower()}, admin)
        assert vault.signing_key("twilio") == "twilio_auth_token"
        assert vault.signing_key("telnyx") == "telnyx_public_key"
        assert vault.signing_key("another") == ""
        assert vault.telnyx_api_key == "telnyx_api_key"

    async def test_a_carriers_key_is_lent_to_no_agent(self, office: Office) -> None:
        admin = await office.api.admin()
        await office.api.put("/admin/secrets/TWILIO_AUTH_TOKEN", {"value": VALUE}, admin)
        assert VALUE not in (await office.lent()).values()

    async def test_only_owners_and_only_these(self, api: Api) -> None:
        owner = await api.admin()
        for role in ("support", "finance", "read-only"):
            token = await api.admin(role)
            assert (await api.get("/admin/secrets", token)).status == 403
            answer = await api.put("/admin/secrets/OPENAI_API_KEY", {"value": VALUE}, token)
            assert answer.status == 403
        unknown = await api.put("/admin/secrets/PATH", {"value": VALUE}, owner)
        assert unknown.status == 404
        assert "TWILIO_AUTH_TOKEN" in unknown.body.decode()

    async def test_another_process_learns_of_it(self, api: Api) -> None:
        admin = await api.admin()
        await api.put("/admin/secrets/OPENAI_API_KEY", {"value": VALUE}, admin)
        other = type(api.plane.vault)(api.plane.settings, api.plane.vault._keys)
        async with api.plane.db.reading(PLATFORM) as db:
            other.take(await other.look(db))
            assert (await other.lend(db, None)).secrets["OPENAI_API_KEY"] == VALUE
        revision = api.plane.vault.revision_of("OPENAI_API_KEY")
        assert other.revision_of("OPENAI_API_KEY") == revision != ""


async def test_without_keys_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served_api(tmp_path) as api:
        owner, token = await api.person()
        office = Office(api, await api.workspace(owner), token)
        await office.store("ORDERS_TOKEN")
        (tmp_path / FILE_NAME).unlink()
        refused = await office.store("ORDERS_TOKEN", "another one")
        assert (refused.status, refused.code) == (503, stored_secrets.NO_SECRET_KEYS.code)
        assert "ORDERS_TOKEN" not in await office.lent()
        (tmp_path / FILE_NAME).write_text("broken")
        assert (await office.store("ORDERS_TOKEN", "another one")).status == 503


def test_no_traceback_shows_a_value() -> None:
    body = stored_secrets.NewSecret(value=VALUE)
    assert VALUE not in f"{body!r} {body}"
    assert body.value == VALUE
