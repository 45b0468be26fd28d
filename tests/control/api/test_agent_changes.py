"""Changes of voice agents: the conditions they are made on, going live, and the versions they
leave."""

import asyncio
from typing import Any, cast
from uuid import UUID

import pytest

from control.agent_maker import AgentMaker
from control.db import agents
from tests.support.agent_desk import CONFIG, Desk, desk, template

__all__ = ["desk"]


class TestChanging:
    async def test_a_change_makes_a_version_and_keeps_the_one_before(self, desk: Desk) -> None:
        path = await desk.made()
        changed = await desk.put(path, {"config": {**CONFIG, "greeting": "Good day."}})
        assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
        assert changed.json["agent"]["config"]["greeting"] == "Good day."
        first = await desk.get(f"{path}/versions/1")
        assert first.json["version"]["config"]["greeting"] == "Hello."

    async def test_only_what_is_given_changes(self, desk: Desk) -> None:
        path = await desk.made()
        renamed = (await desk.put(path, {"name": "Reception"})).json["agent"]
        assert (renamed["name"], renamed["config"]["name"]) == ("Reception", "Reception")
        assert renamed["config"]["greeting"] == "Hello."
        voiced = (await desk.put(path, {"voice_config": {"voice": "heart"}})).json["agent"]
        assert voiced["config"]["tts"] == {"vendor": "piper", "voice": "heart"}
        inside = (await desk.put(path, {"config": {**CONFIG, "name": "Inside"}})).json["agent"]
        assert inside["name"] == "Inside"

    async def test_what_changes_nothing_makes_no_version(self, desk: Desk) -> None:
        path = await desk.made()
        for body in ({}, {"name": "Front desk"}, {"config": CONFIG}, {"config": None}):
            assert (await desk.put(path, body)).headers["ETag"] == '"1"'

    async def test_a_wrong_configuration_changes_nothing(self, desk: Desk) -> None:
        path = await desk.made()
        answer = await desk.put(path, {"config": {**CONFIG, "llm": {"vendor": "llama", "x": 1}}})
        assert (answer.status, answer.fields) == (422, {"config.llm.x"})
        part = await desk.put(path, {"config": {"greeting": "Good day.", "tts": {"voice": "joe"}}})
        told = {one["field"]: one["message"] for one in part.json["error"]["details"]}
        assert told.keys() == {
            "config.instructions",
            "config.stt",
            "config.llm",
            "config.tts.vendor",
        }
        whole = {name for name, message in told.items() if "the whole configuration" in message}
        assert whole == told.keys() - {"config.tts.vendor"}
        named = await desk.put(path, {"config": {**CONFIG, "name": 7}})
        assert named.fields == {"config.name"}
        assert (await desk.get(path)).json["agent"]["version"] == 1

    async def test_two_changes_at_once_are_two_versions(self, desk: Desk) -> None:
        path = await desk.made()
        bodies = [{"name": f"Desk {number}"} for number in range(6)]
        answers = await asyncio.gather(*(desk.put(path, body) for body in bodies))
        assert sorted(one.headers["ETag"] for one in answers) == [f'"{at}"' for at in range(2, 8)]


class TestPreconditions:
    @pytest.mark.parametrize("tags", ['"1"', "*", ' "7" , "1"', ',"1",', '"a,b", "1"', 'W/"2","1"'])
    async def test_the_version_that_is_named_is_changed(self, desk: Desk, tags: str) -> None:
        path = await desk.made()
        assert (await desk.put(path, {"name": "New"}, If_Match=tags)).status == 200

    @pytest.mark.parametrize(
        "tags", ['"2"', 'W/"1"', "1", '"1', "'1'", '"1" "1"', '"1"x', '"1,2"', '"2", W/"1"', "W/*"]
    )
    async def test_every_other_is_not(self, desk: Desk, tags: str) -> None:
        path = await desk.made()
        answer = await desk.put(path, {"name": "New"}, If_Match=tags)
        assert (answer.status, answer.code) == (412, "PRECONDITION_FAILED")
        assert answer.headers["ETag"] == '"1"'
        is_list = tags in ('"2"', 'W/"1"', '"1,2"', '"2", W/"1"')
        assert ("in double quotes" in answer.json["error"]["message"]) != is_list
        assert (await desk.get(path)).json["agent"]["name"] == "Front desk"

    async def test_of_two_who_change_the_same_version_one_does(self, desk: Desk) -> None:
        path = await desk.made()
        bodies = [{"name": f"Desk {number}"} for number in range(4)]
        answers = await asyncio.gather(*(desk.put(path, one, If_Match='"1"') for one in bodies))
        assert sorted(answer.status for answer in answers) == [200, 412, 412, 412]

    async def test_deleting_and_rolling_back_have_them_too(self, desk: Desk) -> None:
        path = await desk.made()
        headers = {"If-Match": '"9"'}
        deleted = await desk.api.delete(path, desk.token, headers=headers)
        body = {"version": 1}
        back = await desk.api.post(f"{path}/rollback", body, desk.token, headers=headers)
        assert (deleted.status, back.status) == (412, 412)


class TestGoingLive:
    async def test_activate_and_pause(self, desk: Desk) -> None:
        path = await desk.made()
        agent_id = path.rpartition("/")[2]
        for _ in range(2):
            live = await desk.post(f"{path}/activate")
            assert live.json == {"agent": {"id": agent_id, "status": "live"}}
        for _ in range(2):
            paused = await desk.post(f"{path}/pause")
            assert paused.json == {"agent": {"id": agent_id, "status": "paused"}}
        log = await desk.api.run("SELECT action FROM audit_log ORDER BY id")
        assert [row["action"] for row in log][1:] == ["agent.activated", "agent.paused"]
        assert (await desk.get(path)).json["agent"]["version"] == 1

    async def test_a_draft_cannot_be_paused(self, desk: Desk) -> None:
        answer = await desk.post(f"{await desk.made()}/pause")
        assert (answer.status, answer.code) == (409, "CONFLICT")

    async def test_a_templates_blanks_are_filled_in_first(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("DEEPGRAM_API_KEY", "k")
        path = await desk.made(template_id=str(await template(desk.api)), config={})
        answer = await desk.post(f"{path}/activate")
        assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
        assert answer.fields == {
            "config.instructions",
            "config.greeting",
            "config.tools.2.targets.0.number",
            "config.tools.2.targets.1.number",
        }

    async def test_a_vendor_without_a_key(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        config = {**CONFIG, "llm": {"vendor": "openai", "model": "m"}}
        path = await desk.made(config=config)
        assert (await desk.post(f"{path}/activate")).fields == {"config.llm.vendor"}
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        assert (await desk.post(f"{path}/activate")).status == 200

    async def test_a_live_agent_stays_able_to_answer(self, desk: Desk) -> None:
        path = await desk.made()
        await desk.put(path, {"config": {**CONFIG, "greeting": "{{greeting}}"}})
        await desk.put(path, {"config": CONFIG})
        await desk.post(f"{path}/activate")
        changed = await desk.put(path, {"config": {**CONFIG, "greeting": "{{greeting}}"}})
        assert (changed.status, changed.fields) == (422, {"config.greeting"})
        back = await desk.post(f"{path}/rollback", {"version": 2})
        assert (back.status, back.fields) == (422, {"config.greeting"})

    async def test_what_is_live_is_loaded_before_a_call_comes(self, desk: Desk) -> None:
        class Calls:
            def __init__(self) -> None:
                self.pool = self
                self.loaded: list[int] = []

            def warm(self, version: tuple[UUID, int], make: object) -> None:
                self.loaded.append(version[1])

        calls = Calls()
        plane = desk.api.plane
        plane.calls = cast(Any, calls)
        plane.agents = AgentMaker(plane.settings, plane.vault, plane.db)
        path = await desk.made()
        await desk.put(path, {"name": "Still a draft"})
        assert calls.loaded == []
        await desk.post(f"{path}/activate")
        await desk.put(path, {"name": "Another"})
        await desk.put(path, {"name": "Another"})
        await desk.put(path, {"config": {}})
        await desk.post(f"{path}/rollback", {"version": 1})
        desk.api.plane.calls = None
        assert calls.loaded == [2, 3, 4]


class TestVersions:
    async def test_the_history(self, desk: Desk) -> None:
        path = await desk.made()
        for number in (2, 3):
            await desk.put(path, {"name": f"Desk {number}"})
        listed = (await desk.get(f"{path}/versions?limit=2")).json
        assert [one["version"] for one in listed["versions"]] == [3, 2]
        assert (listed["total"], listed["page"], listed["limit"]) == (3, 1, 2)
        assert listed["versions"][0]["name"] == "Desk 3"
        assert listed["versions"][0]["changed_by"].endswith("@example.com")
        beyond = (await desk.get(f"{path}/versions?page=9")).json
        assert (beyond["versions"], beyond["total"]) == ([], 3)

    async def test_rolling_back_is_a_version_too(self, desk: Desk) -> None:
        path = await desk.made()
        await desk.put(path, {"name": "Other", "config": {**CONFIG, "greeting": "Other."}})
        back = await desk.post(f"{path}/rollback", {"version": 1})
        assert (back.status, back.headers["ETag"]) == (200, '"3"')
        agent = back.json["agent"]
        assert (agent["name"], agent["config"]["greeting"]) == ("Front desk", "Hello.")
        third = (await desk.get(f"{path}/versions/3")).json["version"]
        assert third["note"] == "back to version 1"
        assert third["config"] == agent["config"]

    async def test_versions_that_are_not_there(self, desk: Desk) -> None:
        path = await desk.made()
        for number in ("2", "0", "-1", "x", "99999999999999"):
            assert (await desk.get(f"{path}/versions/{number}")).status == 404
        for number in (2, 2**31 - 1):
            answer = await desk.post(f"{path}/rollback", {"version": number})
            assert (answer.status, answer.fields) == (422, {"version"})
        for wrong in (0, 2**31, True, "one", None):
            assert (await desk.post(f"{path}/rollback", {"version": wrong})).fields == {"version"}

    async def test_the_latest_are_kept_and_those_of_calls_in_progress(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(agents, "VERSIONS_KEPT", 3)
        path, other = await desk.made(), await desk.made(name="Other")
        calls = (
            (1, "in_progress", "1 second"),
            (2, "in_progress", "2 days"),
            (3, "completed", "1 second"),
        )
        for version, status, age in calls:
            await desk.api.run(
                "INSERT INTO calls (id, workspace_id, agent_id, agent_version, carrier, direction,"
                " status, started_at) VALUES (gen_random_uuid(), $1, $2, $3, 'twilio', 'inbound',"
                " $4, now() - $5::text::interval)",
                desk.workspace_id,
                UUID(path.rpartition("/")[2]),
                version,
                status,
                age,
            )
        for number in range(2, 7):
            await desk.put(path, {"config": {**CONFIG, "greeting": f"Hello, {number}."}})
        assert await self.numbers(desk, path) == [6, 5, 4, 1]
        await desk.api.run("UPDATE calls SET status = 'completed'")
        assert (await desk.post(f"{path}/rollback", {"version": 4})).status == 200
        assert await self.numbers(desk, path) == [7, 6, 5]
        last = (await desk.get(path)).json["agent"]
        assert (last["version"], last["config"]["greeting"]) == (7, "Hello, 4.")
        gone = await desk.post(f"{path}/rollback", {"version": 4})
        assert (gone.status, gone.fields) == (422, {"version"})
        assert await self.numbers(desk, other) == [1]

    @staticmethod
    async def numbers(desk: Desk, path: str) -> list[int]:
        listed = (await desk.get(f"{path}/versions")).json
        assert listed["total"] == len(listed["versions"])
        return [one["version"] for one in listed["versions"]]

    async def test_nobody_changes_a_version(self, desk: Desk) -> None:
        await desk.made()
        with pytest.raises(Exception, match="permission denied"):
            await desk.api.run("UPDATE agent_versions SET name = 'x'")

    async def test_they_go_with_the_agent(self, desk: Desk) -> None:
        path = await desk.made()
        await desk.put(path, {"name": "Other"})
        assert (await desk.api.delete(path, desk.token)).status == 204
        assert (await desk.get(path)).status == 404
        assert (await desk.get(f"{path}/versions/1")).status == 404
        assert not await desk.api.run("SELECT * FROM agent_versions")
