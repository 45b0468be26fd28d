"""The demonstration says that it went well only if it did."""

import asyncio
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from control.cli import main
from control.commands.demo import CALLS, FILES, _clear, _collect, watching
from control.demo.plan import (
    DemoError,
    Question,
    faults,
    judge,
    load_questions,
    word_error_rate,
    words_of,
)
from control.demo.show import Show, loading
from media.phone.line import Interval
from voicecore.call_files import EVENTS, RECORDING, TRANSCRIPT
from voicecore.phone.caller import Said
from voicecore.phone.record import CallRecord
from voicecore.phone.report import RunReport, run_report
from voicecore.turns.latency import STAGES

MS = 1000
QUESTIONS = (
    Question("What time do you open?", "nine"),
    Question("Where are you located?"),
    Question("How much is a cleaning?", "eighty"),
)
Events = list[tuple[str, dict[str, Any]]]


def turn(text: str, heard: str, ended: str = "finished") -> Events:
    agent = {"heard_text": heard, "ended": ended}
    return [("caller_turn", {"text": text}), ("agent_turn", agent)]


GOOD = [
    *turn("what time do you open", "We open at nine."),
    *turn("where are you located", "We are at", "interrupted"),
    *turn("how much is a cleaning", "It costs eighty dollars."),
]


def record(replies: int = 3) -> CallRecord:
    said = [
        Said(1, "say", "?", at * MS, at * MS, (at + 500) * MS, (at + 500) * MS)
        for at in range(1000, 9001, 4000)
    ]
    audible = [
        Interval((at + 1000) * MS, (at + 2000) * MS) for at in range(1000, 9001, 4000)[:replies]
    ]
    return CallRecord(
        0, "completed", "", "caller", duration_us=13_000 * MS, said=tuple(said),
        audible=tuple(audible),
    )  # fmt: skip


def report(*records: CallRecord) -> RunReport:
    return run_report("ws://x", "twilio", records, duration_us=1, send_late_us=[], cpu_us=1)


def wrong(
    events: Events = GOOD,
    questions: tuple[Question, ...] = QUESTIONS,
    records: tuple[CallRecord, ...] = (record(),),
) -> tuple[str, ...]:
    return faults(judge(questions, events), events, report(*records))


def test_a_good_call_has_no_faults() -> None:
    assert wrong() == ()


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        (
            [*turn("why are time doe hoping", "We open at nine."), *GOOD[2:]],
            "not answered as it should be: What time do you open?",
        ),
        (
            [*turn("what time do you open", "We like flowers."), *GOOD[2:]],
            "not answered as it should be: What time do you open?",
        ),
        (
            [GOOD[0], *GOOD[2:]],
            "not answered as it should be: What time do you open?",
        ),
        ([*GOOD[:2], *GOOD[4:]], "not answered as it should be: Where are you located?"),
        ([*GOOD[4:], *GOOD[:4]], "not answered as it should be: How much is a cleaning?"),
    ],
)
def test_a_question_misunderstood_or_not_answered_is_a_fault(events: Events, fault: str) -> None:
    assert any(found.startswith(fault) for found in wrong(events))


def test_no_events_are_faults_for_every_question() -> None:
    assert len(wrong([])) == len(QUESTIONS) + 1


def test_one_turn_does_not_answer_two_questions() -> None:
    twice = (QUESTIONS[0], QUESTIONS[0], *QUESTIONS[1:])
    assert len(wrong(questions=twice)) == 1


def test_an_agent_that_was_not_interrupted_is_a_fault() -> None:
    events = [*GOOD[:2], *turn("where are you located", "At 12 Market Street."), *GOOD[4:]]
    assert wrong(events) == ("the agent was not interrupted",)


def test_nothing_asked_is_a_fault() -> None:
    assert wrong(questions=()) == ("nothing was asked",)


def test_answers_that_the_caller_did_not_hear_are_a_fault() -> None:
    """The server's own word for what was heard is not enough."""
    assert wrong(records=(record(replies=1),)) == ("the caller heard 1 of 2 answers",)


def test_a_failed_call_is_a_fault() -> None:
    broken = msgspec.structs.replace(
        record(), outcome="server_ended", detail="gone", ended_by="network"
    )
    assert wrong(records=(broken,)) == (
        "the call failed: connection_broke: gone",
        "no call was completed",
    )


def test_no_call_is_a_fault() -> None:
    assert "no call was completed" in wrong(records=())


def test_the_questions_of_the_demonstration_are_usable() -> None:
    assert len(load_questions(FILES / "questions.yaml")) >= 3


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("[]", "no question has an answer"),
        ("- say: Where are you?", "no question has an answer"),
        ('- {say: "...", answer: x}', "says nothing"),
        ('- {say: Hello, answer: "("}', "unterminated"),
        ("- {answer: x}", "say"),
        ("", "array"),
        ("[", "flow"),
    ],
)
def test_questions_that_would_prove_nothing_are_refused(
    text: str, detail: str, tmp_path: Path
) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text(text)
    with pytest.raises(DemoError, match=detail):
        load_questions(path)


def test_a_demonstration_that_cannot_be_given_is_status_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (tmp_path / "questions.yaml").write_text("[]")
    argv = ["demo", "--files", str(tmp_path), "--out", str(out)]
    assert main(argv) == 1
    assert "cannot be given" in capsys.readouterr().out
    (tmp_path / "questions.yaml").write_text("- {say: Hello, answer: hello}")
    (tmp_path / "caller.yaml").write_text("steps: [sing: la]")
    assert main(argv) == 1
    assert "steps[0]" in capsys.readouterr().out


def test_the_files_are_where_the_log_says(tmp_path: Path) -> None:
    call = tmp_path / CALLS / "demo"
    call.mkdir(parents=True)
    for name in (RECORDING, TRANSCRIPT, EVENTS):
        (call / name).write_bytes(b"")
        (call / name).chmod(0o600)
    _collect(tmp_path)
    for name in (RECORDING, TRANSCRIPT, EVENTS):
        assert (call / name).exists()
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    _clear(tmp_path)
    assert not list(tmp_path.iterdir()), "and nothing of it is taken for the next one's"


async def test_a_watcher_that_fails_is_seen_at_once() -> None:
    async def failing() -> None:
        raise KeyError("text")

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(10), watching(failing()):
            await asyncio.Event().wait()
    assert isinstance(caught.value.exceptions[0], KeyError)


async def test_a_watcher_ends_with_what_it_watches() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.timeout(10), watching(endless()):
        await begun.wait()
        assert not ended.is_set()
    assert ended.is_set()


def shown(*events: tuple[str, dict[str, Any]]) -> list[str]:
    """The lines that a narrow console has of them, without their times."""
    out = io.StringIO()
    show = Show(Console(file=out, width=40))
    for type_, data in events:
        show.event(type_, 14_000, data)
    return [line.removeprefix("00:14.0").strip() for line in out.getvalue().splitlines()]


def interrupted(text: str, heard: str, cut: str = "") -> tuple[str, dict[str, Any]]:
    count = len(heard.split())
    words = [
        {"text": word, "heard": "cut" if word == cut else at < count}
        for at, word in enumerate(text.split())
    ]
    data = {"reply": 3, "ended": "interrupted", "text": text, "heard_text": heard, "words": words}
    return "agent_turn", data


def test_an_interruption_has_a_line_for_what_was_heard_and_one_for_the_rest() -> None:
    answer = "We are at 12 Market Street, next to the library."
    assert shown(interrupted(answer, "We are at 12 Market")) == [
        "interrupted; heard: We are at 12 Market",
        "not heard: Street, next to the library.",
    ]
    assert shown(interrupted(answer, "We are at 12 Market", cut="Street,")) == [
        "interrupted; heard: We are at 12 Market",
        "not heard: Street, next to the library.",
    ]
    assert shown(interrupted(answer, "We are at 12 Market", cut="Market")) == [
        "interrupted; heard: We are at 12 Market",
        "not heard: Street, next to the library.",
    ]
    assert shown(interrupted("Yes.", "")) == ["interrupted; heard: (nothing)", "not heard: Yes."]


def test_a_filler_that_was_cut_off_is_none_of_the_answer() -> None:
    filler = ("agent_filler", {"reply": 3, "text": "Just a second."})
    assert shown(filler, interrupted("Just We are at 12 Market", "Just We are")) == [
        "agent  Just a second. (filler)",
        "interrupted; heard: We are",
        "not heard: at 12 Market",
    ]
    other = ("agent_filler", {"reply": 2, "text": "Just a second."})
    assert shown(other, interrupted("Just call us.", "Just call"))[1:] == [
        "interrupted; heard: Just call",
        "not heard: us.",
    ]


def test_loading_is_told_line_by_line_off_a_terminal() -> None:
    out = io.StringIO()
    with loading(Console(file=out), "loading the voice") as progress:
        assert out.getvalue() == "loading the voice ...\n"
        progress("loading stt x/y[z]")
    assert out.getvalue() == "loading the voice ...\nloading stt x/y[z] ...\n"


def test_loading_is_one_line_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with loading(console, "loading the voice") as progress:
        progress("loading stt")
    assert "loading stt ...\n" not in out.getvalue()
    assert "loading" in out.getvalue()


@pytest.mark.parametrize("stages", [STAGES, tuple(stage for stage in STAGES if stage != "filler")])
def test_the_table_has_every_stage_that_a_turn_can_reach(stages: tuple[str, ...]) -> None:
    out = io.StringIO()
    turn = {"reply": 2, **{stage: 100 + place for place, stage in enumerate(stages)}}
    Show(Console(file=out, width=200)).latencies([turn])
    for place in range(1, len(stages)):
        assert str(100 + place) in out.getvalue()
    assert ("filler" in out.getvalue()) == ("filler" in stages)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Open 9 to 12.", "open nine to twelve"),
        ("$80, or 21", "eighty or twenty one"),
        ("suite 404", "suite 404"),
        ("It's 0", "it's zero"),
    ],
)
def test_numbers_count_as_they_are_said(written: str, said: str) -> None:
    assert words_of(written) == said.split()
    assert word_error_rate(written, said) == 0
