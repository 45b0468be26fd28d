"""WebRTC's voice activity detector (a Gaussian mixture over six bands), 2 us a frame."""

import webrtcvad

from media.audio.format import AudioFormat, Encoding
from media.audio.g711 import decode_alaw, decode_mulaw

_DECODE = {Encoding.MULAW: decode_mulaw, Encoding.ALAW: decode_alaw}


class WebRtcVad:
    """Judges 20 ms frames of 8 or 16 kHz audio in any of the line encodings."""

    def __init__(self, audio: AudioFormat, mode: int) -> None:
        self._rate_hz = audio.rate_hz
        self._is_speech = webrtcvad.Vad(mode).is_speech
        self._decode = _DECODE.get(audio.encoding)

    def voiced(self, frame: bytes) -> bool:
        pcm = self._decode(frame) if self._decode else frame
        return bool(self._is_speech(pcm, self._rate_hz))
