"""A model asked about the pauses of a call that was recorded."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from tests.support.paused_turns import spoken
from voicecore.evaluate.pause_opinions import with_opinions
from voicecore.evaluate.pause_record import TakenCall
from voicecore.evaluate.pause_replay import Opined, RecordedTurn, Stopped, prompt, replay
from voicecore.turns.endpointing import EndpointingPolicy
from voicecore.turns.settings import TurnSettings


class Loudness:
    """Takes what ends loudly for unfinished."""

    max_batch = None

    def __init__(self) -> None:
        self.heard_ms: list[int] = []

    def probabilities(self, turns: Sequence[bytes]) -> list[float]:
        self.heard_ms += [len(turn) // 32 for turn in turns]
        levels = [np.abs(np.frombuffer(turn, "<i2")[-1600:].astype(float)).mean() for turn in turns]
        return [0.01 if level > 1000 else 0.99 for level in levels]


def call(folder: Path, turn: RecordedTurn, loud_until_ms: int) -> TakenCall:
    samples = np.zeros((turn.end_ms + 5000) * 8, np.int16)
    samples[: loud_until_ms * 8] = 5000
    soundfile.write(folder / "recording.wav", np.stack([samples, samples], axis=1), 8000)
    return TakenCall(0, folder, folder / "phone.wav", (turn,), ())


def test_each_pause_gets_an_opinion_of_the_sound_before_it(tmp_path: Path) -> None:
    turn, judge = spoken(("I would", 700), ("like that", 0)), Loudness()
    stops = [event for event in turn.events if isinstance(event, Stopped)]
    (judged,) = with_opinions(call(tmp_path, turn, stops[0].at_ms), judge)
    opinions = [event for event in judged.events if isinstance(event, Opined)]
    assert [(one.edge_ms, one.probability) for one in opinions] == [
        (stops[0].edge_ms, 0.01),
        (stops[1].edge_ms, 0.99),
    ]
    assert judge.heard_ms[0] < judge.heard_ms[1] <= 8000
    at_once = [event for event in prompt(judged.events) if isinstance(event, Opined)]
    assert [one.at_ms for one in at_once] == [stop.at_ms for stop in stops]


def test_the_policy_follows_it(tmp_path: Path) -> None:
    turn = spoken(("I paid the bill", 700), ("on Monday", 0))
    stops = [event for event in turn.events if isinstance(event, Stopped)]
    (judged,) = with_opinions(call(tmp_path, turn, stops[0].at_ms), Loudness())
    settings = TurnSettings(endpointing=EndpointingPolicy(300, 500, 1500))
    ((without,), (with_model,)) = replay([turn], settings), replay([judged], settings)
    assert [hold.cut_off for hold in without.holds] == [True]
    assert [hold.cut_off for hold in with_model.holds] == [False]
    assert without.delay_ms is not None
    assert with_model.delay_ms is not None
    assert with_model.delay_ms < without.delay_ms
