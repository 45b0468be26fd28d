"""From an agent's configuration to an agent that can answer."""

from collections.abc import Mapping

from voicecore.adapters.registry import make_llm, make_stt, make_tts
from voicecore.agents.model import Agent
from voicecore.answering import AnsweringAgent, Conduct, VadSettings
from voicecore.tools.guard import ToolGuard
from voicecore.tools.toolset import ToolSet
from voicecore.turns.settings import Phrases, TurnSettings


def prepare(agent: Agent, secrets: Mapping[str, str]) -> AnsweringAgent:
    """Make an agent's vendors and settings; nothing is loaded or connected yet.

    :raises VendorConfigError: a vendor does not like its settings.
    :raises UnresolvedSecretError: a setting refers to a secret that is missing."""
    stt = make_stt(agent.vendor("stt", secrets)[0], secrets)
    return AnsweringAgent(
        conduct_of(agent, vendor_ends_turns=stt.ends_turns),
        stt=stt,
        llm=make_llm(agent.vendor("llm", secrets)[0], secrets),
        tts=make_tts(agent.vendor("tts", secrets)[0], secrets),
        tools=ToolSet(agent),
        new_guard=lambda: ToolGuard(agent.limits),
    )


def conduct_of(agent: Agent, *, vendor_ends_turns: bool) -> Conduct:
    """The engine's view of an agent."""
    taking, limits, phrases = agent.turn_taking, agent.limits, agent.phrases
    return Conduct(
        name=agent.name,
        instructions=agent.instructions,
        turns=TurnSettings(
            greeting=agent.greeting or "",
            phrases=Phrases(
                fallback=phrases.fallback,
                apology=phrases.apology,
                still_there=phrases.silence_prompts,
                goodbye=phrases.goodbye,
                wrap_up=phrases.wrap_up,
                tool_meanwhile=phrases.tool_meanwhile,
            ),
            min_silence_ms=taking.endpointing.min_silence_ms,
            flush_timeout_ms=taking.endpointing.stt_final_timeout_ms,
            vendor_ends_turns=vendor_ends_turns,
            interruptible=taking.interruption.enabled,
            interrupt_min_words=taking.interruption.min_words,
            ask_after_ms=limits.silence.ask_after_ms,
            max_asks=limits.silence.max_asks,
            max_duration_ms=limits.max_duration_s * 1000,
            first_token_timeout_ms=limits.llm_first_token_timeout_ms,
            first_audio_timeout_ms=limits.tts_first_audio_timeout_ms,
            digits_enabled=agent.dtmf.enabled,
            digits_finish_key=agent.dtmf.finish_key,
            digits_pause_ms=agent.dtmf.gap_ms,
        ),
        vad=VadSettings(
            vendor=taking.vad.vendor,
            mode=taking.vad.mode,
            start_ms=taking.vad.start_ms,
            sustain_ms=taking.interruption.min_speech_ms,
            stop_ms=taking.vad.stop_ms,
        ),
        lead_ms=taking.playout.lead_ms,
        chunk_ms=taking.playout.chunk_ms,
        record=agent.recording,
    )
