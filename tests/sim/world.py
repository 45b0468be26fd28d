"""A server's inside on virtual time, with one agent and the calls of one plan."""

import copy
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple, cast

import msgspec
import yaml

from media.audio.format import AudioFormat
from media.transport import Connection, Leg
from media.vad import DETECTORS, Vad
from tests.sim.checks import WatchedLeg, WatchedSession
from tests.sim.deepgram import Vendor
from tests.sim.ear import PATTERN_BYTES, SpokenWord
from tests.sim.loop import SimLoop
from tests.sim.opinions import Opinions
from tests.sim.phone import KINDS, Phone, codec_settings
from tests.sim.plan import Plan, Taking
from tests.sim.timers import SimClock
from tests.sim.vad import LoudnessVad
from tests.sim.vendors import WatchedLlm, WatchedTts, make_stt
from voicecore.adapters.deepgram_stt import deepgram_stt
from voicecore.adapters.deepgram_tts import DeepgramTts
from voicecore.adapters.registry import VendorConfig
from voicecore.agents.load import parse_agent
from voicecore.answering import AnsweringAgent
from voicecore.call_record import CallRecord
from voicecore.calls import Calls
from voicecore.journal import Journal, mend_text
from voicecore.prepare import prepare
from voicecore.speech_cache import SpeechCache
from voicecore.spoken import FixedPhrases, SpokenSentences
from voicecore.tools.requests import HttpCall, ToolResult, failed
from voicecore.transcript import Transcript, TranscriptEntry
from voicecore.turns.settings import PreemptivePolicy, TurnSettings

_HTTP_TOOL = {
    "type": "http",
    "name": "lookup",
    "description": "Looks something up.",
    "method": "GET",
    "url": "https://example.com/lookup",
    "parameters": {"type": "object", "properties": {}},
}
_TOOLS: list[Any] = ["end_call", "send_dtmf", "collect_digits", _HTTP_TOOL]
_BASE: dict[str, Any] = {
    "name": "test",
    "instructions": "Be brief.",
    "greeting": "Hello there, this is the shop that has everything. How can I help you today?",
    "stt": {"vendor": "scripted"},
    "llm": {"vendor": "scripted"},
    "tts": {"vendor": "scripted"},
    "limits": {"max_duration_s": 300},
}
AGENTS: dict[str, dict[str, Any]] = {
    "plain": {"turn_taking": {"playout": {"lead_ms": 500, "chunk_ms": 200}}},
    "tools": {"tools": _TOOLS, "turn_taking": {"playout": {"lead_ms": 400, "chunk_ms": 200}}},
    "words": {"turn_taking": {"interruption": {"min_words": 2}}, "tools": _TOOLS},
    "deaf": {"turn_taking": {"interruption": {"enabled": False}}, "greeting": None},
    "vendor": {"tools": _TOOLS},
    "brief": {
        "limits": {
            "max_duration_s": 20,
            "silence": {"ask_after_ms": 3000, "max_asks": 1},
            "tool_timeout_ms": 1000,
            "llm_first_token_timeout_ms": 1000,
            "tts_first_audio_timeout_ms": 700,
        },
        "turn_taking": {
            "endpointing": {"min_silence_ms": 200, "stt_final_timeout_ms": 200},
            "playout": {"lead_ms": 400, "chunk_ms": 100},
        },
        "tools": _TOOLS,
    },
}


FREQUENT = (
    "Yes.",
    "I see.",
    "One, two, three.",
    "Six.",
    "I look.",
    "I press.",
    "Your code, please.",
)
"""Sentences of the model that half of the worlds have in their cache."""

_DEEPGRAM = VendorConfig("deepgram")
_KEY = {"DEEPGRAM_API_KEY": "simulated"}


cast(dict[str, Callable[[AudioFormat, int], Vad]], DETECTORS)["simulated"] = LoudnessVad


class Agent(NamedTuple):
    """An agent that has started, and the words of its fixed phrases by their audio."""

    made: AnsweringAgent
    phrases: Mapping[bytes, tuple[SpokenWord, ...]]


@cache
def _prepared(name: str) -> AnsweringAgent:
    values = {**_BASE, **AGENTS[name]}
    values["turn_taking"] = {**values.get("turn_taking", {}), "backchannel_after_ms": 1000}
    return prepare(parse_agent(yaml.safe_dump(values), "agent.yaml"), {})


@lru_cache(maxsize=64)
def agent_for(name: str, line: AudioFormat, *, cold: bool) -> Agent:
    """``cold``: its phrases are not spoken beforehand."""
    agent = copy.copy(_prepared(name))
    fixed = FixedPhrases(agent.spoken._fixed.required, (*agent.spoken._fixed.optional, *FREQUENT))
    agent.spoken = SpokenSentences("voice", SpeechCache(), fixed)
    voice = WatchedTts({"word_ms": 200}, lambda what, event: None, first_code=0)
    agent.tts = voice
    turns = msgspec.structs.replace(agent.conduct.turns, vendor_ends_turns=name == "vendor")
    agent.conduct = msgspec.structs.replace(agent.conduct, turns=turns)
    if cold:
        return Agent(agent, {})
    loop = SimLoop(0)
    task = loop.create_task(agent.start(line, lambda step: None))

    def started() -> bool:
        return task.done() and agent.spoken.idle

    if not loop.run_until(started, limit_s=float("inf"), max_steps=100_000):
        raise RuntimeError("the agent does not start")
    task.result()
    phrases = {
        spoken.audio: tuple(piece.words)
        for piece in voice.pieces
        if (spoken := agent.phrase(" ".join(word.text for word in piece.words), line)) is not None
    }
    return Agent(agent, phrases)


def _takes(turns: TurnSettings, taking: Taking) -> TurnSettings:
    """An agent's settings with those of the plan."""
    replace = msgspec.structs.replace
    return replace(
        turns,
        preemptive=PreemptivePolicy(taking.drafts > 0, taking.voiced, max(taking.drafts, 1)),
        filler=replace(turns.filler, after_ms=taking.filler_after_ms),
        backchannel=replace(turns.backchannel, after_ms=taking.backchannel_after_ms),
    )


def _own_spoken(agent: Agent, plan: Plan) -> SpokenSentences:
    """What the agent has spoken, for one world alone."""
    theirs = agent.made.spoken
    cache = SpeechCache()
    own = SpokenSentences(theirs._voice, cache, theirs._fixed)
    own._required.update(theirs._required)
    for key, entry in theirs._cache._entries.items():
        if key[1] not in FREQUENT or plan.seed % 2:  # as ``put`` would, which has seen it
            cache._entries[key] = type(entry)(entry.original, entry.size_bytes)
            cache.size_bytes += entry.size_bytes
    own._ready = not plan.cold
    return own


class _Files:
    """In place of ``CallFiles``: a journal and a transcript that stay in memory."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.journal = Journal(self.lines.append)
        self.transcript = Transcript()
        self.closed = 0

    def caller(self, at_ms: int, frame: bytes) -> None:
        """Not recorded."""

    def agent(self, at_ms: int, payload: bytes) -> None:
        """Not recorded."""

    def cut_agent(self, at_ms: int) -> None:
        """Not recorded."""

    def put_entry(self, entry: TranscriptEntry) -> None:
        self.transcript.put(entry)

    def close(self) -> None:
        self.closed += 1


class _Tools:
    """In place of ``HttpToolRunner``: answers after its delay, or says that it took too long."""

    def __init__(self, world: "World", delays_ms: tuple[int, ...]) -> None:
        self._world = world
        self._delays_ms = delays_ms
        self._count = 0

    async def run(self, call: HttpCall) -> ToolResult:
        delay_ms = self._delays_ms[self._count % len(self._delays_ms)]
        self._count += 1
        done = self._world.loop.create_future()
        wait_ms = min(delay_ms, call.timeout_ms)
        timer = self._world.loop.call_later(wait_ms / 1000, done.set_result, None)
        try:
            await done
        finally:
            timer.cancel()
        if delay_ms > call.timeout_ms:
            return failed(call.call_id, call.name, "timeout", "too slow")
        return ToolResult(call.call_id, call.name, '{"open": true}')


class Line:
    """One caller and what the server made of the call."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.number = number
        self.session: WatchedSession | None = None
        self.files = _Files()
        self.events: list[tuple[int, str, Mapping[str, Any]]] = []
        self.refused: list[str] = []
        self.word_errors: list[int] = []
        """Of each reply that was cut, by how many words the history is off."""
        self.said: dict[int, list[SpokenWord]] = {}
        """What was given to the voice or taken from the cache, by reply."""
        self.owner: dict[bytes, int] = {}
        """The reply that a word's audio belongs to."""
        self._claimed = 0, b""
        plan, note = world.plan, world.note
        told = (lambda way, text: note(number, way, text)) if note is not None else None
        self.phone = Phone(
            plan, number, world.timers, told, self.owner.get, self._sent, self._moment
        )
        kind = KINDS[plan.carrier]
        self.connection = Connection(
            kind,
            kind.codec(codec_settings(plan)),
            self.phone,
            world.clock,
            on_started=self._started,
            on_refused=self._refused,
            make_leg=WatchedLeg,
        )

    def _moment(self) -> str:
        return self.session.moment if self.session is not None else "before the call"

    def _started(self, leg: Leg) -> None:
        self.world.answering = self
        self.world.calls.take(leg)

    def _refused(self, code: str, detail: str) -> None:
        self.refused.append(code)

    def _sent(self, what: str, reply: int) -> None:
        if self.session is not None:
            self.session.sent(what, reply)

    def heard(self, type_: str, data: Mapping[str, Any]) -> None:
        self.events.append((self.world.clock.now_ms(), type_, data))
        if self.world.note is not None:
            encoded = msgspec.json.encode(mend_text([type_, data]), enc_hook=repr)
            self.world.note(self.number, "!", encoded)

    @property
    def reply(self) -> int:
        """The reply that is being given to the voice."""
        return self.session.reply_in_voice if self.session is not None else 0

    def spoke(self, reply: int, word: SpokenWord) -> None:
        self.said.setdefault(reply, []).append(word)
        self.owner[word.key] = reply

    def played(self, reply: int, audio: bytes) -> None:
        """The session hands over audio for a reply."""
        words = self.world.spoken_words(audio)
        if words is not None:
            self.said.setdefault(reply, []).extend(words)
            for word in words:
                self.owner[word.key] = reply
        elif self.world.made:
            self._claim(reply, audio)

    def _claim(self, reply: int, audio: bytes) -> None:
        """Words of a live voice belong to the reply that they are handed over for."""
        made = self.world.made
        for place in range(0, len(audio), 20 * self.phone.plan.outbound.bytes_per_ms):
            word = made.get(audio[place : place + PATTERN_BYTES])
            if word is not None and (reply, word.key) != self._claimed:
                self._claimed = reply, word.key
                self.spoke(reply, word)


class World:
    """``note(line, way, text)`` is the trace."""

    def __init__(
        self, plan: Plan, note: Callable[[float, int, str, bytes], None] | None = None
    ) -> None:
        self.plan = plan
        self.loop = SimLoop(plan.seed, lag_ms=plan.lag_ms)
        self.timers = self.loop.timers
        self.note: Callable[[int, str, bytes], None] | None = None
        if note is not None:
            self.note = lambda line, way, text: note(self.timers.now_s, line, way, text)
        self.clock = SimClock(self.loop.timers)
        self.agent = agent_for(plan.agent, plan.outbound, cold=plan.cold)
        self.lines: list[Line] = []
        self.answering: Line | None = None
        self.ended: list[str] = []
        agent = copy.copy(self.agent.made)
        agent.spoken = self.spoken = _own_spoken(self.agent, plan)
        detector = "webrtcvad" if plan.real_vad else "simulated"
        vad = msgspec.structs.replace(agent.conduct.vad, vendor=detector)
        turns = _takes(agent.conduct.turns, plan.taking)
        agent.conduct = msgspec.structs.replace(agent.conduct, vad=vad, turns=turns)
        agent.stt = make_stt(plan.stt, ends_turns=plan.agent == "vendor")
        agent.llm = self.llm = WatchedLlm(plan.llm, self._vendor, self.clock.now_ms)
        agent.tts = self.tts = WatchedTts(
            plan.tts, self._vendor, first_code=10_000, whose=self._whose
        )
        if plan.opinions and not agent.stt.ends_turns:
            agent.turn_end = Opinions(self.loop, plan.opinions)
        self.live: Vendor | None = None
        self.made: dict[bytes, SpokenWord] = {}
        """Words of a live voice."""
        if plan.live is not None:
            sounds = tuple(step.text for step in plan.steps if step.do == "sound") or ("",)
            self.live = Vendor(plan.live, sounds, self._vendor, self._make)
            self.loop.vendor = self.live
            agent.stt = deepgram_stt(_DEEPGRAM, _KEY)
            agent.tts = DeepgramTts(_DEEPGRAM, _KEY)
        self._agent = agent
        self._tools = _Tools(self, plan.tool_delays_ms)
        self.calls = Calls(
            self._answer,
            limit=plan.limit,
            on_ended=lambda session: self.ended.append(session.ended_reason),
        )

    def _answer(self, leg: Leg) -> WatchedSession:
        line = self.answering
        assert line is not None
        record = CallRecord(cast(Any, line.files), line.heard)
        line.session = WatchedSession(leg, self._agent, record, cast(Any, self._tools))
        cast(WatchedLeg, leg).hear = line.played
        return line.session

    def _vendor(self, what: str, event: Any) -> None:
        if self.note is not None:
            self.note(0, "~", f"{what} {event!r}"[:300].encode("utf-8", "replace"))

    def _make(self, word: SpokenWord) -> None:
        self.made[word.key] = word

    def spoken_words(self, audio: bytes) -> tuple[SpokenWord, ...] | None:
        """The words of speech that was made before, at the start or beside the calls."""
        found = self.agent.phrases.get(audio)
        if found is not None or not self.tts.truthful:
            return found
        for piece in self.tts.pieces:
            if piece.owner is None and piece.done and piece.made(audio):
                return tuple(piece.words)
        return None

    def _whose(self, spawn: Any) -> Line | None:
        """The call that a task would belong to."""
        tasks = getattr(spawn, "__self__", None)
        for line in self.lines:
            if line.session is not None and line.session.owns(tasks):
                return line
        return None

    def ring(self) -> Line:
        line = Line(self, len(self.lines))
        self.lines.append(line)
        line.phone.ring(line.connection)
        return line
