"""The call as two channels: what the caller said on the left, what it heard on the right."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from media.audio.convert import convert_all
from media.audio.format import AudioFormat, Encoding
from voicecore.phone.record import CallRecord
from voicecore.phone.sounds import Wire, linear

_MAX_S = 7200


def two_channels(
    record: CallRecord, said: Wire, heard: AudioFormat
) -> tuple[npt.NDArray[np.int16], int]:
    """Samples in the shape (n, 2) and their rate; at most two hours."""
    rate_hz = max(said.audio.rate_hz, heard.rate_hz)
    target = AudioFormat(Encoding.L16, rate_hz)
    spoken_line = AudioFormat(Encoding.L16, said.audio.rate_hz)
    size = min(record.duration_us // 1_000_000 + 1, _MAX_S) * rate_hz
    stereo = np.zeros((size, 2), dtype=np.int16)
    spoken = (
        (at, convert_all(linear(said, part), spoken_line, target)) for at, part in record.spoken
    )
    played = ((at, convert_all(part, heard, target)) for at, part in record.heard)
    _place(stereo[:, 0], spoken, rate_hz)
    _place(stereo[:, 1], played, rate_hz)
    return stereo, rate_hz


def _place(
    channel: npt.NDArray[np.int16], parts: Iterable[tuple[int, bytes]], rate_hz: int
) -> None:
    for at_us, pcm16 in parts:
        samples = np.frombuffer(pcm16, dtype="<i2")
        start = max(at_us, 0) * rate_hz // 1_000_000
        room = max(len(channel) - start, 0)
        channel[start : start + min(len(samples), room)] = samples[:room]
