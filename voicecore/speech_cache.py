"""Speech that was made before: sentences by voice and text, within bounds. Pure."""

from collections import OrderedDict
from hashlib import sha256

import msgspec

from media.audio.convert import convert_all
from media.audio.format import AudioFormat
from voicecore.adapters.registry import VendorConfig
from voicecore.providers.words import Word

LIMIT_BYTES = 64 * 2**20
"""Of all voices together; about 140 minutes at 8 kHz."""
LONGEST_MS = 20_000
LONGEST_CHARS = 300
"""A longer text is hardly said twice."""
BEYOND_END_MS = 500
"""Word times may be estimates. A word that ends this far behind the audio shows that the audio
is not all that was to come."""
AGE_AFTER = 4096
"""After so many uses of the cache, all earlier ones count half."""

_ENTRY_BYTES = 600
_WORD_BYTES = 160
"""What an entry and a word take besides audio, roughly."""


class Speech(msgspec.Struct, frozen=True):
    """A text spoken as a whole. Its words' times count from its first sample."""

    format: AudioFormat
    audio: bytes
    words: tuple[Word, ...]

    @property
    def duration_ms(self) -> int:
        return self.format.duration_ms(len(self.audio))

    def to_line(self, line: AudioFormat) -> "Speech":
        """The same in a line's format."""
        if line == self.format:
            return self
        return Speech(line, convert_all(self.audio, self.format, line), self.words)


class _Entry:
    __slots__ = ("lines", "original", "size_bytes", "uses")

    def __init__(self, original: Speech, size_bytes: int) -> None:
        self.original = original
        self.lines: dict[AudioFormat, Speech] = {}
        self.size_bytes = size_bytes
        self.uses = 0


def voice_key(config: VendorConfig) -> str:
    """Whose speech it is: two agents share it when vendor, model, voice, language and settings
    are the same. A hash, because settings may hold secrets."""
    parts = [config.vendor, config.model, config.voice, config.language, config.settings]
    return sha256(msgspec.json.encode(parts, order="deterministic", enc_hook=repr)).hexdigest()


class SpeechCache:
    """Least recently used goes first. What is put in is believed to be complete: only speech
    whose end the vendor has told may be."""

    def __init__(
        self,
        limit_bytes: int = LIMIT_BYTES,
        *,
        longest_ms: int = LONGEST_MS,
        longest_chars: int = LONGEST_CHARS,
    ) -> None:
        self.limit_bytes = limit_bytes
        self.longest_ms = longest_ms
        self.longest_chars = longest_chars
        self.size_bytes = 0
        """What its contents take, conversions included; never more than ``limit_bytes``."""
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._uses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def find(
        self, voice: str, text: str, line: AudioFormat, *, at_least_hz: int = 0
    ) -> Speech | None:
        """Speech in the line's format, if it was made at a rate of at least ``at_least_hz``:
        beside fresh speech of a wide line, narrow-band speech sounds like another voice."""
        key = voice, text
        entry = self._entries.get(key)
        if entry is None or entry.original.format.rate_hz < at_least_hz:
            return None
        self._used(key, entry)
        if line == entry.original.format:
            return entry.original
        found = entry.lines.get(line)
        if found is None:
            found = entry.original.to_line(line)
            self._keep(key, entry, found)
        return found

    def original(self, voice: str, text: str) -> Speech | None:
        """Speech as the vendor made it; no use of it."""
        entry = self._entries.get((voice, text))
        return None if entry is None else entry.original

    def put(self, voice: str, text: str, speech: Speech) -> bool:
        """Take speech in, if it is whole and within the bounds. Speech of a lower rate than
        what is there already is not taken."""
        there = self.original(voice, text)
        if there is not None and there.format.rate_hz >= speech.format.rate_hz:
            return False
        size_bytes = _size_bytes(text, speech)
        if not self._fits(text, speech) or size_bytes > self.limit_bytes:
            return False
        if there is not None:
            self._remove((voice, text))
        self._make_room(size_bytes)
        self._entries[voice, text] = _Entry(speech, size_bytes)
        self.size_bytes += size_bytes
        return True

    def is_worth(self, size_bytes: int, uses: int) -> bool:
        """Whether speech of about this size, wanted ``uses`` times lately, has room or would
        only displace what was used less."""
        lacking_bytes = self.size_bytes + size_bytes - self.limit_bytes
        if size_bytes > self.limit_bytes:
            return False
        for entry in self._entries.values():
            if lacking_bytes <= 0:
                break
            if entry.uses >= uses:
                return False
            lacking_bytes -= entry.size_bytes
        return True

    def _fits(self, text: str, speech: Speech) -> bool:
        words = speech.words
        return (
            0 < speech.duration_ms <= self.longest_ms
            and len(speech.audio) % speech.format.sample_bytes == 0
            and 0 < len(text) <= self.longest_chars
            and len(words) <= len(text)
            and all(
                0 <= word.start_ms <= word.end_ms <= speech.duration_ms + BEYOND_END_MS
                for word in words
            )
        )

    def _keep(self, key: tuple[str, str], entry: _Entry, converted: Speech) -> None:
        """Keep a conversion with its entry, which is the most recently used."""
        size_bytes = len(converted.audio) + _ENTRY_BYTES
        if entry.size_bytes + size_bytes > self.limit_bytes:
            return
        self._make_room(size_bytes)
        entry.lines[converted.format] = converted
        entry.size_bytes += size_bytes
        self.size_bytes += size_bytes

    def _make_room(self, size_bytes: int) -> None:
        while self.size_bytes + size_bytes > self.limit_bytes:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: tuple[str, str]) -> None:
        self.size_bytes -= self._entries.pop(key).size_bytes

    def _used(self, key: tuple[str, str], entry: _Entry) -> None:
        self._entries.move_to_end(key)
        entry.uses += 1
        self._uses += 1
        if self._uses >= AGE_AFTER:
            self._uses = 0
            for each in self._entries.values():
                each.uses //= 2


class Frequencies:
    """How often texts were given lately. Holds ``limit`` texts, the least recently given goes
    first; every ``8 * limit`` texts, all that came before count half."""

    def __init__(self, limit: int = 512) -> None:
        self._limit = limit
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._given = 0

    def __len__(self) -> int:
        return len(self._counts)

    def give(self, text: str) -> int:
        """Count a text; how often it has been given now."""
        self._given += 1
        if self._given >= 8 * self._limit:
            self._given = 0
            halved = ((each, count // 2) for each, count in self._counts.items())
            self._counts = OrderedDict((each, count) for each, count in halved if count)
        count = self._counts[text] = self._counts.get(text, 0) + 1
        self._counts.move_to_end(text)
        if len(self._counts) > self._limit:
            self._counts.popitem(last=False)
        return count

    def forget(self, text: str) -> None:
        """Begin to count it anew."""
        self._counts.pop(text, None)


def _size_bytes(text: str, speech: Speech) -> int:
    characters = len(text) + sum(len(word.text) for word in speech.words)
    return len(speech.audio) + 4 * characters + _WORD_BYTES * len(speech.words) + _ENTRY_BYTES
