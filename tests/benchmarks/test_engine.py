import asyncio

import pytest

from benchmarks.engine import added_ms, read_turns, scripted_delays, stage_ms
from benchmarks.server import write_agent
from media.audio.format import MULAW_8K
from tests.support.scripted import Timed, no_spawn
from tests.support.virtual_loop import run_virtual
from voicecore.adapters.scripted_llm import ScriptedLlm
from voicecore.adapters.scripted_tts import ScriptedTts
from voicecore.agents.load import load_agent
from voicecore.providers.llm import LlmRequest, LlmText, Message
from voicecore.providers.tts import TtsAudio
from voicecore.turns.sentences import SentenceStream


def test_the_expected_delay_is_what_the_vendors_really_take(tmp_path):
    """On virtual time the vendors are played to the first audio: an engine that adds nothing."""
    path = write_agent(tmp_path, recording=False)
    agent = load_agent(path, secrets={})

    async def first_audio_ms() -> int:
        llm = ScriptedLlm(agent.vendor("llm")[0], {})
        timed = Timed()
        reply = ScriptedTts(agent.vendor("tts")[0], {}).open(MULAW_8K, spawn=no_spawn).reply(timed)
        sentences = SentenceStream()
        async for event in llm.stream(LlmRequest((Message("user", "hello"),))):
            if isinstance(event, LlmText):
                for sentence in sentences.push(event.text):
                    reply.say(sentence)
        await asyncio.sleep(10)
        return timed.times(TtsAudio)[0]

    delays = scripted_delays(path)
    assert run_virtual(first_audio_ms) == delays.total_ms == 335
    assert (delays.llm_first_token, delays.first_sentence, delays.tts_first_audio) == (200, 35, 100)


def test_settings_in_the_agent_file_count(tmp_path):
    path = write_agent(tmp_path, recording=False)
    settings = "llm: {vendor: scripted, settings: {first_token_ms: 50, replies: [Yes. Of course.]}}"
    path.write_text(path.read_text().replace("llm: {vendor: scripted}", settings))
    assert scripted_delays(path).total_ms == 150


def test_replies_must_agree(tmp_path):
    path = write_agent(tmp_path, recording=False)
    settings = "llm: {vendor: scripted, settings: {replies: [Yes. Of course., I do not know.]}}"
    path.write_text(path.read_text().replace("llm: {vendor: scripted}", settings))
    with pytest.raises(ValueError, match="different times"):
        scripted_delays(path)


TURN = {
    "reply": 2,
    "speech_end": 0,
    "turn_decided": 210,
    "stt_final": 205,
    "llm_first_token": 412,
    "first_sentence": 447,
    "tts_first_audio": 550,
    "first_byte": 551,
}


def test_what_is_left_of_a_turn_is_the_engines(tmp_path):
    delays = scripted_delays(write_agent(tmp_path, recording=False))
    assert added_ms(TURN, delays) == 551 - 210 - 335
    names = ("llm_first_token", "first_sentence", "tts_first_audio", "first_byte")
    stages = [list(stage_ms([TURN], name, delays)) for name in names]
    assert stages == [[2], [0], [3], [1]]
    assert sum(value for (value,) in stages) == added_ms(TURN, delays)


def test_turns_without_a_first_byte_do_not_count(tmp_path):
    call = tmp_path / "call"
    call.mkdir()
    (call / "events.jsonl").write_text(
        '{"sequence":1,"at_ms":0,"type":"call_started","data":{}}\n'
        '{"sequence":2,"at_ms":9,"type":"turn_latency","data":{"reply":1,"turn_decided":5}}\n'
        '{"sequence":3,"at_ms":9,"type":"turn_latency","data":{"reply":2,"first_byte":7}}\n'
        '{"sequence":4,"at_ms":9,"type":"turn_lat'
    )
    assert [turn["reply"] for turn in read_turns(tmp_path)] == [2]
