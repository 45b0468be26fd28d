"""What the voice said in the call, to be said again. Pure.

A sentence of the call has its words' times, its length and the time that the voice took to begin.
Another sentence is silence of the length that its text takes at a usual rate of speech.
"""

from bisect import bisect_right
from statistics import median_low

import msgspec

from media.audio.format import FRAME_MS
from voicecore.providers.words import Word, spread_words
from voicecore.replay.facts import (
    AgentPaused,
    AgentResumed,
    AgentSaying,
    AgentTurn,
    Facts,
    ToolCalled,
    TurnLatency,
)
from voicecore.turns.heard import CHARACTER_MS, HeardWord

_USUAL_FIRST_AUDIO_MS = 150
LONGEST_MS = 120_000
"""No sentence is longer."""
_CUT_SLACK_MS = 500
"""How much longer than it was heard a sentence is that was cut off, at least."""


class Stretch(msgspec.Struct, frozen=True):
    """Where some of a sentence's audio lies in the recording of the call."""

    at_ms: int
    call_ms: int
    duration_ms: int


class Sentence(msgspec.Struct, frozen=True):
    """A sentence as it was said. Words count from its own first sample. ``assumed``: the call
    did not have it."""

    text: str
    first_audio_ms: int
    duration_ms: int
    words: tuple[Word, ...]
    heard: tuple[Stretch, ...] = ()
    assumed: bool = False


class Voicing:
    """One call's sentences, by their text: of several with one text, each is given once, and
    the last again and again."""

    def __init__(self, facts: Facts) -> None:
        latencies = {one.reply: one for _, one in facts.of(TurnLatency)}
        delays = [ms for one in latencies.values() if (ms := _first_audio_ms(one)) is not None]
        self._usual_ms = median_low(delays) if delays else _USUAL_FIRST_AUDIO_MS
        self._found: dict[str, list[Sentence]] = {}
        self._used: dict[str, int] = {}
        self._read(facts, latencies)

    def rewind(self) -> None:
        """Begin the call anew."""
        self._used.clear()

    def say(self, text: str) -> Sentence:
        """The next sentence with this text."""
        found = self._found.get(text)
        if found is None:
            duration_ms = min((len(text) + 1) * CHARACTER_MS, LONGEST_MS)
            words = spread_words(text, 0, duration_ms)
            return Sentence(text, self._usual_ms, duration_ms, words, assumed=True)
        used = self._used.get(text, 0)
        self._used[text] = used + 1
        return found[min(used, len(found) - 1)]

    def _read(self, facts: Facts, latencies: dict[int, TurnLatency]) -> None:
        said: dict[int, list[str]] = {}
        pauses: dict[int, list[tuple[int, int]]] = {}
        paused_ms: dict[int, int] = {}
        acted: set[int] = set()
        for fact in facts:
            what = fact.what
            match what:
                case AgentSaying():
                    said.setdefault(what.reply, []).append(what.text)
                case ToolCalled(name="send_dtmf"):
                    acted.add(what.reply)
                case AgentPaused():
                    paused_ms[what.reply] = what.played_ms
                case AgentResumed():
                    from_ms = min(what.from_ms, paused_ms.get(what.reply, what.from_ms))
                    from_ms -= from_ms % FRAME_MS
                    pauses.setdefault(what.reply, []).append((from_ms, fact.at_ms))
                case AgentTurn():
                    latency = latencies.get(what.reply)
                    delay_ms = _first_audio_ms(latency) if latency is not None else None
                    self._take(
                        what,
                        said.pop(what.reply, []),
                        self._usual_ms if delay_ms is None else delay_ms,
                        pauses.pop(what.reply, []),
                        gaps=what.reply in acted,
                    )

    def _take(
        self,
        turn: AgentTurn,
        texts: list[str],
        first_audio_ms: int,
        resumed: list[tuple[int, int]],
        *,
        gaps: bool,
    ) -> None:
        """``gaps``: there are tones between its sentences."""
        groups = _by_sentence(texts, turn.words)
        begin_ms = 0
        for place, (text, words, following) in enumerate(
            zip(texts, groups, _following(groups), strict=True)
        ):
            last_ms = words[-1].end_ms if words else begin_ms
            if gaps and words:
                begin_ms = words[0].start_ms if place else 0
                end_ms = last_ms
            elif following is not None:
                end_ms = following
            elif turn.ended == "played":
                end_ms = max(turn.played_ms, last_ms)
            else:
                end_ms = max(last_ms, turn.played_ms + _CUT_SLACK_MS)
            end_ms = min(max(end_ms, begin_ms + FRAME_MS), begin_ms + LONGEST_MS)
            length_ms = end_ms - begin_ms
            sentence = Sentence(
                text,
                min(first_audio_ms, LONGEST_MS),
                length_ms,
                tuple(
                    Word(
                        word.text,
                        min(max(word.start_ms - begin_ms, 0), length_ms),
                        min(max(word.end_ms - begin_ms, 0), length_ms),
                    )
                    for word in words
                ),
                _heard(turn, resumed, begin_ms, end_ms),
            )
            self._found.setdefault(text, []).append(sentence)
            begin_ms = end_ms


def _following(groups: list[list[HeardWord]]) -> list[int | None]:
    """Of each sentence, where the next words after it begin."""
    found: list[int | None] = []
    next_ms: int | None = None
    for group in reversed(groups):
        found.append(next_ms)
        next_ms = group[0].start_ms if group else next_ms
    return found[::-1]


def _first_audio_ms(latency: TurnLatency) -> int | None:
    if latency.tts_first_audio is None or latency.first_sentence is None:
        return None
    return max(latency.tts_first_audio - latency.first_sentence, 0)


def _letters(text: str) -> int:
    return sum(char.isalnum() for char in text)


def _by_sentence(texts: list[str], words: tuple[HeardWord, ...]) -> list[list[HeardWord]]:
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


def _heard(
    turn: AgentTurn, resumed: list[tuple[int, int]], begin_ms: int, end_ms: int
) -> tuple[Stretch, ...]:
    """Where the recording has a part of a reply's audio; ``resumed`` has where in its audio the
    reply went on, and when."""
    if turn.start_ms is None:
        return ()
    runs = [(0, turn.start_ms), *resumed]
    ends = [from_ms for from_ms, _ in resumed] + [turn.played_ms]
    found = []
    for (from_ms, at_ms), until_ms in zip(runs, ends, strict=True):
        first, last = max(from_ms, begin_ms), min(until_ms, end_ms)
        if last > first:
            found.append(Stretch(first - begin_ms, at_ms + first - from_ms, last - first))
    return tuple(found)
