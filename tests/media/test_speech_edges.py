"""Beginnings and ends of speech, from judgements alone and from sound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.audio.convert import convert_all
from media.audio.format import ALAW_8K, L16_8K, L16_16K, MULAW_8K, AudioFormat, Encoding
from media.vad import DETECTORS
from media.vad.edges import SpeechEdges
from media.vad.speech import Edge, SpeechStarted, SpeechStopped, SpeechSustained
from media.vad.webrtc import WebRtcVad
from voicecore.adapters.scripted_tts import speech_like


def edges_of(frames: str, **settings: int) -> list[tuple[int, Edge]]:
    """Edges with the number of the frame that brought them; ``#`` is voiced."""
    edges = SpeechEdges(**settings)
    found = [(place, edges.receive(frame == "#")) for place, frame in enumerate(frames)]
    return [(place, edge) for place, edge in found if edge is not None]


class TestJudgements:
    def test_speech_starts_once_enough_frames_are_voiced(self) -> None:
        assert edges_of("..###", start_ms=60) == [(4, SpeechStarted(60))]

    def test_the_beginning_is_the_first_voiced_frame_of_the_window(self) -> None:
        assert edges_of(".#.#.#", start_ms=60) == [(5, SpeechStarted(100))]

    def test_frames_too_far_apart_are_no_speech(self) -> None:
        assert edges_of("#..#..#..#..#", start_ms=60) == []

    def test_speech_may_have_started_until_the_window_is_quiet(self) -> None:
        edges = SpeechEdges(start_ms=60, stop_ms=40)
        told = []
        for frame in "..#......#.##..":
            edges.receive(frame == "#")
            told.append(edges.may_start)
        assert "".join("?" if may else "." for may in told) == "..??????.???..."

    def test_speech_may_have_stopped_after_some_frames_without_voice(self) -> None:
        edges = SpeechEdges(start_ms=60, stop_ms=100)
        told = []
        for frame in "..####..##...#.....#..":
            edges.receive(frame == "#")
            told.append(edges.may_stop)
        assert "".join("?" if may else "." for may in told) == ".......?...??..???...."

    @pytest.mark.parametrize("frames", ["#....", "##........", "#......#......##......"])
    def test_clicks_are_no_speech(self, frames: str) -> None:
        assert edges_of(frames * 5, start_ms=60) == []

    def test_speech_is_sustained_once(self) -> None:
        found = edges_of("#" * 60, start_ms=60, sustain_ms=(300,))
        assert found == [(2, SpeechStarted(60)), (14, SpeechSustained(300))]

    def test_each_length_is_told_once(self) -> None:
        found = edges_of("#" * 60, start_ms=60, sustain_ms=(600, 160, 300))
        assert found == [
            (2, SpeechStarted(60)),
            (7, SpeechSustained(160)),
            (14, SpeechSustained(300)),
            (29, SpeechSustained(600)),
        ]

    def test_a_length_reached_in_a_pause_is_told_with_the_next_voiced_frame(self) -> None:
        frames = "#" * 6 + "." * 9 + "#" + "." * 20
        found = edges_of(frames, start_ms=60, sustain_ms=(160, 300, 600))
        assert found == [
            (2, SpeechStarted(60)),
            (15, SpeechSustained(300)),
            (25, SpeechStopped(200)),
        ]

    def test_only_a_voiced_frame_sustains(self) -> None:
        found = edges_of("#" * 10 + "." * 8 + "#", start_ms=60, sustain_ms=(300,), stop_ms=200)
        assert found == [(2, SpeechStarted(60)), (18, SpeechSustained(300))]

    def test_a_short_sound_and_its_hangover_are_not_sustained(self) -> None:
        found = edges_of("#" * 10 + "." * 30, start_ms=60, sustain_ms=(300,), stop_ms=200)
        assert found == [(2, SpeechStarted(60)), (19, SpeechStopped(200))]

    def test_speech_stops_after_quiet(self) -> None:
        found = edges_of("###" + "." * 9 + "#" + "." * 12, stop_ms=200, sustain_ms=(9000,))
        assert found == [(2, SpeechStarted(60)), (22, SpeechStopped(200))]

    def test_sustain_counts_anew_in_the_next_speech(self) -> None:
        found = edges_of(("#" * 20 + "." * 10) * 2, sustain_ms=(300,), stop_ms=200)
        kinds = [type(edge) for _, edge in found]
        assert kinds == [SpeechStarted, SpeechSustained, SpeechStopped] * 2

    def test_settings_below_a_frame_take_one_frame(self) -> None:
        found = edges_of("#.", start_ms=1, stop_ms=1, sustain_ms=(0,))
        assert found == [(0, SpeechStarted(20)), (1, SpeechStopped(20))]

    @given(
        st.lists(st.booleans(), max_size=400),
        st.integers(1, 400),
        st.integers(0, 800),
        st.integers(1, 600),
    )
    def test_edges_alternate_and_are_true(
        self, frames: list[bool], start_ms: int, sustain_ms: int, stop_ms: int
    ) -> None:
        edges = SpeechEdges(start_ms=start_ms, sustain_ms=(sustain_ms,), stop_ms=stop_ms)
        need = -(-start_ms // 20)
        speaking = sustained = False
        for place, voiced in enumerate(frames):
            edge = edges.receive(voiced)
            if isinstance(edge, SpeechStarted):
                assert not speaking
                assert voiced, "it starts with a voiced frame"
                first = place + 1 - edge.ago_ms // 20
                assert first >= 0
                assert frames[first]
                assert sum(frames[first : place + 1]) >= need
                speaking, sustained = True, False
            elif isinstance(edge, SpeechSustained):
                assert speaking
                assert voiced
                assert not sustained
                assert (place + 1 - first) * 20 >= sustain_ms
                sustained = True
            elif isinstance(edge, SpeechStopped):
                assert speaking
                last = place - edge.ago_ms // 20
                assert frames[last]
                assert not any(frames[last + 1 : place + 1])
                assert edge.ago_ms >= stop_ms
                speaking = False
            assert edges.speaking == speaking


def in_format(samples: np.ndarray, audio: AudioFormat) -> bytes:
    source = AudioFormat(Encoding.L16, audio.rate_hz)
    return convert_all(samples.astype("<i2").tobytes(), source, audio)


def judged(sound: bytes, audio: AudioFormat, mode: int = 2) -> list[bool]:
    vad = WebRtcVad(audio, mode)
    size = audio.frame_bytes
    whole = len(sound) - len(sound) % size
    return [vad.voiced(sound[place : place + size]) for place in range(0, whole, size)]


LINES = pytest.mark.parametrize("audio", [MULAW_8K, ALAW_8K, L16_8K, L16_16K])


class TestSound:
    @LINES
    def test_speech_and_silence_are_told_apart(self, audio: AudioFormat) -> None:
        quiet = np.zeros(audio.rate_hz, np.int16)
        speech = speech_like(audio.rate_hz, 2000, 0)
        frames = judged(in_format(np.concatenate([quiet, speech, quiet]), audio), audio)
        assert not any(frames[:50])
        assert sum(frames[50:150]) > 80
        assert not any(frames[-35:])

    @LINES
    def test_edges_lie_where_the_speech_lies(self, audio: AudioFormat) -> None:
        quiet = np.zeros(audio.rate_hz, np.int16)
        sound = np.concatenate([quiet, speech_like(audio.rate_hz, 1000, 1), quiet])
        edges = SpeechEdges()
        found = [edges.receive(voiced) for voiced in judged(in_format(sound, audio), audio)]
        times = [
            (type(edge), 20 * place + 20 - getattr(edge, "ago_ms", 0))
            for place, edge in enumerate(found)
            if edge is not None
        ]
        (started, start_ms), (sustained, _), (stopped, stop_ms) = times
        assert (started, sustained, stopped) == (SpeechStarted, SpeechSustained, SpeechStopped)
        assert 980 <= start_ms <= 1100
        assert 1900 <= stop_ms <= 2250

    @LINES
    def test_line_hiss_is_no_speech(self, audio: AudioFormat) -> None:
        hiss = np.random.default_rng(3).normal(0, 30, 3 * audio.rate_hz).astype(np.int16)
        edges = SpeechEdges()
        found = [edges.receive(voiced) for voiced in judged(in_format(hiss, audio), audio)]
        assert not any(isinstance(edge, SpeechSustained) for edge in found)

    def test_every_detector_takes_every_line(self) -> None:
        for make in DETECTORS.values():
            for audio in (MULAW_8K, ALAW_8K, L16_8K, L16_16K):
                assert make(audio, 3).voiced(audio.silence(20)) is False
