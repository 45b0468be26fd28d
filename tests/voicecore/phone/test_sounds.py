import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.audio.convert import convert_all
from media.audio.format import L16_8K, L16_16K, L16_24K, MULAW_8K, AudioFormat
from tests.support.phone_agent import tone
from voicecore.phone.script_file import load_script
from voicecore.phone.sounds import Wire, cough, linear, make_sounds
from voicecore.phone.speech import prepare_sounds
from voicecore.phone.yaml_reader import ScriptError
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Spawn
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsFailed


class Voice:
    """A ``Tts`` whose every letter is 100 ms of tone at 24 kHz."""

    name = "voice"

    def __init__(self, failing: bool = False) -> None:
        self.audio = L16_24K
        self.failing = failing
        self.closed = 0
        self.texts: list[str] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def open(self, wanted: AudioFormat, *, spawn: Spawn) -> "Voice":
        self.spawn = spawn
        return self

    def reply(self, sink: Callable[[TtsEvent], None]) -> "Voice":
        self.sink = sink
        return self

    def say(self, text: str) -> None:
        self.texts.append(text)

    def finish(self) -> None:
        self.spawn(self._speak(self.texts[-1]))

    async def _speak(self, text: str) -> None:
        if self.failing:
            self.sink(TtsFailed(VendorError("voice", "overloaded", "no", retryable=True)))
            return
        for _ in text:
            self.sink(TtsAudio(tone(100, rate_hz=24_000)))
        self.sink(TtsDone(len(text)))

    def cancel(self) -> None: ...

    def close(self) -> None:
        self.closed += 1


VOICE = "voice: {vendor: piper}\n"


async def test_speech_is_made_once_and_cut_into_frames() -> None:
    script = load_script(
        VOICE + "steps:\n  - say: abc\n  - murmur: de\n  - interrupt: abc\n  - cough:\n"
    )
    voice = Voice()
    sounds = await prepare_sounds(script, voice)
    assert voice.texts == ["abc", "de"]
    assert voice.closed == 1
    spoken = sounds.utterances["text:abc"]
    assert len(spoken.frames) == 15
    assert (spoken.first_voiced, spoken.last_voiced) == (0, 14)
    assert all(base64.b64decode(f.base64) == f.payload for f in spoken.frames)
    assert {len(frame.payload) for frame in spoken.frames} == {160}
    assert len(sounds.utterances["cough"].frames) == 13


async def test_a_voice_that_fails_is_told() -> None:
    script = load_script(VOICE + "steps:\n  - say: abc\n")
    voice = Voice(failing=True)
    with pytest.raises(VendorError, match="overloaded"):
        await prepare_sounds(script, voice)
    assert voice.closed == 1
    with pytest.raises(ScriptError, match="needs a voice"):
        await prepare_sounds(script, None)


async def test_files_of_any_rate_and_channels_are_played(tmp_path: Path) -> None:
    stereo = np.zeros((44_100, 2), dtype=np.float32)
    stereo[11_025:33_075] = 0.3
    soundfile.write(tmp_path / "hello.wav", stereo, 44_100)
    script = load_script("steps:\n  - play: hello.wav", folder=str(tmp_path))
    sounds = await prepare_sounds(script, None)
    (utterance,) = sounds.utterances.values()
    assert len(utterance.frames) == 50
    assert utterance.first_voiced in (12, 13)
    assert utterance.last_voiced in (36, 37)


@pytest.mark.parametrize("content", [None, b"", b"no sound at all"])
async def test_files_that_cannot_be_read_are_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.wav").write_bytes(content)
    script = load_script("steps:\n  - cough:\n  - play: x.wav", folder=str(tmp_path))
    with pytest.raises(ScriptError, match=r"line 3: play: cannot read .*x\.wav"):
        await prepare_sounds(script, None)


def test_silence_around_speech_is_not_voice() -> None:
    speech = L16_8K.silence(110) + tone(200) + L16_8K.silence(300)
    utterance = make_sounds(Wire(MULAW_8K), {"x": speech}).utterances["x"]
    assert (utterance.first_voiced, utterance.last_voiced) == (5, 15)


def test_a_whisper_has_a_voice_too() -> None:
    speech = L16_8K.silence(100) + tone(200, level=60.0) + L16_8K.silence(100)
    utterance = make_sounds(Wire(MULAW_8K), {"x": speech}).utterances["x"]
    assert (utterance.first_voiced, utterance.last_voiced) == (5, 14)


def test_noise_is_added_and_always_the_same() -> None:
    wire = Wire(MULAW_8K, noise_dbfs=-50)
    first, second = make_sounds(wire, {"x": tone(100)}), make_sounds(wire, {"x": tone(100)})
    assert first == second
    assert len({frame.payload for frame in first.idle}) == 64
    pcm = np.frombuffer(
        convert_all(b"".join(f.payload for f in first.idle), MULAW_8K, L16_8K), dtype="<i2"
    )
    level = 20 * np.log10(np.sqrt((pcm.astype(float) ** 2).mean()) / 32_768)
    assert level == pytest.approx(-50, abs=0.5)


def test_l16_travels_in_network_order() -> None:
    wire = Wire(L16_16K, big_endian=True)
    frame = make_sounds(wire, {"x": tone(20, rate_hz=16_000)}).utterances["x"].frames[0]
    assert linear(wire, frame.payload) == tone(20, rate_hz=16_000)
    assert frame.payload != tone(20, rate_hz=16_000)
    assert linear(Wire(MULAW_8K), b"\xff" * 160) == bytes(320)


def test_a_cough_is_two_bursts() -> None:
    pcm = np.abs(np.frombuffer(cough(8000), dtype="<i2").astype(int))
    assert len(pcm) == 8 * 260
    assert pcm[: 8 * 20].max() > 5000
    assert pcm[8 * 125 : 8 * 155].max() == 0
    assert pcm[8 * 160 : 8 * 180].max() > 3000
