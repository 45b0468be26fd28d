"""A speech-to-text that fails, or says nothing at all. Part of the turn machine.

A stream that fails is opened again, unless it does so over and over. Nothing is done about one that
says nothing, not even that it failed: another stream would not hear what was said, and a caller who
is not understood is asked whether they are there. But somebody must learn of it.
"""

from voicecore.providers.errors import VendorError
from voicecore.providers.stt import SttEvent, SttFinal
from voicecore.turns.events import vendor_failed
from voicecore.turns.listening import Listener
from voicecore.turns.outputs import Output, ReopenStt
from voicecore.turns.speaking import Speaker

MAX_STT_FAILURES = 2
ENOUGH_SPEECH_MS = 800
"""Shorter sounds may have no words, and some vendors answer those with nothing."""


class SttWatch:
    """Sees the stream's failures through; tells once in a call of each way in which nothing came.
    Appends to the machine's outputs."""

    def __init__(self, listener: Listener, speaker: Speaker, out: list[Output]) -> None:
        self._listener = listener
        self._speaker = speaker
        self._out = out
        self._failures = 0
        """Since it last understood something."""
        self._ever = False
        self._since_speech = False
        self._told: set[str] = set()

    def speech_started(self) -> None:
        self._since_speech = False

    def heard(self, event: SttEvent) -> None:
        """Anything came, be it an empty text."""
        self._ever = self._since_speech = True
        if isinstance(event, SttFinal) and event.text:
            self._failures = 0

    def failed(self, now_ms: int, error: VendorError, *, in_use: bool) -> None:
        """It says itself why nothing will come. Not ``in_use``: nobody is listened to any more,
        and the last sentence is said to its end."""
        self._failures += 1
        self._since_speech = True
        self._out.append(vendor_failed("stt", error))
        if not in_use:
            return
        self._listener.stt_died(now_ms)
        if error.retryable and self._failures <= MAX_STT_FAILURES:
            self._out.append(ReopenStt())
        else:
            self._speaker.give_up(now_ms, "stt_failed")

    def flush_expired(self) -> None:
        """The wait for the text of the last sound is over."""
        speech_ms = self._listener.stopped_ms - self._listener.started_ms
        if self._since_speech or speech_ms < ENOUGH_SPEECH_MS:
            return
        code = "stalled" if self._ever else "first_output_timeout"
        if code in self._told:
            return
        self._told.add(code)
        error = VendorError("stt", code, f"no text for {speech_ms} ms of speech", retryable=True)
        self._out.append(vendor_failed("stt", error))
