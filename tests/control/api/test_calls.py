"""Calls as the portals show them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from control.call_facts import CallBegan, CallEvent, CallFact, CallOver, CallTurn
from control.db import tier_limits
from control.db.call_writes import write
from control.db.database import PLATFORM
from tests.support.api import Api

NOON = datetime(2026, 1, 20, 12, tzinfo=UTC)


async def add_call(
    api: Api, workspace_id: UUID, at: datetime = NOON, *, over: bool = True, **changes: Any
) -> UUID:
    """A call of two turns that the database has."""
    call_id = uuid4()
    whose: dict[str, Any] = {"workspace_id": workspace_id, "call_id": call_id}
    began = {
        "agent_id": None,
        "agent_version": 1,
        "agent_name": "Desk",
        "carrier": "twilio",
        "carrier_call_id": "CA1",
        "direction": "inbound",
        "caller_number": "+14155550111",
        "called_number": "+14155550100",
        "started_at": at,
        "files": "a-call",
        **changes,
    }
    word = {"text": "Hello", "start_ms": 0, "end_ms": 300, "heard": True}
    asked = {"text": "Hi", "start_ms": 900, "end_ms": 1100}
    facts: list[CallFact] = [
        CallBegan(**whose, **began),
        CallEvent(**whose, sequence=1, type="dtmf", at_ms=5, data={"digit": "1"}, occurred_at=at),
        CallTurn(
            **whose, sequence=1, speaker="agent", start_ms=0, end_ms=300, text="Hello", words=[word]
        ),
        CallTurn(
            **whose, sequence=2, speaker="caller", start_ms=900, end_ms=1100, text="Hi",
            words=[asked],
        ),
    ]  # fmt: skip
    if over:
        facts.append(
            CallOver(
                **whose,
                status="completed",
                end_reason="caller_hangup",
                ended_at=at + timedelta(seconds=12),
                duration_ms=12_500,
                has_recording=True,
                latency={"median_ms": 480, "max_ms": 900},
            )
        )
    async with api.plane.db.transaction(PLATFORM) as db:
        await write(db, facts)
    return call_id


class TestClient:
    async def test_the_latest_call_is_first(self, api: Api) -> None:
        owner, token = await api.person()
        mine = await api.workspace(owner)
        await add_call(api, await api.workspace())
        early, late = await add_call(api, mine), await add_call(api, mine, NOON + timedelta(1))
        answer = await api.get(f"/workspaces/{mine}/calls", token)
        assert [call["id"] for call in answer.json["calls"]] == [str(late), str(early)]
        assert answer.json["total"] == 2
        assert answer.json["calls"][0]["duration_seconds"] == 12.5

    async def test_filters(self, api: Api) -> None:
        owner, token = await api.person()
        mine, agent_id = await api.workspace(owner), uuid4()
        plain = await add_call(api, mine)
        out = await add_call(api, mine, NOON + timedelta(1), direction="outbound")
        of_agent = await add_call(api, mine, NOON + timedelta(2), agent_id=agent_id)
        live = await add_call(api, mine, NOON + timedelta(3), over=False)
        test = await add_call(api, mine, NOON - timedelta(hours=1), is_test=True)
        for query, found in (
            ("is_test=true", [test]),
            ("is_test=false", [live, of_agent, out, plain]),
            ("is_test=true&status=completed&direction=inbound", [test]),
            ("is_test=true&agent_id=" + str(agent_id), []),
            ("direction=outbound", [out]),
            (f"agent_id={agent_id}", [of_agent]),
            ("status=in_progress", [live]),
            ("status=completed&direction=inbound", [of_agent, plain, test]),
            ("to=2026-01-21T00:00:00Z", [plain, test]),
            ("from=2026-01-22T00:00:00%2B00:00", [live, of_agent]),
        ):
            answer = await api.get(f"/workspaces/{mine}/calls?{query}", token)
            assert [call["id"] for call in answer.json["calls"]] == [str(one) for one in found]
            assert answer.json["total"] == len(found)

    async def test_pages_and_cursors_show_every_call_once(self, api: Api) -> None:
        owner, token = await api.person()
        mine = await api.workspace(owner)
        added = {str(await add_call(api, mine)) for _ in range(7)}  # all of one moment
        path = f"/workspaces/{mine}/calls?limit=3"
        by_page = [
            call["id"]
            for page in (1, 2, 3)
            for call in (await api.get(f"{path}&page={page}", token)).json["calls"]
        ]
        assert (set(by_page), len(by_page)) == (added, 7)
        by_cursor, following = [], ""
        while following is not None:
            more = f"&cursor={following}" if following else ""
            answer = (await api.get(path + more, token)).json
            by_cursor += [call["id"] for call in answer["calls"]]
            following = answer["next_cursor"]
        assert by_cursor == by_page

    async def test_a_call_with_what_was_said(self, api: Api) -> None:
        owner, token = await api.person()
        mine = await api.workspace(owner)
        path = f"/workspaces/{mine}/calls/{await add_call(api, mine)}"
        call = (await api.get(path, token)).json
        assert call["transcription"] == "Agent: Hello\nCaller: Hi"
        assert call["recording_url"] == f"{api.url}{path}/recording"
        assert call["call"]["latency"] == {"median_ms": 480, "max_ms": 900}
        said = (await api.get(f"{path}/transcription", token)).json
        assert [word["text"] for word in said["words"]] == ["Hello", "Hi"]
        assert [word["heard"] for word in said["words"]] == [True, None]
        events = (await api.get(f"{path}/events", token)).json["events"]
        assert [event["event_type"] for event in events] == ["dtmf"]
        assert (await api.get(f"{path}/events?after=1", token)).json["events"] == []

    async def test_the_text_is_what_was_heard_and_the_words_tell_the_rest(self, api: Api) -> None:
        owner, token = await api.person()
        mine = await api.workspace(owner)
        call_id = await add_call(api, mine)
        words = [
            {"text": "We", "start_ms": 2000, "end_ms": 2200, "heard": True},
            {"text": "open", "start_ms": 2200, "end_ms": 2600, "heard": "cut"},
            {"text": "at", "start_ms": 2600, "end_ms": 2700, "heard": False},
        ]
        whose: dict[str, Any] = {"workspace_id": mine, "call_id": call_id, "speaker": "agent"}
        more = {"words": words, "interrupted": True}
        unheard = {"words": [words[-1]], "interrupted": True}
        async with api.plane.db.transaction(PLATFORM) as db:
            facts = [
                CallTurn(**whose, sequence=3, start_ms=2000, end_ms=2400, text="We", **more),
                CallTurn(**whose, sequence=4, start_ms=2600, end_ms=2600, text="", **unheard),
            ]
            await write(db, facts)
        path = f"/workspaces/{mine}/calls/{call_id}"
        said = (await api.get(f"{path}/transcription", token)).json
        assert said["transcription"] == "Agent: Hello\nCaller: Hi\nAgent: We"
        assert (await api.get(path, token)).json["transcription"] == said["transcription"]
        shown = [(word["text"], word["heard"]) for word in said["words"][2:]]
        assert shown == [("We", True), ("open", "cut"), ("at", False), ("at", False)]

    async def test_a_test_is_told_from_other_calls(self, api: Api) -> None:
        owner, token = await api.person()
        mine, admin = await api.workspace(owner), await api.admin()
        test = await add_call(api, mine, over=False, is_test=True)
        real = await add_call(api, mine, NOON - timedelta(1), over=False)
        for path, name, by in (
            (f"/workspaces/{mine}/calls", "calls", token),
            (f"/workspaces/{mine}/calls/live", "active_calls", token),
            ("/admin/calls", "calls", admin),
            ("/admin/calls/live", "active_calls", admin),
        ):
            listed = (await api.get(path, by)).json[name]
            assert {one["id"]: one["is_test"] for one in listed} == {
                str(test): True,
                str(real): False,
            }
        for path, by in ((f"/workspaces/{mine}", token), ("/admin", admin)):
            assert (await api.get(f"{path}/calls/{test}", by)).json["call"]["is_test"] is True
            assert (await api.get(f"{path}/calls/{real}", by)).json["call"]["is_test"] is False
        for wanted, found in (("true", test), ("false", real)):
            answer = (await api.get(f"/admin/calls?is_test={wanted}", admin)).json
            assert ([one["id"] for one in answer["calls"]], answer["total"]) == ([str(found)], 1)

    async def test_tests_use_minutes_up(self, api: Api) -> None:
        mine = await api.workspace()
        await add_call(api, mine, is_test=True)
        async with api.plane.db.transaction(PLATFORM) as db:
            used = await tier_limits.usage(db, mine, NOON)
        assert (used.calls, used.duration_ms) == (1, 12_500)

    async def test_the_recording_is_a_file(self, api: Api) -> None:
        owner, token = await api.person()
        mine = await api.workspace(owner)
        path = f"/workspaces/{mine}/calls/{await add_call(api, mine)}/recording"
        missing = await api.get(path, token)
        assert (missing.status, missing.code) == (404, "RECORDING_NOT_FOUND")
        file = api.plane.data_dir / "calls" / "a-call" / "recording.wav"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"RIFF....WAVE")
        answer = await api.get(path, token)
        assert (answer.status, answer.body) == (200, b"RIFF....WAVE")
        part = await api.get(path, token, headers={"Range": "bytes=0-3"})
        assert (part.status, part.body) == (206, b"RIFF")

    @pytest.mark.parametrize("files", ["../../etc", "/etc/passwd", "..", "."])
    async def test_no_file_outside_is_reached(self, api: Api, files: str) -> None:
        owner, token = await api.person()
        mine = await api.workspace(owner)
        (api.plane.data_dir / "calls").mkdir()
        (api.plane.data_dir / "recording.wav").write_bytes(b"not yours")
        call_id = await add_call(api, mine, files=files)
        answer = await api.get(f"/workspaces/{mine}/calls/{call_id}/recording", token)
        assert answer.status == 404

    async def test_live_calls(self, api: Api) -> None:
        owner, token = await api.person()
        mine = await api.workspace(owner)
        live = await add_call(api, mine, api.plane.now() - timedelta(seconds=5), over=False)
        await add_call(api, mine)
        (shown,) = (await api.get(f"/workspaces/{mine}/calls/live", token)).json["active_calls"]
        assert shown["id"] == str(live)
        assert shown["duration_so_far"] >= 5

    async def test_another_workspaces_call_is_not_there(self, api: Api) -> None:
        owner, token = await api.person()
        mine = await api.workspace(owner)
        other = await add_call(api, await api.workspace())
        for end in ("", "/recording", "/transcription", "/events"):
            answer = await api.get(f"/workspaces/{mine}/calls/{other}{end}", token)
            assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")


class TestAdmin:
    async def test_calls_of_all_workspaces(self, api: Api) -> None:
        token = await api.admin("read-only")
        one, two = await api.workspace(name="One"), await api.workspace(name="Two")
        first = await add_call(api, one)
        await add_call(api, two, NOON + timedelta(1), over=False)
        answer = (await api.get("/admin/calls", token)).json
        assert [call["workspace_name"] for call in answer["calls"]] == ["Two", "One"]
        assert (answer["total"], answer["page"], answer["limit"]) == (2, 1, 50)
        of_one = (await api.get(f"/admin/calls?workspace_id={one}", token)).json
        assert [call["id"] for call in of_one["calls"]] == [str(first)]
        live = (await api.get("/admin/calls/live", token)).json["active_calls"]
        assert [call["workspace_name"] for call in live] == ["Two"]
        detail = (await api.get(f"/admin/calls/{first}", token)).json
        assert detail["workspace"] == {"id": str(one), "name": "One"}
        assert (await api.get(f"/admin/calls/{uuid4()}", token)).status == 404


async def test_totals_are_those_of_the_calls_themselves(api: Api) -> None:
    """Whatever is asked for, and however calls change, the days' counts agree with the calls."""
    owner, token = await api.person()
    mine, agent_id = await api.workspace(owner), uuid4()
    hours = (0, 0.01, 3, 23.99, 24, 30, 47, 48, 71)
    for place, hour in enumerate(hours):
        await add_call(
            api,
            mine,
            datetime(2026, 1, 20, tzinfo=UTC) + timedelta(hours=hour),
            over=place % 3 != 0,
            agent_id=agent_id if place % 2 else None,
            is_test=place % 4 == 1,
        )
    await add_call(api, await api.workspace())
    async with api.plane.db.transaction(PLATFORM) as db:
        await db.execute(
            "DELETE FROM calls WHERE started_at = $1", datetime(2026, 1, 21, 6, tzinfo=UTC)
        )
    times = ["", "2026-01-20T00:00:00Z", "2026-01-20T02:00:00Z", "2026-01-21T00:00:00Z",
             "2026-01-21T05:30:00%2B05:30", "2026-01-22T12:00:00Z"]  # fmt: skip
    for since in times:
        for until in times:
            for more in (
                *("", "&status=completed", f"&agent_id={agent_id}", "&direction=outbound"),
                *("&is_test=true", "&is_test=false"),
            ):
                query = f"limit=100&from={since}&to={until}{more}"
                answer = (await api.get(f"/workspaces/{mine}/calls?{query}", token)).json
                assert answer["total"] == len(answer["calls"]), query
