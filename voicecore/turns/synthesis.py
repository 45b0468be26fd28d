"""Having the voice say a reply: its sentences and its keys' tones in order, the audio that comes of
them, its failures made good once. Part of the turn machine."""

from collections.abc import Callable

from media.audio.tones import dtmf_ms
from voicecore.providers.errors import VendorError
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.events import vendor_failed
from voicecore.turns.fillers import FILLER, Fillers
from voicecore.turns.outputs import (
    Emit,
    FinishSaying,
    Output,
    PlayTones,
    RestartVoice,
    Say,
    SayPhrase,
)
from voicecore.turns.reply import Reply
from voicecore.turns.settings import TurnSettings

FIRST_AUDIO, PROGRESS, PLAYOUT = "first_audio", "progress", "playout"
PLAYOUT_SLACK_MS = 10_000
"""How much longer than its audio a reply may play before it is given up."""
MAX_VOICE_RESTARTS = 1


class Synthesis:
    """The voice's side of the live reply. Appends to the machine's outputs."""

    def __init__(
        self,
        settings: TurnSettings,
        fillers: Fillers,
        deadlines: Deadlines,
        out: list[Output],
        played_ms: Callable[[int, int], int],
        give_up: Callable[[int, str], None],
    ) -> None:
        self._settings = settings
        self._fillers = fillers
        self._deadlines = deadlines
        self._out = out
        self._played_ms = played_ms
        self._give_up = give_up

    # What it is given

    def say(self, now_ms: int, reply: Reply, sentence: str) -> None:
        """Give a sentence to the voice."""
        reply.latency.mark("first_sentence", now_ms)
        reply.spoken.say(sentence, from_ms=max(reply.speech_ms, reply.tones_end_ms))
        self._perform(reply, Say(reply.number, sentence))
        self._out.append(Emit("agent_saying", {"reply": reply.number, "text": sentence}))
        self._await_audio(now_ms, reply)

    def say_phrase(self, now_ms: int, reply: Reply, text: str) -> None:
        """Have a fixed text said that is the whole of the reply."""
        reply.spoken.say(text)
        self._perform(reply, SayPhrase(reply.number, text))
        self._out.append(Emit("agent_saying", {"reply": reply.number, "text": text}))
        self._expect_audio(now_ms)

    def press(self, now_ms: int, reply: Reply, digits: str) -> None:
        """Have keys' tones played after what was said before."""
        reply.tones_end_ms = max(reply.speech_ms, reply.tones_end_ms) + dtmf_ms(digits)
        self._perform(reply, PlayTones(reply.number, digits))
        self._await_audio(now_ms, reply)

    def _perform(self, reply: Reply, step: Say | SayPhrase | PlayTones) -> None:
        reply.script.append(step)
        if reply.said_beforehand and isinstance(step, Say):
            reply.said_beforehand -= 1
        else:
            self._out.append(step)

    def _await_audio(self, now_ms: int, reply: Reply) -> None:
        if not reply.speech_ms and FIRST_AUDIO not in self._deadlines:
            self._expect_audio(now_ms)

    def _expect_audio(self, now_ms: int) -> None:
        self._deadlines.set(FIRST_AUDIO, now_ms + self._settings.first_audio_timeout_ms)

    # What comes of it

    def audio_came(self, now_ms: int, reply: Reply, duration_ms: int) -> None:
        """More speech or tones, behind what there is."""
        reply.latency.mark("tts_first_audio", now_ms)
        self._fillers.end(now_ms, reply)
        reply.audio_ms += duration_ms
        self._deadlines.clear(FIRST_AUDIO)
        self._fillers.expect(now_ms + reply.audio_ms - self._played_ms(now_ms, reply.number))
        if reply.llm_done and not reply.waiting_for:
            self.progress(now_ms)

    def progress(self, now_ms: int) -> None:
        """The model or the voice has brought more: the next may take so long again."""
        self._deadlines.set(PROGRESS, now_ms + self._settings.stall_timeout_ms)

    def done(self, now_ms: int, reply: Reply) -> None:
        """All of its audio is there, and has only to be played."""
        if not reply.speech_ms:
            self.failed(now_ms, reply, VendorError("tts", "garbage", "no audio", retryable=True))
            return
        reply.voice_done = True
        self._deadlines.clear(PROGRESS, FIRST_AUDIO, FILLER)
        self._deadlines.set(PLAYOUT, now_ms + reply.audio_ms + PLAYOUT_SLACK_MS)

    def resumed(self, now_ms: int, reply: Reply, from_ms: int) -> None:
        """It plays again, from there on: if only the end is awaited, that comes later."""
        if PLAYOUT in self._deadlines:
            self._deadlines.set(PLAYOUT, now_ms + reply.audio_ms - from_ms + PLAYOUT_SLACK_MS)

    def timed_out(self, now_ms: int, reply: Reply) -> None:
        """Nothing, or nothing more, came in time."""
        code = "stalled" if reply.speech_ms else "first_output_timeout"
        error = VendorError("tts", code, "nothing came in time", retryable=True)
        self.failed(now_ms, reply, error)

    def failed(self, now_ms: int, reply: Reply, error: VendorError) -> None:
        """Try once more if nothing was heard, else the call fails."""
        self._out.append(vendor_failed("tts", error, reply.number))
        again = error.retryable and not reply.speech_ms
        if not again or reply.voice_restarts >= MAX_VOICE_RESTARTS:
            self._give_up(now_ms, "tts_failed")
            return
        reply.voice_restarts += 1
        reply.spoken.forget_places()
        self._expect_audio(now_ms)
        self._out.append(RestartVoice(reply.number))
        self._out.extend(reply.script)
        if reply.llm_done and not (reply.is_phrase or reply.waiting_for):
            self._out.append(FinishSaying(reply.number))
