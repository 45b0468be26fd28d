"""Voice agents of the client API, and their versions."""

import asyncio
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from control.agent_maker import AgentMaker
from control.db import agents
from tests.support.api import Api, Reply

CONFIG = {
    "instructions": "Be brief.",
    "greeting": "Hello.",
    "stt": {"vendor": "moonshine"},
    "llm": {"vendor": "llama", "settings": {"temperature": 0.5}},
    "tts": {"vendor": "piper", "voice": "joe"},
    "turn_taking": {"vad": {"mode": 1}, "filler_after_ms": 1500},
    "tools": ["end_call"],
}
NEW = {"name": "Front desk", "config": CONFIG}


class Desk:
    """A workspace, its owner's token, and the path of its agents."""

    def __init__(self, api: Api, workspace_id: UUID, token: str) -> None:
        self.api = api
        self.workspace_id = workspace_id
        self.token = token
        self.path = f"/workspaces/{workspace_id}/agents"

    async def make(self, **fields: Any) -> Reply:
        return await self.api.post(self.path, {**NEW, **fields}, self.token)

    async def made(self, **fields: Any) -> str:
        """The path of a new agent."""
        reply = await self.make(**fields)
        assert reply.status == 201, reply.body
        return f"{self.path}/{reply.json['agent']['id']}"

    async def get(self, path: str) -> Reply:
        return await self.api.get(path, self.token)

    async def put(self, path: str, body: Any, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.api.put(path, body, self.token, headers=named)

    async def post(self, path: str, body: Any = None) -> Reply:
        return await self.api.post(path, body, self.token)


@pytest.fixture
async def desk(api: Api) -> Desk:
    owner, token = await api.person()
    return Desk(api, await api.workspace(owner, subscription_tier="professional"), token)


async def template(api: Api, slug: str = "dental") -> UUID:
    rows = await api.run("SELECT id FROM templates WHERE slug = $1", slug)
    return UUID(str(rows[0]["id"]))


class TestCreating:
    async def test_an_agent_is_there_as_it_was_made(self, desk: Desk) -> None:
        made = await desk.make()
        assert (made.status, made.headers["ETag"]) == (201, '"1"')
        agent = made.json["agent"]
        assert (agent["status"], agent["version"]) == ("draft", 1)
        assert agent["voice_provider"] == "piper"
        assert agent["config"] == {**CONFIG, "name": "Front desk"}
        found = await desk.get(f"{desk.path}/{agent['id']}")
        assert found.json["agent"] == agent
        assert found.json["phone_number"] is None
        assert found.json["stats"] == {"total_calls": 0, "avg_duration": None}
        assert found.headers["ETag"] == '"1"'

    async def test_of_a_template_with_changes_laid_over_it(self, desk: Desk) -> None:
        template_id = await template(desk.api)
        config = {
            "greeting": None,
            "limits": {"silence": {"max_asks": 5}},
            "tools": ["end_call"],
            "llm": {"settings": {"temperature": 0.1}},
            "stt": {"vendor": "moonshine"},
        }
        made = await desk.make(template_id=str(template_id), config=config)
        assert made.status == 201
        agent = made.json["agent"]
        assert agent["template_name"] == "Dental practice receptionist"
        shown = agent["config"]
        assert shown["greeting"] is None
        assert shown["limits"] == {"max_duration_s": 900, "silence": {"max_asks": 5}}
        assert shown["tools"] == ["end_call"]
        assert shown["llm"]["settings"] == {"reasoning_effort": "none", "temperature": 0.1}
        assert shown["stt"] == {"vendor": "moonshine"}
        assert "{{practice_name}}" in shown["instructions"]
        listed = (await desk.get(desk.path)).json["agents"]
        assert listed[0]["template_name"] == "Dental practice receptionist"

    async def test_with_another_voice(self, desk: Desk) -> None:
        template_id = str(await template(desk.api))
        same = await desk.make(template_id=template_id, config={}, voice_config={"voice": "luna"})
        assert same.json["agent"]["config"]["tts"] == {
            "vendor": "deepgram",
            "model": "aura-2",
            "voice": "luna",
        }
        other = await desk.make(
            template_id=template_id,
            config={},
            voice_provider="openai",
            voice_config={"model": "tts", "voice": "alloy"},
        )
        assert other.json["agent"]["config"]["tts"] == {
            "vendor": "openai",
            "model": "tts",
            "voice": "alloy",
        }
        assert other.json["agent"]["voice_provider"] == "openai"

    async def test_of_several_voices_the_first_is_changed(self, desk: Desk) -> None:
        voices = [{"vendor": "piper", "voice": "joe"}, {"vendor": "deepgram"}]
        made = await desk.make(config={**CONFIG, "tts": voices}, voice_config={"voice": "heart"})
        assert made.json["agent"]["config"]["tts"] == [
            {"vendor": "piper", "voice": "heart"},
            {"vendor": "deepgram"},
        ]

    async def test_every_wrong_field_is_told_at_once_with_its_path(self, desk: Desk) -> None:
        answer = await desk.make(
            config={
                "instructions": 7,
                "llm": {"vendor": "openai", "modle": "x"},
                "stt": {"vendor": "moonshine", "settings": {"interim_ms": 1}},
                "turn_taking": {"playout": {"chunk_ms": 100, "lead_ms": 40}},
                "tools": ["end_call", {"type": "http", "name": "x", "url": "http://10.0.0.1"}],
            },
            voice_provider="nobody",
            voice_config={"voice": 4},
        )
        assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
        assert answer.fields == {
            "config.instructions",
            "config.llm.modle",
            "config.stt.settings.interim_ms",
            "config.turn_taking.playout.lead_ms",
            "config.tools.1.description",
            "config.tools.1.url",
            "voice_provider",
            "voice_config.voice",
        }

    async def test_without_template_and_configuration_all_that_is_missing_is_named(
        self, desk: Desk
    ) -> None:
        answer = await desk.make(config={})
        assert answer.fields == {
            "config.instructions",
            "config.stt",
            "config.llm",
            "config.tts",
        }

    async def test_what_is_out_of_a_tenants_reach(self, desk: Desk) -> None:
        reaching = {
            **CONFIG,
            "llm": {"vendor": "openai", "model": "m", "settings": {"base_url": "http://[::1]/v1"}},
            "stt": {"vendor": "moonshine", "model": "/etc"},
        }
        answer = await desk.make(config=reaching)
        assert answer.fields == {"config.llm.settings.base_url", "config.stt.model"}

    async def test_wrong_fields_around_it(self, desk: Desk) -> None:
        body = {"name": "", "config": [], "template_id": "x", "colour": "red"}
        answer = await desk.post(desk.path, body)
        assert answer.fields == {"name", "config", "template_id", "colour"}
        assert (await desk.make(name="x" * 101)).fields == {"name"}
        assert (await desk.post(desk.path, {"name": "\0"})).status == 422

    async def test_an_abyss_of_objects_is_refused(self, desk: Desk) -> None:
        deep = b'{"tts":' * 400 + b"1" + b"}" * 400
        body = b'{"name":"x","config":' + deep + b',"voice_config":' + deep + b"}"
        answer = await desk.api.post(desk.path, None, desk.token, data=body)
        assert answer.status in (400, 422)

    async def test_templates_that_are_not_there(self, desk: Desk) -> None:
        hidden = await template(desk.api, "hotel")
        await desk.api.run("UPDATE templates SET is_public = false WHERE id = $1", hidden)
        for template_id in (hidden, uuid4()):
            answer = await desk.make(template_id=str(template_id))
            assert (answer.status, answer.fields) == (422, {"template_id"})

    async def test_the_tiers_limit(self, api: Api) -> None:
        owner, token = await api.person()
        desk = Desk(api, await api.workspace(owner, subscription_tier="free"), token)
        answers = await asyncio.gather(*(desk.make() for _ in range(4)))
        assert sorted(answer.status for answer in answers) == [201, 403, 403, 403]
        refused = next(answer for answer in answers if answer.status == 403)
        assert refused.code == "TIER_LIMIT_REACHED"
        told = refused.json["error"]["message"]
        assert "agents is reached: 1 of 1 on the tier free; an admin changes the tier" in told

    async def test_with_a_number(self, desk: Desk) -> None:
        numbers = f"/workspaces/{desk.workspace_id}/phone-numbers"
        number = (await desk.post(numbers, {"phone_number": "+14155550123"})).json["phone_number"]
        path = await desk.made(phone_number_id=number["id"])
        found = (await desk.get(path)).json
        assert found["phone_number"]["phone_number"] == "+14155550123"
        listed = (await desk.get(desk.path)).json["agents"]
        assert [one["phone_number"] for one in listed] == ["+14155550123"]
        unknown = await desk.make(phone_number_id=str(uuid4()))
        assert (unknown.status, unknown.fields) == (422, {"phone_number_id"})
        assert len((await desk.get(desk.path)).json["agents"]) == 1

    async def test_the_same_key_makes_one_agent(self, desk: Desk) -> None:
        headers = {"Idempotency-Key": "once"}
        for _ in range(2):
            await desk.api.post(desk.path, NEW, desk.token, headers=headers)
        assert len((await desk.get(desk.path)).json["agents"]) == 1

    async def test_the_audit_log_has_no_configuration(self, desk: Desk) -> None:
        secret = {**CONFIG, "instructions": "The word is swordfish."}
        path = await desk.made(config=secret)
        await desk.put(path, {"config": {**secret, "greeting": "Swordfish!"}})
        log = await desk.api.run("SELECT action, details FROM audit_log ORDER BY id")
        assert [row["action"] for row in log] == ["agent.created", "agent.updated"]
        assert "swordfish" not in str([row["details"] for row in log]).lower()


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


class TestStats:
    async def test_calls_are_counted(self, desk: Desk) -> None:
        path = await desk.made()
        for status, duration_ms in (("completed", 1000), ("completed", 2000), ("failed", 9000)):
            await desk.api.run(
                "INSERT INTO calls (id, workspace_id, agent_id, carrier, direction, status,"
                " started_at, duration_ms)"
                " VALUES (gen_random_uuid(), $1, $2, 'twilio', 'inbound', $3, now(), $4)",
                desk.workspace_id,
                UUID(path.rpartition("/")[2]),
                status,
                duration_ms,
            )
        stats = (await desk.get(path)).json["stats"]
        assert stats == {"total_calls": 3, "avg_duration": 1.5}


class TestWhoMay:
    async def test_by_role(self, desk: Desk) -> None:
        path = await desk.made()
        may: dict[str, list[int]] = {}
        for role in ("member", "manager", "admin", "owner"):
            _, token = await desk.api.member(desk.workspace_id, role)
            may[role] = [
                (await desk.api.get(path, token)).status,
                (await desk.api.put(path, {"name": role}, token)).status,
                (await desk.api.post(f"{path}/activate", None, token)).status,
                (await desk.api.delete(f"{desk.path}/{uuid4()}", token)).status,
            ]
        assert may == {
            "member": [200, 403, 403, 403],
            "manager": [200, 200, 200, 403],
            "admin": [200, 200, 200, 404],
            "owner": [200, 200, 200, 404],
        }

    async def test_another_tenants_agent_is_as_if_it_were_not_there(self, desk: Desk) -> None:
        path = await desk.made()
        agent_id = path.rpartition("/")[2]
        owner, token = await desk.api.person()
        mine = f"/workspaces/{await desk.api.workspace(owner)}/agents"
        for base in (f"{mine}/{agent_id}", f"{mine}/{uuid4()}", path):
            answers = [
                await desk.api.get(base, token),
                await desk.api.put(base, {"name": "Stolen"}, token),
                await desk.api.delete(base, token),
                await desk.api.post(f"{base}/activate", None, token),
                await desk.api.post(f"{base}/pause", None, token),
                await desk.api.get(f"{base}/versions", token),
                await desk.api.get(f"{base}/versions/1", token),
                await desk.api.post(f"{base}/rollback", {"version": 1}, token),
            ]
            assert {answer.code for answer in answers} == {"RESOURCE_NOT_FOUND"}
        assert (await desk.api.get(mine, token)).json == {"agents": []}

    async def test_a_suspended_workspace_is_read_only(self, desk: Desk) -> None:
        path = await desk.made()
        await desk.api.run("UPDATE workspaces SET status = 'suspended'")
        assert (await desk.get(path)).status == 200
        assert (await desk.make()).code == "WORKSPACE_SUSPENDED"
