"""What takes the floor though it is short."""

import pytest

from voicecore.turns.backchannels import backchannels, floor_words, question_words
from voicecore.turns.overlap import OverlapPolicy, Verdict, judge_words

SHORT_MS = 400


def judged(text: str, *, over: bool = True, language: str = "en", min_words: int = 0) -> object:
    policy = OverlapPolicy(
        min_words=min_words,
        always=floor_words(language),
        never=backchannels(language),
        asks=question_words(language),
    )
    return judge_words(policy, text, (), sound_ms=SHORT_MS, over=over)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Which day?", "en"),
        ("Where exactly?", "en"),
        ("Which day, which day,", "en"),  # one "which day?", as a speech-to-text wrote it
        ("Which day? Which day? Which day", "en"),
        ("Welcher Tag?", "de"),
        ("¿Qué día?", "es"),
        ("That's wrong.", "en"),
        ("Listen.", "en"),
        ("Let me speak", "en"),
    ],
)
def test_interrupts(text: str, language: str) -> None:
    assert judged(text, language=language) is Verdict.INTERRUPTION


@pytest.mark.parametrize(
    "text",
    [
        "Which, which?",
        "What, what,",
        "Which day, which",
        "So that, so that,",
        "Which?",
        "Which day",
        "Good enough.",
        "That's not bad.",
        "Let me know.",
        "Really?",
    ],
)
def test_does_not(text: str) -> None:
    assert judged(text) is not Verdict.INTERRUPTION


def test_only_once_it_is_over() -> None:
    assert judged("Which day?", over=False) is None


def test_fewer_words_than_wanted_do_not() -> None:
    assert judged("Which day?", min_words=2) is Verdict.INTERRUPTION
    assert judged("Which day?", min_words=3) is None


def test_who_did_not_understand_is_no_listener() -> None:
    assert judged("Pardon?") is judged("Pardon.") is Verdict.INTERRUPTION
