"""What all calls of a run share, and what can be watched while they go on."""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from media.phone.awkward import AwkwardPlan
from voicecore.phone.caller import Caller
from voicecore.phone.script import Script
from voicecore.phone.sounds import Sounds

EventKind = Literal[
    "connected",
    "connect_failed",
    "say_started",
    "say_finished",
    "dtmf",
    "agent_started",
    "ended",
]


class PhoneEvent(msgspec.Struct, frozen=True):
    """Something to show while the call goes on. ``text``: what is said, the key, how the
    call ended, or why there is none."""

    call: int
    at_ms: int
    kind: EventKind
    text: str = ""


OnEvent = Callable[[PhoneEvent], None]


class CallSetup(msgspec.Struct, frozen=True):
    """What all calls of a run share. ``plan`` makes the carrier awkward; ``make_caller`` takes
    the arguments of ``Caller``."""

    url: str
    headers: Mapping[str, str]
    script: Script
    sounds: Sounds
    keeps_order: bool
    first_timestamp_ms: int = 57
    plan: AwkwardPlan | None = None
    keep_audio: bool = False
    stop_at_us: int | None = None
    on_event: OnEvent | None = None
    make_caller: Callable[..., Caller] = Caller
