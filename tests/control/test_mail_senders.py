"""Those who send the mails that wait: what one mail does to the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog

from control import mail as mail_module
from control.mail import Mail, Mailer

HELLO = Mail("someone@example.com", "Hello", "x")


class OddPost:
    """Has a bug, and is slow with some mails."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.goes_on = asyncio.Event()
        self.last = asyncio.Event()

    async def send(self, mail: Mail) -> None:
        if mail.subject == "bug":
            raise LookupError("a bug")
        if mail.subject == "cancelled":
            raise asyncio.CancelledError
        if mail.subject == "slow":
            await self.goes_on.wait()
        self.sent.append(mail.subject)
        if mail.subject == "last":
            self.last.set()


@asynccontextmanager
async def mailer_of(post: mail_module.Post) -> AsyncIterator[Mailer]:
    mailer = Mailer(post)
    mailer.start()
    try:
        yield mailer
    finally:
        await mailer.stop()


@pytest.mark.parametrize("subject", ["bug", "cancelled"])
async def test_a_bug_costs_one_mail(subject: str) -> None:
    post = OddPost()
    async with mailer_of(post) as mailer:
        with structlog.testing.capture_logs() as logs:
            for _ in range(2 * mail_module.SENDERS):
                mailer.send(Mail(HELLO.to, subject, "x"))
            mailer.send(HELLO)
            await mailer.flush()
    assert post.sent == [HELLO.subject]
    assert [one["code"] for one in logs] == ["mail_failed"] * 2 * mail_module.SENDERS
    assert all(isinstance(one["exc_info"], BaseException) for one in logs)


async def test_slow_mails_hold_up_no_others() -> None:
    post = OddPost()
    async with mailer_of(post) as mailer:
        for subject in ["slow"] * (mail_module.SENDERS - 1) + ["quick", "quick", "last"]:
            mailer.send(Mail(HELLO.to, subject, "x"))
        await post.last.wait()
        assert post.sent == ["quick", "quick", "last"]
        post.goes_on.set()
    assert post.sent[3:] == ["slow"] * (mail_module.SENDERS - 1)


async def test_what_is_under_way_too_long_is_left() -> None:
    post = OddPost()
    mailer = Mailer(post)
    mailer.start()
    mailer.send(Mail(HELLO.to, "slow", "x"))
    with structlog.testing.capture_logs() as logs:
        await mailer.stop(timeout_s=0.01)
    assert post.sent == []
    assert [one["code"] for one in logs] == ["mail_unsent"]
    mailer.start()
    mailer.send(HELLO)
    await mailer.stop()
    assert post.sent == [HELLO.subject]
