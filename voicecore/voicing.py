"""The agent's voice on one call: a reply's sentences and tones to audio of the line, in order."""

from collections import deque
from collections.abc import Callable

from msgspec import structs

from media.audio.convert import Converter
from media.audio.format import AudioFormat
from voicecore.providers.stt import Spawn
from voicecore.providers.tts import (
    Tts,
    TtsAudio,
    TtsDone,
    TtsEvent,
    TtsFailed,
    TtsReply,
    TtsSession,
    TtsWords,
)
from voicecore.providers.words import Word
from voicecore.speech_cache import Speech
from voicecore.voice_events import Cached, ScriptDone, Tones, Voiced

FindSpeech = Callable[[str, AudioFormat, int], Speech | None]
"""Looks for a sentence in a line's format, made at a rate of so many hertz at least."""


class _Finish:
    """The last step of a script."""


class _Piece:
    """A run of sentences that the text-to-speech speaks without a break."""

    def __init__(self, session: TtsSession, from_ms: int, post: Callable[[TtsEvent], None]) -> None:
        self.from_ms = from_ms
        """Where in the reply's audio it begins."""
        self.finishing = False
        self.texts: list[str] = []
        """What it was given to speak."""
        self.audio_bytes = 0
        self._post = post
        self._over = False
        self._sounds = False
        self._early: list[TtsWords] = []
        """Words that came before any audio: of a piece that is begun anew they come again."""
        self.speech: TtsReply = session.reply(self.take)

    @property
    def characters(self) -> int:
        return sum(map(len, self.texts))

    def say(self, text: str) -> None:
        self.texts.append(text)
        self.speech.say(text)

    def take(self, event: TtsEvent) -> None:
        if self._over:
            return
        if isinstance(event, TtsWords) and not self._sounds:
            self._early.append(event)
            return
        if isinstance(event, TtsAudio) and event.payload and not self._sounds:
            self._sounds = True
            for words in self._early:
                self._post(words)
        self._over = type(event) is TtsDone or type(event) is TtsFailed
        self._post(event)

    def drop(self) -> None:
        """Stop; nothing more is taken, though the vendor may go on."""
        self._over = True
        self.speech.cancel()


class Voice:
    """One call's voice. It speaks one reply at a time; beginning another drops the last.

    Tones wait until the text-to-speech has delivered the sentences before them; sentences
    after them are a new piece, whose words' times are shifted to where it begins.

    A sentence that would begin a piece may come from ``find``, without the text-to-speech,
    which speaks the sentences after it meanwhile."""

    def __init__(
        self,
        vendor: Tts,
        line: AudioFormat,
        spawn: Spawn,
        post: Callable[[Voiced], None],
        find: FindSpeech = lambda text, line, at_least_hz: None,
    ) -> None:
        self._session = vendor.open(line, spawn=spawn)
        self._line = line
        self._post = post
        self._find = find
        self._number: int | None = None
        self._script = 0
        self._steps: deque[str | bytes | _Finish] = deque()
        self._piece: _Piece | None = None
        self._mute: _Piece | None = None
        """The last piece, if it was done without a sound."""
        self._tried_again = False
        self._given_bytes = 0
        self._converter = Converter(self._session.audio, line)

    def say(self, number: int, text: str) -> None:
        self._add(number, text)

    def tones(self, number: int, audio: bytes) -> None:
        """Play tones, given in the line's format, at their place in the reply."""
        self._add(number, audio)

    def finish(self, number: int) -> None:
        """Nothing more follows: ``ScriptDone`` comes after the last audio."""
        self._add(number, _Finish())

    def says(self, voiced: Voiced) -> bool:
        """Whether an event is of the voice as it speaks now, not of one that was dropped."""
        return voiced.script == self._script

    def to_line(self, payload: bytes) -> bytes:
        """Audio of the current piece in the line's format; may be empty while the resampler
        fills."""
        return self._count(self._converter.process(payload))

    def place(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """Words of the current piece, their times counted from the reply's first sample."""
        return _later(words, self._piece.from_ms if self._piece is not None else 0)

    def piece_done(self) -> tuple[bytes, bool]:
        """``TtsDone`` came: returns what the resampler still holds, and whether there was any
        audio of the piece; goes on if there was."""
        tail = self._count(self._converter.flush())
        piece, self._piece = self._piece, None
        if piece is not None and not piece.audio_bytes:
            self._mute = piece
            return tail, False
        self._go_on()
        return tail, True

    def piece_failed(self, *, retryable: bool) -> tuple[int, bool]:
        """The text-to-speech failed the current piece, or made no audio of it. Where the reply
        was audible before the piece, it cannot be begun anew: the piece is, once, if nothing of
        it came. Returns how many characters the text-to-speech was given for it of which it has
        not told the end, and whether it is asked again."""
        untold, self._piece = self._piece, None
        failed, self._mute = untold or self._mute, None
        characters = 0
        if untold is not None:
            untold.drop()
            characters = untold.characters
        heard = failed is None or failed.audio_bytes > 0
        if heard or not (retryable and self._given_bytes) or self._tried_again:
            return characters, False
        self._tried_again = True
        for text in failed.texts if failed is not None else ():
            self._say(text)
        self._go_on()
        return characters, True

    def drop(self) -> int:
        """Stop the current reply; nothing more of it comes. Returns how many characters the
        text-to-speech was given of which it has not told the end."""
        self._script += 1
        self._number = None
        self._steps.clear()
        self._given_bytes = 0
        self._mute = None
        self._tried_again = False
        piece, self._piece = self._piece, None
        if piece is None:
            return 0
        piece.drop()
        return piece.characters

    def close(self) -> None:
        self.drop()
        self._session.close()

    def _add(self, number: int, step: str | bytes | _Finish) -> None:
        if self._number != number:
            self.drop()
            self._number = number
        self._steps.append(step)
        self._go_on()

    def _go_on(self) -> None:
        """Take every step that can be taken now."""
        while self._steps:
            step = self._steps[0]
            if isinstance(step, str):
                if self._piece is not None and self._piece.finishing:
                    return
                if self._piece is not None or not self._say_cached(step):
                    self._say(step)
            elif self._piece is not None:
                if not self._piece.finishing:
                    self._piece.finishing = True
                    self._piece.speech.finish()
                return
            elif isinstance(step, bytes):
                self._event(Tones(self._count(step)))
            else:
                self._event(ScriptDone())
            self._steps.popleft()

    def _say(self, text: str) -> None:
        if self._piece is None:
            # A cut reply must leave nothing in the next one.
            self._converter = Converter(self._session.audio, self._line)
            from_ms = self._line.duration_ms(self._given_bytes)
            self._piece = _Piece(self._session, from_ms, self._event)
        self._piece.say(text)

    def _say_cached(self, text: str) -> bool:
        """Take a sentence from the cache, if it is there."""
        rate_hz = min(self._line.rate_hz, self._session.audio.rate_hz)
        speech = self._find(text, self._line, rate_hz)
        if speech is None:
            return False
        words = _later(speech.words, self._line.duration_ms(self._given_bytes))
        self._event(Cached(self._count(speech.audio), words, len(text)))
        return True

    def _event(self, event: TtsEvent | Tones | Cached | ScriptDone) -> None:
        if self._number is not None:
            self._post(Voiced(self._number, event, self._script))

    def _count(self, audio: bytes) -> bytes:
        self._given_bytes += len(audio)
        if self._piece is not None:
            self._piece.audio_bytes += len(audio)
        return audio


def _later(words: tuple[Word, ...], by_ms: int) -> tuple[Word, ...]:
    if not by_ms:
        return words
    return tuple(
        structs.replace(word, start_ms=word.start_ms + by_ms, end_ms=word.end_ms + by_ms)
        for word in words
    )
