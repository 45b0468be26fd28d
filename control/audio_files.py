"""Uploaded audio: checked by decoding, and made fit for the telephone.

A file is decoded in blocks, so that what a few bytes unfold to never is in memory at once; its
frames, rate and channels are bounded before that. Everything here works on threads, for seconds;
``stop`` ends it between two blocks.
"""

import io
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from control.mpeg_frames import with_true_head

MOST_SECONDS = 1800
RATES_HZ = (4_000, 192_000)
MOST_CHANNELS = 8
BLOCK_FRAMES = 1 << 15
CHECK_FRAMES = 8 * BLOCK_FRAMES
"""So many are decoded before an upload is taken; the rest in the background."""

NARROW_HZ, WIDE_HZ = 8_000, 16_000
LOUDNESS = 10 ** (-20 / 20)
"""What speech is brought to: its RMS, of full scale."""
PEAK = 10 ** (-3 / 20)
"""No sample is above, or mu-law would clip."""
MOST_GAIN = 10.0
"""20 dB: what is fainter is noise."""
SILENCE = 10 ** (-50 / 20)
"""Blocks below do not count as speech."""

_MPEG_SYNC = (0xFF, 0xE0)

_BROKEN = (soundfile.SoundFileError, OSError, ValueError, RuntimeError, MemoryError)

Samples = NDArray[np.float32]


class NoAudio(Exception):
    """A file is no audio of ours; the text says why, for who uploaded it."""


class Stopped(Exception):
    """Somebody does not want the result any more."""


class NotWritten(Exception):
    """What a file becomes cannot be written, which is not the file's fault."""


class Facts(msgspec.Struct, frozen=True):
    """What a file is."""

    format: str
    """``wav`` or ``mp3``."""
    rate_hz: int
    channels: int
    frames: int

    @property
    def duration_ms(self) -> int:
        return self.frames * 1000 // self.rate_hz


def check(content: bytes) -> Facts:
    """Open it and decode its beginning.

    :raises NoAudio: it is no WAV and no MP3, is broken, or too much."""
    return _check(_kind(content), _whole(content))


def _check(kind: str, content: bytes) -> Facts:
    with _opened(content) as file:
        facts = Facts(kind, file.samplerate, file.channels, file.frames)
        _bounded(facts)
        decoded = 0
        for block in _blocks(file, lambda: None):
            decoded += len(block)
            if decoded >= CHECK_FRAMES:
                break
    if not decoded:
        raise NoAudio("There is no sound in it")
    return facts


def normalise(content: bytes, narrow: Path, wide: Path, stop: threading.Event) -> int:
    """Write it as mu-law at 8 kHz and as PCM at 16 kHz, both mono WAV; its duration in ms.

    :raises NoAudio: it cannot be decoded to its end.
    :raises NotWritten: there is no room for what it becomes.
    :raises Stopped: ``stop`` is set."""

    def check_stop() -> None:
        if stop.is_set():
            raise Stopped

    kind, content = _kind(content), _whole(content)
    _check(kind, content)
    gain, frames, rate_hz = _gain(content, check_stop)
    try:
        _write(content, gain, {NARROW_HZ: narrow, WIDE_HZ: wide}, check_stop)
    except (soundfile.SoundFileError, OSError) as error:
        raise NotWritten(str(error)) from error
    return frames * 1000 // rate_hz


def _write(
    content: bytes, gain: float, targets: Mapping[int, Path], check_stop: Callable[[], None]
) -> None:
    with ExitStack() as stack:
        file = stack.enter_context(_opened(content))
        writers = []
        for rate_hz, path in targets.items():
            kind = "ULAW" if rate_hz == NARROW_HZ else "PCM_16"
            target = soundfile.SoundFile(path, "w", rate_hz, 1, kind, format="WAV")
            resample = _resampler(int(file.samplerate), rate_hz)
            writers.append((resample, stack.enter_context(target)))
        for block in _blocks(file, check_stop):
            for resample, target in writers:
                target.write(_limited(resample(block, False), gain))
        for resample, target in writers:
            target.write(_limited(resample(np.zeros(0, np.float32), True), gain))


def _kind(content: bytes) -> str:
    """By its first bytes, so that no other decoder is ever tried."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "wav"
    has_sync = len(content) > 2 and content[0] == _MPEG_SYNC[0]
    if content[:3] == b"ID3" or (has_sync and content[1] & 0xE0 == _MPEG_SYNC[1]):
        return "mp3"
    raise NoAudio("It is neither WAV nor MP3")


def _whole(content: bytes) -> bytes:
    """The file, which is decoded to its end, whatever an MP3's head says of its length.

    :raises NoAudio: it is no WAV and no MP3, or cannot be decoded."""
    if _kind(content) != "mp3":
        return content
    with _opened(content) as file:
        _bounded(Facts("mp3", file.samplerate, file.channels, file.frames))
        return with_true_head(content, int(file.frames), MOST_SECONDS * int(file.samplerate))


def _opened(content: bytes) -> Any:
    try:
        return soundfile.SoundFile(io.BytesIO(content))
    except _BROKEN as error:
        raise NoAudio("It cannot be decoded") from error


def _bounded(facts: Facts) -> None:
    if not RATES_HZ[0] <= facts.rate_hz <= RATES_HZ[1]:
        raise NoAudio(f"Its sample rate is not between {RATES_HZ[0]} and {RATES_HZ[1]} Hz")
    if not 1 <= facts.channels <= MOST_CHANNELS:
        raise NoAudio(f"It has more than {MOST_CHANNELS} channels")
    if facts.frames <= 0:
        raise NoAudio("There is no sound in it")
    if facts.frames > MOST_SECONDS * facts.rate_hz:
        raise NoAudio(f"It is longer than {MOST_SECONDS // 60} minutes")


def _blocks(file: Any, check_stop: Callable[[], None]) -> Iterator[Samples]:
    """Mono, until its end, which may come later than its head says: that is bounded too.

    :raises NoAudio: there is something that is no audio."""
    left = MOST_SECONDS * int(file.samplerate)
    while True:
        check_stop()
        try:
            block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        except _BROKEN as error:
            raise NoAudio("It cannot be decoded") from error
        if not len(block):
            return
        left -= len(block)
        if left < 0:
            raise NoAudio(f"It is longer than {MOST_SECONDS // 60} minutes")
        mono = block.mean(axis=1, dtype=np.float32)
        yield np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0)


def _resampler(from_hz: int, to_hz: int) -> Callable[[Samples, bool], Samples]:
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def resample(block: Samples, last: bool) -> Samples:
        resampled: Samples = stream.resample_chunk(block, last=last)
        return resampled

    return resample


def _gain(content: bytes, check_stop: Callable[[], None]) -> tuple[float, int, int]:
    """What every sample is to be multiplied with; and the file's frames, and their rate."""
    peak, energy, loud, frames = 0.0, 0.0, 0, 0
    with _opened(content) as file:
        rate_hz = int(file.samplerate)
        resample = _resampler(rate_hz, WIDE_HZ)
        for block in _blocks(file, check_stop):
            frames += len(block)
            heard = resample(block, False)
            peak = max(peak, float(np.abs(block).max()), _peak(heard))
            power = float(np.square(block, dtype=np.float64).sum())
            if power > len(block) * SILENCE**2:
                energy, loud = energy + power, loud + len(block)
        peak = max(peak, _peak(resample(np.zeros(0, np.float32), True)))
    if not frames:
        raise NoAudio("There is no sound in it")
    if not loud or not peak:
        return min(1.0, PEAK / peak) if peak else 1.0, frames, rate_hz
    wanted = LOUDNESS / math.sqrt(energy / loud)
    return min(wanted, MOST_GAIN, PEAK / peak), frames, rate_hz


def _peak(block: Samples) -> float:
    return float(np.abs(block).max()) if len(block) else 0.0


def _limited(block: Samples, gain: float) -> Samples:
    limited: Samples = np.clip(block * np.float32(gain), -PEAK, PEAK).astype(np.float32)
    return limited
