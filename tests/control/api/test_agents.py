"""Voice agents of the client API: making them, their calls, and who may do what with them."""

import asyncio
from uuid import UUID, uuid4

from tests.support.agent_desk import CONFIG, NEW, Desk, desk, template
from tests.support.api import Api

__all__ = ["desk"]


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
