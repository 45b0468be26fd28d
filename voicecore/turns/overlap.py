"""The caller makes a sound while the agent speaks: what is it? Pure.

The agent's audio is paused soon after the sound might be speech; this says, from what is known so
far, whether the caller takes the floor or the agent goes on.
"""

from difflib import SequenceMatcher
from enum import StrEnum
from functools import lru_cache

import msgspec

from voicecore.turns.backchannels import (
    MOST_HOLLOW_WORDS,
    Phrase,
    backchannels,
    continuers,
    floor_words,
    hollow_words,
    is_beginning,
    openers,
    plain,
    question_words,
    said_once,
    without,
)

ECHO_WORDS = 3
"""So many words in a row, the agent's own, are its echo. Fewer may be agreement or a question."""
TAIL_ECHO_WORDS = 2
"""So many are if the sound was over soon after the agent fell silent, as its echo is."""
ECHO_SHARE = 0.7
FEWEST_ASKED_WORDS = 2
"""Of a short question; "what?" alone is what a speech-to-text makes of a murmur."""
WILD_CONFIDENCE = 0.4
"""Speech is never guessed at with less all the time."""
LONG_MS = 2000
"""The words of a sound that is so long only have to be no wild guesses."""
LONGEST_WORDS = 60
"""Of a text, so many of its last words are judged."""


class Verdict(StrEnum):
    INTERRUPTION = "interruption"
    BACKCHANNEL = "backchannel"
    ECHO = "echo"
    NOISE = "noise"


class OverlapPolicy(msgspec.Struct, frozen=True):
    """How easily the agent gives way."""

    enabled: bool = True
    pause_ms: int = 200
    """Speech for which the agent's audio pauses."""
    overlap_ms: int = 0
    """How long after the onset of such speech it pauses at the earliest."""
    verdict_ms: int = 500
    """How long after ``pause_ms`` of speech a sound that goes on is judged first."""
    min_speech_ms: int = 600
    """Speech of this length interrupts though no word of it is known."""
    short_ms: int = 550
    """A shorter sound interrupts only by words of ``always`` and by a short question: of a murmur
    a speech-to-text makes any word."""
    min_words: int = 0
    """Words, backchannels aside, that interrupt. 0: one does, and speech without words too."""
    min_above_noise_db: float = 6.0
    """Quieter speech, measured from the line's noise, does not interrupt by its length."""
    always: frozenset[Phrase] = floor_words("en")
    never: frozenset[Phrase] = backchannels("en")
    continuers: frozenset[Phrase] = continuers("en")
    """Those of them that only ask the agent to go on."""
    openers: frozenset[Phrase] = openers("en")
    """Those of these with which people also begin."""
    asks: frozenset[Phrase] = question_words("en")
    """Words that a question begins with: with a question mark behind two words or more, or said
    twice, they interrupt, be they ever so short."""
    hollow: frozenset[Phrase] = hollow_words("en")
    """Words that are no evidence of speech while there are no others."""
    min_confidence: float = 0.6
    """Words of a short sound of which the speech-to-text is less sure do not interrupt: it writes
    some for a cough or a laugh too."""
    quieter_db: float = 11.0
    """Sound that is quieter than the caller usually speaks by so much is somebody else."""
    protected: tuple[Phrase, ...] = ()
    """Sentences of the agent that are said to their end."""
    keys_interrupt: bool = True

    def least_confidence(self, sound_ms: int) -> float:
        """How sure the speech-to-text must be of the words of a sound: somebody who speaks for
        long is to be heard on a bad line too."""
        return self.min_confidence if sound_ms < LONG_MS else self.wild_confidence

    @property
    def wild_confidence(self) -> float:
        """Words of which the speech-to-text is less sure are taken for none."""
        return min(self.min_confidence, WILD_CONFIDENCE)


def judge_words(
    policy: OverlapPolicy,
    text: str,
    agent_words: Phrase,
    *,
    sound_ms: int,
    over: bool,
    tails: bool = False,
) -> Verdict | None:
    """What the caller's words so far amount to; None while they leave it open.

    :param agent_words: what the agent said meanwhile and shortly before.
    :param sound_ms: how long the sound was of which they are the text, as far as it has come.
    :param over: whether it is over.
    :param tails: whether it was soon after the agent fell silent."""
    words = plain(text)[-LONGEST_WORDS:]
    if not words:
        return None
    if is_echo(words, agent_words, ECHO_WORDS):
        return Verdict.ECHO
    rest = without(words, _longer(policy.never))  # "no problem" is no "no"
    if len(without(rest, policy.always)) < len(rest):
        return Verdict.INTERRUPTION
    said = without(words, policy.never)
    if not said or ((over or len(said) > 1) and is_beginning(said, policy.never)):
        return Verdict.BACKCHANNEL
    asked = text.rstrip().endswith("?") or is_repeated(words)
    asks = over and asked and words[:1] in policy.asks
    if asks and len(set(words)) >= FEWEST_ASKED_WORDS and len(said) >= policy.min_words:
        return Verdict.INTERRUPTION
    if tails and not asked and is_echo(words, agent_words, TAIL_ECHO_WORDS):
        return Verdict.ECHO
    if sound_ms < policy.short_ms:
        return None
    if len(said) <= MOST_HOLLOW_WORDS and not without(said, policy.hollow):
        return None
    return Verdict.INTERRUPTION if len(said) >= policy.min_words else None


@lru_cache(64)
def _longer(phrases: frozenset[Phrase]) -> frozenset[Phrase]:
    """Those of several words."""
    return frozenset(phrase for phrase in phrases if len(phrase) > 1)


def is_repeated(words: Phrase) -> bool:
    """Whether it is one phrase said twice or more. Some speech-to-texts write a short one so, and
    then put commas behind it."""
    return len(said_once(words)) < len(words)


def may_be_speech(policy: OverlapPolicy, *, sound_ms: int, above_noise_db: float) -> bool:
    """Whether a sound that goes on, and of which no word is known, is given the floor."""
    long = sound_ms >= policy.min_speech_ms
    return long and above_noise_db >= policy.min_above_noise_db and not policy.min_words


def is_echo(words: Phrase, agent_words: Phrase, fewest: int) -> bool:
    """Whether the line hears the agent itself: most of the words, and not fewer than so many, are
    the agent's, in its order."""
    if len(words) < fewest:
        return False
    matcher = SequenceMatcher(None, words, agent_words[-LONGEST_WORDS:], autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) >= ECHO_SHARE * len(words)
