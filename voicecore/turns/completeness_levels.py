"""How whole an utterance is, judged from its words."""

from enum import StrEnum


class Completeness(StrEnum):
    COMPLETE = "complete"
    """Its end is known: the tenth digit of a telephone number, the ending of an e-mail address."""
    OPEN = "open"
    """Nothing speaks for or against it."""
    DOUBTFUL = "doubtful"
    """More follows more often than not."""
    HANGING = "hanging"
    """More follows nearly always."""
    DICTATING = "dictating"
    """In the middle of a number, an address, a name; a full stop behind a group says nothing."""
    SHORT = "short"
    """Less than was asked for: three digits of a telephone number."""
    INCOMPLETE = "incomplete"
    """More follows, whatever else there is."""
