"""What the words over the agent, as far as they are known, lead one to expect. Part of the turn
machine.

They have not been judged yet, or not to the end: whether it is worth waiting for more.
"""

from voicecore.turns.backchannels import MOST_HOLLOW_WORDS, plain, without
from voicecore.turns.caller_turn import CallerTurn
from voicecore.turns.listening import Listener
from voicecore.turns.overlap import OverlapPolicy, Verdict

FEWEST_TELLING_WORDS = 2
"""So many guessed words that are not hollow speak for an interruption."""
FEWEST_UNSURE_WORDS = 2
"""So many that the speech-to-text is not sure of, one of them not hollow, are more than what it is
sure of."""
SHORTEST_WORD = 2
"""Letters; a single one is what an apostrophe parts from a word."""


class OverlapWords:
    """Reads the caller's turn."""

    def __init__(self, policy: OverlapPolicy, listener: Listener) -> None:
        self._policy = policy
        self._listener = listener
        self._idle = policy.never | policy.hollow
        self._murmurs = policy.continuers - policy.openers

    @property
    def suffice(self) -> bool:
        """Whether they are as many as may interrupt."""
        return len(self._listener.text.split()) >= self._policy.min_words

    def only_listen(self, now_ms: int) -> bool:
        """Whether all that is known of sounds that are over, be it a sure guess, asks the agent to
        go on. "Perfect, thank you" rather leads to something else."""
        listener = self._listener
        known = listener.text_is_final or listener.guess_from(self._policy.min_confidence)
        return bool(known) and not without(
            plain(listener.certain_text(now_ms)), self._policy.continuers
        )

    def may_open(self, now_ms: int) -> bool:
        """Whether sounds that are over were backchannels with which people also begin: "okay", a
        breath, "but how long ..."."""
        words = plain(self._listener.certain_text(now_ms))
        if not self._listener.text_is_final or without(words, self._policy.never):
            return False
        return bool(without(words, self._murmurs))

    def more_than_certain(self) -> bool:
        """Whether the guess at the sound that goes on says more than what is certain, though it is
        too unsure to be judged."""
        said = without(plain(self._listener.guess), self._policy.never)
        words = [word for word in said if len(word) >= SHORTEST_WORD]
        return len(words) >= FEWEST_UNSURE_WORDS and bool(without(tuple(words), self._idle))

    def probably_interrupt(self, now_ms: int, verdict: Verdict | None) -> bool:
        """Whether an interruption is likely once they are final."""
        if verdict is Verdict.BACKCHANNEL:
            return self.more_than_certain()
        said = plain(self._listener.certain_text(now_ms))
        tell = verdict is None and len(without(said, self._idle)) >= FEWEST_TELLING_WORDS
        return tell or verdict is Verdict.INTERRUPTION

    def are_murmur(self, turn: CallerTurn) -> bool:
        """Whether a turn was too short for speech, and is words that say nothing alone."""
        words = plain(turn.text)
        short = 0 < turn.sound_ms < self._policy.short_ms and len(words) <= MOST_HOLLOW_WORDS
        return short and not without(words, self._policy.hollow)
