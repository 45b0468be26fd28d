"""Logging in before the address is verified: who knows the password is told, and nobody learns
whether an address has an account."""

from datetime import timedelta
from typing import Any

import pytest

from control.api import throttle
from tests.support.api import PASSWORD, Api
from tests.support.identity import NEW, frozen, link, login, signed_up, unlike, verified

OTHERS = "Others-Word-1"
WAITS = (403, "EMAIL_NOT_VERIFIED")
WRONG = (401, "INVALID_CREDENTIALS")


async def told(api: Api, *tried: Any) -> tuple[int, str]:
    answer = await login(api, *tried)
    return answer.status, answer.code


async def test_who_knows_the_password_is_told_what_is_missing(api: Api) -> None:
    await signed_up(api)
    answer = await login(api)
    assert (answer.status, answer.code) == WAITS
    assert "sign up again" in answer.json["error"]["message"]
    assert await told(api, NEW["email"].upper(), NEW["password"]) == WAITS
    assert await told(api, NEW["email"], "Wrong-Word-1") == WRONG
    await api.post("/auth/verify-email", {"token": await link(api)})
    assert (await login(api)).status == 200


async def test_signing_up_again_has_another_mail_sent(api: Api) -> None:
    await signed_up(api)
    await signed_up(api, password=OTHERS)
    assert await told(api, NEW["email"], NEW["password"]) == WAITS
    assert await told(api, NEW["email"], OTHERS) == WAITS
    assert len(await api.mails()) == 2
    await api.post("/auth/verify-email", {"token": await link(api)})
    assert (await login(api, password=OTHERS)).status == 200


async def test_a_sign_up_that_has_run_out_is_none(api: Api) -> None:
    await signed_up(api)
    now = api.plane.now() + timedelta(days=1)
    api.plane.now = lambda: now
    assert await told(api) == WRONG


async def test_nobody_learns_whether_an_address_has_an_account(api: Api) -> None:
    """Somebody signs up with the addresses of others, and tries his password whatever they do."""
    frozen(api)
    await api.person("known@example.com")
    for who in ("known", "fresh", "later", "both"):
        await signed_up(api, email=f"{who}@example.com", password=OTHERS)
    assert await told(api, "both@example.com", OTHERS) == WAITS
    await verified(api, email="later@example.com")
    await signed_up(api, email="both@example.com")
    answers = [
        await login(api, f"{who}@example.com", OTHERS)
        for who in ("known", "fresh", "later", "both")
    ]
    assert {(one.status, one.code) for one in answers} == {WAITS}
    assert len({str(unlike(one.headers)) for one in answers}) == 1
    assert (await login(api, "later@example.com")).status == 200


async def test_the_same_work_is_done_whoever_is_registered(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.person("known@example.com")
    for _ in range(3):
        await signed_up(api, email="waits@example.com")
    await signed_up(api, email="known@example.com")
    passwords, done = api.plane.passwords, list[str]()
    for name in ("_hash", "_verify"):
        kept = getattr(passwords, name)

        def counted(*values: str, kept: Any = kept, name: str = name) -> Any:
            done.append(name)
            return kept(*values)

        monkeypatch.setattr(passwords, name, counted)
    for email in ("known@example.com", "waits@example.com", "nobody@example.com"):
        for password in ("Wrong-Word-1", NEW["password"]):
            await login(api, email, password)
            assert done == ["_verify", "_hash"], (email, password)
            done.clear()


async def test_only_wrong_passwords_count_as_failures(api: Api) -> None:
    frozen(api)
    await signed_up(api)
    for _ in range(throttle.FAILURES.per_minute + 1):
        assert await told(api) == WAITS
    for _ in range(throttle.FAILURES.per_minute):
        assert await told(api, NEW["email"], PASSWORD) == WRONG
    assert (await login(api)).status == 429
