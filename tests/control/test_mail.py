"""E-mail: against a real SMTP server on this machine, and into files."""

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import structlog
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from control import mail as mail_module
from control.mail import FileOutbox, Mail, Mailer, SmtpPost, message_of

SENDER = "voicecore <noreply@voice.example.com>"
HELLO = Mail("someone@example.com", "Grüße", "Hällo\n.\n..\nFrom me\n" + "x" * 2000)
HOSTILE = [
    "a@example.com\r\nBcc: evil@example.com",
    "a@example.com\nBcc: evil@example.com",
    "a@example.com, evil@example.com",
    "a@example.com\0",
    "=?utf-8?q?a=0d=0aBcc:=20evil=40example.com?=@example.com",
    "=?utf-8?q?evil=40example.com=2C?= <a@example.com>",
    "=?utf-8?q?evil=2Ca?=@example.com",
    "<a@example.com>",
    "ü@example.com",
    "",
]


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


@asynccontextmanager
async def smtp_server(
    inbox: Inbox, *, tls: ssl.SSLContext | None = None, auth: bool = False
) -> AsyncIterator[int]:
    """A server on a free port."""
    loop = asyncio.get_running_loop()

    def connection() -> SMTP:
        return SMTP(
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


@asynccontextmanager
async def mailer_of(post: mail_module.Post) -> AsyncIterator[Mailer]:
    mailer = Mailer(post)
    mailer.start()
    try:
        yield mailer
    finally:
        await mailer.stop()


def smtp_post(port: int, user: str | None = None, password: str | None = None) -> SmtpPost:
    return SmtpPost("127.0.0.1", port, SENDER, user, password)


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """Of a server that only it itself vouches for: ``server.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(IPv4Address("127.0.0.1"))
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


class TestSmtp:
    async def test_a_mail_arrives_as_it_was_written(self) -> None:
        inbox = Inbox()
        async with smtp_server(inbox) as port, mailer_of(smtp_post(port)) as mailer:
            mailer.send(HELLO)
            await mailer.flush()
        (envelope,) = inbox.envelopes
        assert (envelope.mail_from, envelope.rcpt_tos) == (
            "noreply@voice.example.com",
            ["someone@example.com"],
        )
        message = inbox.message()
        assert (message["From"], message["To"]) == (SENDER, "someone@example.com")
        assert message["Subject"] == "Grüße"
        assert message["Message-ID"].endswith("@voice.example.com>")
        assert message.get_content().splitlines() == HELLO.text.splitlines()

    async def test_whoever_stops_it_has_what_waits_sent(self) -> None:
        inbox = Inbox()
        async with smtp_server(inbox) as port, mailer_of(smtp_post(port)) as mailer:
            for number in range(5):
                mailer.send(Mail("someone@example.com", f"Mail {number}", "x"))
        assert len(inbox.envelopes) == 5
        assert {inbox.message(index)["Subject"] for index in range(5)} == {
            f"Mail {number}" for number in range(5)
        }

    async def test_it_logs_in(self) -> None:
        inbox = Inbox()
        async with smtp_server(inbox, auth=True) as port:
            await smtp_post(port, "me", "secret").send(HELLO)
            assert inbox.users == ["me"]
            for wrong in (smtp_post(port, "me", "wrong"), smtp_post(port)):
                with pytest.raises(OSError):
                    await wrong.send(HELLO)

    async def test_no_password_leaves_the_machine_unencrypted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mail_module, "LOOPBACK", ())
        inbox = Inbox()
        async with smtp_server(inbox, auth=True) as port:
            with pytest.raises(OSError, match="STARTTLS"):
                await smtp_post(port, "me", "secret").send(HELLO)
        assert inbox.passwords == []

    async def test_a_server_that_nobody_vouches_for_gets_nothing(
        self, certificate: ssl.SSLContext
    ) -> None:
        inbox = Inbox()
        async with smtp_server(inbox, tls=certificate, auth=True) as port:
            with pytest.raises(OSError):
                await smtp_post(port, "me", "secret").send(HELLO)
        assert inbox.passwords == []

    async def test_one_that_is_vouched_for_is_logged_in_to(
        self, certificate: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        monkeypatch.setattr(mail_module, "LOOPBACK", ())
        inbox = Inbox()
        async with smtp_server(inbox, tls=certificate, auth=True) as port:
            await smtp_post(port, "me", "secret").send(HELLO)
        assert (inbox.encrypted, inbox.users) == ([True], ["me"])

    @pytest.mark.parametrize("to", HOSTILE)
    async def test_what_is_no_address_gets_nothing_and_stops_nothing(self, to: str) -> None:
        inbox = Inbox()
        async with smtp_server(inbox) as port, mailer_of(smtp_post(port)) as mailer:
            mailer.send(Mail(to, "Evil", "x"))
            mailer.send(HELLO)
            await mailer.flush()
        assert [one.rcpt_tos for one in inbox.envelopes] == [["someone@example.com"]]


class TestRetrying:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mail_module, "BETWEEN_ATTEMPTS_S", 0)

    async def test_a_server_that_cannot_now_is_asked_again(self) -> None:
        inbox = Inbox("451 Try later", "451 Try later")
        async with smtp_server(inbox) as port, mailer_of(smtp_post(port)) as mailer:
            mailer.send(HELLO)
            await mailer.flush()
        assert len(inbox.envelopes) == 1

    async def test_a_mail_is_given_up_and_the_next_one_sent(self) -> None:
        inbox = Inbox(*["451 Later"] * mail_module.ATTEMPTS)
        async with smtp_server(inbox) as port, mailer_of(smtp_post(port)) as mailer:
            mailer.send(Mail("no@example.com", "No", "x"))
            await mailer.flush()
            mailer.send(HELLO)
            await mailer.flush()
        assert [one.rcpt_tos for one in inbox.envelopes] == [["someone@example.com"]]

    async def test_what_a_server_will_never_take_is_sent_once(self) -> None:
        inbox = Inbox("554 No")
        async with smtp_server(inbox) as port, mailer_of(smtp_post(port)) as mailer:
            with structlog.testing.capture_logs() as logs:
                mailer.send(HELLO)
                await mailer.flush()
        assert inbox.envelopes == []
        assert [one["code"] for one in logs] == ["mail_given_up"]

    @pytest.mark.parametrize(
        ("answer", "asked"), [("550 Nobody", 1), ("450 Busy", mail_module.ATTEMPTS)]
    )
    async def test_an_address_that_a_server_does_not_know(self, answer: str, asked: int) -> None:
        inbox = ChoosyInbox(answer)
        async with smtp_server(inbox) as port, mailer_of(smtp_post(port)) as mailer:
            mailer.send(HELLO)
            await mailer.flush()
        assert inbox.asked_for == [HELLO.to] * asked
        assert inbox.envelopes == []

    async def test_nobody_listens(self) -> None:
        async with smtp_server(Inbox()) as port:
            pass
        with structlog.testing.capture_logs() as logs:
            async with mailer_of(smtp_post(port)) as mailer:
                mailer.send(HELLO)
                await mailer.flush()
        codes = [one["code"] for one in logs]
        assert codes == ["mail_refused"] * mail_module.ATTEMPTS + ["mail_given_up"]

    async def test_more_than_can_wait_are_dropped(self) -> None:
        mailer = Mailer(smtp_post(1))
        with structlog.testing.capture_logs() as logs:
            for _ in range(mail_module.MOST_WAITING + 10):
                mailer.send(HELLO)
        await mailer.stop()
        assert [one["code"] for one in logs] == ["too_many_mails"] * 10


class TestFiles:
    async def test_each_mail_is_a_file_that_only_we_read(self, tmp_path: Path) -> None:
        outbox = tmp_path / "deep" / "outbox"
        post = FileOutbox(outbox, SENDER)
        for _ in range(3):
            await post.send(HELLO)
        files = list(outbox.iterdir())
        assert [file.suffix for file in files] == [".eml"] * 3
        assert stat.S_IMODE(outbox.stat().st_mode) == 0o700
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            message = BytesParser(policy=policy.default).parsebytes(file.read_bytes())
            assert (message["To"], message["Subject"]) == (HELLO.to, HELLO.subject)
            assert message.get_content().splitlines() == HELLO.text.splitlines()

    async def test_a_directory_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError):
            await FileOutbox(tmp_path / "file" / "outbox", SENDER).send(HELLO)


def parsed(message: EmailMessage) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(message.as_bytes())


HEADERS = parsed(message_of(HELLO, SENDER)).keys()


class TestHeaders:
    @pytest.mark.parametrize("to", HOSTILE)
    def test_an_address_is_one_address(self, to: str) -> None:
        with pytest.raises(ValueError):
            message_of(Mail(to, "x", "x"), SENDER)

    @pytest.mark.parametrize(
        "subject",
        [
            "x\r\nBcc: evil@example.com",
            "x\nBcc: evil@example.com\n\nbody",
            "=?utf-8?q?x=0d=0aBcc:=20evil=40example.com?=",
            "==?utf-8?q?x=0aBcc:=20evil=40example.com?=?utf-8?q?x=0aBcc:?=",
            "x\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029y\0",
            "\u202eevil",
        ],
    )
    def test_a_subject_is_one_line(self, subject: str) -> None:
        message = parsed(message_of(Mail(HELLO.to, subject, "x"), SENDER))
        assert message.keys() == HEADERS
        assert message["To"] == HELLO.to

    @given(st.text(st.sampled_from("=?utf-8q b\r\n:_0daAB\x85é") | st.characters(codec="utf-8")))
    def test_no_subject_makes_a_header(self, subject: str) -> None:
        raw = message_of(Mail(HELLO.to, subject, HELLO.text), SENDER)
        assert parsed(raw).keys() == HEADERS

    def test_the_longest_name_fits(self) -> None:
        message = parsed(message_of(Mail(HELLO.to, "ü" * 10_000, "x"), SENDER))
        assert message["Subject"] == "ü" * mail_module.LONGEST_SUBJECT
