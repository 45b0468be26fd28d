"""Calls over real sockets, then held once more from what they left."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.answering import SCRIPTED, answering, call, speech_file
from tests.support.in_time import Called, in_time
from tests.support.recorded_calls import story
from voicecore.agents.load import parse_agent
from voicecore.replay.outcome import outcome_of
from voicecore.replay.recorded import read_call
from voicecore.replay.run import replay_call

pytestmark = pytest.mark.e2e

SAME_MS = 40
STT = {
    "vendor": "scripted",
    "settings": {"utterances": ["What are your hours?", "And on Sundays?"], "final_ms": 60},
}
LLM = {
    "vendor": "scripted",
    "settings": {
        "replies": ["We are open from nine to five on every day but one.", "Not on Sundays."],
        "first_token_ms": 150,
    },
}


@pytest.mark.parametrize(
    ("carrier", "codec", "agent_codec"),
    [
        ("twilio", "mulaw", "mulaw"),
        ("telnyx", "alaw", "mulaw"),
        ("telnyx", "mulaw", "l16_16k"),
    ],
)
async def test_a_call_over_the_wire_is_replayed(
    carrier: str, codec: str, agent_codec: str, tmp_path: Path
) -> None:
    from control.settings import Settings

    out = {"mulaw": "PCMU", "l16_16k": "L16"}[agent_codec]
    speech = speech_file(tmp_path)
    steps: list[Any] = [
        {"wait": "agent_finished"},
        {"play": speech},
        {"wait": {"agent_speaking_ms": 460}},  # it is cut off at the end of a word, not in one
        {"play": speech},
        {"wait": "agent_finished"},
        {"dtmf": "12#"},
        {"wait": "agent_finished"},
        {"hang_up": {}},
    ]
    fields = {"stt": STT, "llm": LLM}
    settings = Settings(telnyx_outbound_codec=out)  # type: ignore[arg-type]
    line = {"carrier": carrier, "codec": codec, "agent_codec": agent_codec}

    async def play(folder: Path) -> Called:
        async with answering(folder, settings, **fields) as server:
            return server, await call(server, steps, **line)

    server, result = await in_time(play, tmp_path, late_ms=SAME_MS)
    assert not result.report.failed
    (directory,) = server.call_dirs()
    recorded = read_call(directory)
    agent = parse_agent(yaml.safe_dump({**SCRIPTED, **fields}), "agent.yaml")
    import asyncio

    replayed = await asyncio.to_thread(replay_call, recorded, agent)
    before, after = outcome_of(recorded.facts), outcome_of(replayed.facts)
    assert len(before.turns) == 3
    assert before.interrupted == 1
    old_turns, *old = story(before)
    new_turns, *new = story(after)
    assert [turn.text for turn in new_turns] == [turn.text for turn in old_turns]
    assert [turn.heard for turn in new_turns] == [turn.heard for turn in old_turns]
    assert [turn.ended for turn in new_turns] == [turn.ended for turn in old_turns]
    assert new[1:] == old[1:]
    for one, other in zip(before.turns, after.turns, strict=True):
        assert one.latency_ms is not None
        assert other.latency_ms is not None
        assert abs(one.latency_ms - other.latency_ms) <= SAME_MS
    assert replayed.assumptions == ()
