"""Seeing a reply through: thought, tools, voice, playout. Part of the turn machine."""

from collections.abc import Callable

from media.audio.format import FRAME_MS
from voicecore.providers.errors import VendorError
from voicecore.providers.words import Word
from voicecore.tools.guard import ToolGuard
from voicecore.tools.requests import ToolResult
from voicecore.tools.toolset import ToolSet
from voicecore.turns.caller_turn import CallerTurn
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.drafting import DRAFT, Drafting
from voicecore.turns.events import agent_turn, turn_latency, vendor_failed
from voicecore.turns.fillers import FILLER, Fillers
from voicecore.turns.heard import CHARACTER_MS
from voicecore.turns.history import History
from voicecore.turns.inputs import FillerPlays, Thought
from voicecore.turns.outputs import (
    CancelReply,
    ClearPlayout,
    Emit,
    FinishSaying,
    Output,
    PauseReply,
    ResumeReply,
)
from voicecore.turns.reply import Reply, ReplyKind
from voicecore.turns.settings import TurnSettings
from voicecore.turns.synthesis import FIRST_AUDIO, PLAYOUT, PROGRESS, Synthesis
from voicecore.turns.thinking import FIRST_TOKEN, Thinking
from voicecore.turns.tooling import Tooling

REPEAT_MS = 20
"""How much of a word that was broken off is said again at most, up to a frame more."""


class Speaker:
    """Holds the live reply. Appends to the machine's outputs."""

    def __init__(
        self,
        settings: TurnSettings,
        history: History,
        tools: ToolSet,
        guard: ToolGuard,
        deadlines: Deadlines,
        out: list[Output],
        played_ms: Callable[[int, int], int],
    ) -> None:
        self.reply: Reply | None = None
        self.ended_reason: str | None = None
        """Set once: the last reply was heard, the call is over."""
        self._settings = settings
        self._history = history
        self._deadlines = deadlines
        self._out = out
        self._played_ms = played_ms
        self._fillers = Fillers(settings.filler, deadlines, out, played_ms)
        self._voice = Synthesis(settings, self._fillers, deadlines, out, played_ms, self.give_up)
        self._tools = Tooling(
            settings, history, tools, guard, deadlines, out, self._voice, self._tools_done
        )
        self._thinking = Thinking(
            settings, history, self._tools, tools.specs, deadlines, out, self._voice, self
        )
        self.drafting = Drafting(
            settings.preemptive, history, self._tools, tools.specs, deadlines, out, self._new_answer
        )
        self._count = 0
        self._character_ms = float(CHARACTER_MS)
        """How long the voice takes for a character, as its last reply showed."""

    @property
    def audible(self) -> bool:
        """The caller hears the agent have its turn, or is about to."""
        reply = self.reply
        if reply is None or reply.kind is ReplyKind.BACKCHANNEL:
            return False
        return reply.started_ms is not None

    def is_silent(self, now_ms: int) -> bool:
        """The live reply has begun, and is waiting for more to say."""
        reply = self.reply
        if reply is None or reply.voice_done:
            return False
        return reply.audio_ms - self._played_ms(now_ms, reply.number) < FRAME_MS

    @property
    def can_be_interrupted(self) -> bool:
        return self.reply is not None and self.reply.interruptible

    @property
    def paused(self) -> bool:
        return self.reply is not None and self.reply.paused_ms is not None

    def said_between(self, now_ms: int, back_ms: int) -> str:
        """What of the live reply was said in the last ``back_ms``."""
        reply = self.reply
        if reply is None:
            return ""
        at_ms = self._played_ms(now_ms, reply.number)
        return reply.spoken.between(at_ms - back_ms, at_ms)

    def is_protected(self, now_ms: int, phrases: tuple[tuple[str, ...], ...]) -> bool:
        """Whether the live reply is just saying one of the phrases."""
        reply = self.reply
        if reply is None or not phrases:
            return False
        return reply.spoken.within(phrases, self._played_ms(now_ms, reply.number))

    # Beginning

    def speak(
        self, now_ms: int, kind: ReplyKind, text: str, *, end_reason: str | None = None
    ) -> None:
        """Say a fixed text as a reply of its own."""
        reply = self._begin(now_ms, kind)
        reply.end_reason = end_reason
        reply.llm_done = True
        self._voice.say_phrase(now_ms, reply, text)

    def answer(self, now_ms: int, turn: CallerTurn, *, again: bool = False) -> None:
        """Have the model answer the caller's turn; ``again``: the history holds it already."""
        if not again:
            self._history.caller_said(turn.text)
        self._tools.new_turn()
        draft = self.drafting.take(now_ms)
        reply = self.reply = draft.reply if draft is not None else self._new_answer()
        reply.latency.mark("speech_end", turn.end_ms)
        reply.latency.mark("turn_decided", now_ms)
        reply.latency.mark("stt_final", turn.final_ms)
        # What was spoken beforehand is heard at once.
        spoken = draft is not None and draft.voiced_chars > 0
        self._fillers.expect(now_ms if spoken else turn.end_ms)
        if draft is not None:
            self._thinking.adopt(now_ms, draft)
        else:
            self._thinking.ask(now_ms, reply)

    def _begin(self, now_ms: int, kind: ReplyKind) -> Reply:
        self.drafting.drop(now_ms, "overtaken")
        self.reply = self._new_reply(kind)
        return self.reply

    def _new_answer(self) -> Reply:
        return self._new_reply(ReplyKind.ANSWER)

    def _new_reply(self, kind: ReplyKind) -> Reply:
        self._count += 1
        clause = self._settings.first_clause_chars
        return Reply(self._count, kind, first_clause_chars=clause, character_ms=self._character_ms)

    # The model and its tools

    def thought(self, now_ms: int, thought: Thought) -> None:
        reply, draft = self._live(thought.reply), self.drafting.draft
        if reply is not None:
            self._thinking.came(now_ms, reply, thought.event)
        elif draft is not None and draft.reply.number == thought.reply:
            self.drafting.came(now_ms, thought.event)

    def thought_failed(self, now_ms: int, number: int, error: VendorError) -> None:
        """The model failed a reply; one that it has answered is none of its business."""
        reply = self._live(number)
        if reply is not None and not reply.llm_done:
            self._thinking.failed(now_ms, reply, error)
        elif reply is None:
            self._draft_failed(now_ms, "llm", number, error)

    def _draft_failed(self, now_ms: int, kind: str, number: int, error: VendorError) -> None:
        draft = self.drafting.draft
        if draft is not None and draft.reply.number == number:
            self._out.append(vendor_failed(kind, error, draft.reply.number))
            self.drafting.failed(now_ms, error)

    def tool_answered(self, now_ms: int, result: ToolResult) -> None:
        self._tools.answered(now_ms, result)

    def digit(self, now_ms: int, digit: str) -> bool:
        """Whether a tool was waiting for the key."""
        return self._tools.digit(now_ms, digit)

    def _tools_done(self, now_ms: int, reply: Reply) -> None:
        """Every tool of the round has answered: the model goes on, unless the call ends."""
        if reply.end_reason is None:
            reply.next_round()
            self._fillers.expect(now_ms)
            self._thinking.ask(now_ms, reply)
            return
        reply.llm_done = True
        if not reply.script:
            self._voice.say(now_ms, reply, self._settings.phrases.goodbye)
        self._voice.progress(now_ms)
        self._out.append(FinishSaying(reply.number))

    # The voice

    def audio_came(self, now_ms: int, number: int, duration_ms: int) -> None:
        reply = self._live(number)
        if reply is not None:
            self._voice.audio_came(now_ms, reply, duration_ms)

    def words_came(self, number: int, words: tuple[Word, ...]) -> None:
        reply = self._live(number)
        if reply is not None:
            reply.spoken.place(words)

    def voice_done(self, now_ms: int, number: int) -> None:
        reply = self._live(number)
        if reply is not None:
            self._voice.done(now_ms, reply)

    def voice_failed(self, now_ms: int, number: int, error: VendorError) -> None:
        reply = self._live(number)
        if reply is not None:
            self._voice.failed(now_ms, reply, error)
        else:
            self._draft_failed(now_ms, "tts", number, error)

    # Playing and ending

    def started(self, number: int, at_ms: int) -> None:
        reply = self._live(number)
        if reply is not None and reply.started_ms is None:
            reply.started_ms = at_ms
            reply.latency.mark("filler" if reply.filler_ms else "first_byte", at_ms)

    def played(self, now_ms: int, number: int, played_ms: int) -> None:
        """The caller heard all of it."""
        reply = self._live(number)
        if reply is None:
            return
        self._tools.abandon(reply)
        self._settle(reply, reply.spoken.text)
        self._close(reply, None, played_ms, "played")
        self.ended_reason = reply.end_reason

    def pause(self, now_ms: int) -> None:
        """Fall silent for the moment; the reply may go on or be cut."""
        reply = self.reply
        if reply is None or reply.paused_ms is not None:
            return
        reply.paused_ms = self._played_ms(now_ms, reply.number)
        self._out.append(PauseReply(reply.number))
        data = {"reply": reply.number, "played_ms": reply.paused_ms}
        self._out.append(Emit("agent_paused", data))

    def resume(self, now_ms: int) -> None:
        """Go on, from the beginning of the word that was broken off if that is near."""
        reply = self.reply
        if reply is None or reply.paused_ms is None:
            return
        word_ms = reply.spoken.word_start_ms(reply.paused_ms)
        from_ms = max(word_ms, reply.paused_ms - REPEAT_MS)
        reply.paused_ms = None
        self._out.append(ResumeReply(reply.number, from_ms))
        self._out.append(Emit("agent_resumed", {"reply": reply.number, "from_ms": from_ms}))
        self._voice.resumed(now_ms, reply, from_ms)

    def cut(self, now_ms: int, why: str) -> None:
        """End the live reply here and now; the history keeps what was heard."""
        reply = self.reply
        if reply is None:
            return
        self._tools.abandon(reply)
        self._out.append(CancelReply(reply.number))
        played_ms = 0
        if reply.started_ms is not None:
            played_ms = self._played_ms(now_ms, reply.number)
            self._out.append(ClearPlayout(reply.number))
        self._settle(reply, reply.spoken.heard_text(played_ms))
        self._close(reply, played_ms, played_ms, why)

    def _settle(self, reply: Reply, heard: str) -> None:
        if reply.kind is not ReplyKind.BACKCHANNEL:  # "mm-hm" is nothing to go on from
            self._history.settle(heard)

    def _close(self, reply: Reply, cut_ms: int | None, played_ms: int, why: str) -> None:
        self.reply = None
        self._deadlines.clear(FIRST_TOKEN, FIRST_AUDIO, PROGRESS, PLAYOUT, FILLER)
        self._character_ms = reply.spoken.character_ms
        self._out.append(agent_turn(reply, cut_ms, played_ms, why))
        if reply.kind is ReplyKind.ANSWER:
            self._out.append(turn_latency(reply))

    def give_up(self, now_ms: int, reason: str) -> None:
        """The call has failed: say so, then hang up. Failing at that, hang up."""
        already = self.reply is not None and self.reply.kind is ReplyKind.FALLBACK
        self.cut(now_ms, reason)
        if already:
            self.ended_reason = reason
        else:
            phrase = self._settings.phrases.fallback
            self.speak(now_ms, ReplyKind.FALLBACK, phrase, end_reason=reason)

    def due(self, now_ms: int, name: str) -> None:
        """One of this module's deadlines has come."""
        reply = self.reply
        if name in self._tools.deadline_names:
            self._tools.due(now_ms, name)
        elif name == DRAFT:
            self.drafting.due(now_ms)
        elif reply is None:
            return
        elif name == FIRST_TOKEN:
            self._thinking.timed_out(now_ms, reply, "first_output_timeout")
        elif name == FIRST_AUDIO:
            self._voice.timed_out(now_ms, reply)
        elif name == PROGRESS:
            if reply.llm_done:
                self._voice.timed_out(now_ms, reply)
            else:
                self._thinking.timed_out(now_ms, reply, "stalled")

    def fill(self, now_ms: int, *, caller_speaks: bool) -> None:
        """The caller has heard nothing for long."""
        if self.reply is not None:
            busy = caller_speaks or self._tools.awaits_keys
            self._fillers.due(now_ms, self.reply, caller_speaks=busy)

    def filler_plays(self, now_ms: int, event: FillerPlays) -> None:
        """The filler was there."""
        reply = self._live(event.reply)
        if reply is not None:
            self._fillers.plays(now_ms, reply, event)

    def _live(self, number: int) -> Reply | None:
        return self.reply if self.reply is not None and self.reply.number == number else None
