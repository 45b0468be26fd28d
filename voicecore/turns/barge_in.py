"""The caller speaks over the agent: pause, decide, and give way or go on. Part of the turn
machine.

The agent's audio pauses once the caller's sound has lasted for a moment. Words decide as they
come: an interruption ends the reply, anything else lets it go on where it was. Without words, at
the deadline, the sound does: speech that lasts is given the floor, and the reply is kept until
there is a word, or it turns out that there was none. Nothing that was decided keeps later words
from interrupting after all.
"""

from voicecore.turns.backchannels import plain
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.listening import Listener
from voicecore.turns.outputs import Emit, Output, WantInterim
from voicecore.turns.overlap import OverlapPolicy, Verdict, judge_sound, judge_words
from voicecore.turns.speaking import Speaker

VERDICT = "verdict"
HOLD_MS = 5000
"""How long the floor is left to speech of which no word comes."""
WENT_ON_MS = 300
"""Speech that makes an answer wait that is not heard yet: the caller was not done."""
ECHO_REACH_MS = 600
"""An echo comes at most so much after what was said."""


class BargeIn:
    """Sees overlaps through. Appends to the machine's outputs."""

    def __init__(
        self,
        policy: OverlapPolicy,
        listener: Listener,
        speaker: Speaker,
        deadlines: Deadlines,
        out: list[Output],
    ) -> None:
        self._policy = policy
        self._listener = listener
        self._speaker = speaker
        self._deadlines = deadlines
        self._out = out
        self._began_ms = 0
        self._sustained_ms = 0
        self._above_noise_db = 0.0
        self._held = False
        """The sound was given the floor; its words are waited for."""
        self._judged = False
        """The sound that goes on was judged: only words make it more."""

    @property
    def may_interrupt(self) -> bool:
        return self._policy.enabled and self._speaker.can_be_interrupted

    def speech_started(self) -> None:
        self._sustained_ms = 0
        self._above_noise_db = 0.0
        self._judged = False

    def reply_started(self, now_ms: int) -> None:
        """The agent begins to be heard, perhaps while the caller speaks."""
        if self._listener.speaking and self._sustained_ms and self.may_interrupt:
            self._consider_pause(now_ms)

    def sustained(self, now_ms: int, for_ms: int, above_noise_db: float) -> bool:
        """The caller's speech goes on; returns whether an answer nobody has heard yet is to be
        dropped."""
        self._sustained_ms = for_ms
        self._above_noise_db = max(above_noise_db, self._above_noise_db)
        speaker = self._speaker
        if not self.may_interrupt:
            return False
        if not speaker.audible:
            return for_ms >= WENT_ON_MS and self._words_suffice()
        if speaker.paused:
            self._out.append(WantInterim())
        else:
            self._consider_pause(now_ms)
        return False

    def words(self, now_ms: int) -> None:
        """More of what the caller says is known."""
        speaker = self._speaker
        if not (self.may_interrupt and speaker.audible):
            return
        if speaker.is_protected(now_ms, self._policy.protected):
            return
        verdict = self.judge(now_ms, self._listener.text)
        if verdict is Verdict.BACKCHANNEL and self._listener.speaking:
            return  # "yeah" may go on with "but"
        if verdict is not None and (speaker.paused or verdict is Verdict.INTERRUPTION):
            self._decided(now_ms, verdict)

    def nothing_was_said(self, now_ms: int) -> None:
        """The speech is over, and there was no word in it."""
        if self._speaker.paused and not self._listener.speaking:
            self._decided(now_ms, Verdict.NOISE)

    def due(self, now_ms: int) -> None:
        """It has to be decided now."""
        if not self._speaker.paused:
            return
        verdict = self.judge(now_ms, self._listener.text) or judge_sound(
            self._policy,
            sustained_ms=self._sustained_ms,
            above_noise_db=self._above_noise_db,
        )
        if verdict is Verdict.INTERRUPTION and not self._listener.text:
            verdict = Verdict.NOISE
            if not self._held:
                self._held = True
                self._deadlines.set(VERDICT, now_ms + HOLD_MS)
                return
        self._decided(now_ms, verdict)

    def judge(self, now_ms: int, text: str) -> Verdict | None:
        """What words over the agent amount to."""
        since_ms = self._listener.started_ms - ECHO_REACH_MS
        agent = plain(self._speaker.said_between(now_ms, now_ms - since_ms))
        return judge_words(self._policy, text, agent)

    def _words_suffice(self) -> bool:
        return len(self._listener.text.split()) >= self._policy.min_words

    def _consider_pause(self, now_ms: int) -> None:
        if self._judged or self._speaker.is_protected(now_ms, self._policy.protected):
            return
        self._began_ms = now_ms
        self._held = False
        self._speaker.pause(now_ms)
        self._deadlines.set(VERDICT, now_ms + self._policy.verdict_ms)
        self._out.append(WantInterim())
        self.words(now_ms)

    def _decided(self, now_ms: int, verdict: Verdict) -> None:
        speaker = self._speaker
        self._deadlines.clear(VERDICT)
        self._judged = True
        reply = speaker.reply.number if speaker.reply is not None else None
        paused_ms = now_ms - self._began_ms if speaker.paused else 0
        data = {"reply": reply, "verdict": verdict.value, "paused_ms": paused_ms}
        self._out.append(Emit("overlap_judged", data))
        if verdict is Verdict.INTERRUPTION:
            speaker.cut(now_ms, "interrupted")
        else:
            speaker.resume(now_ms)
