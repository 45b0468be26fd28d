"""Deepgram Nova's live protocol (``v1/listen``) as values, and what its messages mean. Pure.

Messages: developers.deepgram.com "Live Audio"; assembly rule: "Endpointing and interim
results"; "UtteranceEnd"; "Finalize".

What the rules leave open is decided here:

- ``finalize()`` is answered exactly once with ``flushed=True``: by the result that carries
  ``from_finalize``, by any final that reaches the point of ``finalize()`` or nearly so (Deepgram
  answers Finalize only when "a noticeable amount" of audio waits), or, when the time is over, by
  the last interim. A final that had already covered it answers at once.
- Text is delivered once. What went out from an interim is taken off the front of the late
  final, by its words where they agree and by time where they do not; only further words are
  delivered. A late correction of a word that was already delivered is lost: the conversation
  has acted on it.
- ``UtteranceEnd`` ends a turn that no ``speech_final`` ended, with the pending interim if its
  words lie before it.
"""

from collections.abc import Sequence

import msgspec

from voicecore.adapters.deepgram_messages import ErrorMessage, decode_known, sure
from voicecore.adapters.stt_audio import AudioLog
from voicecore.providers.stt import SttEvent, SttFinal, SttInterim
from voicecore.providers.words import Word, join_words, spread_words

KEEP_ALIVE = '{"type":"KeepAlive"}'
FINALIZE = '{"type":"Finalize"}'

_FINAL_TAIL_MS = 150
"""A final that ends this near the point of ``finalize()`` misses nothing but silence: our VAD
reports the end of speech no sooner than that."""

_ENDPOINT_TAIL_MS = 500
"""The same for a ``speech_final``, which itself was preceded by silence."""

_FINALIZE_TAIL_MS = 1000
"""A ``from_finalize`` that ends earlier than this answers an older ``finalize()``."""

_SILENCE_MARGIN_MS = 1000
"""How much of the audio that held no words is kept for a replay: a word may have begun."""


class NovaWord(msgspec.Struct, frozen=True):
    word: str
    start: float
    end: float
    punctuated_word: str | None = None


class Alternative(msgspec.Struct, frozen=True):
    transcript: str
    confidence: float | None = None
    words: tuple[NovaWord, ...] = ()


class Channel(msgspec.Struct, frozen=True):
    alternatives: tuple[Alternative, ...]


class Results(msgspec.Struct, frozen=True, tag_field="type", tag="Results"):
    """A transcript of ``duration`` seconds from ``start``, in the vendor's audio."""

    start: float
    duration: float
    channel: Channel
    is_final: bool | None = None
    speech_final: bool | None = None
    from_finalize: bool | None = None


class UtteranceEnd(msgspec.Struct, frozen=True, tag_field="type", tag="UtteranceEnd"):
    """``last_word_end`` is in seconds, negative where it is unknown."""

    last_word_end: float = -1.0


NovaMessage = Results | UtteranceEnd
_KNOWN = frozenset({"Results", "UtteranceEnd", "Error"})
_MESSAGE: msgspec.json.Decoder[NovaMessage | ErrorMessage] = msgspec.json.Decoder(
    NovaMessage | ErrorMessage
)


def decode_nova(message: str | bytes) -> NovaMessage | ErrorMessage | None:
    """A message that matters, None for one that does not (``Metadata``, ``SpeechStarted``,
    types that came after this was written).

    :raises ValueError: it is not what the protocol allows."""
    return decode_known(message, _MESSAGE, _KNOWN)


class _Pending(msgspec.Struct, frozen=True):
    """The last interim: its text, and where the vendor's segment began."""

    segment_ms: int
    text: str
    words: tuple[Word, ...]
    confidence: float = 1.0


class NovaTurn:
    """Turns messages into events. All its times are milliseconds of the pushed audio."""

    def __init__(self, log: AudioLog) -> None:
        self._log = log
        self._pending: _Pending | None = None
        self._early: _Pending | None = None  # delivered before the vendor called it final
        self._delivered_ms = 0
        self._open = False  # text was delivered since the last end of a turn
        self._flush_at: int | None = None
        self._final_ms = -1
        self._final_was_endpoint = False

    @property
    def flushing(self) -> bool:
        """``finalize()`` has not been answered yet."""
        return self._flush_at is not None

    def receive(self, message: NovaMessage) -> list[SttEvent]:
        if isinstance(message, Results):
            return self._results(message)
        return self._utterance_end(message)

    def finalize(self) -> list[SttEvent]:
        """Our VAD heard speech end. Nothing is returned when the vendor has to be asked."""
        at = self._log.pushed_ms
        if self._pending is None and self._covers(at, self._final_ms, self._final_was_endpoint):
            return [SttFinal("", flushed=True)]
        self._flush_at = at
        return []

    def timed_out(self) -> list[SttEvent]:
        """The vendor did not answer ``finalize()`` in time."""
        if self._flush_at is None:
            return []
        self._flush_at = None
        return [self._deliver_pending(end_of_turn=False, flushed=True)]

    def replaced(self) -> list[SttEvent]:
        """A new connection began. What it will not hear is final now."""
        pending, start = self._pending, self._log.connection_start_ms
        self._final_ms = -1
        if pending is None:
            return []
        lost = tuple(word for word in pending.words if word.end_ms <= start)
        kept = pending.words[len(lost) :]
        confidence = pending.confidence
        self._pending = _Pending(start, join_words(kept), kept, confidence) if kept else None
        if not lost:
            return []
        self._mark_delivered(lost)
        return [SttFinal(join_words(lost), lost, confidence=confidence)]

    def _results(self, results: Results) -> list[SttEvent]:
        start = self._log.to_ms(results.start)
        end = self._log.to_ms(results.start + results.duration)
        text, words = self._fresh(results, start, end)
        if not results.is_final:
            return self._interim(_Pending(start, text, words, _confidence(results)), end)
        had_interim = self._pending is not None
        endpoint = bool(results.speech_final)
        self._pending = self._early = None
        self._final_ms, self._final_was_endpoint = end, endpoint
        self._log.settle(end)
        flushed = self._answers(end, endpoint, bool(results.from_finalize))
        if words:
            self._mark_delivered(words)
        end_of_turn = endpoint and self._open
        if end_of_turn:
            self._open = False
        if words or end_of_turn or flushed:
            return [SttFinal(text, words, end_of_turn, flushed, confidence=_confidence(results))]
        return [SttInterim("")] if had_interim else []

    def _interim(self, pending: _Pending, end_ms: int) -> list[SttEvent]:
        if pending.words:
            self._pending = pending
            return [SttInterim(pending.text, pending.confidence)]
        had_interim = self._pending is not None
        self._pending = None
        self._log.settle(max(end_ms - _SILENCE_MARGIN_MS, 0))
        return [SttInterim("")] if had_interim else []

    def _utterance_end(self, message: UtteranceEnd) -> list[SttEvent]:
        if self._pending is not None:
            end = self._log.to_ms(message.last_word_end)
            if message.last_word_end < 0 or self._pending.words[-1].end_ms > end + 100:
                return []  # the caller went on
            return [self._deliver_pending(end_of_turn=True, flushed=False)]
        if not self._open:
            return []
        self._open = False
        return [SttFinal("", end_of_turn=True)]

    def _deliver_pending(self, *, end_of_turn: bool, flushed: bool) -> SttFinal:
        pending, self._pending = self._pending, None
        if pending is None:
            return SttFinal("", end_of_turn=end_of_turn, flushed=flushed)
        early = self._early
        if early is not None and _same(early, pending.segment_ms):
            known = early.words + pending.words
            self._early = _Pending(early.segment_ms, "", known)
        else:
            self._early = pending
        self._mark_delivered(pending.words)
        self._log.settle(pending.words[-1].end_ms)
        self._open = not end_of_turn
        return SttFinal(
            pending.text, pending.words, end_of_turn, flushed, confidence=pending.confidence
        )

    def _mark_delivered(self, words: Sequence[Word]) -> None:
        self._delivered_ms = max(self._delivered_ms, words[-1].end_ms)
        self._open = True

    def _answers(self, end_ms: int, endpoint: bool, from_finalize: bool) -> bool:
        if self._flush_at is None:
            return False
        near = from_finalize and end_ms >= self._flush_at - _FINALIZE_TAIL_MS
        if near or self._covers(self._flush_at, end_ms, endpoint):
            self._flush_at = None
            return True
        return False

    @staticmethod
    def _covers(at_ms: int, final_ms: int, endpoint: bool) -> bool:
        tail_ms = _ENDPOINT_TAIL_MS if endpoint else _FINAL_TAIL_MS
        return final_ms >= 0 and final_ms >= at_ms - tail_ms

    def _fresh(self, results: Results, start: int, end: int) -> tuple[str, tuple[Word, ...]]:
        """What of a result was not delivered yet."""
        best = results.channel.alternatives[0] if results.channel.alternatives else None
        if best is None or not best.transcript.strip():
            return "", ()
        to_ms = self._log.to_ms
        words = tuple(
            Word(w.punctuated_word or w.word, to_ms(w.start), to_ms(w.end)) for w in best.words
        ) or spread_words(best.transcript, start, end)
        early = self._early
        if early is not None and _same(early, start) and _begins_with(words, early.words):
            fresh = words[len(early.words) :]
        elif start < self._delivered_ms:
            fresh = tuple(w for w in words if w.start_ms + w.end_ms > 2 * self._delivered_ms)
        else:
            fresh = words
        if len(fresh) == len(words):
            return best.transcript.strip(), words
        return join_words(fresh), fresh


def _confidence(results: Results) -> float:
    """How sure the vendor is of a result, 0 to 1."""
    alternatives = results.channel.alternatives
    told = bool(alternatives) and bool(alternatives[0].transcript)
    return sure(alternatives[0].confidence) if told else 1.0


def _same(segment: _Pending, start_ms: int) -> bool:
    return abs(segment.segment_ms - start_ms) <= 20


def _begins_with(words: Sequence[Word], front: Sequence[Word]) -> bool:
    return len(words) >= len(front) and all(
        _bare(word.text) == _bare(other.text) for word, other in zip(words, front, strict=False)
    )


def _bare(word: str) -> str:
    """A word without case and punctuation, which interims and finals set differently."""
    return "".join(letter for letter in word.lower() if letter.isalnum())
