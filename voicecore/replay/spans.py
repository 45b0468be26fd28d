"""Where the parts of a reply lie: in its audio, and in the recording of the call. Pure.

A reply's audio is its own speech with fillers between; events count words in all of it. Here the
fillers are taken out, so that what is left is what the voice said.
"""

from collections.abc import Sequence

import msgspec

from media.audio.format import FRAME_MS
from voicecore.providers.words import Word, spread_words
from voicecore.replay.facts import AgentTurn
from voicecore.turns.heard import CHARACTER_MS
from voicecore.turns.heard_word import HeardWord

LONGEST_FILLER_MS = 20_000
_MOST_FILLERS = 100
"""Of one reply."""
_AT_ONCE_MS = 100


class Stretch(msgspec.Struct, frozen=True):
    """Where some of a sentence's audio lies in the recording of the call."""

    at_ms: int
    call_ms: int
    duration_ms: int


class SaidFiller(msgspec.Struct, frozen=True):
    """A filler of a reply; ``from_ms`` and ``until_ms`` are in all of the reply's audio, its words'
    times count from its own first sample. ``at_ms`` is when it began. ``whole``: nothing of it was
    taken back."""

    text: str
    at_ms: int
    from_ms: int
    until_ms: int
    words: tuple[Word, ...]
    whole: bool
    heard: tuple[Stretch, ...] = ()

    @property
    def length_ms(self) -> int:
        return self.until_ms - self.from_ms


class Spans:
    """One reply. ``resumed`` has where in all of its audio it went on after a pause, and when;
    ``fillers`` their texts and when they began; ``speech_ms`` when its speech's first audio was
    there, if that is known."""

    def __init__(
        self,
        turn: AgentTurn,
        resumed: Sequence[tuple[int, int]],
        fillers: Sequence[tuple[int, str]],
        ended_ms: int,
        speech_ms: int | None,
    ) -> None:
        self._turn = turn
        self.words: list[HeardWord] = []
        """Its own words, their times counted in its own speech."""
        found = self._part(fillers, speech_ms)
        breaks = self._breaks(found, ended_ms, speech_ms)
        self._runs = [(0, turn.start_ms or 0), *sorted((*resumed, *breaks), key=lambda e: e[1])]
        self._fillers = found
        self.fillers = [
            msgspec.structs.replace(one, heard=self._heard(one.from_ms, one.until_ms))
            for one in found
        ]
        self.played_ms = self._in_speech(turn.played_ms)

    def heard(self, from_ms: int, until_ms: int) -> tuple[Stretch, ...]:
        """Where the recording has a part of its own speech."""
        stretches: list[Stretch] = []
        speech_ms, all_ms = 0, 0
        gaps = [(one.from_ms, one.until_ms) for one in self._fillers]
        for gap_from_ms, gap_until_ms in (*gaps, (1 << 60, 1 << 60)):
            length_ms = max(gap_from_ms - all_ms, 0)
            first, last = max(from_ms, speech_ms), min(until_ms, speech_ms + length_ms)
            if last > first:
                by_ms = all_ms - speech_ms
                stretches += (
                    msgspec.structs.replace(one, at_ms=one.at_ms + first - from_ms)
                    for one in self._heard(first + by_ms, last + by_ms)
                )
            speech_ms += length_ms
            all_ms = max(gap_until_ms, all_ms)
        return tuple(stretches)

    def _heard(self, begin_ms: int, end_ms: int) -> tuple[Stretch, ...]:
        """Where the recording has a part of all of its audio."""
        if self._turn.start_ms is None:
            return ()
        ends = [from_ms for from_ms, _ in self._runs[1:]] + [self._turn.played_ms]
        found = []
        for (from_ms, at_ms), until_ms in zip(self._runs, ends, strict=True):
            first, last = max(from_ms, begin_ms), min(until_ms, end_ms)
            if last > first:
                found.append(Stretch(first - begin_ms, at_ms + first - from_ms, last - first))
        return tuple(found)

    def _in_speech(self, all_ms: int) -> int:
        fillers = (min(one.until_ms, all_ms) - one.from_ms for one in self._fillers)
        return all_ms - sum(max(length_ms, 0) for length_ms in fillers)

    # The fillers

    def _part(self, fillers: Sequence[tuple[int, str]], speech_ms: int | None) -> list[SaidFiller]:
        """Tell its own words and the fillers' apart."""
        turn, words = self._turn, self._turn.words
        found: list[SaidFiller] = []
        place, by_ms = 0, 0

        def own(until: int) -> None:
            self.words += (
                HeardWord(w.text, w.start_ms - by_ms, w.end_ms - by_ms, w.heard)
                for w in words[place:until]
            )

        for at_ms, text in fillers[:_MOST_FILLERS]:
            # With one that begins the reply, the reply begins.
            begins = turn.start_ms is not None and at_ms <= turn.start_ms + _AT_ONCE_MS
            first, last = _find(words, place, text, here=begins)
            if first == last:
                continue
            own(first)
            from_ms = words[first].start_ms if first else 0
            until_ms = words[last - 1].end_ms
            if last < len(words):
                until_ms = max(words[last].start_ms, until_ms)
            elif turn.ended != "played":
                until_ms = max(turn.played_ms, until_ms)
            until_ms = min(max(until_ms, from_ms + FRAME_MS), from_ms + LONGEST_FILLER_MS)
            said = tuple(
                Word(w.text, max(w.start_ms - from_ms, 0), max(w.end_ms - from_ms, 0))
                for w in words[first:last]
            )
            over_ms = at_ms + until_ms - from_ms
            whole = _letters(" ".join(word.text for word in said)) == _letters(text)
            if whole and not first and speech_ms is not None:
                whole = speech_ms >= over_ms
            found.append(SaidFiller(text, at_ms, from_ms, until_ms, said, whole))
            place, by_ms = last, by_ms + until_ms - from_ms
        own(len(words))
        return found

    def _breaks(
        self, found: Sequence[SaidFiller], ended_ms: int, speech_ms: int | None
    ) -> list[tuple[int, int]]:
        """Where it was silent after a filler, and when it went on."""
        turn = self._turn
        if not found or turn.start_ms is None:
            return []
        breaks = []
        fillers_ms = 0
        for number, one in enumerate(found):
            fillers_ms += one.length_ms
            at_ms = one.at_ms
            if one.from_ms:
                breaks.append((one.from_ms, at_ms))
            following = found[number + 1] if number + 1 < len(found) else None
            if following is not None and following.from_ms <= one.until_ms:
                continue
            if speech_ms is not None and one.until_ms == fillers_ms:  # its own begins here
                breaks.append((one.until_ms, max(speech_ms, at_ms + one.length_ms)))
            elif following is None and turn.ended == "played":
                left_ms = max(turn.played_ms - one.until_ms, 0)
                breaks.append((one.until_ms, max(ended_ms - left_ms, at_ms + one.length_ms)))
        return breaks


def completed(filler: SaidFiller) -> SaidFiller:
    """A filler of which some was taken back, with a guess at the rest."""
    if filler.whole:
        return filler
    said = " ".join(word.text for word in filler.words)
    rest = filler.text.split()[len(said.split()) :]
    at_ms = filler.length_ms
    words, length_ms = filler.words, at_ms
    if rest:
        text = " ".join(rest)
        length_ms = min(at_ms + (len(text) + 1) * CHARACTER_MS, LONGEST_FILLER_MS)
        words += spread_words(text, at_ms, length_ms)
    until_ms = filler.from_ms + max(length_ms, at_ms)
    return msgspec.structs.replace(filler, until_ms=until_ms, words=words)


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())


def _find(words: Sequence[HeardWord], place: int, text: str, *, here: bool) -> tuple[int, int]:
    """From where to where the words are a filler's, or its beginning: ``here``, else the longest
    such run, if that is most of it."""
    wanted = _letters(text)
    best = (place, place)
    most = 0 if here else len(wanted) // 2
    for first in range(place, place + 1 if here else len(words)):
        letters, last = "", first
        while last < len(words) and len(letters) < len(wanted):
            longer = letters + _letters(words[last].text)
            if not wanted.startswith(longer):
                break
            letters, last = longer, last + 1
        if len(letters) > most:
            best, most = (first, last), len(letters)
            if letters == wanted:
                break
    return best
