"""What the agent had spoken beforehand in the call, to come from the cache again."""

from collections.abc import Callable

from media.audio.format import AudioFormat
from voicecore.providers.tts import Tts
from voicecore.replay.spans import Stretch
from voicecore.replay.speech import Sentence, Voicing
from voicecore.replay.vendors import CallClock
from voicecore.replay.watch import Watch
from voicecore.speech_cache import Speech
from voicecore.spoken import FixedPhrases


class RecordedCache:
    """In place of ``SpokenSentences``: what came from the cache in the call comes from it again,
    at once. A fixed phrase that the call did not need is there all the same, as silence of a
    usual length. ``heard(stretch)`` reads the recording."""

    idle = True

    def __init__(
        self,
        voicing: Voicing,
        fixed: FixedPhrases,
        watch: Watch,
        time: CallClock,
        heard: Callable[[Stretch], bytes],
    ) -> None:
        self._voicing = voicing
        self._fixed = frozenset((*fixed.required, *fixed.optional))
        self._watch = watch
        self._time = time
        self._heard = heard

    async def speak_required(self, tts: Tts, line: AudioFormat) -> None:
        """Everything is there."""

    def begin_background(self, tts: Tts, line: AudioFormat) -> None:
        """Nothing more will be."""

    async def stop(self) -> None:
        """Nothing goes on."""

    def phrase(self, text: str, line: AudioFormat) -> Speech | None:
        """A whole reply or a filler in the line's format."""
        found = self._voicing.phrase(text)
        if found is not None:
            return self._speech(found, line)
        if text not in self._fixed or self._voicing.next(text) is not None:
            return None
        self._watch.assume(self._time.now_ms(), "voice", text)
        return self._speech(self._voicing.say(text), line)

    def sentence(
        self, tts: Tts, text: str, line: AudioFormat, *, at_least_hz: int
    ) -> Speech | None:
        """A sentence in the line's format, if it came from the cache in the call."""
        found = self._voicing.next(text)
        if found is None or not found.cached:
            return None
        return self._speech(self._voicing.say(text), line)

    def _speech(self, sentence: Sentence, line: AudioFormat) -> Speech:
        return Speech(line, sentence.audio(line, self._heard), sentence.words)
