"""The caller speaks over the agent: pause, decide, and give way or go on. Part of the turn
machine.

The agent's audio pauses once the caller's sound has lasted for a moment (``overlap_pause``). Only
that has to be quick, so the verdict takes its time: it is given when the sound is over and its text
is there, or at the deadline. A few words that a speech-to-text guesses at a murmur or a cough
decide nothing. Speech that lasts, of which no word is known, is given the floor, and the reply is
kept until there is one, or it turns out that there was none. Nothing that was decided keeps later
words from interrupting after all. A sound much quieter than the caller usually is comes from
somebody else.
"""

from media.audio.format import FRAME_MS
from voicecore.turns.backchannels import plain
from voicecore.turns.caller_turn import CallerTurn
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.ear import DEAF, Ear
from voicecore.turns.listening import Listener
from voicecore.turns.outputs import Emit, Output, WantInterim
from voicecore.turns.overlap import OverlapPolicy, Verdict, judge_words, may_be_speech
from voicecore.turns.overlap_pause import (
    FAINT_GAP_MS,
    GAP_MS,
    HOLD_MS,
    VERDICT,
    OverlapPause,
)
from voicecore.turns.overlap_words import OverlapWords
from voicecore.turns.speaking import Speaker
from voicecore.turns.turn_sound import NEVER_DBFS, ONSET_MS, TurnSound

SPEECH_MS = 1200
"""From here on words are believed though the sound goes on and they are a guess."""
NO_MORE_MS = 500
"""So far apart two guesses have to be that say no more."""
LAST_WORDS_MS = 300
"""When a longer sound is over, or one whose guessed words speak for an interruption, its words are
waited for so long."""
BEGINS_MS = 100
"""So long the agent does not go on while the caller perhaps begins again: by then the VAD knows."""
HEARD_SHARE = 0.5
"""A wild guess at less of a sound says nothing about the sound: a slow speech-to-text had not heard
the caller's words yet."""
SHORT_HOLD_MS = 800
"""Guessed words that only say that somebody listens are all there is of a sound that is over so
soon after the pause."""
WENT_ON_MS = 300
"""Speech that makes an answer wait that is not heard yet: the caller was not done."""
ECHO_REACH_MS = 600
"""An echo comes at most so much after what was said."""
RISE_DB = 6.0
"""A sound that was judged and grows so much louder is another."""
WANTED_MS = 2000
"""So long a sound's words are guessed at as it goes on: a vendor that has to work for each guess
does that for a second of speech in ten milliseconds or more."""
SUSTAIN_EVERY_MS, SUSTAIN_UNTIL_MS = 250, 10_000
"""How often speech that goes on is looked at, and how long."""


class BargeIn:
    """Sees overlaps through. Appends to the machine's outputs."""

    def __init__(
        self,
        policy: OverlapPolicy,
        listener: Listener,
        speaker: Speaker,
        deadlines: Deadlines,
        out: list[Output],
        ear: Ear = DEAF,
    ) -> None:
        self.sound = TurnSound(policy.quieter_db)
        self.said = OverlapWords(policy, listener)
        self._policy = policy
        self._listener = listener
        self._speaker = speaker
        self._deadlines = deadlines
        self._out = out
        self._ear = ear
        self._pause = OverlapPause(policy.overlap_ms, speaker, deadlines)
        self._judged_dbfs = NEVER_DBFS
        """How loud the sound was that was judged."""
        self._judged_away = False
        """It was judged too quiet to be the caller's, which may prove wrong."""
        self._no_more_ms: int | None = None
        """Since when a long sound has had no more words than such as interrupt nobody."""
        self._held = False
        """Sound was given the floor; its words are waited for."""
        self._judged = False
        """The sound that goes on was judged: only words make it more."""

    @property
    def may_interrupt(self) -> bool:
        return self._policy.enabled and self._speaker.can_be_interrupted

    def speech_started(self) -> None:
        if self._listener.turn_started_ms == self._listener.started_ms:
            self.sound.turn_over()  # the last was noise
        self.sound.started()
        self._pause.sounds += 1
        self._judged = False

    def reply_paused(self, reply: int, quiet_ms: int) -> None:
        """The reply was paused in a silence of its own."""
        self._pause.was_quiet(reply, quiet_ms)

    def pause_due(self, now_ms: int) -> None:
        """The agent has spoken over the caller's sound for long enough."""
        if self._speaker.is_protected(now_ms, self._policy.protected):
            self._pause.close()  # it has just come to what it is to say to its end
        else:
            self._pause.fall_silent(now_ms)

    def reply_started(self, now_ms: int) -> None:
        """The agent begins to be heard, perhaps while the caller speaks."""
        if self._listener.speaking and self.sound.sustained_ms and self.may_interrupt:
            self._consider_pause(now_ms)

    def sustained(
        self, now_ms: int, for_ms: int, above_noise_db: float, loudest_dbfs: float
    ) -> bool:
        """The caller's speech goes on; returns whether an answer nobody has heard yet is to be
        dropped."""
        self.sound.sustained(for_ms, above_noise_db, loudest_dbfs)
        back = self._judged_away and not self.sound.is_elsewhere
        if self._judged and (back or loudest_dbfs >= self._judged_dbfs + RISE_DB):
            self._judged = False  # somebody else speaks now
        speaker = self._speaker
        if not self.may_interrupt:
            return False
        # A sound past the lengths at which something is decided may only turn out to be louder.
        late = for_ms > max(self._policy.min_speech_ms, ONSET_MS)
        if not speaker.audible:
            adds = for_ms >= WENT_ON_MS and not late
            return adds and self.said.suffice and not self.sound.is_elsewhere
        if self._pause.is_open and self.sound.is_elsewhere:
            self._decided(now_ms, Verdict.NOISE)
            self._judged_away = True
        elif (self._pause.is_open or self._judged) and not self._judged_away:
            # A voice in the middle of a crowd's noise begins with the pause.
            into_ms = self._pause.began_ms - self._listener.started_ms
            if for_ms <= WANTED_MS + max(into_ms, 0):
                self._out.append(WantInterim())
        else:
            self._consider_pause(now_ms)
        return False

    def words(self, now_ms: int) -> None:
        """More of what the caller says is known."""
        speaker = self._speaker
        if not (self.may_interrupt and speaker.audible):
            return
        listener = self._listener
        if self.sound.turn_is_elsewhere:
            over = listener.text_is_final and not listener.speaking
            if over and self._pause.is_open and self.sound.turn_is_wholly_elsewhere:
                self._decided(now_ms, Verdict.NOISE)
            return
        if speaker.is_protected(now_ms, self._policy.protected):
            return
        verdict, known = self.judge(now_ms), listener.text_is_final
        if verdict is not Verdict.INTERRUPTION:
            if known and not listener.speaking:
                self._deadlines.bring_forward(VERDICT, self._gap_ends_ms(now_ms))
            elif self._listener.guesses.wild and self._pause.can_be_short(now_ms):
                self._deadlines.bring_forward(VERDICT, max(self._pause.since_ms + GAP_MS, now_ms))
            elif verdict is Verdict.BACKCHANNEL and self._held and self._pause.is_open:
                self._says_no_more(now_ms)
            return
        lasts_ms = listener.started_ms + SPEECH_MS
        if known or not self._pause.is_open or (self._held and now_ms >= lasts_ms):
            self._decided(now_ms, verdict)
            return
        self._pause.fall_silent(now_ms)
        if self._held:
            self._pause.wait_until(lasts_ms)

    def _says_no_more(self, now_ms: int) -> None:
        """A sound goes on for long, and its guesses remain "yeah": a crowd goes on behind it."""
        if now_ms < self._pause.began_ms + SPEECH_MS:
            return
        if self._no_more_ms is None:
            self._no_more_ms = now_ms
        elif now_ms >= self._no_more_ms + NO_MORE_MS:
            self._decided(now_ms, Verdict.BACKCHANNEL)

    def nothing_was_said(self, now_ms: int) -> None:
        """The speech is over, and there was no word in it."""
        if self._pause.is_open and not self._listener.speaking:
            self._decided(now_ms, Verdict.NOISE)

    def was_noise(self) -> None:
        """The sound that goes on was taken for noise: only words make it more."""
        self._judged = True
        self._judged_dbfs, self._judged_away = self.sound.loudest_dbfs, False

    def speech_stopped(self, now_ms: int) -> None:
        """The sound is over: its words are on their way, and perhaps more is said."""
        if not self._pause.is_open or VERDICT not in self._deadlines:
            return
        self._pause.stopped_ms = now_ms
        gap_ends_ms = self._gap_ends_ms(now_ms)
        waits = self._held and not self._listener.text_is_final
        if waits and now_ms - self._pause.began_ms < SHORT_HOLD_MS:
            waits = self.judge(now_ms) is not Verdict.BACKCHANNEL
        self._pause.wait_until(now_ms + LAST_WORDS_MS if waits else gap_ends_ms)

    def _gap_ends_ms(self, now_ms: int) -> int:
        """How long it is waited for more once the sounds are over."""
        words = self.said
        return self._pause.gap_ends_ms(
            now_ms, opens=words.may_open(now_ms), listens=words.only_listen(now_ms)
        )

    def due(self, now_ms: int) -> None:
        """It has to be decided now, or it has to be said why not."""
        if not self._pause.is_open:
            return
        if self._pause.silent_ms is None and self._speaker.is_protected(
            now_ms, self._policy.protected
        ):
            self._pause.close()
            return
        verdict = self.judge(now_ms)
        if verdict is Verdict.INTERRUPTION and self.sound.turn_is_elsewhere:
            verdict = None  # nor do the words of somebody else
        lasts_ms = self._listener.started_ms + SPEECH_MS
        if now_ms >= self._pause.began_ms + HOLD_MS:
            self._decided(now_ms, verdict or Verdict.NOISE)
        elif not self._listener.speaking:
            final, gap_ends_ms = self._listener.text_is_final, self._gap_ends_ms(now_ms)
            until_ms = gap_ends_ms if final else self._words_by_ms(now_ms, verdict)
            if now_ms < until_ms:
                self._pause.wait_until(until_ms)
            elif self._begins_again(now_ms):
                self._pause.wait_until(now_ms + FRAME_MS)
            else:
                self._decided(now_ms, verdict or Verdict.NOISE)
        elif verdict is Verdict.INTERRUPTION and now_ms < lasts_ms:
            self._pause.wait_until(lasts_ms)
        elif verdict in (Verdict.INTERRUPTION, Verdict.ECHO):
            self._decided(now_ms, verdict)
        else:
            self._goes_on(now_ms, verdict)

    def _begins_again(self, now_ms: int) -> bool:
        """Whether the caller perhaps speaks again, which is known in a moment."""
        latest_ms = self._gap_ends_ms(self._pause.stopped_ms) + BEGINS_MS
        return self._ear.may_begin() and now_ms < latest_ms

    def _words_by_ms(self, now_ms: int, verdict: Verdict | None) -> int:
        """How long the final words of a short sound are waited for."""
        late_ms = self._pause.words_by_ms
        if not self.said.probably_interrupt(now_ms, verdict):
            return late_ms
        return max(late_ms, self._pause.stopped_ms + LAST_WORDS_MS)

    def _goes_on(self, now_ms: int, verdict: Verdict | None) -> None:
        """A sound goes on, and what is known of it says little."""
        policy, sound_ms = self._policy, now_ms - self._listener.started_ms
        more = self._listener.text.rstrip().endswith(",") or self.said.more_than_certain()
        nothing = verdict is Verdict.BACKCHANNEL and not more and self._ear.may_stop()
        guesses = self._listener.guesses
        wild = guesses.wild and guesses.heard_ms >= HEARD_SHARE * sound_ms
        if (nothing or wild) and self._pause.can_be_short(now_ms):
            if now_ms < self._pause.since_ms + GAP_MS:
                self._pause.wait_until(self._pause.since_ms + GAP_MS)
            else:
                self._decided(now_ms, verdict or Verdict.NOISE)
        elif sound_ms < policy.min_speech_ms and not policy.min_words:
            self._wait_for_speech(now_ms, murmured=verdict is Verdict.BACKCHANNEL and not more)
        elif may_be_speech(policy, sound_ms=sound_ms, above_noise_db=self.sound.above_noise_db):
            self._held = True
            # "Yeah" may go on with "but".
            looks_again = verdict is Verdict.BACKCHANNEL and self._pause.can_be_short(now_ms)
            self._pause.wait_until(
                now_ms + FRAME_MS if looks_again else self._pause.began_ms + HOLD_MS
            )
        else:
            self._decided(now_ms, Verdict.NOISE)

    def _wait_for_speech(self, now_ms: int, *, murmured: bool) -> None:
        """A sound that goes on is too short for speech as yet."""
        at_ms = self._listener.started_ms + self._policy.min_speech_ms
        silent_ms = self._pause.silent_ms
        if self._pause.sounds > 1 and silent_ms is not None:
            if now_ms < silent_ms + FAINT_GAP_MS:
                at_ms = min(at_ms, silent_ms + FAINT_GAP_MS)
            elif self.sound.is_not_the_callers(self._policy.min_above_noise_db, murmured=murmured):
                self._decided(now_ms, Verdict.NOISE)
                return
        self._pause.wait_until(at_ms)

    def judge(self, now_ms: int, turn: CallerTurn | None = None) -> Verdict | None:
        """What words over the agent amount to: a turn's, or those of the turn that goes on."""
        since_ms = self._listener.started_ms - ECHO_REACH_MS
        silent_ms = self._pause.silent_ms
        until_ms = now_ms if silent_ms is None else silent_ms
        agent = plain(self._speaker.said_between(now_ms, until_ms - since_ms))
        listener = self._listener
        sound_ms = listener.sound_ms(now_ms) if turn is None else turn.sound_ms
        certain = listener.certain_text(now_ms) if turn is None else turn.certain_text
        return judge_words(
            self._policy,
            certain,
            agent,
            sound_ms=sound_ms,
            over=not listener.speaking,
            tails=not listener.speaking
            and self._pause.tails(listener.started_ms, listener.stopped_ms, ECHO_REACH_MS),
        )

    def takes_the_floor(self, now_ms: int, turn: CallerTurn) -> bool:
        """Whether speech over the agent, now that it is over and its text is known, interrupts."""
        if not self.may_interrupt or self._speaker.is_protected(now_ms, self._policy.protected):
            return False
        if self.sound.turn_is_elsewhere:
            self.sound.turn_ignored()
            return False
        if turn.wild:
            return False
        verdict = self.judge(now_ms, turn)
        if self._speaker.is_silent(now_ms):  # waiting for a tool, or for the model
            return verdict not in (Verdict.BACKCHANNEL, Verdict.ECHO)
        return verdict is Verdict.INTERRUPTION

    def let_go_on(self, now_ms: int, turn: CallerTurn) -> None:
        """The caller's turn is over, and it was none: the agent goes on if it pauses."""
        if self._pause.is_open:
            verdict = self.judge(now_ms, turn)
            if verdict is None or verdict is Verdict.INTERRUPTION:
                verdict = Verdict.NOISE
            self._decided(now_ms, verdict)

    def _consider_pause(self, now_ms: int) -> None:
        if self._judged or self.sound.is_elsewhere:
            return
        if self._speaker.is_protected(now_ms, self._policy.protected):
            return
        self._no_more_ms = None
        self._held = False
        self._pause.begin(now_ms, self._listener.started_ms)
        self._deadlines.set(VERDICT, now_ms + self._policy.verdict_ms)
        self._out.append(WantInterim())
        self.words(now_ms)

    def _decided(self, now_ms: int, verdict: Verdict) -> None:
        speaker = self._speaker
        silent_ms = self._pause.silent_ms
        self._pause.close()
        self._judged = True
        self._judged_dbfs, self._judged_away = self.sound.loudest_dbfs, False
        reply = speaker.reply.number if speaker.reply is not None else None
        paused_ms = 0 if silent_ms is None else now_ms - silent_ms
        data = {"reply": reply, "verdict": verdict.value, "paused_ms": paused_ms}
        self._out.append(Emit("overlap_judged", data))
        if verdict is Verdict.INTERRUPTION:
            speaker.cut(now_ms, "interrupted")
        else:
            speaker.resume(now_ms)
