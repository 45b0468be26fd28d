"""The turn-taking machine: who speaks, who is heard, and what happens next.

Pure. Time comes in with every call, as milliseconds since the stream began; what is to be done
comes out:

    outputs = machine.receive(now_ms, SpeechStopped(at_ms))
    timer.at(machine.next_deadline())            # then machine.on_deadline(now_ms)

Theory of operation. There is at most one live reply. It lives from the moment the turn was
decided (or a phrase was due) until it was played, cut or failed, and its number never comes
again; what arrives for another number is dropped. The listening side (``listening``) decides
when the caller has finished; the speaking side (``speaking``) sees a reply through. Between them
stand ``barge_in``, ``taking``, ``keys`` and ``silence``. This module joins them: every input and
every deadline goes to its part, and it knows the limits and the end of the call.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import assert_never

from voicecore.providers.stt import SttFailed, SttFinal
from voicecore.tools.guard import ToolGuard
from voicecore.tools.toolset import ToolSet
from voicecore.turns.barge_in import WANTED_MS, BargeIn
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.ear import DEAF, Ear
from voicecore.turns.events import stt_result, turn_end_judged
from voicecore.turns.fillers import FILLER, Backchannels
from voicecore.turns.history import History
from voicecore.turns.inputs import (
    AudioCame,
    CallStarted,
    DigitPressed,
    EndRequested,
    FillerPlays,
    Heard,
    Input,
    ReplyPaused,
    ReplyPlayed,
    ReplyStarted,
    SpeechDone,
    SpeechFailed,
    SpeechStarted,
    SpeechStopped,
    SpeechSustained,
    StreamClosed,
    Thought,
    ThoughtFailed,
    ToolAnswered,
    TurnEndJudged,
    WordsCame,
)
from voicecore.turns.keys import DIGITS, Keys
from voicecore.turns.listening import ENDPOINT, FLUSH, STUCK, Listener
from voicecore.turns.outputs import Emit, FinalizeStt, HangUp, Output, WantInterim
from voicecore.turns.overlap_pause import PAUSE, VERDICT
from voicecore.turns.reply import ReplyKind
from voicecore.turns.settings import TurnSettings
from voicecore.turns.silence import SILENCE, Silence
from voicecore.turns.speaking import Speaker
from voicecore.turns.stt_watch import SttWatch
from voicecore.turns.synthesis import PLAYOUT
from voicecore.turns.taking import WENT_ON, Taking

MAX_DURATION = "max_duration"
_TELLING = frozenset({Heard, SpeechStopped, TurnEndJudged})
"""What tells something of whether the caller has finished."""


class Phase(StrEnum):
    TALKING = "talking"
    ENDING = "ending"
    ENDED = "ended"


class TurnMachine:
    """One call's conversation. ``played_ms(now_ms, reply)`` reads the playout."""

    def __init__(
        self,
        settings: TurnSettings,
        *,
        history: History,
        tools: ToolSet,
        guard: ToolGuard,
        played_ms: Callable[[int, int], int],
        ear: Ear = DEAF,
    ) -> None:
        self.phase = Phase.TALKING
        self._settings = settings
        self._deadlines = Deadlines()
        self._out: list[Output] = []
        self._listener = Listener(settings, self._deadlines, self._out, ear, history.last_said)
        self._speaker = Speaker(
            settings, history, tools, guard, self._deadlines, self._out, played_ms
        )
        self._barge_in = BargeIn(
            settings.overlap, self._listener, self._speaker, self._deadlines, self._out, ear
        )
        self._silence = Silence(settings, self._speaker, self._deadlines)
        self._taking = Taking(
            settings,
            self._listener,
            self._speaker,
            self._barge_in,
            self._silence,
            self._deadlines,
            self._out,
        )
        self._keys = Keys(settings, self._speaker, self._barge_in, self._taking, self._deadlines)
        self._backchannels = Backchannels(settings.backchannel)
        self._stt_watch = SttWatch(self._listener, self._speaker, self._out)

    @property
    def live_reply(self) -> int | None:
        """The number of the reply whose output counts."""
        return self._speaker.reply.number if self._speaker.reply else None

    @property
    def draft(self) -> int | None:
        """The number of the reply that is begun in advance; its voice is held back."""
        draft = self._speaker.drafting.draft
        return draft.reply.number if draft is not None else None

    def next_deadline(self) -> int | None:
        """When ``on_deadline`` is to be called next."""
        return self._deadlines.next()

    def receive(self, now_ms: int, event: Input) -> list[Output]:
        """Take one input; everything it causes comes out, in order."""
        if self.phase is not Phase.ENDED:
            self._dispatch(now_ms, event)
            self._settle(now_ms)
            if type(event) in _TELLING:
                self._foresee(now_ms)
        return self._drain()

    def on_deadline(self, now_ms: int) -> list[Output]:
        """Take every deadline that is due."""
        while (name := self._deadlines.take_due(now_ms)) is not None:
            self._on_due(now_ms, name)
            self._settle(now_ms)
        return self._drain()

    def _drain(self) -> list[Output]:
        out = self._out[:]
        self._out.clear()
        return out

    def _dispatch(self, now_ms: int, event: Input) -> None:  # noqa: C901 - a table
        speaker = self._speaker
        match event:  # what comes most, first
            case AudioCame():
                speaker.audio_came(now_ms, event.reply, event.duration_ms)
            case Heard():
                self._heard(now_ms, event)
            case Thought():
                speaker.thought(now_ms, event)
            case CallStarted():
                self._call_started(now_ms)
            case SpeechStarted():
                self._speech_started(now_ms, event.at_ms)
            case SpeechSustained():
                self._sustained(now_ms, event)
            case SpeechStopped():
                self._speech_stopped(now_ms, event.at_ms)
            case TurnEndJudged():
                if self._listener.audio_opinion(now_ms, event.at_ms, event.probability):
                    self._out.append(turn_end_judged(event))
            case ThoughtFailed():
                speaker.thought_failed(now_ms, event.reply, event.error)
            case FillerPlays():
                speaker.filler_plays(now_ms, event)
            case WordsCame():
                speaker.words_came(event.reply, event.words)
            case SpeechDone():
                speaker.voice_done(now_ms, event.reply)
            case SpeechFailed():
                speaker.voice_failed(now_ms, event.reply, event.error)
            case ReplyPaused():
                self._barge_in.reply_paused(event.reply, event.quiet_ms)
            case ReplyStarted():
                speaker.started(event.reply, event.at_ms)
                self._barge_in.reply_started(now_ms)
            case ReplyPlayed():
                self._played(now_ms, event)
            case DigitPressed():
                self._digit(now_ms, event.digit)
            case ToolAnswered():
                speaker.tool_answered(now_ms, event.result)
            case StreamClosed():
                speaker.cut(now_ms, "call_ended")
                self._end(now_ms, event.reason)
            case EndRequested():
                self._say_goodbye(now_ms, event.reason)
            case _:
                assert_never(event)

    def _call_started(self, now_ms: int) -> None:
        self._deadlines.set(MAX_DURATION, self._settings.max_duration_ms)
        if self._settings.greeting and self.phase is Phase.TALKING:
            self._speaker.speak(now_ms, ReplyKind.GREETING, self._settings.greeting)

    # The caller speaks

    def _speech_started(self, now_ms: int, at_ms: int) -> None:
        self._listener.speech_started(at_ms)
        self._stt_watch.speech_started()
        self._barge_in.speech_started()
        self._silence.is_over()
        self._out.append(Emit("speech_started", {"at_ms": at_ms}))

    def _sustained(self, now_ms: int, event: SpeechSustained) -> None:
        if self._barge_in.sustained(now_ms, event.for_ms, event.above_noise_db, event.loudest_dbfs):
            self._taking.went_on(now_ms)
        if self._listener.wants_guess and event.for_ms <= WANTED_MS:
            self._out.append(WantInterim())

    def _speech_stopped(self, now_ms: int, at_ms: int) -> None:
        self._listener.speech_stopped(now_ms, at_ms)
        self._barge_in.speech_stopped(now_ms)
        self._out.append(Emit("speech_stopped", {"at_ms": at_ms}))
        self._out.append(FinalizeStt())
        self._backchannel(now_ms)

    def _backchannel(self, now_ms: int) -> None:
        """Tell a caller who talks at length and only pauses that somebody listens."""
        started_ms = self._listener.turn_started_ms
        free = self._speaker.reply is None and self.phase is Phase.TALKING
        if not free or started_ms is None or self._listener.likely_over:
            return
        if phrase := self._backchannels.at_pause(now_ms, started_ms):
            self._speaker.speak(now_ms, ReplyKind.BACKCHANNEL, phrase)

    def _foresee(self, now_ms: int) -> None:
        """Have the model begin if the caller has probably finished."""
        speaker, listener = self._speaker, self._listener
        if speaker.reply is None and self.phase is Phase.TALKING:
            speaker.drafting.foresee(now_ms, listener.text, likely=listener.likely_over)

    def _heard(self, now_ms: int, event: Heard) -> None:
        heard = event.event
        if isinstance(heard, SttFailed):
            in_use = self.phase is Phase.TALKING
            self._stt_watch.failed(now_ms, heard.error, in_use=in_use)
            return
        self._out.append(stt_result(heard))
        self._stt_watch.heard(heard)
        self._listener.heard(now_ms, heard)
        self._barge_in.words(now_ms)
        if isinstance(heard, SttFinal) and heard.flushed and not self._listener.text:
            self._barge_in.nothing_was_said(now_ms)

    def _played(self, now_ms: int, event: ReplyPlayed) -> None:
        reply = self._speaker.reply
        self._speaker.played(now_ms, event.reply, event.played_ms)
        if reply is not None and self._speaker.reply is None:
            self._taking.reply_heard(now_ms, reply)

    def _digit(self, now_ms: int, digit: str) -> None:
        self._silence.is_over()
        self._out.append(Emit("dtmf", {"digit": digit}))
        if not self._speaker.digit(now_ms, digit) and self.phase is Phase.TALKING:
            self._keys.pressed(now_ms, digit)

    # Deadlines

    def _on_due(self, now_ms: int, name: str) -> None:
        if name in (ENDPOINT, FLUSH, STUCK):
            self._listening_due(now_ms, name)
        elif name == WENT_ON:
            if self.phase is Phase.TALKING:
                self._taking.due(now_ms)
        elif name == VERDICT:
            self._barge_in.due(now_ms)
        elif name == PAUSE:
            self._barge_in.pause_due(now_ms)
        elif name == PLAYOUT:
            reply = self._speaker.reply
            if reply is not None:  # the carrier has never told
                self._played(now_ms, ReplyPlayed(reply.number, reply.audio_ms))
        elif name == FILLER:
            self._speaker.fill(now_ms, caller_speaks=self._listener.speaking)
        elif name == SILENCE:
            self._silence.due(now_ms)
        elif name == DIGITS:
            self._keys.due(now_ms)
        elif name == MAX_DURATION:
            self._speaker.cut(now_ms, "max_duration")
            phrase = self._settings.phrases.wrap_up
            self._speaker.speak(now_ms, ReplyKind.FAREWELL, phrase, end_reason="max_duration")
        else:
            self._speaker.due(now_ms, name)

    def _listening_due(self, now_ms: int, name: str) -> None:
        if name == FLUSH:
            self._stt_watch.flush_expired()
        self._listener.due(now_ms, name)
        if name == STUCK:
            self._barge_in.was_noise()
        if name != ENDPOINT and not self._listener.text:
            self._barge_in.nothing_was_said(now_ms)

    def _say_goodbye(self, now_ms: int, reason: str) -> None:
        if self.phase is Phase.ENDING:
            return
        self._speaker.cut(now_ms, reason)
        phrase = self._settings.phrases.goodbye
        self._speaker.speak(now_ms, ReplyKind.FAREWELL, phrase, end_reason=reason)

    # After every step

    def _settle(self, now_ms: int) -> None:
        """Carry on from the state that the step left."""
        if self.phase is Phase.ENDED:
            return
        if self._speaker.ended_reason is not None:
            self._out.append(HangUp(self._speaker.ended_reason))
            self._end(now_ms, self._speaker.ended_reason)
            return
        reply = self._speaker.reply
        ending = reply is not None and reply.is_last
        if ending and self.phase is Phase.TALKING:
            self.phase = Phase.ENDING
            self._deadlines.clear(SILENCE, DIGITS, MAX_DURATION)
        turn = self._listener.decide()
        if turn is not None and self.phase is Phase.TALKING:
            self._taking.decided(now_ms, turn)
        if turn is not None:
            self._barge_in.sound.turn_over()
        quiet = self._speaker.reply is None and self._listener.idle and not self._keys.digits
        if quiet and self.phase is Phase.TALKING and self._taking.answer_again(now_ms):
            quiet = False  # what made us wait was noise
        if not quiet or self.phase is not Phase.TALKING:
            self._silence.is_over()
        else:
            self._silence.goes_on(now_ms)

    def _end(self, now_ms: int, reason: str) -> None:
        self.phase = Phase.ENDED
        self._speaker.drafting.drop(now_ms, "call_ended")
        self._deadlines.clear_all()
        self._out.append(Emit("call_ended", {"reason": reason}))
