"""What was understood of the caller's turn, and how sure of it the speech-to-text is. Part of the
turn machine."""

from typing import NamedTuple

from voicecore.providers.stt import SttFinal
from voicecore.providers.words import Word
from voicecore.turns.late_final import LATE_FINAL_MS, TakenInterim, without_repeats
from voicecore.turns.overlap import OverlapPolicy


class _Part(NamedTuple):
    """``guessed``: an interim that had to do as a final."""

    final: SttFinal
    guessed: bool = False


class TurnText:
    """The finals of a turn in order, and the last guess at what comes behind them."""

    def __init__(self, policy: OverlapPolicy) -> None:
        self._policy = policy
        self._parts: list[_Part] = []
        self._guess = ""
        self._guess_confidence = 1.0
        self._taken: TakenInterim | None = None

    @property
    def text(self) -> str:
        texts = [part.final.text for part in self._parts]
        return " ".join((*texts, self._guess) if self._guess else texts)

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for part in self._parts for word in part.final.words)

    @property
    def has_guess(self) -> bool:
        return bool(self._guess)

    def guessed_text(self, least_confidence: float) -> str:
        """The last guess at what is not final, unless it is less sure than that."""
        return self._guess if self._guess_confidence >= least_confidence else ""

    @property
    def empty(self) -> bool:
        """There is no final."""
        return not self._parts

    @property
    def wild(self) -> bool:
        """There are finals, and of none of them the speech-to-text is at all sure."""
        if self._guess or not self._parts:
            return False
        least = self._policy.wild_confidence
        return all(part.final.confidence < least for part in self._parts)

    def certain(self, sound_ms: int, *, guess: bool = True) -> str:
        """What of the text is certain enough for a turn that has sounded so long; with the guess
        or without."""
        least = self._policy.least_confidence(sound_ms)
        texts = [part.final.text for part in self._parts if part.final.confidence >= least]
        if guess and self._guess and self._guess_confidence >= least:
            texts.append(self._guess)
        return " ".join(texts)

    def guess(self, text: str, confidence: float) -> None:
        """The words so far, instead of the last guess; empty: there are none."""
        self._guess, self._guess_confidence = text, confidence

    def settle_guess(self) -> None:
        """The guess has to do as a final: the stream died."""
        final = SttFinal(self._guess, confidence=self._guess_confidence)
        self._parts.append(_Part(final, guessed=True))
        self._guess = ""

    def settle_late(self, now_ms: int) -> None:
        """The same: the final is late, and may come after all."""
        self._taken = TakenInterim(self._guess, now_ms)
        self.settle_guess()

    def new_of(self, now_ms: int, final: SttFinal) -> SttFinal:
        """A final less what the turn, or the one before, has of it already, from a guess."""
        taken, self._taken = self._taken, None
        if taken is None:
            return final
        undecided = bool(self._parts) and self._parts[-1].guessed
        if undecided and (final.revises or now_ms < taken.at_ms + LATE_FINAL_MS):
            self._parts.pop()  # better text for it
            return final
        return without_repeats(taken, now_ms, final)

    def add(self, final: SttFinal) -> None:
        """More text, or other text for the last."""
        if final.revises:
            # Guesses were made where a final was late, which this one holds.
            self._parts = [part for part in self._parts if not part.guessed][:-1]
        self._parts.append(_Part(final))

    def clear(self) -> None:
        """The turn is over. What is late may still come."""
        self._parts.clear()
        self._guess = ""
