"""From an agent's configuration to an agent that can answer."""

from collections.abc import Mapping

from voicecore.adapters.registry import make_llm, make_stt, make_tts
from voicecore.agents.model import Agent
from voicecore.agents.secrets import references
from voicecore.agents.tools import HttpTool, TransferCallTool
from voicecore.agents.turn_taking import Interruption
from voicecore.answering import AnsweringAgent, Conduct, VadSettings
from voicecore.local.turn_end import TurnEndModel
from voicecore.providers.turn_end import EndOfTurnModel
from voicecore.speech_cache import SpeechCache, voice_key
from voicecore.spoken import FixedPhrases, SpokenSentences
from voicecore.tools.guard import ToolGuard
from voicecore.tools.toolset import ToolSet
from voicecore.turns.backchannels import (
    backchannels,
    continuers,
    floor_words,
    hollow_words,
    openers,
    plain,
    question_words,
)
from voicecore.turns.barge_in import (
    SUSTAIN_EVERY_MS,
    SUSTAIN_UNTIL_MS,
    WENT_ON_MS,
)
from voicecore.turns.endpointing import EndpointingPolicy
from voicecore.turns.overlap import OverlapPolicy
from voicecore.turns.settings import (
    BackchannelPolicy,
    FillerPolicy,
    Phrases,
    PreemptivePolicy,
    TurnSettings,
)
from voicecore.turns.turn_sound import ONSET_MS

_BY_SENSITIVITY = {
    "low": (300, 450, 900, 10.0),
    "normal": (200, 360, 600, 6.0),
    "high": (120, 200, 400, 3.0),
}
"""Speech that pauses, overlap, speech without words (ms), loudness above the line's noise (dB)."""
_SHORT_MS = {"low": 700, "normal": 550, "high": 350}
"""A shorter sound interrupts only by a word that always does."""


def prepare(
    agent: Agent, secrets: Mapping[str, str], cache: SpeechCache | None = None
) -> AnsweringAgent:
    """Make an agent's vendors and settings; nothing is loaded or connected yet. ``cache``: the
    process's, for all of its agents; None gives the agent one of its own.

    :raises VendorConfigError: a vendor does not like its settings.
    :raises UnresolvedSecretError: a setting refers to a secret that is missing."""
    stt = make_stt(agent.vendor("stt", secrets)[0], secrets)
    voice = agent.vendor("tts", secrets)[0]
    cache = SpeechCache() if cache is None else cache
    return AnsweringAgent(
        conduct_of(agent, vendor_ends_turns=stt.ends_turns, vendor_marks_ends=stt.marks_ends),
        stt=stt,
        llm=make_llm(agent.vendor("llm", secrets)[0], secrets),
        tts=make_tts(voice, secrets),
        tools=ToolSet(agent),
        new_guard=lambda: ToolGuard(agent.limits),
        spoken=SpokenSentences(voice_key(voice), cache, fixed_phrases(agent)),
        turn_end=None if stt.ends_turns else turn_end_model(agent),
        tool_secrets=tool_secrets(agent, secrets),
    )


def tool_secrets(agent: Agent, secrets: Mapping[str, str]) -> Mapping[str, str]:
    """Those that the headers of its tools refer to, and no others."""
    headers = [tool.headers for tool in agent.tools if isinstance(tool, HttpTool)]
    return {name: secrets[name] for name in references(headers) if name in secrets}


def turn_end_model(agent: Agent) -> EndOfTurnModel | None:
    """The model that hears ends of turns, if the agent has one; nothing is loaded yet."""
    endpointing = agent.turn_taking.endpointing
    if not endpointing.model:
        return None
    return TurnEndModel(endpointing.model, timeout_ms=endpointing.model_timeout_ms)


def fixed_phrases(agent: Agent) -> FixedPhrases:
    """Every sentence that the agent's file says it will say."""
    phrases = agent.phrases
    required = (
        phrases.fallback,
        agent.greeting,
        phrases.apology,
        *phrases.silence_prompts,
        phrases.goodbye,
        phrases.wrap_up,
    )
    taking = agent.turn_taking
    optional: list[str | None] = [
        *(phrases.fillers if taking.filler_after_ms else ()),
        *(phrases.backchannels if taking.backchannel_after_ms else ()),
    ]
    for tool in agent.tools:
        if isinstance(tool, HttpTool):
            said = phrases.tool_meanwhile if tool.say_while is None else tool.say_while
            optional += said
        elif isinstance(tool, TransferCallTool):
            optional.append(tool.say)
    needed = dict.fromkeys(text for text in required if text)
    wanted = dict.fromkeys(text for text in optional if text and text not in needed)
    return FixedPhrases(tuple(needed), tuple(wanted))


def conduct_of(agent: Agent, *, vendor_ends_turns: bool, vendor_marks_ends: bool) -> Conduct:
    """The engine's view of an agent."""
    taking, limits, phrases = agent.turn_taking, agent.limits, agent.phrases
    overlap = overlap_policy(taking.interruption, agent.language)
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
            endpointing=EndpointingPolicy(
                min_silence_ms=taking.endpointing.min_silence_ms,
                open_silence_ms=taking.endpointing.open_silence_ms,
                max_silence_ms=taking.endpointing.max_silence_ms,
                adapts=taking.endpointing.adapts,
                language=agent.language,
                marks_ends=vendor_marks_ends,
                finished_from=taking.endpointing.model_finished_from,
                unfinished_below=taking.endpointing.model_unfinished_below,
            ),
            begin_ms=2 * taking.vad.start_ms,
            flush_timeout_ms=taking.endpointing.stt_final_timeout_ms,
            vendor_ends_turns=vendor_ends_turns,
            overlap=overlap,
            preemptive=PreemptivePolicy(
                enabled=taking.preemptive.enabled,
                voice=taking.preemptive.voice,
                max_per_turn=taking.preemptive.max_per_turn,
            ),
            filler=FillerPolicy(after_ms=taking.filler_after_ms, phrases=phrases.fillers),
            backchannel=BackchannelPolicy(
                after_ms=taking.backchannel_after_ms, phrases=phrases.backchannels
            ),
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
            sustain_ms=(
                *(overlap.pause_ms, WENT_ON_MS, ONSET_MS, overlap.min_speech_ms),
                *range(SUSTAIN_EVERY_MS, SUSTAIN_UNTIL_MS + 1, SUSTAIN_EVERY_MS),
            ),
            stop_ms=taking.vad.stop_ms,
        ),
        lead_ms=taking.playout.lead_ms,
        chunk_ms=taking.playout.chunk_ms,
        record=agent.recording,
    )


def overlap_policy(interruption: Interruption, language: str) -> OverlapPolicy:
    """When the agent gives way to the caller."""
    pause_ms, overlap_ms, min_speech_ms, min_above_noise_db = _BY_SENSITIVITY[
        interruption.sensitivity
    ]
    given = interruption
    return OverlapPolicy(
        enabled=given.enabled,
        pause_ms=pause_ms if given.pause_ms is None else given.pause_ms,
        overlap_ms=overlap_ms if given.overlap_ms is None else given.overlap_ms,
        verdict_ms=given.decide_ms,
        min_speech_ms=min_speech_ms if given.min_speech_ms is None else given.min_speech_ms,
        short_ms=_SHORT_MS[given.sensitivity] if given.short_ms is None else given.short_ms,
        quieter_db=given.quieter_db,
        min_words=given.min_words,
        min_confidence=given.min_confidence,
        min_above_noise_db=(
            min_above_noise_db if given.min_above_noise_db is None else given.min_above_noise_db
        ),
        always=floor_words(language) | {plain(phrase) for phrase in given.always},
        continuers=continuers(language),
        openers=openers(language),
        hollow=hollow_words(language),
        asks=question_words(language),
        never=backchannels(language) | {plain(phrase) for phrase in given.never},
        protected=tuple(plain(phrase) for phrase in given.protected),
        keys_interrupt=given.keys,
    )
