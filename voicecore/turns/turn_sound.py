"""The sounds of the caller's turn: how long they are, how loud, and whether they are the caller's.
Part of the turn machine."""

from voicecore.turns.loudness import UsualLoudness

SPEECH_FROM_MS = 300
"""Shorter sounds say nothing of how loud somebody speaks."""
ONSET_DB = 4.0
ONSET_MS = 500
"""The beginning of speech, so long, may be so much quieter than the loudest moment."""
SOFT_ONSET_DB = 2.0
SOFT_ONSET_MS = 750
"""Of a hesitant one ("excuse me, ...") so long, by a little."""
NEVER_DBFS = -100.0


class TurnSound:
    """Fed with what the VAD tells of the caller's speech, and with what became of turns. A sound
    that is quieter than the caller usually is by ``quieter_db`` comes from somebody else."""

    def __init__(self, quieter_db: float) -> None:
        self.sustained_ms = 0
        """How long the sound has lasted that goes on."""
        self.above_noise_db = 0.0
        """How much louder than the line's noise it is."""
        self.loudest_dbfs = NEVER_DBFS
        """The loudest moment of all of the turn's sounds, which a later one need not reach."""
        self._last_dbfs = NEVER_DBFS
        """The same of the last of them alone."""
        self._quieter_db = quieter_db
        self._usual = UsualLoudness()
        self._earlier_ms = 0
        """How long the turn's earlier sounds were."""
        self._long_dbfs: float | None = None
        """The loudest moment of those that were not short."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether the sound is too quiet to be the caller's."""
        if not self.sustained_ms:
            return False
        heard_ms = self._earlier_ms + self.sustained_ms
        margin_db = 0.0
        if heard_ms < SOFT_ONSET_MS:
            margin_db = ONSET_DB if heard_ms < ONSET_MS else SOFT_ONSET_DB
        return self._usual.quieter_db(self.loudest_dbfs) >= self._quieter_db + margin_db

    def is_fainter(self, above_noise_db: float) -> bool:
        """Whether the sound that goes on is known to be no louder above the line's noise."""
        return bool(self.sustained_ms) and self.above_noise_db < above_noise_db

    def is_not_the_callers(self, above_noise_db: float, *, murmured: bool) -> bool:
        """Whether a second sound that goes on is nobody's or somebody else's; ``murmured``: the
        first was a murmur, and this has no words."""
        last_db = self._usual.quieter_db(self._last_dbfs) if self.sustained_ms else 0.0
        return (
            self.is_fainter(above_noise_db)
            or self.turn_is_wholly_elsewhere
            or (murmured and last_db >= self._quieter_db)
        )

    @property
    def turn_is_elsewhere(self) -> bool:
        """Whether the turn as a whole is too quiet to be the caller's."""
        if self._long_dbfs is None:
            return self.is_elsewhere
        return self._usual.quieter_db(self._long_dbfs) >= self._quieter_db

    @property
    def turn_is_wholly_elsewhere(self) -> bool:
        """Not even a short sound of it was the caller's."""
        return self._usual.quieter_db(self.loudest_dbfs) >= self._quieter_db

    @property
    def is_away(self) -> bool:
        """Whether the turn that nobody interrupted was not the caller's after all."""
        loudest_dbfs = self._long_dbfs
        return loudest_dbfs is not None and self._usual.is_away(loudest_dbfs, self._quieter_db)

    def started(self) -> None:
        self._earlier_ms += self.sustained_ms
        self.sustained_ms = 0
        self.above_noise_db = 0.0
        self._last_dbfs = NEVER_DBFS

    def sustained(self, for_ms: int, above_noise_db: float, loudest_dbfs: float) -> None:
        self.sustained_ms = for_ms
        self.above_noise_db = max(above_noise_db, self.above_noise_db)
        self.loudest_dbfs = max(loudest_dbfs, self.loudest_dbfs)
        self._last_dbfs = max(loudest_dbfs, self._last_dbfs)
        if for_ms >= SPEECH_FROM_MS:
            self._long_dbfs = max(loudest_dbfs, self._long_dbfs or loudest_dbfs)

    def turn_taken(self) -> None:
        """The caller's turn was one, so loud as it was."""
        if self._long_dbfs is not None:
            self._usual.spoke(self._long_dbfs)

    def turn_ignored(self) -> None:
        """It was somebody else's."""
        self._usual.ignored()

    def turn_over(self) -> None:
        """The next sound is of another turn."""
        self._long_dbfs = None
        self._earlier_ms = self.sustained_ms = 0
        self.loudest_dbfs = NEVER_DBFS
