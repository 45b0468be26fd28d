"""What the voice said in the call, to be said again. Pure.

A sentence of the call has its words' times, its length and the time that the voice took to begin;
what came from the cache was there at once. Another sentence is silence of the length that its text
takes at a usual rate of speech.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from statistics import median_low

import msgspec

from media.audio.format import FRAME_MS, AudioFormat
from voicecore.providers.words import Word, spread_words
from voicecore.replay.drafts import Drafts
from voicecore.replay.facts import (
    AgentFiller,
    AgentPaused,
    AgentResumed,
    AgentSaying,
    AgentTurn,
    CallerTurn,
    Facts,
    ToolCalled,
    TtsUsage,
    TurnLatency,
)
from voicecore.replay.spans import SaidFiller, Spans, Stretch, completed
from voicecore.replay.watch import DraftEvent
from voicecore.turns.heard import CHARACTER_MS
from voicecore.turns.heard_word import HeardWord

_USUAL_FIRST_AUDIO_MS = 150
LONGEST_MS = 120_000
"""No sentence is longer."""
_CUT_SLACK_MS = 500
"""How much longer than it was heard a sentence is that was cut off, at least."""


class Sentence(msgspec.Struct, frozen=True):
    """A sentence as it was said. Words count from its own first sample. ``cached``: it came from
    the cache. ``assumed``: the call did not have it."""

    text: str
    first_audio_ms: int
    duration_ms: int
    words: tuple[Word, ...]
    heard: tuple[Stretch, ...] = ()
    assumed: bool = False
    cached: bool = False

    def audio(self, line: AudioFormat, heard: Callable[[Stretch], bytes]) -> bytes:
        """Its sound as far as the recording has it, silence for the rest."""
        sound = bytearray(line.silence(self.duration_ms))
        for stretch in self.heard:
            at = stretch.at_ms * line.bytes_per_ms
            part = heard(stretch)
            sound[at : at + len(part)] = part
        return bytes(sound)


class Voicing:
    """One call's sentences, by their text: of several with one text, each is given once, and
    the last again and again."""

    def __init__(self, facts: Facts, *, drafts_voiced: bool = False) -> None:
        """``drafts_voiced``: the call's voice began before the turn was decided."""
        self._drafts = Drafts(facts)
        self._drafts_voiced = drafts_voiced
        self._replies = _read_replies(facts)
        self._usual_ms = _USUAL_FIRST_AUDIO_MS
        delays = [ms for one in self._replies if (ms := self._first_audio_ms(one)) is not None]
        if delays:
            self._usual_ms = median_low(delays)
        self._found: dict[str, list[Sentence]] = {}
        self._fillers: dict[str, Sentence] = {}
        self._used: dict[str, int] = {}
        self._before_draft: dict[str, int] = {}
        for one in self._replies:
            self._take(one)

    def drafted(self, what: DraftEvent, reply: int) -> None:
        """What was said for a draft that is dropped was not said."""
        if what == "started":
            self._before_draft = dict(self._used)
        elif what == "dropped":
            self._used = self._before_draft

    def next(self, text: str) -> Sentence | None:
        """What ``say`` would give, if the call has it."""
        found = self._found.get(text)
        return found[min(self._used.get(text, 0), len(found) - 1)] if found else None

    def phrase(self, text: str) -> Sentence | None:
        """What the cache has for the whole of a reply, or for a filler."""
        found = self.next(text)
        if found is not None and found.cached:
            return self.say(text)
        return self._fillers.get(text)

    def say(self, text: str) -> Sentence:
        """The next sentence with this text."""
        sentence = self.next(text)
        if sentence is None:
            duration_ms = min((len(text) + 1) * CHARACTER_MS, LONGEST_MS)
            words = spread_words(text, 0, duration_ms)
            return Sentence(text, self._usual_ms, duration_ms, words, assumed=True)
        self._used[text] = self._used.get(text, 0) + 1
        return sentence

    def _first_audio_ms(self, reply: "_Reply") -> int | None:
        """How long the voice took for a reply's first sentence; None where that is not known."""
        if not reply.said or 0 in reply.cached:
            return None
        latency = reply.latency
        if latency is None:
            if reply.turn.start_ms is None or reply.turn.kind == "answer":
                return None
            return max(reply.turn.start_ms - reply.said[0][0], 0)
        if latency.tts_first_audio is None or latency.first_sentence is None:
            return None
        delay_ms = latency.tts_first_audio - latency.first_sentence
        ahead_ms = self._voiced_ahead_ms(reply)
        if ahead_ms:
            # Audio that was there when the draft was used had come at any time until then.
            delay_ms = delay_ms + ahead_ms if delay_ms > 0 else min(ahead_ms, self._usual_ms)
        return max(delay_ms, 0)

    def _voiced_ahead_ms(self, reply: "_Reply") -> int:
        """How long before the turn was decided the voice was given the first sentence."""
        number = reply.turn.reply
        used_ms = self._drafts.used.get(number)
        if not self._drafts_voiced or used_ms is None:
            return 0
        written = self._drafts.written_ms(number)
        return max(used_ms - written[0], 0) if written else 0

    def _take(self, reply: "_Reply") -> None:
        turn, spans = reply.turn, reply.spans
        texts = [text for _, text in reply.said]
        groups = _by_sentence(texts, spans.words)
        delay_ms = self._first_audio_ms(reply)
        first_audio_ms = min(self._usual_ms if delay_ms is None else delay_ms, LONGEST_MS)
        begin_ms = 0
        for place, (text, words, following) in enumerate(
            zip(texts, groups, _following(groups), strict=True)
        ):
            last_ms = words[-1].end_ms if words else begin_ms
            if reply.tones and words:
                begin_ms = words[0].start_ms if place else 0
                end_ms = last_ms
            elif following is not None:
                end_ms = following
            elif turn.ended == "played":
                end_ms = max(spans.played_ms, last_ms)
            else:
                end_ms = max(last_ms, spans.played_ms + _CUT_SLACK_MS)
            end_ms = min(max(end_ms, begin_ms + FRAME_MS), begin_ms + LONGEST_MS)
            cached = place in reply.cached
            self._found.setdefault(text, []).append(
                Sentence(
                    text,
                    0 if cached else first_audio_ms,
                    end_ms - begin_ms,
                    _within(words, begin_ms, end_ms),
                    spans.heard(begin_ms, end_ms),
                    cached=cached,
                )
            )
            begin_ms = end_ms
        for filler in spans.fillers:
            self._take_filler(filler)

    def _take_filler(self, filler: SaidFiller) -> None:
        """Of several with one text, the one of which the most is known counts."""
        whole = completed(filler)
        sentence = Sentence(filler.text, 0, whole.length_ms, whole.words, filler.heard, cached=True)
        known = self._fillers.get(filler.text)
        if known is None or _heard_ms(sentence) > _heard_ms(known):
            self._fillers[filler.text] = sentence


def _heard_ms(sentence: Sentence) -> int:
    return sum(one.duration_ms for one in sentence.heard)


class _Reply:
    """What the events tell of a reply. ``tones``: there are some between its sentences;
    ``cached`` are the places of the sentences that came from the cache."""

    def __init__(
        self,
        turn: AgentTurn,
        said: list[tuple[int, str]],
        cached: frozenset[int],
        spans: Spans,
        latency: TurnLatency | None,
        *,
        tones: bool,
    ) -> None:
        self.turn = turn
        self.said = said
        self.cached = cached
        self.spans = spans
        self.latency = latency
        self.tones = tones


def _read_replies(facts: Facts) -> list[_Reply]:
    latencies = {one.reply: one for _, one in facts.of(TurnLatency)}
    said: dict[int, list[tuple[int, str]]] = {}
    cached: dict[int, list[int]] = {}
    fillers: dict[int, list[tuple[int, str]]] = {}
    resumed: dict[int, list[tuple[int, int]]] = {}
    paused_ms: dict[int, int] = {}
    acted: set[int] = set()
    replies = []
    turn_end_ms = 0
    for fact in facts:
        what = fact.what
        match what:
            case CallerTurn():
                turn_end_ms = what.end_ms
            case AgentSaying():
                said.setdefault(what.reply, []).append((fact.at_ms, what.text))
            case TtsUsage() if what.cached_characters:
                cached.setdefault(what.reply, []).append(what.cached_characters)
            case AgentFiller():
                fillers.setdefault(what.reply, []).append((fact.at_ms, what.text))
            case ToolCalled(name="send_dtmf"):
                acted.add(what.reply)
            case AgentPaused():
                paused_ms[what.reply] = what.played_ms
            case AgentResumed():
                from_ms = min(what.from_ms, paused_ms.get(what.reply, what.from_ms))
                from_ms -= from_ms % FRAME_MS
                resumed.setdefault(what.reply, []).append((from_ms, fact.at_ms))
            case AgentTurn():
                number, latency = what.reply, latencies.get(what.reply)
                speech_ms = latency.tts_first_audio if latency is not None else None
                texts = said.pop(number, [])
                spans = Spans(
                    what,
                    resumed.pop(number, []),
                    fillers.pop(number, []),
                    fact.at_ms,
                    None if speech_ms is None else turn_end_ms + speech_ms,
                )
                places = _cached_places(texts, cached.pop(number, []))
                replies.append(_Reply(what, texts, places, spans, latency, tones=number in acted))
    return replies


def _cached_places(said: list[tuple[int, str]], lengths: list[int]) -> frozenset[int]:
    """Which sentences came from the cache, by how long they are."""
    places = []
    place = 0
    for length in lengths:
        while place < len(said) and len(said[place][1]) != length:
            place += 1
        if place == len(said):
            break
        places.append(place)
        place += 1
    return frozenset(places)


def _within(words: list[HeardWord], begin_ms: int, end_ms: int) -> tuple[Word, ...]:
    """A sentence's words, counted from its own beginning."""
    length_ms = end_ms - begin_ms
    return tuple(
        Word(
            word.text,
            min(max(word.start_ms - begin_ms, 0), length_ms),
            min(max(word.end_ms - begin_ms, 0), length_ms),
        )
        for word in words
    )


def _following(groups: list[list[HeardWord]]) -> list[int | None]:
    """Of each sentence, where the next words after it begin."""
    found: list[int | None] = []
    next_ms: int | None = None
    for group in reversed(groups):
        found.append(next_ms)
        next_ms = group[0].start_ms if group else next_ms
    return found[::-1]


def _letters(text: str) -> int:
    return sum(char.isalnum() for char in text)


def _by_sentence(texts: list[str], words: Sequence[HeardWord]) -> list[list[HeardWord]]:
    """The words of each sentence. A voice may split words differently, so that they are told
    apart by letters and digits."""
    ends: list[int] = []
    for text in texts:
        ends.append((ends[-1] if ends else 0) + _letters(text))
    groups: list[list[HeardWord]] = [[] for _ in texts]
    letters = 0
    for word in words:
        place = bisect_right(ends, letters)
        if groups:
            groups[min(place, len(groups) - 1)].append(word)
        letters += _letters(word.text)
    return groups
