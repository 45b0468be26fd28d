"""What a model that hears ends of turns looks like to the program."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from media.audio.format import AudioFormat


class TurnEndOpinion(msgspec.Struct, frozen=True):
    """What a model makes of a pause."""

    probability: float
    """That the caller has finished, 0 to 1."""
    took_ms: int
    """From the question to the answer."""


class TurnEndQuestion(Protocol):
    """A pause that is being judged."""

    def cancel(self) -> None:
        """The answer is not wanted any more: none comes. Idempotent."""


class EndOfTurnModel(Protocol):
    """Judges from sound alone whether a caller who pauses has finished. Shared by all calls of
    an agent; nobody waits for it."""

    name: str

    async def start(self) -> None:
        """Load the model.

        :raises VendorError: it cannot be used."""

    async def stop(self) -> None:
        """Idempotent; also without ``start``."""

    def judge(
        self, audio: bytes, line: AudioFormat, answer: Callable[[TurnEndOpinion], None]
    ) -> TurnEndQuestion:
        """Ask about a pause; ``audio`` is what the caller said of late, in the line's format, up to
        and with the beginning of the pause. Returns at once. ``answer`` is called from the event
        loop, at most once: not at all if the model fails, is too busy or too late."""
