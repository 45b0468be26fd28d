"""Something to hear: a filler while the answer takes long, a backchannel while the caller goes
on and on. Part of the turn machine.

A filler is part of the reply that it is waiting for, and gives way to it. It comes from the cache:
it would be no use to wait for that as well.
"""

from collections.abc import Callable, Sequence

from media.audio.format import FRAME_MS
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.inputs import FillerPlays
from voicecore.turns.outputs import (
    Emit,
    Output,
    PauseReply,
    ResumeReply,
    SayFiller,
    ShortenReply,
)
from voicecore.turns.reply import Reply, ReplyKind
from voicecore.turns.settings import BackchannelPolicy, FillerPolicy

FILLER = "filler"
RETRY_MS = 500
"""The caller is just speaking, or pressing keys: look again then."""
WORD_LEFT_MS = 200
"""How much of a word is said to its end when the reply's own speech is there."""


class InTurn:
    """Phrases one after the other: none twice in a row, unless there is only one."""

    def __init__(self, phrases: Sequence[str]) -> None:
        self._phrases = tuple(dict.fromkeys(phrases))
        self._next = 0

    def take(self) -> str:
        """The next phrase; empty if there are none."""
        if not self._phrases:
            return ""
        phrase = self._phrases[self._next % len(self._phrases)]
        self._next += 1
        return phrase


class Fillers:
    """The fillers of one call. Appends to the machine's outputs."""

    def __init__(
        self,
        policy: FillerPolicy,
        deadlines: Deadlines,
        out: list[Output],
        played_ms: Callable[[int, int], int],
    ) -> None:
        self._policy = policy
        self._deadlines = deadlines
        self._out = out
        self._played_ms = played_ms
        self._phrases = InTurn(policy.phrases)

    def expect(self, quiet_from_ms: int) -> None:
        """From here on the caller hears nothing, unless something comes."""
        if self._policy.after_ms and self._policy.phrases:
            self._deadlines.set(FILLER, quiet_from_ms + self._policy.after_ms)

    def due(self, now_ms: int, reply: Reply, *, caller_speaks: bool) -> None:
        """Nothing has come. Not while audio plays, nor into what the caller says."""
        if reply.kind is not ReplyKind.ANSWER or reply.voice_done:
            return
        if caller_speaks or reply.paused_ms is not None:
            self._deadlines.set(FILLER, now_ms + RETRY_MS)
            return
        left_ms = reply.audio_ms - self._played_ms(now_ms, reply.number)
        if left_ms >= FRAME_MS:  # less is sent with what follows
            self.expect(now_ms + left_ms)
            return
        self._out.append(SayFiller(reply.number, self._phrases.take()))
        self.expect(now_ms)

    def plays(self, now_ms: int, reply: Reply, event: FillerPlays) -> None:
        """The cache had it."""
        length_ms = event.duration_ms
        reply.spoken.insert(event.words, at_ms=reply.speech_ms, length_ms=length_ms)
        reply.filler_ms += length_ms
        reply.audio_ms += length_ms
        reply.filler_end_ms = reply.audio_ms
        self._out.append(Emit("agent_filler", {"reply": reply.number, "text": event.text}))
        self.expect(now_ms + length_ms)

    def end(self, now_ms: int, reply: Reply) -> None:
        """Speech is ready: what is left of a filler gives way, after the word that is being
        said if that is soon over."""
        end_ms, reply.filler_end_ms = reply.filler_end_ms, 0
        if not end_ms:
            return
        played_ms = self._played_ms(now_ms, reply.number)
        to_ms = reply.spoken.word_end_ms(played_ms)
        if to_ms - played_ms > WORD_LEFT_MS:
            to_ms = played_ms
        to_ms = -(-to_ms // FRAME_MS) * FRAME_MS
        reply.latency.mark("first_byte", now_ms + max(min(to_ms, end_ms) - played_ms, 0))
        cut_ms = end_ms - to_ms
        if cut_ms <= 0:
            return
        reply.filler_ms -= cut_ms
        reply.audio_ms -= cut_ms
        reply.spoken.shorten_insert(cut_ms)
        number, paused = reply.number, reply.paused_ms is not None
        if not paused:
            self._out.append(PauseReply(number))
        self._out.append(ShortenReply(number, to_ms))
        if not paused:
            self._out.append(ResumeReply(number, played_ms))


class Backchannels:
    """When the agent says "mm-hm" to a caller who talks at length."""

    def __init__(self, policy: BackchannelPolicy) -> None:
        self._policy = policy
        self._phrases = InTurn(policy.phrases)
        self._last_ms = 0

    def at_pause(self, now_ms: int, turn_started_ms: int) -> str:
        """The caller pauses within a turn: what to say to that, mostly nothing."""
        since_ms = max(turn_started_ms, self._last_ms)
        if not self._policy.after_ms or now_ms < since_ms + self._policy.after_ms:
            return ""
        self._last_ms = now_ms
        return self._phrases.take()
