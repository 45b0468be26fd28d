"""WebRTC's voice activity detector (a Gaussian mixture over six bands), 2 us a frame.

It knows nothing of loudness until it has heard the line for a second, and takes the hiss of a
quiet line for speech meanwhile. So a frame must also be louder than any such hiss.
"""

import webrtcvad

from media.audio.format import AudioFormat, Encoding
from media.audio.g711 import decode_alaw, decode_mulaw
from media.audio.levels import mean_square, mean_square_of_dbfs
from media.vad.line_levels import LineLevels

_DECODE = {Encoding.MULAW: decode_mulaw, Encoding.ALAW: decode_alaw}

FLOOR = mean_square_of_dbfs(-52)
"""Below this nothing is speech. Speech on a telephone line lies between -45 and -15 dB of full
scale, the idle noise of most lines below -55 dB."""


class WebRtcVad:
    """Judges 20 ms frames of 8 or 16 kHz audio in any of the line encodings."""

    def __init__(self, audio: AudioFormat, mode: int) -> None:
        self.levels = LineLevels()
        self._rate_hz = audio.rate_hz
        self._is_speech = webrtcvad.Vad(mode).is_speech
        self._decode = _DECODE.get(audio.encoding)

    def voiced(self, frame: bytes) -> bool:
        pcm = self._decode(frame) if self._decode else frame
        if not self._is_speech(pcm, self._rate_hz):
            self.levels.unvoiced(pcm)
            return False
        level = mean_square(pcm)
        if level < FLOOR:
            return False
        return self.levels.voiced(level)
