"""Text-to-speech: sentences in, audio and word times out."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from media.audio.format import AudioFormat
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Spawn
from voicecore.providers.words import Word


class TtsAudio(msgspec.Struct, frozen=True, gc=False):
    """The next piece of the reply's audio, in the session's ``audio`` format, any size
    that is a whole number of samples."""

    payload: bytes


class TtsWords(msgspec.Struct, frozen=True):
    """Where words lie in the reply's audio, counted from its first sample. Each word of the
    reply is reported once, in order, at the latest with the end of its sentence; vendors
    that give no times report ``spread_words`` estimates over each piece they know."""

    words: tuple[Word, ...]


class TtsDone(msgspec.Struct, frozen=True):
    """All audio of everything said before ``finish()`` has been delivered."""

    characters: int = 0
    """Characters sent to the vendor: what it bills, heard or not."""


class TtsFailed(msgspec.Struct, frozen=True):
    """This reply will get no more audio."""

    error: VendorError


TtsEvent = TtsAudio | TtsWords | TtsDone | TtsFailed


class TtsReply(Protocol):
    """The speech of one reply. All methods return at once."""

    def say(self, text: str) -> None:
        """Queue a sentence or clause. Order is kept."""

    def finish(self) -> None:
        """No more text follows: ``TtsDone`` comes after the last audio."""

    def cancel(self) -> None:
        """Stop now. Nothing of this reply reaches the sink afterwards. Idempotent."""


class TtsSession(Protocol):
    """One call's connection to the vendor."""

    audio: AudioFormat
    """The format of every ``TtsAudio`` of this session."""

    def reply(self, sink: Callable[[TtsEvent], None]) -> TtsReply:
        """Begin a reply. At most one is not yet done or cancelled."""

    def close(self) -> None:
        """End the session and its tasks. Idempotent."""


class Tts(Protocol):
    """A configured vendor, model and voice, shared by all calls of an agent."""

    name: str

    async def start(self) -> None:
        """Load models, import SDKs, warm connections. Called once, before the first call.

        :raises VendorError: it cannot work (no key, no voice, wrong setting)."""

    def open(self, wanted: AudioFormat, *, spawn: Spawn) -> TtsSession:
        """Start a call's session without waiting. Its ``audio`` is ``wanted`` where the
        vendor makes that, else the nearest that it makes."""

    async def stop(self) -> None:
        """Release everything that ``start`` took. Idempotent."""
