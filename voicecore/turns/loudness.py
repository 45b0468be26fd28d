"""How loud this caller usually is. Pure.

People who talk to somebody else, and televisions, are farther from the telephone. But a telephone
is handed over, or laid on a table: who is quieter for long is the caller.
"""

FAST, SLOW = 0.5, 0.25
"""How much of a difference is learned from one turn that was louder, and from one that was
quieter."""
AWAY_MORE_DB = 5.0
"""Speech that much quieter still than what does not interrupt is not a turn of the caller's, though
nobody else speaks: but only once in a row."""
UNLEARNED_DB = 1.5
"""How much the usual loudness falls with each turn that was not taken."""
NO_LIMIT_DB = 60.0


class UsualLoudness:
    """Learned from the caller's turns, as decibels of full scale at their loudest."""

    def __init__(self) -> None:
        self._usual_dbfs: float | None = None
        self._away = False
        """The last turn was not taken."""

    def spoke(self, loudest_dbfs: float) -> None:
        """A turn of the caller's was so loud."""
        usual, self._away = self._usual_dbfs, False
        if usual is None:
            self._usual_dbfs = loudest_dbfs
            return
        difference = loudest_dbfs - usual
        self._usual_dbfs = usual + (FAST if difference > 0 else SLOW) * difference

    def ignored(self) -> None:
        """A turn was too quiet to be the caller's. The next may be a little quieter."""
        if self._usual_dbfs is not None:
            self._usual_dbfs -= UNLEARNED_DB

    def quieter_db(self, loudest_dbfs: float) -> float:
        """How much quieter a sound is than usual; 0 while nothing is known."""
        return 0.0 if self._usual_dbfs is None else self._usual_dbfs - loudest_dbfs

    def is_away(self, loudest_dbfs: float, quieter_db: float) -> bool:
        """Whether speech that nobody interrupts is still not the caller's turn. Whoever speaks so
        twice is believed."""
        limit_db = quieter_db + AWAY_MORE_DB
        if quieter_db >= NO_LIMIT_DB or self.quieter_db(loudest_dbfs) < limit_db:
            return False
        if self._away:
            self._usual_dbfs = loudest_dbfs
            return False
        self._away = True
        self.ignored()
        return True
