"""From one audio format to another, as a stream or at once."""

from collections.abc import Callable

from media.audio import g711
from media.audio.format import AudioFormat, Encoding
from media.audio.resample import Resampler, resample_all

Transcode = Callable[[bytes], bytes]


def _same(audio: bytes) -> bytes:
    return audio


_TRANSCODERS: dict[tuple[Encoding, Encoding], Transcode] = {
    (Encoding.MULAW, Encoding.L16): g711.decode_mulaw,
    (Encoding.ALAW, Encoding.L16): g711.decode_alaw,
    (Encoding.L16, Encoding.MULAW): g711.encode_mulaw,
    (Encoding.L16, Encoding.ALAW): g711.encode_alaw,
    (Encoding.MULAW, Encoding.ALAW): g711.mulaw_to_alaw,
    (Encoding.ALAW, Encoding.MULAW): g711.alaw_to_mulaw,
}


class Converter:
    """Converts a stream. ``process`` and ``flush`` return audio in ``target``, any number of
    whole samples; pieces may split a sample anywhere. Equal formats pass through untouched."""

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self.source = source
        self.target = target
        self._resampler: Resampler | None = None
        self._decode: Transcode = _same
        self._encode: Transcode = _same
        if source.rate_hz != target.rate_hz:
            self._decode = transcoder(source.encoding, Encoding.L16)
            self._encode = transcoder(Encoding.L16, target.encoding)
            self._resampler = Resampler(source.rate_hz, target.rate_hz)
        elif source.encoding != target.encoding:
            self._encode = transcoder(source.encoding, target.encoding)
            if source.encoding is Encoding.L16:
                # At equal rates a resampler only carries the odd byte.
                self._resampler = Resampler(source.rate_hz, source.rate_hz)

    def process(self, audio: bytes) -> bytes:
        """The next audio; may be empty while the resampler fills."""
        if self._resampler is not None:
            audio = self._resampler.process(self._decode(audio))
        return self._encode(audio)

    def flush(self) -> bytes:
        """The tail at the end of the stream; afterwards the converter is as new."""
        return self._encode(self._resampler.flush()) if self._resampler is not None else b""

    def reset(self) -> None:
        """Forget what was taken in: a cut reply leaves nothing in the next one."""
        if self._resampler is not None:
            self._resampler.reset()


def transcoder(source: Encoding, target: Encoding) -> Transcode:
    """The function that changes the encoding and keeps the rate. Stateless: whole samples only."""
    return _same if source is target else _TRANSCODERS[source, target]


def convert_all(audio: bytes, source: AudioFormat, target: AudioFormat) -> bytes:
    """A whole recording at once, in higher quality than a stream; half a sample at the end
    is dropped."""
    if source == target:
        return audio
    whole = audio[: len(audio) - len(audio) % source.sample_bytes]
    if source.rate_hz == target.rate_hz:
        return transcoder(source.encoding, target.encoding)(whole)
    pcm16 = transcoder(source.encoding, Encoding.L16)(whole)
    resampled = resample_all(pcm16, source.rate_hz, target.rate_hz)
    return transcoder(Encoding.L16, target.encoding)(resampled)
