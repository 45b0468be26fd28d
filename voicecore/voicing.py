"""The agent's voice on one call: sentences to the text-to-speech, its audio to the line."""

from collections.abc import Callable

import msgspec

from media.audio.convert import Converter
from media.audio.format import AudioFormat
from voicecore.providers.stt import Spawn
from voicecore.providers.tts import Tts, TtsEvent, TtsReply


class Voiced(msgspec.Struct, frozen=True):
    """An event of the voice, for the reply that it belongs to. ``attempt`` counts the times that
    the voice was begun."""

    reply: int
    event: TtsEvent
    attempt: int


class Voice:
    """One call's voice. It speaks one reply at a time; beginning another drops the last."""

    def __init__(
        self, vendor: Tts, line: AudioFormat, spawn: Spawn, post: Callable[[Voiced], None]
    ) -> None:
        self._session = vendor.open(line, spawn=spawn)
        self._line = line
        self._post = post
        self._number = 0
        self._attempt = 0
        self._reply: TtsReply | None = None
        self._converter = Converter(self._session.audio, line)

    def say(self, number: int, text: str) -> None:
        self._for(number).say(text)

    def finish(self, number: int) -> None:
        self._for(number).finish()

    def to_line(self, payload: bytes) -> bytes:
        """Audio of the current reply in the line's format; may be empty while the resampler
        fills."""
        return self._converter.process(payload)

    def tail(self) -> bytes:
        """What the resampler still holds at the end of the current reply."""
        return self._converter.flush()

    def says(self, voiced: Voiced) -> bool:
        """Whether an event is of the voice as it speaks now, not of one that was dropped."""
        return voiced.attempt == self._attempt and self._reply is not None

    def drop(self) -> None:
        """Stop the current reply; nothing more of it comes."""
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.cancel()

    def close(self) -> None:
        self.drop()
        self._session.close()

    def _for(self, number: int) -> TtsReply:
        if self._reply is None or self._number != number:
            self.drop()
            self._number = number
            # A cut reply must leave nothing in the next one.
            self._converter = Converter(self._session.audio, self._line)
            self._attempt += 1
            post, attempt = self._post, self._attempt
            self._reply = self._session.reply(lambda event: post(Voiced(number, event, attempt)))
        return self._reply
