"""What happened on one call, as the phone saw it: facts only. Times are microseconds since the
stream's start. ``report`` makes figures of them."""

from typing import Literal

import msgspec

from media.phone.line import Dry, Interval
from voicecore.phone.caller import Outcome, Said

EndedBy = Literal["caller", "server", "network", "nobody"]


class CallRecord(msgspec.Struct, frozen=True):
    """``ended_by``: the caller (the script, or its time-out), the server (it closed the socket),
    the network (the socket broke), nobody (there was no call). ``close_code`` and
    ``close_reason`` are the server's. ``path_carrier`` is the carrier that the URL's path names,
    if it names another than the one that called.
    ``unheard`` is what the server took back with a clear, and when that cut the sound off.
    ``connect_error`` is the code of the ``ConnectError`` where there was no call."""

    index: int
    outcome: Outcome
    detail: str
    ended_by: EndedBy
    close_code: int | None = None
    close_reason: str = ""
    path_carrier: str = ""
    connect_error: str = ""
    connect_us: int = 0
    duration_us: int = 0
    said: tuple[Said, ...] = ()
    audible: tuple[Interval, ...] = ()
    late: tuple[Dry, ...] = ()
    clears: tuple[int, ...] = ()
    received_us: int = 0
    heard_us: int = 0
    discarded_us: int = 0
    marks: int = 0
    frames_sent: int = 0
    frames_skipped: int = 0
    violations: dict[str, int] = {}
    violation_details: tuple[str, ...] = ()
    heard: tuple[tuple[int, bytes], ...] = ()
    unheard: tuple[tuple[int, bytes], ...] = ()
    spoken: tuple[tuple[int, bytes], ...] = ()
