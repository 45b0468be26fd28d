"""When has the caller finished? Assembles the caller's turn and decides its end."""

from collections.abc import Callable

from msgspec import structs

from media.audio.format import FRAME_MS
from voicecore.providers.stt import SttEager, SttEvent, SttFinal, SttInterim, SttResumed
from voicecore.turns.backchannels import Phrase, plain
from voicecore.turns.caller_turn import CallerTurn
from voicecore.turns.completeness_levels import Completeness
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.ear import DEAF, Ear
from voicecore.turns.endpointing import OVER_FROM, Endpointing, Sounds
from voicecore.turns.guesses import Guesses
from voicecore.turns.heard import CHARACTER_MS
from voicecore.turns.outputs import Output, TurnOver
from voicecore.turns.settings import TurnSettings
from voicecore.turns.turn_text import TurnText

ENDPOINT = "endpoint"
FLUSH = "flush"
STUCK = "stuck"

STUCK_MS = 10_000
"""The VAD may hear speech for so long without a new word before the words that are there count
as the turn: a television, an engine, a line that hums."""

LATE_TEXT_MS = 3000
"""Text without sound that comes so soon after a sound is that sound's."""

NOISE_MS = 1500
"""So long a sound delays a turn that has words before it, if it brings wild guesses only: people in
the background, an engine."""

SAME_MS = 1500
"""So much longer than a pause guesses have to say the same for the VAD to be wrong about somebody
speaking: it may be an "um" that goes on."""

NO_WORDS_MS = 20_000
"""Speech without any word for so long is noise."""

VENDOR_PATIENCE_MS = 4000
"""How long after speech a vendor that ends turns itself may think about this one."""


_MAY_BE_WHOLE = (Completeness.COMPLETE, Completeness.OPEN, Completeness.DOUBTFUL)


class Listener:
    """Fed with VAD edges and transcripts; ``decide`` tells when the turn is over."""

    def __init__(
        self,
        settings: TurnSettings,
        deadlines: Deadlines,
        out: list[Output],
        ear: Ear = DEAF,
        said: Callable[[], str] = str,
    ) -> None:
        """``said`` tells what the agent said last, as far as it was heard."""
        self.speaking = False
        self.started_ms = 0
        self.stopped_ms = 0
        self.endpointing = Endpointing(settings.endpointing, said)
        self.guesses = Guesses(settings.overlap)
        self._settings = settings
        self._deadlines = deadlines
        self._out = out
        self._ear = ear
        self._begins_by_ms = 0
        self._vendor_says_over = False
        self._audio: float | None = None
        """A model's probability that the pause at ``stopped_ms`` ends the turn."""
        self._text = TurnText(settings.overlap)
        self._first_ms: int | None = None
        self._final_ms = 0
        self._flushed = False
        self._vendor_ended = False
        self._ripe = False
        self._eager = False
        self._has_final = False
        """The last sound has one."""
        self._sounds_ms = self._last_sounds_ms = 0
        self._same_words: Phrase = ()
        self._same_since_ms = 0

    @property
    def turn_started_ms(self) -> int | None:
        """When the turn began; None while there is none."""
        return self._first_ms

    @property
    def likely_over(self) -> bool:
        """Whether the caller has probably finished, be it not decided: the vendor says so, or
        there is a pause after a text that need not go on."""
        if self._first_ms is None or not self.text:
            return False
        if self._eager:
            return True
        if self.speaking:
            return False
        odds = self.endpointing.odds(self.text, audio=self._audio)
        sounds = self._settings.endpointing.sounds(self._audio)
        if odds < 0 or sounds is Sounds.UNFINISHED:
            return False
        return self._flushed or odds >= OVER_FROM

    @property
    def text_is_final(self) -> bool:
        """The text of the last sound is no guess: the vendor has made it final, or nothing more
        of it comes."""
        if self._text.has_guess:
            return False
        return self._has_final or (self._flushed and not self.speaking)

    def sound_ms(self, now_ms: int) -> int:
        """How long the sounds of this turn were together, as far as they have come; of words in a
        noise that goes on, in which the VAD hears no sounds, how long they take to say."""
        if self._first_ms is None:
            return len(self.text) * CHARACTER_MS
        return self._sounds_ms + (now_ms - self.started_ms if self.speaking else 0)

    @property
    def text(self) -> str:
        """Everything understood of this turn so far."""
        return self._text.text

    @property
    def guess(self) -> str:
        """What was guessed at the sound that goes on; empty if that was wild."""
        return self.guess_from(self._settings.overlap.wild_confidence)

    def guess_from(self, least_confidence: float) -> str:
        """The same, if the speech-to-text is at least so sure of it."""
        if not self.guesses.heard_ms:
            return ""  # what is there was guessed at the sound before
        return self._text.guessed_text(least_confidence)

    def certain_text(self, now_ms: int) -> str:
        """What of it the speech-to-text is sure of."""
        return self._text.certain(self.sound_ms(now_ms))

    @property
    def wants_guess(self) -> bool:
        """Whether the sound that goes on is perhaps noise that a turn waits for."""
        return self.speaking and self.guesses.wild and self._may_be_whole

    @property
    def _may_be_whole(self) -> bool:
        """Whether what is certain of the turn could be all of it."""
        certain = self._text.certain(self._sounds_ms, guess=False)
        if not certain:
            return False
        return self.endpointing.judge(certain) in _MAY_BE_WHOLE

    @property
    def idle(self) -> bool:
        """Nobody speaks, and nothing that was said awaits a decision."""
        waiting = ENDPOINT in self._deadlines or FLUSH in self._deadlines
        return not (self.speaking or waiting)

    def speech_started(self, at_ms: int) -> None:
        self.speaking = True
        self.started_ms = at_ms
        self._has_final = False
        self.guesses.started()
        self._same_words = ()
        if self._first_ms is None:
            self._first_ms = at_ms
        elif self.text:
            self.endpointing.paused(at_ms - self.stopped_ms, self.text)
        self._flushed = self._ripe = False
        self._audio = None
        self._deadlines.clear(ENDPOINT, FLUSH)
        self._deadlines.set(STUCK, at_ms + (STUCK_MS if self.text else NO_WORDS_MS))

    def speech_stopped(self, now_ms: int, at_ms: int) -> None:
        """The text so far is to be finished: the caller of this asks for it."""
        self.speaking = False
        self._deadlines.clear(STUCK)
        self.stopped_ms = at_ms
        self._sounds_ms += at_ms - self.started_ms
        self._flushed = self._ripe = False
        wait_ms = self._settings.flush_timeout_ms
        if self._settings.vendor_ends_turns:
            wait_ms = max(wait_ms, VENDOR_PATIENCE_MS)
        self._deadlines.set(FLUSH, now_ms + wait_ms)
        self._await_end(now_ms)

    def audio_opinion(self, now_ms: int, at_ms: int, probability: float) -> bool:
        """A model judged the pause that began at ``at_ms``. False: it is not this pause any more,
        and makes no difference."""
        if self.speaking or self._first_ms is None or at_ms != self.stopped_ms:
            return False
        self._audio = probability
        self._await_end(now_ms)
        return True

    def heard(self, now_ms: int, event: SttEvent) -> None:
        before, was_wild = self.text, self.guesses.wild
        self._take(now_ms, event)
        if isinstance(event, SttInterim) or (isinstance(event, SttFinal) and not self.speaking):
            self.guesses.told(event.text, event.confidence, now_ms - self.started_ms)
        self._eager = isinstance(event, SttEager) or (self._eager and self.text == before)
        if self.speaking:
            if self.guesses.wild and self.guesses.several and self._may_be_whole:
                self._deadlines.set(STUCK, max(self.started_ms + NOISE_MS, now_ms))
            elif self._says_no_more(now_ms, event):
                self._deadlines.set(STUCK, now_ms)
            elif self.text != before or was_wild:
                self._deadlines.set(STUCK, now_ms + STUCK_MS)
        elif self._first_ms is not None and (self.text != before or isinstance(event, SttFinal)):
            self._await_end(now_ms)

    def _says_no_more(self, now_ms: int, event: SttEvent) -> bool:
        """Whether a sound goes on and guess after guess finds no new word in it: a crowd goes on
        behind the caller, who has finished."""
        if not isinstance(event, SttInterim) or not self._text.certain(self._sounds_ms):
            return False
        words = plain(event.text)
        if words != self._same_words:
            self._same_words, self._same_since_ms = words, now_ms
        wait_ms = self.endpointing.wait_ms(self.text)
        return now_ms >= self._same_since_ms + wait_ms + SAME_MS

    def _await_end(self, now_ms: int) -> None:
        """Set, from what is known of the text, when the pause is long enough."""
        wait_ms = self.endpointing.wait_ms(
            self.text, vendor_says_over=self._vendor_says_over, audio=self._audio
        )
        end_ms = max(self.stopped_ms + wait_ms, now_ms)
        # A turn is not taken while the caller perhaps just goes on: by then the VAD knows.
        self._begins_by_ms = end_ms + self._settings.begin_ms
        self._ripe = end_ms == now_ms and not self._ear.may_begin()
        if self._ripe:
            self._deadlines.clear(ENDPOINT)
        else:
            self._deadlines.set(ENDPOINT, end_ms)

    def _take(self, now_ms: int, event: SttEvent) -> None:
        if isinstance(event, SttInterim):
            self._text.guess(event.text, event.confidence)
        elif isinstance(event, SttFinal):
            self._take_final(now_ms, event)
        elif isinstance(event, SttEager):
            self._text.guess(event.text, event.confidence)
        elif isinstance(event, SttResumed):
            self._vendor_ended = self._eager = False

    def due(self, now_ms: int, name: str) -> None:
        """One of this module's deadlines has come."""
        if name == ENDPOINT:
            if self._ear.may_begin() and now_ms < self._begins_by_ms:
                self._deadlines.set(ENDPOINT, now_ms + FRAME_MS)
            else:
                self._ripe = True
        elif name == STUCK:
            self._noise_goes_on(now_ms)
        else:  # the text is late: what is there must do
            if self._text.has_guess:
                self._text.settle_late(now_ms)
                self._settled(now_ms)
            self._flushed = True

    def stt_died(self, now_ms: int) -> None:
        """Another stream follows, which has not heard what this one understood."""
        if self._text.has_guess:
            self._text.settle_guess()
            self._settled(now_ms)

    def _settled(self, now_ms: int) -> None:
        self._has_final = True
        self._final_ms = now_ms

    def _noise_goes_on(self, now_ms: int) -> None:
        """What sounds like speech has brought no new word for long: take what there is."""
        self.speaking = False
        if self.guesses.wild:
            self._text.guess("", 1.0)
        self.stopped_ms = self._final_ms = now_ms
        self._sounds_ms += now_ms - self.started_ms
        self._flushed = self._ripe = True

    def decide(self) -> CallerTurn | None:
        """The caller's turn once it is over, and then no more; None while it is not. A turn
        of no text was noise: it vanishes."""
        if self.speaking and not self._vendor_ended:
            return None
        if not (self._vendor_ended or (self._flushed and self._ripe)):
            return None
        text, certain = self.text, self._text.certain(self._sounds_ms)
        turn = CallerTurn(
            text,
            self._text.words,
            self._first_ms if self._first_ms is not None else self.stopped_ms,
            self.stopped_ms,
            max(self._final_ms, self._first_ms or 0),
            self._sounds_ms,
            None if certain == text else certain,
            self._text.wild,
        )
        self.reset()
        if not turn.text:
            return None
        self.endpointing.ended(turn.text)
        return turn

    def reset(self) -> None:
        """Forget the turn. Speech that is going on starts the next."""
        if not self._text.empty or self._first_ms is not None:
            self._out.append(TurnOver())
        self._text.clear()
        self.endpointing.forget_turn()
        self._has_final = False
        self._last_sounds_ms, self._sounds_ms = self._sounds_ms, 0
        self._first_ms = self.started_ms if self.speaking else None
        self._flushed = self._vendor_ended = self._ripe = self._vendor_says_over = False
        self._eager = False
        self._audio = None
        self._deadlines.clear(ENDPOINT, FLUSH)

    def _take_final(self, now_ms: int, event: SttFinal) -> None:
        if event.text:
            event = self._text.new_of(now_ms, event)
            least = self._settings.overlap.min_confidence
            if event.confidence < least and self.guesses.were_sure(event.text):
                event = structs.replace(event, confidence=least)
        if self._first_ms is None and event.text:
            # The vendor heard what the VAD did not, or is late with what it did.
            late = now_ms < self.stopped_ms + LATE_TEXT_MS
            self._sounds_ms = self._last_sounds_ms if late else len(event.text) * CHARACTER_MS
            self._first_ms = self.stopped_ms = now_ms
            self._flushed = True
        if event.text:
            self._text.add(event)
            self._settled(now_ms)
        self._text.guess("", 1.0)
        if event.flushed and not self.speaking:
            self._flushed = True
            self._deadlines.clear(FLUSH)
        self._vendor_says_over = event.end_of_turn
        if event.end_of_turn and self._settings.vendor_ends_turns and self.text:
            self._vendor_ended = True
            self.stopped_ms = max(self.stopped_ms, self._first_ms or 0)
