"""What the caller's ear got of the agent, as segments: unbroken stretches of its speech, and
whether one goes on where the last was cut off. Pure; from the phone's record alone.

A server that pauses takes back what it has sent (``clear``) and sends it again later. The bytes
are the same, so the place where the second stretch begins is found in the first: nothing is
asked of the server. Only where all that it took back was silence there is nothing to be found, and
it is believed when it says that it went on.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from media.audio.format import AudioFormat
from media.phone.loudness import Loudness
from voicecore.phone.record import CallRecord

JOIN_MS = 400
"""Audio that came this much too late, with no clear before it, belongs to the same stretch."""
RESUMED_MS = 100
"""So far apart the server's clock and the phone's may tell of the same moment."""
_BEFORE_MS = 1_000
"""Who goes back further begins anew: the same sentence may be said twice."""
_WINDOW_MS = 40
_STEP_MS = 10
_TRIES = 60
_VARIES = 8
"""So many different bytes are no silence, and no steady tone of a codec's silence."""
AUDIBLE_DBFS = -45.0

How = Literal["cut", "ended", "call_ended"]


class Segment(msgspec.Struct, frozen=True):
    """From the first to the last audible sound of a stretch. ``how`` it ended: ``cut`` off by the
    server, ``ended`` by itself, or with the call. ``continues``: it is the rest of the segment
    before; ``offset_ms`` is then where it begins, from where that was cut off: what is missing
    (above 0) or comes twice (below)."""

    start_ms: int
    end_ms: int
    how: How = "ended"
    continues: bool = False
    offset_ms: int = 0
    lost_ms: int = 0
    """How much audible sound is missing where it continues."""
    late_ms: int = 0
    """Silence within it because audio came too late."""


class _Run(msgspec.Struct):
    start_us: int
    audio: bytes
    tail: bytes = b""
    how: How = "ended"
    late_ms: int = 0


def segments(
    record: CallRecord, audio: AudioFormat, resumed_ms: Sequence[int] = ()
) -> tuple[Segment, ...]:
    """All stretches that could be heard, in order. ``resumed_ms``: when the server says that it
    went on."""
    loudness = Loudness(audio, AUDIBLE_DBFS)
    made: list[Segment] = []
    before: _Run | None = None
    for run in _runs(record, audio):
        spans = _audible(run.audio, loudness, audio)
        if spans is None:
            continue
        start_us = run.start_us + spans[0] * 1000
        end_us = run.start_us + spans[1] * 1000
        offset_ms = None
        if before is not None and before.how == "cut":
            offset_ms = continuation_ms(before.audio, before.tail, run.audio + run.tail, audio)
            if offset_ms is None and not any(loudness.audible(before.tail)):
                offset_ms = _said_ms(run.start_us // 1000, resumed_ms)
        lost_ms = 0
        if before is not None and offset_ms is not None:
            lost_ms = _lost_ms(before.tail, offset_ms, loudness, audio)
        segment = Segment(
            start_us // 1000,
            end_us // 1000,
            run.how,
            continues=offset_ms is not None,
            offset_ms=offset_ms or 0,
            lost_ms=lost_ms,
            late_ms=run.late_ms,
        )
        made.append(segment)
        before = run
    return tuple(made)


def continuation_ms(heard: bytes, tail: bytes, after: bytes, audio: AudioFormat) -> int | None:
    """Where ``after`` begins in what was sent before, counted from the cut; None: elsewhere.
    ``heard`` was played, ``tail`` was taken back.

    Silence is the same everywhere: a window is looked for only where it varies, and counts only
    where it is found once."""
    known = heard[-_BEFORE_MS * audio.bytes_per_ms :]
    whole = known + tail
    size = _WINDOW_MS * audio.bytes_per_ms
    for number in range(_TRIES):
        at = number * _STEP_MS * audio.bytes_per_ms
        window = after[at : at + size]
        if len(window) < size:
            return None
        if len(set(window)) < _VARIES:
            continue
        place = _only_place(whole, window, audio)
        if place is not None:
            if place < at:
                return None
            offset = place - at - len(known)
            return audio.duration_ms(abs(offset)) * (1 if offset >= 0 else -1)
    return None


def _said_ms(start_ms: int, resumed_ms: Sequence[int]) -> int | None:
    """0 if the server says that it went on then."""
    near = any(abs(start_ms - said_ms) <= RESUMED_MS for said_ms in resumed_ms)
    return 0 if near else None


def _only_place(whole: bytes, window: bytes, audio: AudioFormat) -> int | None:
    """Where a window is found, if it is at one place only."""
    place = whole.find(window)
    if place < 0 or whole.find(window, place + 1) >= 0 or place % audio.sample_bytes:
        return None
    return place


def _lost_ms(tail: bytes, offset_ms: int, loudness: Loudness, audio: AudioFormat) -> int:
    """How much audible sound of what was taken back never came again."""
    return 20 * sum(loudness.audible(tail[: max(offset_ms, 0) * audio.bytes_per_ms]))


def _runs(record: CallRecord, audio: AudioFormat) -> list[_Run]:
    cuts = sorted(record.clears)
    tails = dict(record.unheard)
    runs: list[_Run] = []
    for start_us, payload in record.heard:
        if not payload and start_us not in tails:
            continue
        end_us = start_us + audio.duration_ms(len(payload)) * 1000
        cut_us = _cut_of(cuts, tails, start_us, end_us)
        last = runs[-1] if runs else None
        run = _Run(start_us, payload)
        if last is not None and last.how == "ended":
            gap_ms = (start_us - _end_us(last, audio)) // 1000
            if gap_ms <= JOIN_MS:
                silence = audio.silence(max(gap_ms, 0))
                last.audio += silence + payload
                last.late_ms += max(gap_ms, 0)
                run = last
        if run is not last:
            runs.append(run)
        if cut_us is not None:
            run.how, run.tail = "cut", tails[cut_us]
        elif end_us >= record.duration_us - 60_000:
            run.how = "call_ended"
    return runs


def _cut_of(cuts: Sequence[int], tails: dict[int, bytes], start_us: int, end_us: int) -> int | None:
    """The clear that ended a run: a few milliseconds behind its last whole sample."""
    for cut_us in cuts:
        if cut_us in tails and start_us <= cut_us and abs(cut_us - end_us) <= 5_000:
            return cut_us
    return None


def _end_us(run: _Run, audio: AudioFormat) -> int:
    return run.start_us + audio.duration_ms(len(run.audio)) * 1000


def _audible(payload: bytes, loudness: Loudness, audio: AudioFormat) -> tuple[int, int] | None:
    """The first and the last audible moment, milliseconds from the payload's start."""
    heard = [index for index, loud in enumerate(loudness.audible(payload)) if loud]
    if not heard:
        return None
    return heard[0] * 20, min((heard[-1] + 1) * 20, audio.duration_ms(len(payload)))
