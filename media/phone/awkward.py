"""A carrier at its worst, from a seed: everything here is allowed, and has been seen.

The caller's audio goes in frame by frame; out comes a schedule of messages with the time at which
each is to be sent. The same plan and audio give the same schedule, byte for byte.
"""

from typing import Literal

import msgspec
import numpy as np
import pybase64

from media.phone.side import CarrierSide

_ORDER_US = 1
_REORDER_US = (25_000, 45_000)


class AwkwardPlan(msgspec.Struct, frozen=True):
    """What goes wrong. The defaults are a carrier on a good day.

    ``first_timestamp_ms``: the media clock's first value. ``start_delay_ms``: from ``connected``
    to ``start``. ``payload_bytes``: smallest and largest payload; None is one frame each.
    ``jitter_ms``: most that a message is late. ``reorder_percent``: messages overtaken by their
    followers, where the carrier promises no order. ``gap_every_ms``, ``gap_ms``: audio lost on
    the way; 0 is never. ``unknown_every_ms``: messages no server knows; 0 is never.
    ``drop_at_ms``: the socket dies that long after ``start``, ``half_message`` in the middle of
    a message."""

    seed: int = 0
    first_timestamp_ms: int = 57
    start_delay_ms: int = 0
    payload_bytes: tuple[int, int] | None = None
    jitter_ms: int = 0
    reorder_percent: int = 0
    gap_every_ms: int = 0
    gap_ms: int = 0
    unknown_every_ms: int = 0
    drop_at_ms: int | None = None
    half_message: bool = False


Ending = Literal["", "drop", "half_message"]


class Send(msgspec.Struct, frozen=True):
    """Send ``message`` at ``at_us``. With an ``ending`` the socket dies there: ``drop`` without
    sending it, ``half_message`` after half its bytes."""

    at_us: int
    message: bytes
    ending: Ending = ""


def awkward_plan(seed: int, *, keeps_order: bool) -> AwkwardPlan:
    """Everything awkward that a good server survives without its caller noticing much: no drop,
    little loss."""
    draw = np.random.default_rng(seed).integers
    return AwkwardPlan(
        seed=seed,
        first_timestamp_ms=int(draw(40, 400)),
        start_delay_ms=int(draw(0, 400)),
        payload_bytes=(int(draw(1, 80)), int(draw(161, 900))),
        jitter_ms=int(draw(5, 60)),
        reorder_percent=0 if keeps_order else int(draw(2, 10)),
        gap_every_ms=int(draw(3_000, 9_000)),
        gap_ms=int(draw(1, 4)) * 20,
        unknown_every_ms=int(draw(700, 5_000)),
    )


class Awkward:
    """One call's schedule. Media, and every message that must keep its place among them, pass
    through it; each call returns what to send, in the order in which it was made."""

    def __init__(self, plan: AwkwardPlan, side: CarrierSide, *, keeps_order: bool) -> None:
        self.plan = plan
        self._side = side
        self._keeps_order = keeps_order
        self._rng = np.random.default_rng(plan.seed)
        self._start_us = 0
        self._last_us = 0
        self._clock_bytes = 0
        self._byte_rate = side.spec.inbound.rate_hz * side.spec.inbound.sample_bytes
        self._held = bytearray()
        self._wanted = self._size()
        self._next_unknown_us = plan.unknown_every_ms * 1000
        self._dead = False

    def opening(self, now_us: int) -> list[Send]:
        """``connected``, then ``start``; the caller's audio begins after the latter."""
        self._start_us = now_us + self.plan.start_delay_ms * 1000
        self._last_us = self._start_us
        return [
            Send(now_us, self._side.connected()),
            Send(self._start_us, self._side.start()),
        ]

    def frame(self, now_us: int, payload: bytes) -> list[Send]:
        """The next frame of the caller's audio, at the time at which it would be sent."""
        if self._dead:
            return []
        if self._in_gap(now_us):
            return self._lose(now_us, payload)
        self._held += payload
        sends: list[Send] = []
        while len(self._held) >= self._wanted and not self._dead:
            piece = bytes(self._held[: self._wanted])
            del self._held[: self._wanted]
            sends.append(self._piece(now_us, piece))
            self._wanted = self._size()
        if self.plan.unknown_every_ms and now_us - self._start_us >= self._next_unknown_us:
            self._next_unknown_us += self.plan.unknown_every_ms * 1000
            sends.append(self.control(now_us, self._side.unknown()))
        return sends

    def control(self, now_us: int, message: bytes) -> Send:
        """A mark, a key or the end: behind everything made before it."""
        self._last_us = max(self._last_us + _ORDER_US, now_us)
        return Send(self._last_us, message)

    def _piece(self, now_us: int, piece: bytes) -> Send:
        plan = self.plan
        message = self._side.media(pybase64.b64encode(piece), self._timestamp_ms())
        self._clock_bytes += len(piece)
        at_us = now_us + int(self._rng.integers(0, plan.jitter_ms * 1000 + 1))
        overtaken = int(self._rng.integers(0, 100)) < plan.reorder_percent
        if overtaken and not self._keeps_order:
            at_us += int(self._rng.integers(*_REORDER_US))
        else:
            at_us = self._last_us = max(self._last_us + _ORDER_US, at_us)
        if plan.drop_at_ms is not None and at_us - self._start_us >= plan.drop_at_ms * 1000:
            self._dead = True
            return Send(at_us, message, "half_message" if plan.half_message else "drop")
        return Send(at_us, message)

    def _lose(self, now_us: int, payload: bytes) -> list[Send]:
        """What is held goes out first, so that the hole in the timestamps is where it is."""
        sends: list[Send] = []
        if self._held:
            sends.append(self._piece(now_us, bytes(self._held)))
            self._held.clear()
        self._clock_bytes += len(payload)
        self._side.lose()
        return sends

    def _in_gap(self, now_us: int) -> bool:
        plan = self.plan
        if not plan.gap_every_ms:
            return False
        phase_us = (now_us - self._start_us) % (plan.gap_every_ms * 1000)
        return phase_us >= (plan.gap_every_ms - plan.gap_ms) * 1000

    def _timestamp_ms(self) -> int:
        return self.plan.first_timestamp_ms + self._clock_bytes * 1000 // self._byte_rate

    def _size(self) -> int:
        """Whole samples, within the plan's bounds."""
        audio = self._side.spec.inbound
        if self.plan.payload_bytes is None:
            return audio.frame_bytes
        low, high = self.plan.payload_bytes
        size = int(self._rng.integers(low, high + 1))
        return max(size - size % audio.sample_bytes, audio.sample_bytes)
