"""Where a request comes from."""

import pytest

from control.http.remote import remote_of
from control.settings import Settings, SettingsError, read_settings
from tests.support.api import served_api
from tests.support.identity import frozen

OURS = ("10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "headers", "remote"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # a stranger says what he likes
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1"], "198.51.100.1"),  # the first is made up
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),  # two proxies of ours
        ("10.0.0.1", ["198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["", "nonsense, "], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_nearest_that_is_no_proxy(peer: str, headers: list[str], remote: str) -> None:
    assert remote_of(peer, headers, OURS) == remote


def test_nobody_is_trusted_unless_it_is_said() -> None:
    assert remote_of("127.0.0.1", ["198.51.100.1"], Settings().trusted_proxies) == "127.0.0.1"


def test_what_is_no_network_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICECORE_TRUSTED_PROXIES", "10.0.0.0/8, everybody")
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES"):
        read_settings()


async def test_logins_are_counted_by_who_is_behind_the_proxy(tmp_path) -> None:  # type: ignore[no-untyped-def]
    wrong = {"email": "nobody@example.com", "password": "wrong"}
    async with served_api(tmp_path, trusted_proxies=("127.0.0.0/8",)) as api:
        frozen(api)

        async def log_in(address: str) -> int:
            headers = {"X-Forwarded-For": address}
            return (await api.post("/auth/login", wrong, headers=headers)).status

        statuses = [await log_in("198.51.100.1") for _ in range(25)]
        assert statuses[-1] == 429
        assert await log_in("198.51.100.2") == 401
