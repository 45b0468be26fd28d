"""What one call's agent says, on its way to the line: the voice's audio, fixed phrases, fillers
and tones. The audio of a draft is held back.

Everything happens within the session's consumer: the turn machine hears of audio before the leg
is given it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, assert_never

from media.audio.convert import Converter
from media.audio.format import AudioFormat, Encoding
from media.audio.tones import dtmf
from media.playout import PlayoutOverflow
from media.transport import Leg
from voicecore.answering import AnsweringAgent
from voicecore.call_record import CallRecord
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Spawn
from voicecore.providers.tts import TtsAudio, TtsDone, TtsFailed, TtsWords
from voicecore.turns import inputs, outputs
from voicecore.voice_events import Cached, ScriptDone, Tones, Voiced
from voicecore.voicing import Voice

HELD_LIMIT_BYTES = 4_000_000
"""Audio of a draft that is kept: far more than its first sentence takes."""


class Replies(Protocol):
    """Whose speech counts, as the turn machine has it at the moment."""

    @property
    def live_reply(self) -> int | None:
        """The reply that is played."""

    @property
    def draft(self) -> int | None:
        """The reply whose speech is held back."""


class Saying:
    """One call's mouth. Speech of a reply that is neither live nor a draft is dropped.

    ``step`` has the machine take an input now, ``post`` appends to the inbox, ``post_first``
    puts items before what is in it, ``tell`` records an event of the call. ``held_limit`` is how
    many items of a draft are kept."""

    def __init__(
        self,
        leg: Leg,
        agent: AnsweringAgent,
        record: CallRecord,
        replies: Replies,
        *,
        step: Callable[[inputs.Input], None],
        post: Callable[[inputs.Input | Voiced], None],
        post_first: Callable[[Sequence[inputs.Input | Voiced]], None],
        tell: Callable[[outputs.Emit], None],
        held_limit: int,
    ) -> None:
        self._leg = leg
        self._line = leg.started.outbound
        self._agent = agent
        self._record = record
        self._replies = replies
        self._step = step
        self._post = post
        self._post_first = post_first
        self._tell = tell
        self._held_limit = held_limit
        self._held: deque[Voiced] = deque()
        """What the voice has delivered of a draft."""
        self._held_bytes = 0
        self._voice: Voice | None = None

    def open(self, spawn: Spawn) -> None:
        """Open the text-to-speech."""
        agent = self._agent
        self._voice = Voice(agent.tts, self._line, spawn, self._post, agent.sentence)

    def close(self) -> None:
        self._held.clear()
        if self._voice is not None:
            self._voice.close()

    # What the machine wants said

    def say(self, reply: int, text: str) -> None:
        """Speak a sentence as part of a reply."""
        self._opened().say(reply, text)

    def finish(self, reply: int) -> None:
        """No more sentences follow for this reply."""
        self._opened().finish(reply)

    def say_phrase(self, reply: int, text: str) -> None:
        """Speak a whole reply, from the cache if it is there."""
        spoken = self._agent.phrase(text, self._line)
        if spoken is None:
            self.say(reply, text)
            self.finish(reply)
            return
        self._post(inputs.WordsCame(reply, spoken.words))
        self._post(inputs.AudioCame(reply, self._line.duration_ms(len(spoken.audio))))
        self._post(inputs.SpeechDone(reply))
        self._leg.play(reply, spoken.audio)
        self._leg.finish(reply)
        self._bill(reply, 0, len(text))

    def say_filler(self, reply: int, text: str) -> None:
        """Play a phrase of the cache while a reply's own speech is awaited, if it is there."""
        spoken = self._agent.phrase(text, self._line)
        if spoken is None:
            return
        duration_ms = self._line.duration_ms(len(spoken.audio))
        # Before what the voice has delivered already, which will be played behind it.
        self._post_first((inputs.FillerPlays(reply, text, duration_ms, spoken.words),))
        self._leg.play(reply, spoken.audio)
        self._leg.rest(reply)

    def play_tones(self, reply: int, digits: str) -> None:
        """Press keys, after what the reply says before them."""
        rate_hz = self._line.rate_hz
        pcm = AudioFormat(encoding=Encoding.L16, rate_hz=rate_hz)
        self._opened().tones(reply, Converter(pcm, self._line).process(dtmf(digits, rate_hz)))

    def drop(self, reply: int) -> None:
        """Stop the voice. What it was given is billed all the same."""
        if characters := self._opened().drop():
            self._bill(reply, characters)

    def use_draft(self) -> None:
        """What the draft's voice has delivered meanwhile is taken first of all."""
        held, self._held = self._held, deque()
        self._held_bytes = 0
        self._post_first(held)

    def drop_draft(self, reply: int) -> None:
        """Forget what the draft's voice has delivered, and stop it."""
        self._held.clear()
        self._held_bytes = 0
        self.drop(reply)

    # What the voice delivers

    def receive(self, item: Voiced) -> None:
        """Take an event of the voice. One of a reply that is over is dropped here."""
        reply, event = item.reply, item.event
        if reply == self._replies.draft and self._opened().says(item):
            self._hold(item)
            return
        if reply != self._replies.live_reply or not self._opened().says(item):
            return
        if isinstance(event, TtsAudio):
            self._play(reply, self._opened().to_line(event.payload))
        elif isinstance(event, TtsWords):
            self._step(inputs.WordsCame(reply, self._opened().place(event.words)))
        elif isinstance(event, TtsDone):
            self._piece_done(reply, event.characters)
        elif isinstance(event, Cached):
            self._bill(reply, 0, event.characters)
            self._step(inputs.WordsCame(reply, event.words))
            self._play(reply, event.audio)
        elif isinstance(event, Tones):
            self._play(reply, event.audio)
        elif isinstance(event, ScriptDone):
            self._step(inputs.SpeechDone(reply))
            # A voice that was done without a sound may have been begun anew.
            if reply == self._replies.live_reply and self._opened().says(item):
                self._leg.finish(reply)
        elif isinstance(event, TtsFailed):
            self._piece_failed(reply, event.error)
        else:
            assert_never(event)

    def _hold(self, item: Voiced) -> None:
        """The voice speaks a draft: kept until it is known whether it is needed."""
        if isinstance(item.event, TtsFailed):
            self._step(inputs.SpeechFailed(item.reply, item.event.error))
            return
        self._held.append(item)
        if isinstance(item.event, TtsAudio):
            self._held_bytes += len(item.event.payload)
        if self._held_bytes > HELD_LIMIT_BYTES or len(self._held) > self._held_limit:
            detail = f"more than {HELD_LIMIT_BYTES} bytes for the beginning of an answer"
            error = VendorError(self._agent.tts.name, "garbage", detail, retryable=False)
            self._step(inputs.SpeechFailed(item.reply, error))

    def _piece_done(self, reply: int, characters: int) -> None:
        tail, spoken = self._opened().piece_done()
        self._play(reply, tail)
        self._bill(reply, characters)
        if not spoken:
            error = VendorError(self._agent.tts.name, "garbage", "no audio", retryable=True)
            self._piece_failed(reply, error)

    def _piece_failed(self, reply: int, error: VendorError) -> None:
        """What comes after speech from the cache is asked for once more; the rest is up to the
        machine."""
        characters, again = self._opened().piece_failed(retryable=error.retryable)
        if characters:
            self._bill(reply, characters)
        if not again:
            self._step(inputs.SpeechFailed(reply, error))
            return
        data = {
            "kind": "tts",
            "vendor": error.vendor,
            "code": error.code,
            "detail": error.detail,
            "reply": reply,
        }
        self._tell(outputs.Emit("vendor_failed", data))

    def _play(self, reply: int, audio: bytes) -> None:
        if not audio:
            return
        duration_ms = self._line.duration_ms(len(audio))
        self._step(inputs.AudioCame(reply, duration_ms))
        if reply != self._replies.live_reply:
            return
        try:
            self._leg.play(reply, audio)
        except PlayoutOverflow as overflow:
            error = VendorError(self._agent.tts.name, "garbage", str(overflow), retryable=False)
            self._step(inputs.SpeechFailed(reply, error))

    def _bill(self, reply: int, characters: int, cached_characters: int = 0) -> None:
        data = {"reply": reply, "characters": characters, "cached_characters": cached_characters}
        self._record.event("tts_usage", self._leg.now_ms(), data)

    def _opened(self) -> Voice:
        if self._voice is None:
            raise RuntimeError("the voice is used before the call has begun")
        return self._voice
