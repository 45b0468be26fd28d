"""What was done, as admins read it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from control.api.cursors import cursor_of
from tests.support.api import PASSWORD, Api

START = datetime(2026, 3, 1, tzinfo=UTC)


async def entries(api: Api, count: int, apart_minutes: int = 1) -> None:
    """One a minute, or so; every second one another action."""
    await api.run(
        "INSERT INTO audit_log (actor_kind, action, resource_type, resource_id, at) "
        "SELECT 'user', CASE n % 2 WHEN 0 THEN 'even' ELSE 'odd' END, 'thing', n::text, "
        "$2::timestamptz + n * $3 * interval '1 minute' FROM generate_series(0, $1 - 1) AS n",
        count,
        START,
        apart_minutes,
    )


def of(answer: Any) -> list[str]:
    return [one["resource_id"] for one in answer.json["logs"]]


class TestReading:
    async def test_an_entry_says_who_what_and_from_where(self, api: Api) -> None:
        token = await api.admin("support")
        workspace = await api.workspace()
        await api.post(f"/admin/workspaces/{workspace}/suspend", {"reason": "x"}, token)
        answer = (await api.get("/admin/logs/activity", token)).json
        assert set(answer) == {"logs", "total", "page", "next_cursor"}
        (entry,) = answer["logs"]
        assert set(entry) == {
            "id",
            "admin_email",
            "action",
            "resource_type",
            "resource_id",
            "details",
            "timestamp",
        }
        assert entry["admin_email"].startswith("support-")
        assert (entry["action"], entry["resource_type"]) == ("workspace.suspended", "workspace")
        assert entry["resource_id"] == str(workspace)
        details = entry["details"]
        assert details["after"]["suspended_reason"] == "x"
        assert details["actor"]["kind"] == "admin"
        assert details["remote"] == "127.0.0.1"
        assert details["request_id"]

    async def test_who_logs_in_has_done_so_himself(self, api: Api) -> None:
        token = await api.admin("support")
        me = (await api.get("/admin/auth/me", token)).json["admin"]
        login = {"email": me["email"].upper(), "password": PASSWORD}
        assert (await api.post("/admin/auth/login", login)).status == 200
        path = f"/admin/logs/activity?action=admin.logged_in&admin_id={me['id']}"
        (entry,) = (await api.get(path, token)).json["logs"]
        assert entry["admin_email"] == me["email"]
        assert entry["details"]["actor"] == {"kind": "admin", "id": me["id"]}

    async def test_filters(self, api: Api) -> None:
        await entries(api, 4)
        token = await api.admin()
        one = quote((START + timedelta(minutes=1)).isoformat())
        two = quote((START + timedelta(minutes=2)).isoformat())
        for query, found in (
            ("action=even", ["2", "0"]),
            ("action=ev", []),
            (f"from={two}", ["3", "2"]),
            (f"to={two}", ["1", "0"]),
            (f"from={one}&to={two}", ["1"]),
            ("from=2026-03-01T00:02:00+00:00", ["3", "2"]),
            ("from=2026-03-01T00:02:00", ["3", "2"]),
            ("from=2026-03-01T02:02:00%2B02:00", ["3", "2"]),
            ("from=&action=", ["3", "2", "1", "0"]),
            ("action=%27%3B--", []),
        ):
            answer = await api.get(f"/admin/logs/activity?{query}", token)
            assert of(answer) == found, query
            assert answer.json["total"] == len(found)

    async def test_one_admins(self, api: Api) -> None:
        token, other = await api.admin("owner"), await api.admin("finance")
        await api.put("/admin/config/tiers/free", {"included_minutes": 5}, token)
        await api.put("/admin/config/tiers/free", {"included_minutes": 6}, other)
        rows = await api.run("SELECT id FROM admins WHERE role = 'finance'")
        answer = await api.get(f"/admin/logs/activity?admin_id={rows[0]['id']}", token)
        assert answer.json["total"] == 1
        assert answer.json["logs"][0]["admin_email"].startswith("finance-")

    @pytest.mark.parametrize(
        "query",
        [
            "admin_id=1",
            "from=yesterday",
            "from=0001-01-01T00:00:00%2B14:00",
            "to=9999-12-31T23:59:59-14:00",
            "to=1e300",
            "page=0",
            "limit=1000",
            f"action={'x' * 101}",
            "cursor=x",
            "cursor=!!!",
            f"cursor={'A' * 200}",
            "cursor=LTEuMQ",
            "cursor=MS4tMQ",
            "cursor=MS45OTk5OTk5OTk5OTk5OTk5OTk5OTk",
        ],
    )
    async def test_a_wrong_query(self, api: Api, query: str) -> None:
        answer = await api.get(f"/admin/logs/activity?{query}", await api.admin())
        assert (answer.status, answer.fields) == (422, {query.partition("=")[0]})

    async def test_nobody_else_reads(self, api: Api) -> None:
        for token in (None, (await api.person())[1], await api.oauth()):
            assert (await api.get("/admin/logs/activity", token)).status == 401


class TestPaging:
    async def test_pages(self, api: Api) -> None:
        await entries(api, 5)
        answer = await api.get("/admin/logs/activity?page=2&limit=2", await api.admin())
        assert of(answer) == ["2", "1"]
        assert (answer.json["page"], answer.json["total"]) == (2, 5)

    async def test_a_cursor_goes_on_whatever_is_added(self, api: Api) -> None:
        await entries(api, 5, apart_minutes=0)
        token = await api.admin()
        pages, cursor = [], ""
        while cursor is not None:
            answer = await api.get(f"/admin/logs/activity?limit=2&cursor={cursor}", token)
            pages.append(of(answer))
            cursor = answer.json["next_cursor"]
            await entries(api, 3, apart_minutes=0)
        assert pages == [["4", "3"], ["2", "1"], ["0"]]

    async def test_at_the_end_there_is_none(self, api: Api) -> None:
        await entries(api, 2)
        token = await api.admin()
        answer = await api.get("/admin/logs/activity?limit=2", token)
        assert answer.json["next_cursor"] is None
        before_all = cursor_of(START, 0)
        behind = await api.get(f"/admin/logs/activity?cursor={before_all}", token)
        assert (of(behind), behind.json["next_cursor"]) == ([], None)
