"""What is told of a caller's speech."""

import msgspec


class SpeechStarted(msgspec.Struct, frozen=True):
    """Speech began ``ago_ms`` before the end of the frame just judged."""

    ago_ms: int


class SpeechStopped(msgspec.Struct, frozen=True):
    """The last voiced frame ended ``ago_ms`` before the end of the frame just judged."""

    ago_ms: int


class SpeechSustained(msgspec.Struct, frozen=True):
    """Speech has lasted ``for_ms``, one of the lengths that were asked for, and is voiced now."""

    for_ms: int


Edge = SpeechStarted | SpeechSustained | SpeechStopped
