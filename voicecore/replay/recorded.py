"""Reading a call's directory: its events and its recording, neither of which is trusted."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import soundfile

from media.audio.convert import Converter, convert_all
from media.audio.format import AudioFormat, Encoding
from voicecore.call_files import EVENTS, RECORDING
from voicecore.journal import JOURNAL_LIMIT_BYTES, Event, read_events
from voicecore.replay.errors import ReplayError
from voicecore.replay.facts import LONGEST_MS, CallEnded, CallStarted, Facts, read_facts

_EVENTS_LIMIT_BYTES = JOURNAL_LIMIT_BYTES + 1024 * 1024
_BLOCK_S = 5
_LINE = re.compile(r"(mulaw|alaw|l16) (8000|16000|24000|48000)")
_RATES_HZ = (8000, 16000, 24000, 48000)


class RecordedCall(msgspec.Struct, frozen=True):
    """What a call left. ``duration_ms`` is when it ended; ``recorded_ms`` is how much sound
    there is."""

    directory: Path
    events: tuple[Event, ...]
    facts: Facts
    started: CallStarted
    inbound: AudioFormat
    outbound: AudioFormat
    rate_hz: int
    duration_ms: int
    recorded_ms: int

    @property
    def pcm16(self) -> AudioFormat:
        """The format of each of the recording's channels."""
        return AudioFormat(Encoding.L16, self.rate_hz)


def read_call(directory: Path) -> RecordedCall:
    """Read a call's events, and see that its recording can be read.

    :raises ReplayError: it is no call, or its files are not what they must be."""
    if not directory.is_dir():
        raise ReplayError("no_call", f"{directory} is not a directory")
    events = _read_events(directory / EVENTS)
    facts = read_facts(events)
    if not facts or not isinstance(facts[0].what, CallStarted):
        raise ReplayError("bad_events", "the first event is not call_started")
    started = facts[0].what
    rate_hz, recorded_ms = _measure(directory / RECORDING)
    ends = [at_ms for at_ms, _ in facts.of(CallEnded)]
    return RecordedCall(
        directory=directory,
        events=tuple(events),
        facts=facts,
        started=started,
        inbound=_line(started.inbound),
        outbound=_line(started.outbound),
        rate_hz=rate_hz,
        duration_ms=ends[0] if ends else max(events[-1].at_ms, recorded_ms),
        recorded_ms=recorded_ms,
    )


def caller_frames(call: RecordedCall) -> Iterator[bytes]:
    """The caller's channel as frames of the line's format; the last is filled up.

    µ-law comes out as it went in, but for its second zero, which the recording cannot tell from
    the first; A-law likewise, but that a silence of the recording's own becomes its smallest
    step. Where the recording has a higher rate than the line, it is converted back."""
    converter = Converter(call.pcm16, call.inbound)
    size = call.inbound.frame_bytes
    rest = b""
    for block in _blocks(call.directory / RECORDING):
        rest += converter.process(block)
        end = len(rest) - len(rest) % size
        for place in range(0, end, size):
            yield rest[place : place + size]
        rest = rest[end:]
    rest += converter.flush()
    rest += call.inbound.silence(20)[len(rest) % size or size :]
    for place in range(0, len(rest), size):
        yield rest[place : place + size]


def agent_audio(call: RecordedCall, from_ms: int, duration_ms: int) -> bytes:
    """A stretch of the agent's channel in its line's format: exactly as long as asked for,
    silence where there is no recording."""
    count = duration_ms * call.rate_hz // 1000
    with _opened(call.directory / RECORDING) as file:
        file.seek(min(max(from_ms, 0) * call.rate_hz // 1000, file.frames))
        samples = file.read(count, dtype="int16", always_2d=True)[:, 1]
    audio = convert_all(samples.astype("<i2").tobytes(), call.pcm16, call.outbound)
    silence = call.outbound.silence(duration_ms)
    return audio[: len(silence)] + silence[len(audio) :]


def _read_events(path: Path) -> list[Event]:
    try:
        with path.open("rb") as file:
            lines = file.read(_EVENTS_LIMIT_BYTES + 1)
    except OSError as error:
        raise ReplayError("no_events", f"{path}: {error.strerror}") from None
    if len(lines) > _EVENTS_LIMIT_BYTES:
        raise ReplayError("too_large", f"{path} is longer than {_EVENTS_LIMIT_BYTES} bytes")
    try:
        events = read_events(lines)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ReplayError("bad_events", f"{path}: {error}") from None
    if not events:
        raise ReplayError("bad_events", f"{path} has no events")
    return events


def _line(text: str) -> AudioFormat:
    found = _LINE.fullmatch(text)
    if found is None:
        raise ReplayError("bad_events", f"call_started names no audio format: {text[:40]!r}")
    return AudioFormat(Encoding(found[1]), int(found[2]))


def _opened(path: Path) -> soundfile.SoundFile:
    if not path.is_file():
        detail = f"{path} is missing; calls are recorded with recording: true in the agent file"
        raise ReplayError("no_recording", detail)
    try:
        return soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ReplayError("bad_recording", str(error)) from None


def _measure(path: Path) -> tuple[int, int]:
    with _opened(path) as file:
        rate_hz: int = file.samplerate
        if file.channels != 2 or file.subtype != "PCM_16" or rate_hz not in _RATES_HZ:
            raise ReplayError(
                "bad_recording",
                f"{path}: two channels of 16-bit samples at a usual rate are expected, not "
                f"{file.channels} of {file.subtype} at {rate_hz} Hz",
            )
        duration_ms = file.frames * 1000 // rate_hz
    if duration_ms > LONGEST_MS:
        raise ReplayError("too_large", f"{path} is longer than {LONGEST_MS // 3_600_000} hours")
    return rate_hz, duration_ms


def _blocks(path: Path) -> Iterator[bytes]:
    with _opened(path) as file:
        while True:
            block = file.read(_BLOCK_S * file.samplerate, dtype="int16", always_2d=True)
            if not len(block):
                return
            yield np.ascontiguousarray(block[:, 0]).astype("<i2").tobytes()
