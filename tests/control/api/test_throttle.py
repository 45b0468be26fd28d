"""Whose failed logins are counted together."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from control.api import throttle
from control.http.remote import network_of
from tests.support.api import PASSWORD, Api, served_api
from tests.support.identity import frozen

WRONG = "Wrong-Word-1"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The API behind a proxy, at a time that stands still."""
    async with served_api(tmp_path, trusted_proxies=("127.0.0.0/8",)) as served:
        frozen(served)
        yield served


async def log_in(api: Api, address: str, email: str, password: str = WRONG) -> int:
    headers = {"X-Forwarded-For": address}
    body = {"email": email, "password": password}
    return (await api.post("/auth/login", body, headers=headers)).status


@pytest.mark.parametrize(
    ("remote", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_what_is_counted_as_one_address(remote: str, network: str) -> None:
    assert network_of(remote) == network


async def test_the_addresses_of_one_network_are_counted_together(api: Api) -> None:
    for number in range(throttle.FAILURES.per_minute):
        assert await log_in(api, f"2001:db8:1:2::{number:x}", "me@example.com") == 401
    assert await log_in(api, "2001:db8:1:2:ffff::1", "me@example.com") == 429
    assert await log_in(api, "2001:db8:1:3::1", "me@example.com") == 401


async def test_mails_are_counted_by_network_too(api: Api) -> None:
    statuses = []
    for number in range(throttle.MAILS_FROM_ONE_ADDRESS.per_minute + 1):
        headers = {"X-Forwarded-For": f"2001:db8:1:2::{number:x}"}
        body = {"email": f"nobody-{number}@example.com"}
        answer = await api.post("/auth/forgot-password", body, headers=headers)
        statuses.append(answer.status)
    assert statuses[-1] == 429
    assert 429 not in statuses[:-1]


async def test_guesses_from_everywhere_are_counted_by_account(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.person("me@example.com")

    async def compared(password: str, hashed: str | None) -> bool:
        return hashed is not None and password == PASSWORD

    async def none_waits(password: str, kept: Sequence[str]) -> bool:
        return False

    monkeypatch.setattr(api.plane.passwords, "matches", compared)
    monkeypatch.setattr(api.plane.passwords, "is_one_of", none_waits)
    for number in range(throttle.OF_ONE_ACCOUNT.per_hour):
        assert await log_in(api, f"198.51.100.{number}", "me@example.com") == 401
    headers = {"X-Forwarded-For": "203.0.113.1"}
    body = {"email": "ME@example.com", "password": PASSWORD}
    answer = await api.post("/auth/login", body, headers=headers)
    assert (answer.status, answer.code) == (429, "RATE_LIMIT_EXCEEDED")
    wait_s = int(answer.headers["Retry-After"])
    assert 1 <= wait_s <= 3600
    assert answer.json["error"]["message"] == f"Too many requests: ask again in {wait_s} s"
    await api.person("other@example.com")
    assert await log_in(api, "203.0.113.1", "other@example.com", PASSWORD) == 200


async def test_the_hour_is_over(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.person("me@example.com")
    monkeypatch.setattr(throttle, "OF_ONE_ACCOUNT", throttle.Limit(2, 2))
    for number in range(2):
        assert await log_in(api, f"198.51.100.{number}", "me@example.com") == 401
    assert await log_in(api, "198.51.100.9", "me@example.com", PASSWORD) == 429
    now = api.plane.now()
    api.plane.now = lambda: now + timedelta(hours=1)
    assert await log_in(api, "198.51.100.9", "me@example.com", PASSWORD) == 200
