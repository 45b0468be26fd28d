"""How well a call's line carried sound, both ways."""

import msgspec


class InboundCounters(msgspec.Struct, frozen=True):
    """What was wrong with a stream so far.

    - ``gap_ms``: lost audio that silence stands for.
    - ``unfilled_ms``: lost audio above the limit of one gap, skipped.
    - ``late``: pieces that came after their place was given up; dropped.
    - ``duplicate``: pieces that came again; dropped.
    - ``reordered``: pieces that came out of order and were put in place.
    - ``bad_timestamps``: timestamps that went back or made no sense, not believed."""

    gap_ms: int
    unfilled_ms: int
    late: int
    duplicate: int
    reordered: int
    bad_timestamps: int


class LineQuality(msgspec.Struct, frozen=True):
    """A leg's sums so far. Frames are counted as the carrier cut them.

    Of the caller's audio:

    - ``inbound_gap_ms``: lost; silence stands for it.
    - ``inbound_unfilled_ms``: lost too, but above the silence put in for one gap.
    - ``inbound_dropped_ms``: came faster than anybody speaks, and was not taken.
    - ``inbound_late_frames``: came when their place had been given up; dropped.
    - ``inbound_duplicate_frames``: came again; dropped.
    - ``inbound_reordered_frames``: came out of order and were put in place.
    - ``inbound_bad_timestamps``: timestamps that made no sense and were not believed.

    Of the agent's:

    - ``outbound_gap_ms``: silence within replies, because their audio came too late.
    - ``outbound_late_ms_max``: the longest of these silences."""

    inbound_gap_ms: int = 0
    inbound_unfilled_ms: int = 0
    inbound_dropped_ms: int = 0
    inbound_late_frames: int = 0
    inbound_duplicate_frames: int = 0
    inbound_reordered_frames: int = 0
    inbound_bad_timestamps: int = 0
    outbound_gap_ms: int = 0
    outbound_late_ms_max: int = 0
