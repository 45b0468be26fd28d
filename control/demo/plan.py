"""What the demonstration's caller asks, and how to tell that it was understood and answered."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from voicecore.phone.report import RunReport

UNDERSTOOD_WER = 0.34
"""Word error rate below which a sentence counts as understood."""

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


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


class DemoError(Exception):
    """The demonstration cannot be given, or would show nothing."""


def load_questions(path: Path) -> tuple[Question, ...]:
    """:raises DemoError: they are no questions, or nothing would have to be answered."""
    try:
        questions = msgspec.convert(yaml.safe_load(path.read_text()), tuple[Question, ...])
        for question in questions:
            re.compile(question.answer)
    except (OSError, ValueError, yaml.YAMLError, re.error) as error:
        raise DemoError(f"{path}: {error}") from error
    if any(not words_of(question.say) for question in questions):
        raise DemoError(f"{path}: a question says nothing")
    if not any(question.answer for question in questions):
        raise DemoError(f"{path}: no question has an answer to wait for")
    return questions


def faults(
    verdicts: Iterable[Verdict], events: Iterable[tuple[str, Mapping[str, Any]]], report: RunReport
) -> tuple[str, ...]:
    """Everything that keeps the demonstration from having gone well: nothing if the call ran to
    its end, every question was understood and its answer said and audible, and one answer was
    interrupted."""
    found = [
        f"the call failed: {call.error_code}: {call.detail}"
        for call in report.call_reports
        if call.error_code is not None
    ]
    verdicts = tuple(verdicts)
    if not report.completed:
        found.append("no call was completed")
    if not verdicts:
        found.append("nothing was asked")
    found += [
        f"not answered as it should be: {verdict.question.say} "
        f"(understood: {verdict.understood or 'nothing'}; heard: {verdict.answered or 'nothing'})"
        for verdict in verdicts
        if not verdict.ok
    ]
    heard = report.reply_latency_ms.n
    wanted = sum(bool(verdict.question.answer) for verdict in verdicts)
    if heard < wanted:
        found.append(f"the caller heard {heard} of {wanted} answers")
    if not any(
        type_ == "agent_turn" and data.get("ended") == "interrupted" for type_, data in events
    ):
        found.append("the agent was not interrupted")
    return tuple(found)


def judge(
    questions: Iterable[Question], events: Iterable[tuple[str, Mapping[str, Any]]]
) -> tuple[Verdict, ...]:
    """Match the questions with what the agent understood and was heard to say: each with a turn
    of its own, behind those of the questions before it."""
    turns: list[tuple[str, str]] = []
    for type_, data in events:
        if type_ == "caller_turn":
            turns.append((data["text"], ""))
        elif type_ == "agent_turn" and turns:
            text, heard = turns[-1]
            turns[-1] = (text, f"{heard} {data['heard_text']}".strip())
    verdicts = []
    begin = 0
    for question in questions:
        rates = {at: word_error_rate(question.say, turns[at][0]) for at in range(begin, len(turns))}
        best = min(rates, key=rates.__getitem__, default=None)
        if best is None or rates[best] > UNDERSTOOD_WER:
            closest = turns[best][0] if best is not None else ""
            verdicts.append(Verdict(question, closest, "", False))
            continue
        begin = best + 1
        text, heard = turns[best]
        matches = re.search(question.answer, heard, re.IGNORECASE | re.DOTALL) is not None
        verdicts.append(Verdict(question, text, heard, matches))
    return tuple(verdicts)


def word_error_rate(wanted: str, got: str) -> float:
    """Edit distance in words over the number of words wanted."""
    reference, hypothesis = words_of(wanted), words_of(got)
    row = list(range(len(hypothesis) + 1))
    for index, word in enumerate(reference, 1):
        previous, row[0] = row[0], index
        for column, other in enumerate(hypothesis, 1):
            substituted = previous + (word != other)
            previous = row[column]
            row[column] = min(substituted, row[column] + 1, row[column - 1] + 1)
    return row[-1] / max(1, len(reference))


def words_of(text: str) -> list[str]:
    """The words as they are said: in lower case, and "12" as "twelve"."""
    return [said for word in re.findall(r"[a-z0-9']+", text.lower()) for said in _said(word)]


def _said(word: str) -> list[str]:
    """Numbers up to 99, as hours and prices are; speech-to-text writes them either way."""
    if not re.fullmatch(r"\d{1,2}", word):
        return [word]
    tens, ones = divmod(int(word), 10)
    if int(word) < len(ONES):
        return [ONES[int(word)]]
    return [TENS[tens - 2], *([ONES[ones]] if ones else [])]
