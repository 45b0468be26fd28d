"""How loud this caller usually is. Pure.

People who talk to somebody else, and televisions, are farther from the telephone.
"""

FAST, SLOW = 0.5, 0.25
"""How much of a difference is learned from one turn that was louder, and from one that was
quieter."""
AWAY_DB = 14.0
"""Speech quieter than usual by so much is not a turn of the caller's, though nobody else speaks."""
UNLEARNED_DB = 3.0
"""How much the usual loudness falls with each turn that was not taken: a telephone that is handed
to somebody with a softer voice is not deaf for long."""


class UsualLoudness:
    """Learned from the caller's turns, as decibels of full scale at their loudest."""

    def __init__(self) -> None:
        self._usual_dbfs: float | None = None

    def spoke(self, loudest_dbfs: float) -> None:
        """A turn of the caller's was so loud."""
        usual = self._usual_dbfs
        if usual is None:
            self._usual_dbfs = loudest_dbfs
            return
        difference = loudest_dbfs - usual
        self._usual_dbfs = usual + (FAST if difference > 0 else SLOW) * difference

    def quieter_db(self, loudest_dbfs: float) -> float:
        """How much quieter a sound is than usual; 0 while nothing is known."""
        return 0.0 if self._usual_dbfs is None else self._usual_dbfs - loudest_dbfs

    def is_away(self, loudest_dbfs: float) -> bool:
        """Whether speech that nobody interrupts is still not the caller's turn."""
        if self.quieter_db(loudest_dbfs) < AWAY_DB:
            return False
        assert self._usual_dbfs is not None
        self._usual_dbfs -= UNLEARNED_DB
        return True
