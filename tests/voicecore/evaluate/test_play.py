import numpy as np
import pytest

from media.audio.format import L16_8K, MULAW_8K
from media.audio.g711 import decode_mulaw
from voicecore.evaluate.effects import (
    RATE_HZ,
    SOUND_NAMES,
    SPEECH_DBFS,
    Samples,
    at_level,
    band_passed,
    line_noise,
    sound,
)
from voicecore.evaluate.play import ANSWER_TIMEOUT_MS, Play, prepare_play, scene_seed
from voicecore.evaluate.scene import Kind, Scene, SceneEvent, SceneLine
from voicecore.evaluate.speech import texts_of
from voicecore.phone.script import Silence, Step, Utter, Wait


def dbfs(samples: Samples) -> float:
    return float(10 * np.log10((samples**2).mean()))


def tone(ms: int, hz: float = 1000.0) -> Samples:
    return at_level(np.sin(2 * np.pi * hz * np.arange(ms * 8) / RATE_HZ), SPEECH_DBFS)


def voice(text: str) -> Samples:
    """Half a second for each word, each at its own pitch."""
    words = text.replace(",", "").split()
    return np.concatenate([tone(500, 500.0 * (1 + ord(word[0]) % 5)) for word in words])


def event(kind: Kind, *parts: str | int, **more: object) -> SceneEvent:
    return SceneEvent(kind, parts, "joe", **more)  # type: ignore[arg-type]


def play(*events: SceneEvent, line: SceneLine | None = None, **options: bool) -> Play:
    scene = Scene("a", "g", "A", events, line=line or SceneLine("none"))
    speech = {text: voice(text.text) for text in texts_of([scene])}
    return prepare_play(scene, speech, 1, **options)  # type: ignore[arg-type]


def steps(*events: SceneEvent, **options: bool) -> tuple[Step, ...]:
    return play(*events, **options).script.steps


def test_a_turn_waits_for_the_agent_and_for_its_answer() -> None:
    first, say, answer = steps(event("turn", "a", after_agent_ms=700))
    assert isinstance(first, Wait)
    assert (first.condition, first.ms) == ("agent_finished", 700)
    assert isinstance(say, Utter)
    assert (say.kind, say.after_ms) == ("say", None)
    assert isinstance(answer, Wait)
    assert (answer.condition, answer.timeout_ms) == ("agent_speaking", ANSWER_TIMEOUT_MS)


def test_what_wants_no_answer_asks_for_none() -> None:
    *_, murmur, stay = steps(event("backchannel", "a", at_ms=900))
    assert isinstance(murmur, Utter)
    assert (murmur.kind, murmur.after_ms) == ("murmur", 900)
    assert stay == Silence(1, 3500)


def test_an_agent_that_does_not_greet() -> None:
    first, say, _ = steps(event("turn", "a", after_agent_ms=700), greets=False)
    assert first == Silence(0, 1500)
    assert isinstance(say, Utter)


def test_pauses_are_where_they_were_asked_for() -> None:
    made = play(event("turn", "a", 700, "b", after_agent_ms=700))
    (spoken,) = made.spoken
    ((from_ms, to_ms),) = spoken.pauses_ms
    assert to_ms - from_ms == 700
    assert not spoken.samples[(from_ms + 1) * 8 : to_ms * 8].any()
    assert from_ms == pytest.approx(500, abs=50)
    assert len(spoken.samples) / 8 - to_ms == pytest.approx(500, abs=50)


def test_who_halts_says_it_in_one_breath() -> None:
    (spoken,) = play(event("turn", "a", 300, "b", 300, "[click]", "c", after_agent_ms=700)).spoken
    whole = np.concatenate([voice("a"), voice("b"), voice("c")])
    assert np.corrcoef(spoken.samples[:3000], whole[:3000])[0, 1] > 0.9
    first_end = spoken.pauses_ms[0][0] * 8
    assert dbfs(spoken.samples[first_end - 80 : first_end]) < SPEECH_DBFS - 10, "it dies away"
    assert len(spoken.pauses_ms) == 2


def test_level() -> None:
    (spoken,) = play(event("turn", "a", after_agent_ms=700, level_db=-8)).spoken
    assert dbfs(spoken.samples) == pytest.approx(SPEECH_DBFS - 8, abs=0.1)


def test_noise_lies_under_silence_and_speech() -> None:
    made = play(event("turn", "a", after_own_ms=20), line=SceneLine("white", 25))
    caller = made.make_caller(made.script, made.sounds, 0)
    frames = [caller.tick(beat * 20_000, None) for beat in range(30)]
    assert all(len(frame.payload) == MULAW_8K.frame_bytes for frame in frames)
    heard = np.frombuffer(
        b"".join(decode_mulaw(frame.payload) for frame in frames), dtype="<i2"
    ).astype(np.float64) / 32_768  # fmt: skip
    assert dbfs(heard[: L16_8K.rate_hz // 50]) == pytest.approx(SPEECH_DBFS - 25, abs=2.5)
    assert dbfs(heard[800:2400]) == pytest.approx(SPEECH_DBFS, abs=0.5)


def test_the_same_seed_makes_the_same_call() -> None:
    def payloads(seed: int) -> list[bytes]:
        scene = Scene("a", "g", "A", (event("tic", "[cough]", after_own_ms=20),))
        made = prepare_play(scene, {}, seed)
        caller = made.make_caller(made.script, made.sounds, 0)
        return [caller.tick(beat * 20_000, None).payload for beat in range(20)]

    assert payloads(1) == payloads(1)
    assert payloads(1) != payloads(2)


def test_each_scene_has_its_own_seed() -> None:
    assert scene_seed(Scene("a", "g", "A", ()), 1) != scene_seed(Scene("b", "g", "B", ()), 1)


@pytest.mark.parametrize("name", SOUND_NAMES)
def test_sounds_are_made_from_their_seed(name: str) -> None:
    made = sound(name, 3)
    assert np.array_equal(made, sound(name, 3))
    assert not np.array_equal(made[:100], sound(name, 4)[:100])
    assert 0.02 < len(made) / RATE_HZ < 1.6
    assert np.isfinite(made).all()


@pytest.mark.parametrize("name", ["white", "hum", "babble", "street"])
def test_noise_has_its_level_and_the_telephones_band(name: str) -> None:
    noise = line_noise(name, 4.0, -45.0, 1)
    assert dbfs(noise) == pytest.approx(-45.0, abs=0.01)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / RATE_HZ)
    assert power[hz < 150].sum() < 0.01 * power.sum()


def test_no_noise_is_silence() -> None:
    assert not line_noise("none", 1.0, -45.0, 1).any()


def test_the_band() -> None:
    assert dbfs(band_passed(tone(1000, 1000.0))) == pytest.approx(SPEECH_DBFS, abs=0.1)
    assert dbfs(band_passed(tone(1000, 100.0))) < SPEECH_DBFS - 25
    assert dbfs(band_passed(tone(1000, 3900.0))) < SPEECH_DBFS - 25
