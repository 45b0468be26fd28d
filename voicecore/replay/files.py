"""What a replayed call leaves, made as it goes: in memory, but for the recording.

Stands in for ``CallFiles``, whose thread takes real time that a virtual call does not have.
"""

import os
import wave
from pathlib import Path

from media.audio.format import AudioFormat
from media.recording import RecordingTimeline
from voicecore.call_files import EVENTS, RECORDING, TRANSCRIPT
from voicecore.journal import Event, Journal
from voicecore.replay.errors import ReplayError
from voicecore.transcript import Transcript, TranscriptEntry

_TAKE_EVERY_MS = 2000
_SETTLE_MS = 1000


class ReplayFiles:
    """``out`` is a directory that does not exist yet, or None to leave nothing.

    :raises ReplayError: ``out_taken``, it cannot be made."""

    def __init__(self, out: Path | None, inbound: AudioFormat, outbound: AudioFormat) -> None:
        self.events: list[Event] = []
        self.transcript = Transcript()
        self.journal = Journal(self._append)
        self.journal.observe(self.events.append)
        self._lines: list[bytes] = []
        self._out = out
        self._timeline: RecordingTimeline | None = None
        self._wav: wave.Wave_write | None = None
        if out is not None:
            _make(out)
            self._timeline = RecordingTimeline(inbound, outbound)
            self._wav = wave.Wave_write(os.fdopen(_new(out / RECORDING), "wb"))
            self._wav.setparams((2, 2, self._timeline.rate_hz, 0, "NONE", ""))

    def caller(self, at_ms: int, frame: bytes) -> None:
        if self._timeline is not None:
            self._timeline.caller(at_ms, frame)
            if at_ms - self._timeline.taken_ms >= _TAKE_EVERY_MS + _SETTLE_MS:
                self._take(at_ms - _SETTLE_MS)

    def agent(self, at_ms: int, payload: bytes) -> None:
        if self._timeline is not None:
            self._timeline.agent(at_ms, payload)

    def cut_agent(self, at_ms: int) -> None:
        if self._timeline is not None:
            self._timeline.cut_agent(at_ms)

    def put_entry(self, entry: TranscriptEntry) -> None:
        self.transcript.put(entry)

    def close(self) -> None:
        """Write what is left. Idempotent."""
        wav, self._wav = self._wav, None
        timeline, out = self._timeline, self._out
        if wav is None or timeline is None or out is None:
            return
        end_ms = self.events[-1].at_ms if self.events else 0
        timeline.cut_agent(end_ms)
        while timeline.taken_ms < max(end_ms, timeline.caller_end_ms):
            wav.writeframes(timeline.take(max(end_ms, timeline.caller_end_ms)))
        wav.writeframes(timeline.finish())
        wav.close()
        _write(out / EVENTS, b"".join(self._lines))
        _write(out / TRANSCRIPT, self.transcript.to_json())

    def _append(self, line: bytes) -> None:
        if self._out is not None:
            self._lines.append(line)

    def _take(self, until_ms: int) -> None:
        if self._timeline is not None and self._wav is not None:
            self._wav.writeframes(self._timeline.take(until_ms))


def _make(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.mkdir(mode=0o700)
    except FileExistsError:
        raise ReplayError("out_taken", f"{out} exists already") from None
    except OSError as error:
        raise ReplayError("out_taken", f"{out}: {error.strerror}") from None


def _new(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(_new(path), "wb") as file:
        file.write(content)
