"""E-mail: by SMTP, or as files where no server is configured."""

import asyncio
import os
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from pathlib import Path
from typing import Protocol

import aiosmtplib
import msgspec
import structlog

SEND_TIMEOUT_S = 15.0
MOST_WAITING = 1000
"""More mails than that at once are somebody's attack."""
ATTEMPTS = 3
BETWEEN_ATTEMPTS_S = 5.0
SENDERS = 3
"""So many mails are under way at once: one that a server is slow to take holds up no others."""
PERMANENT = 500
"""From this code on an SMTP server will not change its mind (RFC 5321, 4.2.1)."""
LONGEST_SUBJECT = 200
LONGEST_LINE = 998
"""In bytes, of what is sent as it is (RFC 5322, 2.1.1)."""
SMTPS_PORT = 465
"""There TLS comes first (RFC 8314)."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")

log = structlog.get_logger("control.mail")


class Mail(msgspec.Struct, frozen=True):
    to: str
    subject: str
    text: str


class RefusedForGoodError(OSError):
    """The mail was not taken, and will not be however often it is tried."""


class Post(Protocol):
    """Takes one mail away."""

    async def send(self, mail: Mail) -> None:
        """:raises RefusedForGoodError: it is no use to try again.
        :raises OSError: it could not be."""


class FileOutbox:
    """Writes mails into a directory, as ``.eml``. They have links in them that let people in: only
    the server's own user reads them."""

    def __init__(self, directory: Path, sender: str) -> None:
        self._directory = directory
        self._sender = sender
        self._in_turn = asyncio.Lock()

    async def send(self, mail: Mail) -> None:
        message = message_of(mail, self._sender, as_it_is=True)
        async with self._in_turn:  # the newest file is the newest mail
            file = await asyncio.to_thread(self._write, message)
        log.info("a mail was written to the outbox", file=str(file))

    def _write(self, message: EmailMessage) -> Path:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = str(message["Message-ID"]).strip("<>").partition("@")[0]
        unfinished = self._directory / f"{name}.part"
        with open(unfinished, "xb", opener=_privately) as file:
            file.write(message.as_bytes())
        return unfinished.rename(unfinished.with_suffix(".eml"))


class SmtpPost:
    """Hands mails to a server (RFC 5321), with STARTTLS where it is offered. Its password goes to
    another machine over TLS or not at all."""

    def __init__(
        self, host: str, port: int, sender: str, user: str | None, password: str | None
    ) -> None:
        self._host, self._port, self._sender = host, port, sender
        self._user, self._password = user, password
        self._must_encrypt = user is not None and host not in LOOPBACK

    async def send(self, mail: Mail) -> None:
        try:
            await aiosmtplib.send(
                message_of(mail, self._sender),
                sender=parseaddr(self._sender)[1],
                recipients=[mail.to],
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                use_tls=self._port == SMTPS_PORT,
                start_tls=True if self._must_encrypt and self._port != SMTPS_PORT else None,
                timeout=SEND_TIMEOUT_S,
            )
        except aiosmtplib.SMTPException as error:
            kind = RefusedForGoodError if _is_permanent(error) else OSError
            raise kind(str(error)) from error


class Mailer:
    """Mails leave behind the request that caused them: nobody waits, and nobody can tell from how
    long an answer takes whether one was sent."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._waiting: asyncio.Queue[Mail] = asyncio.Queue(MOST_WAITING)
        self._senders: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._senders = [
            asyncio.create_task(self._run(), name=f"mailer-{number}") for number in range(SENDERS)
        ]

    def send(self, mail: Mail) -> None:
        """Have it sent. A mail too many is dropped, and logged."""
        try:
            self._waiting.put_nowait(mail)
        except asyncio.QueueFull:
            log.error("a mail was dropped", code="too_many_mails")

    async def flush(self) -> None:
        """Return when every mail has been sent, or given up."""
        await self._waiting.join()

    async def stop(self, timeout_s: float = SEND_TIMEOUT_S) -> None:
        """Send what waits, for a while."""
        if not self._senders:
            return
        try:
            await asyncio.wait_for(self.flush(), timeout_s)
        except TimeoutError:
            log.error("mails were not sent", code="mail_unsent", count=self._waiting.qsize())
        for sender in self._senders:
            sender.cancel()
        await asyncio.wait(self._senders)
        self._senders = []

    async def _run(self) -> None:
        while True:
            mail = await self._waiting.get()
            try:
                # Whatever a post raises is one mail's end, not the sender's.
                (error,) = await asyncio.gather(self._deliver(mail), return_exceptions=True)
                if error is not None:
                    log.error("a mail ended by a bug", code="mail_failed", exc_info=error)
            finally:
                self._waiting.task_done()

    async def _deliver(self, mail: Mail) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._post.send(mail)
                return
            except RefusedForGoodError as error:
                log.error("a mail is refused for good", code="mail_given_up", error=str(error))
                return
            except OSError as error:
                log.warning("a mail was not taken", code="mail_refused", error=str(error))
            except ValueError as error:  # the address is none
                log.error("a mail is none", code="mail_wrong", error=str(error))
                return
            if attempt < ATTEMPTS:
                await asyncio.sleep(BETWEEN_ATTEMPTS_S)
        log.error("a mail was given up", code="mail_given_up")


def message_of(mail: Mail, sender: str, *, as_it_is: bool = False) -> EmailMessage:
    """A text of ASCII lines is sent as it is, so that a link stays on its line.

    :param as_it_is: any other text too, as a file may hold it and not every server takes it.
    :raises ValueError: the address is none, or more than one, or not ASCII."""
    if not (mail.to.isascii() and mail.to.isprintable()):
        raise ValueError("the address has characters that addresses have not")
    message = EmailMessage()
    message["From"] = sender
    message["To"] = mail.to
    if [one.addr_spec for one in message["To"].addresses] != [mail.to]:
        raise ValueError("the address is not one address")
    message["Subject"] = _one_line(mail.subject)
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip(">") or None)
    message.set_content(mail.text, cte=_encoding_of(mail.text, as_it_is=as_it_is))
    return message


def _encoding_of(text: str, *, as_it_is: bool) -> str | None:
    """None: quoted-printable or Base64, whichever is shorter."""
    lines = text.encode("utf-8", "replace").splitlines()
    if "\0" in text or any(len(line) > LONGEST_LINE for line in lines):
        return None
    if text.isascii():
        return "7bit"
    return "8bit" if as_it_is else None


def _is_permanent(error: aiosmtplib.SMTPException) -> bool:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return all(one.code >= PERMANENT for one in error.recipients)
    return isinstance(error, aiosmtplib.SMTPResponseException) and error.code >= PERMANENT


def _one_line(subject: str) -> str:
    """Text for a header. Python decodes RFC 2047's words in what it is given, line breaks and all,
    and writes those out as new headers: so there are none."""
    plain = "".join(one if one.isprintable() else " " for one in subject).replace("=?", "= ?")
    return " ".join(plain.split())[:LONGEST_SUBJECT]


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
