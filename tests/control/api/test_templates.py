"""Templates, of admins and of those who choose among them."""

from typing import Any
from uuid import uuid4

import pytest

from control.db import templates
from control.templates import shipped
from tests.support.api import Api

CONFIG = {
    "instructions": "Be brief.",
    "stt": {"vendor": "moonshine"},
    "llm": {"vendor": "llama"},
    "tts": {"vendor": "piper"},
}
NEW = {
    "name": "Florist",
    "industry": "florist",
    "description": "Sells flowers.",
    "default_config": CONFIG,
    "is_public": True,
}


class TestAdmins:
    async def test_a_template_is_there_as_it_was_made(self, api: Api) -> None:
        token = await api.admin()
        made = await api.post("/admin/templates", NEW, token)
        assert made.status == 201
        template = made.json["template"]
        assert template["default_config"] == {**CONFIG, "name": "Florist"}
        assert (template["slug"], template["usage_count"]) == (None, 0)
        found = await api.get(f"/admin/templates/{template['id']}", token)
        assert found.json == made.json

    async def test_those_that_ship_are_listed(self, api: Api) -> None:
        listed = (await api.get("/admin/templates", await api.admin("read-only"))).json["templates"]
        assert len(listed) == len(shipped()) >= 8
        assert set(listed[0]) == {"id", "name", "industry", "is_public", "usage_count"}

    async def test_uses_are_counted_over_all_workspaces(self, api: Api) -> None:
        token = await api.admin()
        template_id = (await api.post("/admin/templates", NEW, token)).json["template"]["id"]
        for _ in range(2):
            owner, person = await api.person()
            path = f"/workspaces/{await api.workspace(owner)}/agents"
            made = await api.post(path, {"name": "A", "template_id": template_id}, person)
            assert made.status == 201
        counts = {
            one["id"]: one["usage_count"]
            for one in (await api.get("/admin/templates", token)).json["templates"]
        }
        assert counts[template_id] == 2
        assert sum(counts.values()) == 2
        changed = await api.put(f"/admin/templates/{template_id}", {"name": "B"}, token)
        assert changed.json["template"]["usage_count"] == 2

    async def test_what_went_with_its_workspace_is_no_use(self, api: Api) -> None:
        token = await api.admin()
        template_id = (await api.post("/admin/templates", NEW, token)).json["template"]["id"]
        owner, person = await api.person()
        for _ in range(2):
            workspace = f"/workspaces/{await api.workspace(owner)}"
            await api.post(f"{workspace}/agents", {"name": "A", "template_id": template_id}, person)
        assert (await api.delete(workspace, person)).status == 204
        listed = (await api.get("/admin/templates", token)).json["templates"]
        assert [one["usage_count"] for one in listed if one["id"] == template_id] == [1]
        path = f"/admin/templates/{template_id}"
        assert (await api.get(path, token)).json["template"]["usage_count"] == 1
        changed = await api.put(path, {"name": "B"}, token)
        assert changed.json["template"]["usage_count"] == 1

    async def test_only_what_is_given_changes(self, api: Api) -> None:
        token = await api.admin("support")
        made = (await api.post("/admin/templates", NEW, token)).json["template"]
        path = f"/admin/templates/{made['id']}"
        changed = await api.put(path, {"is_public": False, "name": None}, token)
        assert changed.json["template"] == {
            **made,
            "is_public": False,
            "updated_at": changed.json["template"]["updated_at"],
        }
        again = await api.put(path, {"default_config": {**CONFIG, "greeting": "Hi."}}, token)
        assert again.json["template"]["default_config"]["greeting"] == "Hi."

    async def test_every_wrong_field_is_told_at_once(self, api: Api) -> None:
        wrong = {"name": "", "industry": "Real Estate", "default_config": 1, "x": 1}
        answer = await api.post("/admin/templates", wrong, await api.admin())
        assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
        assert answer.fields == {"name", "industry", "default_config", "x"}

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"llm": {"vendor": "openai"}}, "default_config.llm.model"),
            ({"stt": {"vendor": "moonshine", "model": "/etc"}}, "default_config.stt.model"),
            ({"tools": [{"type": "nothing"}]}, "default_config.tools.0.type"),
        ],
    )
    async def test_the_configuration_is_an_agents(
        self, api: Api, change: dict[str, Any], field: str
    ) -> None:
        token = await api.admin()
        body = {**NEW, "default_config": {**CONFIG, **change}}
        assert (await api.post("/admin/templates", body, token)).fields == {field}
        made = (await api.post("/admin/templates", NEW, token)).json["template"]
        changed = await api.put(f"/admin/templates/{made['id']}", body, token)
        assert (changed.status, changed.fields) == (422, {field})

    async def test_a_deleted_template_is_gone_and_its_agents_stay(self, api: Api) -> None:
        token = await api.admin()
        template_id = (await api.post("/admin/templates", NEW, token)).json["template"]["id"]
        owner, person = await api.person()
        agents = f"/workspaces/{await api.workspace(owner)}/agents"
        await api.post(agents, {"name": "A", "template_id": template_id}, person)
        path = f"/admin/templates/{template_id}"
        assert (await api.delete(path, token)).status == 204
        for answer in (
            await api.get(path, token),
            await api.put(path, {"name": "X"}, token),
            await api.delete(path, token),
            await api.get(f"/templates/{template_id}", person),
        ):
            assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")
        assert len((await api.get(agents, person)).json["agents"]) == 1
        log = await api.run("SELECT action FROM audit_log WHERE resource_type = 'template'")
        assert [row["action"] for row in log] == ["template.created", "template.deleted"]

    async def test_by_role(self, api: Api) -> None:
        path = f"/admin/templates/{uuid4()}"
        for role, status in (
            ("owner", 404),
            ("support", 404),
            ("finance", 403),
            ("read-only", 403),
        ):
            token = await api.admin(role)
            assert (await api.get("/admin/templates", token)).status == 200
            assert (await api.delete(path, token)).status == status
            created = await api.post("/admin/templates", NEW, token)
            assert created.status == (201 if status == 404 else 403)
        _, person = await api.person()
        for token in (None, "nonsense", person, await api.oauth()):
            assert (await api.get("/admin/templates", token)).status == 401


class TestChoosing:
    async def test_by_industry(self, api: Api) -> None:
        _, token = await api.person()
        every = (await api.get("/templates", token)).json["templates"]
        assert len(every) == len(shipped())
        assert set(every[0]) == {"id", "name", "industry", "description"}
        dental = (await api.get("/templates?industry=dental", token)).json["templates"]
        assert [one["name"] for one in dental] == ["Dental practice receptionist"]
        for none in ("nothing", "%25", "' OR '1'='1"):
            assert (await api.get(f"/templates?industry={none}", token)).json["templates"] == []
        found = (await api.get(f"/templates/{dental[0]['id']}", token)).json["template"]
        assert set(found) == {"id", "name", "industry", "description", "preview_config"}
        assert found["preview_config"]["greeting"].startswith("Thank you")

    async def test_those_that_are_not_public_are_not_there(self, api: Api) -> None:
        admin = await api.admin()
        hidden = (await api.post("/admin/templates", {**NEW, "is_public": False}, admin)).json
        _, token = await api.person()
        assert (await api.get("/templates?industry=florist", token)).json["templates"] == []
        for template_id in (hidden["template"]["id"], uuid4(), "x"):
            answer = await api.get(f"/templates/{template_id}", token)
            assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")

    async def test_without_a_login_nobody(self, api: Api) -> None:
        assert (await api.get("/templates")).status == 401
        assert (await api.get(f"/templates/{uuid4()}", await api.admin())).status == 401


class TestShipping:
    async def test_the_second_time_nothing_happens(self, api: Api) -> None:
        before = await api.run("SELECT * FROM templates ORDER BY id")
        await templates.ship(api.plane.db)
        assert await api.run("SELECT * FROM templates ORDER BY id") == before

    async def test_a_new_version_replaces_what_no_admin_has_touched(self, api: Api) -> None:
        token = await api.admin()
        ids = {
            row["slug"]: row["id"]
            for row in await api.run("SELECT slug, id FROM templates WHERE slug IS NOT NULL")
        }
        await api.run("UPDATE templates SET description = 'old'")
        await api.put(f"/admin/templates/{ids['hotel']}", {"name": "Our hotel"}, token)
        await api.delete(f"/admin/templates/{ids['clinic']}", token)
        await templates.ship(api.plane.db)
        rows = {row["slug"]: row for row in await api.run("SELECT * FROM templates")}
        assert rows["dental"]["description"] != "old"
        assert rows["dental"]["id"] == ids["dental"]
        assert (rows["hotel"]["name"], rows["hotel"]["description"]) == ("Our hotel", "old")
        assert rows["clinic"]["deleted_at"] is not None
        assert len(rows) == len(shipped())
