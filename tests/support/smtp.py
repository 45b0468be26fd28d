"""A real SMTP server on this machine, which keeps what it is given."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class Inbox:
    """What the SMTP server was given, and what it answers."""

    def __init__(self, *answers: str) -> None:
        self.envelopes: list[Envelope] = []
        self.encrypted: list[bool] = []
        self.users: list[str | None] = []
        self.passwords: list[bytes] = []
        self._answers = list(answers)

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:
        self.encrypted.append(session.ssl is not None)
        self.users.append(session.auth_data)
        if self._answers:
            return self._answers.pop(0)
        self.envelopes.append(envelope)
        return "250 OK"

    def authenticate(
        self, _: SMTP, __: Session, ___: Envelope, ____: str, said: LoginPassword
    ) -> AuthResult:
        self.passwords.append(said.password)
        right = said.password == b"secret"
        return AuthResult(success=right, handled=False, auth_data=said.login.decode())

    def message(self, index: int = -1) -> EmailMessage:
        content = self.envelopes[index].content
        assert isinstance(content, bytes)
        return BytesParser(policy=policy.default).parsebytes(content)


class ChoosyInbox(Inbox):
    """Takes mails for nobody."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self.asked_for: list[str] = []
        self._answer = answer

    async def handle_RCPT(
        self, _: SMTP, __: Session, ___: Envelope, address: str, ____: list[str]
    ) -> str:
        self.asked_for.append(address)
        return self._answer


class SevenBits(SMTP):
    """Knows nothing that is newer than RFC 821."""

    async def smtp_EHLO(self, hostname: str) -> None:
        await self.push("502 Not known here")


@asynccontextmanager
async def smtp_server(
    inbox: Inbox,
    *,
    tls: ssl.SSLContext | None = None,
    auth: bool = False,
    seven_bits: bool = False,
) -> AsyncIterator[int]:
    """A server on a free port; one of ``seven_bits`` offers neither 8BITMIME nor SMTPUTF8."""
    loop = asyncio.get_running_loop()

    def connection() -> SMTP:
        return (SevenBits if seven_bits else SMTP)(
            inbox,
            loop=loop,
            tls_context=tls,
            authenticator=inbox.authenticate if auth else None,
            auth_required=auth,
            auth_require_tls=False,
        )

    server = await loop.create_server(connection, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
