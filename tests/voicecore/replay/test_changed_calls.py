"""With other settings, a replay shows what would have been otherwise."""

from pathlib import Path
from typing import Any

from tests.support.recorded_calls import agent_of, record_call
from tests.support.sim_call import SimCall
from voicecore.prepare import conduct_of
from voicecore.replay.difference import Difference, difference
from voicecore.replay.outcome import outcome_of
from voicecore.replay.recorded import read_call
from voicecore.replay.run import Replayed, replay_call

STT = {
    "vendor": "scripted",
    "settings": {
        "utterances": [
            "I would like to book a table.",
            "For four people.",
            "And a window if you have one.",
        ]
    },
}
LLM = {
    "vendor": "scripted",
    "settings": {"replies": ["Certainly, for how many of you?", "Four it is.", "We have one."]},
}


def endpointing(**settings: Any) -> dict[str, Any]:
    return {"turn_taking": {"endpointing": {"adapts": False, **settings}}}


async def two_parts(call: SimCall) -> None:
    """The pause between them is 700 ms."""
    await call.until_quiet()
    call.speaks(1100)
    await call.wait_ms(1100 + 700)
    call.speaks(900)
    await call.wait_ms(7000)


async def talks_over(call: SimCall) -> None:
    await call.until_quiet()
    call.speaks(1000)
    await call.until_audible(after_ms=call.now_ms + 1000, within_ms=5000)
    await call.wait_ms(200)
    call.speaks(1200)
    await call.wait_ms(6000)


def compared(out: Path, behave: Any, before: Any, after: Any) -> tuple[Difference, Replayed]:
    fields = {"stt": STT, "llm": LLM}
    call = read_call(record_call(out, behave, **{**fields, **before}))
    replayed = replay_call(
        call,
        agent_of(**{**fields, **after}),
        recorded=conduct_of(agent_of(**{**fields, **before}), vendor_ends_turns=False),
    )
    return difference(outcome_of(call.facts), outcome_of(replayed.facts)), replayed


def test_more_patience_merges_turns(tmp_path: Path) -> None:
    found, replayed = compared(
        tmp_path / "call",
        two_parts,
        endpointing(min_silence_ms=300, open_silence_ms=300),
        endpointing(min_silence_ms=1000, open_silence_ms=1000),
    )
    assert len(found.before.turns) == 2
    (pair,) = found.turns
    assert pair.change == "merged"
    assert pair.after[0].text == "I would like to book a table. For four people."
    # It overlaps the first turn the most; that answer was cut off, but it had been begun.
    assert [one.kind for one in replayed.assumptions] == ["answer"]
    assert pair.after[0].heard
    assert found.after.cut_off < found.before.cut_off or found.before.interrupted


def test_less_patience_splits_turns_and_divides_their_text(tmp_path: Path) -> None:
    found, _ = compared(
        tmp_path / "call",
        two_parts,
        endpointing(min_silence_ms=1200, open_silence_ms=1200),
        endpointing(min_silence_ms=300, open_silence_ms=300),
    )
    (pair,) = found.turns
    assert pair.change == "split"
    assert " ".join(turn.text for turn in pair.after) == pair.before[0].text


def test_an_end_of_speech_that_the_call_did_not_hear_divides_the_words(tmp_path: Path) -> None:
    slow = {"turn_taking": {"vad": {"stop_ms": 1000}, "endpointing": {"adapts": False}}}
    found, _ = compared(
        tmp_path / "call",
        two_parts,
        slow,
        endpointing(min_silence_ms=250, open_silence_ms=250),
    )
    assert [turn.text for turn in found.before.turns] == ["I would like to book a table."]
    texts = [turn.text for turn in found.after.turns]
    assert len(texts) == 2
    assert " ".join(texts) == "I would like to book a table."


def test_an_end_of_speech_that_is_not_heard_any_more_keeps_the_words(tmp_path: Path) -> None:
    slow = {"turn_taking": {"vad": {"stop_ms": 1000}, "endpointing": {"adapts": False}}}
    found, _ = compared(
        tmp_path / "call", two_parts, endpointing(min_silence_ms=300, open_silence_ms=300), slow
    )
    assert [pair.change for pair in found.turns] == ["merged"]
    assert found.after.turns[0].text == "I would like to book a table. For four people."


def test_latency_follows_the_pause(tmp_path: Path) -> None:
    async def one(call: SimCall) -> None:
        await call.until_quiet()
        call.speaks(1100)
        await call.wait_ms(5000)

    found, replayed = compared(
        tmp_path / "call",
        one,
        endpointing(min_silence_ms=800, open_silence_ms=800),
        endpointing(min_silence_ms=400, open_silence_ms=400),
    )
    (pair,) = found.turns
    assert pair.change == "same"
    assert pair.latency_change_ms is not None
    assert abs(pair.latency_change_ms + 400) <= 30
    assert replayed.assumptions == ()


def test_an_agent_that_is_not_interrupted_is_heard_to_its_end(tmp_path: Path) -> None:
    found, _ = compared(
        tmp_path / "call",
        talks_over,
        {},
        {"turn_taking": {"interruption": {"enabled": False}}},
    )
    assert found.before.interrupted == 1
    assert found.after.interrupted == 0
    assert found.differs
    first = found.turns[0]
    assert first.after[0].heard == "Certainly, for how many of you?"
    assert any(op == "+" for op, _ in first.heard)


def test_the_files_of_a_replay_are_those_of_a_call(tmp_path: Path) -> None:
    fields = {"stt": STT, "llm": LLM}
    call = read_call(record_call(tmp_path / "call", two_parts, **fields))
    replay_call(call, agent_of(**fields), out=tmp_path / "again")
    assert {path.name for path in (tmp_path / "again").iterdir()} == {
        "events.jsonl",
        "recording.wav",
        "transcript.json",
    }
    again = read_call(tmp_path / "again")
    assert again.started == call.started
    assert abs(again.recorded_ms - call.recorded_ms) <= 40


def test_scripted_vendors_of_the_agent_file_run_on_virtual_time(tmp_path: Path) -> None:
    from voicecore.replay.run import Sources

    fields = {"stt": STT, "llm": LLM}
    call = read_call(record_call(tmp_path / "call", two_parts, **fields))
    other = {"vendor": "scripted", "settings": {"replies": ["Something else."]}}
    agent = agent_of(stt=STT, llm=other)
    replayed = replay_call(call, agent, sources=Sources("agent", "agent", "agent"))
    assert outcome_of(replayed.facts).turns[-1].heard == "Something else."
    assert replayed.assumptions == ()
