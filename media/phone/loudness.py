"""Whether audio can be heard: its level, 20 ms at a time."""

import numpy as np
import numpy.typing as npt

from media.audio.convert import transcoder
from media.audio.format import AudioFormat, Encoding

FULL_SCALE = 32768.0
Samples = npt.NDArray[np.float32]


class Loudness:
    """Judges audio of one format against a level (RMS over 20 ms, dB below full scale)."""

    def __init__(self, audio: AudioFormat, audible_dbfs: float) -> None:
        self._audio = audio
        self._threshold = (FULL_SCALE * 10 ** (audible_dbfs / 20)) ** 2
        self._table: Samples | None = None
        if audio.encoding is not Encoding.L16:
            every_code = transcoder(audio.encoding, Encoding.L16)(bytes(range(256)))
            self._table = np.frombuffer(every_code, dtype="<i2").astype(np.float32)
        self._window = audio.rate_hz // 50

    def samples(self, payload: bytes) -> Samples:
        """Sample values, -32,768 to 32,767."""
        if self._table is None:
            return np.frombuffer(payload, dtype="<i2").astype(np.float32)
        taken: Samples = self._table.take(np.frombuffer(payload, dtype=np.uint8))
        return taken

    def audible(self, payload: bytes) -> list[bool]:
        """For each 20 ms, the last of which may be shorter, whether it can be heard."""
        samples = self.samples(payload)
        whole = len(samples) // self._window
        if whole == 1 and len(samples) == self._window:
            return [float(samples.dot(samples)) >= self._threshold * self._window]
        squares = samples * samples
        rows = squares[: whole * self._window].reshape(whole, self._window).mean(axis=1)
        heard = [bool(level >= self._threshold) for level in rows]
        if rest := squares[whole * self._window :].tolist():
            heard.append(sum(rest) / len(rest) >= self._threshold)
        return heard
