"""Calls answered by the agents of the database, each stream by its ticket."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import structlog

from control.agent_pool import AgentPool, Make, Version
from control.call_log import CallLog
from control.call_tickets import LIFETIME_MS, CallTickets, Coming, Ticket
from control.http.media_entrance import MediaEntrance
from control.loop_lag import LoopLag
from control.metrics import Metrics
from control.settings import Settings, carrier_options
from control.sink import CallSink
from media.call_directory import safe_call_directory
from media.clock import Clock
from media.recording_writer import Damage
from media.transport import Leg, StreamRefused
from voicecore.answering import AnsweringAgent
from voicecore.call_record import CallRecords
from voicecore.calls import Calls
from voicecore.session import Session
from voicecore.tools.http import HttpToolRunner

log = structlog.get_logger("control.call_server")

MOST_TESTS = 3
"""Streams of a workspace's that are tests, on their way or live."""


class TooManyCalls(Exception):
    """The workspace has as many calls as it may have at a time."""


class Route(msgspec.Struct, frozen=True):
    """Who answers a call, and how to make him."""

    workspace_id: UUID
    version: Version
    make: Make
    most_calls: int | None = None
    """Of the workspace, at a time."""


class CallServer:
    """Takes calls from ``start`` on; ``stop`` lets the live ones end."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        sink: CallSink,
        http_tools: HttpToolRunner,
        calls_dir: Path,
        server_id: UUID | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        signing_key: Callable[[str], str] | None = None,
    ) -> None:
        self.metrics = Metrics()
        self.pool = AgentPool()
        self.tickets = CallTickets(on_unused=self._release)
        self._clock = clock
        self._sink = sink
        self._now = now
        self._server_id = server_id
        self._http_tools = http_tools
        self._calls_dir = calls_dir
        self._logs: dict[Session, CallLog] = {}
        self._records = CallRecords(
            calls_dir, clock=clock, observer=self.metrics.on_event, on_damage=_log_damage
        )
        self.calls = Calls(_nobody, limit=settings.max_calls, on_ended=self._ended)
        self.entrance = MediaEntrance(
            self.calls,
            settings,
            self.metrics,
            clock,
            carrier_options=carrier_options(settings),
            admit=self._admit,
            signing_key=signing_key,
        )
        self._lag = LoopLag(asyncio.get_running_loop(), self.metrics.loop_lag.observe)

    def start(self) -> None:
        """Take calls."""
        self._lag.start()
        self.entrance.ready = True

    async def expect(self, route: Route, coming: Coming) -> tuple[str, UUID]:
        """A stream is about to come for this agent: the token that lets it in, and what the call
        will be called. The agent is loaded when this returns. A carrier that asks for the same call
        again, before its stream has come, gets the same.

        :raises TooManyCalls: the workspace has as many as it may have, or as many tests.
        :raises VendorError: one of its vendors cannot work.
        :raises Exception: whatever the route's ``make`` raises."""
        if (issued := self._issued(coming, route)) is not None:
            return issued
        self._check_room(route.workspace_id, route.most_calls, is_test=coming.is_test)
        version, agent = await self._held(route, coming)
        # Others came while it was loaded, or the same one again.
        if (issued := self._issued(coming, route)) is not None:
            self.pool.release(version)
            return issued
        try:
            self._check_room(route.workspace_id, route.most_calls, is_test=coming.is_test)
        except TooManyCalls:
            self.pool.release(version)
            raise
        now_ms = self._clock.now_ms()
        ticket = Ticket(
            coming=coming,
            workspace_id=route.workspace_id,
            version=version,
            agent=agent,
            direction="inbound",
            expires_ms=now_ms + LIFETIME_MS,
            most_calls=route.most_calls,
        )
        return self.tickets.issue(ticket, now_ms), ticket.call_id

    async def _held(self, route: Route, coming: Coming) -> tuple[Version, AnsweringAgent]:
        """Who is loaded answers at once; who tries an agent wants this version of it."""
        if not coming.is_test:
            ready = self.pool.hold_ready(route.version, route.make)
            if ready is not None:
                return ready
        return route.version, await self.pool.hold(route.version, route.make)

    def named(self, coming: Coming) -> Coming:
        """The call by the name that it has had since the carrier asked for it first."""
        issued = self.tickets.issued(coming, self._clock.now_ms())
        return coming if issued is None else issued[1].coming

    def _issued(self, coming: Coming, route: Route) -> tuple[str, UUID] | None:
        issued = self.tickets.issued(coming, self._clock.now_ms())
        if issued is None:
            return None
        token, ticket = issued
        if ticket.version.agent_id != route.version.agent_id:  # the number is another agent's now
            self.tickets.drop(token)
            return None
        return token, ticket.call_id

    def _check_room(self, workspace_id: UUID, most_calls: int | None, *, is_test: bool) -> None:
        """Of this process's calls; those of others are in the database, which whoever asks has
        looked into (``control.db.routing``)."""
        coming = [
            ticket
            for ticket in self.tickets.on_their_way(self._clock.now_ms())
            if ticket.workspace_id == workspace_id
        ]
        live = [
            entry.ticket
            for entry in self._logs.values()
            if entry.ticket.workspace_id == workspace_id
        ]
        tests = sum(ticket.is_test for ticket in (*coming, *live))
        # Of a test that nobody has begun a caller does not know.
        count = len(live) + sum(not ticket.is_test for ticket in coming)
        full = most_calls is not None and count >= most_calls
        if full or (is_test and tests >= MOST_TESTS):
            raise TooManyCalls

    def live(self) -> list[Mapping[str, Any]]:
        """The calls of this process that go on."""
        return [
            {"id": entry.ticket.call_id, "duration_ms": session.leg.now_ms()}
            for session, entry in self._logs.items()
        ]

    async def stop(self, drain_timeout_s: float) -> None:
        """Take no more calls, and let the live ones end."""
        self.entrance.ready = False
        await self.calls.drain(drain_timeout_s)
        self.tickets.close()
        self.entrance.close()
        await self._records.close()
        self._lag.stop()
        await self.pool.stop()

    def _admit(self, token: str) -> Callable[[Leg], Session]:
        def answer(leg: Leg) -> Session:  # only now is there room for the call
            ticket = self.tickets.use(token, leg.started.carrier, self._clock.now_ms())
            if ticket is None:
                raise StreamRefused("bad_token")
            try:
                # This one is on its way no more; it may have been, for longer than that counts.
                self._check_room(ticket.workspace_id, ticket.most_calls, is_test=ticket.is_test)
            except TooManyCalls:
                self._release(ticket)
                raise StreamRefused("too_many_calls") from None
            return self._answer(leg, ticket)

        return answer

    def _answer(self, leg: Leg, ticket: Ticket) -> Session:
        started = leg.started
        # Carriers' ids may come again, and say whose call it is: files are named by ours.
        named = msgspec.structs.replace(started, call_id=str(ticket.call_id))
        files = safe_call_directory(self._calls_dir, named.call_id)
        with ExitStack() as undo:
            undo.callback(self._release, ticket)
            call_log = CallLog(
                ticket,
                started,
                self._sink.put,
                self._now,
                server=self._server_id,
                files=files.name,
            )
            undo.callback(call_log.ended, "internal_error", 0, has_recording=False)
            record = self._records.open(
                named, record_audio=ticket.agent.conduct.record, listener=call_log.event
            )
            undo.callback(record.close)
            tools = self._http_tools.lending(ticket.agent.tool_secrets)
            session = Session(leg, ticket.agent, record, tools)
            undo.pop_all()
        self._logs[session] = call_log
        log.info("call started", call_id=str(ticket.call_id), carrier=started.carrier)
        return session

    def _ended(self, session: Session) -> None:
        call_log = self._logs.pop(session)
        ticket, duration_ms = call_log.ticket, session.leg.now_ms()
        record = ticket.agent.conduct.record
        call_log.ended(session.ended_reason, duration_ms, has_recording=record)
        self._release(ticket)
        log.info(
            "call ended",
            call_id=str(ticket.call_id),
            reason=session.ended_reason,
            duration_ms=duration_ms,
        )

    def _release(self, ticket: Ticket) -> None:
        self.pool.release(ticket.version)


def _nobody(leg: Leg) -> Session:
    raise StreamRefused("bad_token")


def _log_damage(damage: Damage) -> None:
    log.error(
        "a call's file is damaged",
        call=damage.call,
        file=damage.file,
        code=damage.code,
        detail=damage.detail,
    )
