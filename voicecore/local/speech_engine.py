"""What every speech worker does with the samples of its engine: trim, level, convert.

Engines put different amounts of silence around speech (50 to 600 ms) and differ by 6 dB.
Here a piece of speech gets 30 ms in front, a pause behind it that fits its punctuation, and
the level of a telephone talker, so that pieces follow one another naturally and the times of
words can be told.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from media.audio.convert import transcoder
from media.audio.format import AudioFormat, Encoding
from voicecore.local.child import JobFailed, Result

Samples = NDArray[np.float32]
Synthesize = Callable[[str, float], Samples]
"""Text and speed (1 is the voice's own) to samples of about -1 to 1."""

_FRAME_S = 0.01
_LEAD_MS = 30
_SENTENCE_PAUSE_MS = 240
_CLAUSE_PAUSE_MS = 110
# The active level of a talker on a digital telephone line is about -20 dB of full scale
# (ITU-T P.56, G.100); peaks stay clear of clipping.
_ACTIVE_LEVEL = 0.1
_MAX_PEAK = 0.9
_VOICED_RATIO = 0.012
_NOTHING: Samples = np.zeros(0, np.float32)


class Piece(NamedTuple):
    """Finished speech. Times are milliseconds from its first sample."""

    samples: Samples
    voiced_from_ms: int
    voiced_until_ms: int


def finish(samples: Samples, rate_hz: int, *, ends_sentence: bool) -> Piece:
    """Trim and level what an engine made; without sound in it the piece is empty."""
    frame = int(rate_hz * _FRAME_S)
    count = len(samples) // frame
    if not count:
        return Piece(samples[:0], 0, 0)
    levels = np.sqrt(np.mean(samples[: count * frame].reshape(count, frame) ** 2, axis=1))
    loudest = float(levels.max())
    if loudest < 1e-4:
        return Piece(samples[:0], 0, 0)
    voiced = np.flatnonzero(levels > loudest * _VOICED_RATIO)
    begin, end = int(voiced[0]) * frame, (int(voiced[-1]) + 1) * frame
    lead = min(begin, rate_hz * _LEAD_MS // 1000)
    pause = rate_hz * (_SENTENCE_PAUSE_MS if ends_sentence else _CLAUSE_PAUSE_MS) // 1000
    speech = samples[begin - lead : end + pause]
    if (missing := lead + end - begin + pause - len(speech)) > 0:
        speech = np.concatenate([speech, np.zeros(missing, np.float32)])
    active = float(np.sqrt(np.mean(levels[levels > loudest * 0.1] ** 2)))
    gain = min(_ACTIVE_LEVEL / active, _MAX_PEAK / float(np.abs(speech).max()))
    return Piece(speech * gain, lead * 1000 // rate_hz, (lead + end - begin) * 1000 // rate_hz)


def encode(samples: Samples, rate_hz: int, target: AudioFormat) -> bytes:
    """Samples of -1 to 1 as audio in ``target``, whole milliseconds of it."""
    resampled = soxr.resample(samples, rate_hz, target.rate_hz) if len(samples) else samples
    whole = len(resampled) - len(resampled) % (target.rate_hz // 1000)
    pcm16 = np.rint(resampled[:whole] * 32767).clip(-32768, 32767).astype("<i2").tobytes()
    return transcoder(Encoding.L16, target.encoding)(pcm16)


class SpeechEngine:
    """An ``Engine`` whose job is one piece of text (``text``, ``speed``, ``encoding``,
    ``rate_hz``) and whose only result is all of its audio."""

    def __init__(
        self, synthesize: Synthesize, rate_hz: int, *, parallel: int, info: dict[str, Any]
    ) -> None:
        self.parallel = parallel
        self.info = {**info, "parallel": parallel}
        self._synthesize = synthesize
        self._rate_hz = rate_hz

    def run(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        try:
            text, speed = str(args["text"]), float(args["speed"])
            target = AudioFormat(Encoding(args["encoding"]), int(args["rate_hz"]))
        except (KeyError, ValueError) as error:
            raise JobFailed("bad_request", f"not a job: {error}") from error
        samples = self._synthesize(text, speed) if any(map(str.isalnum, text)) else _NOTHING
        piece = finish(samples, self._rate_hz, ends_sentence=text.endswith((".", "!", "?")))
        facts = {"from_ms": piece.voiced_from_ms, "until_ms": piece.voiced_until_ms}
        yield facts, encode(piece.samples, self._rate_hz, target)
