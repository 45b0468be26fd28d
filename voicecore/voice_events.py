"""What comes of the agent's voice."""

import msgspec

from voicecore.providers.tts import TtsEvent
from voicecore.providers.words import Word


class Tones(msgspec.Struct, frozen=True):
    """Keys pressed by the agent: audio in the line's format."""

    audio: bytes


class Cached(msgspec.Struct, frozen=True):
    """A sentence that was spoken before: audio in the line's format, words with their times
    from the reply's first sample."""

    audio: bytes
    words: tuple[Word, ...]
    characters: int


class ScriptDone(msgspec.Struct, frozen=True):
    """Everything that the reply was to say has been delivered."""


class Voiced(msgspec.Struct, frozen=True):
    """An event of the voice, for the reply that it belongs to. ``script`` counts how often the
    voice was begun."""

    reply: int
    event: TtsEvent | Tones | Cached | ScriptDone
    script: int
