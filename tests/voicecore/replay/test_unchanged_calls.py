"""With unchanged settings and recorded vendors, a replay is the call."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded_calls import Behave, agent_of, record_call, story
from tests.support.sim_call import SimCall
from voicecore.replay.outcome import Outcome, outcome_of
from voicecore.replay.recorded import RecordedCall, read_call
from voicecore.replay.run import Replayed, replay_call

SAME_MS = 30
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
    "a backchannel": (a_short_sound, {"stt": BACKCHANNEL, "llm": ANSWERS}),
    "a noise": (
        a_short_sound,
        {
            "stt": {"vendor": "scripted", "settings": {"utterances": ["When are you open?", ""]}},
            "llm": ANSWERS,
        },
    ),
    "a slow caller": (a_caller_who_goes_on, {"stt": QUESTIONS, "llm": ANSWERS}),
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


@pytest.mark.parametrize("name", CALLS)
def test_a_replay_is_the_call(name: str, tmp_path: Path) -> None:
    behave, fields = CALLS[name]
    call = read_call(record_call(tmp_path / "call", behave, **fields))
    replayed = replay_call(call, agent_of(**fields))
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
    for number, (name, (behave, fields)) in enumerate(CALLS.items()):
        out = record_call(tmp_path / str(number), behave, **fields)
        found[name] = outcome_of(read_call(out).facts)
    assert len(found["questions"].turns) == 3
    assert found["an interruption"].interrupted == 1
    assert found["a backchannel"].verdicts.get("backchannel") == 1
    assert found["a noise"].verdicts.get("noise") == 1
    assert found["a slow caller"].cut_off == 1
    assert found["keys"].turns[0].text == "DTMF: 123"
    assert "found it" in found["a tool"].turns[0].heard
    assert "Thank you" in found["keys for a tool"].turns[0].heard
    assert found["silence"].ended == "silence"
    assert found["a farewell"].ended == "agent_hangup"
    assert found["a model that fails"].remarks[-1].kind == "prompt"
    assert found["a model that never answers"].remarks[-1].kind == "prompt"
    assert found["a model that is refused"].ended == "llm_failed"


def test_the_same_files_give_the_same_events(tmp_path: Path) -> None:
    behave, fields = CALLS["an interruption"]
    call = read_call(record_call(tmp_path / "call", behave, **fields))
    for out in ("one", "two"):
        replay_call(call, agent_of(**fields), out=tmp_path / out)
    for name in ("events.jsonl", "transcript.json", "recording.wav"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_replay_can_be_replayed(tmp_path: Path) -> None:
    behave, fields = CALLS["a backchannel"]
    call = read_call(record_call(tmp_path / "call", behave, **fields))
    replay_call(call, agent_of(**fields), out=tmp_path / "again")
    again = read_call(tmp_path / "again")
    before, after = both(again, replay_call(again, agent_of(**fields)))
    assert story(after) == story(before) == story(outcome_of(call.facts))
