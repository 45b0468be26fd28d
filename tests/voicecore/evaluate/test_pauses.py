"""From calls to the pause sweep's figures, and what the calls are made of."""

import json
from pathlib import Path

import pytest

from tests.support.paused_turns import spoken
from voicecore.agents.load import load_agent
from voicecore.evaluate import pause_sweep, pauses
from voicecore.evaluate.pause_agents import write_agents
from voicecore.evaluate.pause_audio import TurnAudio
from voicecore.evaluate.pause_record import (
    PausedCall,
    TakenCall,
    asked_ms,
    heard_events,
    read_events,
    recorded_turns,
    share_out,
)
from voicecore.evaluate.pause_replay import Said, Started, Stopped
from voicecore.evaluate.pause_suite import LONGEST_MS, load_turns
from voicecore.phone.caller import Said as PhoneSaid
from voicecore.phone.record import CallRecord
from voicecore.providers.stt import SttFinal, SttInterim
from voicecore.turns.settings import TurnSettings

AGENT = """\
name: mine
instructions: You answer.
greeting: Hello there.
stt: {vendor: scripted}
llm: {vendor: scripted}
tts: {vendor: scripted}
tools: [end_call]
turn_taking: {vad: {stop_ms: 240}, endpointing: {min_silence_ms: 350, adapts: true}}
"""


@pytest.fixture
def small_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pause_sweep, "MIN_MS", (300, 600))
    monkeypatch.setattr(pause_sweep, "OPEN_MORE_MS", (0,))
    monkeypatch.setattr(pause_sweep, "MAX_MS", (600, 1600))


def taken(out: Path, name: str, *answers_ms: int, failure: str = "") -> tuple[TakenCall, ...]:
    turns = (
        spoken(("My number is", 500), ("five.", 0), number=0),
        spoken(("We paid.", 0), number=1),
    )
    folder = out / "pauses" / name
    folder.mkdir(parents=True, exist_ok=True)
    return (TakenCall(0, folder / "c", folder / "p.wav", turns, answers_ms, failure),)


@pytest.mark.usefixtures("small_grid")
class TestAnalysis:
    def test_figures_files_and_scenes(self, tmp_path: Path) -> None:
        calls = {name: taken(tmp_path, name) for name in ("recorded", "configured")}
        calls["silence"] = taken(tmp_path, "silence", 2310)
        found = pauses.analyse(calls, TurnSettings(), tmp_path, 1)
        figures = {figure.name: figure for figure in found.figures}
        at_300 = figures["pauses_policy_cutoffs_at_300"]
        assert (at_300.value, at_300.baseline, at_300.n) == (0.0, 1.0, 1)
        assert at_300.bar is not None
        assert at_300.bar.at_most == 0.5
        assert figures["pauses_wire_cutoffs"].value == 0
        assert figures["pauses_wire_cutoffs"].baseline == 1
        scenes = {scene.id: scene for scene in found.scenes}
        assert scenes["pauses-silence-1"].figures["cut_off"] == 1
        assert [one.ok for one in scenes["pauses-configured-1"].judged] == [True, True]
        assert json.loads((tmp_path / "pauses" / "wrong.json").read_text()) == []
        assert (tmp_path / "pauses" / "sweeps.json").stat().st_size

    def test_a_slow_machine_leaves_the_policys_figures(self, tmp_path: Path) -> None:
        names = ("recorded", "configured", "silence")
        calls = {name: taken(tmp_path, name, failure="too slow") for name in names}
        found = pauses.analyse(calls, TurnSettings(), tmp_path, 1)
        figures = {figure.name: figure.value for figure in found.figures}
        assert figures["pauses_policy_cutoffs_at_300"] == 0
        assert figures["pauses_heard_delay_at_10"] is None
        assert figures["pauses_wire_cutoffs"] is None
        assert {scene.void for scene in found.scenes} == {"too slow"}


def test_the_agents_keep_what_listens_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(AGENT)
    agents = write_agents(tmp_path / "mine.yaml", tmp_path)
    loaded = {name: load_agent(path, secrets={}) for name, path in agents.items()}
    waits = {name: agent.turn_taking.endpointing for name, agent in loaded.items()}
    assert (waits["configured"].min_silence_ms, waits["configured"].adapts) == (350, True)
    assert (waits["silence"].min_silence_ms, waits["silence"].adapts) == (300, False)
    assert waits["recorded"].min_silence_ms > LONGEST_MS
    for agent in loaded.values():
        assert agent.turn_taking.vad.stop_ms == 240
        assert (agent.greeting, agent.tools) == (None, ())


def test_a_call_has_one_voice_and_many_kinds() -> None:
    turns = load_turns(1)
    audio = [TurnAudio(b"", (), 0, 0)] * len(turns)
    calls = share_out(turns, audio, 4)
    assert sorted(turn.number for call in calls for turn in call.turns) == list(range(len(turns)))
    for call in calls:
        assert len({turn.number % 4 for turn in call.turns}) == 1
        assert len({turn.kind for turn in call.turns}) >= 4


def test_a_late_text_belongs_to_the_turn_it_was_asked_in(tmp_path: Path) -> None:
    lines = [
        {"at_ms": 1060, "type": "speech_started", "data": {"at_ms": 1000}},
        {"at_ms": 1700, "type": "speech_stopped", "data": {"at_ms": 1500}},
        {"at_ms": 5060, "type": "speech_started", "data": {"at_ms": 5000}},
        {"at_ms": 5200, "type": "stt_result", "data": {"kind": "final", "text": "One.",
         "words": [], "end_of_turn": False, "flushed": True}},
        {"at_ms": 5700, "type": "speech_stopped", "data": {"at_ms": 5500}},
        {"at_ms": 5800, "type": "stt_result", "data": {"kind": "interim", "text": "Tw"}},
        {"at_ms": 5900, "type": "stt_result", "data": {"kind": "final", "text": "Two.",
         "words": [], "end_of_turn": False, "flushed": True}},
        {"at_ms": 6000, "type": "unknown", "data": {}},
    ]  # fmt: skip
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"cut', "utf-8")
    events = read_events(path)
    heard = list(heard_events(events))
    assert [type(event) for event in heard] == [
        Started, Stopped, Started, Said, Stopped, Said, Said,
    ]  # fmt: skip
    assert asked_ms(heard) == [1060, 1700, 5060, 1700, 5700, 5800, 5700]
    turns = load_turns(1)[:2]
    audio = TurnAudio(b"", (), 60, 560)
    record = CallRecord(
        0,
        "completed",
        "",
        "caller",
        said=(PhoneSaid(1, "play", "", 960_000), PhoneSaid(1, "play", "", 4_960_000)),
    )
    first, second = recorded_turns(PausedCall(0, turns, (audio, audio)), record, events)
    assert (first.begin_ms, first.end_ms) == (1000, 1500)
    texts = [[e.event for e in turn.events if isinstance(e, Said)] for turn in (first, second)]
    assert texts == [
        [SttFinal("One.", flushed=True)],
        [SttInterim("Tw"), SttFinal("Two.", flushed=True)],
    ]
    assert first.whole
    assert second.whole
