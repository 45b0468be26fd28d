"""What a live call tells the database, from what the session records. Pure but for the clock."""

from collections.abc import Callable, Mapping
from datetime import datetime
from statistics import median
from typing import Any
from uuid import UUID

import msgspec

from control.call_facts import CallBegan, CallEvent, CallFact, CallOver, CallTurn, mended
from control.call_tickets import Ticket
from media.carrier import StreamStarted
from voicecore.providers.words import spread_words
from voicecore.transcript import TranscriptEntry, agent_entry, caller_entry

MOST_EVENTS = 20_000
"""Of one call; whoever causes more loses them, but not the last ones."""
LAST_EVENTS = frozenset({"line_quality", "call_ended"})
UNTOLD = frozenset({"stt_result"})
"""Guesses, some ten a second: they stay in the call's file."""
MOST_ID, MOST_NUMBER = 256, 64
"""Characters of what a stream says of itself."""
FAILURES = frozenset({"internal_error", "llm_failed", "stt_failed", "tts_failed"})


class CallLog:
    """One call's. Called from the session; hands facts to ``put``."""

    def __init__(
        self,
        ticket: Ticket,
        started: StreamStarted,
        put: Callable[[CallFact], None],
        now: Callable[[], datetime],
        *,
        server: UUID | None,
        files: str,
    ) -> None:
        self.ticket = ticket
        self._put = put
        self._now = now
        self._sequence = self._turns = 0
        self._latencies_ms: list[int] = []
        self._tell(
            CallBegan(
                workspace_id=ticket.workspace_id,
                call_id=ticket.call_id,
                agent_id=ticket.version.agent_id,
                agent_version=ticket.version.number,
                agent_name=ticket.agent.conduct.name,
                carrier=started.carrier,
                carrier_call_id=started.call_id[:MOST_ID],
                direction=ticket.direction,
                caller_number=ticket.coming.caller_number or started.from_number[:MOST_NUMBER],
                called_number=ticket.coming.called_number or started.to_number[:MOST_NUMBER],
                started_at=now(),
                server=server,
                files=files,
                is_test=ticket.is_test,
            )
        )

    def event(self, type: str, at_ms: int, data: Mapping[str, Any]) -> None:
        """Something happened in the call."""
        if type == "caller_turn":
            start_ms, end_ms, text = data["start_ms"], data["end_ms"], data["text"]
            words = data["words"] or spread_words(text, start_ms, end_ms)
            self._turn(caller_entry(0, start_ms, end_ms, text, words))
        elif type == "agent_turn" and data["start_ms"] is not None:
            start_ms = data["start_ms"]
            interrupted = data["ended"] != "played"
            end_ms = start_ms + data["played_ms"]
            words = data["words"]
            entry = agent_entry(0, start_ms, words, end_ms=end_ms, interrupted=interrupted)
            # The words tell which of them the caller did not hear any more.
            self._turn(msgspec.structs.replace(entry, text=data["heard_text"]))
        elif type == "turn_latency" and "first_byte" in data:
            self._latencies_ms.append(data["first_byte"])
        if type in UNTOLD or (self._sequence >= MOST_EVENTS and type not in LAST_EVENTS):
            return
        self._sequence += 1
        ticket = self.ticket
        plain = msgspec.to_builtins(data)
        self._tell(
            CallEvent(
                ticket.workspace_id, ticket.call_id, self._sequence, type, at_ms, plain, self._now()
            )
        )

    def ended(self, reason: str, duration_ms: int, *, has_recording: bool) -> None:
        """The call is over."""
        latencies = self._latencies_ms
        latency = (
            {"median_ms": int(median(latencies)), "max_ms": max(latencies)} if latencies else {}
        )
        self._tell(
            CallOver(
                workspace_id=self.ticket.workspace_id,
                call_id=self.ticket.call_id,
                status="failed" if reason in FAILURES else "completed",
                end_reason=reason,
                ended_at=self._now(),
                duration_ms=duration_ms,
                has_recording=has_recording,
                latency=latency,
            )
        )

    def _turn(self, entry: TranscriptEntry) -> None:
        self._turns += 1
        self._tell(
            CallTurn(
                workspace_id=self.ticket.workspace_id,
                call_id=self.ticket.call_id,
                sequence=self._turns,
                speaker=entry.speaker,
                start_ms=entry.start_ms,
                end_ms=entry.end_ms,
                text=entry.text,
                words=list(msgspec.to_builtins(entry.words)),
                interrupted=entry.interrupted,
            )
        )

    def _tell(self, fact: CallFact) -> None:
        self._put(mended(fact))
