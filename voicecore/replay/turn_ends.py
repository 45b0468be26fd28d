"""A model of ends of turns that is of the opinions which the recorded call had."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable

from media.audio.format import AudioFormat
from voicecore.providers.turn_end import TurnEndOpinion
from voicecore.replay.facts import Facts, SpeechStopped, TurnEndJudged
from voicecore.replay.watch import Watch

SAME_PAUSE_MS = 60
"""Two ends of speech this close are the same."""
_NEAR = 8


class RecordedTurnEnd:
    """Implements ``EndOfTurnModel``: the opinion of a pause comes as long after its question as it
    did in the call. A pause that the call did not judge, or too late, gets no answer."""

    name = "turn_end/recorded"

    def __init__(self, facts: Facts, watch: Watch) -> None:
        self._watch = watch
        self._opinions: list[tuple[int, int, TurnEndOpinion]] = []
        asked: dict[int, int] = {}
        for fact in facts:
            what = fact.what
            if isinstance(what, SpeechStopped):
                asked[what.at_ms] = fact.at_ms
            elif isinstance(what, TurnEndJudged):
                after_ms = fact.at_ms - asked.get(what.at_ms, fact.at_ms - what.took_ms)
                opinion = TurnEndOpinion(what.probability, what.took_ms)
                self._opinions.append((what.at_ms, after_ms, opinion))
        self._opinions.sort(key=lambda entry: entry[0])

    @property
    def has_opinions(self) -> bool:
        return bool(self._opinions)

    async def start(self) -> None:
        """Nothing to load."""

    async def stop(self) -> None:
        """Nothing to release."""

    def judge(
        self, audio: bytes, line: AudioFormat, answer: Callable[[TurnEndOpinion], None]
    ) -> "RecordedQuestion":
        return RecordedQuestion(self, answer)

    def find(self) -> tuple[int, TurnEndOpinion] | None:
        """What is thought of the pause that has just begun, and how long that takes."""
        at_ms = self._watch.stopped_ms
        first = bisect_left(self._opinions, at_ms - SAME_PAUSE_MS, key=lambda entry: entry[0])
        near = [
            (abs(stopped_ms - at_ms), after_ms, opinion)
            for stopped_ms, after_ms, opinion in self._opinions[first : first + _NEAR]
            if stopped_ms <= at_ms + SAME_PAUSE_MS
        ]
        if not near:
            return None
        _, after_ms, opinion = min(near, key=lambda entry: entry[0])
        return after_ms, opinion


class RecordedQuestion:
    """Implements ``TurnEndQuestion``."""

    def __init__(self, model: RecordedTurnEnd, answer: Callable[[TurnEndOpinion], None]) -> None:
        self._model = model
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._asked_s = self._loop.time()
        # The session tells of the pause after it has asked.
        self._handle: asyncio.Handle = self._loop.call_soon(self._consider)

    def cancel(self) -> None:
        self._handle.cancel()

    def _consider(self) -> None:
        found = self._model.find()
        if found is not None:
            after_ms, opinion = found
            due_s = self._asked_s + max(after_ms, 0) / 1000
            self._handle = self._loop.call_at(due_s, self._answer, opinion)
