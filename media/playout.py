"""The agent's voice on one leg: what was sent, what was played, what to send next.

Pure: time is an input. Replies are numbered by their owner and played in the order written.
Audio leaves a little ahead of real time (``lead_ms``), so that a late timer is not heard and
little is lost when the caller interrupts. Marks named ``<reply>:<played_ms>`` follow the audio;
after a clear, marks of what was cleared mean nothing and are ignored. A pause clears the line too
but keeps the audio, and marks of the resumed reply have its run in their names:
``<reply>.<run>:<played_ms>``.

    playout.write(7, audio); playout.finish(7)
    for command in playout.poll(now_ms): socket.send(codec.send(command))
    timer.at(playout.next_deadline())
"""

from media.audio.format import FRAME_MS, AudioFormat
from media.audio.levels import quiet_end_ms, quiet_ms
from media.carrier import CarrierCommand, Clear, Mark, Play
from media.playout_events import PlayoutEvent, ReplyPlayed, ReplyStarted
from media.reply_audio import ReplyAudio

QUEUE_LIMIT_MS = 600_000
"""Audio kept unsent for one leg. A vendor that floods beyond it is misbehaving."""

KEPT_MS = 1000
"""Audio kept after it should have been played, in case it has to be sent again."""

SKIPPED_MS = 500
"""Of the silence that a resumed reply would begin with, so much is left out at most: the pause was
one already."""
QUIET_DBFS, ONSET_MS = -46.0, 40
"""What counts as silence, and what is kept of it before the first sound."""

MARK_EVERY_MS = 1000
MARK_GRACE_MS = 2000
"""How long after its expected end a reply counts as played though its mark never came."""


class PlayoutOverflow(Exception):
    """More unsent audio than ``QUEUE_LIMIT_MS``."""


class Playout:
    """One leg's outbound audio, in ``audio`` format."""

    def __init__(self, audio: AudioFormat, *, lead_ms: int = 200, chunk_ms: int = 60) -> None:
        self.audio = audio
        self.gap_ms = 0
        """Silence heard inside replies because audio came too late."""
        self.late_ms_max = 0
        self.events: list[PlayoutEvent] = []
        """What happened since the owner last took and emptied it."""
        chunk_ms = max(FRAME_MS, chunk_ms // FRAME_MS * FRAME_MS)
        self._chunk_bytes = chunk_ms * audio.bytes_per_ms
        # A chunk leaves as soon as it fits into the lead.
        self._refill_ms = max(lead_ms - chunk_ms, FRAME_MS)
        self._keep_bytes = (lead_ms + KEPT_MS) // FRAME_MS * audio.frame_bytes
        self._replies: dict[int, ReplyAudio] = {}
        self._end_ms = 0  # when the carrier will have played everything sent
        self._last_played = (-1, 0)
        # How much later than expected marks come back at least: by the way there and back.
        self._lag_ms: int | None = None
        self._gone_ms: int | None = None  # when the caller's end of the line was gone

    @property
    def end_ms(self) -> int:
        """When the carrier will have played everything sent so far."""
        return self._end_ms

    def write(self, reply: int, payload: bytes) -> None:
        """Queue audio of a reply. The owner does not write to a reply that it cut.

        :raises PlayoutOverflow: too much is queued already."""
        state = self._reply(reply)
        if state.finished:
            return
        if state.unsent_bytes() + len(payload) > QUEUE_LIMIT_MS * self.audio.bytes_per_ms:
            raise PlayoutOverflow(f"over {QUEUE_LIMIT_MS} ms of unsent audio")
        state.buffer += payload

    def finish(self, reply: int) -> None:
        """No more audio follows for this reply: its rest is filled up to a whole frame."""
        state = self._reply(reply)
        if state.finished:
            return
        odd = (state.sent_bytes + len(state.buffer) - state.read) % self.audio.frame_bytes
        if odd:
            state.buffer += self.audio.silence(FRAME_MS)[odd:]
        state.finished = True

    def rest(self, reply: int) -> None:
        """Silence after what was written so far is meant: what follows it is not late."""
        state = self._reply(reply)
        state.rest_bytes = state.sent_bytes + state.unsent_bytes()

    def poll(self, now_ms: int) -> list[CarrierCommand]:
        """Everything that must leave by now, in order."""
        commands: list[CarrierCommand] = []
        for state in list(self._replies.values()):
            while self._ready(state, now_ms):
                self._send(state, state.take(self._chunk_bytes), now_ms, commands)
            if state.paused or state.unsent_bytes() or not state.finished:
                break
            self._end(state, now_ms, commands)
        return commands

    def next_deadline(self) -> int | None:
        """When ``poll`` has something to do next; None when only new input can bring that."""
        grace_ms: int | None = None
        for state in self._replies.values():
            if state.paused:
                break
            unsent_bytes = state.unsent_bytes()
            if unsent_bytes >= self._chunk_bytes or (unsent_bytes and state.finished):
                return self._end_ms - self._refill_ms
            if unsent_bytes:
                return self._end_ms - FRAME_MS
            if not state.finished:
                break
            grace_ms = self._end_ms + MARK_GRACE_MS
        return grace_ms

    def mark_played(self, now_ms: int, name: str) -> None:
        """A mark came back from the carrier; foreign and stale names are ignored."""
        which, _, position = name.partition(":")
        number = which.partition(".")[0]
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            return
        state = self._replies.get(int(number))
        if state is None or state.paused or which != state.name():
            return
        if position == "end" and state.end_marked:
            self._played(state, now_ms)
        elif position.isascii() and position.isdigit() and len(position) < 10:
            expected_ms = self._due_ms(state, int(position) * self.audio.bytes_per_ms)
            if expected_ms is not None:
                lag_ms = min(max(now_ms - expected_ms, 0), MARK_EVERY_MS)
                self._lag_ms = lag_ms if self._lag_ms is None else min(lag_ms, self._lag_ms)

    def clear(self, now_ms: int, reply: int) -> tuple[int, list[CarrierCommand]]:
        """Stop speaking: forget what is unsent, have the carrier drop the rest.

        :returns: how many milliseconds of ``reply`` were heard, and what to send."""
        played_ms = self.cut_ms(now_ms, reply)
        sent = any(state.sent_bytes and not state.paused for state in self._replies.values())
        self._replies.clear()
        if not sent:
            return played_ms, []
        self._end_ms = min(self._end_ms, now_ms)
        return played_ms, [Clear()]

    def pause(self, now_ms: int, reply: int) -> list[CarrierCommand]:
        """Silence the line but keep what was not played, for ``resume``. Replies before this
        one count as played. Returns what to send; nothing if there is no such reply."""
        state = self._replies.get(reply)
        if state is None or state.paused:
            return []
        sent = state.sent_bytes
        state.rewind(self.cut_ms(now_ms, reply) * self.audio.bytes_per_ms)
        state.paused = True
        state.end_marked = False
        for earlier in list(self._replies.values()):
            if earlier is state:
                break
            self._played(earlier, now_ms)
        if not sent:
            return []
        self._end_ms = min(self._end_ms, now_ms)
        return [Clear()]

    def quiet_ms(self, reply: int) -> int:
        """For how long a reply has been quiet where it is paused; 0 if it is not paused."""
        state = self._replies.get(reply)
        if state is None or not state.paused:
            return 0
        return quiet_end_ms(
            state.before(SKIPPED_MS * self.audio.bytes_per_ms), self.audio, QUIET_DBFS
        )

    def resume(self, reply: int, from_ms: int) -> None:
        """Go on with a paused reply from ``from_ms`` of its audio, or from where it was paused
        if that is earlier; whole frames are repeated, and no more than was kept. Silence at that
        place is left out. Where it was paused as a silence began, it goes on behind that: nothing
        was cut off that would have to be said again."""
        state = self._replies.get(reply)
        if state is None or not state.paused:
            return
        if not self._skip_silence(state):
            state.rewind(from_ms * self.audio.bytes_per_ms)
            self._skip_silence(state)
        state.paused = False
        state.run += 1
        state.marked_bytes = -1

    def _skip_silence(self, state: ReplyAudio) -> bool:
        """Leave out the silence that comes next; returns whether there was any."""
        ahead = state.ahead((SKIPPED_MS + ONSET_MS) * self.audio.bytes_per_ms)
        quiet = quiet_ms(ahead, self.audio, QUIET_DBFS) - ONSET_MS
        size = max(quiet, 0) // FRAME_MS * self.audio.frame_bytes
        state.skip(size)
        return size > 0

    def shorten(self, reply: int, to_ms: int) -> None:
        """Drop all of a paused, unfinished reply's audio after ``to_ms``, a whole number of
        frames, or after what was heard if that is more. What is written next follows there."""
        state = self._replies.get(reply)
        if state is None or state.finished or not state.paused:
            return
        left_bytes = max(to_ms * self.audio.bytes_per_ms - state.sent_bytes, 0)
        del state.buffer[state.read + left_bytes :]

    def line_gone(self, now_ms: int) -> None:
        """The caller hung up, or the line broke, which is heard of now: it happened as long ago
        as the news took, and what was on its way then was not heard."""
        if self._gone_ms is None:
            self._gone_ms = now_ms - (self._lag_ms or 0)

    def played_ms(self, now_ms: int, reply: int) -> int:
        """How much of a reply the caller has heard, as far as the server can know: the carrier
        plays in real time from when it got the audio, less half of the delay with which marks
        come back (the other half is the mark's own way)."""
        return self._position_ms(now_ms - (self._lag_ms or 0) // 2, reply)

    def cut_ms(self, now_ms: int, reply: int) -> int:
        """How much of a reply will have been heard when a clear that is sent now arrives. It is
        as long on its way as the audio was."""
        return self._position_ms(now_ms if self._gone_ms is None else self._gone_ms, reply)

    def _position_ms(self, at_ms: int, reply: int) -> int:
        state = self._replies.get(reply)
        if state is None:
            number, played_ms = self._last_played
            return played_ms if number == reply else 0
        heard_ms = 0
        stretches = state.stretches
        last = len(stretches) - 1
        for index, (start_ms, start_byte) in enumerate(stretches):
            if start_ms > at_ms:
                break
            until_byte = stretches[index + 1][1] if index < last else state.sent_bytes
            end_ms = self.audio.duration_ms(until_byte)
            heard_ms = min(self.audio.duration_ms(start_byte) + at_ms - start_ms, end_ms)
        return heard_ms

    def _reply(self, number: int) -> ReplyAudio:
        state = self._replies.get(number)
        if state is None:
            state = ReplyAudio(number, self.audio.frame_bytes, self._keep_bytes)
            self._replies[number] = state
        return state

    def _ready(self, state: ReplyAudio, now_ms: int) -> bool:
        ahead_ms = self._end_ms - now_ms
        if state.paused or ahead_ms > self._refill_ms:
            return False
        unsent_bytes = state.unsent_bytes()
        if not unsent_bytes:
            return False
        # Less than a chunk waits until it is needed: more may come, and fewer, larger
        # messages cost less and do not click.
        return unsent_bytes >= self._chunk_bytes or state.finished or ahead_ms <= FRAME_MS

    def _due_ms(self, state: ReplyAudio, position_bytes: int) -> int | None:
        due_ms = None
        for start_ms, start_byte in state.stretches:
            if start_byte < position_bytes:
                due_ms = start_ms + self.audio.duration_ms(position_bytes - start_byte)
        return due_ms

    def _send(
        self, state: ReplyAudio, payload: bytes, now_ms: int, commands: list[CarrierCommand]
    ) -> None:
        resumed = state.run > 0 and state.marked_bytes < 0
        if not state.stretches:
            self.events.append(ReplyStarted(state.number, now_ms))
        if self._end_ms < now_ms or not state.stretches or resumed:
            if state.sent_bytes and not resumed and state.sent_bytes != state.rest_bytes:
                self.late_ms_max = max(self.late_ms_max, now_ms - self._end_ms)
                self.gap_ms += now_ms - self._end_ms
            self._end_ms = max(self._end_ms, now_ms)
            state.stretches.append((self._end_ms, state.sent_bytes))
        state.sent_bytes += len(payload)
        self._end_ms += self.audio.duration_ms(len(payload))
        commands.append(Play(payload))
        unmarked_bytes = state.sent_bytes - state.marked_bytes
        if state.marked_bytes < 0 or unmarked_bytes >= MARK_EVERY_MS * self.audio.bytes_per_ms:
            state.marked_bytes = state.sent_bytes
            position_ms = self.audio.duration_ms(state.sent_bytes)
            commands.append(Mark(f"{state.name()}:{position_ms}"))

    def _end(self, state: ReplyAudio, now_ms: int, commands: list[CarrierCommand]) -> None:
        if not state.sent_bytes:
            self._played(state, now_ms)
        elif not state.end_marked:
            state.end_marked = True
            commands.append(Mark(f"{state.name()}:end"))
        elif now_ms >= self._end_ms + MARK_GRACE_MS:
            self._played(state, now_ms)

    def _played(self, state: ReplyAudio, now_ms: int) -> None:
        if self._replies.pop(state.number, None) is not None:
            played_ms = self.audio.duration_ms(state.sent_bytes)
            self._last_played = (state.number, played_ms)
            self.events.append(ReplyPlayed(state.number, now_ms, played_ms))
