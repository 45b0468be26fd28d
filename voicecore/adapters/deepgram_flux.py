"""Deepgram Flux' live protocol (``v2/listen``) as values, and what its messages mean. Pure.

Messages and the order in which they may come: developers.deepgram.com "Flux", "State machine".
Flux counts turns, and each message of a turn repeats the whole of its text.

What went out early (``timed_out``, ``replaced``) is counted in words and taken off the front of
the turn's later messages, so that each word is delivered once; a turn that has ended takes no
more messages.
"""

import msgspec

from voicecore.adapters.deepgram_messages import ErrorMessage, decode_known, sure
from voicecore.adapters.stt_audio import AudioLog
from voicecore.providers.stt import SttEager, SttEvent, SttFinal, SttInterim, SttResumed
from voicecore.providers.words import Word, join_words, spread_words

FORCE_END_TURN = '{"type":"ForceEndTurn"}'

_SILENCE_MARGIN_MS = 1000
"""How much of the audio that held no words is kept for a replay: a word may have begun."""


class FluxWord(msgspec.Struct, frozen=True):
    word: str
    start: float | None = None
    end: float | None = None
    confidence: float | None = None


class TurnInfo(msgspec.Struct, frozen=True, tag_field="type", tag="TurnInfo"):
    """``event`` is Update, StartOfTurn, EagerEndOfTurn, TurnResumed or EndOfTurn; others may
    come. The window is in seconds of the vendor's audio."""

    event: str
    turn_index: int
    transcript: str
    audio_window_start: float
    audio_window_end: float
    words: tuple[FluxWord, ...] = ()


_KNOWN = frozenset({"TurnInfo", "Error"})
_MESSAGE: msgspec.json.Decoder[TurnInfo | ErrorMessage] = msgspec.json.Decoder(
    TurnInfo | ErrorMessage
)


def decode_flux(message: str | bytes) -> TurnInfo | ErrorMessage | None:
    """A message that matters, None for one that does not (``Connected``, ``Warning``,
    ``ConfigureSuccess``, types that came after this was written).

    :raises ValueError: it is not what the protocol allows."""
    return decode_known(message, _MESSAGE, _KNOWN)


class FluxTurn:
    """Turns messages into events. All its times are milliseconds of the pushed audio."""

    def __init__(self, log: AudioLog) -> None:
        self._log = log
        self._index = 0
        self._delivered = 0  # words of the present turn that went out as final
        self._seen = 0  # words of the present turn in its last message
        self._text = ""
        self._words: tuple[Word, ...] = ()
        self._confidence = 1.0
        self._eager = False
        self._ended_ms = -1
        self._speech_ms = 0

    @property
    def open(self) -> bool:
        """Text was heard that is not final."""
        return bool(self._text)

    @property
    def ended_quietly(self) -> bool:
        """The last turn ended, and ended after our VAD last heard speech begin."""
        return not self._text and self._ended_ms > self._speech_ms

    def speech_started(self) -> None:
        self._speech_ms = self._log.pushed_ms

    def receive(self, info: TurnInfo) -> list[SttEvent]:
        if info.turn_index < self._index:
            return []
        if info.turn_index > self._index:
            self._index, self._delivered = info.turn_index, 0
            self._clear()
        before = self._text
        self._take(info)
        if info.event == "EndOfTurn":
            return self._end(info)
        if info.event == "EagerEndOfTurn":
            if not self._text:
                return []
            self._eager = True
            return [SttEager(self._text, self._confidence)]
        events: list[SttEvent] = []
        if info.event == "TurnResumed" and self._eager:
            self._eager = False
            events.append(SttResumed())
        if self._text != before:
            events.append(SttInterim(self._text, self._confidence))
        return events

    def timed_out(self) -> list[SttEvent]:
        """Nobody ended the turn: what was heard is final, and answers ``finalize()``."""
        final = SttFinal(self._text, self._words, flushed=True, confidence=self._confidence)
        if self._words:
            self._log.settle(self._words[-1].end_ms)
        self._delivered = self._seen
        self._clear()
        return [final]

    def replaced(self) -> list[SttEvent]:
        """A new connection began, and counts its turns anew. What it will not hear is final."""
        start = self._log.connection_start_ms
        lost = tuple(word for word in self._words if word.end_ms <= start)
        kept = self._words[len(lost) :]
        events: list[SttEvent] = [SttResumed()] if self._eager else []
        if lost:
            events.append(SttFinal(join_words(lost), lost, confidence=self._confidence))
        self._clear()
        self._words, self._text = kept, join_words(kept)
        self._index = self._delivered = self._seen = 0
        return events

    def _take(self, info: TurnInfo) -> None:
        start = self._log.to_ms(info.audio_window_start)
        end = self._log.to_ms(info.audio_window_end)
        words = self._place(info, start, end)
        each = [sure(word.confidence) for word in info.words]
        self._confidence = round(sum(each) / len(each), 3) if each else 1.0
        self._seen = max(self._delivered, len(words))
        if self._delivered:
            self._words = words[self._delivered :]
            self._text = join_words(self._words)
        else:
            self._words, self._text = words, info.transcript.strip()
        if not words:
            self._log.settle(max(end - _SILENCE_MARGIN_MS, 0))

    def _place(self, info: TurnInfo, start: int, end: int) -> tuple[Word, ...]:
        to_ms = self._log.to_ms
        words = tuple(
            Word(word.word, to_ms(word.start), to_ms(word.end))
            for word in info.words
            if word.start is not None and word.end is not None
        )
        if words and len(words) == len(info.words):
            return words
        return spread_words(info.transcript, start, end)

    def _end(self, info: TurnInfo) -> list[SttEvent]:
        final = SttFinal(
            self._text, self._words, end_of_turn=True, flushed=True, confidence=self._confidence
        )
        self._ended_ms = self._log.to_ms(info.audio_window_end)
        self._log.settle(self._ended_ms)
        self._index, self._delivered, self._seen = info.turn_index + 1, 0, 0
        self._clear()
        return [final]

    def _clear(self) -> None:
        self._text, self._words, self._eager = "", (), False
