"""What calls leave behind: each call's files, and its events for whoever watches."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import structs

from media.carrier import StreamStarted
from media.clock import Clock
from media.line_quality import LineQuality
from media.recording_writer import Damage, DiskWriter
from voicecore.call_files import CallFiles
from voicecore.providers.words import spread_words
from voicecore.transcript import agent_entry, caller_entry

Observer = Callable[[str, Mapping[str, Any]], None]
"""Called with each event's type and data."""
Listener = Callable[[str, int, Mapping[str, Any]], None]
"""Called with the type, time and data of each event of one call."""

STOP_TIMEOUT_S = 10.0
BATCH_MS = 100
"""How long data may wait for more before it is written: fewer, larger writes."""


class CallRecords:
    """Makes the records of a process's calls. Without a directory nothing touches the disk."""

    def __init__(
        self,
        directory: Path | None,
        *,
        clock: Clock,
        observer: Observer,
        on_damage: Callable[[Damage], None] | None = None,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._observer = observer
        self._writer = DiskWriter(on_damage=on_damage, batch_ms=BATCH_MS)
        if directory is not None:
            self._writer.start()

    def open(
        self, started: StreamStarted, *, record_audio: bool, listener: Listener | None = None
    ) -> "CallRecord":
        """The record of a call that begins now, whose events ``listener`` hears too."""
        files = None
        if self._directory is not None:
            files = CallFiles(
                self._writer,
                self._directory,
                started.call_id,
                caller=started.inbound,
                agent=started.outbound,
                clock=self._clock,
                record=record_audio,
            )
        return CallRecord(files, self._observer, listener)

    async def close(self) -> None:
        """Write what is queued and stop."""
        if self._directory is not None:
            await asyncio.to_thread(self._writer.stop, STOP_TIMEOUT_S)


class CallRecord:
    """One call's record. Nothing here waits; after ``close`` everything is ignored."""

    def __init__(
        self, files: CallFiles | None, observer: Observer, listener: Listener | None = None
    ) -> None:
        self._files = files
        self._observer = observer
        self._listener = listener
        self._turns = 0
        self._has_quality = False
        self.caller_audio: Callable[[int, bytes], None] = _ignore
        self.agent_audio: Callable[[int, bytes], None] = _ignore
        self.cut_agent_audio: Callable[[int], None] = _ignore
        if files is not None:
            self.caller_audio = files.caller
            self.agent_audio = files.agent
            self.cut_agent_audio = files.cut_agent

    def event(self, type: str, at_ms: int, data: dict[str, Any]) -> None:
        """Record an event of the turn machine or of the session."""
        self._observer(type, data)
        if self._listener is not None:
            self._listener(type, at_ms, data)
        if self._files is None:
            return
        self._files.journal.write(type, at_ms, **data)
        if type == "caller_turn":
            self._turns += 1
            start_ms, end_ms, text = data["start_ms"], data["end_ms"], data["text"]
            words = data["words"] or spread_words(text, start_ms, end_ms)
            self._files.put_entry(caller_entry(self._turns, start_ms, end_ms, text, words))
        elif type == "agent_turn" and data["start_ms"] is not None:
            start_ms = data["start_ms"]
            entry = agent_entry(
                data["reply"],
                start_ms,
                data["words"],
                end_ms=start_ms + data["played_ms"],
                interrupted=data["ended"] != "played",
            )
            self._files.put_entry(entry)

    def line_quality(self, at_ms: int, quality: LineQuality) -> bool:
        """Record how the line was, at the call's end; False if that is done already."""
        if self._has_quality:
            return False
        self._has_quality = True
        self.event("line_quality", at_ms, structs.asdict(quality))
        return True

    def close(self) -> None:
        """The call is over. Idempotent."""
        files, self._files = self._files, None
        self._listener = None
        self.caller_audio = self.agent_audio = self.cut_agent_audio = _ignore
        if files is not None:
            files.close()


def _ignore(*_: object) -> None:
    """Nothing is recorded, or no more."""
