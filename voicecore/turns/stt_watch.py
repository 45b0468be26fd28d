"""A speech-to-text that says nothing at all, not even that it failed. Part of the turn machine.

Nothing is done about it: another stream would not hear what was said, and a caller who is not
understood is asked whether they are there. But somebody must learn of it.
"""

from voicecore.providers.errors import VendorError

ENOUGH_SPEECH_MS = 800
"""Shorter sounds may have no words, and some vendors answer those with nothing."""


class SttWatch:
    """Tells once in a call of each way in which nothing came."""

    def __init__(self) -> None:
        self._ever = False
        self._since_speech = False
        self._told: set[str] = set()

    def speech_started(self) -> None:
        self._since_speech = False

    def heard(self) -> None:
        """Anything came, be it an empty text."""
        self._ever = self._since_speech = True

    def failed(self) -> None:
        """It says itself why nothing will come."""
        self._since_speech = True

    def flush_expired(self, speech_ms: int) -> VendorError | None:
        """The wait for the text of ``speech_ms`` of speech is over. The failure, if there is
        one that was not told of."""
        if self._since_speech or speech_ms < ENOUGH_SPEECH_MS:
            return None
        code = "stalled" if self._ever else "first_output_timeout"
        if code in self._told:
            return None
        self._told.add(code)
        return VendorError("stt", code, f"no text for {speech_ms} ms of speech", retryable=True)
