"""What the scripted vendors share: failures on demand.

A fault belongs to a *stream*: an STT stream, one LLM answer, or one TTS reply. Streams are
numbered from 0 in the order in which they are opened, and everything that looks random comes
from ``seed`` and that number, so a run repeats exactly.
"""

import random
from enum import Enum
from typing import Annotated, Literal

import msgspec

from voicecore.providers.errors import VendorError

VENDOR = "scripted"

Count = Annotated[int, msgspec.Meta(ge=0)]
DelayMs = Annotated[float, msgspec.Meta(ge=0, le=3_600_000)]
FaultCode = Literal[
    "connect_failed",
    "connect_timeout",
    "auth_failed",
    "quota_exceeded",
    "rate_limited",
    "bad_request",
    "model_not_found",
    "first_output_timeout",
    "stalled",
    "disconnected",
    "garbage",
    "overloaded",
    "vendor_error",
]
Garbage = Literal["", "empty", "control", "huge", "odd"]

_FINAL_CODES = frozenset({"auth_failed", "quota_exceeded", "bad_request", "model_not_found"})

CONTROL_TEXT = "\x00\x1b[2J\x07 \u202eabc\u202c \ufffe\x7f \ud800"
"""Terminal escapes, a direction override, a non-character and a lone surrogate, which cannot
be encoded as UTF-8. A JSON decoder can hand out every one of them."""
HUGE_TEXT = "garbage " * 12_800
"""100 kB of text."""


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a scripted vendor fails. An *output* is an STT event, an LLM token or tool call,
    or a TTS chunk."""

    never_answers: bool = False
    """No output at all, and no failure either."""
    fail_at: Literal["", "start", "open", "first_output", "mid", "mid_word"] = ""
    """``start``: ``start()`` raises. ``open``: the stream fails on the next turn of the loop.
    ``first_output``: in place of the first output. ``mid``: after ``mid_after`` outputs.
    ``mid_word``: the same, but the output before the failure is cut inside a word."""
    mid_after: Count = 3
    """How many outputs ``mid`` and ``mid_word`` let through."""
    fail_after_ms: DelayMs | None = None
    """The stream fails this long after it was opened (a reply: after its first text); empty: it
    does not."""
    code: FaultCode = "vendor_error"
    """The code of the failure."""
    retryable: bool | None = None
    """Whether the failure says that it may be tried again; empty: by the code."""
    stall_after: Count | None = None
    """Nothing follows this many outputs: no end, no failure. Empty: it does not stall."""
    garbage: Garbage = ""
    """``empty``: outputs without content. ``control``: terminal escapes, a direction override, a
    lone surrogate. ``huge``: 100 kB
    of text or a minute of audio at once. ``odd``: audio that is not a whole number of samples,
    word times that run backwards, a tool call with broken arguments."""
    misbehave_after_cancel: bool = False
    """Output goes on after ``close()``, ``cancel()`` or a cancelled task."""
    delay_ms: DelayMs = 0
    """Added before the first output."""
    jitter_ms: DelayMs = 0
    """Added to each output, uniformly from 0 to this. Order is kept."""
    every: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Only each n-th stream is faulty, the n-th being the first of them."""
    first: Count | None = None
    """Only the first n streams are faulty; empty: any may be."""
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    """How likely a stream that ``every`` and ``first`` let through is to be faulty."""

    def error(self) -> VendorError:
        retryable = self.code not in _FINAL_CODES if self.retryable is None else self.retryable
        return VendorError(VENDOR, self.code, "failure on demand", retryable=retryable)

    def check_start(self) -> None:
        """:raises VendorError: ``fail_at`` is ``start``."""
        if self.fail_at == "start":
            raise self.error()


NO_FAULTS = Faults()


class Verdict(Enum):
    PASS = "pass"
    DROP = "drop"
    FAIL = "fail"


class StreamFaults:
    """The faults of one stream."""

    def __init__(self, faults: Faults, seed: int, stream: int) -> None:
        self.settings = faults
        self._random = random.Random(f"{seed}:{stream}")
        self._outputs = 0

    def output(self) -> Verdict:
        """Decides on the next output; counts it."""
        faults, done = self.settings, self._outputs
        self._outputs += 1
        if faults.never_answers:
            return Verdict.DROP
        if faults.fail_at == "first_output":
            return Verdict.FAIL
        if faults.fail_at in ("mid", "mid_word") and done >= faults.mid_after:
            return Verdict.FAIL
        if faults.stall_after is not None and done >= faults.stall_after:
            return Verdict.DROP
        return Verdict.PASS

    @property
    def silent(self) -> bool:
        """Whether the end of the stream is withheld too."""
        stall_after = self.settings.stall_after
        stalled = stall_after is not None and self._outputs >= stall_after
        return self.settings.never_answers or stalled

    @property
    def cuts_this_output(self) -> bool:
        """Whether the output just let through is the last one before ``mid_word``."""
        return self.settings.fail_at == "mid_word" and self._outputs == self.settings.mid_after

    def jitter_s(self) -> float:
        if not self.settings.jitter_ms:
            return 0.0
        return self._random.random() * self.settings.jitter_ms / 1000

    def text(self, text: str) -> str:
        """``text`` as this stream delivers it."""
        match self.settings.garbage:
            case "empty":
                return ""
            case "control":
                return CONTROL_TEXT
            case "huge":
                return HUGE_TEXT
        return cut_word(text) if self.cuts_this_output else text


def cut_word(text: str) -> str:
    """``text`` without the second half of its last word."""
    head, _, last = text.rstrip().rpartition(" ")
    return f"{head} {last[: (len(last) + 1) // 2]}".lstrip()


def stream_faults(faults: Faults, seed: int, stream: int) -> StreamFaults | None:
    """The faults of the stream numbered ``stream``; None when it works as it should."""
    if faults == NO_FAULTS:
        return None
    if faults.first is not None and stream >= faults.first:
        return None
    if (stream + 1) % faults.every:
        return None
    if faults.probability < 1 and random.Random(f"{seed}/{stream}").random() >= faults.probability:
        return None
    return StreamFaults(faults, seed, stream)
