"""Telephone numbers of the client API."""

from uuid import UUID, uuid4

import pytest

from control.db import agents
from tests.support.api import Api

NEW = {"phone_number": "+14155550123", "friendly_name": "Main line", "carrier": "twilio"}
AGENT = {
    "name": "Desk",
    "config": {
        "instructions": "Be brief.",
        "stt": {"vendor": "moonshine"},
        "llm": {"vendor": "llama"},
        "tts": {"vendor": "piper"},
    },
}


async def workspace(api: Api) -> tuple[UUID, str, str]:
    """A workspace, the path of its numbers, and its owner's token."""
    owner, token = await api.person()
    workspace_id = await api.workspace(owner)
    return workspace_id, f"/workspaces/{workspace_id}/phone-numbers", token


class TestRegistering:
    async def test_a_number_is_there_as_it_was_made(self, api: Api) -> None:
        _, path, token = await workspace(api)
        made = await api.post(path, NEW, token)
        assert made.status == 201
        number = made.json["phone_number"]
        assert {name: number[name] for name in NEW} == NEW
        assert (number["status"], number["agent_id"]) == ("active", None)
        listed = (await api.get(path, token)).json["phone_numbers"]
        assert listed == [
            {
                "id": number["id"],
                "phone_number": "+14155550123",
                "friendly_name": "Main line",
                "status": "active",
                "agent_name": None,
            }
        ]

    async def test_name_and_carrier_may_be_left_out(self, api: Api) -> None:
        _, path, token = await workspace(api)
        number = (await api.post(path, {"phone_number": "+447700900123"}, token)).json
        assert number["phone_number"]["friendly_name"] == ""
        assert number["phone_number"]["carrier"] is None

    @pytest.mark.parametrize(
        "phone_number",
        [
            "4155550123",
            "+0155550123",
            "+1 415 555 0123",
            "+1415",
            "+1415555012345678",
            "+١٤١٥٥٥٥",
            7,
        ],
    )
    async def test_what_is_no_number(self, api: Api, phone_number: object) -> None:
        _, path, token = await workspace(api)
        answer = await api.post(path, {"phone_number": phone_number}, token)
        assert (answer.status, answer.fields) == (422, {"phone_number"})

    async def test_one_is_got_by_its_id(self, api: Api) -> None:
        _, path, token = await workspace(api)
        made = (await api.post(path, NEW, token)).json
        assert (await api.get(f"{path}/{made['phone_number']['id']}", token)).json == made
        for nothing in (uuid4(), "available"):
            answer = await api.get(f"{path}/{nothing}", token)
            assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")

    async def test_who_answers_it_may_be_said_at_once(self, api: Api) -> None:
        workspace_id, path, token = await workspace(api)
        agent = await api.post(f"/workspaces/{workspace_id}/agents", AGENT, token)
        agent_id = agent.json["agent"]["id"]
        made = (await api.post(path, {**NEW, "agent_id": agent_id}, token)).json["phone_number"]
        assert (made["agent_id"], made["agent_name"]) == (agent_id, "Desk")
        (log,) = await api.run("SELECT details FROM audit_log WHERE action LIKE 'phone%'")
        assert log["details"]["after"]["agent_id"] == agent_id

    async def test_an_agent_that_is_not_the_workspaces_answers_nothing(self, api: Api) -> None:
        _, path, token = await workspace(api)
        other_id, _, other = await workspace(api)
        theirs = await api.post(f"/workspaces/{other_id}/agents", AGENT, other)
        for agent_id in (theirs.json["agent"]["id"], str(uuid4()), "nobody"):
            answer = await api.post(path, {**NEW, "agent_id": agent_id}, token)
            assert (answer.status, answer.fields) == (422, {"agent_id"})
        assert (await api.get(path, token)).json["phone_numbers"] == []

    async def test_an_agent_that_is_deleted_at_this_moment(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, path, token = await workspace(api)
        number = (await api.post(path, NEW, token)).json["phone_number"]

        async def it_was_there(*_: object) -> bool:
            return True

        monkeypatch.setattr(agents, "exists", it_was_there)
        gone = {"agent_id": str(uuid4())}
        for answer in (
            await api.post(path, {"phone_number": "+14155550177", **gone}, token),
            await api.put(f"{path}/{number['id']}", gone, token),
        ):
            assert (answer.status, answer.fields) == (422, {"agent_id"})

    async def test_every_wrong_field_is_told_at_once(self, api: Api) -> None:
        _, path, token = await workspace(api)
        wrong = {"phone_number": "x", "friendly_name": "x" * 256, "carrier": "pigeon", "agent": 1}
        answer = await api.post(path, wrong, token)
        assert answer.fields == {"phone_number", "friendly_name", "carrier", "agent"}

    async def test_a_number_is_registered_once_whoever_has_it(self, api: Api) -> None:
        _, mine, my_token = await workspace(api)
        _, theirs, their_token = await workspace(api)
        await api.post(mine, NEW, my_token)
        again = await api.post(mine, NEW, my_token)
        other = await api.post(theirs, NEW, their_token)
        for answer in (again, other):
            assert (answer.status, answer.code) == (409, "DUPLICATE_RESOURCE")
            assert answer.fields == {"phone_number"}
        assert again.json["error"]["details"] == other.json["error"]["details"]
        assert (await api.get(theirs, their_token)).json == {"phone_numbers": []}


class TestFreeing:
    @pytest.mark.parametrize("who", ["owner", "admin", "client"])
    async def test_a_deleted_workspaces_numbers_are_the_next_ones(self, api: Api, who: str) -> None:
        workspace_id, path, token = await workspace(api)
        _, others, other_token = await workspace(api)
        agent = await api.post(f"/workspaces/{workspace_id}/agents", AGENT, token)
        made = (await api.post(path, NEW, token)).json["phone_number"]
        await api.put(f"{path}/{made['id']}", {"agent_id": agent.json["agent"]["id"]}, token)
        await api.post(others, {"phone_number": "+447700900123"}, other_token)
        (row,) = await api.run("SELECT number FROM workspaces WHERE id = $1", workspace_id)
        place, deleter = {
            "owner": (f"/workspaces/{workspace_id}", token),
            "admin": (f"/admin/workspaces/{workspace_id}", await api.admin()),
            "client": (f"/api/v1/customers/{row['number']}", await api.oauth()),
        }[who]
        assert (await api.delete(place, deleter)).status == 204
        assert (await api.post(others, NEW, other_token)).status == 201
        assert len((await api.get(others, other_token)).json["phone_numbers"]) == 2


class TestChanging:
    async def test_who_answers(self, api: Api) -> None:
        workspace_id, path, token = await workspace(api)
        agent = await api.post(f"/workspaces/{workspace_id}/agents", AGENT, token)
        agent_id = agent.json["agent"]["id"]
        number = (await api.post(path, NEW, token)).json["phone_number"]
        one = f"{path}/{number['id']}"
        changed = (await api.put(one, {"agent_id": agent_id}, token)).json["phone_number"]
        assert (changed["agent_id"], changed["agent_name"]) == (agent_id, "Desk")
        assert changed["friendly_name"] == "Main line"
        named = (await api.put(one, {"friendly_name": "Desk line"}, token)).json["phone_number"]
        assert (named["friendly_name"], named["agent_id"]) == ("Desk line", agent_id)
        freed = (await api.put(one, {"agent_id": None}, token)).json["phone_number"]
        assert freed["agent_name"] is None

    async def test_a_deleted_agent_leaves_its_number(self, api: Api) -> None:
        workspace_id, path, token = await workspace(api)
        agents = f"/workspaces/{workspace_id}/agents"
        number = (await api.post(path, NEW, token)).json["phone_number"]
        body = {**AGENT, "phone_number_id": number["id"]}
        agent_id = (await api.post(agents, body, token)).json["agent"]["id"]
        assert (await api.get(path, token)).json["phone_numbers"][0]["agent_name"] == "Desk"
        await api.delete(f"{agents}/{agent_id}", token)
        assert (await api.get(path, token)).json["phone_numbers"][0]["agent_name"] is None

    async def test_agents_that_are_not_there(self, api: Api) -> None:
        _, path, token = await workspace(api)
        other_id, _, other = await workspace(api)
        theirs = await api.post(f"/workspaces/{other_id}/agents", AGENT, other)
        number = (await api.post(path, NEW, token)).json["phone_number"]
        for agent_id in (theirs.json["agent"]["id"], str(uuid4())):
            answer = await api.put(f"{path}/{number['id']}", {"agent_id": agent_id}, token)
            assert (answer.status, answer.fields) == (422, {"agent_id"})
            assert answer.json["error"]["details"][0]["message"] == "there is no such agent"

    async def test_the_number_itself_stays(self, api: Api) -> None:
        _, path, token = await workspace(api)
        number = (await api.post(path, NEW, token)).json["phone_number"]
        answer = await api.put(f"{path}/{number['id']}", {"phone_number": "+14155550199"}, token)
        assert (answer.status, answer.fields) == (422, {"phone_number"})

    async def test_a_deleted_number_is_free_again(self, api: Api) -> None:
        _, path, token = await workspace(api)
        number = (await api.post(path, NEW, token)).json["phone_number"]
        assert (await api.delete(f"{path}/{number['id']}", token)).status == 204
        assert (await api.delete(f"{path}/{number['id']}", token)).status == 404
        assert (await api.post(path, NEW, token)).status == 201
        log = await api.run("SELECT action FROM audit_log ORDER BY id")
        assert [row["action"] for row in log] == [
            "phone_number.created",
            "phone_number.deleted",
            "phone_number.created",
        ]


class TestWhoMay:
    async def test_by_role(self, api: Api) -> None:
        workspace_id, path, token = await workspace(api)
        one = f"{path}/{(await api.post(path, NEW, token)).json['phone_number']['id']}"
        may: dict[str, list[int]] = {}
        for at, role in enumerate(("member", "manager", "admin")):
            _, theirs = await api.member(workspace_id, role)
            new = {"phone_number": f"+1415555020{at}"}
            may[role] = [
                (await api.get(path, theirs)).status,
                (await api.get(one, theirs)).status,
                (await api.put(one, {"friendly_name": role}, theirs)).status,
                (await api.post(path, new, theirs)).status,
                (await api.delete(f"{path}/{uuid4()}", theirs)).status,
            ]
        assert may == {
            "member": [200, 200, 403, 403, 403],
            "manager": [200, 200, 200, 403, 403],
            "admin": [200, 200, 200, 201, 404],
        }

    async def test_another_tenants_number_is_as_if_it_were_not_there(self, api: Api) -> None:
        _, path, token = await workspace(api)
        number = (await api.post(path, NEW, token)).json["phone_number"]
        _, mine, my_token = await workspace(api)
        for one in (f"{mine}/{number['id']}", f"{mine}/{uuid4()}", f"{path}/{number['id']}"):
            for answer in (
                await api.get(one, my_token),
                await api.put(one, {"friendly_name": "Stolen"}, my_token),
                await api.delete(one, my_token),
            ):
                assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")
        assert (await api.get(path, my_token)).status == 404
