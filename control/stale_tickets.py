"""Streams that may come no more: their agent was paused or deleted, or their workspace suspended,
since the carrier was told to open them. Whichever process did that, all of them learn it here."""

import asyncio

import asyncpg
import structlog

from control.call_tickets import CallTickets, Ticket
from control.db import routing
from control.db.database import AWAY, PLATFORM, Database

EVERY_S = 2.0
"""So long such a stream is let in still. One that is live goes on."""

log = structlog.get_logger("control.stale_tickets")


async def withdraw_stale(tickets: CallTickets, database: Database) -> None:
    """Withdraw the tickets whose agents may not answer any more."""
    asked = tickets.agents()
    if not asked:
        return
    async with database.reading(PLATFORM) as db:
        standing = await routing.standing(db, asked)

    def is_stale(ticket: Ticket) -> bool:
        agent_id = ticket.version.agent_id
        is_live = standing.get(agent_id)
        return agent_id in asked and not (is_live or (is_live is False and ticket.is_test))

    if count := tickets.withdraw(is_stale):
        log.warning("streams are let in no more", code="agent_not_live", count=count)


async def withdraw_always(tickets: CallTickets, database: Database) -> None:
    """While the database is away, tickets are good: nobody waits for it."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await withdraw_stale(tickets, database)
        except (*AWAY, asyncpg.PostgresError) as error:
            log.warning("tickets are not looked at", error=str(error))
