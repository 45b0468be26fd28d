"""With unchanged settings and recorded vendors, a replay is the call."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.support.recorded_calls import Behave, ModelOfPauses, agent_of, record_call, story
from tests.support.sim_call import SimCall
from voicecore.agents.model import Agent
from voicecore.journal import Event
from voicecore.replay.facts import DraftDropped, TtsUsage, TurnEndJudged
from voicecore.replay.outcome import Outcome, outcome_of
from voicecore.replay.recorded import RecordedCall, read_call
from voicecore.replay.run import Replayed, replay_call

SAME_MS = 30
SOUND_MS = 15
LONG = "Well, we are open from nine to five. On Saturdays we open at ten, and on Sundays never."


async def one_question(call: SimCall) -> None:
    await call.until_quiet()
    call.speaks(1200)
    await call.wait_ms(5000)
    await call.until_quiet()


async def three_questions(call: SimCall) -> None:
    await call.until_quiet()
    for duration_ms in (700, 1500, 900):
        call.speaks(duration_ms)
        await call.wait_ms(duration_ms + 2500)
        await call.until_quiet()


async def an_interruption(call: SimCall) -> None:
    await call.until_quiet()
    call.speaks(1000)
    await call.until_audible(after_ms=call.now_ms + 1000, within_ms=5000)
    await call.wait_ms(700)
    call.speaks(1500)
    await call.until_quiet()
    await call.wait_ms(3000)


async def a_short_sound(call: SimCall) -> None:
    await call.until_quiet()
    call.speaks(1000)
    await call.until_audible(after_ms=call.now_ms + 1000, within_ms=5000)
    await call.wait_ms(400)
    call.speaks(260)
    await call.wait_ms(6000)


async def a_caller_who_goes_on(call: SimCall) -> None:
    await call.until_quiet()
    call.speaks(900)
    await call.wait_ms(900 + 430)
    call.speaks(900)
    await call.wait_ms(6000)


async def keys(call: SimCall) -> None:
    await call.until_quiet()
    call.presses("123#")
    await call.wait_ms(4000)


async def silence(call: SimCall) -> None:
    await call.until_over()


BACKCHANNEL = {"vendor": "scripted", "settings": {"utterances": ["When are you open?", "Mm-hm."]}}
QUESTIONS = {
    "vendor": "scripted",
    "settings": {"utterances": ["Are you open?", "On Sundays too?", "And who are you?"]},
}
ANSWERS = {"vendor": "scripted", "settings": {"replies": [LONG, "Never on Sundays.", "A *bot*"]}}
TOOL = {
    "type": "http",
    "name": "look_up",
    "description": "Looks it up.",
    "method": "POST",
    "url": "https://example.com/look",
    "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
}
TOOL_LLM = {
    "vendor": "scripted",
    "settings": {
        "rules": [
            {
                "match": "open",
                "reply": "Let me see.",
                "tool": {"name": "look_up", "arguments": {"what": "hours"}},
                "after": "I have found it: {result}. Is there more?",
            }
        ]
    },
}
COLLECT_LLM = {
    "vendor": "scripted",
    "settings": {
        "rules": [
            {
                "match": "hours",
                "tool": {"name": "collect_digits", "arguments": {"count": 3}},
                "after": "Thank you, I have them.",
            }
        ]
    },
}


def slow_model(first_token_ms: int, **settings: Any) -> dict[str, Any]:
    return {
        "vendor": "scripted",
        "settings": {**ANSWERS["settings"], "first_token_ms": first_token_ms, **settings},
    }


async def long_waits(call: SimCall) -> None:
    await call.until_quiet()
    for duration_ms in (900, 1300):
        call.speaks(duration_ms)
        await call.wait_ms(duration_ms + 7000)
        await call.until_quiet(quiet_ms=3000)


async def an_interrupted_filler(call: SimCall) -> None:
    await call.until_quiet()
    call.speaks(900)
    await call.wait_ms(900 + 2100)
    call.speaks(1500)
    await call.wait_ms(12_000)


async def a_pause_within(call: SimCall) -> None:
    await call.until_quiet()
    call.speaks(1100)
    await call.wait_ms(1100 + 500)
    call.speaks(900)
    await call.wait_ms(6000)


async def at_length(call: SimCall) -> None:
    await call.until_quiet()
    for _ in range(4):
        call.speaks(1500)
        await call.wait_ms(1500 + 700)
    await call.wait_ms(6000)


async def many_questions(call: SimCall) -> None:
    await call.until_quiet()
    for _ in range(7):
        call.speaks(700)
        await call.wait_ms(700 + 1500)
        await call.until_quiet(quiet_ms=3000)


def fillers(after_ms: int, *texts: str) -> dict[str, Any]:
    return {
        "turn_taking": {"filler_after_ms": after_ms},
        "phrases": {"fillers": list(texts)},
    }


async def keys_that_are_asked_for(call: SimCall) -> None:
    await call.until_quiet()
    call.speaks(1000)
    await call.wait_ms(3000)
    call.presses("4")
    await call.wait_ms(300)
    call.presses("56")
    await call.wait_ms(5000)


CALLS: dict[str, tuple[Behave, dict[str, Any]]] = {
    "a question": (one_question, {}),
    "questions": (three_questions, {"stt": QUESTIONS, "llm": ANSWERS}),
    "an interruption": (an_interruption, {"stt": QUESTIONS, "llm": ANSWERS}),
    "doubted words": (
        an_interruption,
        {
            "stt": {
                "vendor": "scripted",
                "settings": {**QUESTIONS["settings"], "unsure_every": 2},
            },
            "llm": ANSWERS,
        },
    ),
    "a backchannel": (a_short_sound, {"stt": BACKCHANNEL, "llm": ANSWERS}),
    "a noise": (
        a_short_sound,
        {
            "stt": {"vendor": "scripted", "settings": {"utterances": ["When are you open?", ""]}},
            "llm": ANSWERS,
        },
    ),
    "a slow caller": (a_caller_who_goes_on, {"stt": QUESTIONS, "llm": slow_model(600)}),
    "a filler": (
        long_waits,
        {
            "stt": QUESTIONS,
            "llm": slow_model(2900),
            **fillers(1000, "Let me see.", "Just a second."),
        },
    ),
    "a filler that gives way": (
        long_waits,
        {
            "stt": QUESTIONS,
            "llm": slow_model(1530),
            **fillers(1000, "Let me have a look at that for you now.", "Just one second, please."),
        },
    ),
    "an interrupted filler": (
        an_interrupted_filler,
        {
            "stt": QUESTIONS,
            "llm": slow_model(3000),
            **fillers(2000, "Let me have a look at all of that for you now, will you?"),
        },
    ),
    "a filler after words": (
        long_waits,
        {
            "stt": QUESTIONS,
            "llm": TOOL_LLM,
            "tools": [TOOL],
            "tool_s": 2.5,
            "tts": {"vendor": "scripted", "settings": {"chunk_ms": 1000}},
            **fillers(900, "Just a second.", "It takes a little."),
        },
    ),
    "a pause within": (
        a_pause_within,
        {
            "stt": {
                "vendor": "scripted",
                "settings": {"utterances": ["I have a question.", "Are you open on Sundays?"]},
            },
            "llm": ANSWERS,
            "turn_taking": {"endpointing": {"min_silence_ms": 900}},
        },
    ),
    "at length": (
        at_length,
        {
            "stt": {
                "vendor": "scripted",
                "settings": {"utterances": ["I would like to,", "and then, um,", "so I,", "Go."]},
            },
            "llm": ANSWERS,
            "turn_taking": {"backchannel_after_ms": 3000},
            "phrases": {"backchannels": ["Mm-hm.", "I see."]},
        },
    ),
    "frequent answers": (
        many_questions,
        {
            "llm": {
                "vendor": "scripted",
                "settings": {"replies": ["Yes. We are.", "Yes. On Mondays too."]},
            }
        },
    ),
    "sounds": (
        three_questions,
        {
            "stt": QUESTIONS,
            "llm": ANSWERS,
            "turn_end": ModelOfPauses((0.95, 40), (0.1, 90), None),
            "turn_taking": {"endpointing": {"model": "model.onnx"}},
        },
    ),
    "keys": (keys, {}),
    "a tool": (one_question, {"stt": QUESTIONS, "llm": TOOL_LLM, "tools": [TOOL]}),
    "keys for a tool": (
        keys_that_are_asked_for,
        {"llm": COLLECT_LLM, "tools": ["collect_digits"]},
    ),
    "silence": (silence, {"limits": {"silence": {"ask_after_ms": 3000, "max_asks": 1}}}),
    "a farewell": (
        one_question,
        {
            "llm": {
                "vendor": "scripted",
                "settings": {
                    "rules": [
                        {
                            "match": "hours",
                            "reply": "Nine to five.",
                            "tool": {"name": "end_call", "arguments": {"farewell": "Bye then."}},
                        }
                    ]
                },
            },
            "tools": ["end_call"],
        },
    ),
    **{
        f"a model that {name}": (
            three_questions,
            {
                "stt": QUESTIONS,
                "llm": {
                    "vendor": "scripted",
                    "settings": {**ANSWERS["settings"], "faults": {"every": 3, **faults}},
                },
                "limits": {"llm_first_token_timeout_ms": 1500},
            },
        )
        for name, faults in {
            "fails": {"fail_at": "first_output", "code": "rate_limited"},
            "fails in the middle": {"fail_at": "mid", "mid_after": 2},
            "never answers": {"never_answers": True},
            "is refused": {"fail_at": "open", "code": "auth_failed"},
        }.items()
    },
    "a deaf moment": (
        three_questions,
        {
            "stt": {
                "vendor": "scripted",
                "settings": {
                    **QUESTIONS["settings"],
                    "faults": {"fail_after_ms": 3000, "first": 1},
                },
            },
            "llm": ANSWERS,
        },
    ),
}


def both(call: RecordedCall, replayed: Replayed) -> tuple[Outcome, Outcome]:
    return outcome_of(call.facts), outcome_of(replayed.facts)


DRAFTS: dict[str, dict[str, bool]] = {
    "drafts": {"enabled": True},
    "no drafts": {"enabled": False},
    "drafts that are spoken": {"enabled": True, "voice": True},
}


EXTRA = ("turn_end", "tool_s")
"""What is no field of the agent file."""


def drafting(fields: dict[str, Any], preemptive: dict[str, bool]) -> dict[str, Any]:
    taking = {"filler_after_ms": 0, **fields.get("turn_taking", {}), "preemptive": preemptive}
    return {**fields, "turn_taking": taking}


def recorded(out: Path, name: str, drafts: str = "drafts") -> tuple[RecordedCall, Agent]:
    behave, fields = CALLS[name]
    fields = drafting(fields, DRAFTS[drafts])
    call = read_call(record_call(out, behave, **fields))
    return call, agent_of(**{key: value for key, value in fields.items() if key not in EXTRA})


def drafts_of(events: Iterable[Event]) -> list[Any]:
    """What became of each answer that was begun before its turn was decided."""
    kept = {"draft_started": ("reply", "text"), "draft_used": ("reply",)}
    kept["draft_dropped"] = ("reply", "reason")
    return [
        (one.type, *(one.data[field] for field in kept[one.type]))
        for one in events
        if one.type in kept
    ]


def cached_of(events: Iterable[Event]) -> list[Any]:
    """What was said from the cache."""
    found = [one.data for one in of(events, "tts_usage")]
    return [(one["reply"], one["cached_characters"]) for one in found if one["cached_characters"]]


def of(events: Iterable[Event], *types: str) -> list[Event]:
    return [one for one in events if one.type in types]


@pytest.mark.parametrize("drafts", DRAFTS)
@pytest.mark.parametrize("name", CALLS)
def test_a_replay_is_the_call(name: str, drafts: str, tmp_path: Path) -> None:
    call, agent = recorded(tmp_path / "call", name, drafts)
    replayed = replay_call(call, agent)
    assert drafts_of(replayed.events) == drafts_of(call.events)
    for type_ in ("agent_filler", "turn_end_judged"):
        was, now = of(call.events, type_), of(replayed.events, type_)
        assert [one.data for one in now] == [one.data for one in was]
        assert all(abs(a.at_ms - b.at_ms) <= SAME_MS for a, b in zip(was, now, strict=True))
    assert cached_of(replayed.events) == cached_of(call.events)
    before, after = both(call, replayed)
    assert story(after) == story(before)
    assert replayed.assumptions == ()
    assert replayed.notes == ()
    for old, new in zip(before.turns, after.turns, strict=True):
        assert (old.latency_ms is None) == (new.latency_ms is None)
        assert abs((old.latency_ms or 0) - (new.latency_ms or 0)) <= SAME_MS


def test_the_calls_are_what_they_are_called(tmp_path: Path) -> None:
    """Or the test above would compare nothing."""
    found: dict[str, Outcome] = {}
    calls: dict[str, RecordedCall] = {}
    for number, name in enumerate(CALLS):
        calls[name], _ = recorded(tmp_path / str(number), name)
        found[name] = outcome_of(calls[name].facts)
    assert len(found["questions"].turns) == 3
    assert found["an interruption"].interrupted == 1
    assert found["a backchannel"].verdicts.get("backchannel") == 1
    assert found["a noise"].verdicts.get("noise") == 1
    assert found["a slow caller"].cut_off == 1
    assert "Let me see. Just a second. Well, we" in found["a filler"].turns[0].heard
    cut = found["a filler that gives way"].turns[0].heard
    assert cut.startswith("Let me have a")
    assert "you now. Well" not in cut
    assert LONG in cut
    assert "will you?" not in found["an interrupted filler"].turns[0].heard
    assert found["an interrupted filler"].turns[0].ended == "interrupted"
    assert (
        "see. Just a second. It takes a little. I have"
        in found["a filler after words"].turns[0].heard
    )
    dropped = [what.reason for _, what in calls["a pause within"].facts.of(DraftDropped)]
    assert dropped == ["text_changed"]
    assert [one.heard for one in found["at length"].remarks[1:]] == ["Mm-hm."]
    usages = [what for _, what in calls["frequent answers"].facts.of(TtsUsage)]
    assert usages[1].cached_characters == 0
    assert usages[-2].cached_characters == 4
    opinions = [what.probability for _, what in calls["sounds"].facts.of(TurnEndJudged)]
    assert opinions == [0.95, 0.1]
    assert found["keys"].turns[0].text == "DTMF: 123"
    assert "found it" in found["a tool"].turns[0].heard
    assert "Thank you" in found["keys for a tool"].turns[0].heard
    assert found["silence"].ended == "silence"
    assert found["a farewell"].ended == "agent_hangup"
    for name in ("a model that fails", "a model that never answers"):
        failed, _ = recorded(tmp_path / name, name, "no drafts")
        assert outcome_of(failed.facts).remarks[-1].kind == "prompt"
    spoiled = [
        one[2]
        for one in drafts_of(calls["a model that is refused"].events)
        if one[0] == "draft_dropped"
    ]
    assert "auth_failed" in spoiled
    refused, _ = recorded(tmp_path / "refused", "a model that is refused", "no drafts")
    assert outcome_of(refused.facts).ended == "llm_failed"


def test_the_same_files_give_the_same_events(tmp_path: Path) -> None:
    call, agent = recorded(tmp_path / "call", "an interruption")
    for out in ("one", "two"):
        replay_call(call, agent, out=tmp_path / out)
    for name in ("events.jsonl", "transcript.json", "recording.wav"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("name", ["a filler", "a filler that gives way", "at length"])
def test_what_the_caller_heard_sounds_as_it_did(name: str, tmp_path: Path) -> None:
    call, agent = recorded(tmp_path / "call", name)
    replay_call(call, agent, out=tmp_path / "again")
    old, new = (
        soundfile.read(tmp_path / one / "recording.wav", dtype="int16")[0][:, 1]
        for one in ("call", "again")
    )
    places = range(800, len(old) - 1600, 800)
    pieces = [place for place in places if np.mean(old[place : place + 800] != 0) > 0.9]
    assert len(pieces) > 8
    alike = [
        max(
            np.mean(old[place : place + 800] == new[place + by : place + by + 800])
            for by in range(-SOUND_MS * 8, SOUND_MS * 8)
        )
        for place in pieces
    ]
    assert np.mean(np.array(alike) > 0.9) > 0.8  # the rest is where a piece holds an edge


@pytest.mark.parametrize("name", ["a backchannel", "a filler that gives way", "a pause within"])
def test_a_replay_can_be_replayed(name: str, tmp_path: Path) -> None:
    call, agent = recorded(tmp_path / "call", name)
    replay_call(call, agent, out=tmp_path / "again")
    again = read_call(tmp_path / "again")
    before, after = both(again, replay_call(again, agent))
    assert story(after) == story(before) == story(outcome_of(call.facts))
