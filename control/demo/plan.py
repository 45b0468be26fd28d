"""What the demonstration's caller asks, and how to tell that it was understood and answered."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

UNDERSTOOD_WER = 0.34
"""Word error rate below which a sentence counts as understood."""


class Question(msgspec.Struct, frozen=True):
    """``answer`` is a pattern that the agent's words must match; empty when the caller
    interrupts before any answer."""

    say: str
    answer: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What became of a question."""

    question: Question
    understood: str
    answered: str
    ok: bool


def load_questions(path: Path) -> tuple[Question, ...]:
    return tuple(msgspec.convert(yaml.safe_load(path.read_text()), list[Question]))


def judge(
    questions: Iterable[Question], events: Iterable[tuple[str, Mapping[str, Any]]]
) -> tuple[Verdict, ...]:
    """Match the questions, in order, with what the agent understood and was heard to say."""
    turns: list[tuple[str, str]] = []
    for type_, data in events:
        if type_ == "caller_turn":
            turns.append((data["text"], ""))
        elif type_ == "agent_turn" and turns:
            text, heard = turns[-1]
            turns[-1] = (text, f"{heard} {data['heard_text']}".strip())
    verdicts = []
    for question in questions:
        rates = [word_error_rate(question.say, text) for text, _ in turns]
        best = min(range(len(turns)), key=rates.__getitem__, default=None)
        if best is None or rates[best] > UNDERSTOOD_WER:
            closest = turns[best][0] if best is not None else ""
            verdicts.append(Verdict(question, closest, "", False))
            continue
        text, heard = turns[best]
        matches = re.search(question.answer, heard, re.IGNORECASE | re.DOTALL) is not None
        verdicts.append(Verdict(question, text, heard, matches))
    return tuple(verdicts)


def word_error_rate(wanted: str, got: str) -> float:
    """Edit distance in words over the number of words wanted."""
    reference, hypothesis = _words(wanted), _words(got)
    row = list(range(len(hypothesis) + 1))
    for index, word in enumerate(reference, 1):
        previous, row[0] = row[0], index
        for column, other in enumerate(hypothesis, 1):
            substituted = previous + (word != other)
            previous = row[column]
            row[column] = min(substituted, row[column] + 1, row[column - 1] + 1)
    return row[-1] / max(1, len(reference))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())
