"""With other settings, a replay shows what would have been otherwise."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded_calls import ModelOfPauses, agent_of, record_call
from tests.support.sim_call import SimCall
from voicecore.prepare import conduct_of
from voicecore.replay.difference import Difference, difference
from voicecore.replay.outcome import outcome_of
from voicecore.replay.recorded import read_call
from voicecore.replay.run import Replayed, replay_call
from voicecore.turns.endpointing import Endpointing, EndpointingPolicy

STT: dict[str, Any] = {
    "vendor": "scripted",
    "settings": {
        "utterances": [
            "I would like to book a table.",
            "For four people.",
            "And a window if you have one.",
        ]
    },
}
REVISES: dict[str, Any] = {**STT, "settings": {**STT["settings"], "revises": True}}
LLM: dict[str, Any] = {
    "vendor": "scripted",
    "settings": {"replies": ["Certainly, for how many of you?", "Four it is.", "We have one."]},
}


BASE: dict[str, Any] = {"stt": STT, "llm": LLM}


def endpointing(**settings: Any) -> dict[str, Any]:
    return {"turn_taking": {"filler_after_ms": 0, "endpointing": {"adapts": False, **settings}}}


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
    await call.wait_ms(40)
    call.speaks(1200)
    await call.wait_ms(6000)


def compared(out: Path, behave: Any, before: Any, after: Any) -> tuple[Difference, Replayed]:
    call = read_call(record_call(out, behave, **{**BASE, **before}))
    old = agent_of(**{**BASE, **{key: before[key] for key in before if key != "turn_end"}})
    replayed = replay_call(
        call,
        agent_of(**{**BASE, **after}),
        recorded=conduct_of(old, vendor_ends_turns=False, vendor_marks_ends=True),
    )
    return difference(outcome_of(call.facts), outcome_of(replayed.facts)), replayed


@pytest.mark.parametrize("stt", [STT, REVISES])
def test_more_patience_merges_turns(stt: dict[str, Any], tmp_path: Path) -> None:
    found, replayed = compared(
        tmp_path / "call",
        two_parts,
        endpointing(min_silence_ms=300, open_silence_ms=300) | {"stt": stt},
        endpointing(min_silence_ms=1000, open_silence_ms=1000) | {"stt": stt},
    )
    assert len(found.before.turns) == 2
    (pair,) = found.turns
    assert pair.change == "merged"
    assert pair.after[0].text == "I would like to book a table. For four people."
    # It overlaps the first turn the most; that answer was cut off, but it had been begun.
    assert [one.kind for one in replayed.assumptions] == ["answer"]
    assert pair.after[0].heard
    assert found.after.cut_off < found.before.cut_off or found.before.interrupted


@pytest.mark.parametrize("stt", [STT, REVISES])
def test_less_patience_splits_turns_and_divides_their_text(
    stt: dict[str, Any], tmp_path: Path
) -> None:
    found, _ = compared(
        tmp_path / "call",
        two_parts,
        endpointing(min_silence_ms=1200, open_silence_ms=1200) | {"stt": stt},
        endpointing(min_silence_ms=300, open_silence_ms=300) | {"stt": stt},
    )
    (pair,) = found.turns
    assert pair.change == "split"
    assert " ".join(turn.text for turn in pair.after) == pair.before[0].text


def test_words_that_are_divided_and_revised_come_once(tmp_path: Path) -> None:
    after = endpointing(min_silence_ms=1500, open_silence_ms=1500) | {"stt": REVISES}
    before = {**after, "turn_taking": {**after["turn_taking"], "vad": {"stop_ms": 500}}}

    async def four_parts(call: SimCall) -> None:
        await call.until_quiet()
        for pause_ms in (300, 700, 300, 7000):
            call.speaks(900)
            await call.wait_ms(900 + pause_ms)

    found, _ = compared(
        tmp_path / "call",
        four_parts,
        before,
        after,
    )
    assert len(found.before.turns) == 1
    assert [turn.text for turn in found.after.turns] == [turn.text for turn in found.before.turns]


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


async def one_turn(call: SimCall) -> None:
    await call.until_quiet()
    call.speaks(1100)
    await call.wait_ms(9000)


@pytest.mark.parametrize("drafts", [True, False])
def test_latency_follows_the_pause(drafts: bool, tmp_path: Path) -> None:
    def pause(ms: int) -> dict[str, Any]:
        taking = endpointing(min_silence_ms=ms, open_silence_ms=ms)["turn_taking"]
        return {"turn_taking": {**taking, "preemptive": {"enabled": drafts}}}

    # With drafts, the model is not ready any sooner than at 600 ms.
    found, replayed = compared(
        tmp_path / "call", one_turn, pause(1000), pause(700 if drafts else 600)
    )
    (pair,) = found.turns
    assert pair.change == "same"
    assert pair.latency_change_ms is not None
    assert abs(pair.latency_change_ms + (300 if drafts else 400)) <= 30
    assert replayed.assumptions == ()


WRITES = {"first_token_ms": 250, "token_interval_ms": 28}
SPEAKS = {"vendor": "scripted", "settings": {"first_audio_ms": 120}}
DRAFTS = {
    "none": {"enabled": False},
    "written": {"enabled": True},
    "spoken": {"enabled": True, "voice": True},
}


@pytest.mark.parametrize("after", DRAFTS)
@pytest.mark.parametrize("before", DRAFTS)
def test_what_drafts_gain_is_what_a_call_with_them_gains(
    before: str, after: str, tmp_path: Path
) -> None:
    def fields(drafts: str) -> dict[str, Any]:
        return {
            "llm": {"vendor": "scripted", "settings": {**LLM["settings"], **WRITES}},
            "tts": SPEAKS,
            "turn_taking": {
                "filler_after_ms": 0,
                "endpointing": {"min_silence_ms": 700},
                "preemptive": DRAFTS[drafts],
            },
        }

    found, replayed = compared(tmp_path / "call", one_turn, fields(before), fields(after))
    real = record_call(tmp_path / "real", one_turn, **{**BASE, **fields(after)})
    (expected,) = outcome_of(read_call(real).facts).latencies_ms
    (latency_ms,) = found.after.latencies_ms
    assert abs(latency_ms - expected) <= 40
    assert replayed.assumptions == ()
    assert found.turns[0].change == "same"
    assert all(op == "=" for op, _ in found.turns[0].heard)
    drafted = [event.type for event in replayed.events if event.type.startswith("draft_")]
    assert drafted == ([] if after == "none" else ["draft_started", "draft_used"])


def test_no_drafts_cost_latency(tmp_path: Path) -> None:
    fields = {"llm": {"vendor": "scripted", "settings": {**LLM["settings"], **WRITES}}}
    off = {"turn_taking": {"filler_after_ms": 0, "preemptive": {"enabled": False}}}
    found, _ = compared(tmp_path / "call", one_turn, fields, {**fields, **off})
    change_ms = found.turns[0].latency_change_ms
    # The text is there 160 ms after speech, the turn is decided 400 ms after it.
    assert change_ms is not None
    assert abs(change_ms - 240) <= 30
    assert found.differs


def test_a_draft_that_was_dropped_can_be_an_answer_now(tmp_path: Path) -> None:
    """What the model said for it is not known."""
    found, replayed = compared(
        tmp_path / "call",
        two_parts,
        {"turn_taking": {"filler_after_ms": 0, "endpointing": {"min_silence_ms": 1200}}},
        {"turn_taking": {"filler_after_ms": 0, "endpointing": {"min_silence_ms": 400}}},
    )
    (pair,) = found.turns
    assert pair.change == "split"
    assert {one.kind for one in replayed.assumptions} == {"answer"}
    used = [event for event in replayed.events if event.type == "draft_used"]
    assert len(used) == 2


def waits(filler_after_ms: int) -> dict[str, Any]:
    return {
        "llm": {"vendor": "scripted", "settings": {**LLM["settings"], "first_token_ms": 3200}},
        "turn_taking": {"filler_after_ms": filler_after_ms},
        "phrases": {"fillers": ["Let me see.", "Just a second."]},
    }


def fillers_of(replayed: Replayed) -> list[str]:
    return [event.data["text"] for event in replayed.events if event.type == "agent_filler"]


def test_fillers_come_when_the_agent_asks_for_them_now(tmp_path: Path) -> None:
    found, replayed = compared(tmp_path / "call", one_turn, waits(2000), waits(1000))
    assert fillers_of(replayed) == ["Let me see.", "Just a second."]
    assert found.turns[0].after[0].heard.startswith("Let me see. Just a second. Certainly")
    # The call had the first; the length of the second is a guess.
    assert [one.text for one in replayed.assumptions] == ["Just a second."]


def test_without_fillers_none_are_heard(tmp_path: Path) -> None:
    found, replayed = compared(tmp_path / "call", one_turn, waits(1000), waits(0))
    assert fillers_of(replayed) == []
    assert found.turns[0].heard == (
        ("-", "Let me see. Just a second."),
        ("=", "Certainly, for how many of you?"),
    )
    assert found.turns[0].latency_change_ms is not None
    assert found.turns[0].latency_change_ms <= 0  # the last filler's last word was waited for


def test_a_fixed_phrase_that_the_call_did_not_need_is_there_at_once(tmp_path: Path) -> None:
    silence = {"limits": {"silence": {"ask_after_ms": 3000, "max_asks": 1}}}
    found, replayed = compared(tmp_path / "call", one_turn, {}, silence)
    prompt = next(one for one in found.after.remarks if one.kind == "prompt")
    (said,) = [
        event
        for event in replayed.events
        if event.type == "agent_saying" and event.data["text"] == prompt.heard
    ]
    assert prompt.start_ms == said.at_ms
    assert {one.kind for one in replayed.assumptions} == {"voice"}


def sounds(**settings: Any) -> dict[str, Any]:
    return {
        "stt": {"vendor": "scripted", "settings": {"utterances": ["It is about my order"]}},
        "turn_taking": {
            "filler_after_ms": 0,
            "endpointing": settings,
            "preemptive": {"enabled": False},
        },
    }


def test_an_opinion_is_given_again_and_heeded_otherwise(tmp_path: Path) -> None:
    before = {**sounds(model="model.onnx"), "turn_end": ModelOfPauses((0.8, 60))}
    found, replayed = compared(
        tmp_path / "call", one_turn, before, sounds(model="model.onnx", model_finished_from=0.75)
    )
    (judged,) = [event for event in replayed.events if event.type == "turn_end_judged"]
    assert judged.data["probability"] == 0.8
    change_ms = found.turns[0].latency_change_ms
    assert change_ms is not None
    then_ms, now_ms = (
        Endpointing(policy).wait_ms("It is about my order", audio=0.8)
        for policy in (EndpointingPolicy(), EndpointingPolicy(finished_from=0.75))
    )
    assert now_ms < then_ms - 100
    assert abs(change_ms - (now_ms - then_ms)) <= 30
    assert replayed.notes == ()


def test_nobody_asks_for_opinions_without_a_model(tmp_path: Path) -> None:
    before = {**sounds(model="model.onnx"), "turn_end": ModelOfPauses((0.1, 60))}
    found, replayed = compared(tmp_path / "call", one_turn, before, sounds())
    assert not [event for event in replayed.events if event.type == "turn_end_judged"]
    assert abs((found.turns[0].latency_change_ms or 0) + 1400) <= 30


def test_a_model_that_the_call_did_not_have_is_of_no_opinion(tmp_path: Path) -> None:
    found, replayed = compared(tmp_path / "call", one_turn, sounds(), sounds(model="model.onnx"))
    assert not found.differs
    assert any("no opinions" in note for note in replayed.notes)


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
    fields = BASE
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

    fields = BASE
    call = read_call(record_call(tmp_path / "call", two_parts, **fields))
    other = {"vendor": "scripted", "settings": {"replies": ["Something else."]}}
    agent = agent_of(stt=STT, llm=other)
    replayed = replay_call(call, agent, sources=Sources("agent", "agent", "agent"))
    assert outcome_of(replayed.facts).turns[-1].heard == "Something else."
    assert replayed.assumptions == ()
