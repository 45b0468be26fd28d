"""The callers' turns, their pauses, and both as audio."""

import numpy as np
import pytest

from voicecore.evaluate.pause_audio import RATE_HZ, join, measured, pitched, spoken_pieces
from voicecore.evaluate.pause_suite import draw_pauses, load_turns, read_lines, share_longer


def test_there_are_enough_turns_and_pauses_of_all_kinds() -> None:
    turns = load_turns(1)
    assert len(turns) >= 60
    assert sum(len(turn.pauses_ms) for turn in turns) >= 120
    kinds = {turn.kind for turn in turns}
    assert kinds >= {"number", "email", "spelling", "hesitation", "restart", "plain"}
    assert all(len(turn.pauses_ms) == len(turn.pieces) - 1 for turn in turns)


def test_the_same_seed_pauses_alike() -> None:
    assert load_turns(3) == load_turns(3)
    assert load_turns(3) != load_turns(4)


def test_a_part_has_all_kinds() -> None:
    assert len({turn.kind for turn in load_turns(1, limit=16)}) >= 5


@pytest.mark.parametrize("seed", range(5))
def test_pauses_are_as_long_as_real_ones(seed: int) -> None:
    drawn = draw_pauses(160, seed)
    assert min(drawn) >= 100
    assert max(drawn) <= 2500
    # eot-bench: 0.556, 0.217 and 0.10 of the pauses that count.
    assert share_longer(drawn, 300) == pytest.approx(0.556, abs=0.06)
    assert share_longer(drawn, 600) == pytest.approx(0.217, abs=0.04)
    assert share_longer(drawn, 1000) == pytest.approx(0.10, abs=0.03)


@pytest.mark.parametrize("line", ["no kind here", "kind:", "kind: one /  / two"])
def test_a_line_that_is_no_turn_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a turn"):
        read_lines(line)


def test_pieces_are_spoken_as_if_more_followed() -> None:
    assert spoken_pieces(("Sure.", "it's five,", "six?")) == ("Sure,", "it's five,", "six?")


def voice(duration_ms: int, pad_ms: int = 0) -> np.ndarray:
    tone = 8000 * np.sin(2 * np.pi * 700 * np.arange(RATE_HZ * duration_ms // 1000) / RATE_HZ)
    pad = np.zeros(RATE_HZ * pad_ms // 1000)
    return np.concatenate([pad, tone, pad])


def test_pauses_are_as_long_as_asked_whatever_silence_the_voice_leaves() -> None:
    audio = join([voice(500, pad_ms=180), voice(400, pad_ms=90), voice(300)], [350, 1200])
    assert [pause.duration_ms for pause in audio.pauses] == pytest.approx([350, 1200], abs=30)
    assert audio.end_ms - audio.begin_ms == pytest.approx(500 + 350 + 400 + 1200 + 300, abs=40)
    assert len(audio.pcm16) % 2 == 0


def test_a_voices_own_rests_are_found() -> None:
    samples = np.concatenate([voice(300), np.zeros(RATE_HZ * 150 // 1000), voice(300)])
    (rest,) = measured(samples).pauses
    assert rest.duration_ms == pytest.approx(150, abs=20)


def test_pitch_shortens_as_much_as_it_raises() -> None:
    high = pitched(voice(1000), 1.25, RATE_HZ)
    assert len(high) == pytest.approx(RATE_HZ * 0.8, rel=0.01)
    peak_hz = np.argmax(np.abs(np.fft.rfft(high))) * RATE_HZ / len(high)
    assert peak_hz == pytest.approx(700 * 1.25, rel=0.02)
