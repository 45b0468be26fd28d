"""A model that hears ends of turns, of whatever opinion, be it late or never."""

from collections.abc import Callable
from typing import Any

from media.audio.format import AudioFormat
from tests.sim.loop import SimLoop
from voicecore.providers.turn_end import TurnEndOpinion
from voicecore.turns.turn_audio import WINDOW_MS


class Question:
    """Implements ``TurnEndQuestion``."""

    def __init__(self) -> None:
        self.timer: Any = None

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


class Opinions:
    """Implements ``EndOfTurnModel``: has the opinions of ``plan`` in turn, each a probability
    and after how long it comes; None: it does not."""

    name = "simulated"

    def __init__(self, loop: SimLoop, plan: tuple[tuple[float, int | None], ...]) -> None:
        self._loop = loop
        self._plan = plan
        self._asked = 0

    async def start(self) -> None:
        """Nothing to load."""

    async def stop(self) -> None:
        """Nothing to release."""

    def judge(
        self, audio: bytes, line: AudioFormat, answer: Callable[[TurnEndOpinion], None]
    ) -> Question:
        assert 0 < line.duration_ms(len(audio)) <= WINDOW_MS
        probability, after_ms = self._plan[self._asked % len(self._plan)]
        self._asked += 1
        question = Question()
        if after_ms is not None:
            opinion = TurnEndOpinion(probability, after_ms)
            question.timer = self._loop.call_later(after_ms / 1000, answer, opinion)
        return question
