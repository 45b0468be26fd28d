"""Deepgram's live speech protocols as values: Aura (``v1/speak``), Flux TTS (``v2/speak``). Pure.

Both take text and ``Flush``, answer with audio and then say that a flush is complete; both can
be told to drop what they have. They differ in names, and in what a flush is: on Aura it is the
end of a piece of text, of which at most 20 in 60 seconds are carried out; on Flux it is the end
of the turn, and the server cuts the text by itself.

Source: developers.deepgram.com "Text to Speech WebSocket", "TTS WS Flush", "Flux TTS".
"""

from collections import deque

import msgspec

from voicecore.adapters.deepgram_messages import ErrorMessage, decode_json

FLUSH = '{"type":"Flush"}'
CLOSE = '{"type":"Close"}'

FLUSH_LIMIT = 20
FLUSH_WINDOW_MS = 61_000
"""The vendor's 60 seconds, and one more because it counts from when a Flush arrives."""

FLUSH_RESERVE = 6
"""Flushes kept back for the ends of replies; sentences are gathered when only these are left."""

MAX_SPEAK_CHARS = 1500
"""Below Aura's limit of 2,000 characters between flushes."""


class Dialect(msgspec.Struct, frozen=True):
    """``done`` is the type of the message that completes a flush, ``cleared`` of the one that
    answers ``clear``; ``flush_each`` says whether each sentence is flushed, or only the reply's
    end."""

    path: str
    clear: str
    done: str
    cleared: str
    flush_each: bool


AURA = Dialect("/v1/speak", '{"type":"Clear"}', "Flushed", "Cleared", flush_each=True)
FLUX = Dialect(
    "/v2/speak", '{"type":"Interrupt"}', "SpeechMetadata", "SpeechInterrupted", flush_each=False
)


class PieceDone(msgspec.Struct, frozen=True):
    """All audio of the oldest open flush has been sent."""


class Cleared(msgspec.Struct, frozen=True):
    """Nothing that was sent before the last clear is heard from again."""


class _Message(msgspec.Struct, frozen=True):
    type: str
    code: str | None = None
    description: str | None = None


_MESSAGE = msgspec.json.Decoder(_Message)
SpeakMessage = PieceDone | Cleared | ErrorMessage


def speak(text: str) -> str:
    return msgspec.json.encode({"type": "Speak", "text": text}).decode()


def decode_speak(dialect: Dialect, message: str) -> SpeakMessage | None:
    """A message that matters, None for one that does not.

    :raises ValueError: it is not what the protocol allows."""
    known = decode_json(message, _MESSAGE)
    if known.type == "Error":
        return ErrorMessage(known.code, known.description)
    if dialect is FLUX and known.type == "Warning" and known.code == "NO_ACTIVE_SPEECH":
        return Cleared()  # the turn was over before the interruption arrived
    if known.type == dialect.done:
        return PieceDone()
    return Cleared() if known.type == dialect.cleared else None


class FlushBudget:
    """How often Aura may still be flushed: ``FLUSH_LIMIT`` times in any ``FLUSH_WINDOW_MS``."""

    def __init__(self) -> None:
        self._times: deque[int] = deque()

    def take(self, now_ms: int, *, reserve: int = 0) -> bool:
        """Use one, unless that would leave fewer than ``reserve``."""
        while self._times and now_ms - self._times[0] >= FLUSH_WINDOW_MS:
            self._times.popleft()
        if FLUSH_LIMIT - len(self._times) <= reserve:
            return False
        self._times.append(now_ms)
        return True

    def wait_ms(self, now_ms: int) -> int:
        """Until the oldest use is forgotten."""
        return max(self._times[0] + FLUSH_WINDOW_MS - now_ms, 0) if self._times else 0
