"""Who answers the stream that a webhook has asked for: tickets, each good for one stream."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Literal
from uuid import UUID, uuid4

import msgspec

from control.agent_pool import Version
from voicecore.answering import AnsweringAgent

LIFETIME_MS = 120_000
COUNTS_MS = 30_000
"""So long a stream that does not come counts as a call: carriers open theirs within seconds."""
MOST_TICKETS = 10_000
"""More streams than that are never on their way; the oldest ticket is forgotten."""


def counts_for() -> timedelta:
    """The same for the database."""
    return timedelta(milliseconds=COUNTS_MS)


class Coming(msgspec.Struct, frozen=True):
    """A call that a stream is asked for."""

    carrier: str
    """The only one whose stream it may be: each has its own way to show that it is genuine."""
    carrier_call_id: str = ""
    """As the carrier calls it. Empty: nobody's, somebody tries the agent."""
    caller_number: str = ""
    called_number: str = ""
    is_test: bool = False
    call_id: UUID = msgspec.field(default_factory=uuid4)
    """What it will be called here."""

    @property
    def asked_by(self) -> str:
        """The same whenever the carrier asks for this call again."""
        return f"{self.carrier}/{self.carrier_call_id or self.call_id}"


class Ticket(msgspec.Struct, frozen=True):
    """A stream that may come, and the agent's version that answers it: frozen, whatever becomes
    of the agent meanwhile."""

    coming: Coming
    workspace_id: UUID
    version: Version
    agent: AnsweringAgent
    direction: Literal["inbound", "outbound", "internal"]
    expires_ms: int
    most_calls: int | None = None
    """Of the workspace, at a time."""

    @property
    def call_id(self) -> UUID:
        return self.coming.call_id

    @property
    def is_test(self) -> bool:
        return self.coming.is_test


class CallTickets:
    """Those of this process."""

    def __init__(self, on_unused: Callable[[Ticket], None] = lambda ticket: None) -> None:
        """``on_unused(ticket)``: its stream did not come."""
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._tokens: dict[str, str] = {}
        """By who asked."""
        self._on_unused = on_unused

    def __len__(self) -> int:
        return len(self._tickets)

    def issue(self, ticket: Ticket, now_ms: int) -> str:
        """The token that lets its stream in."""
        self.forget_expired(now_ms)
        if len(self._tickets) >= MOST_TICKETS:
            self.drop(next(iter(self._tickets)))
        token = secrets.token_urlsafe(32)
        self._tickets[token] = ticket
        self._tokens[ticket.coming.asked_by] = token
        return token

    def issued(self, coming: Coming, now_ms: int) -> tuple[str, Ticket] | None:
        """What was issued when the carrier asked for this call before, if its stream has not
        come."""
        self.forget_expired(now_ms)
        token = self._tokens.get(coming.asked_by)
        if token is None or self._tickets[token].coming.called_number != coming.called_number:
            return None
        return token, self._tickets[token]

    def use(self, token: str, carrier: str, now_ms: int) -> Ticket | None:
        """The ticket, which is good no more; None where there is none, or it is another carrier's,
        or it is too late."""
        self.forget_expired(now_ms)
        ticket = self._tickets.get(token)
        if ticket is None or ticket.coming.carrier != carrier:
            return None
        return self._take(token)

    def forget_expired(self, now_ms: int) -> None:
        """All live as long: the oldest go first."""
        while self._tickets:
            token, ticket = next(iter(self._tickets.items()))
            if ticket.expires_ms >= now_ms:
                return
            self.drop(token)

    def on_their_way(self, now_ms: int) -> Iterable[Ticket]:
        """Those whose streams are about to come. Later ones find room, or they do not."""
        self.forget_expired(now_ms)
        latest_ms = now_ms - COUNTS_MS + LIFETIME_MS
        return (ticket for ticket in self._tickets.values() if ticket.expires_ms >= latest_ms)

    def agents(self) -> set[UUID]:
        """Whose streams may come."""
        return {ticket.version.agent_id for ticket in self._tickets.values()}

    def withdraw(self, is_stale: Callable[[Ticket], bool]) -> int:
        """Let these streams in no more; how many they are."""
        stale = [token for token, ticket in self._tickets.items() if is_stale(ticket)]
        for token in stale:
            self.drop(token)
        return len(stale)

    def close(self) -> None:
        """No more streams come."""
        for token in list(self._tickets):
            self.drop(token)

    def drop(self, token: str) -> None:
        """Its stream is let in no more."""
        self._on_unused(self._take(token))

    def _take(self, token: str) -> Ticket:
        ticket = self._tickets.pop(token)
        if self._tokens.get(ticket.coming.asked_by) == token:
            del self._tokens[ticket.coming.asked_by]
        return ticket
