"""The time in which a sound of the caller's over the agent is judged. Part of the turn machine.

The agent does not fall silent for it at once: for its first moments both are heard, as among
people, so that a murmur breaks the sentence for less long.
"""

from voicecore.turns.deadlines import Deadlines
from voicecore.turns.speaking import Speaker

PAUSE, VERDICT = "pause", "verdict"
MOST_QUIET_MS, MOST_QUIET_FOR_WORDS_MS = 160, 100
"""Of a silence of the agent's own before the pause, so much counts as the pause's; and so much
while words are on their way."""
HOLD_MS = 5000
"""No pause is longer, whatever is heard: so long the floor is left to speech of which no word
comes."""
GAP_MS = 580
"""So long a short sound is judged, though it is over: people say "no", or "okay", and take a
breath."""
LONGEST_GAP_MS = 640
"""So long if the short sound's words are still on their way."""
MID_SOUND_MS, MID_SOUND_GAP_MS = 500, 90
"""Where a voice begins in the middle of a crowd's noise the agent is silent at once: there is so
much more time for its first word."""
BREATH_MS, BREATH_GAP_MS = 240, 600
"""People who begin with a word ("okay, ...") take a breath, which is waited for: so much longer
than it takes to tell that the word is over, but until ``BREATH_GAP_MS`` into the agent's silence at
most."""
LATE_GAP_MS, AGAIN_MS = 720, 200
"""Whose second sound in a pause ends later than ``LATE_GAP_MS`` into it is perhaps about to go on,
and gets so much longer."""
LISTENS_AGAIN_MS = 40
"""So much if the sounds' words only ask the agent to go on, or are none that are believed."""
FAINT_GAP_MS = 660
"""No longer is the agent silent for a second sound that goes on, hardly above the line's noise, or
not as loud as the caller."""


class OverlapPause:
    """Open from the moment at which a sound counts until there is a verdict, or until the reply is
    over by itself. ``overlap_ms``: from the sound's onset to the agent's silence."""

    def __init__(self, overlap_ms: int, speaker: Speaker, deadlines: Deadlines) -> None:
        self.began_ms = 0
        """Since when it has been judged."""
        self.since_ms = 0
        """The same, or a little earlier if the agent was silent by itself then, or later."""
        self.stopped_ms = 0
        """When the last sound since was over."""
        self.sounds = 0
        """How many there were since it began."""
        self._overlap_ms = overlap_ms
        self._speaker = speaker
        self._deadlines = deadlines
        self._reply: int | None = None
        self._silent_ms: int | None = None
        """When the agent fell silent for the last sound that was judged."""
        self._quiet_ms = self._all_quiet_ms = 0
        """How long it had been silent by itself then: as far as that counts, and in all."""

    @property
    def is_open(self) -> bool:
        live = self._speaker.reply
        return live is not None and live.number == self._reply

    @property
    def silent_ms(self) -> int | None:
        """Since when the agent has been silent for it; None while it speaks."""
        return self._silent_ms if self._speaker.paused else None

    def begin(self, now_ms: int, onset_ms: int) -> None:
        """A sound that began at ``onset_ms`` is to be judged."""
        live = self._speaker.reply
        self._reply = live.number if live is not None else None
        self.began_ms = self.since_ms = self.stopped_ms = now_ms
        if now_ms - onset_ms >= MID_SOUND_MS:
            self.since_ms += MID_SOUND_GAP_MS
        self.sounds = 1
        self._silent_ms, self._quiet_ms, self._all_quiet_ms = None, 0, 0
        silent_ms = onset_ms + self._overlap_ms
        if silent_ms > now_ms and not self._is_first(now_ms, onset_ms):
            self._deadlines.set(PAUSE, silent_ms)
        else:
            self.fall_silent(now_ms)

    def _is_first(self, now_ms: int, onset_ms: int) -> bool:
        """Whether the caller began while the agent was silent, waiting for what it is to say, or
        before it began: then there is nothing that would be broken off."""
        live = self._speaker.reply
        began_ms = None if live is None else live.started_ms
        return began_ms is None or onset_ms < began_ms or self._speaker.is_silent(now_ms)

    def fall_silent(self, now_ms: int) -> None:
        """The agent stops speaking; nothing happens if it has."""
        self._deadlines.clear(PAUSE)
        if self.is_open and not self._speaker.paused:
            self._silent_ms = now_ms
            self._speaker.pause(now_ms)

    def was_quiet(self, reply: int, quiet_ms: int) -> None:
        """The reply was paused in a silence of its own, which counts as the pause's."""
        if self.is_open and self._speaker.paused and reply == self._reply:
            self._quiet_ms, self._all_quiet_ms = min(quiet_ms, MOST_QUIET_MS), quiet_ms
            self.since_ms -= self._quiet_ms

    def tails(self, started_ms: int, stopped_ms: int, reach_ms: int) -> bool:
        """Whether a sound began before the agent fell silent, and was over so soon after it."""
        silent_ms = self._silent_ms
        return (
            silent_ms is not None and started_ms < silent_ms <= stopped_ms <= silent_ms + reach_ms
        )

    @property
    def words_by_ms(self) -> int:
        """How long the final words of a short sound are waited for."""
        uncounted_ms = max(self._quiet_ms - MOST_QUIET_FOR_WORDS_MS, 0)
        return self.since_ms + uncounted_ms + LONGEST_GAP_MS

    def wait_until(self, at_ms: int) -> None:
        """Look at the sound again then, unless it has gone on for too long before."""
        self._deadlines.set(VERDICT, min(at_ms, self.began_ms + HOLD_MS))

    def can_be_short(self, now_ms: int) -> bool:
        """Whether the agent may still go on before its silence is long. Of a second sound in it too
        little is known then."""
        return self.sounds == 1 and now_ms <= self.since_ms + LONGEST_GAP_MS

    def gap_ends_ms(self, now_ms: int, *, opens: bool, listens: bool) -> int:
        """How long it is waited for more once the sounds are over; ``opens``: people also begin
        with their words; ``listens``: all that is known of them only asks the agent to go on."""
        again_ms = 0
        if self.sounds > 1 and self.stopped_ms > self.since_ms + LATE_GAP_MS:
            again_ms = LISTENS_AGAIN_MS if listens else AGAIN_MS
        breath_ms = 0
        if opens and self._silent_ms is not None:
            longest_ms = self._silent_ms - self._all_quiet_ms + BREATH_GAP_MS
            breath_ms = min(self.stopped_ms + BREATH_MS, longest_ms)
        return max(self.since_ms + GAP_MS, breath_ms, self.stopped_ms + again_ms, now_ms)

    def close(self) -> None:
        """There is a verdict, or none is needed."""
        self._deadlines.clear(PAUSE, VERDICT)
        self._reply = None
