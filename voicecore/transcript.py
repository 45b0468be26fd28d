"""What was said in a call: one entry per turn and speaker, with the words' times.

Pure: it builds entries and their JSON. Times are milliseconds from the start of the stream.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from voicecore.journal import mend_text
from voicecore.providers.words import Word
from voicecore.turns.heard_word import HeardWord

TRANSCRIPT_LIMIT_BYTES = 2 * 1024 * 1024
"""Of all entries; about three hours of talk without a pause."""

Heard = bool | Literal["cut"]


class TranscriptWord(msgspec.Struct, frozen=True, omit_defaults=True):
    """``heard`` is only given for the agent's words: whether the caller heard it, or
    ``"cut"`` when the interruption fell into it."""

    text: str
    start_ms: int
    end_ms: int
    heard: Heard | None = None


class TranscriptEntry(msgspec.Struct, frozen=True):
    """``text`` is everything that was said; of an interrupted reply, also what the caller did
    not hear any more."""

    turn: int
    speaker: Literal["caller", "agent"]
    start_ms: int
    end_ms: int
    text: str
    words: tuple[TranscriptWord, ...] = ()
    interrupted: bool = False


def caller_entry(
    turn: int, start_ms: int, end_ms: int, text: str, words: Iterable[Word] = ()
) -> TranscriptEntry:
    """What the caller said; the words' times already count from the start of the stream."""
    placed = tuple(TranscriptWord(word.text, word.start_ms, word.end_ms) for word in words)
    return TranscriptEntry(turn, "caller", start_ms, end_ms, text, placed)


def agent_entry(
    turn: int,
    start_ms: int,
    words: Iterable[HeardWord],
    *,
    end_ms: int | None = None,
    interrupted: bool = False,
) -> TranscriptEntry:
    """What the agent said in a reply that began to play at ``start_ms``; the words' times count
    from the reply's first sample. ``end_ms`` is when it ended or was interrupted; None: with
    its last word."""
    placed = tuple(
        TranscriptWord(word.text, start_ms + word.start_ms, start_ms + word.end_ms, word.heard)
        for word in words
    )
    if end_ms is None:
        end_ms = placed[-1].end_ms if placed else start_ms
    text = " ".join(word.text for word in placed)
    return TranscriptEntry(turn, "agent", start_ms, end_ms, text, placed, interrupted)


class Transcript:
    """The entries of a call. Each is encoded once, however often the whole is asked for."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, str], TranscriptEntry] = {}
        self._encoded: dict[tuple[int, str], bytes] = {}
        self.full = False
        """Once an entry did not fit, none is taken any more: a transcript has no holes."""
        self.size_bytes = 0
        """Of all entries as JSON."""

    def put(self, entry: TranscriptEntry) -> bool:
        """Adds an entry, or replaces the one of the same turn and speaker. False when the
        transcript is full."""
        if self.full:
            return False
        key = (entry.turn, entry.speaker)
        encoded = _encode(entry)
        size_bytes = self.size_bytes + len(encoded) - len(self._encoded.get(key, b""))
        self.full = size_bytes > TRANSCRIPT_LIMIT_BYTES
        if not self.full:
            self.size_bytes = size_bytes
            self._entries[key] = entry
            self._encoded[key] = encoded
        return not self.full

    @property
    def entries(self) -> tuple[TranscriptEntry, ...]:
        """In the order in which they were begun to be spoken."""
        return tuple(self._entries[key] for key in self._order())

    def to_json(self) -> bytes:
        """The content of ``transcript.json``: a list with one entry a line."""
        if not self._entries:
            return b"[]\n"
        return b"[\n" + b",\n".join(self._encoded[key] for key in self._order()) + b"\n]\n"

    def _order(self) -> list[tuple[int, str]]:
        return sorted(self._entries, key=lambda key: self._entries[key].start_ms)


def read_transcript(content: bytes) -> list[TranscriptEntry]:
    """:raises msgspec.DecodeError: it is not a transcript."""
    return msgspec.json.decode(content, type=list[TranscriptEntry])


def _encode(entry: TranscriptEntry) -> bytes:
    try:
        return _ENCODER.encode(entry)
    except UnicodeEncodeError:
        return _ENCODER.encode(mend_text(entry))


_ENCODER = msgspec.json.Encoder()
