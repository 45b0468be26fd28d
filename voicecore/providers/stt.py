"""Speech-to-text: audio in, transcripts out."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from media.audio.format import AudioFormat
from voicecore.providers.errors import VendorError
from voicecore.providers.words import Word

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Starts a task that belongs to the call and is cancelled with it."""


class SttInterim(msgspec.Struct, frozen=True):
    """The current guess for everything not yet final. Replaces the last interim."""

    text: str
    confidence: float = 1.0
    """How sure the vendor is of the words, 0 to 1; 1 where it does not tell."""


class SttFinal(msgspec.Struct, frozen=True):
    """Text that will not change any more, but by one that ``revises`` it; follows the earlier
    finals of the turn.

    ``end_of_turn`` is the vendor's own opinion that the caller has finished (Deepgram's
    ``speech_final``, Flux' ``EndOfTurn``). ``flushed`` marks the answer to ``finalize()``: no
    more text is on its way for the audio pushed before it. ``text`` may be empty then.
    ``revises``: it is instead of the turn's last final that had text, whose sound was understood
    anew together with what followed. Never of a turn that is over. ``confidence`` as in
    ``SttInterim``."""

    text: str
    words: tuple[Word, ...] = ()
    end_of_turn: bool = False
    flushed: bool = False
    revises: bool = False
    confidence: float = 1.0


class SttEager(msgspec.Struct, frozen=True):
    """The caller has probably finished saying ``text``. ``confidence`` as in ``SttInterim``."""

    text: str
    confidence: float = 1.0


class SttResumed(msgspec.Struct, frozen=True):
    """The caller went on after an ``SttEager``."""


class SttFailed(msgspec.Struct, frozen=True):
    """The stream is dead; nothing follows."""

    error: VendorError


SttEvent = SttInterim | SttFinal | SttEager | SttResumed | SttFailed


class SttStream(Protocol):
    """One caller's audio. All methods return at once and never raise for vendor trouble."""

    def push(self, frame: bytes) -> None:
        """A 20 ms frame in the format that the stream was opened with. While the vendor is
        still connecting, or slow, at most 5 s are kept and the oldest dropped."""

    def speech_started(self) -> None:
        """Our VAD heard speech begin (it began up to 200 ms ago)."""

    def want_interim(self) -> None:
        """The words so far are wanted now, be they a guess: somebody talks over the agent.
        Nothing to do for a vendor that sends interims all along."""

    def finalize(self) -> None:
        """Our VAD heard speech end: send what you have as an ``SttFinal(flushed=True)``."""

    def turn_over(self) -> None:
        """The caller's turn was decided, with the finals so far, or was noise. What follows is
        another; nothing for a vendor that never revises."""

    def close(self) -> None:
        """End the stream and its tasks. Nothing reaches the sink afterwards. Idempotent."""


class Stt(Protocol):
    """A configured vendor and model, shared by all calls of an agent."""

    name: str

    ends_turns: bool
    """The vendor itself tells when the caller has finished (``SttFinal.end_of_turn``), from
    more than silence, and is to be believed."""

    marks_ends: bool
    """Its full stops stand where sentences end, not behind whatever came before a pause."""

    def accepts(self, offered: AudioFormat) -> AudioFormat:
        """The format to push for a line that offers ``offered``: the same where the vendor
        takes it, else what it must be converted to."""

    async def start(self) -> None:
        """Load models, import SDKs, warm connections. Called once, before the first call.

        :raises VendorError: it cannot work (no key, no model, wrong setting)."""

    def open(
        self, audio: AudioFormat, *, sink: Callable[[SttEvent], None], spawn: Spawn
    ) -> SttStream:
        """Start a stream without waiting; connecting goes on in a spawned task."""

    async def stop(self) -> None:
        """Release everything that ``start`` took. Idempotent."""
