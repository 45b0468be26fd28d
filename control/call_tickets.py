"""Who answers the stream that a webhook has asked for: tickets, each good for one stream."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Literal
from uuid import UUID

import msgspec

from voicecore.answering import AnsweringAgent

LIFETIME_MS = 120_000
MOST_TICKETS = 10_000
"""More streams than that are never on their way; the oldest ticket is forgotten."""


class Ticket(msgspec.Struct, frozen=True):
    """A stream that may come, and the agent's version that answers it: frozen, whatever becomes
    of the agent meanwhile."""

    call_id: UUID
    workspace_id: UUID
    agent_id: UUID
    agent_version: int
    agent: AnsweringAgent
    direction: Literal["inbound", "outbound", "internal"]
    caller_number: str
    called_number: str
    is_test: bool
    expires_ms: int


class CallTickets:
    """Those of this process."""

    def __init__(self, on_unused: Callable[[Ticket], None] = lambda ticket: None) -> None:
        """``on_unused(ticket)``: its stream did not come."""
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._on_unused = on_unused

    def __len__(self) -> int:
        return len(self._tickets)

    def issue(self, ticket: Ticket, now_ms: int) -> str:
        """The token that lets its stream in."""
        self.forget_expired(now_ms)
        if len(self._tickets) >= MOST_TICKETS:
            self._on_unused(self._tickets.popitem(last=False)[1])
        token = secrets.token_urlsafe(32)
        self._tickets[token] = ticket
        return token

    def use(self, token: str, now_ms: int) -> Ticket | None:
        """The ticket, which is good no more; None where there is none, or it is too late."""
        ticket = self._tickets.pop(token, None)
        if ticket is not None and ticket.expires_ms < now_ms:
            self._on_unused(ticket)
            return None
        return ticket

    def forget_expired(self, now_ms: int) -> None:
        """All live as long: the oldest go first."""
        while self._tickets:
            token, ticket = next(iter(self._tickets.items()))
            if ticket.expires_ms >= now_ms:
                return
            del self._tickets[token]
            self._on_unused(ticket)

    def waiting(self, now_ms: int) -> Iterable[Ticket]:
        """Those whose streams may still come."""
        self.forget_expired(now_ms)
        return self._tickets.values()

    def close(self) -> None:
        """No more streams come."""
        while self._tickets:
            self._on_unused(self._tickets.popitem()[1])
