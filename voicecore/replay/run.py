"""One call, held once more."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from media.transport import Connection, Leg
from media.vad import DETECTORS
from media.vad.edges import SpeechEdges
from voicecore.adapters.keys import NeedsKey
from voicecore.adapters.registry import Kind, VendorConfigError, make_llm, make_stt, make_tts
from voicecore.agents.model import Agent
from voicecore.agents.secrets import UnresolvedSecretError
from voicecore.answering import AnsweringAgent, Conduct
from voicecore.call_record import CallRecord
from voicecore.journal import Event
from voicecore.prepare import conduct_of, fixed_phrases
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import Llm
from voicecore.providers.stt import Stt
from voicecore.providers.tts import Tts
from voicecore.replay.arrivals import Arrivals, find_edges
from voicecore.replay.cache import RecordedCache
from voicecore.replay.errors import ReplayError
from voicecore.replay.facts import (
    CallEnded,
    Dtmf,
    EventsDropped,
    Facts,
    SpeechStarted,
    SpeechStopped,
    VendorFailed,
    read_facts,
)
from voicecore.replay.files import ReplayFiles
from voicecore.replay.line import TAIL_MS, Course, ReplayLine, carrier_of, codec_settings, side_of
from voicecore.replay.outside import (
    Debts,
    in_real_time,
    stays_connected,
    watched_llm,
    watched_stt,
    watched_tts,
)
from voicecore.replay.recorded import RecordedCall, agent_audio, caller_frames
from voicecore.replay.spans import Stretch
from voicecore.replay.speech import Voicing
from voicecore.replay.tools import RecordedTools
from voicecore.replay.turn_ends import RecordedTurnEnd
from voicecore.replay.vendors import CallClock, RecordedLlm, RecordedStt, RecordedTts
from voicecore.replay.virtual_time import VirtualClock, VirtualLoop
from voicecore.replay.watch import Assumption, Watch
from voicecore.session import Session
from voicecore.speech_cache import SpeechCache
from voicecore.spoken import FixedPhrases, SpokenSentences
from voicecore.tools.guard import ToolGuard
from voicecore.tools.toolset import ToolSet

Source = Literal["recorded", "agent"]
LEFT_BY_PEER = frozenset({"caller_hangup", "carrier_disconnected"})
OTHER_ENDS = frozenset({"drain", "cancelled"})
"""Ends that the server's being stopped brought about: the caller hangs up instead."""
BY_ITSELF = frozenset({"agent_hangup", "silence", "max_duration", "stt_failed", "llm_failed",
                       "tts_failed"})  # fmt: skip
"""Ends that the agent brings about, and may bring about otherwise this time."""
_PATIENCE_MS = 60_000


class Sources(msgspec.Struct, frozen=True):
    """Where each vendor's part comes from."""

    stt: Source = "recorded"
    llm: Source = "recorded"
    tts: Source = "recorded"


RECORDED = Sources()


class Replayed(msgspec.Struct, frozen=True):
    """What came of it. ``notes`` say what to bear in mind in comparing."""

    events: tuple[Event, ...]
    facts: Facts
    assumptions: tuple[Assumption, ...]
    notes: tuple[str, ...]


def replay_call(
    call: RecordedCall,
    agent: Agent,
    *,
    recorded: Conduct | None = None,
    sources: Sources = RECORDED,
    secrets: Mapping[str, str] | None = None,
    out: Path | None = None,
) -> Replayed:
    """Hold the call once more with ``agent``. ``recorded`` are the settings that the call was held
    with, if the agent's are now others; ``secrets`` are for the vendors that really run.

    With recorded vendors it is deterministic: the same files give the same events, byte for
    byte. Blocks, and runs an event loop of its own.

    :raises ReplayError: it cannot be done."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        replay = _Replay(call, agent, recorded, sources, secrets or {}, loop)
        return runner.run(replay.run(out))


class _Replay:
    def __init__(
        self,
        call: RecordedCall,
        agent: Agent,
        recorded: Conduct | None,
        sources: Sources,
        secrets: Mapping[str, str],
        loop: VirtualLoop,
    ) -> None:
        side_of(call.started, call.inbound, call.outbound)  # or there is no such line
        self._call = call
        self._sources = sources
        self._secrets = secrets
        self._loop = loop
        self._clock = VirtualClock(loop)
        self._time = CallClock(self._clock)
        self._watch = Watch()
        self._debts = Debts()
        loop.jumping.awaits_outside = self._debts.any
        self._line: ReplayLine | None = None
        self._live = [
            agent.vendor_blocks(kind)[0].vendor
            for kind in ("stt", "llm", "tts")
            if getattr(sources, kind) == "agent"
        ]
        self._turn_end: RecordedTurnEnd | None = None
        self._agent = self._prepare(agent, recorded)
        self._recorded_vad = (recorded or self._agent.conduct).vad
        self._session: asyncio.Task[None] | None = None
        self._refused: list[str] = []

    async def run(self, out: Path | None) -> Replayed:
        call = self._call
        await self._start()
        files = None
        try:
            arrivals = self._arrivals()
            files = ReplayFiles(out, call.inbound, call.outbound)
            await self._hold(files, arrivals)
        finally:
            if files is not None:
                files.close()
            await in_real_time(self._debts, self._agent.stop())
            # Threads that are left end in their own time.
            self._loop.jumping.awaits_outside = lambda: True
        assert self._line is not None
        return Replayed(
            tuple(files.events),
            read_facts(files.events),
            tuple(self._watch.assumptions),
            tuple(self._notes(arrivals)),
        )

    async def _start(self) -> None:
        start = self._agent.start(self._call.outbound, lambda step: None)
        try:
            if self._live:
                await in_real_time(self._debts, start)
            else:
                await start
        except VendorError as error:
            await in_real_time(self._debts, self._agent.stop())
            raise ReplayError("vendor_failed", str(error)) from None

    async def _hold(self, files: ReplayFiles, arrivals: Arrivals) -> None:
        call, started = self._call, self._call.started
        kind = carrier_of(started)
        await asyncio.sleep(1.0 - self._loop.time() % 1.0)  # times in whole milliseconds
        line = ReplayLine(started, call.inbound, call.outbound, self._course(arrivals))
        self._line = line
        record = CallRecord(cast(Any, files), self._watch.event)

        def answer(leg: Leg) -> None:
            tools = RecordedTools(call.facts, self._watch, self._time)
            session = Session(leg, self._agent, record, cast(Any, tools))
            self._session = self._loop.create_task(session.run())

        connection = Connection(
            kind,
            kind.codec(codec_settings(started, call.outbound)),
            line,
            self._clock,
            on_started=answer,
            on_refused=lambda code, detail: self._refused.append(code),
        )
        self._time.start_ms = self._clock.now_ms()
        connected = any(stays_connected(vendor) for vendor in self._live)
        self._debts.count += connected
        try:
            line.begin(connection)
            if self._session is None:
                raise ReplayError("unsupported", f"the stream is refused: {self._refused}")
            async with asyncio.timeout((call.duration_ms + TAIL_MS + _PATIENCE_MS) / 1000):
                await self._session
        except TimeoutError:
            raise ReplayError("not_finished", "the replayed call does not end") from None
        finally:
            self._debts.count -= connected

    def _course(self, arrivals: Arrivals) -> Course:
        call = self._call
        ends = [what.reason for _, what in call.facts.of(CallEnded)]
        reason = ends[0] if ends else "carrier_disconnected"
        return Course(
            frames=caller_frames(call),
            arrivals=arrivals,
            digits=tuple((at_ms, what.digit) for at_ms, what in call.facts.of(Dtmf)),
            end_ms=call.duration_ms,
            hangs_up=reason not in BY_ITSELF,
            stop=reason != "carrier_disconnected",
        )

    def _arrivals(self) -> Arrivals:
        """When the frames came: the call's edges of speech, found again as the call found
        them."""
        call, vad = self._call, self._recorded_vad
        edges = SpeechEdges(start_ms=vad.start_ms, sustain_ms=vad.sustain_ms, stop_ms=vad.stop_ms)
        found = find_edges(
            caller_frames(call), DETECTORS[vad.vendor](call.inbound, vad.mode), edges
        )
        recorded = [
            (isinstance(fact.what, SpeechStarted), fact.what.at_ms)
            for fact in call.facts
            if isinstance(fact.what, SpeechStarted | SpeechStopped)
        ]
        return Arrivals(found, recorded)

    def _position_ms(self) -> int:
        return self._line.position_ms if self._line is not None else 0

    # The agent

    def _prepare(self, agent: Agent, recorded: Conduct | None) -> AnsweringAgent:
        call = self._call
        configured = cast(Stt, self._make("stt", agent))
        stt: object = configured
        if self._sources.stt == "recorded":
            stt = RecordedStt(
                call.facts, self._watch, self._time, self._position_ms, like=configured
            )
        llm: object = RecordedLlm(call.facts, self._watch, self._time)
        if self._sources.llm == "agent":
            llm = self._make("llm", agent)
        conduct = conduct_of(
            agent,
            vendor_ends_turns=configured.ends_turns,
            vendor_marks_ends=configured.marks_ends,
        )
        tts, spoken = self._voice(agent, recorded or conduct)
        if agent.turn_taking.endpointing.model and not configured.ends_turns:
            self._turn_end = RecordedTurnEnd(call.facts, self._watch)
        return AnsweringAgent(
            conduct,
            stt=cast(Stt, stt),
            llm=cast(Llm, llm),
            tts=cast(Tts, tts),
            tools=ToolSet(agent),
            new_guard=lambda: ToolGuard(agent.limits),
            spoken=spoken,
            turn_end=self._turn_end,
        )

    def _voice(self, agent: Agent, recorded: Conduct) -> tuple[object, SpokenSentences]:
        """The voice, and what of it was there before the call."""
        fixed = fixed_phrases(agent)
        if self._sources.tts == "agent":
            # Nothing is spoken in the background: a call begins with all that it will bring.
            everything = FixedPhrases((*fixed.required, *fixed.optional))
            return self._make("tts", agent), SpokenSentences("", SpeechCache(0), everything)
        preemptive = recorded.turns.preemptive
        voicing = Voicing(self._call.facts, drafts_voiced=preemptive.enabled and preemptive.voice)
        self._watch.on_draft.append(voicing.drafted)
        tts = RecordedTts(voicing, self._watch, self._time, self._heard)
        cache = RecordedCache(voicing, fixed, self._watch, self._time, self._heard)
        return tts, cast(SpokenSentences, cache)

    def _heard(self, stretch: Stretch) -> bytes:
        return agent_audio(self._call, stretch.call_ms, stretch.duration_ms)

    def _make(self, kind: Kind, agent: Agent) -> object:
        """The agent file's own vendor."""
        name = agent.vendor_blocks(kind)[0].vendor
        really = getattr(self._sources, kind) == "agent"
        try:
            config = agent.vendor(kind, self._secrets)[0]
            if kind == "stt":
                stt = make_stt(config, self._secrets)
                if really and isinstance(stt, NeedsKey):
                    stt.check_key()
                return watched_stt(stt, name, self._debts)
            if kind == "llm":
                llm = make_llm(config, self._secrets)
                if isinstance(llm, NeedsKey):
                    llm.check_key()
                return watched_llm(llm, name, self._debts)
            tts = make_tts(config, self._secrets)
            if isinstance(tts, NeedsKey):
                tts.check_key()
            return watched_tts(tts, name, self._debts)
        except (VendorConfigError, UnresolvedSecretError, VendorError, ImportError) as error:
            raise ReplayError("vendor_failed", f"{kind} {name}: {error}") from None

    def _notes(self, arrivals: Arrivals) -> list[str]:
        call = self._call
        notes = []
        if call.started.agent != self._agent.conduct.name:
            notes.append(
                f"the call was answered by {call.started.agent!r}, "
                f"not by {self._agent.conduct.name!r}"
            )
        for name in dict.fromkeys(what.name for _, what in call.facts.of(EventsDropped)):
            notes.append(f"events of the type {name} are missing from the call's files")
        if call.recorded_ms < call.duration_ms - 1000:
            missing_ms = call.duration_ms - call.recorded_ms
            notes.append(f"the recording ends {missing_ms} ms before the call")
        if self._line is not None and self._line.ran_out:
            notes.append(f"the caller was made to hang up {TAIL_MS} ms after the recorded end")
        edges = sum(isinstance(fact.what, SpeechStarted | SpeechStopped) for fact in call.facts)
        if edges - arrivals.matched > max(2, edges // 5):
            notes.append(
                f"{edges - arrivals.matched} of {edges} beginnings and ends of speech were not "
                "found again in the recording: was the call heard with these vad settings?"
            )
        if self._turn_end is not None and not self._turn_end.has_opinions:
            notes.append("the call has no opinions of a model of ends of turns: none are given")
        failed = [what for _, what in call.facts.of(VendorFailed) if what.kind == "tts"]
        if failed and self._sources.tts == "recorded":
            notes.append("failures of the voice are not replayed")
        return notes
