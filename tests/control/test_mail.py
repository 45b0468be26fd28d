"""E-mail: against a real SMTP server on this machine, and into files."""

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
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from control import mail as mail_module
from control.mail import FileOutbox, Mail, Mailer, SmtpPost, message_of
from tests.support.smtp import ChoosyInbox, Inbox, smtp_server

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

    @pytest.mark.parametrize(
        ("text", "encoding"),
        [
            ("x" * 998 + "\n", "7bit"),
            ("x" * 999 + "\n", "another"),
            ("Grüße an alle, die hier mitlesen\n", "another"),
            ("ü" * 500 + "\n", "another"),
            (".\n..\nFrom me\r\nx\n", "7bit"),
        ],
    )
    async def test_a_server_that_takes_seven_bits_has_it_whole(
        self, text: str, encoding: str
    ) -> None:
        inbox = Inbox()
        async with smtp_server(inbox, seven_bits=True) as port:
            await smtp_post(port).send(Mail("someone@example.com", "Grüße", text))
        (envelope,) = inbox.envelopes
        content = envelope.content
        assert isinstance(content, bytes)
        assert content.isascii()
        assert max(len(line) for line in content.splitlines()) <= 998
        message = inbox.message()
        others = ("quoted-printable", "base64") if encoding == "another" else (encoding,)
        assert message["Content-Transfer-Encoding"] in others
        assert message.get_content().splitlines() == text.splitlines()

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

    async def test_a_link_is_readable_as_it_lies_there(self, tmp_path: Path) -> None:
        link = f"https://voice.example.com/verify-email?token={'a-_=' * 40}"
        outbox = tmp_path / "outbox"
        for text in (f"Follow\n\n{link}\n", f"Grüße\n\n{link}\n"):
            await FileOutbox(outbox, SENDER).send(Mail("someone@example.com", "Hello", text))
            (file,) = outbox.iterdir()
            content = file.read_bytes()
            assert f"\n{text}".encode() in content
            message = BytesParser(policy=policy.default).parsebytes(content)
            assert message.get_content() == text
            file.unlink()

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
