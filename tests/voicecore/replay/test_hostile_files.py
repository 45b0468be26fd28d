"""Files that are not what a call leaves are refused, with a code."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.recorded_calls import agent_of, record_call
from tests.support.sim_call import SimCall
from voicecore.journal import Event, encode_event
from voicecore.replay.answers import Answers
from voicecore.replay.difference import difference
from voicecore.replay.errors import ReplayError
from voicecore.replay.facts import LONGEST_MS, MOST_TURNS, Facts, read_facts
from voicecore.replay.outcome import outcome_of
from voicecore.replay.recorded import read_call
from voicecore.replay.run import Sources, replay_call
from voicecore.replay.speech import Voicing
from voicecore.replay.transcripts import Transcripts
from voicecore.replay.turn_ends import RecordedTurnEnd
from voicecore.replay.watch import Watch

STARTED = {
    "carrier": "twilio",
    "call_id": "CA1",
    "stream_id": "MZ1",
    "agent": "test",
    "inbound": "mulaw 8000",
    "outbound": "mulaw 8000",
}


def write(folder: Path, *events: tuple[str, Any], started: dict[str, Any] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    all_events = [("call_started", {**STARTED, **(started or {})}), *events]
    lines = [
        encode_event(Event(number, number * 10, type_, data))
        for number, (type_, data) in enumerate(all_events, 1)
    ]
    (folder / "events.jsonl").write_bytes(b"".join(lines))
    soundfile.write(folder / "recording.wav", np.zeros((8000, 2), "int16"), 8000, subtype="PCM_16")
    return folder


def refusal(folder: Path) -> ReplayError:
    with pytest.raises(ReplayError) as caught:
        replay_call(read_call(folder), agent_of())
    return caught.value


def test_no_call_at_all(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing").code == "no_call"
    assert refusal(tmp_path).code == "no_events"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}\n",
        b"not json\n",
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
        b'{"sequence":1,"at_ms":0,"type":"dtmf","data":{"digit":"1"}}\n',
        b'{"sequence":1,"at_ms":"x","type":"call_started","data":{}}\n',
        b'{"sequence":1,"at_ms":0,"type":"call_started","data":{"carrier":5}}\n',
    ],
)
def test_events_that_are_none(content: bytes, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "events.jsonl").write_bytes(content)
    assert refusal(tmp_path).code == "bad_events"


@pytest.mark.parametrize(
    "event",
    [
        ("speech_started", {"at_ms": 10**15}),
        ("speech_started", {}),
        ("stt_result", {"kind": "odd", "text": ""}),
        ("stt_result", {"kind": "final", "text": "a", "words": [{"text": "a"}]}),
        (
            "stt_result",
            {"kind": "final", "words": [{"text": "a", "start_ms": 0, "end_ms": LONGEST_MS * 2}]},
        ),
        ("dtmf", {"digit": "12"}),
        ("caller_turn", {"dropped_bytes": 70_000}),
    ],
)
def test_an_event_that_is_wrong_is_named(event: tuple[str, Any], tmp_path: Path) -> None:
    error = refusal(write(tmp_path, event))
    assert error.code == "bad_events"
    assert f"event 2 ({event[0]})" in error.detail


def test_too_many_turns(tmp_path: Path) -> None:
    turn = ("caller_turn", {"text": "", "start_ms": 0, "end_ms": 0})
    assert refusal(write(tmp_path, *[turn] * (MOST_TURNS + 1))).code == "too_large"


@pytest.mark.parametrize(
    ("started", "code"),
    [
        ({"carrier": "acme"}, "unsupported"),
        ({"inbound": "opus 48000"}, "bad_events"),
        ({"inbound": "l16 24000"}, "unsupported"),
        ({"carrier": "telnyx", "outbound": "l16 24000"}, "unsupported"),
    ],
)
def test_lines_that_nobody_has(started: dict[str, str], code: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, started=started)).code == code


def test_recordings_that_are_none(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "recording.wav"
    path.write_bytes(b"RIFF")
    assert refusal(tmp_path).code == "bad_recording"
    soundfile.write(path, np.zeros(800, "int16"), 8000, subtype="PCM_16")
    assert refusal(tmp_path).code == "bad_recording"
    soundfile.write(path, np.zeros((800, 2), "int16"), 11025, subtype="PCM_16")
    assert refusal(tmp_path).code == "bad_recording"
    path.unlink()
    error = refusal(tmp_path)
    assert error.code == "no_recording"
    assert "recording: true" in error.detail


def test_a_call_whose_process_was_killed_is_replayed_as_far_as_it_goes(tmp_path: Path) -> None:
    async def speaks(call: SimCall) -> None:
        await call.until_quiet()
        call.speaks(1200)
        await call.wait_ms(4000)

    folder = record_call(tmp_path / "call", speaks)
    path = folder / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-4]) + lines[-4][:20])
    call = read_call(folder)
    after = outcome_of(replay_call(call, agent_of()).facts)
    assert after.ended == "carrier_disconnected"
    assert [turn.text for turn in after.turns] == ["What are your hours?"]


def test_a_vendor_without_its_key_is_refused(tmp_path: Path) -> None:
    call = read_call(write(tmp_path))
    agent = agent_of(llm={"vendor": "openai", "model": "gpt"})
    assert replay_call(call, agent).facts  # recorded: no key is needed
    with pytest.raises(ReplayError) as caught:
        replay_call(call, agent, sources=Sources(llm="agent"))
    assert caught.value.code == "vendor_failed"
    assert "OPENAI_API_KEY" in caught.value.detail


def test_a_directory_that_exists_is_not_written_to(tmp_path: Path) -> None:
    call = read_call(write(tmp_path / "call"))
    with pytest.raises(ReplayError) as caught:
        replay_call(call, agent_of(), out=tmp_path)
    assert caught.value.code == "out_taken"


small = st.integers(-5, 400)
text = st.sampled_from(["", "Yes.", "a b c", "No, wait. Really?", "DTMF: 1", "é …"])
word = st.fixed_dictionaries({"text": text, "start_ms": small, "end_ms": small})
heard = st.fixed_dictionaries(
    {"text": text, "start_ms": small, "end_ms": small, "heard": st.sampled_from([True, "cut"])}
)
number = st.integers(0, 3)
EVENTS = st.one_of(
    st.tuples(st.just("speech_started"), st.fixed_dictionaries({"at_ms": small})),
    st.tuples(st.just("speech_stopped"), st.fixed_dictionaries({"at_ms": small})),
    st.tuples(
        st.just("stt_result"),
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["interim", "final", "eager", "resumed"]),
                "text": text,
                "words": st.lists(word, max_size=3),
                "flushed": st.booleans(),
            }
        ),
    ),
    st.tuples(
        st.just("caller_turn"),
        st.fixed_dictionaries({"text": text, "start_ms": small, "end_ms": small}),
    ),
    st.tuples(st.just("agent_saying"), st.fixed_dictionaries({"reply": number, "text": text})),
    st.tuples(
        st.just("agent_turn"),
        st.fixed_dictionaries(
            {
                "reply": number,
                "kind": st.sampled_from(["answer", "greeting", "fallback", "backchannel"]),
                "text": text,
                "heard_text": text,
                "words": st.lists(heard, max_size=4),
                "start_ms": st.none() | small,
                "played_ms": small,
                "ended": st.sampled_from(["played", "interrupted", "caller_went_on"]),
            }
        ),
    ),
    st.tuples(
        st.just("turn_latency"),
        st.fixed_dictionaries(
            {"reply": number},
            optional={
                "turn_decided": small,
                "llm_first_token": small,
                "first_sentence": small,
                "tts_first_audio": small,
            },
        ),
    ),
    st.tuples(st.just("draft_started"), st.fixed_dictionaries({"reply": number, "text": text})),
    st.tuples(st.just("draft_used"), st.fixed_dictionaries({"reply": number})),
    st.tuples(
        st.just("draft_dropped"),
        st.fixed_dictionaries(
            {"reply": number, "reason": st.sampled_from(["text_changed", "too_long", "stalled"])}
        ),
    ),
    st.tuples(st.just("agent_filler"), st.fixed_dictionaries({"reply": number, "text": text})),
    st.tuples(
        st.just("tts_usage"),
        st.fixed_dictionaries({"reply": number, "cached_characters": st.integers(-3, 9)}),
    ),
    st.tuples(
        st.just("turn_end_judged"),
        st.fixed_dictionaries({"at_ms": small, "probability": st.floats(0, 1)}),
    ),
    st.tuples(st.just("llm_usage"), st.fixed_dictionaries({"reply": number})),
    st.tuples(
        st.just("tool_called"),
        st.fixed_dictionaries({"reply": number, "name": text, "call_id": text, "arguments": text}),
    ),
    st.tuples(
        st.just("tool_answered"),
        st.fixed_dictionaries({"name": text, "call_id": text, "error": text, "result": text}),
    ),
    st.tuples(
        st.just("vendor_failed"),
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["stt", "llm", "tts"]),
                "vendor": text,
                "code": text,
                "detail": text,
                "reply": number,
            }
        ),
    ),
    st.tuples(
        st.just("agent_paused"), st.fixed_dictionaries({"reply": number, "played_ms": small})
    ),
    st.tuples(st.just("agent_resumed"), st.fixed_dictionaries({"reply": number, "from_ms": small})),
)


def facts_of(events: list[tuple[str, Any]]) -> Facts:
    return read_facts(
        Event(at, at * 10, type_, msgspec.to_builtins(data))
        for at, (type_, data) in enumerate(events)
    )


@given(st.lists(EVENTS, max_size=40), st.lists(small, max_size=6))
@settings(max_examples=60, deadline=None)
def test_whatever_the_events_are_they_are_read(
    events: list[tuple[str, Any]], asked: list[int]
) -> None:
    facts = facts_of(events)
    transcripts = Transcripts(facts)
    for end_ms in asked:
        answer = transcripts.finalize(end_ms + 200, end_ms)
        assert answer is None or (answer[0] >= end_ms + 200 and answer[1].flushed)
    for item in transcripts.spontaneous:
        transcripts.current(item.at_ms, item)
    answers = Answers(facts)
    for turn in answers.turns:
        assert answers.begin(turn.text, turn.start_ms, turn.end_ms).round.cut_ms >= 0
        answers.next_round()
        answers.begin_draft(turn.text, turn.start_ms, turn.end_ms, turn.end_ms)
        answers.dropped()
    voicing = Voicing(facts, drafts_voiced=True)
    watch = Watch()
    opinions = RecordedTurnEnd(facts, watch)
    for _, data in events:
        phrase = voicing.phrase(data.get("text", ""))
        for sentence in (voicing.say(data.get("text", "")), phrase or voicing.say("")):
            assert sentence.duration_ms > 0
            assert sentence.first_audio_ms >= 0
            for stretch in sentence.heard:
                assert stretch.duration_ms > 0
                assert 0 <= stretch.at_ms <= sentence.duration_ms - stretch.duration_ms
        watch.stopped_ms = data.get("at_ms", 0)
        found = opinions.find()
        assert found is None or 0 <= found[1].probability <= 1
    outcome = outcome_of(facts)
    assert not difference(outcome, outcome).differs
