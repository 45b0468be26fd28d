"""Audio on its way to and from the local engines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.audio.convert import convert_all
from media.audio.format import ALAW_8K, L16_8K, L16_16K, MULAW_8K, AudioFormat
from voicecore.local.moonshine_model import Heard
from voicecore.local.moonshine_worker import MoonshineEngine, decode, voiced_frames
from voicecore.local.speech_engine import SpeechEngine, encode, finish
from voicecore.local.utterances import PRE_ROLL_MS, Utterances

RATE_HZ = 22_050


def sound(rate_hz: int, *parts: tuple[int, float]) -> np.ndarray:
    """Tones of 300 Hz: (milliseconds, amplitude)."""
    pieces = []
    for length_ms, amplitude in parts:
        at_s = np.arange(rate_hz * length_ms // 1000) / rate_hz
        pieces.append(amplitude * np.sin(2 * np.pi * 300 * at_s))
    return np.concatenate(pieces).astype(np.float32)


@pytest.mark.parametrize(("ends_sentence", "pause_ms"), [(True, 240), (False, 110)])
def test_speech_gets_a_short_lead_and_a_pause_that_fits(ends_sentence, pause_ms):
    made = sound(RATE_HZ, (300, 0), (500, 0.2), (600, 0))
    piece = finish(made, RATE_HZ, ends_sentence=ends_sentence)
    assert piece.voiced_from_ms == pytest.approx(30, abs=11)
    assert piece.voiced_until_ms == pytest.approx(530, abs=21)
    assert len(piece.samples) * 1000 / RATE_HZ == pytest.approx(530 + pause_ms, abs=21)


def test_a_pause_is_added_where_the_engine_made_none():
    piece = finish(sound(RATE_HZ, (500, 0.2)), RATE_HZ, ends_sentence=True)
    assert len(piece.samples) * 1000 / RATE_HZ == pytest.approx(500 + 240, abs=11)
    assert piece.voiced_from_ms == 0


@pytest.mark.parametrize("amplitude", [0.02, 0.2, 0.9])
def test_every_engine_speaks_at_the_same_level_and_never_clips(amplitude):
    made = sound(RATE_HZ, (100, 0), (500, amplitude))
    voice = finish(made, RATE_HZ, ends_sentence=False).samples[800:8000]
    assert float(np.sqrt(np.mean(voice**2))) == pytest.approx(0.1, rel=0.1)


def test_a_peak_is_kept_from_clipping():
    made = sound(RATE_HZ, (500, 0.05), (20, 1.0))
    assert float(np.abs(finish(made, RATE_HZ, ends_sentence=False).samples).max()) <= 0.9001


def test_silence_is_no_speech():
    for length in (0, 100, RATE_HZ):
        piece = finish(np.zeros(length, np.float32), RATE_HZ, ends_sentence=True)
        assert (len(piece.samples), piece.voiced_until_ms) == (0, 0)


@pytest.mark.parametrize("target", [MULAW_8K, ALAW_8K, L16_8K, L16_16K])
def test_a_job_gives_the_lines_own_format_in_whole_milliseconds(target):
    def synthesize(text: str, speed: float) -> np.ndarray:
        return sound(RATE_HZ, (50, 0), (int(400 / speed), 0.3))

    engine = SpeechEngine(synthesize, RATE_HZ, parallel=2, info={})
    args = {"text": "Hi.", "speed": 0.8, "encoding": target.encoding, "rate_hz": target.rate_hz}
    ((facts, audio),) = engine.run(args, b"")
    assert len(audio) % target.bytes_per_ms == 0
    assert target.duration_ms(len(audio)) == pytest.approx(30 + 500 + 240, abs=25)
    assert 0 < facts["from_ms"] < facts["until_ms"] < target.duration_ms(len(audio))


def test_text_without_letters_makes_no_sound_and_does_not_reach_the_engine():
    engine = SpeechEngine(lambda text, speed: 1 / 0, RATE_HZ, parallel=1, info={})
    args = {"text": "… — !", "speed": 1.0, "encoding": "mulaw", "rate_hz": 8000}
    assert list(engine.run(args, b"")) == [({"from_ms": 0, "until_ms": 0}, b"")]


def test_samples_keep_their_value_through_the_telephone_codec():
    tone = sound(8000, (200, 0.5))
    back = np.frombuffer(convert_all(encode(tone, 8000, MULAW_8K), MULAW_8K, L16_8K), "<i2") / 32767
    assert float(np.abs(back - tone).max()) < 0.03


@pytest.mark.parametrize("source", [MULAW_8K, ALAW_8K, L16_8K, L16_16K])
def test_voice_is_found_where_it_is_in_any_line_format(source):
    spoken = sound(source.rate_hz, (400, 0), (600, 0.1), (500, 0))
    samples = decode(encode(spoken, source.rate_hz, source), source)
    first, last = voiced_frames(samples)
    assert first * 20 == pytest.approx(400, abs=21)
    assert last * 20 == pytest.approx(1000, abs=21)


@pytest.mark.parametrize(
    "heard", [np.zeros(0), np.zeros(100), np.zeros(16000), sound(16000, (900, 0.002), (60, 0.3))]
)
def test_silence_and_clicks_do_not_reach_the_model(heard):
    asked = []
    engine = MoonshineEngine(lambda samples: asked.append(1) or Heard("You", 0.9), parallel=1)
    audio = encode(heard.astype(np.float32), 16000, L16_16K)
    ((facts, _),) = engine.run({"encoding": "l16", "rate_hz": 16000}, audio)
    assert (facts["text"], asked) == ("", [])


def test_quiet_speech_is_lifted_and_edges_are_trimmed_for_the_model():
    heard = []
    engine = MoonshineEngine(
        lambda samples: heard.append(samples) or Heard("Hello.", 0.9), parallel=1
    )
    audio = encode(sound(16000, (1000, 0), (500, 0.02), (1000, 0)), 16000, L16_16K)
    ((facts, _),) = engine.run({"encoding": "l16", "rate_hz": 16000}, audio)
    assert (facts["text"], facts["confidence"]) == ("Hello.", 0.9)
    assert len(heard[0]) / 16 == pytest.approx(900, abs=45)
    assert float(np.abs(heard[0]).max()) > 0.3


def test_a_model_that_goes_round_in_circles_is_not_sure():
    round_ = "We're going to be in the middle of the day. "
    engine = MoonshineEngine(lambda samples: Heard(round_ * 5, 0.9), parallel=1)
    audio = encode(sound(16000, (300, 0), (6000, 0.1), (300, 0)), 16000, L16_16K)
    ((facts, _),) = engine.run({"encoding": "l16", "rate_hz": 16000}, audio)
    assert (facts["text"], facts["confidence"]) == (round_.strip(), 0.0)


def frames(count: int, audio: AudioFormat = L16_8K, *, first: int = 1) -> list[bytes]:
    """Frames of loud noise, each with a number that tells it from the others."""
    return [bytes([number % 250 + 1]) * audio.frame_bytes for number in range(first, first + count)]


def test_an_utterance_begins_with_what_was_said_before_the_vad_was_sure():
    speech = Utterances(L16_8K, max_ms=10_000)
    heard = frames(50)
    for frame in heard[:30]:
        assert speech.push(frame) is None
    speech.speech_started()
    for frame in heard[30:]:
        speech.push(frame)
    utterance = speech.finalize()
    assert utterance.audio == b"".join(heard[20:])
    assert utterance.start_ms == 600 - PRE_ROLL_MS
    assert speech.finalize() is None


@given(st.lists(st.sampled_from("fffffffsez"), max_size=200), st.sampled_from([400, 2000]))
def test_no_audio_is_heard_twice_and_none_is_lost_while_someone_speaks(steps, max_ms):
    audio = L16_8K
    speech = Utterances(audio, max_ms=max_ms)
    pushed, spoken_frames, taken, speaking = 0, set(), [], False
    for step in steps:
        if step == "f":
            frame = pushed.to_bytes(2, "little") * (audio.frame_bytes // 2)
            spoken_frames |= {pushed} if speaking else set()
            pushed += 1
            taken.append(speech.push(frame))
        elif step == "s":
            speech.speech_started()
            speaking = True
        else:
            taken.append(speech.finalize())
            speaking = False
    taken.append(speech.finalize())
    heard: list[int] = []
    for utterance in filter(None, taken):
        numbers = np.frombuffer(utterance.audio, "<u2")[:: audio.frame_bytes // 2].tolist()
        assert utterance.start_ms == numbers[0] * 20
        assert len(utterance.audio) <= audio.bytes_per_ms * (max_ms + 20 + PRE_ROLL_MS)
        heard += numbers
    assert heard == sorted(set(heard))
    assert spoken_frames <= set(heard)


def test_speech_that_does_not_end_is_cut_where_it_is_quiet():
    speech = Utterances(MULAW_8K, max_ms=4000)
    speech.speech_started()
    loud, quiet = b"\x10" * 160, b"\xff" * 160
    parts = [speech.push(quiet if 150 <= number < 160 else loud) for number in range(200)]
    (part,) = filter(None, parts)
    assert part.audio[-160:] == quiet
    assert 3000 <= MULAW_8K.duration_ms(len(part.audio)) <= 3200
    rest = speech.finalize()
    assert rest.start_ms == MULAW_8K.duration_ms(len(part.audio))
    assert len(part.audio) + len(rest.audio) == 200 * 160
