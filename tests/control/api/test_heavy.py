"""Heavy requests, a few at a time: whatever many come, others are answered."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control.api import ENDPOINTS
from control.http.errors import Refused
from control.http.heavy import LEFT, MOST_OF_ONE, ROOMS, Gate, rooms_of
from tests.support.api import ANSWERED_IN_S, Api, Reply, served_api
from tests.support.waiting import until

MANY = 20


class Held:
    """Passwords that are compared when the test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = asyncio.Event()

    async def compared(self, password: str, hashed: str | None) -> bool:
        self.begun += 1
        await self.go_on.wait()
        return False

    async def is_one_of(self, password: str, kept: object) -> bool:
        return False


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The API behind a proxy, which tells where requests come from."""
    async with served_api(tmp_path, trusted_proxies=("127.0.0.0/8",)) as served:
        served.patient()
        yield served


def log_in(api: Api, number: int, address: str = "") -> asyncio.Task[Reply]:
    """Somebody's, from a network of his own."""
    body = {"email": f"somebody-{number}@example.com", "password": "Wrong-Word-1"}
    headers = {"X-Forwarded-For": address or f"192.0.2.{number}"}
    return asyncio.create_task(api.post("/auth/login", body, headers=headers))


async def test_light_requests_are_answered_while_heavy_ones_wait(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    monkeypatch.setattr(api.plane.passwords, "matches", held.compared)
    monkeypatch.setattr(api.plane.passwords, "is_one_of", held.is_one_of)
    _, token = await api.person()
    logins = [log_in(api, number) for number in range(MANY)]
    room, gate = ROOMS["passwords"], api.plane.heavy.of["passwords"]
    await until(lambda: held.begun == room and gate.waiting == MANY - room)
    async with asyncio.timeout(ANSWERED_IN_S):
        assert (await api.get("/auth/me", token)).status == 200
        assert (await api.post("/workspaces", {"name": "Mine"}, token)).status == 201
    assert held.begun == room
    assert not any(login.done() for login in logins)
    held.go_on.set()
    assert {reply.status for reply in await asyncio.gather(*logins)} == {401}
    assert (held.begun, gate.waiting) == (MANY, 0)


async def test_those_who_are_too_many_or_wait_too_long_are_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    monkeypatch.setattr(api.plane.passwords, "matches", held.compared)
    monkeypatch.setattr(api.plane.passwords, "is_one_of", held.is_one_of)
    gate = api.plane.heavy.of["passwords"] = Gate(1, most_waiting=1, deadline_s=60)
    working = log_in(api, 0)
    await until(lambda: held.begun == 1)
    waiting = log_in(api, 1)
    await until(lambda: gate.waiting == 1)
    async with asyncio.timeout(ANSWERED_IN_S):
        refused = await log_in(api, 2)
    assert (refused.status, refused.code) == (503, "SERVICE_UNAVAILABLE")
    assert int(refused.headers["Retry-After"]) >= 1
    held.go_on.set()
    assert {(await one).status for one in (working, waiting)} == {401}


class TestGate:
    async def test_who_waits_too_long_is_refused_and_leaves_no_trace(self) -> None:
        gate = Gate(1, deadline_s=0)
        async with gate.entered():
            for _ in range(3):
                with pytest.raises(Refused):
                    async with gate.entered():
                        raise AssertionError("let in")
            assert gate.waiting == 0
        async with gate.entered():
            pass

    async def test_who_goes_away_makes_room(self) -> None:
        gate = Gate(1)
        reached = asyncio.Event()

        async def stay() -> None:
            async with gate.entered():
                reached.set()
                await asyncio.Event().wait()

        inside = asyncio.create_task(stay())
        await reached.wait()
        outside = asyncio.create_task(stay())
        await until(lambda: gate.waiting == 1)
        outside.cancel()
        inside.cancel()
        await asyncio.gather(inside, outside, return_exceptions=True)
        assert gate.waiting == 0
        async with gate.entered():
            pass

    async def test_they_come_in_the_order_in_which_they_asked(self) -> None:
        gate, order = Gate(1), []

        async def come(number: int) -> None:
            async with gate.entered():
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(come(number) for number in range(10)))
        assert order == list(range(10))

    async def test_one_caller_cannot_fill_it(self) -> None:
        gate, go_on = Gate(1, most_of_one=2), asyncio.Event()

        async def stay(*callers: str) -> None:
            async with gate.entered(callers):
                await go_on.wait()

        first = [asyncio.create_task(stay("a", "workspace")) for _ in range(2)]
        await until(lambda: gate.waiting == 1)
        for callers in (["a"], ["b", "workspace"]):
            with pytest.raises(Refused) as refused:
                await stay(*callers)
            assert (refused.value.refusal.status, refused.value.headers) == (
                429,
                {"Retry-After": "1"},
            )
        other = asyncio.create_task(stay("b", "another"))
        await until(lambda: gate.waiting == 2)
        go_on.set()
        await asyncio.gather(*first, other)
        await stay("a", "workspace")


@pytest.mark.parametrize(
    ("connections", "rooms"),
    [(2, (1, 1, 1)), (6, (1, 1, 1)), (7, (1, 1, 2)), (10, (3, 2, 2)), (200, (3, 2, 2))],
)
def test_connections_are_left_to_the_others(connections: int, rooms: tuple[int, ...]) -> None:
    assert sorted(rooms_of(connections).values()) == sorted(rooms)
    assert sum(rooms) <= connections - LEFT or set(rooms) == {1}


async def test_one_network_cannot_keep_others_from_logging_in(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, most = Held(), MOST_OF_ONE["passwords"]
    monkeypatch.setattr(api.plane.passwords, "matches", held.compared)
    monkeypatch.setattr(api.plane.passwords, "is_one_of", held.is_one_of)
    gate = api.plane.heavy.of["passwords"]
    flood = [log_in(api, number, "198.51.100.7") for number in range(most)]
    await until(lambda: gate.waiting == most - ROOMS["passwords"])
    refused = await log_in(api, most, "198.51.100.7")
    assert (refused.status, refused.code) == (429, "RATE_LIMIT_EXCEEDED")
    assert int(refused.headers["Retry-After"]) >= 1
    other = log_in(api, most + 1, "203.0.113.1")
    await until(lambda: gate.waiting == most - ROOMS["passwords"] + 1)
    held.go_on.set()
    assert {(await one).status for one in (*flood, other)} == {401}


async def test_one_manager_keeps_nobody_from_anything(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, begun = asyncio.Event(), []

    async def check(context: object, config: object, workspace_id: object, **_: object) -> None:
        begun.append(workspace_id)
        await go_on.wait()

    monkeypatch.setattr("control.api.client.agents.check", check)
    (owner, token), (other, others) = await api.person(), await api.person()
    workspace = await api.workspace(owner, subscription_tier="enterprise")
    second = await api.workspace(other)
    _, colleagues = await api.member(workspace, "manager")

    def create(of: object, by: str) -> asyncio.Task[Reply]:
        body = {"name": "An agent", "config": {"tts": {"vendor": "piper"}}}
        return asyncio.create_task(api.post(f"/workspaces/{of}/agents", body, by))

    most, gate = MOST_OF_ONE["configurations"], api.plane.heavy.of["configurations"]
    at_work = [create(workspace, token) for _ in range(most)]
    await until(lambda: len(begun) + gate.waiting == most)
    for by in (token, colleagues):  # the place is the workspace's, too
        refused = await create(workspace, by)
        assert (refused.status, refused.code) == (429, "RATE_LIMIT_EXCEEDED")
        assert refused.headers["Retry-After"] == "1"
    elsewhere = create(second, others)
    await until(lambda: len(begun) + gate.waiting == most + 1)
    async with asyncio.timeout(ANSWERED_IN_S):
        assert (await log_in(api, 1)).status == 401
    go_on.set()
    assert {(await one).status for one in (*at_work, elsewhere)} == {201}


async def test_the_gate_fits_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    async with served_api(tmp_path, database_connections=2) as api:
        api.patient()
        monkeypatch.setattr(api.plane.passwords, "matches", held.compared)
        monkeypatch.setattr(api.plane.passwords, "is_one_of", held.is_one_of)
        _, token = await api.person()
        logins = [log_in(api, number) for number in range(5)]
        await until(lambda: held.begun == 1 and api.plane.heavy.of["passwords"].waiting == 4)
        async with asyncio.timeout(ANSWERED_IN_S):
            assert (await api.get("/auth/me", token)).status == 200
        held.go_on.set()
        await asyncio.gather(*logins)


def test_what_a_thread_works_for_is_declared_heavy() -> None:
    heavy: dict[str, set[str]] = {}
    for endpoint in ENDPOINTS:
        if endpoint.heavy:
            heavy.setdefault(endpoint.heavy, set()).add(endpoint.name)
    assert heavy == {
        "passwords": {
            "accept_invitation",
            "admin_login",
            "change_admin_password",
            "change_password",
            "create_admin",
            "create_user",
            "login",
            "oauth_token",
            "reset_password",
            "signup",
            "update_admin",
            "update_user",
        },
        "configurations": {
            "activate_agent",
            "create_agent",
            "create_template",
            "roll_back_agent",
            "update_agent",
            "update_template",
        },
        "audio": {"upload_audio"},
    }
    assert not [endpoint for endpoint in ENDPOINTS if endpoint.heavy and endpoint.only_reads]
