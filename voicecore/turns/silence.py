"""Nobody says anything: ask whether the caller is there, and at last say goodbye. Part of the turn
machine."""

from voicecore.turns.deadlines import Deadlines
from voicecore.turns.reply import ReplyKind
from voicecore.turns.settings import TurnSettings
from voicecore.turns.speaking import Speaker

SILENCE = "silence"


class Silence:
    """The silence that is going on, and how often the caller was asked."""

    def __init__(self, settings: TurnSettings, speaker: Speaker, deadlines: Deadlines) -> None:
        self._settings = settings
        self._speaker = speaker
        self._deadlines = deadlines
        self._asks = 0

    def goes_on(self, now_ms: int) -> None:
        """Nobody says anything; counted from the first time that this is called."""
        if SILENCE not in self._deadlines:
            self._deadlines.set(SILENCE, now_ms + self._settings.ask_after_ms)

    def is_over(self) -> None:
        """Something is heard, whatever it is."""
        self._deadlines.clear(SILENCE)

    def somebody_is_there(self) -> None:
        """The caller has said something, or pressed keys: the next question is the first again."""
        self._asks = 0

    def due(self, now_ms: int) -> None:
        """It has lasted too long."""
        phrases = self._settings.phrases
        if self._asks >= self._settings.max_asks:
            self._speaker.speak(now_ms, ReplyKind.FAREWELL, phrases.goodbye, end_reason="silence")
            return
        phrase = phrases.still_there[self._asks % len(phrases.still_there)]
        self._asks += 1
        self._speaker.speak(now_ms, ReplyKind.PROMPT, phrase)
